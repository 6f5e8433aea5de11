"""Intervals and axes with their standard errors: between beats, of the marks themselves, of sampling and filter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.leads import LIMB, wrap_axis_deg
from auricle.measure.amplitudes import UNKNOWN
from auricle.measure.delineate import FUSED
from auricle.measure.jackknife import standard_error
from auricle.measure.measurements import Measured, unmeasured
from auricle.measure.reading import AXES, INTERVALS, Reading
from auricle.measure.waves import frontal
from auricle.recording import Recording

Floats = NDArray[np.float64]

# Standard error of a mark, as a share of what was extrapolated: the foot of a wave need not be a parabola.
_EXTRAPOLATED_SHARE: Final = 0.5
# Error of a mark that all beats share and the jackknife cannot show: the edges of slow waves (P, T), and for either end
# of QRS a share of its duration (`benchmarks/measure.py`: errors on simulated truth grow with it).
_MARK_MS: Final[Mapping[str, float]] = {"p": 2.5, "t": 5.0}
_QRS_MARK_SHARE: Final = 0.035
# How far an edge lies from that of all twelve where one lead shows it, or two independent ones as those of the limbs
# are, in ms by their number (benchmarks/few_leads.py); with a chest lead beside two of the limbs the rest covers it.
_FEW_LEADS_MS: Final[Mapping[int, float]] = {1: 12.0, 2: 8.0}
_FULL_BAND_HZ: Final = 150.0
_LARGEST_AXIS_SE_DEG: Final = 50.0


def interval_values(
    whole: Reading, repeated: list[Reading], recording: Recording, fine_hz: float, n_leads: int
) -> dict[str, Measured]:
    """P duration, PR, QRS and QT in ms with their standard errors.

    Args:
        whole: read from the median of all beats.
        repeated: from medians with some beats left out; none where there are too few beats.
        recording: for its sampling rate and filter.
        fine_hz: samples per second of the median beats.
        n_leads: independent leads that were read.
    """
    found, ms = whole.found, 1000 / fine_hz
    marks = {"p_duration": (found.p.onset, found.p.offset), "pr": (found.p.onset, found.qrs.onset),
             "qrs": (found.qrs.onset, found.qrs.offset), "qt": (found.qrs.onset, found.t.offset)}  # fmt: skip
    soft = {"p_duration": ("p", "p"), "pr": ("p", "qrs"), "qrs": ("qrs", "qrs"), "qt": ("qrs", "t")}
    reasons = {"p_duration": found.p.reason, "pr": found.p.reason, "qrs": found.qrs.reason, "qt": found.t.reason}
    spread = standard_error(np.array([reading.intervals for reading in repeated])) if repeated else np.full(4, np.nan)
    values = {}
    qrs = float(whole.intervals[INTERVALS.index("qrs")])
    qrs_mark = _QRS_MARK_SHARE * qrs if math.isfinite(qrs) else 0.0
    for number, name in enumerate(INTERVALS):
        value = float(whole.intervals[number])
        if not (math.isfinite(value) and value > 0):
            values[name] = unmeasured(name, reasons[name] or found.qrs.reason or FUSED)
            continue
        extrapolated = [_EXTRAPOLATED_SHARE * mark.extrapolated * ms for mark in marks[name] if mark is not None]
        own = [_MARK_MS.get(wave, qrs_mark) for wave in soft[name]]
        # Too few beats show no spread; it is then taken to be twice the error of the marks themselves.
        seen = spread[number] if math.isfinite(spread[number]) else 2 * math.hypot(*own)
        sample = 1000 / recording.original_hz
        few = _FEW_LEADS_MS.get(n_leads, 0.0)
        error = math.hypot(seen, sample / math.sqrt(3), _rounded_ms(recording), *extrapolated, *own, few)
        values[name] = Measured(value, max(error, sample / 2), "ms")
    return values


def _rounded_ms(recording: Recording) -> float:
    """How far a cart's low-pass may move two marks: its rise time (.35 / cut-off) beyond that of a band of 150 Hz."""
    low_pass = recording.cart_band_hz[1] if recording.cart_band_hz else _FULL_BAND_HZ
    return math.sqrt(2) * max(0.0, 350 / max(low_pass, 1.0) - 350 / _FULL_BAND_HZ)


def axis_values(
    whole: Reading, repeated: list[Reading], noise_mv: Floats, leads: tuple[str, ...], amplitude_known: bool
) -> dict[str, Measured]:
    """Axes of P, QRS and T in degrees with their standard errors.

    Args:
        whole: read from the median of all beats.
        repeated: from medians with some beats left out; none where there are too few beats.
        noise_mv: (lead,) noise of the median beat.
        leads: names.
        amplitude_known: whether signals are millivolts; of others no axis can be told.
    """
    lead_i, lead_ii = frontal(whole.waves.area, leads)
    reasons = (whole.found.p.reason, whole.found.qrs.reason, whole.found.t.reason)
    limb = [row for row, name in enumerate(leads) if name in LIMB]
    values = {}
    for number, name in enumerate(AXES):
        angle = float(whole.axes[number])
        if not amplitude_known or not math.isfinite(angle):
            reason = UNKNOWN if not amplitude_known else reasons[number] or "needs two limb leads"
            values[name] = unmeasured(name, reason)
            continue
        turned = np.array([reading.axes[number] - angle for reading in repeated])
        spread = float(standard_error((turned + 180) % 360 - 180)) if len(turned) else math.nan
        length = math.hypot(lead_i[number], (2 * lead_ii[number] - lead_i[number]) / math.sqrt(3))
        lasts = (80.0, 80.0, 160.0)[number]  # noise in the level adds to the area over so many ms
        level = math.degrees(math.atan2(float(np.median(noise_mv[limb])) * lasts, length))
        error = math.hypot(spread if math.isfinite(spread) else 2 * level, level, 1.0)
        if error > _LARGEST_AXIS_SE_DEG:
            values[name] = unmeasured(name, "the wave has no net direction")
        else:
            turn = float(wrap_axis_deg(angle)) if name == "qrs_axis" else angle
            values[name] = Measured(turn, error, "deg")
    return values
