"""Two things that every reading of a trace needs: gaps bridged by lines, and a moving average."""

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
