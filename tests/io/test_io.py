"""Readers: a round trip within one step, every trap of a header, and bytes that were damaged."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auricle
from auricle.age import DAYS_PER_YEAR, Age
from auricle.data.manifest import read_manifest
from auricle.data.sources import get_source, list_sources
from auricle.errors import DataError, ReadError
from auricle.io import read
from auricle.io.arrays import from_array
from auricle.leads import STANDARD
from auricle.signal.beats import find_beats
from auricle.signal.quality import quality
from auricle.simulate import cohort
from fakes import write_ptb_xl, write_wfdb


def trace(n_leads: int = 2, n: int = 1000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_leads, n)) * 0.3


@settings(deadline=None, max_examples=40)
@given(
    # Two limb leads at most: a third of noise would contradict them.
    st.lists(st.sampled_from(["I", "II", *STANDARD[6:], "V4R", "V7"]), min_size=1, max_size=10, unique=True),
    st.integers(1, 700),
    st.sampled_from([100.0, 200.0, 1000.0, 4880.0]),
    st.integers(-500, 500),
    st.sampled_from([0, 24]),
)
def test_wfdb_round_trip_within_one_step(leads: list[str], n: int, gain: float, baseline: int, offset: int) -> None:
    signal = trace(len(leads), n)
    signal[0, n // 2] = np.nan if n > 1 else 0.0
    with tempfile.TemporaryDirectory() as folder:
        recording = read(write_wfdb(Path(folder) / "r", signal, leads, 250, gain, baseline, offset=offset))
    assert recording.rate_hz == 250
    assert set(leads) <= set(recording.leads)
    for name, row in zip(leads, signal, strict=True):
        got = recording.signal[recording.leads.index(name)]
        assert np.array_equal(np.isnan(got), np.isnan(row))
        assert np.nanmax(np.abs(got - row)) <= 0.51 / gain + 1e-6


def test_a_record_is_found_by_any_of_its_names(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "r", trace(), ["I", "II"])
    for name in ("r.hea", "r.dat", "r"):
        assert read(tmp_path / name).record_id == "r"


def test_microvolts_comments_and_what_the_caller_knows(tmp_path: Path) -> None:
    header = write_wfdb(
        tmp_path / "r",
        trace() * 1000,
        ["I", "II"],
        gain=1,
        unit="uV",
        comments=["Age: 7.5 yr", "Sex: Female", "Dx: 1,2"],
    )
    recording = read(header)
    assert np.abs(recording.signal[0] - trace()[0]).max() < 0.001
    assert recording.age is not None
    assert recording.age.days == pytest.approx(7.5 * DAYS_PER_YEAR)
    assert (recording.sex, recording.labels) == ("F", ("1", "2"))
    assert read(header, age=Age(3), sex="M").age == Age(3)


def test_a_senseless_age_does_not_cost_the_recording(tmp_path: Path) -> None:
    header = write_wfdb(tmp_path / "r", trace(), ["I", "II"], comments=["Age: -4"])
    with pytest.warns(UserWarning, match="makes no sense"):
        assert read(header).age is None


def test_several_signal_files_and_a_missing_one(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "a", trace(1), ["I"])
    write_wfdb(tmp_path / "b", trace(1, seed=1), ["II"])
    lines = [(tmp_path / f"{name}.hea").read_text().splitlines()[1] for name in "ab"]
    (tmp_path / "r.hea").write_text("\n".join(["r 2 500 1000", *lines]))
    assert len(read(tmp_path / "r.hea").leads) == 6
    (tmp_path / "b.dat").unlink()
    with pytest.raises(ReadError, match=r"b\.dat is missing"):
        read(tmp_path / "r.hea")


def damaged(tmp_path: Path, **changes: object) -> Path:
    header = write_wfdb(tmp_path / "r", trace(), ["I", "II"])
    text = header.read_text()
    for old, new in changes.get("replace", {}).items():
        text = text.replace(old, new)
    header.write_text(text)
    data = tmp_path / "r.dat"
    data.write_bytes(data.read_bytes()[: changes.get("keep")])
    return header


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 1999}, "truncated"),
        ({"keep": 0}, "truncated"),
        ({"replace": {"r 2 500 1000": "r 2 500 99999999999"}}, "truncated"),
        ({"replace": {"r 2 500 1000": "r 2 500 10"}}, "header is wrong"),
        ({"replace": {"r 2 500 1000": "r 0 500 1000"}}, "no ECG"),
        ({"replace": {"r 2 500 1000": "r 9 500 1000"}}, "describes 2"),
        ({"replace": {"r 2 500 1000": "r/2 2 500 1000"}}, "several segments"),
        ({"replace": {"r 2 500 1000": "r 2 0.001 1000"}}, "not possible"),
        ({"replace": {"r.dat": "../r.dat"}}, "outside of its folder"),
        ({"replace": {" I\n": " banana\n", " II\n": " MLII\n"}}, r"is an ECG lead that auricle knows \(banana, MLII"),
        ({"replace": {" I\n": " vx\n", " II": " vy"}}, "is an ECG lead"),
        ({"replace": {"/mV": "/kg"}}, "unknown unit"),
        ({"replace": {"(0)": "(" + "9" * 400 + ")"}}, "no converter"),
        ({"replace": {"r.dat 16": "r.dat 212", "r 2 500 1000": "r 2 500 99999999999"}}, "announces"),
        ({"replace": {"r.dat": "x" * 300}}, "is missing"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ReadError, match=message) as caught:
        read(damaged(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert "r." in str(caught.value)


def test_what_is_no_ecg(tmp_path: Path) -> None:
    for name, content in (("empty.hea", b""), ("note.txt", b"Dear colleague"), ("noise.bin", bytes(range(256)) * 9)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadError):
            read(tmp_path / name)
    with pytest.raises(ReadError, match="no such file"):
        read(tmp_path / "absent.hea")
    for nowhere in (tmp_path, "", ".", "/", "x" * 400):
        with pytest.raises(ReadError):
            read(nowhere)
    header = write_wfdb(tmp_path / "nan", np.full((2, 50), np.nan), ["I", "II"])
    with pytest.raises(ReadError, match="no lead has a usable sample"):
        read(header)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_mutations_give_an_error_or_a_recording(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        header = write_wfdb(Path(folder) / "r", trace(2, 60), ["I", "II"], comments=["Age: 3 d"])
        target = data.draw(st.sampled_from([header, header.with_suffix(".dat")]))
        content = bytearray(target.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        target.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            message = ""
            try:
                assert read(header).signal.nbytes < 100_000
            except ReadError as error:
                message = str(error)
        assert "\n" not in message


def test_other_formats_are_read_by_the_wfdb_package(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb = pytest.importorskip("wfdb", reason="needs the extra wfdb")
        signal = trace()
        wfdb.wrsamp(
            "r", 500, ["mV", "mV"], ["I", "II"], p_signal=signal.T, fmt=["212", "212"],
            adc_gain=[500, 500], baseline=[0, 0], write_dir=str(tmp_path),
        )  # fmt: skip
        recording = read(tmp_path / "r.hea")
    assert np.abs(recording.signal[0] - signal[0]).max() < 0.003
    assert recording.leads == STANDARD[:6]


def test_arrays_say_what_is_wrong(tmp_path: Path) -> None:
    assert from_array(trace() * 1000, 500, ["I", "II"], unit="uV").leads == STANDARD[:6]
    with pytest.raises(DataError, match="transposed"):
        from_array(trace().T, 500, ["I", "II"])
    np.save(tmp_path / "bare.npy", trace())
    with pytest.raises(ReadError, match="neither rate nor leads"):
        read(tmp_path / "bare.npy")
    assert read(tmp_path / "bare.npy", rate_hz=500, leads=["I", "II"]).seconds == 2
    np.savez(tmp_path / "full.npz", signal=trace(), rate_hz=250, leads=["I", "II"], age="3d", sex="F")
    assert read(tmp_path / "full.npz", record_id="mine").record_id == "mine"
    assert read(tmp_path / "full.npz").age == Age(3)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ReadError, match="not a readable array"):
        read(tmp_path / "pickled.npy", rate_hz=1, leads=["I"])
    np.savez(tmp_path / "rates.npz", signal=trace(), rate_hz=[250, 500], leads=["I", "II"])
    with pytest.raises(ReadError, match="one number"):
        read(tmp_path / "rates.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "full.npz").read_bytes()[:700])
    with pytest.raises(ReadError):
        read(tmp_path / "cut.npz")


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_form_of_age_in_a_manifest(tmp_path: Path) -> None:
    for header, cell, days in (
        ("age", "5y4m", 5 * DAYS_PER_YEAR + 4 * DAYS_PER_YEAR / 12), ("age_days", "12.5", 12.5),
        ("age_years", "2.5", 2.5 * DAYS_PER_YEAR),
        ("birth_date,recording_date", "2024-01-01,2024-01-04", 3),
    ):  # fmt: skip
        (row,) = read_manifest(manifest(tmp_path, f"file,{header}\na.hea,{cell}\n"))
        assert row.age is not None
        assert row.age.days == pytest.approx(days)
    with pytest.warns(UserWarning, match="first year"):
        assert read_manifest(manifest(tmp_path, "file,age_years\na.hea,0\n"))[0].age is None


def test_a_whole_manifest_row(tmp_path: Path) -> None:
    text = (
        '\ufefffile;patient_id;sex;report;labels;fold;lab:troponin_ng_l;#note\na/x.hea;p;女;Said: "so";A; 3;12,5;mine\n'
    )
    (row,) = read_manifest(manifest(tmp_path, text))
    assert (row.record_id, row.patient_id, row.sex, row.fold) == ("x", "p", "F", 3)
    assert row.labs == {"troponin_ng_l": 12.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column `file`"),
        ("file\n", "lists no recording"),
        ("path\na.hea\n", "no column `file`"),
        ("file,agee\na,3d\n", "did you mean 'age'"),
        ("file,age,age_days\na,3d,3\n", "in 2 forms"),
        ("file,birth_date\na,2020-01-01\n", "needs both"),
    ],
)
def test_a_manifests_wrong_columns_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(manifest(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file\nx/a.hea\ny/a.hea\n", "the same record_id as line 2"),
        ("file,age\na,-3d\n", "negative age"),
        ("file,age_days\na,-3\n", "negative age"),
        ("file,sex\na,Secret Name\n", "sex should be F, M or empty"),
        ("file,age\na,Secret Name\n", "the age cannot be read"),
        ("file,fold\na,inf\n", "fold should be a number"),
        ("file,fold\na,2.7\n", "fold should be a whole number"),
        ("file,lab:crp\na,inf\n", "lab:crp should be a number"),
        ("file,age\na,3d,extra\n", "has another number of cells"),
        ("file,age\n,3d\n", "names no file"),
    ],
)
def test_a_rows_mistake_is_its_own_and_names_nobody(tmp_path: Path, text: str, problem: str) -> None:
    row = read_manifest(manifest(tmp_path, text))[-1]
    assert row.problem.startswith(problem)
    assert "Secret" not in row.problem


def test_ptb_xl_in_its_native_layout(tmp_path: Path) -> None:
    root = write_ptb_xl(tmp_path)
    for rate_hz in (100, 500):
        source = get_source("ptb_xl", rate_hz=rate_hz)
        rows = source.index(root).to_dict("records")
        recordings = [source.read(root, row) for row in rows[:-1]]
        assert {recording.rate_hz for recording in recordings} == {rate_hz}
        assert [recording.sex for recording in recordings[:2]] == ["F", "M"]
        assert recordings[0].age is not None
        assert recordings[0].age.resolution_days == DAYS_PER_YEAR
        assert recordings[1].age is recordings[2].age is None
        assert recordings[0].labels == ("NORM", "SR")
        assert recordings[0].patient_id == "1000"
        with pytest.raises(ReadError):
            source.read(root, rows[-1])
    with pytest.raises(DataError, match="no ptbxl_database"):
        get_source("ptb_xl").index(tmp_path / "records100")
    assert {"ptb_xl", "manifest", "simulated"} <= set(list_sources())


def test_real_recordings_of_every_kind(real_data: Path) -> None:
    source = get_source("ptb_xl")
    rows = source.index(real_data / "ptb-xl").to_dict("records")
    assert len(rows) == 339
    for row in rows[::20]:
        recording = source.read(real_data / "ptb-xl", row)
        assert recording.leads == STANDARD
        law = recording.signal[0] + recording.signal[2] - recording.signal[1]
        assert np.nanmax(np.abs(law)) < 0.01
    children = [auricle.read(path) for path in sorted((real_data / "zzu-pecg").glob("*.hea"))]
    assert len(children) == 11
    assert all(child.age is not None and 100 < child.age.days < 15 * DAYS_PER_YEAR for child in children)
    challenge = [read(path) for path in sorted((real_data / "challenge-2021").glob("*.hea"))]
    assert len(challenge) > 50
    assert all(recording.labels for recording in challenge)
    ludb = [read(path) for path in sorted((real_data / "ludb" / "data").glob("*.hea"))[:10]]
    assert all(recording.age is not None and recording.sex for recording in ludb)


def test_the_real_header_that_lies(real_data: Path) -> None:
    """Its third signal file is missing; the twelve leads are in the file that is there."""
    with pytest.warns(UserWarning, match="channels vx, vy, vz are no ECG lead that auricle knows and are left out"):
        assert read(real_data / "vendor" / "s0010_re.hea").leads == STANDARD


@pytest.mark.parametrize("age_days", [3.0, 40.0, 1500.0, 12_000.0])
def test_beats_are_found_at_every_age(age_days: float) -> None:
    people = cohort(8, 4, ages=np.full(8, age_days), diagnoses={})
    errors = []
    for recording, measured in zip(people.recordings(), people.measurements, strict=True):
        beats = find_beats(recording.signal, recording.leads, recording.rate_hz)
        found = 60 * recording.rate_hz / np.median(np.diff(beats))
        errors.append(abs(found - measured["heart_rate"]) / measured["heart_rate"])
    assert np.median(errors) < 0.03
    assert max(errors) < 0.15


def test_beats_where_there_are_none() -> None:
    assert len(find_beats(np.zeros((1, 2000), dtype=np.float32), ["I"], 500)) == 0
    assert len(find_beats(np.full((1, 2000), np.nan, dtype=np.float32), ["I"], 500)) == 0
    assert len(find_beats(trace(1, 100).astype(np.float32), ["I"], 500)) == 0


def test_quality_orders_what_it_measures() -> None:
    recording = next(cohort(1, 2, diagnoses={}).recordings())
    clean = quality(recording.signal, recording.leads, 500)
    noisy = recording.signal + np.random.default_rng(0).normal(size=recording.signal.shape).astype(np.float32) * 0.2
    assert quality(noisy, recording.leads, 500)["noise_mv"] > 2 * clean["noise_mv"]
    assert clean["einthoven_error_mv"] < 1e-4
    assert clean["missing_fraction"] == 0
    worse = recording.signal.copy()
    worse[3, :2500] = np.nan
    worse[4, 1000:2000] = 0.123
    worse[5] = worse[5].clip(-0.05, 0.05)
    measured = quality(worse, recording.leads, 500)
    assert measured["missing_fraction"] == pytest.approx(0.5 / 12)
    assert measured["flat_fraction"] >= 0.2 / 12
    assert all(np.isfinite(value) for value in measured.values())
    assert np.isnan(quality(recording.signal[:1], recording.leads[:1], 500)["einthoven_error_mv"])
