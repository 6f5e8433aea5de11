"""WFDB obeyed: calibration, skew, frames, baselines, checksums, and headers in every text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from auricle.errors import ReadError
from auricle.io import read
from auricle.leads import STANDARD
from fakes import heart, write_by_wfdb

SIGNAL = heart(2000)
# Formats that the package reads and does not write.
BY_HAND: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "61": lambda counts: counts.astype(">i2"),
    "160": lambda counts: (counts + 2**15).astype("<u2"),
    "212": lambda counts: packed_212(counts.reshape(-1)),
}
COUNTS = np.rint(SIGNAL * 1000).astype("<i2")


def write(
    folder: Path,
    counts: np.ndarray = COUNTS,
    kinds: Sequence[str] = ("16",) * 12,
    gains: Sequence[str] = ("1000/mV",) * 12,
    names: Sequence[str] = STANDARD,
    checksums: Sequence[int] | None = None,
    zero: int = 0,
    rate: str = "500",
) -> Path:
    """A record `r` of (lead, time) counts with true checksums, or those given."""
    counts = counts.astype("<i2")
    (folder / "r.dat").write_bytes(counts.T.tobytes())
    sums = checksums if checksums is not None else [int(row.sum(dtype=np.int64)) % 65536 for row in counts]
    lines = [f"r {len(counts)} {rate} {counts.shape[1]}"]
    lines += [
        f"r.dat {kind} {gain} 16 {zero} {row[0]} {total} 0 {name}"
        for kind, gain, row, total, name in zip(kinds, gains, counts, sums, names, strict=True)
    ]
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r.hea"


def packed_212(counts: np.ndarray) -> np.ndarray:
    """Pairs of twelve bits in three bytes: the low byte of each, and their high halves between them (signal(5))."""
    one, other = counts[::2] & 0xFFF, counts[1::2] & 0xFFF
    return np.stack([one & 0xFF, (one >> 8) | ((other >> 8) << 4), other & 0xFF], axis=1).astype(np.uint8)


def test_skew_is_taken_back(tmp_path: Path) -> None:
    late = COUNTS.copy()
    late[1] = np.roll(COUNTS[1], 20)
    kinds = ["16", "16:20", *["16"] * 10]
    recording = read(write(tmp_path, late, kinds))
    assert np.allclose(recording.signal[1, :-20], SIGNAL[1, :-20], atol=0.001)
    assert np.isnan(recording.signal[1, -20:]).all()
    assert np.isfinite(np.delete(recording.signal, 1, axis=0)).all()
    header = write(tmp_path, late[:, :10], ["16", "16:200", *["16"] * 10])
    assert np.isnan(read(header).signal[1]).sum() == 0, "a lead without a sample is derived"


@pytest.mark.parametrize("fmt", ["212", "80", "24", "32", "61", "160"])
def test_other_formats_obey_the_same_rules(tmp_path: Path, fmt: str) -> None:
    small = np.rint(SIGNAL[:2] * 100).astype(int)  # format 80 has eight bits
    late = np.stack([small[0], np.roll(small[1], 7)])
    header = write_by_wfdb(tmp_path / "r", late, ["I", "II"], "16" if fmt in BY_HAND else fmt, 100)
    if fmt in BY_HAND:
        (tmp_path / "r.dat").write_bytes(BY_HAND[fmt](late.T).tobytes())
        header.write_text(header.read_text().replace("r.dat 16 ", f"r.dat {fmt} "))
    lines = header.read_text().splitlines()
    lines[2] = lines[2].replace(f"r.dat {fmt} ", f"r.dat {fmt}:7 ")
    header.write_text("\ufeff" + "\r".join(lines), encoding="utf-16-le")
    recording = read(header)
    assert np.allclose(recording.signal[0], small[0] / 100, atol=1e-6)
    assert np.allclose(recording.signal[1, :-7], small[1, :-7] / 100, atol=1e-6)
    assert np.isnan(recording.signal[1, -7:]).all()
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError):
        read(header)


def test_frames_of_several_samples(tmp_path: Path) -> None:
    frames = np.concatenate([COUNTS.reshape(12, -1, 2).transpose(1, 0, 2).reshape(1000, 24), np.full((1000, 1), 70)], 1)
    (tmp_path / "r.dat").write_bytes(frames.astype("<i2").tobytes())
    lines = ["r 13 250 1000", *(f"r.dat 16x2 1000/mV 16 0 {row[0]} {int(row.sum()) % 65536} 0 {name}" for row, name in
                                zip(COUNTS.astype(int), STANDARD, strict=True)),
             f"r.dat 16 1/mmHg 16 0 70 {70 * 1000 % 65536} 0 ABP"]  # fmt: skip
    (tmp_path / "r.hea").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="channel ABP"):
        recording = read(tmp_path / "r.hea")
    assert recording.rate_hz == 500
    assert np.allclose(recording.signal, SIGNAL, atol=0.001)
    (tmp_path / "r.hea").write_text("\n".join(lines).replace("0 ABP", "0 V7").replace("mmHg", "mV"))
    with pytest.raises(ReadError, match="sampled at different rates"):
        read(tmp_path / "r.hea")


@pytest.mark.parametrize(
    "gain",
    ["1000/mV", "1000", "1000(0)", "1(0)/uV", "1/µV", "1/μV", "1e6/V", "0.001/nV", "1000/MV", "1/UV", "1/microvolt",
     "1/uVolts", "1/微伏", "1000/millivolts"],
)  # fmt: skip
@pytest.mark.parametrize("written", ["utf-8", "gb18030"])
def test_every_unit_of_voltage(tmp_path: Path, gain: str, written: str) -> None:
    if not {"µ"} & set(gain) or written == "utf-8":
        header = write(tmp_path, gains=[gain] * 12)
        header.write_bytes(header.read_text().encode(written))
        recording = read(header)
        assert recording.amplitude_known
        assert np.allclose(recording.signal, SIGNAL, atol=0.001)


def test_units_in_latin_1_and_different_by_channel(tmp_path: Path) -> None:
    gains = ["1/µV" if number % 2 else "1000000/V" for number in range(12)]
    header = write(tmp_path, gains=gains)
    header.write_bytes(header.read_text().encode("latin-1"))
    assert np.allclose(read(header).signal, SIGNAL, atol=0.001)


@pytest.mark.parametrize("gain", ["0", "0(0)/mV", "0/uV", "1000/NU", "1/adu"])
def test_without_a_gain_no_amplitude_is_known(tmp_path: Path, gain: str) -> None:
    with pytest.warns(UserWarning, match=r"r\.hea: the header is uncalibrated: it gives no gain"):
        recording = read(write(tmp_path, gains=[gain] * 12))
    assert not recording.amplitude_known
    with pytest.warns(UserWarning, match="of V1, V2 it gives no gain"):
        assert not read(write(tmp_path, gains=["1000/mV"] * 6 + [gain] * 2 + ["1000/mV"] * 4)).amplitude_known
    (tmp_path / "r.hea").write_text("r 12 500 2000\n" + "r.dat 16\n" * 12)
    with pytest.raises(ReadError, match=r"none of its 12 channels is an ECG lead that auricle knows \(\(no name\)\)"):
        read(tmp_path / "r.hea")


def test_a_gain_that_cannot_be_true_is_doubted(tmp_path: Path) -> None:
    for gain, beats in (("1/mV", "no heart gives more"), ("1000000/mV", "these are volts")):
        with pytest.warns(UserWarning, match=beats):
            assert not read(write(tmp_path, gains=[gain] * 12)).amplitude_known


def test_a_baseline_is_the_zero_of_the_converter_where_none_is_given(tmp_path: Path) -> None:
    for gain, zero in (("1000/mV", 1024), ("1000(1024)/mV", 0), ("1000(1024)/mV", 77)):
        recording = read(write(tmp_path, COUNTS + 1024, gains=[gain] * 12, zero=zero))
        assert np.allclose(recording.signal, SIGNAL, atol=0.001)


def test_a_foreign_channel_of_any_unit_is_not_read(tmp_path: Path) -> None:
    for name, gain in (("PLETH", "100/NU"), ("SpO2", "10/%"), ("ABP", "20/mmHg"), ("", "1000/mV"), ("MLII", "0/mV")):
        header = write(tmp_path, np.vstack([COUNTS, COUNTS[:1]]), ["16"] * 13, ["1000/mV"] * 12 + [gain],
                       [*STANDARD, name])  # fmt: skip
        with pytest.warns(UserWarning, match="no ECG lead that auricle knows and is left out"):
            recording = read(header)
        assert recording.leads == STANDARD
        assert recording.amplitude_known
        assert len(recording.notes) == 1
    with pytest.raises(ReadError, match="unknown unit 'kg'"):
        read(write(tmp_path, gains=["1000/kg"] * 12))


def test_checksums_and_first_values_name_the_channels_they_do_not_fit(tmp_path: Path) -> None:
    changed = COUNTS.copy()
    changed[7, 300] += 5
    sums = [int(row.sum(dtype=np.int64)) % 65536 for row in COUNTS]
    with pytest.warns(
        UserWarning, match="the samples of V2 are not those .* was changed, or belongs to another header"
    ):
        read(write(tmp_path, changed, checksums=sums))
    read(write(tmp_path, COUNTS, checksums=[total - 65536 for total in sums]))  # signed, as others write them
    read(write(tmp_path, changed, checksums=[0] * 12))  # never computed
    order = [1, 0, *range(2, 12)]
    with pytest.warns(UserWarning, match="the samples of I, II are not .* in another order than the header says"):
        read(write(tmp_path, COUNTS[order], checksums=sums))
    header = write(tmp_path)
    header.write_text(header.read_text().replace(f" {COUNTS[4, 0]} {sums[4]} ", f" {COUNTS[4, 0] + 1} {sums[4]} "))
    with pytest.warns(UserWarning, match="the samples of aVL "):
        read(header)


def test_exchanged_bytes_are_told_by_checksums(tmp_path: Path) -> None:
    header = write(tmp_path)
    (tmp_path / "r.dat").write_bytes(COUNTS.T.astype(">i2").tobytes())
    with pytest.raises(ReadError, match="the format is 61, not 16"):
        read(header)
    header.write_text(header.read_text().replace("r.dat 16 ", "r.dat 61 "))
    pytest.importorskip("wfdb")
    assert np.allclose(read(header).signal, SIGNAL, atol=0.001)


@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff# made by X\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("written", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_headers_in_every_text(tmp_path: Path, mark: str, end: str, written: str) -> None:
    text = mark + write(tmp_path).read_text() + "# Sex: F\n"
    if written != "utf-32-le" or mark:
        (tmp_path / "r.hea").write_bytes(text.replace("\n", end).encode(written))
        recording = read(tmp_path / "r.hea")
        assert (recording.record_id, recording.sex) == ("r", "F")
        assert np.allclose(recording.signal, SIGNAL, atol=0.001)


def test_chinese_and_german_comments_without_a_code_page(tmp_path: Path) -> None:
    for word, written, sex in (("女", "gb18030", "F"), ("männlich", "latin-1", "M")):
        content = write(tmp_path).read_text() + f"# 姓名: 某某\n# Sex: {word}\n"
        (tmp_path / "r.hea").write_bytes(content.encode(written, "replace"))
        assert read(tmp_path / "r.hea").sex == sex


@pytest.mark.parametrize(
    ("record", "file"),
    [
        ("my rec", "my rec.dat"),
        ("rec 1", "rec 16 b.dat"),
        ("ge/1_medians", "r.dat"),
        ("r", "a  b.dat"),
        ("r.mat", "r.dat"),
    ],
)
def test_names_with_blanks_folders_and_suffixes(tmp_path: Path, record: str, file: str) -> None:
    header = write(tmp_path)
    (tmp_path / "r.dat").rename(tmp_path / file)
    header.write_text(header.read_text().replace("r.dat", file).replace("r 12 500", f"{record} 12 500"))
    recording = read(header)
    assert recording.record_id == record.removeprefix("ge/").removesuffix(".mat")
    assert np.allclose(recording.signal, SIGNAL, atol=0.001)


def test_a_record_line_that_runs_into_the_next_is_no_header(tmp_path: Path) -> None:
    header = write(tmp_path)
    text = header.read_text().replace("r 12 500 2000\nr.dat 16 1000/mV", "r 12 500 2000000/mV")
    header.write_text(text)
    with pytest.raises(ReadError, match="its first line should be `name signals rate samples`"):
        read(header)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [("r.dat 16 ", "r.dat 999 ", "signal format '999' is not supported"), ("1000/mV", "1000,0(0)/mV", "gain '1000,0"),
     ("1000/mV", "1,000", "gain '1,000'"), ("r.dat 16 ", "r.dat 16.5 ", "signal format '16.5' is not supported"),
     ("r.dat 16 1000/mV", "r.dat 99 1000", "signal format '99'")],
)  # fmt: skip
def test_a_damaged_field_is_not_taken_for_a_name(tmp_path: Path, old: str, new: str, reason: str) -> None:
    header = write(tmp_path)
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(ReadError, match=reason):
        read(header)
