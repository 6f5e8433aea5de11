"""WFDB: the PhysioNet format. Format 16 by our own reader (an order of magnitude faster), the rest by the wfdb package.

Source: WFDB header specification header(5) and signal(5), physionet.org. A header is never trusted: memory is taken by
the size of the signal file, and a header that claims more than the file holds is an error, not a padded record.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle import age as ages
from auricle.errors import AuricleError, DataError, ReadError, require
from auricle.io.units import millivolts_per
from auricle.leads import is_other_channel
from auricle.recording import Recording, Sex, make_recording

# Counts per physical unit where a header gives none or 0 (header(5)): the signal is then uncalibrated.
_DEFAULT_GAIN: Final = 200.0
_DEFAULT_RATE_HZ: Final = 250.0
_MISSING_16: Final = -32768
_LARGEST_HEADER: Final = 1_000_000
_LARGEST_BASELINE: Final = 2**31
# No format, compressed ones included, packs more samples than this into a byte.
_SAMPLES_PER_BYTE: Final = 16
_RECORD: Final = re.compile(
    r"^(?P<name>[^\s/]+)(?:/(?P<segments>\d+))?\s+(?P<signals>\d+)"
    r"(?:\s+(?P<rate>[\d.eE+-]+)(?:/[^\s]+)?(?:\s+(?P<samples>\d+)(?:\s+.*)?)?)?\s*$"
)
_FORMAT: Final = re.compile(r"^(?P<format>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$")
_GAIN: Final = re.compile(r"^(?P<gain>[\d.eE+-]+)(?:\((?P<baseline>[+-]?\d+)\))?(?:/(?P<unit>\S+))?$")


@dataclass(frozen=True, slots=True)
class _Channel:
    """One signal line of a header."""

    file: str
    format: int
    offset: int
    gain: float
    baseline: int
    unit: str
    name: str


@dataclass(frozen=True, slots=True)
class _Header:
    """A record line, its signal lines, and the comments by key.

    Attributes:
        n_samples: samples per signal, None where the header does not say.
    """

    name: str
    rate_hz: float
    n_samples: int | None
    channels: list[_Channel]
    comments: dict[str, str] = field(default_factory=dict)


def header_of(path: Path) -> Path | None:
    """The header that belongs to a signal file or to a record name without suffix; None if there is none."""
    if not path.name:
        return None
    for candidate in (path.with_suffix(".hea"), path.with_name(path.name + ".hea")):
        if candidate.is_file():
            return candidate
    return None


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is a WFDB header, or a signal file with its header beside it."""
    if path.suffix in {".dat", ".mat"}:
        return header_of(path) is not None
    first = next((line for line in head.decode("latin-1").splitlines() if line.strip() and line[0] != "#"), "")
    return _RECORD.match(first.strip()) is not None


def read(path: Path, **context: object) -> Recording:
    """A recording from a header and its signal files.

    Age, sex and diagnoses in the comments (`# Age: 7.5 yr`, `# Sex: F`, `# Dx: 426783006,...`) are used where the
    caller does not know better; an age that makes no sense is a warning and unknown, never the loss of the ECG.

    Raises:
        ReadError: damaged, truncated, multi-segment, or without a usable lead.
    """
    if path.suffix in {".dat", ".mat"}:
        path = header_of(path) or path
    header = parse_header(path)
    keep = [number for number, channel in enumerate(header.channels) if not is_other_channel(channel.name)]
    if not keep:
        raise ReadError(f"{path}: none of its {len(header.channels)} channels is an ECG lead")
    chosen = [header.channels[number] for number in keep]
    if all(channel.format == 16 for channel in header.channels):
        signal = _read_16(path, header, keep)
    else:
        signal = _read_by_wfdb(path, header, keep)
    try:
        recording = make_recording(signal, header.rate_hz, [channel.name for channel in chosen], header.name)
    except AuricleError as error:
        raise ReadError(f"{path}: {str(error).removeprefix(header.name + ': ')}") from None
    own = _context_of(header, path)
    return recording.with_context(**own).with_context(**context)


def parse_header(path: Path) -> _Header:
    """The text header.

    Raises:
        ReadError: not a WFDB header, or one of several segments.
    """
    try:
        if path.stat().st_size > _LARGEST_HEADER:
            raise ReadError(f"{path}: too large for a WFDB header")
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror})") from None
    body = [line for line in lines if line and not line.startswith("#")]
    match = _RECORD.match(body[0]) if body else None
    if match is None:
        raise ReadError(f"{path}: is no WFDB header; its first line should be `name signals rate samples`")
    if match["segments"]:
        raise ReadError(f"{path}: is a record of several segments; give one of its segments")
    n_signals = int(match["signals"])
    if n_signals == 0 or len(body) - 1 < n_signals:
        raise ReadError(f"{path}: announces {n_signals} signals and describes {len(body) - 1}: no ECG to read")
    comments = dict(_comment(line) for line in lines if line.startswith("#"))
    try:
        rate_hz = float(match["rate"] or _DEFAULT_RATE_HZ)
        samples = int(match["samples"] or 0) or None
        channels = [_channel(line) for line in body[1 : n_signals + 1]]
    except ValueError as error:
        raise ReadError(f"{path}: damaged header: {error}") from None
    if not 1 <= rate_hz <= 100_000:
        raise ReadError(f"{path}: a sampling rate of {rate_hz:g} Hz is not possible")
    return _Header(match["name"], rate_hz, samples, channels, comments)


def _comment(line: str) -> tuple[str, str]:
    key, _, value = line.lstrip("# ").partition(":")
    return key.strip(" <>").casefold(), value.strip()  # LUDB writes `<age>: 51`


def _channel(line: str) -> _Channel:
    """`file format[+offset] gain(baseline)/unit resolution zero first checksum block name`, most of it optional."""
    words = line.split(maxsplit=8)
    if len(words) < 2:
        raise ValueError(f"signal line {line!r}")
    kind = _FORMAT.match(words[1])
    if kind is None or int(kind["per_frame"] or 1) != 1:
        raise ValueError(f"signal format {words[1]!r} is not supported")
    gain = _GAIN.match(words[2]) if len(words) > 2 else None
    if len(words) > 2 and gain is None:
        raise ValueError(f"gain {words[2]!r}")
    zero = int(words[4]) if len(words) > 4 else 0
    scale = float(gain["gain"]) if gain else 0.0
    baseline = int(gain["baseline"]) if gain and gain["baseline"] else zero
    if abs(baseline) > _LARGEST_BASELINE or abs(zero) > _LARGEST_BASELINE:
        raise ValueError("a baseline that no converter has")
    return _Channel(
        file=words[0],
        format=int(kind["format"]),
        offset=int(kind["offset"] or 0),
        gain=scale or _DEFAULT_GAIN,
        baseline=baseline,
        unit=(gain["unit"] if gain else None) or "mV",
        name=words[8].strip() if len(words) > 8 else "",
    )


def _read_16(path: Path, header: _Header, keep: list[int]) -> NDArray[np.float32]:
    """Millivolts (lead, time) of the kept channels; each signal file interleaves the channels that name it."""
    rows: dict[int, NDArray[np.float32]] = {}
    for name in dict.fromkeys(header.channels[number].file for number in keep):
        members = [number for number, channel in enumerate(header.channels) if channel.file == name]
        counts = _counts(path, header, name, members)
        for column, number in enumerate(members):
            if number in keep:
                channel = header.channels[number]
                steps = counts[:, column]
                with np.errstate(over="ignore", invalid="ignore"):  # a senseless gain is refused by its result
                    value = (steps.astype(np.float32) - np.float32(channel.baseline)) * np.float32(
                        millivolts_per(channel.unit) / channel.gain
                    )
                rows[number] = np.where(steps == _MISSING_16, np.nan, value)
    lengths = {len(row) for row in rows.values()}
    if len(lengths) != 1:
        raise ReadError(f"{path}: its signal files have different lengths {sorted(lengths)}")
    return np.stack([rows[number] for number in keep])


def _counts(path: Path, header: _Header, name: str, members: list[int]) -> NDArray[np.int16]:
    """(time, channel) of one signal file, exactly as many samples as the header announces."""
    file = path.with_name(_own_name(path, name))
    offset = header.channels[members[0]].offset
    held = max(0, file.stat().st_size - offset)
    frame = 2 * len(members)
    if header.n_samples is None:
        n_samples = held // frame
    elif held < header.n_samples * frame:
        raise ReadError(
            f"{file}: holds {held} bytes where its header announces {header.n_samples * frame}: "
            "truncated, or the header is wrong; copy it again"
        )
    else:
        n_samples = header.n_samples
        if held - n_samples * frame >= frame:
            raise ReadError(
                f"{file}: holds {held} bytes where its header announces {n_samples * frame}: the header is wrong "
                "about the length or the number of signals"
            )
    if n_samples == 0:
        raise ReadError(f"{file}: holds no sample")
    values = np.fromfile(file, dtype="<i2", count=n_samples * len(members), offset=offset)
    return values.reshape(n_samples, len(members))


def _own_name(path: Path, name: str) -> str:
    """The name of a signal file, if it lies beside the header.

    Raises:
        ReadError: it lies elsewhere, or is not there.
    """
    if Path(name).name != name or name in {"-", "~", "..", "."}:
        raise ReadError(f"{path}: names a signal file outside of its folder")
    try:
        exists = path.with_name(name).is_file()
    except OSError:
        exists = False
    if not exists:
        raise ReadError(f"{path}: its signal file {name[:80]} is missing: copy it beside the header")
    return name


def _read_by_wfdb(path: Path, header: _Header, keep: list[int]) -> NDArray[np.float32]:
    """Any other format, through the wfdb package."""
    files = {channel.file for channel in header.channels}
    held = sum(path.with_name(_own_name(path, name)).stat().st_size for name in files)
    if (header.n_samples or 0) * len(header.channels) > _SAMPLES_PER_BYTE * held:
        raise ReadError(f"{path}: announces {header.n_samples} samples, its signal files hold {held} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        wfdb = require("wfdb", "wfdb")
    try:
        record = wfdb.rdrecord(str(path.with_suffix("")), channels=keep)
    except Exception as error:  # the package raises whatever its parser trips over
        raise ReadError(f"{path}: the wfdb package cannot read it ({type(error).__name__}: {error})") from None
    factors = np.array([millivolts_per(unit) for unit in record.units])
    signal: NDArray[np.float32] = (record.p_signal * factors).T.astype(np.float32)
    return signal


def _context_of(header: _Header, path: Path) -> dict[str, object]:
    known: dict[str, object] = {"source": path.parent.name}
    try:
        known["age"] = ages.parse(header.comments.get("age"))
    except DataError:
        warnings.warn(f"{path.name}: the age in its header makes no sense and is treated as unknown", stacklevel=4)
    known["sex"] = sex_of(header.comments.get("sex"))
    codes = tuple(code.strip() for code in header.comments.get("dx", "").split(",") if code.strip())
    if codes and codes != ("Unknown",):
        known["labels"] = codes
    return known


def sex_of(text: str | None) -> Sex | None:
    """F or M from what files write; None for anything else."""
    word = (text or "").strip().casefold()
    if word in {"f", "female", "w", "weiblich", "女"}:
        return "F"
    return "M" if word in {"m", "male", "männlich", "男"} else None
