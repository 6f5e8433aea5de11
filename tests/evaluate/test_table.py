"""Tables: the sanity rows cannot be left out, what is not comparable says so, and the published numbers are exact."""

import csv
import io
import math
import re
from pathlib import Path

import pytest

from auricle.atomic import write_json
from auricle.errors import DataError
from auricle.evaluate import table
from auricle.evaluate.main_table import main_table, task_by_task
from running import auricle, refused

TASK = "ptb_xl/form"


def result(value=0.8, method="lisa", fraction=0.01, seed=0, protocol="linear_probe", n_records=880, **meta):
    interval = {"value": value, "low": value and value - 0.02, "high": value and value + 0.03}
    facts = {"task": TASK, "preset": "", "track": "clean", "overlap": False}
    return {
        "meta": facts | {"protocol": protocol, "method": method, "fraction": fraction, "seed": seed} | meta,
        "n_records": n_records, "n_patients": 850, "n_classes": 19, "n_skipped": 1, "skipped": ["LPR"],
        "macro": {"auroc": interval, "auprc": interval},
    }  # fmt: skip


def cells(built, name):
    return dict(zip(built.header, next(row for row in built.rows if row[0].startswith(name)), strict=True))


def test_a_cell_is_mean_deviation_and_interval_over_seeds():
    built = table.build([result(0.80), result(0.82, seed=1), result(0.84, seed=2)], TASK)
    assert cells(built, "lisa")["1 %"] == "82.0 ± 2.0 [80.0, 85.0]"
    assert cells(built, "lisa")["10 %"] == "not run"
    assert "0, 1, 2" in built.notes[0]


def test_sanity_rows_are_always_there_and_first():
    built = table.build([result(), result(method="supervised", fraction=1.0)], TASK)
    assert [row[0] for row in built.rows] == ["class_prior", "random_encoder", "rocket", "supervised", "lisa"]
    assert set(cells(built, "class_prior").values()) == {"class_prior", "not run", "–"}
    assert cells(built, "supervised")["100 %"].startswith("80.0")
    assert len(table.build([], TASK).rows) == 4


def test_zero_shot_and_other_protocols_keep_to_their_columns():
    zero = result(0.7, fraction=None, protocol="zero_shot")
    tuned = result(0.9, protocol="finetune")
    probed = table.build([zero, tuned], TASK, protocols=["linear_probe"])
    assert cells(probed, "lisa")["zero-shot"].startswith("70.0")
    assert cells(probed, "lisa")["1 %"] == "not run"
    both = table.build([zero, tuned, result(0.8)], TASK)
    assert cells(both, "lisa (fine-tuned)")["1 %"].startswith("90.0")
    assert [row[1][:4] for row in both.rows if row[0] == "lisa"] == ["80.0"]


def test_presets_and_tracks_are_rows_of_their_own():
    built = table.build([result(), result(preset="small"), result(track="legacy")], TASK)
    assert [row[0] for row in built.rows[4:]] == ["lisa", "lisa [legacy]", "lisa (small)"]


def test_what_saw_the_test_signals_is_flagged():
    built = table.build([result(), result(method="mirage", overlap=True)], TASK)
    assert cells(built, "mirage")["saw test signals"] == "**yes**"
    assert cells(built, "lisa")["saw test signals"] == "no"


def test_rows_that_were_asked_by_other_definitions_of_a_task_are_told():
    one, other, published = (
        {"classes": {"RVH": {"n_positive": n, "n": 50}, "NORM": {"n_positive": 9, "n": 40}}} for n in (14, 18, 20)
    )
    rows = [result() | one, result(method="merl") | other, result(method="mae", track="legacy") | published]
    caption = table.build(rows, TASK).caption
    assert "WARNING: the rows do not share one truth: RVH 14 of 50 or 18 of 50." in caption
    assert "WARNING" not in table.build([rows[0], rows[2]], TASK).caption


def test_the_caption_counts_and_warns():
    assert "880 test records of 850 patients, 18 of 19 classes" in table.build([result()], TASK).caption
    assert "WARNING" in table.build([result(), result(method="mirage", n_records=800)], TASK).caption
    assert "nothing was run" in table.build([result()], "csn").caption
    assert "LPR" in table.build([result()], TASK).to_markdown()


def test_a_copy_is_no_further_seed():
    seeds = [result(0.80), result(0.82, seed=1)]
    twice = table.asked_of([*seeds, *seeds, result(0.80)], TASK)
    assert twice == seeds
    assert cells(table.build(twice, TASK), "lisa")["1 %"].startswith("81.0 ± 1.4")


def test_few_test_patients_are_a_rehearsal():
    few = result() | {"n_patients": 7}
    (said,) = [note for note in table.build([few], TASK).notes if "rehearsal" in note]
    assert said.startswith("7 test patients")
    assert not [note for note in table.build([result()], TASK).notes if "rehearsal" in note]
    macro, sizes = result()["macro"], {"1-3 yr": 9, "65+ yr": 90}
    bands = [{"name": name, "n_records": n, "n_patients": n, "macro": macro} for name, n in sizes.items()]
    notes = table.band_table([result(fraction=1.0) | {"bands": bands}], TASK).notes
    assert [note for note in notes if note.endswith("too narrow: 1-3 yr.")]


def test_classes_without_a_threshold_are_named_where_one_is_needed():
    unchosen = result() | {"unchosen": ["PACE", "LPR"]}
    unchosen["macro"]["f1"] = unchosen["macro"]["auroc"]
    said = "No positive to choose a threshold by, and left out of the mean as well: PACE."
    assert said in table.build([unchosen], TASK, metric="f1").notes
    assert said not in table.build([unchosen], TASK).notes
    unchosen["macro"]["accuracy"] = unchosen["macro"]["auroc"]
    assert said in table.build([unchosen], TASK, metric="accuracy").notes
    one_of_all = unchosen | {"meta": unchosen["meta"] | {"answers": "single_label"}}
    assert said not in table.build([one_of_all], TASK, metric="accuracy").notes, "the highest score needs none"


def test_an_undefined_value_is_not_called_missing():
    assert cells(table.build([result(None)], TASK), "lisa")["1 %"] == "undefined"


def test_markdown_has_one_cell_for_each_column():
    text = table.to_markdown([result(preset="a|b")], TASK, published=True)
    lines = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert table.PUBLISHED_NOTE in text
    assert "*MELP (Ours)* | *63.41* | *76.71* | *83.30* |" in text


def test_published_numbers_are_complete_and_plausible():
    tasks = ["ptb_xl/rhythm", "ptb_xl/sub", "ptb_xl/form", "ptb_xl/super", "cpsc2018", "csn"]
    for task in tasks:
        rows = {row.method: row.auroc for row in table.published_rows(task)}
        assert len(rows) == (15 if task == "csn" else 16)
        assert all(40 < value < 100 for numbers in rows.values() for value in numbers.values())
        assert all(set(numbers) == {0.01, 0.1, 1.0} for name, numbers in rows.items() if name != "supervised CNN")
    # A few numbers, and the sum of a column, taken from the printed table.
    assert {row.method: row.auroc[0.1] for row in table.published_rows("csn")}["MERL"] == 82.74
    assert {row.method: row.auroc[0.01] for row in table.published_rows("ptb_xl/rhythm") if 0.01 in row.auroc}[
        "BYOL"
    ] == 41.99
    assert {row.method: row.auroc[1.0] for row in table.published_rows("ptb_xl/form")}["ECGFM"] == 85.54
    assert math.isclose(sum(row.auroc.get(0.01, 0) for row in table.published_rows("csn")), 908.77, abs_tol=0.005)


def test_published_rows_are_not_offered_where_there_are_none():
    with pytest.raises(DataError, match="no published rows"):
        table.build([], "zzu_pecg/aha", published=True)
    with pytest.raises(DataError, match="linear-probe AUROC"):
        table.build([], TASK, metric="auprc", published=True)


def test_collect_reads_every_result_under_a_folder(tmp_path):
    write_json(tmp_path / "b" / "result.json", result(0.8))
    write_json(tmp_path / "a" / "deep" / "result.json", result(0.7, seed=1))
    assert [r["macro"]["auroc"]["value"] for r in table.collect(tmp_path)] == [0.7, 0.8]
    with pytest.raises(DataError, match=r"no result\.json"):
        table.collect(tmp_path / "nothing")
    (tmp_path / "result.json").write_text('{"meta": {}}')
    with pytest.raises(DataError, match="not a result"):
        table.collect(tmp_path)


def test_csv_gives_every_number_a_column_of_its_own():
    built = table.build([result(0.80), result(0.82, seed=1), result(preset="a,b")], TASK)
    rows = list(csv.DictReader(io.StringIO(built.to_csv())))
    assert [row["method"] for row in rows] == [*table.SANITY_ROWS, "lisa", "lisa (a,b)"]
    (ours,) = (row for row in rows if row["method"] == "lisa")
    assert [ours[f"1 %{part}"] for part in ("", " sd", " low", " high")] == ["81.0", "1.4", "79.0", "84.0"]
    assert rows[0]["1 %"] == table.NOT_RUN
    assert "10 % sd" not in rows[0]


def test_latex_has_one_cell_for_each_column_and_no_bare_letters():
    text = table.build([result(preset="a_b&c", overlap=True)], TASK, published=True).to_latex()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {len(table.FRACTIONS) + 2}
    assert r"lisa (a\_b\&c)" in text
    assert r"\textbf{yes}" in text
    assert r"\emph{MELP (Ours)}" in text
    assert not re.search(r"(?<!\\)[%_#]", text)
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_a_task_without_results_is_named_beside_those_there_are():
    with pytest.raises(DataError, match="no result of the task mine; there are results of ptb_xl/form"):
        table.asked_of([result()], "mine")


def banded(values, **about):
    """A result with a value in some age bands, of 10 records each."""
    bands = [
        {"name": name, "n_records": 10, "macro": {metric: {"value": value, "low": value and value - 0.1, "high": 1.0}
         for metric in ("auroc", "auprc")}}
        for name, value in values.items()
    ]  # fmt: skip
    return result(fraction=about.pop("fraction", 1.0), **about) | {"bands": bands}


def test_by_age_has_a_column_for_each_band_with_records():
    newborns, adults = "0-3 d", "40-65 yr"
    rows = [
        banded({newborns: 0.6, adults: 0.9}),
        banded({newborns: 0.8, adults: 0.9}, seed=1),
        banded({newborns: None, adults: 0.7}, method="rocket"),
        banded({newborns: 0.5, adults: 0.6}, protocol="zero_shot", fraction=None),
        banded({newborns: 0.1, adults: 0.1}, fraction=0.1),  # of a tenth of the patients: not shown
    ]
    built = table.band_table(rows, TASK)
    assert built.header == ("method", "0-3 d (n=10)", "40-65 yr (n=10)")
    assert [row[0] for row in built.rows] == ["rocket", "lisa", "lisa, zero-shot"]
    assert cells(built, "lisa")["0-3 d (n=10)"] == "70.0 ± 14.1 [60.0, 100.0]"
    assert cells(built, "rocket")["0-3 d (n=10)"] == "undefined"
    with pytest.raises(DataError, match="auprc"):
        table.band_table(rows, TASK, metric="f1")
    with pytest.raises(DataError, match="zero-shot"):
        table.band_table([result()], TASK)


def test_two_kinds_of_accuracy_are_not_set_side_by_side_without_a_word():
    other = result(method="rocket", fraction=1.0)
    one = result(method="mirage", fraction=1.0, answers="single_label")
    for each in (one, other):
        each["macro"]["accuracy"] = {"value": 0.5, "low": 0.4, "high": 0.6}
    assert any("not comparable" in note for note in table.build([one, other], TASK, metric="accuracy").notes)
    assert not any("not comparable" in note for note in table.build([one], TASK, metric="accuracy").notes)
    assert not any("not comparable" in note for note in table.build([one, other], TASK).notes)


class TestTheMainTable:
    def result(self, method: str, task: str, fraction: float | None, value: float, track: str = "clean") -> dict:
        protocol = "zero_shot" if fraction is None else "linear_probe"
        meta = {"method": method, "preset": "", "task": task, "fraction": fraction, "protocol": protocol, "seed": 0}
        entry = {"value": value, "low": value - 0.01, "high": value + 0.01}
        return {"meta": {**meta, "track": track}, "macro": {"auroc": entry}, "n_records": 9}

    def test_without_results_it_is_the_published_one_with_ours_as_not_run(self) -> None:
        table = main_table(())
        rows = {row[0]: row[1:] for row in table.rows}
        assert len(table.header) == 1 + 6 * 4
        assert rows["*MELP (Ours)*"][:4] == ("*88.83*", "*94.65*", "*96.91*", "–"), "as the document calls it"
        assert rows["*MERL (Liu et al., 2024a)*"][-4:] == ("*66.60*", "*82.74*", "*87.95*", "–")
        assert len([name for name in rows if name.startswith("*")]) == 16
        for name in ("lisa", "mirage", "ls_emvae", "cg_dmer", "acl_ecg", "merl", "class_prior", "rocket", "supervised"):
            assert set(rows[name]) == {"not run"}

    def test_what_was_run_stands_in_its_column_and_track(self) -> None:
        results = [
            self.result("lisa", "csn", 0.1, 0.8), self.result("lisa", "ptb_xl/form", None, 0.7),
            self.result("lisa", "csn", 0.1, 0.9, "legacy"), self.result("lisa", "ptb_xl_mini/super", 0.1, 0.6),
        ]  # fmt: skip
        columns = {track: cells(main_table(results, track), "lisa") for track in ("clean", "legacy")}
        assert columns["clean"]["CSN 10 %"] == "80.0 [79.0, 81.0]"
        assert columns["clean"]["PTBXL-Form zero-shot"] == "70.0 [69.0, 71.0]"
        assert columns["legacy"]["CSN 10 %"] == "90.0 [89.0, 91.0]"
        assert [sum(cell == "not run" for cell in one.values()) for one in columns.values()] == [22, 23]
        with pytest.raises(DataError, match="no track 'dirty'"):
            main_table((), "dirty")

    def test_rows_that_saw_the_test_are_named(self) -> None:
        seen = self.result("merl", "csn", 0.1, 0.8)
        seen["meta"]["overlap"] = True
        assert "merl (csn)" in main_table([seen]).notes[0]
        assert not any("may have seen" in note for note in main_table([self.result("merl", "csn", 0.1, 0.8)]).notes)

    def test_in_markdown_it_is_task_by_task(self) -> None:
        text = task_by_task(main_table([self.result("lisa", "csn", 0.1, 0.8)]))
        assert text.count("| method | 1 % | 10 % | 100 % | zero-shot |") == 6
        assert "| lisa | not run | 80.0 [79.0, 81.0] | not run | not run |" in text.split("**CSN**")[1]
        assert "supervised CNN" not in text.split("**CSN**")[1], "nothing was published of it there"

    def test_the_command_line(self, tmp_path: Path) -> None:
        assert "MELP (Ours)" in auricle("table", "main").stdout
        written = tmp_path / "main.csv"
        assert not auricle("table", "main", "--track", "legacy", "--format", "csv", "--out", written).returncode
        assert len(written.read_text().splitlines()) == 1 + 16 + 4 + 6 + 13
        refused(auricle("table", "main", "--by-age"), "leave out --by-age")
        refused(auricle("table", tmp_path, tmp_path), "one folder is enough")
        refused(auricle("table", "main", tmp_path / "nowhere"), "no result.json")
