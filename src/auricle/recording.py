"""Recording: one ECG of one patient, with unit, lead names, rate and age already settled by its reader."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle import einthoven, gaps
from auricle import leads as lead_names
from auricle.age import Age
from auricle.amplitude import doubt_of
from auricle.birth import describe_gestation
from auricle.errors import DataError
from auricle.labs import Bound

Sex = Literal["F", "M"]
# The label of a record that was looked at and has none of the classes; no label at all says that nothing is known.
NO_CLASS: Final = "none"
# What ends a label that may be so (`RVH?`): the record counts neither for that class nor against it.
DOUBT: Final = "?"
# No converter has more bits than this many steps; what is larger was never a sample.
_LARGEST: Final = 2.0**32


@dataclass(frozen=True, slots=True)
class Recording:
    """One ECG and what was known beside it. What is absent is None or empty, never a special number.

    Attributes:
        signal: (lead, time) float32 in millivolts; NaN marks a missing sample.
        rate_hz: samples per second.
        leads: canonical lead names, one per row of `signal`, in canonical order.
        record_id: unique inside its source.
        patient_id: equal for recordings of one person; None is treated as a person of its own.
        age: age at the recording, with its resolution.
        sex: "F" or "M".
        recorded: when it was recorded where the file says so, in the local time of the place: `2024-05-31` or
            `2024-05-31T14:20:05`. Never shown, logged or kept in stores.
        gestation_days: days of gestation at birth, where a child was born early or it is known.
        report: free text as written.
        labels: codes as the source spells them (SCP for PTB-XL, SNOMED CT for the Challenge sets); empty where nothing
            is known, `none` where it was looked at and has none, `RVH?` where it may have it.
        labs: laboratory values by canonical name, in canonical units (see `auricle.labs`).
        lab_bounds: which of them are limits, the true value lying "below" or "above".
        lab_minutes: when they were drawn, in minutes after the ECG (negative before), where it is known.
        image: (height, width) a picture of the ECG, grey, 255 = white. A recording may have a picture and no lead.
        measurements: numbers that came with the record (heart_rate, qrs_ms ...), by the cart or by a simulator.
        fold: the source's own cross-validation fold.
        cart_band_hz: (high-pass, low-pass) of the cart, where it says so.
        source: the name of the data set or file it came from.
        amplitude_known: false where the gain is lost (z-scored copies): `signal` then has no unit, and models that
            read millivolts refuse it.
        recorded_hz: samples per second before `signal` was brought to another rate, as in a store; None where it is
            as recorded.
        lost: share of the time in which a lead of the file held numbers and no measurement (`auricle.gaps`), by lead,
            for the leads that lost any. A lead that lost everything is not in `leads`, unless others gave it.
        notes: what its reader found wrong and what it did about it, a sentence each, without the file's name and
            without anything about the person ("channel PLETH is no ECG lead and is left out").

    Raises:
        DataError: shape and leads do not fit, an impossible rate, names that are not canonical or occur twice, a
            picture that is not (height, width) of bytes, or neither a lead nor a picture.
    """

    signal: NDArray[np.float32]
    rate_hz: float
    leads: tuple[str, ...]
    record_id: str
    patient_id: str | None = None
    age: Age | None = None
    sex: Sex | None = None
    recorded: str | None = None
    gestation_days: float | None = None
    report: str | None = None
    labels: tuple[str, ...] = ()
    labs: Mapping[str, float] = field(default_factory=dict)
    lab_minutes: Mapping[str, float] = field(default_factory=dict)
    lab_bounds: Mapping[str, Bound] = field(default_factory=dict)
    image: NDArray[np.uint8] | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    fold: int | None = None
    cart_band_hz: tuple[float, float] | None = None
    source: str = ""
    amplitude_known: bool = True
    recorded_hz: float | None = None
    lost: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads):
            raise DataError(f"{self.record_id}: signal of shape {self.signal.shape} for {len(self.leads)} leads")
        if not 1 <= self.rate_hz <= 100_000:
            raise DataError(f"{self.record_id}: a sampling rate of {self.rate_hz:g} Hz is not possible")
        if not self.leads and self.image is None:
            raise DataError(f"{self.record_id}: has neither a lead nor a picture")
        if self.image is not None and (self.image.ndim != 2 or self.image.dtype != np.uint8 or not self.image.size):
            raise DataError(f"{self.record_id}: a picture should be (height, width) of grey bytes")
        unknown = set(self.leads) - set(lead_names.CANONICAL)
        if unknown or len(set(self.leads)) != len(self.leads):
            raise DataError(f"{self.record_id}: leads must be canonical and distinct, not {', '.join(self.leads)}")

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return float(self.signal.shape[1] / self.rate_hz)

    @property
    def original_hz(self) -> float:
        """Samples per second at which it was recorded."""
        return self.rate_hz if self.recorded_hz is None else self.recorded_hz

    def trimmed(self) -> Recording:
        """The recording without what lies before the first and behind the last sample that any lead has."""
        known = np.flatnonzero(np.isfinite(self.signal).any(axis=0))
        if not len(known) or len(known) == self.signal.shape[1]:
            return self
        return replace(self, signal=self.signal[:, known[0] : known[-1] + 1])

    def with_context(self, **known: object) -> Recording:
        """A copy that also knows what the caller knows (age, sex, report ...); None leaves a field as it is.

        `notes` are added to those that are there. Where age, sex or gestation differ from what was known, a note
        says which is used.
        """
        notes = (
            _other_age(self.age, known.get("age")),
            _other_sex(self.sex, known.get("sex")),
            _other_gestation(self.gestation_days, known.get("gestation_days")),
        )
        differing = [note for note in notes if note]
        if differing:
            known["notes"] = (*(known.get("notes") or ()), *differing)  # type: ignore[misc]
        if known.get("notes") is not None:
            known["notes"] = (*self.notes, *known["notes"])  # type: ignore[misc]
        return replace(self, **{name: value for name, value in known.items() if value is not None})  # type: ignore[arg-type]


def _other_age(own: Age | None, given: object) -> str:
    if own is None or not isinstance(given, Age) or own.agrees_with(given):
        return ""
    return f"the age given ({given}) is used; the file says {own}"


def _other_gestation(own: float | None, given: object) -> str:
    if own is None or not isinstance(given, int | float) or abs(own - given) < 1:
        return ""
    used, other = describe_gestation(given), describe_gestation(own)
    return f"the gestation given ({used} weeks) is used; the file says {other}"


def _other_sex(own: Sex | None, given: object) -> str:
    return f"the sex given ({given}) is used; the file says {own}" if own and given and own != given else ""


def make_recording(
    signal: NDArray[np.floating],
    rate_hz: float,
    leads: tuple[str, ...] | list[str],
    record_id: str,
    **context: object,
) -> Recording:
    """Build a Recording as every reader must: canonical names and order, derived limb leads, unusable leads dropped.

    Stretches that hold no measurement (`auricle.gaps`) are missing, and limb leads that contradict the others are
    derived from them or set aside (`auricle.einthoven`). A lead without a single finite value is absent, not zero: it
    is left out (and derived if its partners allow). Channels that are no lead of ours (Frank, respiration) are left
    out as well, a lead that is named with a minus is turned, and of a lead that is there twice with different samples
    neither is used. Numbers that cannot be millivolts (`auricle.amplitude`) have an unknown amplitude. `notes` say so.

    Args:
        signal: (lead, time) in millivolts.
        rate_hz: samples per second.
        leads: names as the file writes them.
        record_id: identity of the record in its source.
        **context: further fields of `Recording`; `notes` come before those made here.

    Raises:
        DataError: no lead that we know, none with a usable value, or numbers that no recorder gives.
    """
    rows, notes = _by_lead(np.asarray(signal, dtype=np.float32), leads)
    if not any(lead_names.is_lead(name) for name in leads):
        raise DataError(
            f"{record_id}: none of its channels is an ECG lead that auricle knows ({lead_names.shown(leads)}); "
            "name them I, II, III, aVR, aVL, aVF, V1 ..."
        )
    if not rows:
        twice = "; ".join(note for note in notes if "none of them" in note)
        raise DataError(f"{record_id}: {twice or 'no lead has a usable sample'}; there is no ECG in it to read")
    names, values = tuple(rows), np.stack(list(rows.values()))
    values, pulse = _without_calibration(values, float(rate_hz))
    notes += pulse
    peak = float(np.nanmax(np.abs(values)))
    if peak > _LARGEST:
        raise DataError(f"{record_id}: values up to {peak:.3g} are no millivolts; check the unit or gain of the file")
    doubt = doubt_of(values, rate_hz) if context.get("amplitude_known", True) else None
    if doubt is not None:
        notes, context["amplitude_known"] = [*notes, doubt.reason], False
    in_millivolts = bool(context.get("amplitude_known", True))
    lost = gaps.lost(values, rate_hz, in_millivolts)
    values[lost] = np.nan
    notes += [gaps.describe(lost, names)] if lost.any() else []
    shares = {name: float(row.mean()) for name, row in zip(names, lost, strict=True) if row.any()}
    if in_millivolts:
        settled = einthoven.settle(values, names, rate_hz)
        values, notes = settled.signal, [*notes, *settled.notes]
        if not settled.comparable:
            context["amplitude_known"] = False
    usable = [row for row in range(len(names)) if np.isfinite(values[row]).any()]
    if not usable:
        raise DataError(f"{record_id}: every lead is constant; there is no ECG in it to read")
    values, ordered = lead_names.derive_limb(values[usable], [names[row] for row in usable])
    context["notes"] = (*context.get("notes", ()), *notes)  # type: ignore[misc]
    return Recording(values, float(rate_hz), ordered, record_id, lost=shares, **context)  # type: ignore[arg-type]


def _without_calibration(values: NDArray[np.float32], rate_hz: float) -> tuple[NDArray[np.float32], list[str]]:
    """The signal up to a calibration pulse at one of its ends, missing where it lies between, and a note on it."""
    pulse = gaps.calibration(values, rate_hz)
    if not pulse.any() or pulse.all():
        return values, []
    values[:, pulse] = np.nan
    heart = np.flatnonzero(~pulse)
    return values[:, heart[0] : heart[-1] + 1], ["a calibration pulse, the same in every lead, is left out"]


def _by_lead(
    signal: NDArray[np.float32], names: tuple[str, ...] | list[str]
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The usable rows by canonical lead, with their right sign, and what has to be said of the names."""
    found: dict[str, dict[int, list[int]]] = {}
    for row, name in enumerate(names):
        if lead_names.is_lead(name) and np.isfinite(signal[row]).any():
            lead, sign = lead_names.signed(name)
            found.setdefault(lead, {}).setdefault(sign, []).append(row)
    others = [name for name in names if not lead_names.is_lead(name)]
    notes = list(left_out(others))
    rows = {}
    for lead, by_sign in found.items():
        if len(by_sign) > 1:
            notes.append(f"lead {lead} is there with both signs; the one without a minus is used")
        sign = max(by_sign)
        same = [np.where(np.isinf(signal[row]), np.nan, sign * signal[row]) for row in by_sign[sign]]
        if len(same) > 1 and not all(np.array_equal(same[0], row, equal_nan=True) for row in same):
            notes.append(f"lead {lead} is there {len(same)} times with different samples; none of them is used")
            continue
        if len(same) > 1:
            notes.append(f"lead {lead} is there {len(same)} times with the same samples; one of them is used")
        if sign < 0:
            notes.append(f"lead {lead} is recorded upside down ({lead_names.shown([names[by_sign[sign][0]]])}); turned")
        rows[lead] = same[0]
    return rows, notes


def left_out(channels: Sequence[str]) -> tuple[str, ...]:
    """What a reader says of channels that are no lead of ours: one sentence, or nothing where there are none."""
    if not channels:
        return ()
    one = len(channels) == 1
    return (
        f"channel{'' if one else 's'} {lead_names.shown(channels)} {'is' if one else 'are'} no ECG lead that auricle "
        f"knows and {'is' if one else 'are'} left out",
    )


def patient_number(source: str, patient_id: str | None, record_id: str) -> int:
    """A number equal for recordings of one person; a recording without a patient is a person of its own."""
    identity = patient_id if patient_id is not None else f"record:{record_id}"
    return zlib.crc32(f"{source}/{identity}".encode())
