"""Standard errors from beats: what is measured is measured again with each of four groups of beats left out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.median_beat import median_of

Floats = NDArray[np.float64]

GROUPS: Final = 4


def left_out(stack: Floats) -> list[Floats]:
    """(lead, time) medians of a stack (beat, lead, time) with one of four groups left out; none below four beats."""
    if len(stack) < GROUPS:
        return []
    group = np.arange(len(stack)) % GROUPS
    return [median_of(stack[group != number]) for number in range(GROUPS)]


def standard_error(repeated: Floats) -> Floats:
    """Standard errors from (group, ...) values, NaN where fewer than half of the groups have one."""
    known = np.isfinite(repeated)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, repeated, 0).sum(axis=0) / count
    square = np.where(known, (repeated - mean) ** 2, 0).sum(axis=0)
    error = np.sqrt((count - 1) / count * square * GROUPS / count)
    return np.asarray(np.where(2 * known.sum(axis=0) >= len(repeated), error, np.nan))
