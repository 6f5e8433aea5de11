"""SCP-ECG (EN 1064, ISO 11073-91064), with Huffman tables and differences; its waveforms are decoded by ecgdatakit.

Age, sex and dates are read here from section 1, where an age has its unit, and the wave marks of section 7 become the
intervals that they bound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from auricle.io.carts import Export, date_of, recording_of
from auricle.io.ecgdatakit import channels_of, parsed
from auricle.recording import Recording

_PREAMBLE, _HEADER, _POINTER = 6, 16, 10
_PERSON: Final = 1
_AGE, _BORN, _SEX, _ID, _DAY, _TIME, _HIGH_PASS, _LOW_PASS = 4, 5, 8, 2, 25, 26, 27, 28
_AGE_UNITS: Final = {1: "years", 2: "months", 3: "weeks", 4: "days", 5: "hours"}
_SEXES: Final = {1: "M", 2: "F"}
_VERSIONS: Final = range(10, 40)
_UNDEFINED: Final = frozenset({999, 29999, 0xFFFF, -29999, -999})
_END: Final = 255


def sniff(path: Path, head: bytes) -> bool:
    """Whether this begins as an SCP-ECG record does: a checksum, a size and the table of sections."""
    if len(head) < _PREAMBLE + _HEADER + _POINTER:
        return False
    number, length = struct.unpack_from("<HI", head, _PREAMBLE + 2)
    versions = head[_PREAMBLE + 8], head[_PREAMBLE + 9]
    begins = number == 0 and length > _HEADER and (length - _HEADER) % _POINTER == 0 and length <= path.stat().st_size
    named = head[_PREAMBLE + 10 : _PREAMBLE + 16] == b"SCPECG"
    return begins and (named or (versions[0] in _VERSIONS and versions[1] in _VERSIONS))


def read(path: Path, **context: object) -> Recording:
    """A recording from an SCP-ECG file: its rhythm, put together with its reference beat where it was taken out.

    Raises:
        ReadError: damaged, or without a rhythm.
    """
    record = parsed(path, "scp_ecg", "SCPECGParser", "SCP-ECG")
    tags = dict(_tags(path.read_bytes()))
    clock = _clock(tags.get(_TIME, b""))
    high_pass, low_pass = _number(tags.get(_HIGH_PASS, b"")), _number(tags.get(_LOW_PASS, b""))
    return recording_of(
        path,
        Export(
            channels=channels_of(record),
            ages=_ages(tags.get(_AGE, b"")),
            born=_date(tags.get(_BORN, b"")),
            recorded=_date(tags.get(_DAY, b""), clock),
            sex=_SEXES.get(tags.get(_SEX, b"\0")[0] if tags.get(_SEX) else 0, ""),
            patient_id=str(record.patient.patient_id or ""),
            statements=[f"{first} {second}" for first, second in record.interpretation.statements],
            measurements=_measurements(record),
            band_hz=(None if high_pass is None else high_pass / 100, low_pass or None),
        ),
        context,
    )


def _tags(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags of section 1 and their values; nothing where its place or a length makes no sense."""
    begin, end = _section(content, _PERSON)
    place = begin + _HEADER
    while place + 3 <= end:
        tag, length = content[place], struct.unpack_from("<H", content, place + 1)[0]
        place += 3
        if tag == _END or place + length > end:
            return
        yield tag, content[place : place + length]
        place += length


def _section(content: bytes, wanted: int) -> tuple[int, int]:
    """Where a section begins and ends by the table of section 0; places count from 1, and in some files from 0."""
    length = struct.unpack_from("<I", content, _PREAMBLE + 4)[0]
    for place in range(_PREAMBLE + _HEADER, min(_PREAMBLE + length, len(content)) - _POINTER + 1, _POINTER):
        number, size, index = struct.unpack_from("<HII", content, place)
        if number != wanted:
            continue
        for begin in (index - 1, index):
            if 0 < begin <= len(content) - _HEADER and struct.unpack_from("<H", content, begin + 2)[0] == wanted:
                return begin, min(begin + size, len(content))
    return 0, 0


def _ages(value: bytes) -> list[str]:
    if len(value) < 3:
        return []
    number, unit = struct.unpack_from("<HB", value)
    return [f"{number} {_AGE_UNITS[unit]}"] if unit in _AGE_UNITS else []


def _date(value: bytes, clock: tuple[int, int, int] | None = None) -> str:
    if len(value) < 4:
        return ""
    year, month, day = struct.unpack_from("<HBB", value)
    return date_of(year, month, day, clock)


def _clock(value: bytes) -> tuple[int, int, int] | None:
    return (value[0], value[1], value[2]) if len(value) >= 3 and value[0] < 24 and max(value[1:3]) < 60 else None


def _number(value: bytes) -> float | None:
    return float(struct.unpack_from("<H", value)[0]) if len(value) >= 2 else None


def _measurements(record: Any) -> dict[str, float | None]:
    """Rates and intervals of section 7: those written, and those between the marks of the reference beat."""
    found: dict[str, float | None] = {
        "heart_rate": record.measurements.heart_rate,
        "rr_ms": record.measurements.rr_interval,
        "qtc_ms": record.measurements.qtc_bazett or record.raw_metadata.get("qtc_ms"),
    }
    blocks = record.raw_metadata.get("measurement_blocks") or []
    if blocks:
        marks = {name: None if value in _UNDEFINED else value for name, value in blocks[0].items()}
        for name, begin, end in (
            ("p_ms", "p_onset", "p_offset"), ("pr_ms", "p_onset", "qrs_onset"), ("qrs_ms", "qrs_onset", "qrs_offset"),
            ("qt_ms", "qrs_onset", "t_offset"),
        ):  # fmt: skip
            first, last = marks[begin], marks[end]
            if first is not None and last is not None and last > first:
                found[name] = float(last - first)
        found |= {f"{wave}_axis_deg": marks[f"{wave}_axis"] for wave in ("p", "qrs", "t")}
    return found
