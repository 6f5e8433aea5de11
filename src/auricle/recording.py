"""Recording: one ECG of one patient, with unit, lead names, rate and age already settled by its reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle import einthoven, gaps
from auricle import leads as lead_names
from auricle.age import Age
from auricle.errors import DataError

Sex = Literal["F", "M"]
# A heart's surface signal is a few millivolts; electrode offsets reach some hundred. More is a unit error.
_LARGEST_MV: Final = 5_000.0


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
        report: free text as written.
        labels: codes as the source spells them (SCP for PTB-XL, SNOMED CT for the Challenge sets).
        labs: laboratory values by canonical name, in canonical units (see `auricle.labs`).
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
    report: str | None = None
    labels: tuple[str, ...] = ()
    labs: Mapping[str, float] = field(default_factory=dict)
    lab_minutes: Mapping[str, float] = field(default_factory=dict)
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
        """A copy that also knows what the caller knows (age, sex, report ...); None leaves a field as it is."""
        return replace(self, **{name: value for name, value in known.items() if value is not None})  # type: ignore[arg-type]


def make_recording(
    signal: NDArray[np.floating],
    rate_hz: float,
    leads: tuple[str, ...] | list[str],
    record_id: str,
    **context: object,
) -> Recording:
    """Build a Recording as every reader must: canonical names and order, derived limb leads, unusable leads dropped.

    Stretches that hold no measurement (`auricle.gaps`) are missing, and limb leads that contradict the others are
    derived from them or set aside (`auricle.einthoven`); `notes` say so. A lead without a single finite value is
    absent, not zero: it is left out (and derived if its partners allow). Channels that are no ECG lead (Frank,
    respiration) are left out as well.

    Args:
        signal: (lead, time) in millivolts.
        rate_hz: samples per second.
        leads: names as the file writes them.
        record_id: identity of the record in its source.
        **context: further fields of `Recording`.

    Raises:
        DataError: an unknown lead name, no lead with a usable value, or amplitudes that no millivolt has.
    """
    signal = np.asarray(signal, dtype=np.float32)
    keep = [row for row, name in enumerate(leads) if not lead_names.is_other_channel(name)]
    names = tuple(lead_names.canonical(leads[row]) for row in keep)
    values = np.where(np.isinf(signal), np.nan, signal)[keep]
    known = [bool(np.isfinite(row).any()) for row in values]
    in_millivolts = bool(context.get("amplitude_known", True))
    lost = gaps.lost(values, rate_hz, in_millivolts)
    values[lost] = np.nan
    notes = [gaps.describe(lost, names)] if lost.any() else []
    shares = {name: float(row.mean()) for name, row in zip(names, lost, strict=True) if row.any()}
    if in_millivolts and len(set(names)) == len(names):
        settled = einthoven.settle(values, names, rate_hz)
        values, notes = settled.signal, [*notes, *settled.notes]
        if not settled.comparable:
            context["amplitude_known"] = False
    usable = [row for row in range(len(keep)) if np.isfinite(values[row]).any()]
    if not usable:
        why = "every lead is constant" if any(known) else "no lead has a usable sample"
        raise DataError(f"{record_id}: {why}; there is no ECG in it to read")
    values = values[usable]
    peak = float(np.nanmax(np.abs(values)))
    if peak > _LARGEST_MV:
        raise DataError(f"{record_id}: values up to {peak:.3g} are no millivolts; check the unit or gain of the file")
    values, ordered = lead_names.derive_limb(values, [names[row] for row in usable])
    context["notes"] = (*context.get("notes", ()), *notes)  # type: ignore[misc]
    return Recording(values, float(rate_hz), ordered, record_id, lost=shares, **context)  # type: ignore[arg-type]
