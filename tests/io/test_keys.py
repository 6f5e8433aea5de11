"""Files of arrays: .npz, MATLAB and HDF5 in the words of other programs, and what in them is not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.errors import DataError, ReadError
from auricle.io import read
from auricle.io.arrays import from_array
from auricle.io.keys import known_of
from auricle.io.units import is_without_volts, millivolts_per
from auricle.leads import STANDARD
from fakes import heart

SIGNAL = heart(1000)


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **({"signal": SIGNAL, "rate_hz": 500, "leads": STANDARD} | arrays))
    return folder / "a.npz"


@pytest.mark.parametrize(
    "keys",
    [("signals", "fs", "lead_names"), ("ecg", "sampling_rate", "channels"), ("Sig", "Sampling Frequency", "sig_name"),
     ("p_signal", "sfreq", "ch_names"), ("val", "FS", "Leads"), ("data", "sample-rate", "channel_names")],
)  # fmt: skip
def test_keys_as_others_spell_them(tmp_path: Path, keys: tuple[str, str, str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (SIGNAL, 250, STANDARD), strict=True)))
    (tmp_path / "a.npz").rename(tmp_path / "by-content")
    recording = read(tmp_path / "by-content")
    assert (recording.rate_hz, recording.leads, recording.notes) == (250, STANDARD, ())
    assert np.allclose(recording.signal, SIGNAL, atol=1e-6)


@pytest.mark.parametrize("key", ["unit", "units", "Units"])
@pytest.mark.parametrize(
    ("unit", "per_mv"), [("uV", 1e3), ("µV", 1e3), ("μV", 1e3), ("V", 1e-3), ("mV", 1), ("nV", 1e6)]
)
def test_a_unit_in_an_archive_is_obeyed(tmp_path: Path, key: str, unit: str, per_mv: float) -> None:
    recording = read(npz(tmp_path, signal=SIGNAL * per_mv, **{key: unit}))
    assert recording.amplitude_known
    assert np.allclose(recording.signal, SIGNAL, atol=1e-4)


def test_a_unit_for_each_lead(tmp_path: Path) -> None:
    units = ["mV"] * 6 + ["uV"] * 6
    signal = SIGNAL * np.array([[1000.0] if unit == "uV" else [1.0] for unit in units])
    assert np.allclose(read(npz(tmp_path, signal=signal, unit=units)).signal, SIGNAL, atol=1e-4)
    with pytest.raises(ReadError, match="5 units for 12 rows"):
        read(npz(tmp_path, unit=units[:5]))
    with pytest.raises(ReadError, match="unknown unit 'kg'"):
        read(npz(tmp_path, unit="kg"))


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"signal": np.rint(SIGNAL * 5).astype(np.int16)}, "whole numbers without a unit are counts"),
        ({"unit": "counts"}, "the unit 'counts' is no voltage"), ({"units": "z-score"}, "the unit 'z-score' is no"),
        ({"signal": SIGNAL * 1000}, "no heart gives more than 10 mV"), ({"signal": SIGNAL / 1000}, "these are volts"),
        ({"signal": SIGNAL * 1000, "unit": "mV"}, "no heart gives more"),
    ],
)  # fmt: skip
def test_without_a_true_unit_no_amplitude_is_known(tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
    with pytest.warns(UserWarning, match=why):
        recording = read(npz(tmp_path, **arrays))
    assert not recording.amplitude_known
    assert len(recording.notes) == 1
    assert read(npz(tmp_path, signal=np.rint(SIGNAL * 1000).astype(np.int16)), unit="uV").amplitude_known


@pytest.mark.parametrize(
    ("arrays", "days"),
    [({"age": "3d"}, 3), ({"age": 40}, 40 * DAYS_PER_YEAR), ({"age_days": 12.5}, 12.5),
     ({"age_months": 5}, 5 * DAYS_PER_MONTH),     ({"age_years": "7.5"}, 7.5 * DAYS_PER_YEAR),
     ({"Age_Days": "12"}, 12), ({"age_days": "2 wk"}, 14),
     ({"age": np.nan}, None), ({"age": "unknown"}, None), ({"age_days": np.nan}, None)],
)  # fmt: skip
def test_ages_in_archives(tmp_path: Path, arrays: dict[str, Any], days: float | None) -> None:
    age = read(npz(tmp_path, **arrays)).age
    assert age is None if days is None else age is not None and age.days == pytest.approx(days)


@pytest.mark.parametrize(
    ("arrays", "days"),
    [({"gestational_age": "30+2"}, 212), ({"GA": 30.5}, 213.5), ({"gestation_days": 212.0}, 212),
     ({"ga_weeks": 38}, 266), ({"gestational_age_days": "31+0"}, 217), ({"gestation": "unknown"}, None)],
)  # fmt: skip
def test_gestations_in_archives(tmp_path: Path, arrays: dict[str, Any], days: float | None) -> None:
    assert read(npz(tmp_path, **arrays)).gestation_days == (None if days is None else pytest.approx(days))


@pytest.mark.parametrize(
    "arrays", [{"age": "-3"}, {"age": "old"}, {"age": [3, 4]}, {"sex": "x"}, {"sex": 1}, {"age_days": -2}, {"ga": 12}]
)
def test_what_makes_no_sense_is_unknown_and_named(tmp_path: Path, arrays: dict[str, Any]) -> None:
    (name,) = arrays
    with pytest.warns(
        UserWarning, match=f"a.npz: {name} in the file cannot be read and is treated as unknown"
    ) as caught:
        recording = read(npz(tmp_path, **arrays))
    assert (recording.age, recording.sex, recording.gestation_days) == (None, None, None)
    assert "old" not in str(caught[0].message), "no cell is repeated"


def test_what_else_is_known_and_what_is_not_read(tmp_path: Path) -> None:
    known = {"gender": "female", "Labels": "NORM; SR", "patient_id": 17, "text_report": "sinus rhythm", "record": "r7"}
    recording = read(npz(tmp_path, **known))
    assert (recording.sex, recording.labels, recording.patient_id) == ("F", ("NORM", "SR"), "17")
    assert (recording.report, recording.record_id) == ("sinus rhythm", "r7")
    with pytest.warns(UserWarning, match="the file also holds data, mystery: not read"):
        read(npz(tmp_path, data=SIGNAL, mystery=np.zeros(3)))
    with pytest.warns(UserWarning, match="labels in the file cannot be read"):
        assert read(npz(tmp_path, labels=np.zeros(3))).labels == ()
    assert read(npz(tmp_path, sex="female"), sex="M").sex == "M", "the caller knows better"
    assert read(npz(tmp_path, leads=np.array(STANDARD, dtype="S4"))).leads == STANDARD
    assert read(npz(tmp_path, leads=",".join(STANDARD))).leads == STANDARD


def test_what_is_pickled_is_named_and_never_opened(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="leads in it is a pickled object, which is never opened"):
        read(npz(tmp_path, leads=np.array(list(STANDARD), dtype=object)))
    with pytest.warns(UserWarning, match="extra in the file is pickled and not read"):
        assert read(npz(tmp_path, extra=np.array([{"a": 1}], dtype=object))).leads == STANDARD
    np.savez(tmp_path / "b.npz", signal=SIGNAL, leads=STANDARD)
    with pytest.raises(ReadError, match="says no rate"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("form", ["4", "5"])
def test_matlab_files_that_say_all_of_it(tmp_path: Path, form: str) -> None:
    from scipy.io import savemat

    leads = np.array([f"{name:3}" for name in STANDARD])
    savemat(tmp_path / "a.mat", {"val": SIGNAL, "fs": 250.0, "leads": leads, "units": "mV", "sex": "F"}, format=form)
    recording = read(tmp_path / "a.mat")
    assert (recording.rate_hz, recording.leads, recording.sex) == (250, STANDARD, "F")
    assert np.allclose(recording.signal, SIGNAL, atol=1e-6)
    savemat(tmp_path / "b.mat", {"val": np.rint(SIGNAL * 1000).astype(np.int16)}, format=form)
    with pytest.warns(UserWarning, match="whole numbers without a unit are counts"):
        assert not read(tmp_path / "b.mat", rate_hz=500, leads=STANDARD).amplitude_known
    content = (tmp_path / "b.mat").read_bytes()
    (tmp_path / "c.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReadError, match="truncated or damaged"):
        read(tmp_path / "c.mat", rate_hz=500, leads=STANDARD)


def test_matlab_cells_of_names(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"ecg": SIGNAL, "Fs": 500.0, "leads": np.array(STANDARD, dtype=object)})
    assert read(tmp_path / "a.mat").leads == STANDARD


def test_matlab_of_level_7_has_its_axes_turned(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("val", data=SIGNAL.T)
        file.create_dataset("fs", data=[[500.0]])
        text = file.create_dataset("sex", data=np.array([[ord("F")]], dtype=np.uint16))
        text.attrs["MATLAB_class"] = np.bytes_("char")
    with (tmp_path / "a.mat").open("r+b") as content:
        content.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128))
    recording = read(tmp_path / "a.mat", leads=STANDARD)
    assert (recording.leads, recording.sex, recording.rate_hz) == (STANDARD, "F", 500)
    assert np.allclose(recording.signal, SIGNAL, atol=1e-6)


def test_hdf5_that_says_all_of_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"], file["sampling_rate"], file["units"] = SIGNAL * 1000, 400, "uV"
        file["lead_names"] = list(STANDARD)
    recording = read(tmp_path / "a.h5")
    assert (recording.leads, recording.rate_hz) == (STANDARD, 400)
    assert np.allclose(recording.signal, SIGNAL, atol=1e-4)


def test_units_of_voltage_and_of_nothing() -> None:
    for unit in ("mV", "MV", " mv ", "millivolts", "毫伏", "ｍＶ"):
        assert millivolts_per(unit) == 1
    for unit in ("uV", "UV", "µV", "μV", "uVolt", "microvolts", "Mikrovolt", "mcV", "微伏"):
        assert millivolts_per(unit) == pytest.approx(0.001)
    assert millivolts_per("nV") == pytest.approx(1e-6)
    assert millivolts_per("Volt") == 1000
    for unit in ("", "kg", "mVV", "pV", "uS", "mmHg", "%"):
        with pytest.raises(DataError, match="unknown unit"):
            millivolts_per(unit)
    assert is_without_volts("NU")
    assert not is_without_volts("mmHg")


def test_from_memory_the_reason_stays_with_the_recording() -> None:
    recording = from_array(SIGNAL * 1000, 500, STANDARD, patient_id="p", notes=("mine",))
    assert not recording.amplitude_known
    assert recording.notes[-1] == "mine"
    assert len(recording.notes) == 2
    assert from_array(SIGNAL * 1000, 500, STANDARD, amplitude_known=False).notes == ()
    assert known_of({"signal": SIGNAL})[0]["signal"] is SIGNAL
