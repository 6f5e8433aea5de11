"""What a reader of a prediction should know beside it: age, leads, quality, picture, laboratory values, length.

The sentences are English; `paediatrics.languages` has them in the other languages.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from auricle.age import ADULT_DAYS, DAYS_PER_MONTH, DAYS_PER_YEAR, Age, describe
from auricle.birth import corrected
from auricle.data.collate import starts_in
from auricle.data.panel import LabPanel
from auricle.labs import lab_test
from auricle.measure.measurements import Measured
from auricle.measure.recording import Judged
from auricle.paediatrics import limits
from auricle.paediatrics.findings import z_interval
from auricle.recording import Recording
from auricle.signal.preprocess import InputSpec


def caveats(
    recording: Recording,
    spec: InputSpec,
    panel: LabPanel | None,
    present: Sequence[str],
    n_windows: int,
    judged: Judged,
    *,
    sees_age: bool,
    sees_pictures: bool,
    ages_days: Sequence[float] | None = None,
    untested: Sequence[str] = (),
    left_open: Sequence[str] = (),
) -> list[str]:
    """Sentences about one recording, the most important first.

    Args:
        recording: as it was read.
        spec: what the weights read.
        panel: laboratory tests that the weights read, None for none.
        present: leads that were there and read.
        n_windows: how many windows were read.
        judged: quality and rate of the trace.
        sees_age, sees_pictures: whether the weights use the age, and a picture.
        ages_days: the least and the greatest age that they were trained on, None where that is not known.
        untested: classes that the recording is told to have, and that no real children had when they were tested.
        left_open: notes on classes that are left open for what was not recorded.
    """
    notes = [f"the trace is not acceptable: {reason}" for reason in judged.quality.reasons]
    unknown = 1 - float(np.isfinite(recording.signal).any(axis=0).mean()) if recording.leads else 0.0
    if unknown:
        notes.append(f"no lead has a sample for {max(unknown, 0.01):.0%} of the time: the rest was read")
    n_in_all = len(starts_in(recording.trimmed(), spec))
    if n_windows < n_in_all:
        notes.append(
            f"left out: {n_in_all - n_windows} of {n_in_all} windows of {spec.seconds:g} s, in which no lead has half "
            "of its samples"
        )
    if judged.artefacts:
        notes.append(f"an artefact, larger than a heart can be: {', '.join(judged.artefacts)}")
    notes += _rate_notes(judged.heart_rate, recording)
    if not sees_age:
        notes.append("these weights do not use the age")
    elif recording.age is None:
        notes.append("age unknown: the answer holds for no age in particular; give --age")
    elif recording.age.resolution_days > DAYS_PER_MONTH and recording.age.days < 2 * DAYS_PER_YEAR:
        notes.append(f"age known to {describe(recording.age.resolution_days)} only: too coarse for an infant")
    elif recording.age.days < ADULT_DAYS and recording.age.best_days > recording.age.days:
        known, middle = describe(recording.age.resolution_days), describe(recording.age.best_days)
        notes.append(f"age known to {known} only: the middle of what it may be, {middle}, is taken")
    notes += _age_notes(recording.age, ages_days)
    if untested and recording.age is not None and recording.age.best_days < ADULT_DAYS:
        notes.append(f"answered yes for a child, and tested on no real children: {', '.join(untested)}")
    absent = [lead for lead in spec.read if lead not in present]
    if not recording.leads:
        notes.append("no signal: the answer is read from the picture alone")
    elif absent:
        notes.append(f"leads not recorded, or mostly missing: {', '.join(absent)}")
    if recording.image is not None and not sees_pictures:
        notes.append("these weights do not read pictures")
    notes += _lab_notes(recording, panel)
    seconds = recording.trimmed().seconds
    if recording.leads and seconds < spec.seconds:
        notes.append(f"{seconds:.1f} s recorded, {spec.seconds:g} s expected: padded and masked")
    highest = recording.original_hz / 2
    if recording.leads and highest < spec.band_hz[1]:
        notes.append(
            f"recorded with nothing above {highest:.3g} Hz, and these weights read up to {spec.band_hz[1]:g} Hz"
        )
    return [*notes, *left_open]


def _rate_notes(rate: Measured, recording: Recording) -> list[str]:
    """That the rate as measured lies surely outside of what children of the age have: weights may not see it so."""
    age = None if recording.age is None else corrected(recording.age, recording.gestation_days)
    if age is None or age.best_days >= ADULT_DAYS or not rate.measurable or not math.isfinite(rate.uncertainty):
        return []
    least, most = z_interval("heart_rate", rate, age, recording.sex, limits)
    if least <= limits.Z_98 and most >= -limits.Z_98:
        return []
    side = "slow" if most < -limits.Z_98 else "fast"
    low, _, high = limits.centiles("heart_rate", age.best_days, recording.sex).tolist()
    return [
        f"a rate of {rate.value:.0f}/min was measured, {side} for {describe(age.best_days)} ({low:.0f} to {high:.0f} "
        "are usual), whatever is said of the rhythm"
    ]


def _age_notes(age: Age | None, ages_days: Sequence[float] | None) -> list[str]:
    """That an age lies outside of those that the weights were trained on, by more than it is known to."""
    if age is None or ages_days is None:
        return []
    low, high = ages_days
    if low - age.resolution_days <= age.best_days <= high + age.resolution_days:
        return []
    return [
        f"outside the ages these weights were trained on, {describe(low)} to {describe(high)}: nothing was learned of "
        f"{describe(age.days)}"
    ]


def _lab_notes(recording: Recording, panel: LabPanel | None) -> list[str]:
    """What a reader should know of the laboratory values: which were absent, not used, or unusual for the age."""
    known = sorted(recording.labs)
    if panel is None:
        return ["these weights do not use laboratory values"] if known else []
    notes = []
    (seen,) = panel.of_recordings([recording])[1].tolist()
    given = {test for test, is_seen in zip(panel.tests, seen, strict=True) if is_seen}
    absent = [test for test in panel.tests if test not in recording.labs]
    if not given:
        notes.append("no laboratory value was seen: the answer holds without them")
    elif absent:
        notes.append(f"laboratory values not given: {', '.join(absent)}")
    unused = [test for test in known if test not in panel.tests]
    if unused:
        notes.append(f"laboratory values these weights do not read: {', '.join(unused)}")
    outside = [test for test in panel.tests if test in recording.labs and test not in given]
    if outside:
        notes.append(f"laboratory values left out for the time they were drawn at: {', '.join(outside)}")
    return notes + _unusual(recording, given)


def _unusual(recording: Recording, given: Collection[str]) -> list[str]:
    """Which of the values seen lie outside of the reference range of the age."""
    if not given:
        return []
    if recording.age is None:
        return ["age unknown: no reference range to compare laboratory values with"]
    notes = []
    for name in sorted(given):
        test, value = lab_test(name), recording.labs[name]
        low, high = test.reference(recording.age.best_days, recording.sex)
        if not low <= value <= high:
            side = "below" if value < low else "above"
            usual = f"{low:.3g} to {high:.3g} {test.unit}"
            notes.append(f"{name} {value:.4g} is {side} the usual for the age ({usual}; textbook figures)")
    return notes
