"""EDF, EDF+ and BDF, as Holter and sleep recorders write them, by edfio: the channels that are leads, by their labels.

Source: Kemp and Olivan, Clin Neurophysiol 2003;114:1755 (EDF+). No recorder's file was at hand; files of another writer
and of edfio itself were.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import DataError, ReadError, require
from auricle.io.carts import Channel, Export, date_of, number_of, recording_of
from auricle.io.edf_writer import GAP, LABEL
from auricle.io.units import is_without_volts, millivolts_per
from auricle.leads import is_lead
from auricle.recording import Recording

_EDF: Final = b"0       "
_BDF: Final = b"\xffBIOSEMI"
_HERTZ: Final = re.compile(r"\b(HP|LP)\s*:?\s*(\d+(?:[.,]\d+)?)\s*(m?)Hz", re.I)
_ANONYMOUS: Final = "X"


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an EDF or BDF file: the version, and a header whose size is written in digits."""
    del path
    return head.startswith((_EDF, _BDF)) and head[184:192].strip().isdigit()


def read(path: Path, **context: object) -> Recording:
    """A recording from the leads in an EDF or BDF file.

    Raises:
        ReadError: damaged, with gaps in time, or without a lead.
    """
    edfio = require("edfio", "io")
    try:
        with path.open("rb") as file:
            binary = file.read(len(_BDF)) == _BDF
        read_file = edfio.read_bdf if binary else edfio.read_edf
        data = read_file(path, lazy_load_data=False, header_encoding="latin-1")
        if not data.is_continuous:
            raise ReadError(f"{path}: has gaps in its time (EDF+D); export it as continuous, a file for each stretch")
        export = _export(data)
    except DataError:
        raise
    except Exception as error:  # the package raises whatever its parser trips over
        reason = " ".join(str(error).split())[:80]
        raise ReadError(f"{path}: is damaged as EDF ({type(error).__name__}: {reason}); export it again") from None
    return recording_of(path, export, context)


def _export(data: Any) -> Export:
    leads = [signal for signal in data.signals if is_lead(signal.label)]
    others = [signal for signal in data.signals if not is_lead(signal.label)]
    # What has a rate of its own beside the leads is named and not read.
    channels = [_channel(signal) for signal in leads]
    channels += [Channel(signal.label, signal.data[:0], signal.sampling_frequency) for signal in others]
    for channel, signal in zip(channels, leads, strict=False):
        channel.samples[_missing(data, signal.label, len(channel.samples), channel.rate_hz)] = np.nan
    filters = dict(_band(leads[0].prefiltering)) if leads else {}
    return Export(
        channels=channels,
        born=_attempt(lambda: data.patient.birthdate.isoformat()),
        recorded=_recorded(data),
        sex=_attempt(lambda: data.patient.sex),
        patient_id=_identifier(data),
        statements=[note.text for note in data.annotations if not note.text.startswith(GAP)],
        band_hz=(filters.get("HP"), filters.get("LP")),
    )


def _missing(data: Any, label: str, n: int, rate_hz: float) -> NDArray[np.bool_]:
    """(time,) where an annotation of ours says that a lead is missing; the format itself has no way to."""
    missing = np.zeros(n, dtype=bool)
    for note in data.annotations:
        if note.text.startswith(GAP) and label.removeprefix(LABEL) == note.text.removeprefix(GAP):
            begin = round(note.onset * rate_hz)
            missing[max(0, begin) : begin + round((note.duration or 0) * rate_hz)] = True
    return missing


def _channel(signal: Any) -> Channel:
    unit = signal.physical_dimension
    if not unit.strip() or is_without_volts(unit):
        return Channel(signal.label, signal.data, signal.sampling_frequency, in_millivolts=False)
    return Channel(signal.label, signal.data * millivolts_per(unit), signal.sampling_frequency)


def _band(text: str) -> list[tuple[str, float]]:
    """High-pass and low-pass of a prefiltering field (`HP:0.05Hz LP:150Hz N:50Hz`)."""
    found = []
    for name, number, milli in _HERTZ.findall(text):
        value = number_of(number)
        if value is not None:
            found.append((name.upper(), value / 1000 if milli else value))
    return found


def _identifier(data: Any) -> str:
    """The code of the person in EDF+; in plain EDF, whose field is free text, all of it."""
    whole = _attempt(lambda: data.local_patient_identification).strip()
    code = _attempt(lambda: data.patient.code) if data.reserved.startswith(("EDF+", "BDF+")) else whole
    return "" if code == _ANONYMOUS else code


def _recorded(data: Any) -> str:
    day, clock = _attempt(lambda: data.startdate.isoformat()), _attempt(lambda: data.starttime.isoformat("seconds"))
    if not day:
        return ""
    year, month, number = (int(part) for part in day.split("-"))
    time = tuple(int(part) for part in clock.split(":")) if clock else ()
    return date_of(year, month, number, (time[0], time[1], time[2]) if len(time) == 3 else None)


def _attempt(get: Any) -> str:
    """A field of the header as text; empty where it is anonymised or makes no sense, for which edfio raises."""
    try:
        return str(get() or "")
    except Exception:  # a field of the header that is none; the signals are read all the same
        return ""
