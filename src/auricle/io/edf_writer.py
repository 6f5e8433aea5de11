"""Writing a recording as EDF+, in steps of a microvolt.

The format knows no missing sample: where one is missing stands the lowest value, and an annotation says where.
"""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.atomic import write_bytes
from auricle.errors import DataError, require
from auricle.io.steps import MISSING, PER_MV, steps_of
from auricle.recording import Recording

_LOWEST, _HIGHEST = -32768, 32767
_MOST_LETTERS: Final = 40
LABEL: Final = "ECG "
"""What stands in front of a lead in the label of its channel (EDF+, standard texts)."""
GAP: Final = "missing: "
"""What stands in front of a lead in the annotation of a stretch in which it is missing."""
_SHORTEST_S, _LONGEST_S = 0.1, 10.0
_DECIMALS: Final = 5


def write_edf(path: Path, recording: Recording) -> Path:
    """Write a recording as one EDF+C file.

    Args:
        path: the file; what lies there is replaced.
        recording: with leads, in millivolts.

    Returns:
        The file.

    Raises:
        DataError: nothing to write, an unknown amplitude, or a rate at which no whole record of EDF fits.
        MissingExtraError: edfio is not installed.
    """
    edfio = require("edfio", "io")
    steps = steps_of(recording)
    band = recording.cart_band_hz
    prefiltering = "" if band is None else f"HP:{band[0]:g}Hz LP:{band[1]:g}Hz"
    try:
        steps, record_s = _in_records(steps, recording.rate_hz)
        signals = [
            edfio.EdfSignal.from_digital(
                row,
                recording.rate_hz,
                label=f"{LABEL}{lead}",
                physical_dimension="uV",
                physical_range=(_LOWEST * 1000 / PER_MV, _HIGHEST * 1000 / PER_MV),
                digital_range=(_LOWEST, _HIGHEST),
                prefiltering=prefiltering,
            )
            for lead, row in zip(recording.leads, steps, strict=True)
        ]
        day, clock = _moment(recording.recorded)
        made = edfio.Edf(
            signals,
            patient=edfio.Patient(code=_word(recording.patient_id), sex=recording.sex or "X"),
            recording=edfio.Recording(startdate=day, equipment_code="auricle"),
            starttime=clock,
            data_record_duration=record_s,
            annotations=[*_gaps(edfio, recording, steps), *_said(edfio, recording)],
        )
    except ValueError as error:
        raise DataError(f"{recording.record_id}: cannot be written as EDF ({error})") from None
    write_bytes(path, made.to_bytes())
    return path


def _in_records(steps: NDArray[np.int16], rate_hz: float) -> tuple[NDArray[np.int16], float]:
    """Samples that fill whole records of EDF, and the seconds of a record, which has eight characters in the header.

    The longest record that divides the recording is taken; where none does, the last second is filled with `MISSING`.
    """
    n = steps.shape[1]
    for length in range(min(n, round(_LONGEST_S * rate_hz)), max(1, round(_SHORTEST_S * rate_hz)) - 1, -1):
        if n % length == 0 and _is_exact(length, rate_hz):
            return steps, length / rate_hz
    second = round(rate_hz)
    if not _is_exact(second, rate_hz):
        raise ValueError(f"no record of EDF holds whole samples at {rate_hz:g} Hz")
    return np.pad(steps, ((0, 0), (0, -n % second)), constant_values=MISSING), second / rate_hz


def _is_exact(length: int, rate_hz: float) -> bool:
    return abs(round(length / rate_hz, _DECIMALS) * rate_hz - length) < 1e-9 * length


def _word(text: str | None) -> str:
    """An identifier as EDF has it: printable ASCII without blanks."""
    kept = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in text or "")
    return kept.replace(" ", "_")[:_MOST_LETTERS] or "X"


def _moment(recorded: str | None) -> tuple[date | None, time | None]:
    """Day and time of a recording; EDF's years begin in 1985."""
    day = date.fromisoformat(recorded[:10]) if recorded else None
    clock = time.fromisoformat(recorded[11:19]) if recorded and len(recorded) > 10 else None
    return day if day is not None and 1985 <= day.year <= 2084 else None, clock


def _gaps(edfio: Any, recording: Recording, steps: NDArray[np.int16]) -> list[Any]:
    """An annotation for each stretch in which a lead is missing."""
    notes = []
    for lead, row in zip(recording.leads, steps == MISSING, strict=True):
        edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            onset, duration = begin / recording.rate_hz, (end - begin) / recording.rate_hz
            notes.append(edfio.EdfAnnotation(onset, duration, f"{GAP}{lead}"))
    return notes


def _said(edfio: Any, recording: Recording) -> list[Any]:
    return [edfio.EdfAnnotation(0, None, line) for line in (recording.report or "").splitlines()]
