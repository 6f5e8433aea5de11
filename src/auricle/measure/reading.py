"""What is read from one median beat: its marks, the intervals between them, waves and axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.delineate import Delineation, Wave, delineate
from auricle.measure.jackknife import GROUPS
from auricle.measure.median_beat import Aligned, independent, median_of, without_gaps
from auricle.measure.waves import WAVES, Waves, frontal_axes_deg, read_waves

Floats = NDArray[np.float64]

INTERVALS: Final = ("p_duration", "pr", "qrs", "qt")
AXES: Final = ("p_axis", "qrs_axis", "t_axis")
_P_REPEATS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read from one median beat.

    Attributes:
        found: the marks.
        intervals: (4,) P duration, PR, QRS and QT in ms, NaN where a mark is missing.
        waves: amplitudes and areas.
        axes: (3,) of P, QRS and T in degrees.
        rr: samples from beat to beat.
    """

    found: Delineation
    intervals: Floats
    waves: Waves
    axes: Floats
    rr: float


def read_beat(
    median: Floats, aligned: Aligned, sheet: list[list[int]], leads: tuple[str, ...], rr_ms: float
) -> Reading:
    """Read one median beat.

    Args:
        median: (lead, time) in mV.
        aligned: the beats that it is of.
        sheet: rows of the leads of each column of a sheet, the largest first; one column of all where there is none.
        leads: names.
        rr_ms: usual interval from beat to beat, NaN where it is unknown.
    """
    rr = (rr_ms if math.isfinite(rr_ms) else 1000.0) * aligned.rate_hz / 1000
    independent_rows = set(independent(leads))
    found: Delineation | None = None
    amplitude, area = np.full((len(WAVES), len(leads)), np.nan), np.full((3, len(leads)), np.nan)
    # The leads of a column are read between marks of their own; the largest column gives the intervals.
    for rows in sheet:
        own = [row for row in rows if row in independent_rows] or rows
        marks = delineate(median[own], aligned.noise_mv[own], aligned.rate_hz, aligned.r_index, rr)
        read = read_waves(median[rows], marks, aligned.rate_hz, rr)
        amplitude[:, rows], area[:, rows] = read.amplitude_mv, read.area
        found = found or marks
    assert found is not None, "a beat without leads"
    waves = Waves(amplitude, area)
    ms = 1000 / aligned.rate_hz
    between = ((found.p, found.p), (found.p, found.qrs), (found.qrs, found.qrs), (found.qrs, found.t))
    ends = ("offset", "onset", "offset", "offset")
    intervals = [_between(first, last, end) * ms for (first, last), end in zip(between, ends, strict=True)]
    return Reading(found, np.array(intervals), waves, frontal_axes_deg(waves.area, leads), rr)


def _between(first: Wave, last: Wave, end: str) -> float:
    begin, stop = first.onset, last.onset if end == "onset" else last.offset
    return stop.at - begin.at if begin is not None and stop is not None else math.nan


def doubted(
    whole: Reading, repeated: list[Reading], aligned: Aligned, leads: tuple[str, ...]
) -> tuple[Reading, list[Reading]]:
    """The readings without their P wave, if it does not repeat in both halves of the beats: fibrillation, or noise."""
    p = whole.found.p
    if p.onset is None or p.offset is None or len(aligned.stack) < GROUPS:
        return whole, repeated
    rows = independent(leads)
    first, last = max(0, round(p.onset.at)), round(p.offset.at) + 1
    halves = [without_gaps(median_of(aligned.stack[start::2][:, rows, first:last])) for start in (0, 1)]
    even, odd = (half - half.mean(axis=1, keepdims=True) for half in halves)
    size = float(np.sqrt((even**2).sum() * (odd**2).sum()))
    if size > 0 and float((even * odd).sum()) / size > _P_REPEATS:
        return whole, repeated
    lost = Wave(None, None, reason="no P wave found")

    def without(reading: Reading) -> Reading:
        amplitude, area = reading.waves.amplitude_mv.copy(), reading.waves.area.copy()
        amplitude[WAVES.index("p")], area[0] = np.nan, np.nan
        intervals, axes = reading.intervals.copy(), reading.axes.copy()
        intervals[:2], axes[0] = np.nan, np.nan
        return Reading(replace(reading.found, p=lost), intervals, Waves(amplitude, area), axes, reading.rr)

    return without(whole), [without(reading) for reading in repeated]
