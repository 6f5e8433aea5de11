"""Recordings in other formats: what is written comes back, paper has true millimetres, and no identity is left."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carts
from auricle import age as ages
from auricle.age import Age
from auricle.convert import FORMATS, convert
from auricle.data.manifest import read_manifest
from auricle.deidentify import METHOD, Pseudonyms, deidentified
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.io import read
from auricle.io.dicom_writer import age_string
from auricle.leads import STANDARD
from auricle.recording import Recording, make_recording
from fakes import heart
from running import auricle, refused

KEY = Pseudonyms(bytes(range(32)))


def person(n: int = 5000, rate_hz: float = 500.0, **known: object) -> Recording:
    """A girl of three days, recorded in March, whose report names somebody."""
    known = {
        "age": Age(2.6, 1.0), "sex": "F", "patient_id": "MRN-4711", "recorded": "2024-03-06T14:20:05", "source": "ward",
        "report": "Normal sinus rhythm\nconfirmed by Dr. Weber", "cart_band_hz": (0.05, 150.0),
        "measurements": {"heart_rate": 150.0, "qrs_ms": 56.0, "qrs_axis_deg": 135.0}, "labels": ("NORM",), **known,
    }  # fmt: skip
    return make_recording(heart(n, rate_hz=rate_hz), rate_hz, STANDARD, "r", **known)


@pytest.mark.parametrize("to", ["wfdb", "dicom", "edf"])
@pytest.mark.parametrize(("n", "rate"), [(5000, 500.0), (2503, 250.0), (1000, 100.0), (10_240, 1024.0), (4321, 360.0)])
@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_what_is_written_is_read_to_the_step(tmp_path: Path, to: str, n: int, rate: float) -> None:
    recording = person(n, rate)
    got = read(convert(recording, tmp_path / "r", to)).trimmed()
    assert got.leads == recording.leads
    assert got.rate_hz == pytest.approx(rate, rel=1e-6)
    assert np.abs(got.signal[:, :n] - recording.signal).max() < 0.00051
    assert got.signal.shape[1] == n
    assert got.sex == "F"
    assert got.cart_band_hz == (0.05, 150)
    if to != "edf":  # which has no field for it
        assert got.age is not None
        assert got.age.agrees_with(Age(2.6, 1.0))
    if to == "dicom":
        assert dict(got.measurements) == dict(recording.measurements)
        assert got.report == recording.report
    if to != "wfdb":
        assert (got.patient_id, got.recorded) == ("MRN-4711", "2024-03-06T14:20:05")


@pytest.mark.parametrize("to", ["wfdb", "dicom", "edf", "csv"])
@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_a_missing_stretch_stays_missing_and_its_lead_only(tmp_path: Path, to: str) -> None:
    recording = person()
    signal = recording.signal.copy()
    signal[7, 1000:1400] = np.nan
    path = convert(replace(recording, signal=signal), tmp_path / "r", to)
    if to == "csv":
        table = list(csv.reader(io.StringIO(path.read_text())))
        assert table[0] == ["time_s", *STANDARD]
        assert table[1001][8] == ""
        assert float(table[1][8]) == pytest.approx(signal[7, 0], abs=0.0005)
        return
    got = read(path)
    assert np.isnan(got.signal[7, 1000:1400]).all()
    assert np.isfinite(np.delete(got.signal, 7, axis=0)).all()
    assert np.isfinite(got.signal[7, :980]).all()


def test_five_leads_of_a_minute_are_a_general_ecg(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra io")
    twelve, few = person(), make_recording(heart(30_000)[[0, 1]], 500, ["V4R", "V7"], "r")
    kinds = {name: pydicom.dcmread(convert(one, tmp_path / name, "dicom")).SOPClassUID.name for name, one in
             (("twelve", twelve), ("few", few))}  # fmt: skip
    assert kinds == {"twelve": "12-lead ECG Waveform Storage", "few": "General ECG Waveform Storage"}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("rate", [500.0, 100.0])
def test_a_validator_of_dicom_finds_no_error(tmp_path: Path, rate: float) -> None:
    path = convert(person(rate_hz=rate), tmp_path / "r", "dicom", METHOD)
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_recording_makes_the_same_bytes(tmp_path: Path, to: str) -> None:
    if to in {"pdf", "png"}:
        pytest.importorskip("matplotlib", reason="needs the extra train")
    first, second = (convert(person(), tmp_path / name / "r", to) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert not list(tmp_path.rglob("*partial*"))


def test_paper_has_true_millimetres_and_a_page_for_ten_seconds(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra train")
    content = convert(person(15_000), tmp_path / "r", "pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
    assert len(boxes) == 3
    svg = convert(person(), tmp_path / "r", "svg").read_text()
    width = re.search(r'width="([\d.]+)mm"', svg)
    assert width is not None
    assert float(boxes[0][0]) / 72 * 25.4 == pytest.approx(float(width[1]), abs=0.3)


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'docx'"):
        convert(person(), tmp_path / "r", "docx")
    without = replace(person(), amplitude_known=False)
    for to in ("wfdb", "dicom", "edf", "csv"):
        with pytest.raises(DataError, match="only millivolts"):
            convert(without, tmp_path / "r", to)
    with pytest.raises(DataError, match="60 minutes make 360 pages"):
        convert(replace(person(), signal=np.zeros((12, 360_000), np.float32), rate_hz=100.0), tmp_path / "r", "pdf")
    assert not list(tmp_path.iterdir())


@settings(deadline=None)
@given(
    st.floats(0, 40_000, allow_nan=False),
    st.sampled_from([1 / 24, 0.5, 1.0, 2.0, 7.0, 30.4375, 36.525, 365.25, 1826.25, 5844.0]),
)
def test_an_age_that_is_written_is_read_with_its_resolution(days: float, resolution: float) -> None:
    age = Age(days, resolution)
    again = ages.parse(ages.written(age))
    assert again is not None
    assert again.days == pytest.approx(days, abs=1e-4)
    assert again.resolution_days == pytest.approx(resolution, abs=1e-3)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (Age(3), "003D"), (Age("5y4m"), "064M"), (Age("65yr"), "065Y"), (Age(998.6), "999D"), (Age(1000), "142W"),
        (Age("7mo"), "007M"), (Age("2.4yr"), "029M"), (Age("5-7 y"), ""), (Age("90+"), "090Y"),
    ],
)  # fmt: skip
def test_an_age_of_dicom_is_as_fine_as_it_was_known(age: Age, text: str) -> None:
    assert age_string(age) == text


def test_identity_is_gone_and_one_person_stays_one(tmp_path: Path) -> None:
    first, done = deidentified(person(), "weber_anna", KEY)
    second, _ = deidentified(person(recorded="2024-03-09T08:00:00"), "weber_anna_2", KEY)
    assert first.patient_id == second.patient_id != "MRN-4711"
    assert first.record_id != second.record_id
    assert first.recorded is not None
    assert second.recorded is not None
    gap = np.datetime64(second.recorded) - np.datetime64(first.recorded)
    assert gap == np.datetime64("2024-03-09T08:00:00") - np.datetime64("2024-03-06T14:20:05")
    assert first.recorded[:10] != "2024-03-06"
    assert first.age == person().age
    assert first.labels == ("NORM",)
    assert "report removed" in done
    for to in FORMATS:
        if to in {"pdf", "png"}:
            continue
        path = convert(first, tmp_path / first.record_id, to, METHOD, first.record_id)
        content = path.read_bytes()
        for trace in (b"MRN-4711", b"Weber", b"weber", b"2024-03", b"20240306", b"ward"):
            assert trace not in content, (to, trace)


def test_another_key_makes_other_names_and_an_old_age_is_joined() -> None:
    other = Pseudonyms(bytes(range(1, 33)))
    assert other.name("patient", "MRN-4711") != KEY.name("patient", "MRN-4711")
    old, done = deidentified(person(age=Age("97yr")), "r", KEY)
    assert old.age == Age("90+")
    assert "age above 89 joined" in done


def test_a_folder_is_converted_with_a_manifest_and_what_was_removed(tmp_path: Path) -> None:
    ward = tmp_path / "ward"
    for place in ("a", "b"):
        (ward / place).mkdir(parents=True)
        convert(person(), ward / place / "r", "dicom")
    (ward / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"x" * 50)
    done = auricle("convert", ward, "-o", tmp_path / "out", "--to", "wfdb", "--deidentify", tmp_path / "key")
    assert done.returncode == 2
    assert "broken.dcm" in done.stderr
    assert "2 of 3 recordings" in done.stdout
    rows = read_manifest(tmp_path / "out" / "records.csv")
    assert len({row.record_id for row in rows}) == 2
    assert len({row.patient_id for row in rows}) == 1
    assert all(row.age is not None and row.age.agrees_with(Age(2.6, 1.0)) for row in rows)
    removed = (tmp_path / "out" / "removed.csv").read_text()
    assert "patient_id replaced" in removed
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert b"MRN-4711" not in everything
    assert b"Weber" not in everything
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    again = auricle("convert", ward / "a", "-o", tmp_path / "again", "--to", "wfdb", "--deidentify", tmp_path / "key")
    assert again.returncode == 0
    assert {path.name for path in (tmp_path / "again").glob("*.hea")} <= {
        path.name for path in (tmp_path / "out").glob("*.hea")
    }


def test_wrong_input_of_convert_is_one_line(tmp_path: Path) -> None:
    path = carts.scp(
        tmp_path / "a.scp", np.rint(heart(800) * 200).astype(int), (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
    )
    (tmp_path / "text").write_text("no key")
    for arguments, why in (
        (("--to", "docx"), "unknown format"),
        (("--deidentify", tmp_path / "text"), "holds no key"),
        (("--deidentify", tmp_path / "out" / "key"), "the key lies in the folder that is given away"),
    ):
        done = auricle("convert", path, "-o", tmp_path / "out", *arguments)
        refused(done, why)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="holds no key"):
        Pseudonyms.read(tmp_path / "text")


def test_no_two_records_get_one_name_and_nothing_is_replaced(tmp_path: Path) -> None:
    for place, name in (("p", "a"), ("p", "a_2"), ("q", "a"), ("q", "records")):
        (tmp_path / place).mkdir(exist_ok=True)
        convert(person(), tmp_path / place / name, "dicom")
    done = auricle("convert", tmp_path / "p", tmp_path / "q", "-o", tmp_path / "out", "--to", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "records.csv").read_text())))
    assert sorted(row["#file"] for row in rows) == ["a.csv", "a_2.csv", "a_3.csv", "records_2.csv"]
    assert all((tmp_path / "out" / row["#file"]).is_file() for row in rows)
    again = auricle("convert", tmp_path / "p", tmp_path / "q", "-o", tmp_path / "out", "--to", "csv")
    assert again.returncode == 0
    for arguments, why in (
        (("-o", tmp_path / "out", "--to", "edf"), "made of other recordings or otherwise"),
        (("-o", tmp_path / "out", "--to", "csv", "--deidentify", tmp_path / "key"), "made of other recordings"),
        (("-o", tmp_path / "p"), "is not empty"),
    ):
        done = auricle("convert", tmp_path / "p", tmp_path / "q", *arguments)
        assert done.returncode == 2
        assert why in done.stderr


def test_a_label_that_may_be_a_name_goes_and_codes_stay() -> None:
    kept, done = deidentified(person(labels=("NORM", "426783006", "RVH?", "Anna Test", "none", "seen by")), "r", KEY)
    assert kept.labels == ("NORM", "426783006", "RVH?", "none")
    assert "labels that are no codes removed" in done


def test_limits_of_laboratory_values_and_their_minutes_stay(tmp_path: Path) -> None:
    convert(person(), tmp_path / "in" / "r", "wfdb")
    (tmp_path / "in" / "m.csv").write_text("file,lab:potassium,lab_minutes:potassium\nr.hea,<3.5,-30\n")
    done = auricle("convert", tmp_path / "in" / "m.csv", "-o", tmp_path / "out", "--to", "dicom")
    assert done.returncode == 0, done.stderr
    (before,), (after,) = (
        read_manifest(path) for path in (tmp_path / "in" / "m.csv", tmp_path / "out" / "records.csv")
    )
    assert (after.labs, after.lab_bounds, after.lab_minutes) == (before.labs, before.lab_bounds, before.lab_minutes)


def test_moments_of_a_long_table_stay_apart(tmp_path: Path) -> None:
    long = make_recording(np.tile(heart(5000), 51)[:2], 250, ["V1", "V2"], "r")
    lines = convert(long, tmp_path / "r", "csv").read_text().splitlines()
    times = [line.partition(",")[0] for line in lines[1:]]
    assert len(set(times)) == len(times)
    assert times[-1] == "1019.996"
