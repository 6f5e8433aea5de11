"""The samples of a WFDB record as counts: formats 16 and 61 by our own reader (an order of magnitude faster), others by
the wfdb package.

Source: WFDB signal(5) and header(5), physionet.org. Memory is taken by the size of the signal file, and a header that
claims more or less than the file holds is an error, not a padded record. What a header says of the samples themselves,
their first value and their checksum, is compared with them.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ReadError, require
from auricle.io.names import signal_file
from auricle.io.wfdb_header import Channel, Header
from auricle.leads import shown

Counts = NDArray[np.integer[Any]]

# No format, compressed ones included, packs more samples than this into a byte.
_SAMPLES_PER_BYTE: Final = 16
# Bits a sample takes in its file, for formats in which that is fixed.
_BITS: Final[Mapping[int, float]] = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12}
# Samples of two bytes, the lower or the higher one first.
_ORDER_16: Final[Mapping[int, str]] = {16: "<i2", 61: ">i2"}
# The count that stands for a missing sample; format 8 holds differences and has none.
_MISSING: Final[Mapping[int, int]] = {
    16: -(2**15), 24: -(2**23), 32: -(2**31), 61: -(2**15), 80: -(2**7), 160: -(2**15), 212: -(2**11), 310: -(2**9),
    311: -(2**9), 508: -(2**7), 516: -(2**15), 524: -(2**23),
}  # fmt: skip
_CHECKSUM: Final = 2**16
# Whole numbers up to this, and their sums with samples of 16 bits, are exact in single precision.
_EXACT_IN_32: Final = 2**23


def read_counts(path: Path, header: Header, keep: Sequence[int]) -> tuple[dict[int, Counts], tuple[str, ...]]:
    """The counts of some channels as the files hold them, by number, and what is wrong with them.

    Raises:
        ReadError: a signal file is missing, truncated, of another length than the header says, or has its bytes in
            another order.
    """
    counts: dict[int, Counts] = {}
    for name in dict.fromkeys(header.channels[number].file for number in keep):
        members = [number for number, channel in enumerate(header.channels) if channel.file == name]
        file = signal_file(path, name)
        n_frames = _frames(file, header, members)
        read = _read_16 if header.channels[members[0]].format in _ORDER_16 else _read_by_wfdb
        counts |= read(file, header, members, n_frames)
    lengths = {len(counts[number]) // header.channels[number].per_frame for number in keep}
    if len(lengths) != 1:
        raise ReadError(f"{path}: its signal files have different lengths {sorted(lengths)}")
    kept = {number: counts[number] for number in keep}
    return kept, _check_against_header(path, header, kept)


def in_time(counts: Counts, channel: Channel) -> NDArray[np.floating[Any]]:
    """Counts from 0 V as numbers: missing ones NaN, and those that come late in the file moved to their place."""
    exact_in_32 = counts.dtype.itemsize <= 2 and abs(channel.baseline) < _EXACT_IN_32
    kind: type[np.floating[Any]] = np.float32 if exact_in_32 else np.float64
    values = counts.astype(kind) - kind(channel.baseline)
    values[counts == _MISSING.get(channel.format, np.inf)] = np.nan
    late = min(channel.skew * channel.per_frame, len(values))
    moved: NDArray[np.floating[Any]] = np.full_like(values, np.nan)
    moved[: len(values) - late] = values[late:]
    return moved


def _frames(file: Path, header: Header, members: list[int]) -> int | None:
    """How many frames a file holds by the header, checked against its size; None where only its content tells."""
    channels = [header.channels[number] for number in members]
    held = max(0, file.stat().st_size - channels[0].offset)
    width = sum(channel.per_frame for channel in channels)
    bits = _BITS.get(channels[0].format)
    if len({channel.format for channel in channels}) > 1:
        raise ReadError(f"{file}: has signals of different formats in one file by its header; the header is damaged")
    if bits is None:
        if (header.n_samples or 0) * width > _SAMPLES_PER_BYTE * held:
            raise ReadError(f"{file}: announces {header.n_samples} samples, holds {held} bytes")
        return header.n_samples
    frame = width * bits / 8
    n_frames = int(held // frame) if header.n_samples is None else header.n_samples
    if held < int(n_frames * frame):
        raise ReadError(
            f"{file}: holds {held} bytes where its header announces {n_frames * frame:.0f}: "
            "truncated, or the header is wrong; copy it again"
        )
    if held - n_frames * frame >= max(frame, 4):
        raise ReadError(
            f"{file}: holds {held} bytes where its header announces {n_frames * frame:.0f}: the header is wrong "
            "about the length or the number of signals"
        )
    if n_frames == 0:
        raise ReadError(f"{file}: holds no sample")
    return n_frames


def _read_16(file: Path, header: Header, members: list[int], n_frames: int | None) -> dict[int, Counts]:
    """Every channel of a file whose frames hold the samples of one channel after the other."""
    widths = [header.channels[number].per_frame for number in members]
    first = header.channels[members[0]]
    values = np.fromfile(file, dtype=_ORDER_16[first.format], count=(n_frames or 0) * sum(widths), offset=first.offset)
    frames = values.reshape(-1, sum(widths))
    ends = np.cumsum(widths)
    return {
        number: frames[:, end - width : end].reshape(-1)
        for number, width, end in zip(members, widths, ends, strict=True)
    }


def _read_by_wfdb(file: Path, header: Header, members: list[int], n_frames: int | None) -> dict[int, Counts]:
    """Any other format. The package gets a plain header of our making: names and text need not suit it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        wfdb = require("wfdb", "wfdb")
    channels = [header.channels[number] for number in members]
    length = "" if n_frames is None else f" {n_frames}"
    lines = [f"r {len(channels)} {header.rate_hz:.10g}{length}"]
    lines += [
        f"r.dat {channel.format}x{channel.per_frame}+{channel.offset} 1(0)/mV 0 0 {channel.first or 0} 0 0 c{number}"
        for number, channel in enumerate(channels)
    ]
    with tempfile.TemporaryDirectory(prefix="auricle-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the package itself uses
        (Path(folder) / "r.hea").write_text("\n".join(lines) + "\n", encoding="ascii")
        try:
            (Path(folder) / "r.dat").symlink_to(file.absolute())
        except OSError:  # where links are not allowed
            shutil.copyfile(file, Path(folder) / "r.dat")
        try:
            # As counts it refuses formats with their bytes in another order; with a gain of 1 they are the same.
            record = wfdb.rdrecord(str(Path(folder) / "r"), smooth_frames=False)
        except Exception as error:  # the package raises whatever its parser trips over
            reason = f"{type(error).__name__}: {error}".replace(folder, "").splitlines()[0]
            raise ReadError(f"{file}: the wfdb package cannot read it ({reason})") from None
    missing = _MISSING.get(channels[0].format, 0)
    rows = [np.where(np.isnan(row), missing, row).astype(np.int64) for row in record.e_p_signal]
    return dict(zip(members, rows, strict=True))


def _check_against_header(path: Path, header: Header, counts: Mapping[int, Counts]) -> tuple[str, ...]:
    """What first values and checksums say; nothing where the header's writer left them all at 0.

    Raises:
        ReadError: the checksums are right for samples whose two bytes are exchanged.
    """
    channels = header.channels
    wrong: list[int] = []
    if any(channel.checksum for channel in channels):
        wrong = [n for n, row in counts.items() if not _sums_to(row, channels[n].checksum)]
        swapped = [row.byteswap() for n, row in counts.items() if channels[n].format in _ORDER_16]
        if len(wrong) == len(swapped) == len(counts) and all(
            _sums_to(row, channels[n].checksum) for n, row in zip(counts, swapped, strict=True)
        ):
            raise ReadError(
                f"{path}: its checksums are right if the two bytes of every sample are exchanged: the format is "
                f"{'61, not 16' if channels[0].format == 16 else '16, not 61'}; correct it in the header"
            )
    if any(channel.first for channel in channels):
        wrong += [n for n, row in counts.items() if channels[n].first not in (None, int(row[0]))]
    if not wrong:
        return ()
    if sorted(map(_sum, counts.values())) == sorted((channels[n].checksum or 0) % _CHECKSUM for n in counts):
        why = "they fit those of one another, so the channels are in another order than the header says"
    else:
        why = "the signal file was changed, or belongs to another header"
    names = "all channels" if len(set(wrong)) == len(counts) else shown([channels[n].name for n in sorted(set(wrong))])
    return (
        f"the samples of {names} are not those that the header's checksums and first values belong to: {why}; copy "
        "both files again",
    )


def _sums_to(row: Counts, checksum: int | None) -> bool:
    return checksum is None or _sum(row) == checksum % _CHECKSUM


def _sum(row: Counts) -> int:
    return int(row.sum(dtype=np.int64)) % _CHECKSUM
