"""The foot of a wave: followed down to where noise begins, the last piece extrapolated as a parabola.

Everything is counted in ms and between samples, so that a wave is as long at 200 Hz as it is at 4000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# QRS is followed down to this share of its height, or to this many standard errors of the distance.
_LOW: Final = 0.032
_LOW_SE: Final = 2.0
# The line to a wave's end is laid through at least so much of it.
_PIECE_MS: Final = 6.0
_WITHIN_MS: Final = 12.0
# No foot of QRS is extrapolated by more, one shorter than the first not at all, from the second on fully.
QRS_REACH_MS: Final = 8.0
_NO_FOOT_MS: Final = 2.0
_FOOT_MS: Final = 6.0
# At noise of so many times the level to which a wave is followed, as much may be hidden as is ever extrapolated.
_HIDDEN_BY: Final = 8.0


@dataclass(frozen=True, slots=True)
class Mark:
    """An onset or offset: sample number, which may be a fraction, and how many samples of it were extrapolated."""

    at: float
    extrapolated: float


class Sampled(Protocol):
    """What is read of a beat whose wave is followed."""

    @property
    def noise_mv(self) -> float:
        """Noise of the distance."""

    @property
    def rate_hz(self) -> float:
        """Samples per second."""

    @property
    def length(self) -> int:
        """Samples of the beat."""

    def samples(self, ms: float) -> int:
        """Milliseconds in samples, at least one."""


def edge_of(speed: Floats, at: int, outward: int, limit: float) -> float:
    """Where the speed falls through a limit between sample `at`, which is above it, and its neighbour."""
    beyond = at + outward
    if not 0 <= beyond < len(speed) or speed[beyond] >= limit:
        return float(at)
    return at + outward * float((speed[at] - limit) / max(speed[at] - speed[beyond], 1e-12))


def foot(
    distance: Floats,
    inside: int,
    quiet: int,
    top: slice,
    high: float,
    beat: Sampled,
    reach: float,
    low: float = _LOW,
    edge: float | None = None,
) -> Mark | None:
    """Follow a wave from `inside` out to `quiet`, and extrapolate where it left its level.

    Args:
        distance: (time,) from the level beside the wave.
        inside: a sample in the wave.
        quiet: a sample beside it.
        top: samples over which its height is read.
        high: share of the height up to which it is taken for a parabola.
        beat: whose noise and rate limits how far the wave is followed.
        reach: the most that is extrapolated, in samples.
        low: share of the height down to which it is followed.
        edge: where the steep part ends: a wave that has left its level so near to it has no foot to extrapolate.
    """
    # The way from inside the wave outward, down to where it crosses the bottom.
    # It begins a little farther in, so that neither crossing nor line depend on the sample that `inside` happens to be.
    outward = 1 if quiet > inside else -1
    within = min(beat.samples(_WITHIN_MS), inside if outward > 0 else beat.length - 1 - inside)
    path = distance[np.arange(-within, min(abs(quiet - inside), beat.length - 1) + 1) * outward + inside]
    height = float(distance[top].max())
    bottom = max(low * height, _LOW_SE * beat.noise_mv)
    ceiling = max(high * height, 3 * bottom)
    under = path < bottom
    below = within + np.flatnonzero(under[within:]) if not under[within] else 1 + np.flatnonzero(~under[:within])[-1:]
    if not len(below):
        return Mark(float(inside if under[within] else quiet), 0.0)
    step = int(below[0])
    share = (path[step - 1] - bottom) / max(path[step - 1] - path[step], 1e-12)
    crossing = step - 1 + share
    # The last piece before the crossing: the root of a parabola is a line, which is extended to zero.
    # It ends where the wave comes to its top or beyond the ceiling.
    inward = path[:step][::-1]
    ends = (inward > ceiling) | (np.append(np.diff(inward), 0) < 0)
    count = max(beat.samples(_PIECE_MS), int(np.argmax(ends)) if ends.any() else step)
    chosen = np.arange(max(0, step - count), step)
    extra = 0.0
    if len(chosen) >= 2:
        root, middle = np.sqrt(path[chosen]), float(chosen.mean())
        apart = chosen - middle
        slope = float(apart @ root) / float(apart @ apart)
        if slope < 0:
            extra = min(max(middle - float(root.mean()) / slope - crossing, 0.0), float(reach))
    if edge is not None:
        foot_ms = (crossing - within - outward * (edge - inside)) * 1000 / beat.rate_hz
        extra *= min(max((foot_ms - _NO_FOOT_MS) / (_FOOT_MS - _NO_FOOT_MS), 0.0), 1.0)
    # Where noise ends the way down early, the part of the wave below it is hidden and adds to what is uncertain.
    hidden = reach * min(max(bottom / max(low * height, 1e-12) - 1, 0.0) / _HIDDEN_BY, 1.0)
    return Mark(inside + outward * (crossing - within + extra), extra + hidden)
