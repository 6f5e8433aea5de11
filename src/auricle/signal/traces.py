"""What every reading of a trace needs: gaps bridged by lines, a moving average, the peaks of a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bridged(signal: NDArray[np.floating], known: NDArray[np.bool_]) -> Floats:
    """(lead, time) signal with straight lines across what is missing; zero in a lead without samples."""
    trace = signal.astype(np.float64)
    for row in np.flatnonzero(~known.all(axis=1)):
        places = np.flatnonzero(known[row])
        trace[row] = np.interp(np.arange(trace.shape[1]), places, trace[row, places]) if len(places) else 0.0
    return trace


def moving_average(rows: Floats, width: int) -> Floats:
    """(lead, time) means over `width` samples around each, the ends of a row held."""
    total = np.cumsum(np.pad(rows, ((0, 0), (width // 2 + 1, width - width // 2 - 1)), mode="edge"), axis=1)
    return np.asarray((total[:, width:] - total[:, :-width]) / width)


def peaks(row: Floats, least: float, apart: int) -> NDArray[np.int64]:
    """Sample numbers of the peaks of a row, in order; the middle of a flat top.

    By the rules of `scipy.signal.find_peaks`, whose import takes longer than to measure a recording.

    Args:
        row: (time,) finite.
        least: how high a peak must be.
        apart: of two peaks that are fewer samples apart the lower one goes; the highest is looked at first.
    """
    if not len(row):
        return np.zeros(0, dtype=np.int64)
    edge = np.flatnonzero(np.diff(row) != 0)
    first, last = np.concatenate([[0], edge + 1]), np.concatenate([edge, [len(row) - 1]])
    level = row[first]  # the row as steps: one level for each run of equal samples
    top = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:]) & (level[1:-1] >= least)) + 1
    places = (first[top] + last[top]) // 2
    kept = np.ones(len(places), dtype=bool)
    for number in np.argsort(level[top])[::-1]:
        if kept[number]:
            kept[np.abs(places - places[number]) < apart] = False
            kept[number] = True
    found: NDArray[np.int64] = places[kept]
    return found
