"""The text header of a WFDB record: what header(5) of physionet.org asks for, in whatever text a hospital wrote it.

Headers come with byte order marks, in UTF-16, Latin-1 and GBK, with the line ends of every system and with names that
have blanks in them. What is read here is never trusted: the sizes are checked against the signal files.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from auricle.errors import ReadError
from auricle.io.names import record_name, signal_file, suffix_of

# Counts per physical unit where a header gives none or 0 (header(5)): the signal is then uncalibrated.
_DEFAULT_GAIN: Final = 200.0
_DEFAULT_RATE_HZ: Final = 250.0
_LARGEST_HEADER: Final = 1_000_000
# Longer lines are no header's, and take long to be taken apart.
_LONGEST_LINE: Final = 2_000
# Signal files of one record that are looked for.
_MOST_FILES: Final = 64
_LARGEST_BASELINE: Final = 2**31
_LARGEST_FRAME: Final = 10_000
# What follows the record's name.
_COUNTS: Final = re.compile(
    r"^(?P<signals>\d{1,6})(?:\s+(?P<rate>[\d.eE+-]{1,40})(?:/[^\s]+)?(?:\s+(?P<samples>\d{1,15})(?:\s+.*)?)?)?\s*$"
)
_SEGMENTS: Final = re.compile(r"/\d+$")
_FORMAT: Final = re.compile(
    r"^(?P<format>0|8|16|24|32|61|80|160|212|310|311|508|516|524)"
    r"(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$"
)
_GAIN: Final = re.compile(r"^(?P<gain>[\d.eE+-]+)(?:\((?P<baseline>[+-]?\d+)\))?(?:/(?P<unit>\S+))?$")
# What is no end of a file's name in a signal line: numbers, and a gain with its unit.
_NUMBERS: Final = re.compile(r"[\d.,:x()+-]+(?:e[+-]?\d+)?(?:/\S*)?")
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Channel:
    """One signal line of a header.

    Attributes:
        file: the signal file as it is written.
        format: number of the sample format.
        per_frame: samples in every frame.
        skew: frames by which the samples come late in the file.
        offset: bytes before the first sample.
        gain: counts per unit.
        calibrated: whether the header gives a gain; without one it is 200 and means nothing.
        baseline: counts of 0 V.
        unit: as written, mV where none is.
        first: count of the first sample; None where the header ends before it.
        checksum: sum of all samples modulo 65,536, likewise.
        name: of the lead or other channel.
    """

    file: str
    format: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    calibrated: bool
    baseline: int
    unit: str
    first: int | None
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """A record line, its signal lines, and the comments.

    Attributes:
        name: of the record.
        rate_hz: frames per second.
        n_samples: frames, None where the header does not say.
        channels: the signal lines.
        comment_lines: lines that begin with #, as they are.
    """

    name: str
    rate_hz: float
    n_samples: int | None
    channels: list[Channel]
    comment_lines: list[str] = field(default_factory=list)


def header_text(content: bytes) -> str:
    """Bytes as text: by byte order mark, else UTF-16 by its zeros, else UTF-8, else line by line GBK or Latin-1."""
    for mark, codec in _WIDE:
        if content.startswith(mark):
            return content.decode(codec, errors="replace")
    zeros = (content[0::2].count(0), content[1::2].count(0))
    if max(zeros) > 0.3 * len(content):
        return content.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "\n".join(_line(line) for line in content.removeprefix(codecs.BOM_UTF8).splitlines())


def _line(content: bytes) -> str:
    """A line whose code page nobody names. Chinese is written in pairs of bytes, an accent or a micro sign is one."""
    chinese = all(len(run) % 2 == 0 for run in re.findall(rb"[\x80-\xff]+", content))
    try:
        return content.decode("gb18030" if chinese else "cp1252")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def begins_header(head: bytes) -> bool:
    """Whether bytes begin with the record line of a header, after any comments."""
    lines = [line.strip() for line in header_text(head).splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    _, _, counts = first.partition(" ")
    return _COUNTS.match(counts.strip()) is not None


def read_header(path: Path) -> Header:
    """The header in a file, without its comments by key.

    Raises:
        ReadError: not a WFDB header, or one of several segments.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise ReadError(f"{path}: no such file")
        if path.stat().st_size > _LARGEST_HEADER:
            raise ReadError(f"{path}: too large for a WFDB header")
        lines = [line.strip() for line in header_text(path.read_bytes()).splitlines()]
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror})") from None
    body = [line for line in lines if line and not line.startswith("#")]
    if any(len(line) > _LONGEST_LINE for line in body):
        raise ReadError(f"{path}: is no WFDB header; a line of it is too long")
    name, match = _record_line(body)
    if match is None:
        raise ReadError(f"{path}: is no WFDB header; its first line should be `name signals rate samples`")
    if _SEGMENTS.search(name):
        raise ReadError(f"{path}: is a record of several segments; give one of its segments")
    n_signals = int(match["signals"])
    if n_signals == 0 or len(body) - 1 < n_signals:
        raise ReadError(f"{path}: announces {n_signals} signals and describes {len(body) - 1}: no ECG to read")
    try:
        rate_hz = float(match["rate"] or _DEFAULT_RATE_HZ)
        samples = int(match["samples"] or 0) or None
        channels = [_channel(line) for line in body[1 : n_signals + 1]]
    except ValueError as error:
        raise ReadError(f"{path}: damaged header: {error}") from None
    if not 1 <= rate_hz <= 100_000:
        raise ReadError(f"{path}: a sampling rate of {rate_hz:g} Hz is not possible")
    return Header(
        record_name(name.replace("\\", "/")),
        rate_hz,
        samples,
        channels,
        [line for line in lines if line.startswith("#")],
    )


def files_of(path: Path) -> list[Path]:
    """The file of a recording and, where that is a WFDB header, the signal files it names, as far as they are there.

    Args:
        path: a file of any format, readable or not.
    """
    files = [path]
    if suffix_of(path) == ".hea":
        with contextlib.suppress(ReadError):
            names = dict.fromkeys(channel.file for channel in read_header(path).channels)
            for name in list(names)[:_MOST_FILES]:
                with contextlib.suppress(ReadError):
                    files.append(signal_file(path, name))
    return files


def _record_line(body: list[str]) -> tuple[str, re.Match[str] | None]:
    """The record's name and the numbers behind it, None if they are none.

    A name may have blanks and numbers in it: the shortest that leaves the right number of signals is taken, or else
    the first word.
    """
    line = body[0] if body else ""
    found = [
        (line[: blank.start()], match)
        for blank in re.finditer(r"\s+", line)
        if (match := _COUNTS.match(line[blank.end() :]))
    ]
    fitting = [(name, match) for name, match in found if int(match["signals"]) == len(body) - 1]
    one_word = [(name, match) for name, match in found if len(name.split()) == 1]
    return next(iter([*fitting, *one_word]), ("", None))


def _channel(line: str) -> Channel:
    """`file format[+offset] gain(baseline)/unit resolution zero first checksum block name`, most of it optional.

    Raises:
        ValueError: it is no such line.
    """
    words, kind, gain = _file_format_gain(line)
    zero = int(words[4]) if len(words) > 4 else 0
    scale = float(gain["gain"]) if gain else 0.0
    baseline = int(gain["baseline"]) if gain and gain["baseline"] else zero
    if abs(baseline) > _LARGEST_BASELINE or abs(zero) > _LARGEST_BASELINE:
        raise ValueError("a baseline that no converter has")
    per_frame = int(kind["per_frame"] or 1)
    if not 1 <= per_frame <= _LARGEST_FRAME:
        raise ValueError(f"{per_frame} samples in a frame")
    return Channel(
        file=words[0],
        format=int(kind["format"]),
        per_frame=per_frame,
        skew=int(kind["skew"] or 0),
        offset=int(kind["offset"] or 0),
        gain=scale or _DEFAULT_GAIN,
        calibrated=scale != 0,
        baseline=baseline,
        unit=(gain["unit"] if gain else None) or "mV",
        first=int(words[5]) if len(words) > 5 else None,
        checksum=int(words[6]) if len(words) > 6 else None,
        name=words[8].strip() if len(words) > 8 else "",
    )


def _file_format_gain(line: str) -> tuple[list[str], re.Match[str], re.Match[str] | None]:
    """The nine fields of a signal line, of which the first, the file's name, may have blanks in it."""
    words = line.split()
    if len(words) < 2:
        raise ValueError(f"signal line {line!r}")
    for number in range(1, len(words)):
        if number > 1 and (_NUMBERS.fullmatch(words[number - 1]) or "(" in words[number - 1]):
            continue  # what lies before it is a field of numbers and no name
        kind = _FORMAT.match(words[number])
        gain = _GAIN.match(words[number + 1]) if number + 1 < len(words) else None
        if kind is not None and (gain is not None or number + 1 == len(words)):
            name, rest = _split_at(line, number)
            return [name, *rest.split(maxsplit=7)], kind, gain
    if _FORMAT.match(words[1]) is None:
        raise ValueError(f"signal format {words[1]!r} is not supported")
    raise ValueError(f"gain {words[2]!r}")


def _split_at(line: str, number: int) -> tuple[str, str]:
    """A line in front of its word of that number, and from it on."""
    place = [word.start() for word in re.finditer(r"\S+", line)][number]
    return line[:place].strip(), line[place:]
