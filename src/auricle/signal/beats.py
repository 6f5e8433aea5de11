"""R peaks, found once at ingest. `sleepecg` is right at 220 beats per minute, where the usual detectors find half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Where an R peak is usually tall and the lead usually present, first choice first.
_PREFERRED: Final = ("II", "V5", "V4", "V6", "I", "V3", "V2", "V1", "aVF", "III", "aVL", "aVR")
_LEAST_SECONDS: Final = 2.0
# A detection is moved to the largest deflection this near: the filter of the detector delays it by a few ms.
_REFINE_S: Final = 0.04
_LEAST_RATE_HZ: Final = 100.0


def find_beats(signal: NDArray[np.float32], leads: Sequence[str], rate_hz: float) -> NDArray[np.int64]:
    """Sample numbers of R peaks; none where no lead allows it.

    Args:
        signal: (lead, time) in mV, NaN where missing.
        leads: canonical names.
        rate_hz: samples per second.
    """
    from sleepecg.heartbeats import detect_heartbeats

    none = np.zeros(0, dtype=np.int64)
    if signal.shape[1] < _LEAST_SECONDS * rate_hz:
        return none
    lead = _best_lead(signal, leads)
    if lead is None:
        return none
    trace = lead - np.median(lead)
    if not np.ptp(trace) > 0:
        return none
    # The detector's band reaches to 30 Hz: a slower recording is read at a multiple of its rate.
    finer = max(1, math.ceil(_LEAST_RATE_HZ / rate_hz))
    place = np.arange(len(trace) * finer) / finer
    read = np.interp(place, np.arange(len(trace)), trace.astype(np.float64))
    found = np.asarray(detect_heartbeats(read, rate_hz * finer), dtype=np.int64) // finer
    reach = max(1, round(_REFINE_S * rate_hz))
    refined = [
        max(0, peak - reach) + int(np.argmax(np.abs(trace[max(0, peak - reach) : peak + reach]))) for peak in found
    ]
    return np.unique(np.array(refined, dtype=np.int64))


def _best_lead(signal: NDArray[np.float32], leads: Sequence[str]) -> NDArray[np.float32] | None:
    """The preferred lead among those that are there and not flat; missing samples become its median."""
    rank = {name: number for number, name in enumerate(_PREFERRED)}
    for row in sorted(range(len(leads)), key=lambda row: rank.get(leads[row], len(rank))):
        known = np.isfinite(signal[row])
        if known.mean() > 0.5 and np.ptp(signal[row][known]) > 0.05:
            filled: NDArray[np.float32] = np.where(known, signal[row], np.median(signal[row][known])).astype(np.float32)
            return filled
    return None
