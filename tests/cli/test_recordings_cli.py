"""measure and predict are given many recordings: files, folders and manifests, into JSON lines and tables."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console

from auricle.age import parse
from auricle.cli.predict import show
from auricle.io import read
from auricle.leads import STANDARD
from auricle.methods import create_method, save_method
from auricle.paediatrics.languages import translated
from auricle.pages.prediction import prediction_page
from auricle.predict import Predictor
from auricle.simulate.cohort import cohort
from fakes import write_wfdb
from running import auricle, refused
from schema import faults

VERBS = ("measure", "predict")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people as files in folders, with a manifest that knows their ages, and what is no recording."""
    root = tmp_path_factory.mktemp("clinic")
    (root / "files" / "b").mkdir(parents=True)
    ages = [3.0, 1500.0, 9000.0]
    people = list(cohort(3, 5, ages=ages, diagnoses={}, rate_hz=250, seconds=5, quality="clean").recordings())
    for name, one in zip(("a.npz", "b/c.npz"), people[:2], strict=True):
        np.savez(root / "files" / name, signal=one.signal, rate_hz=one.rate_hz, leads=list(one.leads))
    write_wfdb(root / "files" / "b" / "d", np.nan_to_num(people[2].signal), people[2].leads, rate_hz=250)
    (root / "files" / "letter.txt").write_text("Dear colleague")
    (root / "files" / ".hidden.npz").write_bytes(b"no recording")
    lines = ["file,record_id,age,sex", "files/a.npz,first,3d,F", "files/b/c.npz,,4yr,M", "files/b/d,third,,"]
    (root / "records.csv").write_text("\n".join(lines))
    return root


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_stands_for_the_recordings_in_it(clinic: Path, verb: str) -> None:
    done = auricle(verb, clinic / "files", "--json")
    assert done.returncode == 0, done.stderr
    found = [Path(one["path"]).relative_to(clinic / "files").as_posix() for one in json_lines(done.stdout)]
    assert found == ["a.npz", "b/c.npz", "b/d.hea"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_manifest_gives_ages_sex_and_names(clinic: Path, verb: str) -> None:
    done = auricle(verb, "records.csv", "--json", cwd=clinic)
    assert done.returncode == 0, done.stderr
    plain = json_lines(done.stdout)
    assert [one["record_id"] for one in plain] == ["first", "c", "third"]
    assert [one["age_days"] for one in plain] == pytest.approx([3, 4 * 365.25 + (verb == "predict") * 365.25 / 2, None])
    alone = auricle(verb, "files/a.npz", "--age", "3d", "--sex", "F", "--json", cwd=clinic)
    values = "values" if verb == "measure" else "kind"
    assert json.loads(alone.stdout)[values] == plain[0][values]
    if verb == "measure":
        assert [one["sex"] for one in plain] == ["F", "M", None]
    else:
        assert json.loads(alone.stdout)["scores"] == pytest.approx(plain[0]["scores"], abs=1e-5)
    given = json_lines(auricle(verb, "records.csv", "--age", "400d", "--json", cwd=clinic).stdout)
    answered = [one for one in given if "error" not in one]
    assert {one["age_days"] for one in answered} == {400}, "what the caller says goes before the manifest"
    # The weights may find that an age cannot be; a measurement asks nobody.
    assert len(answered) == 3 if verb == "measure" else len(answered) >= 1
    assert all("does not fit" in one["error"] for one in given if "error" in one)


@pytest.mark.parametrize("verb", VERBS)
def test_what_fails_is_a_line_of_its_own_and_stops_nothing(clinic: Path, tmp_path: Path, verb: str) -> None:
    shutil.copytree(clinic, tmp_path / "c")
    (tmp_path / "c" / "files" / "b" / "c.npz").write_bytes(b"PK\x03\x04 and no more")
    lines = (tmp_path / "c" / "records.csv").read_text() + "\nfiles/gone.npz,,3d,F\nfiles/x.npz,,Mrs Miller,F"
    (tmp_path / "c" / "records.csv").write_text(lines)
    out = tmp_path / "out.csv"
    done = auricle(verb, "records.csv", "absent", "--json", "--out", out, cwd=tmp_path / "c")
    assert done.returncode == 2
    plain = json_lines(done.stdout)
    assert [one["record_id"] for one in plain] == ["first", "c", "third", "gone", "x", "absent"]
    assert ["error" in one for one in plain] == [False, True, False, True, True, True]
    assert "c.npz" in plain[1]["error"]
    assert "records.csv:5" in plain[3]["error"]
    assert "records.csv:6" in plain[4]["error"]
    assert "Miller" not in done.stdout + done.stderr
    rows = table(out)
    assert [row["record_id"] for row in rows] == [one["record_id"] for one in plain]
    assert [bool(row["error"]) for row in rows] == ["error" in one for one in plain]
    assert "6 recordings, 4 of them without an answer" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_several_processes_say_what_one_says(clinic: Path, tmp_path: Path, verb: str) -> None:
    """Answers, refusals, errors and notes, in the order in which they were given."""
    (tmp_path / "broken.npz").write_bytes(b"no recording")
    noise = np.random.default_rng(0).normal(size=(12, 2500))
    np.savez(tmp_path / "noise.npz", signal=noise, rate_hz=250, leads=list(STANDARD))
    given = [str(path) for path in (clinic / "records.csv", tmp_path / "broken.npz", tmp_path / "noise.npz", clinic)]
    one, two = (auricle(verb, *given, "--json", "--workers", n) for n in ("1", "2"))
    assert one.returncode == two.returncode == 2
    first, second = ([{**line, "time": ""} for line in json_lines(done.stdout)] for done in (one, two))
    assert len(first) == 8
    assert first == second
    assert sorted(one.stderr.splitlines()) == sorted(two.stderr.splitlines())


def test_a_table_has_the_numbers_of_json(clinic: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    for verb, column, number in (
        ("measure", "qrs", lambda one: one["values"]["qrs"]["value"]),
        ("measure", "qrs_centile", lambda one: one["values"]["qrs"]["centile"]),
        ("predict", "score_RVH", lambda one: one["scores"]["RVH"]),
        ("predict", "without_age_RVH", lambda one: one["scores_without_age"]["RVH"]),
    ):
        out, parquet = tmp_path / f"{verb}.csv", tmp_path / f"{verb}.parquet"
        done = auricle(verb, "records.csv", "--json", "--out", out, cwd=clinic)
        assert done.returncode == 0, done.stderr
        wanted = [number(one) for one in json_lines(done.stdout)]
        assert [float(row[column]) if row[column] else None for row in table(out)] == wanted
        made = auricle(verb, "records.csv", "--out", parquet, cwd=clinic)
        assert made.stdout == f"{parquet}: 3 recordings\n", "a table is not printed as well"
        read = pandas.read_parquet(parquet)
        assert list(read.columns) == list(table(out)[0])
        np.testing.assert_allclose(
            read[column].to_numpy(float), np.array([np.nan if one is None else one for one in wanted]), atol=1e-5
        )
        assert read["path"].tolist() == ["files/a.npz", "files/b/c.npz", "files/b/d"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_line_is_as_the_schema_says(clinic: Path, tmp_path: Path, verb: str) -> None:
    schema = json.loads(auricle(verb, "--schema").stdout)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", signal=rng.normal(size=(2, 2500)), rate_hz=250, leads=["I", "II"])
    np.savez(tmp_path / "V4R.npz", signal=np.load(clinic / "files" / "a.npz")["signal"][:1], rate_hz=250, leads=["V4R"])
    before = datetime.now(UTC).replace(microsecond=0)
    done = auricle(verb, clinic / "records.csv", tmp_path, clinic / "absent.hea", "--json")
    assert done.returncode == 2
    plain = json_lines(done.stdout)
    assert len(plain) == 6
    results, failures = schema["$defs"]["result"], schema["$defs"]["failure"]
    for one in plain:
        kind = failures if "error" in one else results
        assert not list(faults(one, schema, schema))
        assert not list(faults(one, kind, schema))
        assert set(one) <= set(kind["properties"]), "a key that the schema does not describe"
        assert one["program"] == "auricle"
        assert one["version"] == auricle("--version").stdout.split()[1]
        assert before <= datetime.fromisoformat(one["time"]) <= datetime.now(UTC)
        assert one["time"].endswith("Z")
    good = next(one for one in plain if "error" not in one)
    assert list(faults({**good, "age_days": "3d"}, results, schema)), "the check can fail"
    assert list(faults({name: value for name, value in good.items() if name != "quality"}, schema, schema))
    if verb == "predict":
        assert any("refused" in one for one in plain)


@pytest.mark.parametrize("verb", VERBS)
def test_a_table_that_cannot_be_written_is_refused_before_the_work(clinic: Path, tmp_path: Path, verb: str) -> None:
    one = clinic / "files" / "a.npz"
    refused(auricle(verb, one, "--out", tmp_path / "a.xlsx"), ".csv or .parquet")
    (tmp_path / "b.csv").mkdir()
    refused(auricle(verb, one, "--out", tmp_path / "b.csv"), "is a folder")
    (tmp_path / "empty").mkdir()
    refused(auricle(verb, tmp_path / "empty"), "no recording in this folder")
    (tmp_path / "bad.csv").write_text("file,agee\na.hea,3d\n")
    refused(auricle(verb, "bad.csv", "--out", "./bad.csv", cwd=tmp_path), "give another name")
    refused(auricle(verb, ".", cwd=tmp_path / "empty"), "no recording in this folder")
    refused(auricle(verb, tmp_path / "bad.csv"), "did you mean 'age'")


def test_what_is_read_is_never_replaced(clinic: Path, tmp_path: Path) -> None:
    picture, listed = tmp_path / "a.png", tmp_path / "records.csv"
    shutil.copy(clinic / "files" / "a.npz", tmp_path / "a.npz")
    picture.write_bytes(b"a picture")
    listed.write_text("file\na.npz\n")
    shutil.copy(clinic / "files" / "a.npz", tmp_path / "one.dcm")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused(auricle("measure", tmp_path / "one.dcm", "--sr", tmp_path / "one.dcm"), "--sr", "is read here")
    refused(auricle("measure", listed, "--out", tmp_path / "." / "records.csv"), "--out", "is read here")
    refused(auricle("predict", listed, "--out", listed), "--out", "is read here")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bundle_of_a_run_that_broke_off_is_not_written(tmp_path: Path) -> None:
    from auricle.cli.bundles import bundles_into

    place = tmp_path / "a.ndjson"

    def ended_by(end: BaseException) -> None:
        with bundles_into(place, 3, with_table=False) as keep:
            keep({"resourceType": "Bundle"})
            raise end

    with pytest.raises(KeyboardInterrupt):
        ended_by(KeyboardInterrupt())
    assert not place.exists()
    with pytest.raises(typer.Exit):
        ended_by(typer.Exit(2))  # one of the three could not be read
    assert len(json_lines(place.read_text())) == 1


def test_a_place_that_is_taken_is_said_in_one_line(clinic: Path, tmp_path: Path) -> None:
    taken, one = tmp_path / "taken", clinic / "files" / "a.npz"
    taken.write_text("a letter")
    for option in (("--out", taken / "x.csv"), ("--page", taken / "x.html"), ("--fhir", taken / "x.json")):
        refused(auricle("measure", one, *option), option[0], "taken is a file; name a folder")
    refused(auricle("measure", one, "--out", taken / "x.csv", "--executor", "processes"), "is a file")
    refused(auricle("norms", "fit", clinic / "records.csv", taken / "x.json"), "is a file")
    refused(auricle("audit", "lisa-nano", clinic / "records.csv", "--task", "ecg/findings", "--out", taken), "taken")
    refused(auricle("ingest", "manifest", clinic / "records.csv", taken), "taken", "name another place")
    assert taken.read_text() == "a letter"


def test_a_page_is_not_promised_where_a_table_alone_is_made(clinic: Path, tmp_path: Path) -> None:
    asked = (clinic / "files" / "a.npz", "--out", tmp_path / "t.csv", "--executor", "processes")
    for verb, option, name in (("measure", "--page", "p.html"), ("measure", "--ages-figure", "p.png"),
                               ("predict", "--page", "p.html")):  # fmt: skip
        refused(auricle(verb, *asked, option, tmp_path / name), option, "leave one of them out")
    assert not any(tmp_path.iterdir())


def test_weights_are_not_replaced_and_what_lies_beside_them_may_be(clinic: Path, tmp_path: Path) -> None:
    save_method(create_method("supervised", "tiny", classes=("A", "B")), tmp_path / "run" / "model")
    one = clinic / "files" / "a.npz"
    card = tmp_path / "run" / "model" / "auricle.json"
    before = card.read_bytes()
    refused(auricle("predict", one, "--weights", tmp_path / "run", "--fhir", card), "is read here")
    assert card.read_bytes() == before
    for _ in range(2):
        done = auricle("predict", one, "--weights", tmp_path / "run", "--out", tmp_path / "run" / "a.csv")
        assert not done.returncode, done.stderr


def test_what_is_of_one_recording_is_refused_for_many(clinic: Path, tmp_path: Path) -> None:
    refused(auricle("measure", clinic / "files", "--page", tmp_path / "a.html"), "--page", "one file")
    refused(auricle("predict", clinic / "records.csv", "--lab", "CRP<5"), "--lab", "lab:NAME")
    assert not list(tmp_path.iterdir())


def test_leads_and_ages_of_a_batch_stay_with_their_recording() -> None:
    people = list(cohort(5, 11, ages=[2.0, 40.0, 700.0, 4000.0, 20000.0], diagnoses={}, seconds=10).recordings())
    rows = [people[1].leads.index(lead) for lead in STANDARD[:6]]
    people[1] = replace(people[1], signal=people[1].signal[rows], leads=STANDARD[:6])
    people[2] = replace(people[2], signal=people[2].signal[:, :2500], age=None)
    predictor = Predictor.from_pretrained()
    together, alone = predictor(people), [predictor(one) for one in people]
    for one, other in zip(together, alone, strict=True):
        assert one.record_id == other.record_id
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert one.scores_without_age == pytest.approx(other.scores_without_age, abs=1e-5)
        assert one.group_contributions == pytest.approx(other.group_contributions, abs=1e-5)
        assert (one.leads_missing, one.n_windows, one.notes) == (other.leads_missing, other.n_windows, other.notes)
        for (days, scores), (same, others) in zip(one.age_effect, other.age_effect, strict=True):
            assert days == same
            assert scores == pytest.approx(others, abs=1e-5)
    assert together[1].leads_missing
    assert together[2].n_windows == 1
    assert predictor([]) == []


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("sinus rhythm", "records of simulated + ptb_xl", "that no training saw", "Research use")),
        ("de", ("Sinusrhythmus", "simulated + ptb_xl", "die in keinem Training waren", "keine Diagnose")),
        ("zh", ("窦性心律", "simulated + ptb_xl", "未用于训练的记录上测试", "仅供研究")),
    ],
)
def test_predict_says_what_classes_mean_and_what_the_weights_know(
    clinic: Path, tmp_path: Path, language: str, words: tuple[str, ...]
) -> None:
    page = tmp_path / "p.html"
    one = clinic / "files" / "a.npz"
    done = auricle("predict", one, "--age", "3d", "--lang", language, "--page", page)
    assert done.returncode == 0, done.stderr
    html = page.read_text(encoding="utf-8")
    said = "".join(done.stdout.split())
    for word in words:
        assert "".join(word.split()) in said
        assert word in html
    assert f'<html lang="{language}">' in html
    assert str(clinic) not in html
    assert "<script" not in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html), "it asks nothing of the network"
    scores = json.loads(auricle("predict", one, "--age", "3d", "--json").stdout)
    for name, score in scores["scores"].items():
        row = re.search(rf"<th scope=.row.>{name}</th>.*?</tr>", html)
        assert row
        assert f"<strong>{score:.2f}</strong>" in row[0]
        assert f">{scores['scores_without_age'][name]:.2f}<" in row[0]


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_the_table_of_scores_fits_a_terminal(clinic: Path, language: str) -> None:
    console = Console(width=80, record=True, file=io.StringIO(), color_system=None)
    predictor = Predictor.from_pretrained()
    prediction = predictor(read(clinic / "files" / "a.npz", age=parse("3d")))
    show(prediction, console, "a.npz", predictor.titles(language), language)
    assert "…" not in console.export_text()


def test_what_a_reader_should_know_is_said_in_the_language_that_was_asked(clinic: Path) -> None:
    predictor = Predictor.from_pretrained()
    whole = read(clinic / "files" / "a.npz")
    rows = [whole.leads.index(name) for name in ("I", "II", "V1")]
    recording = replace(whole, signal=whole.signal[rows, : round(3 * whole.rate_hz)], leads=("I", "II", "V1"))
    prediction = predictor(recording)
    assert len(prediction.notes) >= 3
    for language in ("de", "zh"):
        console = Console(width=200, record=True, file=io.StringIO(), color_system=None)
        show(prediction, console, "a.npz", predictor.titles(language), language)
        page = prediction_page(recording, prediction.to_dict(), {}, [], language).to_html()
        for note in prediction.notes:
            told = translated(note, language)
            assert told
            assert told != note
            assert told in console.export_text(clear=False)
            assert html.escape(told) in page


def test_weights_of_ones_own_know_their_classes_and_tests(tmp_path: Path) -> None:
    card = {"source": "manifest", "task": "mine", "n_records": 50, "titles": {"A": {"en": "a thing"}}}
    card |= {"tests": [{"source": "manifest", "n_records": 12, "auroc": {"A": 0.912}}]}
    card |= {"donor": {"source": "simulated", "n_records": 900}}
    save_method(create_method("supervised", "tiny", classes=("A", "B"), task="mine"), tmp_path, card)
    predictor = Predictor.from_pretrained(tmp_path)
    assert predictor.titles("de") == {"A": "a thing"}, "English where there are no other words"
    said = " ".join(predictor.knows())
    for word in ("50 records of manifest", "900 records of simulated", "12 records", "A 0.91"):
        assert word in said
    assert "simulated people only" not in said
    save_method(create_method("supervised", "tiny", classes=("A", "B")), tmp_path / "bare")
    assert "not kept" in " ".join(Predictor.from_pretrained(tmp_path / "bare").knows())


@pytest.mark.parametrize(
    ("absent", "arguments"),
    [
        ("matplotlib", ["measure", "files/a.npz", "--ages-figure", "made.png"]),
        ("matplotlib", ["check", "records.csv", "--page", "made.html"]),
        ("matplotlib", ["reconstruct", "files/a.npz", "--weights", "none", "--out", "made.png"]),
        ("pyarrow", ["measure", "records.csv", "--out", "made.parquet"]),
        ("pyarrow", ["predict", "records.csv", "--out", "made.parquet"]),
        ("pandas", ["ingest", "manifest", "records.csv", "made"]),
        ("PIL", ["predict", "files/a.npz", "--image", "files/letter.txt"]),
    ],
)
def test_a_missing_extra_names_itself(
    clinic: Path, monkeypatch: pytest.MonkeyPatch, absent: str, arguments: list[str]
) -> None:
    for name in [*sys.modules, absent]:
        if name.partition(".")[0] == absent:
            monkeypatch.setitem(sys.modules, name, None)
    refused(auricle(*arguments, cwd=clinic), absent, "is not installed: pip install 'auricle[")
    assert not list(clinic.glob("made*.*"))
