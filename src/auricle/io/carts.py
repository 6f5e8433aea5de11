"""What carts and archives export, as a `Recording`: one way for all of their formats.

A reader of a format gives an `Export`: channels in millivolts, and what the file says of the person and the recording
as text. Here it is settled once for all of them which channels are leads, how old the person was and of which sex.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle import age as ages
from auricle import birth as births
from auricle.age import Age
from auricle.errors import DataError, ReadError
from auricle.io.header_comments import sex_of
from auricle.io.names import record_name
from auricle.leads import is_lead, shown
from auricle.moments import local_moment
from auricle.recording import Recording, left_out, make_recording

_MOST_LEADS: Final = 64
# What is missing at the end of shorter leads is held as well.
_MOST_UNEVEN: Final = 16


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a file.

    Attributes:
        name: as the file writes it.
        samples: (time,) millivolts, NaN where missing; counts where the file gives no unit.
        rate_hz: samples per second.
        in_millivolts: false where the file says neither gain nor unit.
    """

    name: str
    samples: NDArray[np.floating[Any]]
    rate_hz: float
    in_millivolts: bool = True


@dataclass(frozen=True, slots=True)
class Export:
    """What a file of a cart holds. What it does not say is empty.

    Attributes:
        channels: leads and whatever was recorded beside them.
        ages: what it says of the age, each with its unit (`7 MONTHS`).
        born: date of birth, `2024-05-31` or with a time.
        recorded: when it was recorded, of the same form.
        sex: as written.
        patient_id: of the person, as written.
        statements: what the cart or its reader says of the ECG, line by line.
        measurements: numbers of the cart by name (`heart_rate`, `pr_ms`, `qrs_ms`, `qt_ms`, `qtc_ms`, `qrs_axis_deg`).
        band_hz: (high-pass, low-pass) of the cart, 0 for no high-pass; None where it does not say.
        notes: what its reader found wrong.
    """

    channels: Sequence[Channel]
    ages: Sequence[str] = ()
    born: str = ""
    recorded: str = ""
    sex: str = ""
    patient_id: str = ""
    statements: Sequence[str] = ()
    measurements: Mapping[str, float | None] = field(default_factory=dict)
    band_hz: tuple[float | None, float | None] = (None, None)
    notes: Sequence[str] = ()


def recording_of(path: Path, export: Export, context: Mapping[str, object]) -> Recording:
    """The recording of an export; limb leads that are not in it follow from those that are.

    Args:
        path: of the file, for messages and the record's name.
        export: what its reader found.
        context: what the caller knows better.

    Raises:
        ReadError: no lead in it, or leads at several rates.
    """
    leads = [channel for channel in export.channels if is_lead(channel.name)]
    if not leads:
        held = shown([channel.name for channel in export.channels])
        raise ReadError(
            f"{path}: none of its {len(export.channels)} channels is an ECG lead that auricle knows ({held})"
        )
    rates = {channel.rate_hz for channel in leads}
    if len(rates) > 1:
        raise ReadError(f"{path}: its leads are sampled at different rates; write them at one rate")
    longest, total = max(len(channel.samples) for channel in leads), sum(len(channel.samples) for channel in leads)
    if len(leads) > _MOST_LEADS or longest * len(leads) > _MOST_UNEVEN * total:
        raise ReadError(f"{path}: holds {len(leads)} leads of very different lengths; export it again")
    signal = np.full((len(leads), longest), np.nan, dtype=np.float32)
    for row, channel in zip(signal, leads, strict=True):
        row[: len(channel.samples)] = channel.samples
    notes = [*left_out([channel.name for channel in export.channels if not is_lead(channel.name)]), *export.notes]
    known = dict(context)
    for of_arrays in ("rate_hz", "leads"):
        known.pop(of_arrays, None)
    record_id = str(known.pop("record_id", None) or record_name(path))
    own: dict[str, object] = {
        "age": _age(export, notes),
        "sex": sex_of(export.sex),
        "recorded": local_moment(export.recorded),
        "patient_id": export.patient_id.strip() or None,
        "report": _report(export.statements),
        "measurements": _finite(export.measurements) or None,
        "cart_band_hz": _band(export.band_hz),
        "source": path.parent.name,
    }
    with np.errstate(over="ignore", invalid="ignore"):
        recording = make_recording(
            signal,
            rates.pop(),
            [channel.name for channel in leads],
            record_id,
            notes=tuple(notes),
            amplitude_known=all(channel.in_millivolts for channel in leads),
        )
    return recording.with_context(**own).with_context(**known)


def _age(export: Export, notes: list[str]) -> Age | None:
    """The age by its dates where they agree with the one that is stated, which is coarser; None where they do not."""
    stated = [age for age in (_stated(text, notes) for text in export.ages) if age is not None]
    by_dates = _by_dates(export, notes)
    if by_dates is None:
        return min(stated, key=lambda age: age.resolution_days) if stated else None
    # An age may have been rounded to the next unit and not down to the last.
    if any(abs(by_dates.days - age.days) >= 2 * age.resolution_days + by_dates.resolution_days for age in stated):
        notes.append("the age in the file and its dates contradict each other: the age is treated as unknown")
        return None
    return by_dates


def _stated(text: str, notes: list[str]) -> Age | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an age without a unit; every reader gives one
            return ages.parse(text)
    except DataError:
        notes.append("the age in its header makes no sense and is treated as unknown")
        return None


def _by_dates(export: Export, notes: list[str]) -> Age | None:
    if not export.born or not export.recorded:
        return None
    try:
        age = births.by_dates(export.born, export.recorded)
    except DataError:
        age = None
    if age is None:
        notes.append("its dates of birth and recording give no age that is possible, and are not used")
        return None
    return age


def _report(statements: Sequence[str]) -> str | None:
    lines = [" ".join(line.split()) for line in statements]
    return "\n".join(dict.fromkeys(line for line in lines if line)) or None


def _finite(measurements: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in measurements.items() if value is not None and math.isfinite(value)}


def _band(band_hz: tuple[float | None, float | None]) -> tuple[float, float] | None:
    high_pass, low_pass = band_hz
    if low_pass is None or not 0 <= (high_pass or 0.0) < low_pass < math.inf:
        return None
    return high_pass or 0.0, low_pass


def date_of(year: int, month: int, day: int, clock: tuple[int, int, int] | None = None) -> str:
    """A date as `Export` has it, empty where its parts are not one (0 for an unknown month, 9999 for a year)."""
    if not 1800 <= year <= 2200:
        return ""
    try:
        date(year, month, day)
    except ValueError:
        return ""
    time = "" if clock is None else "T{:02d}:{:02d}:{:02d}".format(*clock)
    return f"{year:04d}-{month:02d}-{day:02d}{time}"


def number_of(text: str | None) -> float | None:
    """A number as files write it, with a point or a comma; None where it is none or not finite."""
    try:
        value = float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
