"""Manifests as hospitals and spreadsheets write them: one bad cell rejects its row, check and ingest agree on which."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.data.ingest import ingest
from auricle.data.manifest import read_manifest
from auricle.data.store import Store
from auricle.doctor import examine
from auricle.errors import DataError
from fakes import heart, write_wfdb
from running import auricle

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def record(folder: Path, name: str, seed: int = 0) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_wfdb(folder / name, heart(1500, seed=seed), STANDARD, 500)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "file,patient_id,age\na.hea,p1,3d\n",
        "\ufefffile;patient_id;age\r\na.hea;p1;3d\r\n",
        "sep=;\r\nfile;patient_id;age\r\na.hea;p1;3d\r\n",
        "File,Patient_ID,Age\na.hea,p1,3d\n",
        "file,patient_id,age,,,\na.hea,p1,3d,,,\n",
        "file,patient_id,age\na.hea,p1,3d\n,,\n,,\n",
        "file\tpatient_id\tage\na.hea\tp1\t3d\n".encode("utf-16"),
    ],
)
def test_every_way_a_spreadsheet_writes_it(tmp_path: Path, text: str | bytes) -> None:
    (row,) = read_manifest(write(tmp_path, text))
    assert (row.file, row.patient_id, row.problem) == ("a.hea", "p1", "")
    assert row.age is not None
    assert row.age.days == 3


def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CSV UTF-8"):
        read_manifest(write(tmp_path, "file,age\n心电/a.hea,3岁\n".encode("gbk")))


def test_what_another_encoding_seems_to_be_is_named(tmp_path: Path) -> None:
    for text, codec, words in (
        ("心电,3岁", "gbk", "GBK"),
        ("für,3d", "latin-1", "is not UTF-8: save"),
        ("é,3d", "utf-16-le", "UTF-16"),
    ):
        path = write(tmp_path, f"file,age\n{text}\n".encode(codec))
        with pytest.raises(DataError, match=words):
            read_manifest(path)
        (encoding,) = [finding for finding in examine(path, read_files=False).errors if finding.code == "encoding"]
        assert words in encoding.message


@settings(deadline=None)
@given(st.lists(st.decimals(0, 100, places=3), min_size=1, max_size=6), st.booleans())
def test_numbers_mean_the_same_whichever_sign_a_table_writes(numbers: list[Decimal], comma: bool) -> None:
    """A column `0,5` beside tells that `1,234` is no thousand."""
    cells = [str(number).replace(".", ",") if comma else str(number) for number in numbers]
    rows = "".join(f"f{row}.hea;{cell};0{',' if comma else '.'}5\n" for row, cell in enumerate(cells))
    with tempfile.TemporaryDirectory() as folder:
        listed = read_manifest(write(Path(folder), f"file;age_days;lab:troponin\n{rows}"))
    assert [row.problem for row in listed] == [""] * len(numbers)
    assert [row.age.days for row in listed if row.age] == pytest.approx([float(number) for number in numbers])


@pytest.mark.parametrize("cell", ['"NORM,RVH"', "NORM|RVH", "\"['NORM', 'RVH']\"", "4.26783E+08"])
def test_labels_that_are_one_by_mistake_reject_their_row(tmp_path: Path, cell: str) -> None:
    good, bad = read_manifest(write(tmp_path, f"file,labels\na.hea,NORM;RVH\nb.hea,{cell}\n"))
    assert good.labels == ("NORM", "RVH")
    assert bad.problem.startswith("labels ")


def test_a_bare_age_beside_ages_with_a_unit_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"m.csv: ages without a unit .*\(1, the first in line 3\)"):
        rows = read_manifest(write(tmp_path, "file,age\na.hea,3d\nb.hea,3\nc.hea,\n"))
    assert [row.age and row.age.days for row in rows] == [3, 3 * DAYS_PER_YEAR, None]


def test_ingest_counts_labels_that_no_task_knows(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        record(tmp_path, name, number)
    path = write(tmp_path, "file,labels\na.hea,NORM\nb.hea,NORM;clinic\nc.hea,NORM/RVH\n")
    done = auricle("ingest", "manifest", path, tmp_path / "store", "--workers", "1")
    assert "2 records have labels that no task knows" in " ".join(done.stderr.split())


def test_check_and_ingest_agree_on_every_row(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c", "d", "sub/e", "f")):
        record(tmp_path, name, number)
    np.savez(tmp_path / "noise.npz", signal=np.random.default_rng(0).normal(0, 0.3, (2, 1500)), rate_hz=500,
             leads=["V1", "V2"])  # fmt: skip
    np.savez(tmp_path / "flat.npz", signal=np.zeros((2, 1500)), rate_hz=500, leads=["V1", "V2"])
    rows = (
        "file,record_id,age,sex,lab:K,labels",
        "a.hea,a,3d,F,4.1,NORM",
        'b.hea,b,3d,F,"4,1",NORM',
        "c.hea,c,3x,F,4.1,NORM",
        "d.hea,d,3d,1,4.1,NORM",
        "sub\\e.hea,e,3d,F,<3,NORM",
        "f.hea,a,3d,F,4.1,NORM",
        "gone.hea,g,3d,F,4.1,NORM",
        "noise.npz,noise,3d,F,4.1,NORM",
        "flat.npz,flat,3d,F,4.1,NORM",
        "a.hea,h,3d,F,high,NORM",
    )
    path = write(tmp_path, "\n".join(rows) + "\n")
    wrong = {line for finding in examine(path).errors for lines in finding.lines for line in lines}
    done = ingest("manifest", path, tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    stored = set(store.column("record_id").tolist())
    assert stored == {"a", "b", "e"}
    assert (done.n_stored, done.n_rejected) == (3, 7)
    # A record_id that comes twice is told of both lines, and the first of them is taken.
    assert wrong - {2} == set(range(2, 12)) - {2, 3, 6}
    (row,) = np.flatnonzero(store.column("record_id") == "e")
    recording = store.recording(int(row))
    assert recording.lab_bounds == {"potassium_mmol_l": "below"}
    assert recording.labs == {"potassium_mmol_l": 3.0}


def test_a_child_born_early_is_kept_with_its_gestation(tmp_path: Path) -> None:
    record(tmp_path, "a")
    path = write(tmp_path, "file,age,gestational_age\na.hea,5wk,30+2\n")
    ingest("manifest", path, tmp_path / "store", workers=1)
    assert Store(tmp_path / "store").recording(0).gestation_days == 212
    (row,) = read_manifest(write(tmp_path, "file,gestational_age\na.hea,3\n"))
    assert "gestational age" in row.problem


def test_check_counts_what_ingest_stores(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "sub/e")):
        record(tmp_path, name, number)
    np.savez(tmp_path / "flat.npz", signal=np.zeros((2, 1500)), rate_hz=500, leads=["V1", "V2"])
    rows = ("file,record_id,age,labels", "a.hea,a,3d,NORM", "sub/../a,b,3d,NORM", "b.hea,c,3d,NORM|RVH",
            "C:\\export\\a.hea,d,3d,NORM", "sub\\e.hea,,3d,NORM", "flat.npz,f,3d,NORM")  # fmt: skip
    path = write(tmp_path, "\n".join(rows) + "\n")
    report = examine(path)
    done = ingest("manifest", path, tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    assert store.column("record_id").tolist() == ["a", "e"], "a folder of Windows is no part of the name"
    assert report.n_records == done.n_stored == 2
    reasons = pq.read_table(tmp_path / "store" / "rejected.parquet")["reason"].to_pylist()
    errors = [finding for finding in report.errors if finding.code != "same_signal_two_patients"]
    for finding in errors:
        said = finding.message.replace("an earlier line", "line 2")
        assert any(said.partition(":")[0] in reason for reason in reasons), said
    codes = {finding.code for finding in errors}
    assert codes == {"same_file_two_patients", "labels", "file_missing", "file_unreadable"}
    assert any("path is that of another computer" in finding.message for finding in report.errors)


def test_a_manifest_that_ingest_refuses_has_no_usable_line(tmp_path: Path) -> None:
    record(tmp_path, "a")
    path = write(tmp_path, "file,NORM,RVH\na.hea,1,0\n")
    assert examine(path).n_records == 0
    with pytest.raises(DataError, match="column `labels`"):
        read_manifest(path)


def test_reasons_never_repeat_a_cell(tmp_path: Path) -> None:
    header, row = "file,sex,age,gestational_age,labels,fold,lab:K", "a.hea,{0},{0},{0},{0}|,{0},{0}9"
    text = f"{header}\n{row.format('mustermann')}\n"
    path = write(tmp_path, text)
    assert "mustermann" not in str([finding.message for finding in examine(path, read_files=False).findings])
    for column in range(1, 7):
        cells = ["a.hea", "", "", "", "", "", ""]
        cells[column] = "mustermann|9"
        (rejected,) = read_manifest(write(tmp_path, f"{header}\n{','.join(cells)}\n"))
        assert rejected.problem
        assert "mustermann" not in rejected.problem


def test_a_recording_of_tomorrow_rejects_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "file,birth_date,recording_date\na.hea,2020-01-01,01.02.2999\n")
    (row,) = read_manifest(path)
    assert row.problem == "the recording date lies in the future"
    (finding,) = examine(path, read_files=False).errors
    assert (finding.code, finding.message) == ("age_impossible", row.problem)


def test_notes_of_the_reader_and_a_poor_trace_are_warnings(tmp_path: Path) -> None:
    signal = heart(1500, 13)
    signal[2] = 0.4 * np.random.default_rng(0).normal(size=1500)
    write_wfdb(tmp_path / "a", signal, (*STANDARD, "PLETH"), 500)
    found = {finding.code: finding for finding in examine(write(tmp_path, "file,age\na.hea,3d\n")).warnings}
    assert found["channel_left_out"].lines == ((2,),)
    assert "PLETH" not in found["channel_left_out"].message
    assert "limb_leads_contradict" in found
    noisy = heart(1500)
    noisy[8:] = np.random.default_rng(0).normal(0, 0.4, (4, 1500))
    write_wfdb(tmp_path / "a", noisy, STANDARD, 500)
    report = examine(write(tmp_path, "file,age\na.hea,3d\n"))
    assert not report.errors
    (poor,) = (finding for finding in report.warnings if finding.code == "not_acceptable")
    assert "V3" in poor.message


@pytest.mark.parametrize(
    "cell", ["NORM，RVH", "NORM；RVH", "NORM、RVH", '"NORM\tRVH"', '"NORM\nRVH"', "426783006.0", "4E8"]
)
def test_other_separators_and_numbers_of_spreadsheets_reject_their_row(tmp_path: Path, cell: str) -> None:
    good, bad = read_manifest(write(tmp_path, f"file,labels\na.hea,1AVB;PRC(S);LAO/LAE;sinus rhythm\nb.hea,{cell}\n"))
    assert good.labels == ("1AVB", "PRC(S)", "LAO/LAE", "sinus rhythm")
    assert bad.problem.startswith("labels ")


def test_labels_that_no_task_knows_are_counted(tmp_path: Path) -> None:
    rows = [f"{n}.hea,p{n},{label}" for n, label in enumerate(["NORM", "OURS", "OURS", "OURS", "NORM/RVH", "LAO/LAE"])]
    path = write(tmp_path, "\n".join(["file,patient_id,labels", *rows]) + "\n")
    found = {finding.code: finding for finding in examine(path, read_files=False).warnings}
    assert "“OURS” (3)" in found["label_unknown"].message
    assert found["label_unknown"].lines == ((3,), (4,), (5,))
    assert found["label_joined"].lines == ((6,),)


def test_a_column_without_a_name_is_told_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 2 has no name"):
        read_manifest(write(tmp_path, "file,,age\na.hea,0,3d\n"))


def test_a_date_of_birth_that_stands_for_none_is_an_unknown_age_and_told(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "a", heart(1500), STANDARD, 500)
    path = write(tmp_path, "file,birth_date,recording_date\na.hea,1900-01-01,2024-01-01\n")
    with pytest.warns(UserWarning, match=r"programs write of none.*1, the first in line 2"):
        (row,) = read_manifest(path)
    assert (row.problem, row.age) == ("", None)
    (finding,) = (one for one in examine(path).warnings if one.code == "birth_placeholder")
    assert finding.lines == ((2,),)
