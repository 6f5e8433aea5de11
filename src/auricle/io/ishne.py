"""ISHNE Holter files (version 1.0): a fixed header and interleaved counts of two bytes.

Source: Badilini, The ISHNE Holter Standard Output File Format, Ann Noninvasive Electrocardiol 1998;3:263. Read
from files made after it; no recorder's file was at hand.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from auricle.errors import ReadError
from auricle.io.carts import Channel, Export, date_of, recording_of
from auricle.recording import Recording

_MAGIC: Final = b"ISHNE1.0"
# Behind the magic number and its checksum: sizes and places, then the person, then the leads.
_LAYOUT: Final = struct.Struct("<4ih40s40s20s2h3h3h3h3hh12h12h12hh40sh80s80s88s")
_BEGIN: Final = 10
_MOST_LEADS: Final = 12
_SEXES: Final = {1: "M", 2: "F"}
_LEADS: Final = {
    1: "bipolar", 2: "X", 3: "Y", 4: "Z", 5: "I", 6: "II", 7: "III", 8: "aVR", 9: "aVL", 10: "aVF", 11: "V1", 12: "V2",
    13: "V3", 14: "V4", 15: "V5", 16: "V6", 17: "ES", 18: "AS", 19: "AI",
}  # fmt: skip
_NANOVOLTS_PER_MILLIVOLT: Final = 1e6


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an ISHNE Holter file of version 1."""
    del path
    return head.startswith(_MAGIC)


def read(path: Path, **context: object) -> Recording:
    """A recording from an ISHNE file, all of it.

    Raises:
        ReadError: damaged, or without leads whose place on the chest is said.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_BEGIN + _LAYOUT.size)
        if len(header) < _BEGIN + _LAYOUT.size:
            raise ReadError(f"{path}: ends within its header; copy it again")
        fields = _LAYOUT.unpack_from(header, _BEGIN)
        begin, n_leads, rate_hz = fields[3], fields[22], fields[61]
        if not 0 < n_leads <= _MOST_LEADS or rate_hz <= 0 or not _BEGIN + _LAYOUT.size <= begin <= size:
            raise ReadError(
                f"{path}: its header announces {n_leads} leads at {rate_hz} Hz from byte {begin}; copy it again"
            )
        held = (size - begin) // (2 * n_leads)
        if held == 0:
            raise ReadError(f"{path}: holds no sample")
        file.seek(begin)
        counts = np.fromfile(file, dtype="<i2", count=held * n_leads).reshape(held, n_leads).T
    # Writers count the samples of one lead, or those of all.
    missing = fields[1] > held and fields[1] != held * n_leads
    where, resolution = fields[23:35], fields[47:59]
    notes = ("it holds fewer samples than its header announces: copy it again",) if missing else ()
    return recording_of(
        path,
        Export(
            channels=[
                Channel(
                    _LEADS.get(where[row], f"channel {row + 1}"),
                    counts[row] * np.float32(max(resolution[row], 1) / _NANOVOLTS_PER_MILLIVOLT),
                    float(rate_hz),
                    resolution[row] > 0,
                )
                for row in range(n_leads)
            ],
            born=_date(fields[10:13]),
            recorded=_date(fields[13:16], fields[19:22]),
            sex=_SEXES.get(fields[8], ""),
            patient_id=_text(fields[7]),
            notes=notes,
        ),
        context,
    )


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("latin-1").strip()


def _date(parts: tuple[int, ...], clock: tuple[int, ...] | None = None) -> str:
    """Day, month and year; hour, minute and second."""
    day, month, year = parts
    if clock is None or not (0 <= clock[0] < 24 and 0 <= clock[1] < 60 and 0 <= clock[2] < 60):
        return date_of(year, month, day)
    return date_of(year, month, day, (clock[0], clock[1], clock[2]))
