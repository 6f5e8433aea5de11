"""MFER (ISO 22077-1), as Japanese carts and monitors write it; its frames are decoded by ecgdatakit.

The age is read here, where it has days. No MFER file of a cart was at hand: read from files made after the standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from auricle.io.carts import Export, date_of, recording_of
from auricle.io.ecgdatakit import channels_of, parsed
from auricle.recording import Recording

_PREAMBLE: Final = 0x40
_BYTE_ORDER, _AGE, _TIME, _WAVEFORM = 0x01, 0x83, 0x85, 0x1E
_END, _CHANNEL = 0x80, 0x3F
_UNKNOWN: Final = 0xFF


def sniff(path: Path, head: bytes) -> bool:
    """Whether this begins with the preamble of MFER; a file without one is known by its suffix alone (.mwf)."""
    return (head[:1] == bytes([_PREAMBLE]) and head[2:6] == b"MFR ") or (
        path.suffix.casefold() == ".mwf" and head[:1] in (b"\x01", b"\x02", b"\x03")
    )


def read(path: Path, **context: object) -> Recording:
    """A recording from an MFER file.

    Raises:
        ReadError: damaged, or without a waveform.
    """
    record = parsed(path, "mfer", "MFERParser", "MFER")
    filters = record.recording.acquisition.filters
    order: Literal["big", "little"] = "big"
    values: dict[int, bytes] = {}
    for tag, value in _definitions(path.read_bytes()):
        if tag == _BYTE_ORDER and value:
            order = "little" if value[0] else "big"
        values.setdefault(tag, value)
    age, time = values.get(_AGE, b""), values.get(_TIME, b"")
    return recording_of(
        path,
        Export(
            channels=channels_of(record),
            ages=_ages(age, order),
            born=date_of(int.from_bytes(age[3:5], order), age[5], age[6]) if len(age) >= 7 else "",
            recorded=_moment(time, order),
            sex=str(record.patient.sex or ""),
            patient_id=str(record.patient.patient_id or ""),
            statements=str(record.annotations.get("comment") or "").splitlines(),
            measurements={},
            band_hz=(filters.highpass, filters.lowpass),
        ),
        context,
    )


def _definitions(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values at the top of a file, up to its end or the first length that makes no sense."""
    place = 0
    while place + 2 <= len(content):
        tag, length = content[place], content[place + 1]
        place += 2
        if tag == 0:  # a byte that fills
            place -= 1
            continue
        if tag == _END:
            return
        if tag == _CHANNEL:  # the channel's number, then a length
            if place + 1 > len(content):
                return
            length = content[place]
            place += 1
        if length > 0x80:
            wide = length - 0x80
            if wide > 4:
                return
            length = int.from_bytes(content[place : place + wide], "big")
            place += wide
        if length == 0x80 or place + length > len(content):
            return
        yield tag, content[place : place + length]
        place += length


def _ages(value: bytes, order: Literal["big", "little"]) -> list[str]:
    """Years, then days that have passed since the last birthday."""
    if not value or value[0] == _UNKNOWN:
        return []
    days = int.from_bytes(value[1:3], order) if len(value) >= 3 else 0
    if days and days != 0xFFFF:
        return [f"{value[0] * 365.25 + days:.0f} days"]
    return [f"{value[0]} years"] if value[0] else []


def _moment(value: bytes, order: Literal["big", "little"]) -> str:
    if len(value) < 4:
        return ""
    year = int.from_bytes(value[:2], order)
    clock = (value[4], value[5], value[6]) if len(value) >= 7 and value[4] < 24 and max(value[5:7]) < 60 else None
    return date_of(year, value[2], value[3], clock)
