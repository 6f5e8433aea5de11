"""RR intervals, the rate they give, and QT corrected by the intervals it was measured behind.

The rate is a mean over all RR intervals. QT is that of the beats of the median beat, so it is corrected by the
intervals before those beats: with the mean over a pause of 4 s, QTc would be a fifth too short.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.measurements import UNITS, Measured
from auricle.recording import Recording

Floats = NDArray[np.float64]

# Of the intervals before the beats of the median beat, so many at either end are left out.
_MIDDLE: Final = 0.25


def intervals_ms(recording: Recording, beats: NDArray[np.int64]) -> Floats:
    """(beat - 1,) RR intervals in ms; NaN across samples that no lead has, where a beat may have been missed."""
    lost = np.append(0, np.cumsum(~np.isfinite(recording.signal).any(axis=0)))
    across = lost[beats[1:]] > lost[beats[:-1]]
    return np.where(across, np.nan, np.diff(beats) * (1000 / recording.rate_hz))


def known(rr_ms: Floats) -> Floats:
    """(interval,) the RR intervals that are known."""
    return rr_ms[np.isfinite(rr_ms)]


def rate(rr_ms: Floats, seen: bool, unclear: float) -> dict[str, Measured]:
    """Heart rate and mean RR.

    Args:
        rr_ms: (beat - 1,) RR intervals, NaN where unknown.
        seen: whether QRS stands out of noise.
        unclear: share of places that may be beats or not, which is the least error of the rate.
    """
    rr_ms = known(rr_ms)
    if not len(rr_ms) or not seen:
        reason = "a single beat has no rate" if seen else "no QRS can be told from noise"
        return {name: Measured(math.nan, math.nan, UNITS[name], reason) for name in ("heart_rate", "rr")}
    mean = float(rr_ms.mean())
    error = float(rr_ms.std(ddof=1)) / math.sqrt(len(rr_ms)) if len(rr_ms) > 1 else 0.1 * mean
    error, per_minute = math.hypot(error, unclear * mean), 60_000 / mean
    return {"heart_rate": Measured(per_minute, per_minute * error / mean, "1/min"), "rr": Measured(mean, error, "ms")}


def before_ms(rr_ms: Floats, members: NDArray[np.bool_]) -> tuple[float, float]:
    """The RR interval that stands before the beats of the median beat, and its standard error, in ms; NaN if unknown.

    A mean over the middle half of the intervals: two lengths that take turns are both in it, a pause is not.

    Args:
        rr_ms: (beat - 1,) RR intervals, NaN where unknown.
        members: (beat,) which beats form the median beat.
    """
    own = np.sort(known(rr_ms[members[1:]]))
    own = own if len(own) else np.sort(known(rr_ms))
    if not len(own):
        return math.nan, math.nan
    outside = int(_MIDDLE * len(own))
    middle = own[outside : len(own) - outside]
    spread = float(own.std(ddof=1)) if len(own) > 1 else 0.1 * float(own[0])
    # One pause must not make the correction uncertain that it is kept out of.
    spread = min(spread, 1.5 * float(np.ptp(middle))) if len(middle) > 2 else spread
    return float(middle.mean()), spread / math.sqrt(len(own))


def corrected(qt: Measured, rr_ms: float, error_ms: float, reason: str) -> dict[str, Measured]:
    """QTc after Bazett and Fridericia.

    Args:
        qt: QT in ms.
        rr_ms, error_ms: the interval it belongs to, from `before_ms`.
        reason: why there is no interval, where there is none.
    """
    found = {}
    for name, power in (("qtc_bazett", 1 / 2), ("qtc_fridericia", 1 / 3)):
        if not qt.measurable or not math.isfinite(rr_ms):
            found[name] = Measured(math.nan, math.nan, UNITS[name], qt.reason or reason or "not found")
            continue
        value = qt.value / (rr_ms / 1000) ** power
        share = math.hypot(qt.uncertainty / qt.value, power * error_ms / rr_ms)
        found[name] = Measured(value, value * share, "ms")
    return found
