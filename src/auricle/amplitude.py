"""Whether numbers can be millivolts: the one rule for readers, and for the doctor of manifests.

The size of a beat tells microvolts, volts and counts of a converter from millivolts, and what was standardised or
scaled has lost its size and shows it in round figures. Both are told of the whole recording: one lead with a loose
electrode may do anything. Limits lie where no true record does: among 3,200 real ones in millivolts (adults, children,
broken ones) the smallest beat is .14 mV and the largest 4.1 mV, and in every one some lead's standard deviation is at
least .4 away from 1 mV; beats of volts taken for millivolts stay below .01, of microvolts above 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

# Every window holds a beat down to 40 a minute; wander of the baseline within it is small.
_WINDOW_S: Final = 1.5
_LEAST_MV: Final = 0.02
_MOST_MV: Final = 10.0
# Standard deviations and means of a standardised copy that was cut, filtered or rounded afterwards; fewer leads than
# these may meet them by chance and must meet them exactly.
_NEARLY, _EXACTLY = 0.1, 1e-3
_ENOUGH_LEADS: Final = 3
_ROUND: Final = 1e-4
_REMEDY: Final = "amplitudes are treated as unknown: give the true unit or gain"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why numbers are no millivolts.

    Attributes:
        kind: `small` and `large` beats, or `scaled` to a round figure, which loses the size for good.
        reason: a sentence with the remedy.
    """

    kind: Literal["small", "large", "scaled"]
    reason: str


def beat_mv(signal: NDArray[np.float32], rate_hz: float) -> float:
    """Height of a beat: median over leads that move of the median over windows of 1.5 s of the range; NaN if none does.

    Args:
        signal: (lead, time) in millivolts, NaN where missing.
        rate_hz: samples per second.
    """
    width = min(max(2, round(_WINDOW_S * rate_hz)), signal.shape[1])
    if not width:
        return float("nan")
    windows = signal[:, : signal.shape[1] // width * width].reshape(len(signal), -1, width)
    known = np.isfinite(windows)
    if known.all():
        leads = np.median(np.ptp(windows, axis=2), axis=1).tolist()
    else:
        span = np.where(known, windows, -np.inf).max(axis=2) - np.where(known, windows, np.inf).min(axis=2)
        leads = [float(np.median(row[np.isfinite(row)])) for row in span if np.isfinite(row).any()]
    moving = [height for height in leads if height > 0]
    return float(np.median(moving)) if moving else float("nan")


def doubt_of(signal: NDArray[np.float32], rate_hz: float) -> Doubt | None:
    """Why a signal (lead, time) that is given as millivolts cannot be; None where nothing speaks against it."""
    height = beat_mv(signal, rate_hz)
    if height > _MOST_MV:
        what = f"no heart gives more than {_MOST_MV:g} mV, these are microvolts or counts of a converter"
        return Doubt("large", f"beats of {height:.3g} mV: {what}; {_REMEDY}")
    if height < _LEAST_MV:
        what = "the noise of a recorder alone is larger, these are volts"
        return Doubt("small", f"beats of {height:.2g} mV: {what}; {_REMEDY}")
    how = _scaling(signal)
    if how:
        what = "a scaled copy, whose amplitudes are lost and treated as unknown; read the original"
        return Doubt("scaled", f"every lead {how}: {what}")
    return None


def _scaling(signal: NDArray[np.float32]) -> str:
    """What the leads have in common that only scaling gives; empty if nothing."""
    rows = [row[np.isfinite(row)] for row in signal]
    rows = [row for row in rows if len(row) and row.max() > row.min()]
    if not rows:
        return ""
    slack = _NEARLY if len(rows) >= _ENOUGH_LEADS else _EXACTLY
    if all(abs(row.std(dtype=np.float64) - 1) < slack and abs(row.mean(dtype=np.float64)) < slack for row in rows):
        return "has mean 0 and standard deviation 1"
    low, high = np.array([row.min() for row in rows]), np.array([row.max() for row in rows])
    if (np.abs(high - 1) < _ROUND).all() and ((np.abs(low) < _ROUND).all() or (np.abs(low + 1) < _ROUND).all()):
        return f"reaches exactly from {round(low[0]):d} to 1"
    if (np.abs(np.maximum(-low, high) - 1) < _ROUND).all() and len(rows) >= _ENOUGH_LEADS:
        return "has a largest value of exactly 1"
    return ""
