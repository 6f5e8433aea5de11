"""A check of heart beats that were found: QRS is the steepest thing a heart draws, P and T are slow.

How steep the trace is, over leads and relative to the beats found, tells beats from P and T waves that were counted as
beats, and shows beats that were passed over: every second one at 300 a minute, or the early ones of a bigeminy.
A detector's own rules cannot: it is blind for 200 ms after each beat, and lowers its limit until it finds something
in every pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from auricle.signal.traces import moving_average

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RATE_HZ: Final = 250.0
"""Everything here is read at this rate, whatever the recording's, so that no limit depends on it."""
# Steepness is the change over 24 ms, as root of the mean square over 60 ms: QRS passes, P, T and wander do not.
_LAG: Final = 3
_WIDTH: Final = 15
# No heart beats again within 140 ms (430 a minute).
_APART: Final = 35
# A detection belongs to the steep place this near.
_NEAR: Final = 22
# Steepness of a beat as a share of the steepness of usual beats. In simulated hearts of all rhythms at 40 to 320 a
# minute, 99.5 % of the beats lie above the first and 99.5 % of the P and T waves below it (`benchmarks/rhythm.py`).
_STEEP: Final = 0.55
_SURE: Final = 0.7
# Of a shape that usual beats have, this is enough: beats of alternating height.
_STEEP_ENOUGH: Final = 0.45
_ALIKE: Final = 0.9
# An ectopic beat may be this slow where no P or T wave can be.
_LEAST: Final = 0.3
_T_S: Final = 0.42
_P_S: Final = 0.26
# No lead makes a place steep by itself.
_MOST_OF_ONE_LEAD: Final = 1.25
# Where the trace around a place is so steep over 1 s, a place that no detector saw is noise.
_AROUND: Final = 125
_NOISY: Final = 0.45
_SHAPE: Final = 20
_SHIFT: Final = 6
_MOST_TEMPLATES: Final = 12
# The beats are in doubt where places so steep, of another shape, are more than this share of them.
_DOUBTFUL_SHARE: Final = 0.25
_UNCLEAR: Final = (0.4, 0.6)


@dataclass(frozen=True, slots=True)
class Checked:
    """Beats after the check.

    Attributes:
        at: (beat,) sample numbers in order.
        unclear: how many places, taken for beats or not, are neither as steep as beats nor as slow as P and T, as a
            share of the beats; 0 where they are too few to matter.
    """

    at: Integers
    unclear: float


def at_one_rate(traces: Floats, rate_hz: float) -> Floats:
    """(lead, time) traces at `RATE_HZ`: means of what is faster, straight lines between samples."""
    step, n = rate_hz / RATE_HZ, traces.shape[1]
    width = max(1, round(step))
    if width > 1:  # what is faster than 250 Hz shows would be folded back
        traces = moving_average(traces, width)
    time = np.arange(int(n / step)) * step
    return np.stack([np.interp(time, np.arange(n), row) for row in traces])


def checked(traces: Floats, found: Integers) -> Checked:
    """Beats of some leads, less those found that are no QRS, with those that were passed over.

    Args:
        traces: (lead, time) at `RATE_HZ`, finite, in any unit.
        found: (beat,) sample numbers in order, as a detector gives them.
    """
    if not len(found):
        return Checked(found, 0.0)
    change = np.zeros_like(traces)
    change[:, _LAG:-_LAG] = traces[:, 2 * _LAG :] - traces[:, : -2 * _LAG]
    places, height, noisy, lead_change = _steep_places(change, found)
    if not len(places):
        return Checked(found, 1.0)
    # Which place each detection means; of two that mean one place, the nearer.
    away = np.abs(found[:, None] - places)
    nearest = away.argmin(axis=1)
    meant = np.full(len(places), -1)
    for number in np.argsort(-away[np.arange(len(found)), nearest], kind="stable"):
        if away[number, nearest[number]] <= _NEAR:
            meant[nearest[number]] = number
    seen = meant >= 0
    like = _likeness(lead_change, places, (height >= _SURE) | ((height >= _STEEP) & seen))
    alike = like >= _ALIKE
    strong = (height >= np.where(seen, _STEEP, np.where(noisy, np.inf, _SURE))) | ((height >= _STEEP_ENOUGH) & alike)
    weak = seen & (height >= _LEAST) & ~strong & _alone(places, strong)
    beats = strong | weak
    unclear = (height > _UNCLEAR[0]) & (height < np.where(seen, _UNCLEAR[1], _SURE + 0.1)) & ~alike
    share = float(unclear.sum()) / max(1, int(beats.sum()))
    at = np.where(meant >= 0, found[meant], places)[beats]
    return Checked(np.asarray(at, dtype=np.int64), share if share > _DOUBTFUL_SHARE else 0.0)


def _steep_places(change: Floats, found: Integers) -> tuple[Integers, Floats, NDArray[np.bool_], Floats]:
    """Places that are steeper than their surroundings.

    Returns:
        (place,) sample numbers, (place,) steepness as a share of that of usual beats, (place,) whether most of what is
        around it is as steep as half a beat, and (lead, time) the change of each lead with the weight it has.
    """
    total = np.cumsum(np.pad(change**2, ((0, 0), (_WIDTH // 2 + 1, _WIDTH // 2))), axis=1)
    steep = np.sqrt(np.maximum(total[:, _WIDTH:] - total[:, :-_WIDTH], 0) / _WIDTH)
    n = steep.shape[1]
    around = np.clip(found[:, None] + np.arange(-12, 13), 0, n - 1)
    usual = np.quantile(steep[:, around].max(axis=2), 0.75, axis=1) + 1e-12
    # A lead that is steep everywhere says little.
    quiet = np.median(steep, axis=1) / usual
    weight = np.clip(1 - 1.5 * quiet, 0.05, 1) ** 2
    weight /= weight.sum()
    share = weight @ np.minimum(steep / usual[:, None], _MOST_OF_ONE_LEAD)
    places, _ = find_peaks(share, height=_LEAST / 2, distance=_APART)
    height = share[places]
    beats = height > _STEEP
    usual_height = float(np.quantile(height[beats], 0.75)) if beats.any() else 1.0
    around = np.clip(places[:, None] + np.arange(-_AROUND, _AROUND + 1, 4), 0, n - 1)
    noisy = np.median(share[around], axis=1) > _NOISY * usual_height
    return places, height / usual_height, noisy, change * (weight**0.5 / usual)[:, None]


def _likeness(change: Floats, places: Integers, sure: NDArray[np.bool_]) -> Floats:
    """(place,) the second-highest correlation with sure places, over all leads and shifts up to 24 ms."""
    steep = np.flatnonzero(sure)
    like = np.zeros(len(places))
    if len(steep) < 3:
        return like
    chosen = steep[np.unique(np.linspace(0, len(steep) - 1, min(len(steep), _MOST_TEMPLATES)).astype(np.int64))]
    reach = _SHAPE + _SHIFT
    padded = np.pad(change, ((0, 0), (reach, reach)))
    wide = padded[:, places[:, None] + np.arange(2 * reach + 1)].transpose(1, 0, 2)
    middle = wide[chosen][:, :, _SHIFT:-_SHIFT].reshape(len(chosen), -1)
    middle = middle / (np.linalg.norm(middle, axis=1, keepdims=True) + 1e-12)
    best = np.full((len(chosen), len(places)), -1.0)
    for shift in range(0, 2 * _SHIFT + 1, 2):
        piece = wide[:, :, shift : shift + 2 * _SHAPE + 1].reshape(len(places), -1)
        best = np.maximum(best, middle @ piece.T / (np.linalg.norm(piece, axis=1) + 1e-12))
    best[np.arange(len(chosen)), chosen] = -1
    return np.asarray(np.sort(best, axis=0)[-2])


def _alone(places: Integers, strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(place,) whether no strong place is so near that this may be its P or T wave."""
    strongs = places[strong]
    if not len(strongs):
        return np.ones(len(places), dtype=bool)
    since = places[:, None] - strongs
    behind = np.where(since > 0, since, np.inf).min(axis=1)
    ahead = np.where(since < 0, -since, np.inf).min(axis=1)
    return np.asarray((behind > _T_S * RATE_HZ) & (ahead > _P_S * RATE_HZ))
