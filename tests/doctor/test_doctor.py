"""auricle check: every planted mistake is found with its line, what betrays age is measured, and nobody is named."""

from __future__ import annotations

import csv
import json
import time
import types
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from auricle.data.splits import by_patient
from auricle.doctor import Betrayal, Endpoint, Finding, Report, examine, half_width
from auricle.doctor.facts import split_of
from auricle.doctor.scan import scan
from auricle.errors import DataError
from auricle.leads import STANDARD
from auricle.pages.check import check_page
from fakes import heart, write_wfdb
from running import auricle

NINE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V5", "V6")
NAME = "mustermann"
REPORT = "sinus rhythm, right ventricular dominance, number {}"


def trace(seed: int, leads: Sequence[str] = STANDARD, rate_hz: int = 100) -> np.ndarray:
    return heart(4 * rate_hz, len(leads), seed, rate_hz)


def record(folder: Path, name: str, seed: int, leads: Sequence[str] = STANDARD, rate_hz: int = 100, **more) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_wfdb(folder / name, trace(seed, leads, rate_hz), leads, rate_hz, **more)
    return f"{name}.hea"


def write(folder: Path, rows: Sequence[dict[str, object]], header: Sequence[str] | None = None) -> Path:
    path = folder / "records.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header or list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(n: int, **more: object) -> list[dict[str, object]]:
    """Lines 2 to n + 1 without a mistake."""
    return [
        {"file": f"r{i}.hea", "patient_id": f"p{i}", "age": f"{i % 200 + 4}d", "sex": "FM"[i % 2],
         "report": REPORT.format(i), "labels": ("NORM", "RVH")[i % 3 == 0]} | more
        for i in range(n)
    ]  # fmt: skip


def named(report: Report, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert len(found) == 1, [(finding.code, finding.lines) for finding in report.findings]
    return found[0]


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def betrayal(report: Report, category: str, target: str) -> Betrayal:
    return next(one for one in report.betrayals if (one.category, one.target) == (category, target))


def test_a_clean_manifest_has_no_findings_and_exits_0(tmp_path: Path) -> None:
    rows = rows_of(12)
    for number, row in enumerate(rows):
        record(tmp_path, f"r{number}", number)
        row["fold"] = number % 4
    path = write(tmp_path, rows)
    report = examine(path)
    assert report.findings == ()
    assert (report.n_lines, report.n_records, report.n_patients, report.files_read) == (12, 12, 12, 12)
    result = auricle("check", path)
    assert result.returncode == 0, result.stderr
    assert "no errors" in result.stdout
    assert "no warnings" in result.stdout
    assert "Research use, not a diagnosis." in result.stdout
    assert "records-check.html" in result.stdout


def test_all_lines_that_cannot_be_read_are_collected_with_their_numbers(tmp_path: Path) -> None:
    rows = rows_of(12)
    rows[0]["sex"] = rows[3]["sex"] = "girl"
    rows[1]["age"] = "-2d"
    rows[2]["age"] = "three"
    rows[3]["age"] = "150y"
    rows[4]["fold"] = "1.5"
    rows[5]["lab:crp_mg_l"] = "high"
    rows[6]["file"] = ""
    report = examine(write(tmp_path, rows), read_files=False)
    assert named(report, "sex").lines == ((2,), (5,))
    impossible = [finding for finding in report.errors if finding.code == "age_impossible"]
    assert sorted(finding.lines for finding in impossible) == [((3,),), ((5,),)]
    assert named(report, "age").lines == ((4,),)
    assert named(report, "fold").lines == ((6,),)
    assert named(report, "lab").lines == ((7,),)
    assert named(report, "line").lines == ((8,),)
    assert (report.n_lines, report.n_records) == (12, 5), "ingest rejects a line with one bad cell"


@pytest.mark.parametrize(
    ("column", "value", "unit"),
    [("lab:Mg", 2.0, "mg/dL"), ("lab:Mg", 0.85, ""), ("lab:Mg [mg/dL]", 2.0, ""), ("lab:CRP", 180.0, "")],
)  # fmt: skip
def test_values_that_are_usual_in_another_unit_only_are_asked_about(
    tmp_path: Path, column: str, value: float, unit: str
) -> None:
    rows = [row | {column: f"{value + 0.01 * number:.2f}"} for number, row in enumerate(rows_of(12))]
    report = examine(write(tmp_path, rows), read_files=False)
    assert not report.errors
    assert ("lab_unit" in codes(report)) == bool(unit)
    if unit:
        assert f"name it {column} [{unit}]" in named(report, "lab_unit").message


def test_an_open_quotation_mark_does_not_swallow_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text(
        'file,sex,report\na.hea,F,"open\nb.hea,girl,"fine"\nc.hea,M,"two\nlines"\nd.hea,boy,x\ne.hea,M,x,y\n'
    )
    report = examine(path, read_files=False)
    lines = {finding.message.split(":")[0]: finding.lines for finding in report.errors}
    assert lines["the line is damaged CSV"] == ((2,),)
    assert named(report, "sex").lines == ((3,), (6,)), "numbers are those where a record begins"
    assert lines["has another number of cells than the header"] == ((7,),)


def test_all_mistakes_of_the_header_are_told(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text("file,agee,age,age_days,sexx\na.hea,,3d,3,\n")
    messages = [finding.message for finding in examine(path, read_files=False).errors]
    assert any("'agee'" in message and "did you mean 'age'" in message for message in messages)
    assert any("'sexx'" in message for message in messages)
    assert any("2 forms" in message for message in messages)
    path.write_text(f"a.hea,{NAME},3d\n")
    report = examine(path)
    assert named(report, "header").lines == ((1,),)
    assert NAME not in json.dumps(report.to_dict()), "a forgotten header is the first patient"


def test_a_file_that_is_not_utf8_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes("file,report\na.hea,normal\nb.hea,für das Alter normal\n".encode("latin-1"))
    assert named(examine(path, read_files=False), "encoding").lines == ((3,),)
    path.write_text("file\n")
    assert "empty" in codes(examine(path))
    with pytest.raises(DataError, match="no such manifest"):
        examine(tmp_path / "absent.csv")
    assert auricle("check", tmp_path / "absent.csv").returncode == 2
    assert auricle("check", path, "--page", tmp_path / "records.csv").returncode == 2, "the manifest is not overwritten"


def test_files_missing_and_unreadable_are_told_with_the_reason(tmp_path: Path) -> None:
    rows = rows_of(6)
    for number in (0, 2, 3, 4):
        record(tmp_path, f"r{number}", number)
    (tmp_path / "r2.dat").write_bytes(b"12")
    (tmp_path / "r3.dat").unlink()
    (tmp_path / "r4.hea").write_text("no header at all")
    (tmp_path / "r5.hea").mkdir()
    report = examine(write(tmp_path, rows))
    assert named(report, "file_missing").lines == ((3,), (7,))
    reasons = {finding.lines: finding.message for finding in report.errors if finding.code == "file_unreadable"}
    assert "truncated" in reasons[((4,),)]
    assert "signal file that belongs to the header is missing" in reasons[((5,),)]
    assert "no format" in reasons[((6,),)]
    assert report.files_read == 1


def test_conflicts_between_lines(tmp_path: Path) -> None:
    rows = rows_of(20, fold=0)
    rows[1]["record_id"] = rows[2]["record_id"] = "same"
    rows[4] |= {"patient_id": "p3", "fold": 1, "sex": rows[3]["sex"]}
    rows[6] |= {"patient_id": "p5", "sex": "F"}  # p5 is M
    rows[8]["file"], rows[8]["record_id"] = rows[7]["file"], "other"
    report = examine(write(tmp_path, rows), read_files=False)
    assert named(report, "duplicate_record_id").lines == ((3, 4),)
    assert named(report, "patient_in_two_folds").lines == ((5, 6),)
    assert named(report, "contradictory_sex").lines == ((7, 8),)
    assert named(report, "same_file_two_patients").lines == ((9, 10),)


def test_birth_dates_and_ages_that_contradict_each_other(tmp_path: Path) -> None:
    born = [("a", "2020-01-01", "2020-01-04"), ("a", "2020-01-11", "2020-02-04"), ("b", "2020-01-01", "2020-01-04"),
            ("b", "2020-01-01", "2021-01-04"), ("c", "2020-01-01", "2999-01-04")]  # fmt: skip
    keys = ("patient_id", "birth_date", "recording_date")
    rows = [{"file": f"{i}.hea"} | dict(zip(keys, values, strict=True)) for i, values in enumerate(born)]
    report = examine(write(tmp_path, rows), read_files=False)
    assert named(report, "contradictory_birth").lines == ((2, 3),)
    assert ((6,),) in {finding.lines for finding in report.errors if finding.code == "age_impossible"}
    aged = [("a", "3d", "2020-01-04"), ("a", "5y", "2020-02-04"), ("b", "4mo", "2020-01-04"),
            ("b", "16mo", "2021-01-10"), ("c", "7", "2020-01-04"), ("c", "7", "2020-12-04"),
            ("d", "9y", "2021-01-01"), ("d", "7y", "2022-01-01")]  # fmt: skip
    keys = ("patient_id", "age", "#recording_date")
    rows = [{"file": f"{i}.hea"} | dict(zip(keys, values, strict=True)) for i, values in enumerate(aged)]
    assert named(examine(write(tmp_path, rows), read_files=False), "contradictory_age").lines == ((2, 3), (8, 9))


def test_the_same_signal_twice(tmp_path: Path) -> None:
    rows = rows_of(8)
    for number, seed in enumerate((0, 1, 1, 3, 4, 4, 6, 7)):
        record(tmp_path, f"r{number}", seed)
    rows[5] |= {"patient_id": "p4", "sex": rows[4]["sex"]}
    for number in (6, 7):  # broken recordings are all alike and prove nothing
        write_wfdb(tmp_path / f"r{number}", np.zeros((12, 200)), STANDARD, 100)
    report = examine(write(tmp_path, rows))
    assert named(report, "same_signal_two_patients").lines == ((3, 4),)
    assert named(report, "duplicate_recording").lines == ((6, 7),)
    assert named(report, "file_unreadable").lines == ((8,), (9,))


def test_ages_that_are_useless_for_a_child_or_a_default(tmp_path: Path) -> None:
    rows = rows_of(40)
    rows[0]["age"], rows[1]["age"], rows[2]["age"], rows[3]["age"] = "2", "0mo", "0", "7"
    for row in rows[10:25]:
        row["age"] = "33d"
    report = examine(write(tmp_path, rows), read_files=False)
    assert named(report, "coarse_age").lines == ((2,), (3,))
    assert named(report, "age_year_zero").lines == ((4,),)
    assert len(named(report, "stuck_age").lines) >= 15
    bands = {band.name: band.records for band in report.facts.bands}
    assert bands["0-3 d"] == 0, "0mo is some day of the first month and not day 0"
    assert bands["unknown"] == 1
    assert sum(bands.values()) == 40


def test_units_rates_and_what_the_file_says_otherwise(tmp_path: Path) -> None:
    rows = rows_of(5)
    for number in range(5):
        record(tmp_path, f"r{number}", number, rate_hz=250 if number == 4 else 100,
               comments=("Age: 9 yr", "Sex: F") if number == 3 else ())  # fmt: skip
    for number, factor in ((0, 0.01), (1, 100.0)):
        write_wfdb(tmp_path / f"r{number}", trace(number) * factor, STANDARD, 100, gain=300 / factor)
    report = examine(write(tmp_path, rows))
    assert named(report, "unit_small").lines == ((2,),)
    assert named(report, "unit_large").lines == ((3,),)
    assert "100, 250 Hz" in named(report, "mixed_rates").message
    assert named(report, "sex_against_file").lines == ((5,),)
    assert named(report, "age_against_file").lines == ((5,),)


def test_doubts_about_labels_reports_and_identity(tmp_path: Path) -> None:
    rows = rows_of(60)
    rows[1]["labels"] = "norm"
    rows[2]["labels"] = " R V H"
    rows[3]["report"] = "normal ECG"
    for row in rows[10:30]:
        row["report"] = "Sinus rhythm. Normal  ECG for age."
    for row in rows[30:55]:
        row["patient_id"], row["sex"] = "walk-in", "F"
    rows[4]["sex"] = rows[5]["sex"] = rows[6]["sex"] = rows[7]["age"] = ""
    report = examine(write(tmp_path, rows), read_files=False)
    spelled = [finding for finding in report.warnings if finding.code == "label_spelling"]
    assert sorted(finding.lines for finding in spelled) == [((3,),), ((4,),)]
    assert named(report, "short_report").lines == ((5,),)
    assert len(named(report, "identical_reports").lines) == 20
    assert len(named(report, "placeholder_patient").lines) == 25
    assert "5%" in named(report, "missing_sex").message
    assert "missing_age" not in codes(report)


def test_one_person_under_two_spellings_of_an_id_is_asked_about(tmp_path: Path) -> None:
    rows = rows_of(12)
    for row, patient in zip(rows, ("0017", "17", "Q-77", "q 77", "1,23E+05", "unbekannt", "-", "?"), strict=False):
        row["patient_id"] = patient
    report = examine(write(tmp_path, rows), read_files=False)
    assert named(report, "patient_alike").lines == ((2, 3), (4, 5))
    for row, patient in zip(
        rows, ("1-12", "11-2", "1/23", "12/3", "P0077", "p77", "17,0", "17", "0", "00"), strict=False
    ):
        row["patient_id"] = patient
    (tmp_path / "other").mkdir()
    other = examine(write(tmp_path / "other", rows), read_files=False)
    assert named(other, "patient_alike").lines == ((6, 7), (8, 9), (10, 11))
    assert named(report, "patient_rounded").lines == ((6,),)
    assert "25%" in named(report, "missing_patient_id").message, "three strangers are nobody, and not one person"


def test_labels_that_are_written_like_a_code_are_told_with_it(tmp_path: Path) -> None:
    rows = rows_of(6)
    for row, label in zip(rows, ("norm", "?RVH", "V.a. RVH", "kein RVH", "RVH?", "NORM"), strict=True):
        row["labels"] = label
    found = named(examine(write(tmp_path, rows), read_files=False), "label_like_code")
    assert found.lines == ((2,), (3,), (4,), (5,))
    assert "not known there (NORM, RVH)" in found.message, "a label of one patient may be a name"


def test_laboratory_columns_without_a_unit_say_what_they_count_as(tmp_path: Path) -> None:
    rows = rows_of(4)
    for row in rows:
        row["lab:CRP"], row["lab:bilirubin [mg/dL]"], row["lab:potassium"] = "1.2", "0.6", "4.1"
    message = named(examine(write(tmp_path, rows), read_files=False), "lab_without_unit").message
    assert "lab:CRP as mg/L" in message
    assert "bilirubin" not in message


def test_a_workbook_is_told_from_a_damaged_csv(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "children.xlsx", "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    with pytest.raises(DataError, match="Excel workbook or an archive: save its sheet as “CSV UTF-8”"):
        examine(tmp_path / "children.xlsx")


def test_labels_that_no_task_knows_or_that_join_two_are_told_without_naming_anybody(tmp_path: Path) -> None:
    rows = rows_of(12)
    for row in rows[:4]:
        row["labels"] = "clinic A"
    rows[4]["labels"], rows[5]["labels"], rows[6]["labels"] = NAME, "NORM/RVH", "NORM;LAFB/LPFB"
    report = examine(write(tmp_path, rows), read_files=False)
    unknown, joined = named(report, "label_unknown"), named(report, "label_joined")
    assert (unknown.severity, unknown.lines) == ("warning", ((2,), (3,), (4,), (5,), (6,), (8,)))
    assert "“clinic A” (4), 2 that cannot be named" in unknown.message
    assert joined.lines == ((7,),), "LAFB/LPFB is one subclass of PTB-XL"
    assert "NORM/RVH" in joined.message
    assert NAME not in json.dumps(report.to_dict())


def test_bare_ages_beside_ages_with_a_unit_are_told(tmp_path: Path) -> None:
    rows = rows_of(6)
    rows[1]["age"], rows[2]["age"] = "3", "2.5"
    assert named(examine(write(tmp_path, rows), read_files=False), "age_without_unit").lines == ((3,), (4,))
    for row in rows:
        row["age"] = "3"
    report = examine(write(tmp_path, rows), read_files=False)
    assert "age_without_unit" not in codes(report), "all are years"
    rows[0]["age"] = "96"
    in_years = named(examine(write(tmp_path, rows), read_files=False), "age_in_years")
    assert "count years (3 to 96): name the column age_years if they do" in in_years.message
    assert len(in_years.lines) == 6
    rows[1]["age"], rows[2]["age"] = "P3M", "unknown"
    assert "age_without_unit" in codes(examine(write(tmp_path, rows), read_files=False)), "a month is named there"


@pytest.mark.parametrize("independent", [False, True])
def test_nine_leads_betray_newborns_only_where_they_do(tmp_path: Path, independent: bool) -> None:
    rows = rows_of(60)
    for number, row in enumerate(rows):
        newborn = number % 3 == 0
        row["age"] = "1d" if newborn else "6y"
        row["labels"] = ("NORM", "RVH")[number // 3 % 2]
        few = number // 6 % 2 == 0 if independent else newborn
        record(tmp_path, f"r{number}", number, NINE if few else STANDARD)
    report = examine(write(tmp_path, rows))
    one = betrayal(report, "lead set", "age band")
    assert one.n == 60
    assert one.betrays is not independent
    assert ("betrays_age" in codes(report)) is not independent
    assert "betrays_label" not in codes(report), "labels are independent of the leads in both"
    assert len(betrayal(report, "lead set", "RVH").counts) == 2
    if independent:
        assert one.value < 0.3
    else:
        assert one.value > 0.9
        assert "0-3 d" in one.detail
        assert sorted(one.counts) == [(0, 40), (20, 0)]


def test_a_site_betrays_a_label_without_being_named(tmp_path: Path) -> None:
    rows = rows_of(60)
    for row in rows:
        row["file"] = f"{NAME if row['labels'] == 'RVH' else 'ward'}/{row['file']}"
    report = examine(write(tmp_path, rows), read_files=False)
    one = betrayal(report, "site", "RVH")
    assert one.betrays
    assert one.value == 1.0
    assert set(one.levels) == {"site 1 (line 2)", "site 2 (line 3)"}
    assert one.age_alone is not None
    for number, row in enumerate(rows):  # the column goes before the folder
        row["#site"] = "AB"[number // 7 % 2]
    assert not betrayal(examine(write(tmp_path, rows), read_files=False), "site", "RVH").betrays


def test_endpoints_are_counted_in_the_parts_that_training_would_use(tmp_path: Path) -> None:
    rows = rows_of(900)
    rows[0]["labels"] = rows[1]["labels"] = "RARE"
    path = write(tmp_path, rows)
    report = examine(path, read_files=False)
    norm, rvh = (next(one for one in report.facts.endpoints if one.label == label) for label in ("NORM", "RVH"))
    assert isinstance(norm, Endpoint)
    assert norm.patients == sum(norm.parts.values()) == 599
    assert rvh.verdict == "fine"
    assert report.facts.labels == ("NORM", "RVH"), "a label of two patients is counted and not named"
    assert report.facts.n_labels_unnamed == 1
    cases = scan(path).cases
    store = types.SimpleNamespace(path=path, patients=np.array([case.patient for case in cases]))
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    _, parts = split_of(cases)
    for name, members in by_patient(store, shares).items():
        assert {cases[row].patient for row in members} == {patient for patient in parts if parts[patient] == name}
    by_fold = examine(write(tmp_path, [row | {"fold": i % 10} for i, row in enumerate(rows[:60])]), read_files=False)
    assert by_fold.facts.split.startswith("by fold: 9 tests, 8 validates")
    few = next(one for one in by_fold.facts.endpoints if one.label == "RVH")
    assert few.verdict == "not feasible"
    assert few.parts["test"] == 2


def test_the_expected_interval_is_that_of_hanley_and_mcneil() -> None:
    q1, q2 = 0.85 / 1.15, 2 * 0.85**2 / 1.85
    variance = (0.85 * 0.15 + 49 * (q1 - 0.85**2) + 49 * (q2 - 0.85**2)) / 2500
    assert half_width(50, 50) == pytest.approx(1.96 * variance**0.5, rel=1e-4)
    assert half_width(0, 50) is None
    widths = [half_width(n, 500) for n in (10, 30, 100)]
    assert widths == sorted(widths, reverse=True)


def test_nobody_is_named_in_any_output(tmp_path: Path) -> None:
    rows = rows_of(30)
    for number, row in enumerate(rows):
        row["file"] = record(tmp_path, f"{NAME}{number % 2}/{NAME}-{number}", number % 20)
        row["patient_id"] = f"anna {NAME} {number // 2}"
        row["report"] = f"{NAME} {number}"
        row["record_id"] = f"{NAME}_{number // 2}"
        row["#site"] = f"{NAME} hospital {number % 2}"
    for number in range(5):
        rows[number]["labels"] = NAME if number < 2 else f"ECG of {NAME} shows nothing that would be new to anybody"
    rows[5]["sex"], rows[6]["age"], rows[7]["fold"], rows[8]["age"] = NAME, NAME, NAME, "-" + NAME
    (tmp_path / str(rows[10]["file"])).write_text(f"{NAME}\n")
    (tmp_path / str(rows[11]["file"])).unlink()
    (tmp_path / str(rows[12]["file"])).write_text(f"{NAME} 1 500 10\n{NAME}.dat 16 200 16 0 0 0 0 {NAME}\n")
    (tmp_path / str(rows[13]["file"])).with_suffix(".dat").write_bytes(b"1")
    (tmp_path / f"anna.{NAME}").write_bytes(b"")
    rows[14]["file"] = f"anna.{NAME}"
    header = tmp_path / str(rows[15]["file"])
    header.write_text(header.read_text() + f"# Age: {NAME}\n# Dx: {NAME}\n")
    rows[15]["age"] = rows[15]["labels"] = ""
    path = write(tmp_path, rows)
    shown, page = auricle("check", path, "--page", tmp_path / "out.html"), tmp_path / "out.html"
    as_json = auricle("check", path, "--json")
    for text in (shown.stdout, shown.stderr, as_json.stdout, as_json.stderr, page.read_text(encoding="utf-8")):
        assert NAME not in text.replace(str(tmp_path), "").casefold()
        assert "anna" not in text.replace(str(tmp_path), "").casefold()
    assert shown.returncode == as_json.returncode == 1
    found = json.loads(as_json.stdout)
    assert found["ok"] is False
    assert {"file_missing", "file_unreadable", "odd_age_in_file"} <= {finding["code"] for finding in found["findings"]}
    assert found["disclaimer"]


def test_the_page_has_the_figures_and_says_research_use(tmp_path: Path) -> None:
    rows = rows_of(60)
    for row in rows:
        row["file"] = f"{'ab'[row['labels'] == 'RVH']}/{row['file']}"
    html = check_page(examine(write(tmp_path, rows), read_files=False), "auricle check records.csv").to_html()
    assert html.count("<img ") == 2
    for words in ("Research use", "Ages", "Labels by age", "Which endpoints are feasible", "The site betrays: RVH"):
        assert words in html
    (tmp_path / "none.csv").write_text("file\n")
    assert "lists no recording" in check_page(examine(tmp_path / "none.csv")).to_html()


def test_two_thousand_lines_without_files_take_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, [row | {"file": f"s{i % 3}/r{i}.hea"} for i, row in enumerate(rows_of(2000))])
    begun = time.monotonic()
    report = examine(path, read_files=False)
    assert time.monotonic() - begun < 10
    assert report.n_records == 2000
    json.dumps(report.to_dict(), allow_nan=False)
