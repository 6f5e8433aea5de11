"""auricle measure: terminal, JSON and page, for a newborn with twelve leads, fewer leads, and no age."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

import carts
from auricle.age import parse
from auricle.cli import app
from auricle.cli.measure import bar, show
from auricle.errors import ConfigError
from auricle.leads import STANDARD
from auricle.measure.measurements import Remark
from auricle.paediatrics import limits, wording
from auricle.paediatrics.findings import assess, main_rows
from auricle.paediatrics.report import to_dict
from auricle.pages.ages import ages_figure
from auricle.pages.beat import SPEED_MM_S, beat_svg
from auricle.pages.measure import bar_svg, measure_page
from auricle.recording import Recording
from auricle.simulate.cohort import cohort
from auricle.simulate.newborn import newborn
from fakes import heart, write_wfdb
from measurements import NEWBORN, measured
from outline import Outline
from running import auricle, refused

SVG = "{http://www.w3.org/2000/svg}"


def spikes(leads=("I",), seconds=10.0, rate_hz=500.0):
    """1 mV for 40 ms at every full second."""
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    trace = (np.mod(time, 1) < 0.04).astype(np.float32)
    return Recording(np.tile(trace, (len(leads), 1)), rate_hz, tuple(leads), "test/1")


def with_beat(leads=STANDARD):
    time = np.arange(-200, 300) / 500
    wave = (np.abs(time) < 0.02).astype(np.float32)
    marks = {"p_onset": -140.0, "p_offset": -60.0, "qrs_onset": -30.0, "qrs_offset": 40.0, "t_offset": 300.0}
    return replace(measured(), leads=leads, median_beat=np.tile(wave, (len(leads), 1)), r_index=200, marks_ms=marks)


def svgs(html):
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [ET.fromstring(base64.b64decode(one)) for one in found]


def traces(svg):
    return [path for path in svg.iter(f"{SVG}path") if "clip-path" in path.attrib]


def points(path):
    return np.array(
        [[float(number) for number in pair.split(",")] for pair in re.split(r"[ML ]+", path.get("d")) if pair]
    )


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 10.0), (50.0, 5.0)])
def test_a_second_and_a_millivolt_are_true_on_the_page(speed, gain):
    given = with_beat(("I",))
    html = measure_page(spikes(), given, assess(given, parse("3d"), "M"), "en", speed, gain).to_html()
    *sheets, beat = svgs(html)
    assert len(sheets) == round(speed / 25)
    for sheet in sheets:
        # User units are millimetres, and nothing on the page scales them.
        assert sheet.get("viewBox").split()[2:] == [sheet.get("width")[:-2], sheet.get("height")[:-2]]
        assert sheet.get("width").endswith("mm")
        xy = points(traces(sheet)[0])
        assert np.ptp(xy[:, 1]) == pytest.approx(gain, abs=1e-4)
        rising = xy[1:, 0][np.diff(xy[:, 1]) < -gain / 2]
        np.testing.assert_allclose(np.diff(rising), speed, atol=1e-4)
        assert float(sheet.get("width")[:-2]) <= 297 - 2 * 7
    assert ".mm img { max-width: none; }" in html
    overlay, single = (points(path) for path in traces(beat))
    assert np.ptp(single[:, 1]) == pytest.approx(gain, abs=1e-4)
    assert np.ptp(overlay[:, 1]) == pytest.approx(2 * gain, abs=1e-4)


def test_marks_of_the_median_beat_stand_where_they_were_measured():
    svg = ET.fromstring(beat_svg(with_beat(("II",)), 10.0))
    lines = [path for path in svg.iter(f"{SVG}path") if path.get("stroke") == "#B3261E"]
    at = sorted(points(line)[0, 0] for line in lines)
    assert at[1] - at[0] == pytest.approx(0.07 * SPEED_MM_S) or at[2] - at[0] == pytest.approx(0.07 * SPEED_MM_S)
    assert len(lines) == 4


@pytest.mark.parametrize("language", ["en", "zh", "de"])
def test_the_page_is_whole_escaped_and_asks_nothing_of_the_network(language):
    given = replace(with_beat(), remarks=(Remark("poor_contact", ("V6",), {"noise_mv": 0.2}), Remark("<b>odd</b>")))
    person = replace(spikes(STANDARD), record_id="<script>alert(1)</script>")
    page = measure_page(person, given, assess(given, parse("3d"), "M"), language, command="auricle measure '<x>'")
    html = page.to_html()
    assert "<script" not in html
    assert "<b>odd" not in html
    assert f'<html lang="{language}">' in html
    outline = Outline(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(outline.tags)
    assert all(value.startswith(("data:image/", "#s")) for name, value in outline.attributes if name in {"src", "href"})
    assert "default-src 'none'" in html
    assert html.count('<svg class="bar"') == 8  # of ten values with limits two are in V6, which has poor contact
    assert html.count("<h2>") == len(page.sections) == 7
    assert "Davignon 1979" in html


def test_the_page_without_an_age_has_values_and_no_centile():
    given = with_beat()
    html = measure_page(spikes(STANDARD), given, assess(given), "en").to_html()
    assert "No age, so no centile" in html
    assert 'class="bar"' not in html.replace(".bar", "")
    assert "135 ± 2 /min" in html


def printed(given, age, language, width=80):
    console = Console(width=width, record=True, file=Path("/dev/null").open("w"), color_system=None)  # noqa: SIM115
    show(assess(given, parse(age), "M"), given, console, "baby.hea", language)
    console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize("language", ["en", "zh", "de"])
@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_is_aligned_in_every_language(language, width):
    lines = printed(measured(remarks=[Remark("few_beats")]), "3d", language, width)
    assert lines[1].startswith(" ! ")
    assert all(cell_len(line) <= width for line in lines)
    brackets = [line for line in lines if "[" in line and "╌" in line]
    assert len(brackets) >= 9
    ends = {cell_len(line[: line.rindex("]")]) for line in brackets if line.rindex("]") > line.rindex("╌")}
    assert len(ends) == 1


def test_characters_of_the_bar_have_one_width_in_every_terminal():
    given = measured(NEWBORN | {"heart_rate": (20.0, 1.0), "pr": (400.0, 1.0)})
    for row in assess(given, parse("3d"), "M").rows:
        drawn = bar(row).plain
        assert all(unicodedata.east_asian_width(character) in {"N", "Na"} for character in drawn)
        assert not drawn or len(drawn) == len(bar(assess(given, parse("3d"), "M").row("qrs")).plain)


def test_a_bar_puts_the_value_where_its_centile_is():
    low, middle, high = (
        bar(assess(measured({"qrs": (value, 0.0)}), parse("2yr"), "M").row("qrs")).plain for value in (56, 71.5, 86)
    )
    assert low.index("◼") < middle.index("◼") < high.index("◼")
    assert middle.index("◼") == len(middle) // 2
    assert "▸" in bar(assess(measured({"qrs": (170, 0.0)}), parse("2yr"), "M").row("qrs")).plain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated newborn with all leads and with fewer."""
    folder = tmp_path_factory.mktemp("newborn")
    (person,) = cohort(1, seed=2, ages=[3.0], diagnoses={}).recordings()
    for name, leads in {
        "twelve": STANDARD, "nine": STANDARD[:9], "six": STANDARD[:6], "one": ("V2",),
    }.items():  # fmt: skip
        rows = [person.leads.index(lead) for lead in leads]
        np.savez(folder / f"{name}.npz", signal=person.signal[rows], rate_hz=person.rate_hz, leads=list(leads))
    return folder


def test_measure_for_a_person_and_as_a_page(folder):
    shown = auricle("measure", folder / "twelve.npz", "--age", "3d", "--sex", "F", "--page", folder / "a.html")
    assert shown.returncode == 0, shown.stderr
    assert "3 d, female" in shown.stdout
    assert "QRS axis" in shown.stdout
    assert "esearch use" in shown.stdout
    html = (folder / "a.html").read_text()
    assert str(folder) not in html
    assert len(svgs(html)) == 2


@pytest.mark.parametrize(("name", "n"), [("nine", 9), ("six", 6), ("one", 1)])
def test_fewer_leads_are_measured_too(folder, name, n):
    done = auricle(
        "measure", folder / f"{name}.npz", "--age", "3d", "--json", "--page", folder / f"{name}.html", "--lang", "zh"
    )
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    assert len(plain["leads"]) == n
    rate = plain["values"]["heart_rate"]
    # In one lead a T wave may be a beat: the rate may be too uncertain for a centile.
    assert rate["centile"] is not None or (n == 1 and rate["refused"] == "too_uncertain")
    assert 'lang="zh"' in (folder / f"{name}.html").read_text()


def test_an_unknown_age_gives_values_only(folder):
    done = auricle("measure", folder / "twelve.npz", "--json")
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    assert plain["age_days"] is None
    assert all(value["centile"] is None for value in plain["values"].values())
    assert plain["values"]["heart_rate"]["value"] is not None
    shown = auricle("measure", folder / "twelve.npz")
    assert "age unknown" in shown.stdout


def test_wrong_input_is_one_line(folder, tmp_path):
    npz = folder / "one.npz"
    refused(auricle("measure", tmp_path / "absent.hea"), "no such file")
    refused(auricle("measure", npz, "--lang", "fr"), "language", "fr")
    refused(auricle("measure", npz, "--speed", "30"), "25 or 50")
    refused(auricle("measure", npz, "--page", "x.pdf"), ".html")
    refused(auricle("measure", npz, "--norms", tmp_path / "none.json"), "none.json")
    refused(auricle("measure", npz, "--age", "old"), "not an age")


def test_a_place_that_may_not_be_written_to_is_refused_before_the_work(folder, tmp_path, monkeypatch):
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    monkeypatch.setattr("auricle.measure.recording.measure_recording", lambda recording: pytest.fail("it was begun"))
    for option, name in (("--out", "a.csv"), ("--page", "new/a.html")):
        done = CliRunner().invoke(app, ["measure", str(folder / "one.npz"), option, str(tmp_path / name)])
        assert isinstance(done.exception, ConfigError)
        assert f"{option} {tmp_path / name}: {tmp_path} may not be written to" in str(done.exception)


def test_real_children_can_be_measured(real_data, tmp_path):
    header = sorted((real_data / "zzu-pecg").glob("*.hea"))[0]
    done = auricle("measure", header, "--json", "--page", tmp_path / "a.html")
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    assert plain["age_days"] is not None
    assert plain["values"]["heart_rate"]["centile_text"]


def test_the_picture_of_four_ages(folder, tmp_path):
    picture = tmp_path / "ages.svg"
    done = auricle("measure", folder / "twelve.npz", "--age", "3d", "--sex", "F", "--ages-figure", picture)
    assert done.returncode == 0, done.stderr
    assert picture.read_text().count("<svg") == 1
    one = auricle("measure", folder / "one.npz", "--age", "3d", "--ages-figure", tmp_path / "one.png")
    assert one.returncode == 0, one.stderr
    assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"
    refused(auricle("measure", folder / "one.npz", "--ages-figure", tmp_path / "ages.doc"), ".png")


WITHIN = ("within", "within_as_measured")
AGES = ["1d", "3d", "12d", "3mo", "2yr", "5yr", "9yr", "15yr", "30yr"]


@st.composite
def assessed(draw):
    """Values from far below to far above the norm of any age, sure and unsure ones, and any remark."""
    age, sex = draw(st.sampled_from(AGES)), draw(st.sampled_from(["F", "M", None]))
    days, values = parse(age).best_days, {}
    for name in NEWBORN:
        z, share = draw(st.floats(-4, 4)), draw(st.sampled_from([0.0, 0.02, 0.1, 0.4]))
        if name not in limits.parameters() or not np.isfinite(limits.limits(name, days).p98):
            values[name] = (draw(st.floats(-0.3, 0.5)), 0.02) if name == "t_v1" else NEWBORN[name]
            continue
        value = float(limits.quantile(name, days, sex, z if draw(st.booleans()) else np.clip(z, -1.5, 1.5)))
        values[name] = (value, share * abs(value) + 1e-3)
    if draw(st.booleans()):
        values["r_v4r"] = (0.4, 0.02)
    codes = draw(st.lists(st.sampled_from(sorted(wording.words("en")["remarks"])), max_size=2, unique=True))
    given = replace(with_beat(), values=measured(values, [Remark(code, ("V1",)) for code in codes]).values)
    given = replace(given, remarks=tuple(Remark(code, ("V1",)) for code in codes))
    bound = draw(st.sampled_from(["", "above", "below"]))
    ratio = replace(given.values["rs_ratio_v1"], bound=bound)
    given = replace(given, values={**given.values, "rs_ratio_v1": ratio}, leads=(*STANDARD, "V4R"))
    given = replace(given, median_beat=np.resize(given.median_beat, (13, given.median_beat.shape[1])))
    return given, assess(given, parse(age), sex)


@settings(max_examples=150, deadline=None)
@drawn(assessed())
def test_what_is_said_as_a_whole_agrees_with_every_row(case):
    given, found = case
    said = found.rows
    if found.summary in WITHIN:
        assert not any(row.position in {"low", "high"} or row.beyond for row in said)
        # Whole words: a value known to lie below centile 16 is "<16".
        assert not any(wording.interval_text(row).split(" ")[0] in {"<1", ">99"} for row in said)
        assert not any(row.interval and (row.interval[1] < 2 or row.interval[0] > 98) for row in said)
        assert not any(finding.kind in {"flag", "outside"} for finding in found.findings)
    if found.summary == "within":
        assert not any(row.crossing for row in found.rows)
    for row in found.rows:
        named = [finding for finding in found.findings if row.parameter in finding.rests_on]
        if row.position in {"low", "high"}:
            assert row in main_rows(found, given)
            assert any(finding.facts.get("direction") == row.position for finding in named), row.parameter
        for finding in named:
            assert finding.kind != "normal_for_age" or row.position == "normal"
            assert finding.kind != "outside" or row.position in {"low", "high"} or row.refused == "superior_axis"
            sentence = wording.sentence(finding, found.age, "en")
            for code in set(row.warnings) - {"extrapolated", "unverified"}:
                if finding.rests_on[0] == row.parameter and not finding.code.endswith("superior"):
                    assert wording.words("en")["warnings"][code] in sentence


@settings(max_examples=12, deadline=None)
@drawn(assessed(), st.sampled_from(["en", "zh", "de"]))
def test_terminal_page_and_json_say_the_same_as_a_whole(case, language):
    given, found = case
    console = Console(width=500, record=True, file=io.StringIO(), color_system=None)
    show(found, given, console, "child.hea", language)
    shown = console.export_text()
    page = html.unescape(measure_page(spikes(STANDARD), given, found, language).to_html())
    plain = to_dict(found, given)
    sentences = wording.words(language)["summary"]
    assert plain["summary"]["code"] == found.summary
    assert plain["summary"]["sentence"][language] == sentences.get(found.summary, "")
    for code, sentence in sentences.items():
        assert (sentence in shown) == (sentence in page) == (code == found.summary)
    for row in main_rows(found, given):
        for text in (wording.result_text(row, language), wording.interval_text(row)):
            assert text in shown
            assert text in page
    for finding in found.findings:
        assert wording.sentence(finding, found.age, language) in page


def test_the_age_from_term_on_terminal_page_and_json(tmp_path):
    header = write_wfdb(tmp_path / "r", heart(5000), STANDARD, comments=["Age: 100 d", "GA: 30+0"])
    plain = json.loads(auricle("measure", header, "--json").stdout)
    assert (plain["age_days"], plain["gestation_days"], plain["compared_age_days"]) == (100, 210, 30)
    page = tmp_path / "page.html"
    for language, word in (("en", "corrected age of 4.3 wk"), ("de", "korrigierten Alter"), ("zh", "矫正年龄")):
        assert word in auricle("measure", header, "--lang", language, "--page", page).stdout
        assert word in page.read_text(encoding="utf-8")
    given = auricle("measure", header, "--gestation", "29+0", "--json")
    assert "the gestation given (29+0 weeks) is used; the file says 30+0" in " ".join(json.loads(given.stdout)["notes"])
    early = auricle("measure", header, "--age", "3wk", "--page", page).stdout
    assert "not yet at term" in early
    assert "not yet at term" in page.read_text(encoding="utf-8")
    refused(auricle("measure", header, "--gestation", "3d"), "gestational age")
    refused(auricle("measure", header, "--age", "0"), "write 0d")


def test_many_files_are_measured_and_one_that_cannot_be_read_stops_nothing(folder, tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and no more")
    files = [folder / "twelve.npz", broken, tmp_path / "absent.hea", folder / "six.npz"]
    done = auricle("measure", *files, "--age", "3d", "--json")
    assert done.returncode == 2
    plain = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["path"] for one in plain] == [str(file) for file in files]
    assert [one.get("file") for one in plain] == ["twelve.npz", None, None, "six.npz"]
    assert ["broken.npz" in plain[1]["error"], "no such file" in plain[2]["error"]] == [True, True]
    said = [line for line in done.stderr.splitlines() if line.startswith("auricle: ") and "note:" not in line]
    assert len(said) == 2
    assert "broken.npz" in said[0]
    assert "absent.hea" in said[1]
    shown = auricle("measure", files[0], files[3], "--age", "3d")
    assert shown.returncode == 0
    assert shown.stdout.index("twelve.npz: 3 d") < shown.stdout.index("six.npz: 3 d")
    alone = auricle("measure", files[3], "--age", "3d", "--json")
    assert json.loads(alone.stdout) | {"time": ""} == plain[3] | {"time": ""}


@pytest.mark.parametrize("option", ["--page", "--ages-figure"])
def test_what_shows_one_recording_takes_one_file(folder, tmp_path, option):
    made = tmp_path / ("a.html" if option == "--page" else "a.png")
    refused(auricle("measure", folder / "six.npz", folder / "one.npz", option, made), option, "one file")
    assert not made.exists()


def test_a_bar_leaves_what_is_printed_where_it_belongs(folder, tmp_path):
    """With a terminal on standard error and many files, JSON goes to standard output and to nowhere else."""
    code = "from auricle.cli import main; main()"
    command = [sys.executable, "-c", code, "measure", *[str(folder / "one.npz")] * 31, "--age", "3d", "--json"]
    screen, terminal = os.openpty()
    with (tmp_path / "out.jsonl").open("w") as out, subprocess.Popen(command, stdout=out, stderr=terminal) as running:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal ends with the process
            while part := os.read(screen, 1 << 16):
                shown += part
    os.close(screen)
    assert running.returncode == 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 31
    assert b"measure" in shown
    assert b"heart_rate" not in shown


def test_what_a_reader_repaired_is_on_the_page_and_in_json(folder, tmp_path):
    with np.load(folder / "twelve.npz") as twelve:
        signal = np.concatenate([twelve["signal"], np.sin(np.arange(twelve["signal"].shape[1]) / 50)[None]])
        names = [*twelve["leads"].tolist(), "PLETH"]
        np.savez(tmp_path / "more.npz", signal=signal, rate_hz=twelve["rate_hz"], leads=names)
    done = auricle("measure", tmp_path / "more.npz", "--age", "3d", "--json", "--page", tmp_path / "more.html")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)["notes"]
    assert any("PLETH" in note for note in notes)
    page = html.unescape((tmp_path / "more.html").read_text())
    assert all(f"While reading: {note}" in page for note in notes)
    assert "PLETH" in done.stderr


def test_a_right_sided_lead_is_on_the_terminal_and_on_the_page(folder, tmp_path):
    with np.load(folder / "twelve.npz") as twelve:
        v1 = twelve["signal"][twelve["leads"].tolist().index("V1")]
        signal, names = np.concatenate([twelve["signal"], 0.7 * v1[None]]), [*twelve["leads"].tolist(), "V4R"]
        np.savez(tmp_path / "right.npz", signal=signal, rate_hz=twelve["rate_hz"], leads=names)
    shown = auricle("measure", tmp_path / "right.npz", "--age", "3d", "--page", tmp_path / "right.html")
    assert "R in V4R" in shown.stdout
    assert "S in V4R" in shown.stdout
    page = (tmp_path / "right.html").read_text()
    assert "R in V4R" in page
    assert '<th scope="row">V4R</th>' in page
    one, more = (
        json.loads(auricle("measure", file, "--age", "3d", "--json").stdout)
        for file in (folder / "twelve.npz", tmp_path / "right.npz")
    )
    assert more["values"]["r_v4r"]["value"] == pytest.approx(0.7 * one["values"]["r_v1"]["value"], abs=0.02)
    assert {name: more["values"][name] for name in one["values"]} == one["values"]
    assert {key: more[key] for key in ("findings", "marks_ms", "quality", "remarks", "beats")} == {
        key: one[key] for key in ("findings", "marks_ms", "quality", "remarks", "beats")
    }


def test_a_drawing_higher_than_a_sheet_is_shrunk_in_print_and_says_so():
    given = with_beat(("I",))
    low = measure_page(spikes(), given, assess(given, parse("3d"), "M")).to_html()
    tall = replace(spikes(STANDARD), signal=spikes(STANDARD).signal * 4)
    high = measure_page(tall, given, assess(given, parse("3d"), "M")).to_html()
    said = wording.words("en")["table"]["shrunk"]
    assert said not in low.partition("<body>")[2]
    assert f'<strong class="print">{said}</strong>' in high
    assert ".print { display: none; }" in high


@pytest.mark.parametrize(("value", "shape"), [("normal", "<circle"), ("high", "<path"), (None, "<rect")])
def test_marks_of_a_page_differ_by_shape(value, shape):
    given = measured()
    row = next(row for row in assess(given, parse("3d"), "F").rows if row.position == "normal")
    moved = {
        "normal": row,
        "high": replace(row, z=3.0),
        None: replace(row, measured=replace(row.measured, bound="above")),
    }
    drawn = bar_svg(moved[value])
    kind = {"normal": "normal", "high": "outside", None: "open"}[value]
    assert re.findall(r'(<\w+) class="(?:normal|outside|open)"', drawn)[-1] == shape
    assert f'class="{kind}"' in drawn


def test_the_figure_of_ages_marks_what_lies_beyond_its_scale():
    values = measured({**NEWBORN, "heart_rate": (290.0, 2.0)})
    drawn = ages_figure(spikes(("I", "V1", "V6")), values)
    marks = [line.get_marker() for axes in drawn.axes for line in axes.get_lines()]
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts] + [text.get_text() for text in drawn.texts]
    assert ">" in marks
    assert any(re.fullmatch(r"\+\d+", text) for text in texts)
    assert wording.words("en")["ages"]["beyond"] in texts
    inside = ages_figure(spikes(("I", "V1", "V6")), measured(), (parse("3d"),))
    assert wording.words("en")["ages"]["beyond"] not in [text.get_text() for text in inside.texts]


def test_no_trace_of_the_figure_of_ages_is_cut_off_unsaid():
    for factor, cut in ((1, False), (3, False), (8, True)):
        recording = replace(spikes(("I",)), signal=spikes(("I",)).signal * factor)
        axes = ages_figure(recording, measured()).axes[0]
        assert (axes.get_ylim()[1] > factor) != cut
        said = [text.get_text() for text in axes.texts]
        assert any(wording.words("en")["sheet"]["cut"] in text for text in said) == cut


def test_what_the_cart_measured_stands_beside_ours(tmp_path):
    eight = newborn().signal[[STANDARD.index(lead) for lead in carts.EIGHT]]
    path = carts.muse(tmp_path / "m.xml", np.rint(eight * 200).astype(int), per_count="5", rate_hz=500)
    shown = auricle("measure", path)
    assert "by the cart: heart rate 150, PR 98, QRS 56, QT 262" in " ".join(shown.stdout.split())
    plain = json.loads(auricle("measure", path, "--json").stdout)
    assert (plain["cart"]["qrs"], plain["cart"]["rr"]) == (56, None)
    auricle("measure", path, "--out", tmp_path / "t.csv", "--page", tmp_path / "p.html", "--lang", "zh")
    head, line = (tmp_path / "t.csv").read_text().splitlines()[:2]
    assert dict(zip(head.split(","), line.split(","), strict=False))["qrs_cart"] == "56.0"
    assert "心电图机" in (tmp_path / "p.html").read_text()
