"""Names in files of arrays: what other programs call the signal, its rate, its leads and what is known of the person.

One vocabulary for .npz, MATLAB and HDF5 files. What has no name here is not read, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from auricle import age as ages
from auricle.birth import parse_gestation
from auricle.errors import DataError
from auricle.io.header_comments import sex_of
from auricle.numerals import UNSAID

# By the field of `Recording` or argument of `from_array` they stand for; of several in one file the first is read.
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "signal": ("signal", "signals", "ecg", "sig", "p_signal", "data", "val", "values", "waveform", "waveforms"),
    "rate_hz": ("rate_hz", "fs", "sampling_rate", "sampling_frequency", "sample_rate", "sampling_rate_hz", "sfreq",
                "samplerate", "srate", "rate", "hz", "frequency", "freq", "fs_hz"),
    "leads": ("leads", "lead_names", "lead_name", "sig_name", "sig_names", "channels", "channel_names", "ch_names",
              "leadnames", "lead"),
    "unit": ("unit", "units"),
    "age": ("age", "age_days", "age_d", "age_weeks", "age_months", "age_years", "age_yr", "age_y"),
    "sex": ("sex", "gender"),
    "gestation_days": ("gestation_days", "gestational_age_days", "ga_days", "gestational_age", "gestation", "ga",
                       "gestational_age_weeks", "gestation_weeks", "ga_weeks"),
    "labels": ("labels", "label", "dx", "diagnoses", "scp_codes", "codes"),
    "patient_id": ("patient_id", "patient", "subject_id", "patientid"),
    "record_id": ("record_id", "record", "record_name"),
    "report": ("report", "text_report", "statement"),
}  # fmt: skip
_KEYS: Final = {spelling: key for key, spellings in _SPELLINGS.items() for spelling in spellings}
# What the name of an age says of its unit; a bare one is years or says its own.
_AGE_UNITS: Final = {"days": "d", "d": "d", "weeks": "wk", "months": "mo", "years": "yr", "yr": "yr", "y": "yr"}
_SHOWN_NAMES, _SHOWN_LETTERS = 12, 40


def key_of(name: str) -> str | None:
    """What a name of an array stands for, whatever its capitals and separators; None where it is not known."""
    return _KEYS.get(_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip()).casefold()


def known_of(stored: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file's arrays say, by field, and notes on what of them is not read.

    Args:
        stored: arrays, text and numbers by name.

    Returns:
        `signal` as it is, `rate_hz` a number where it is one, `leads`, `unit` and `labels` tuples of text, the others
        as `Recording` has them. What makes no sense is unknown, never the loss of the ECG.
    """
    chosen: dict[str, str] = {}
    for key, spellings in _SPELLINGS.items():
        names = [name for spelling in spellings for name in stored if _plain(name) == spelling]
        if names:
            chosen[key] = names[0]
    known: dict[str, Any] = {}
    odd: list[str] = []
    for key, name in chosen.items():
        try:
            value = _value(key, name, stored[name])
        except DataError:
            odd.append(name)
        else:
            known |= {} if value is None else {key: value}
    notes = [f"{name} in the file cannot be read and is treated as unknown" for name in odd]
    rest = [name for name in stored if name not in chosen.values()]
    if rest:
        shown = ", ".join(" ".join(name.split())[:_SHOWN_LETTERS] for name in rest[:_SHOWN_NAMES])
        notes.append(f"the file also holds {shown}{' ...' if len(rest) > _SHOWN_NAMES else ''}: not read")
    return known, tuple(notes)


def _value(key: str, name: str, stored: Any) -> Any:
    """One entry as its field has it; None where it says that it is unknown.

    Raises:
        DataError: it cannot be read.
    """
    if key in {"signal", "rate_hz"}:
        return stored
    texts = _texts(stored)
    if key in {"leads", "unit", "labels"}:
        if key == "labels" and not isinstance(stored, str | list) and np.asarray(stored).dtype.kind not in "US":
            raise DataError("numbers are columns of targets, and which ones only their maker knows")
        parts = re.split(r"[,;|]", texts[0]) if len(texts) == 1 else texts
        return tuple(part.strip() for part in parts) if any(part.strip() for part in parts) else None
    if len(texts) > 1:
        raise DataError("several values for one recording")
    text = texts[0].strip() if texts else ""
    if text.casefold() in UNSAID:
        return None
    if key == "age":
        return _age(text, name)
    if key == "gestation_days":
        return _gestation(text, name)
    if key == "sex":
        if sex_of(text) is None:
            raise DataError("neither F nor M")
        return sex_of(text)
    return text


def _age(text: str, name: str) -> ages.Age | None:
    unit = _AGE_UNITS.get(_plain(name).removeprefix("age_"), "")
    try:
        float(text)
    except ValueError:
        unit = ""  # it says its own
    return ages.parse(f"{text}{unit}")


def _gestation(text: str, name: str) -> float:
    if _plain(name).endswith("_days"):
        with suppress(ValueError):  # of a text that says its own unit
            text = f"{float(text):g} d"
    return parse_gestation(text)


def _texts(stored: Any) -> list[str]:
    """Text or numbers as a list of text, bytes decoded."""
    if isinstance(stored, str):
        return [stored]
    flat = np.asarray(stored).reshape(-1)[:10_000] if not isinstance(stored, list) else stored
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in flat]
