"""R peaks of all leads together. `sleepecg` is right at 220 beats per minute, where the usual detectors find half.

One lead can hide a beat that the others show (an extrasystole across its axis) or show one that is none (flutter, an
electrode that moves). So the detector reads up to four leads that look at the heart from different sides, and a beat
counts where at least half of them show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.recording import Recording
from auricle.signal.detector import detector
from auricle.signal.steepness import RATE_HZ, at_one_rate, checked
from auricle.signal.traces import bridged

# Where an R peak is usually tall and the lead usually present, each choice looking from another side than the last.
_PREFERRED: Final = (
    "II", "V5", "V2", "I", "V4", "V1", "V6", "aVF", "V3", "III", "aVL", "aVR",
)  # fmt: skip
_MOST_LEADS: Final = 4
_LEAST_SECONDS: Final = 2.0
# Detections of two leads nearer than this are of one beat: a broad QRS peaks this much later in another lead.
_SAME_BEAT_S: Final = 0.09
# A detection is moved to the largest deflection this near: the filter of the detector delays it by a few ms.
_REFINE_S: Final = 0.04
_LEAST_RANGE_MV: Final = 0.05
# The compiled detector of sleepecg 0.6 has a list of one interval for every 50 samples and writes one more where beats
# lie 51 samples apart, as in noise: in fewer samples than these beyond the end of its memory. It also reads two seconds
# without asking whether they are there. The same detector in Python does neither, in twice the time.
_SAFE: Final = 2450
# Signals without a unit are scaled to this QRS height, so that thresholds in millivolts fit them.
_USUAL_QRS_MV: Final = 1.5
# A trace is read from a third of the time on: half a recording may be missing in all leads.
_LEAST_KNOWN: Final = 0.3


@dataclass(frozen=True, slots=True)
class Beats:
    """Heart beats of a recording.

    Attributes:
        at: (beat,) sample numbers of R peaks in order.
        unclear: how many places may be beats or not, as a share of the beats.
    """

    at: NDArray[np.int64]
    unclear: float


def beats_of(recording: Recording) -> NDArray[np.int64]:
    """(beat,) sample numbers of R peaks of a recording, whether its amplitudes are known or not."""
    signal = recording.signal if recording.amplitude_known else usual_height(recording.signal)
    return find_beats(signal, recording.leads, recording.rate_hz)


def usual_height(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """A signal without a unit (lead, time), scaled so that QRS is about as high as in millivolts."""
    return (signal * np.float32(to_usual_height(signal))).astype(np.float32)


def to_usual_height(signal: NDArray[np.float32]) -> float:
    """What a signal without a unit (lead, time) is multiplied by to have a QRS about as high as in millivolts."""
    low, high = np.nanpercentile(signal, [0.5, 99.5], axis=1)
    height = float(np.nanmedian(high - low))
    return _USUAL_QRS_MV / height if height > 0 else 1.0


def find_beats(signal: NDArray[np.float32], leads: Sequence[str], rate_hz: float) -> NDArray[np.int64]:
    """(beat,) sample numbers of R peaks in order; empty below 2 s or without a usable lead.

    Args:
        signal: (lead, time) in mV, NaN where missing.
        leads: canonical names.
        rate_hz: samples per second.
    """
    return read_beats(signal, leads, rate_hz).at


def read_beats(signal: NDArray[np.float32], leads: Sequence[str], rate_hz: float) -> Beats:
    """R peaks as `find_beats` gives them, with how sure they are.

    Args:
        signal: (lead, time) in mV, NaN where missing.
        leads: canonical names.
        rate_hz: samples per second.
    """
    none = Beats(np.zeros(0, dtype=np.int64), 0.0)
    if not len(leads) or signal.shape[1] < _LEAST_SECONDS * rate_hz:
        return none
    traces = _traces(signal, leads)
    if not len(traces):
        return none
    even = at_one_rate(traces, rate_hz)
    beats = checked(even, _agreed([_detect(trace) for trace in even], round(_SAME_BEAT_S * RATE_HZ)))
    at = np.rint(beats.at * (rate_hz / RATE_HZ)).astype(np.int64)
    return Beats(_refined(np.abs(traces).sum(axis=0), at, max(1, round(_REFINE_S * rate_hz))), beats.unclear)


def _traces(signal: NDArray[np.float32], leads: Sequence[str]) -> NDArray[np.float64]:
    """(trace, time) up to four traces of leads that are there and not flat, about their medians, gaps bridged by lines.

    Each lead is divided by its range, so that a tall lead does not outweigh the others. Where a lead has no sample the
    next one takes its place, so that a sheet of columns, each with leads of its own, is read from end to end.
    """
    rank = {name: number for number, name in enumerate(_PREFERRED)}
    traces = np.full((_MOST_LEADS, signal.shape[1]), np.nan)
    taken = np.zeros(signal.shape[1], dtype=np.int64)
    for row in sorted(range(len(leads)), key=lambda row: rank.get(leads[row], len(rank))):
        known = np.isfinite(signal[row])
        if not known.any() or not np.ptp(signal[row][known]) > _LEAST_RANGE_MV:
            continue
        trace = signal[row].astype(np.float64)
        trace -= np.median(trace[known])
        places = np.flatnonzero(known & (taken < _MOST_LEADS))
        traces[taken[places], places] = trace[places] / max(float(np.ptp(trace[known])), 1e-9)
        taken[places] += 1
        if taken.min() == _MOST_LEADS:
            break
    there = np.isfinite(traces)
    enough = there.mean(axis=1) > _LEAST_KNOWN
    return bridged(traces[enough], there[enough])


def _detect(trace: NDArray[np.float64]) -> NDArray[np.int64]:
    """(beat,) sample numbers of the heart beats in one lead (time,) at `RATE_HZ`."""
    moves = np.flatnonzero(trace != trace[0])
    rest = len(trace) - int(moves[0]) if len(moves) else 0  # the detector begins where the trace moves
    if rest < _LEAST_SECONDS * RATE_HZ - 1:  # one is lost where rates do not divide
        return np.zeros(0, dtype=np.int64)
    if rest >= _SAFE:
        return np.asarray(detector()(trace, RATE_HZ), dtype=np.int64)
    try:
        found = detector()(trace, RATE_HZ, "python")
    except IndexError:  # of its list, which a second more makes long enough
        found = detector()(np.pad(trace, (0, round(RATE_HZ)), mode="edge"), RATE_HZ, "python")
    return np.asarray(found[found < len(trace)], dtype=np.int64)


def _agreed(votes: Sequence[NDArray[np.int64]], apart: int) -> NDArray[np.int64]:
    """The middle of each group of detections that at least half of the leads share."""
    peaks = np.concatenate(votes)
    lead = np.repeat(np.arange(len(votes)), [len(vote) for vote in votes])
    order = np.argsort(peaks, kind="stable")
    peaks, lead = peaks[order], lead[order]
    bounds = [0, *(np.flatnonzero(np.diff(peaks) > apart) + 1).tolist(), len(peaks)]
    at, whose = peaks.tolist(), lead.tolist()
    found = [
        (at[(first + last - 1) // 2] + at[(first + last) // 2]) // 2
        for first, last in pairwise(bounds)
        if last > first and 2 * len(set(whose[first:last])) >= len(votes)
    ]
    return np.array(found, dtype=np.int64)


def _refined(height: NDArray[np.float64], found: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Detections moved to the largest value of `height` (time,) within `reach` samples, each place once."""
    peaks = [max(0, at - reach) + int(np.argmax(height[max(0, at - reach) : at + reach])) for at in found.tolist()]
    return np.unique(np.array(peaks, dtype=np.int64))
