"""Where P, QRS and T begin and end, once for all leads together.

All leads enter one curve: the distance of the signal from its level beside the wave, each lead weighted by the inverse
of its noise variance, so that a wave that begins early in some leads sets the onset and a noisy lead does not. Near its
end a smooth wave leaves its level like a parabola, so the distance is followed down to where noise begins and the last
piece is extrapolated as a parabola (the root of the distance is a line). A threshold alone would shorten every wave by
the part below it.

Global onsets and offsets follow the recommendation of the CSE working party (Eur Heart J 1985;6:815): the earliest
onset and the latest offset in any lead. The extrapolation is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.foot import QRS_REACH_MS, Mark, edge_of, foot

Floats = NDArray[np.float64]

# Speed is taken over 8 ms; QRS is where it exceeds this share of its largest, with pauses up to 24 ms (notches).
_SPEED_MS: Final = 4.0
_STEEP: Final = 0.15
_PAUSE_MS: Final = 24.0
# A lead's noise counts as at least this much: below it the estimate is set by the heart's own slow movement.
_LEAST_NOISE_MV: Final = 0.005
# A pacing spike rises and falls by this within 4 ms in two leads, much faster than anything else in them.
_SPIKE_MV: Final = 0.3
_SPIKE_SHARE: Final = 0.4
_SMALLEST_T_MV: Final = 0.025
_SMALLEST_P_MV: Final = 0.010
_P_SE: Final = 4.0
# A level that changes at more than this share of its wave's largest speed is not accepted: another wave has begun.
_MOVING: Final = 0.2
# QRS is smoothed where the noise of the distance exceeds this share of its height.
_QUIET: Final = 0.005
_MOST_SMOOTH_MS: Final = 10.0
# What follows J so soon is the end of QRS and ST, not T; at fast rates T comes sooner.
_ST_MS: Final = 80.0
_ST_SHARE_OF_RR: Final = 0.12
_SHORTEST_P_MS: Final = 20.0
_LONGEST_P_MS: Final = 180.0
_T_STEEP: Final = 0.35
_T_PAUSE_MS: Final = 80.0
_T_SHARE_OF_RR: Final = 0.72
_LONGEST_QT_S: Final = 0.56
# What ends so late is not T alone: QT as a share of RR, and where no P was found that may be in it. At fast rates P and
# T do meet, and a tachycardia may have no P.
_LONGEST_QT, _LONGEST_QT_WITHOUT_P = 0.85, 0.78
_FAST_RR_S: Final = 0.4
_P_SMOOTH_MS: Final = 10.0
_T_SMOOTH_MS: Final = 12.0
# Muscle noise is not white: a moving average removes it as if only this share of its samples were independent.
_WHITE: Final = 0.5
FUSED: Final = "T and P run into each other"


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave between two marks. A mark that was not found is None, and `reason` says why."""

    onset: Mark | None
    offset: Mark | None
    peak: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delineation:
    """The waves of one median beat; `paced` where spikes stand before QRS. T has no onset."""

    p: Wave
    qrs: Wave
    t: Wave
    paced: bool


@dataclass(frozen=True, slots=True)
class _Beat:
    """What all searches read: leads with own signals, their weights, and the noise of the weighted distance."""

    leads: Floats
    weight: Floats
    noise_mv: float
    rate_hz: float
    r_index: int
    rr: float

    def samples(self, ms: float) -> int:
        """Milliseconds in samples, at least one."""
        return max(1, round(ms * self.rate_hz / 1000))

    @property
    def length(self) -> int:
        """Samples of the beat."""
        return int(self.leads.shape[1])

    def distance(self, level: Floats) -> Floats:
        """(time,) root of the weighted mean square over leads of the distance from `level`, less what noise adds."""
        square = self.weight @ (self.leads - level[:, None]) ** 2
        return np.asarray(np.sqrt(np.maximum(square - self.noise_mv**2, 0)))

    def smoothed(self, ms: float) -> _Beat:
        """A copy of the beat after a moving average of `ms` milliseconds, for slow waves, with its lower noise."""
        width = self.samples(ms)
        less = self.noise_mv / np.sqrt(max(1.0, _WHITE * width))
        return replace(self, leads=_smoothed(self.leads, width), noise_mv=float(less))

    def speed(self, ms: float) -> Floats:
        """(time,) root of the weighted mean square over leads of the change in mV over twice `ms`; 0 at the ends."""
        half, result = self.samples(ms), np.zeros(self.length)
        step = self.leads[:, 2 * half :] - self.leads[:, : -2 * half]
        result[half:-half] = np.sqrt(self.weight @ step**2)
        return result


def delineate(leads: Floats, noise_mv: Floats, rate_hz: float, r_index: int, rr: float) -> Delineation:
    """Find the marks of a median beat.

    Args:
        leads: (lead, time) mV, finite, leads that carry signals of their own.
        noise_mv: (lead,) standard error of each.
        rate_hz: samples per second.
        r_index: a sample inside QRS.
        rr: samples from one beat to the next.
    """
    floor = max(_LEAST_NOISE_MV, float(np.median(noise_mv)))
    weight = 1 / np.maximum(noise_mv, floor) ** 2
    weight /= weight.sum()
    steady, paced = _without_spikes(leads, rate_hz, r_index)
    beat = _Beat(steady, weight, float(np.sqrt(weight @ noise_mv**2)), rate_hz, r_index, rr)
    qrs = _qrs(beat)
    if qrs.onset is None or qrs.offset is None:
        return Delineation(Wave(None, None, reason=qrs.reason), qrs, Wave(None, None, reason=qrs.reason), paced)
    t = _t(beat, qrs.onset.at, qrs.offset.at)
    p = _p(beat, qrs.onset.at, t)
    hidden = p.onset is None and rr > _FAST_RR_S * rate_hz
    longest = _LONGEST_QT_WITHOUT_P if hidden else _LONGEST_QT
    if t.offset is not None and t.offset.at - qrs.onset.at > longest * rr:
        t = replace(t, offset=None, reason=FUSED)
    return Delineation(p, qrs, t, paced)


def _qrs(beat: _Beat) -> Wave:
    """The QRS complex around R: its steep part, followed out to the levels on either side."""
    # The steep part, with pauses in it (notches).
    speed = beat.speed(_SPEED_MS)
    first, last = max(0, beat.r_index - beat.samples(120)), beat.r_index + beat.samples(140)
    fastest = first + int(np.argmax(speed[first:last]))
    if not speed[fastest] > 0:
        return Wave(None, None, reason="no QRS stands out")
    steep = np.flatnonzero(speed > _STEEP * speed[fastest])
    begin = _joined(steep[steep <= fastest][::-1], beat.samples(_PAUSE_MS))
    end = _joined(steep[steep >= fastest], beat.samples(_PAUSE_MS))
    # The levels before and behind it.
    beat = _quiet_enough(beat, slice(begin, end + 1))
    width = beat.samples(16)
    before = _level(beat, max(0, begin - beat.samples(60)), begin, width, nearest_is_last=True)
    after = _level(beat, end, end + beat.samples(70), width, nearest_is_last=False)
    if before is None or after is None:
        return Wave(None, None, reason="QRS reaches the end of what was recorded")
    # The feet: where the distance from each level begins and ends.
    reach = QRS_REACH_MS * beat.rate_hz / 1000
    (pr_start, pr_level), (st_start, st_level) = before, after
    edges = edge_of(speed, begin, -1, _STEEP * speed[fastest]), edge_of(speed, end, 1, _STEEP * speed[fastest])
    top = slice(begin, end + 1)
    onset = foot(beat.distance(pr_level), begin, pr_start + width // 2, top, 0.06, beat, reach, edge=edges[0])
    offset = foot(beat.distance(st_level), end, st_start + width // 2, top, 0.1, beat, reach, edge=edges[1])
    return Wave(onset, offset, fastest)


def _quiet_enough(beat: _Beat, qrs: slice) -> _Beat:
    """The beat itself, or, where noise would hide the feet of QRS, smoothed just enough to show them (10 ms at most).

    A moving average of w ms lengthens a parabola's foot by w / sqrt(12), which is less than the noise would hide.
    """
    height = float(np.sqrt(beat.weight @ beat.leads[:, qrs] ** 2).max())
    excess = beat.noise_mv / max(_QUIET * height, 1e-9)
    if excess <= 1:
        return beat
    return beat.smoothed(min(_MOST_SMOOTH_MS, excess**2 / (_WHITE * beat.rate_hz) * 1000))


def _t(beat: _Beat, qrs_onset: float, qrs_offset: float) -> Wave:
    """The T wave, by its peak and its end: where the distance from the level behind it, over all leads, ends."""
    # Where T may lie: behind ST, and before the next P or QRS.
    beat = beat.smoothed(_T_SMOOTH_MS)
    first = round(qrs_offset + min(_ST_MS * beat.rate_hz / 1000, _ST_SHARE_OF_RR * beat.rr))
    last = min(beat.length - 1, round(qrs_onset + beat.rr) - beat.samples(40))
    until = min(last, round(qrs_onset + min(_T_SHARE_OF_RR * beat.rr, _LONGEST_QT_S * beat.rate_hz)))
    if until - first < beat.samples(60):
        return Wave(None, None, reason="no room for a T wave between two QRS")
    # Its steep part, and the level behind it.
    speed = beat.speed(2 * _SPEED_MS)
    fastest = first + int(np.argmax(speed[first:until]))
    if not speed[fastest] > 0:
        return Wave(None, None, reason="T is too flat")
    steep = fastest + np.flatnonzero(speed[fastest:until] > _T_STEEP * speed[fastest])
    if not len(steep):
        return Wave(None, None, fastest, "T is too flat")
    end = _joined(steep, beat.samples(_T_PAUSE_MS))
    base = _level(beat, end, last, beat.samples(32), nearest_is_last=False, scale=0.25)
    if base is None:
        return Wave(None, None, fastest, FUSED)
    distance = beat.distance(base[1])
    peak = first + int(np.argmax(distance[first : end + 1]))
    if distance[peak] < max(_SMALLEST_T_MV, _P_SE * beat.noise_mv):
        return Wave(None, None, peak, "T is too flat")
    quiet = base[0] + beat.samples(16)
    if _moving(beat, quiet) > _MOVING * speed[fastest]:
        return Wave(None, None, peak, FUSED if last - quiet < beat.samples(120) else "T does not come to rest")
    # Its foot.
    high = peak + int(np.flatnonzero(distance[peak : quiet + 1] > 0.4 * distance[peak])[-1])
    offset = foot(distance, high, quiet, slice(peak, peak + 1), 0.3, beat, beat.samples(40), 0.12)
    if offset is None or offset.at > last:
        return Wave(None, None, peak, FUSED)
    return Wave(None, offset, peak)


def _p(beat: _Beat, qrs_onset: float, t: Wave) -> Wave:
    """The P wave: the wave between the T of the beat before and QRS."""
    # Where P may lie.
    beat = beat.smoothed(_P_SMOOTH_MS)
    last = round(qrs_onset) - beat.samples(12)
    first = round(qrs_onset - min(0.32 * beat.rate_hz, 0.62 * beat.rr))
    before = t.offset.at if t.offset is not None else t.peak + beat.samples(20)
    first = max(0, first, round(before - beat.rr))
    if last - first < beat.samples(50):
        return Wave(None, None, reason=FUSED)
    width = beat.samples(12)
    behind = _level(beat, max(first, last - beat.samples(50)), last + beat.samples(8), width, nearest_is_last=True)
    if behind is None:
        return Wave(None, None, reason="no P wave found")
    # What bulges from a straight line between the opening of that stretch and the level before QRS.
    distance = beat.distance(behind[1])
    span = beat.leads[:, first:last] - behind[1][:, None]
    drift = np.linspace(0, 1, span.shape[1])[::-1]
    opening = span[:, : beat.samples(10)].mean(axis=1)
    bulge = np.sqrt(beat.weight @ (span - opening[:, None] * drift) ** 2)
    peak = first + int(np.argmax(bulge))
    height = float(bulge[peak - first])
    if height < max(_SMALLEST_P_MV, _P_SE * beat.noise_mv):
        return Wave(None, None, reason="no P wave found")
    # The level ahead of P, which must have come to rest behind T.
    high = first + np.flatnonzero(bulge > 0.35 * height)
    begin = _joined(high[high <= peak][::-1], beat.samples(30))
    ahead = _level(beat, max(first, begin - beat.samples(70)), begin, beat.samples(16), nearest_is_last=True, scale=0.1)
    if ahead is None:
        return Wave(None, None, peak, FUSED)
    near_t = t.offset is None or ahead[0] - before + beat.rr < beat.samples(60)
    if near_t and _moving(beat, ahead[0]) > _MOVING * float(beat.speed(2 * _SPEED_MS)[begin:last].max()):
        return Wave(None, None, peak, FUSED)
    # The feet; what is too short or too long is no P.
    rise = beat.distance(ahead[1])
    reach, top = beat.samples(12), slice(begin, last)
    onset = foot(rise, begin, ahead[0] + beat.samples(8), top, 0.4, beat, reach, 0.08)
    offset = foot(distance, peak, behind[0] + width // 2, slice(peak, peak + 1), 0.4, beat, reach, 0.08)
    length = offset.at - onset.at if onset is not None and offset is not None else 0.0
    if not beat.samples(_SHORTEST_P_MS) <= length <= beat.samples(_LONGEST_P_MS):
        return Wave(None, None, peak, "P has no clear edges")
    return Wave(onset, offset, peak)


def _level(
    beat: _Beat, first: int, last: int, width: int, *, nearest_is_last: bool, scale: float = 0.0
) -> tuple[int, Floats] | None:
    """The stretch of `width` samples nearest to a wave that is about as flat as the flattest one.

    Args:
        beat: the beat.
        first, last: samples between which it is looked for.
        width: samples of the stretch.
        nearest_is_last: whether the wave lies behind `last`, else before `first`.
        scale: above 0, stretches count as flat that vary more than the flattest, in proportion to the mean variation.

    Returns:
        Its first sample and its level (lead,); None where there is no room.
    """
    first, last = max(0, first), min(beat.length, last)
    if last - first < width + 1:
        return None
    totals = np.zeros((2, len(beat.leads), last - first + 1))
    np.cumsum(beat.leads[:, first:last], axis=1, out=totals[0, :, 1:])
    np.cumsum(beat.leads[:, first:last] ** 2, axis=1, out=totals[1, :, 1:])
    means = (totals[:, :, width:] - totals[:, :, :-width]) / width
    spread = np.maximum(beat.weight @ (means[1] - means[0] ** 2), 0)
    flattest = float(spread.min())
    tolerated = 2 * flattest + 1e-5 + (0.5 * beat.noise_mv) ** 2 + scale**2 * 0.02 * float(spread.mean())
    good = np.flatnonzero(spread <= tolerated)
    nearest = int(good[-1] if nearest_is_last else good[0])
    return first + nearest, means[0][:, nearest]


def _moving(beat: _Beat, at: int) -> float:
    """How fast the leads change around sample `at`, less what noise adds, in mV over 16 ms as `speed(8 ms)` is."""
    half = beat.samples(16)
    at = min(max(at, half), beat.length - 1 - half)
    step = (beat.leads[:, at : at + half].mean(axis=1) - beat.leads[:, at - half : at].mean(axis=1)) ** 2
    return float(np.sqrt(max(beat.weight @ step - beat.noise_mv**2, 0.0)))


def _joined(places: NDArray[np.int64], pause: int) -> int:
    """The last of the ordered sample numbers that is reached without a jump longer than `pause`."""
    jumps = np.flatnonzero(np.abs(np.diff(places)) > pause)
    return int(places[jumps[0]] if len(jumps) else places[-1])


def _smoothed(rows: Floats, width: int) -> Floats:
    if width < 2:
        return rows
    unpadded = [(0, 0)] * (rows.ndim - 1)
    total = np.cumsum(np.pad(rows, [*unpadded, (width // 2 + 1, width - 1 - width // 2)], mode="edge"), axis=-1)
    return np.asarray((total[..., width:] - total[..., :-width]) / width)


def _without_spikes(leads: Floats, rate_hz: float, r_index: int) -> tuple[Floats, bool]:
    """The leads with pacing spikes cut out by a straight line, and whether there were any.

    A spike is over within 4 ms; the steepest QRS of a newborn takes several times as long, and is steep beside its peak
    and not at it.
    """
    wide = max(1, round(0.004 * rate_hz))
    rise = leads[:, wide:-wide] - leads[:, : -2 * wide]
    fall = leads[:, wide:-wide] - leads[:, 2 * wide :]
    height = np.where(rise * fall > 0, np.minimum(np.abs(rise), np.abs(fall)), 0.0)
    if not (height > _SPIKE_MV).any():
        return leads, False
    at = height.argmax(axis=1) + wide
    speed = np.abs(np.diff(leads, axis=1))
    inside = np.abs(np.arange(speed.shape[1]) + 0.5 - at[:, None]) < wide + 1
    fast = np.where(inside, speed, 0).max(axis=1)
    elsewhere = np.where(inside, 0, speed).max(axis=1)
    spikes = (height.max(axis=1) > _SPIKE_MV) & (elsewhere < _SPIKE_SHARE * fast)
    place = int(np.median(at[spikes])) if spikes.sum() >= 2 else -1
    if place < 0:
        return leads, False
    first, last = max(0, place - 2 * wide), min(leads.shape[1] - 1, place + 3 * wide)
    cut = leads.copy()
    share = np.linspace(0, 1, last - first + 1)
    cut[:, first : last + 1] = leads[:, first, None] * (1 - share) + leads[:, last, None] * share
    return cut, True
