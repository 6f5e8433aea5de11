"""What a store keeps about the technical quality of a recording: a few numbers with units, without a judgement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.signal.traces import moving_average

# A run of equal samples this long is an amplifier at its limit or an electrode that fell off, not a heart.
_FLAT_S: Final = 0.2
_SMOOTH_S: Final = 0.02
_DRIFT_S: Final = 1.0


def quality(signal: NDArray[np.float32], leads: Sequence[str], rate_hz: float) -> dict[str, float]:
    """Columns of quality for one recording.

    Args:
        signal: (lead, time) in mV, NaN where missing.
        leads: canonical names.
        rate_hz: samples per second.

    Returns:
        missing_fraction: share of samples that are missing;
        flat_fraction: share of samples inside a run of equal values of .2 s or more;
        saturated_fraction: share of samples inside such a run at the lead's own extreme;
        amplitude_mv: median over leads of the range from the 1st to the 99th centile;
        noise_mv: median over leads of the spread of what a 20 ms moving average removes;
        baseline_mv: median over leads of the range of a 1 s moving average;
        einthoven_error_mv: largest |I + III - II|, NaN unless all three are there.
    """
    known = np.isfinite(signal)
    filled = np.where(known, signal, 0.0).astype(np.float64)
    flat, saturated = _runs(signal, max(2, round(_FLAT_S * rate_hz)))
    centred = filled - np.median(filled, axis=1, keepdims=True)
    smooth = moving_average(centred, max(1, round(_SMOOTH_S * rate_hz)))
    drift = moving_average(centred, max(1, round(_DRIFT_S * rate_hz)))
    low, high = np.percentile(centred, [1, 99], axis=1)
    rows = {name: row for row, name in enumerate(leads)}
    error = float("nan")
    if {"I", "II", "III"} <= rows.keys():
        law = signal[rows["I"]] + signal[rows["III"]] - signal[rows["II"]]
        error = float(np.nanmax(np.abs(law))) if np.isfinite(law).any() else error
    return {
        "missing_fraction": float(1 - known.mean()),
        "flat_fraction": float(flat.mean()),
        "saturated_fraction": float(saturated.mean()),
        "amplitude_mv": float(np.median(high - low)),
        "noise_mv": float(np.median((centred - smooth).std(axis=1))),
        "baseline_mv": float(np.median(np.ptp(drift, axis=1))),
        "einthoven_error_mv": error,
    }


def _runs(signal: NDArray[np.float32], length: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Samples inside runs of equal values of at least `length`, and those of them at the lead's extremes."""
    flat = np.zeros(signal.shape, dtype=bool)
    for row, trace in enumerate(signal):
        edges = np.flatnonzero(np.diff(trace) != 0) + 1
        bounds = np.concatenate([[0], edges, [len(trace)]])
        for number in np.flatnonzero(np.diff(bounds) >= length):
            flat[row, bounds[number] : bounds[number + 1]] = np.isfinite(trace[bounds[number]])
    filled = np.where(np.isfinite(signal), signal, 0.0)
    extreme = (filled == filled.max(axis=1, keepdims=True)) | (filled == filled.min(axis=1, keepdims=True))
    return flat, flat & extreme & (np.ptp(filled, axis=1, keepdims=True) > 0)
