"""Stretches of a signal that hold no measurement: fillings of zeros, electrodes that fell off, amplifiers at a limit.

A recorder writes numbers there all the same, and a number is taken for a measurement by everything behind it. They are
found by what no heart and no amplifier at work can do: stay at exactly one value for long, or at the end of the scale,
far from everything else. Thresholds are ours, set on real recordings (`benchmarks/acceptance.py` counts them).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

# A lead that keeps exactly one value for so long while others move is not connected. The level between two beats of a
# coarse recording stays below it.
_CONSTANT_S: Final = 1.0
# Zeros for so long, reached by a jump, are a filling.
_FILLED_S: Final = 0.2
_JUMP_MV: Final = 0.05
# An amplifier at its limit repeats the limit exactly, in pieces of so long and for so long in all, and the limit lies
# so far from the lead's median: no wave of a heart is that high for that long.
_RAIL_PIECE_S: Final = 0.02
_RAIL_S: Final = 0.1
_RAIL_MV: Final = 4.0
# What lies between two pieces at the limit nearer than this is on its way from one to the other.
_BETWEEN_S: Final = 0.3
_BESIDE_S: Final = 0.02
# A calibration pulse is the same in every lead, which no heart can be in limb leads: a level or two for so long in all.
_PULSE_S: Final = 0.1
_PULSE_LEVELS: Final = 4
_PULSE_MV: Final = 0.2
_PULSE_LEADS: Final = 3
# A lead that is known for less than this in all is left out.
_LEAST_KNOWN_S: Final = 0.5


def lost(signal: NDArray[np.floating], rate_hz: float, in_millivolts: bool = True) -> Mask:
    """(lead, time) which samples hold a number and no measurement.

    Args:
        signal: (lead, time), NaN where missing.
        rate_hz: samples per second.
        in_millivolts: whether limits in millivolts can be asked; else only constant stretches are found.
    """
    n_leads, n = signal.shape
    found = np.zeros((n_leads, n), dtype=bool)
    if n < 2:
        return found
    still = signal[:, 1:] == signal[:, :-1]
    constant = _constant(signal, still, rate_hz)
    # A pause without any noise is the same in all leads and is reached and left without a jump: it stays.
    silent: Mask = np.asarray(constant.all(axis=0))
    if silent.any():
        for begin, end in _pieces(silent):
            inside = begin > 0 and end < n
            if inside and _smooth(signal, begin) and _smooth(signal, end):
                constant[:, begin - 1 : end + 2] = False  # rounding may end it a sample later in some leads
    found |= constant
    if in_millivolts:
        found |= _filled(signal, still, rate_hz) | _railed(signal, still, rate_hz)
    known = np.isfinite(signal) & ~found
    short = known.sum(axis=1) < min(_LEAST_KNOWN_S * rate_hz, 0.5 * n)
    found[short & found.any(axis=1)] = True
    return np.asarray(found & np.isfinite(signal))


def calibration(signal: NDArray[np.floating], rate_hz: float) -> Mask:
    """(time,) where a cart wrote its calibration pulse into every lead, before or behind the heart (Philips does).

    Args:
        signal: (lead, time), NaN where missing.
        rate_hz: samples per second.
    """
    n_leads, n = signal.shape
    if n_leads < _PULSE_LEADS or n == 0:
        return np.zeros(n, dtype=bool)
    found: Mask = np.asarray((signal == signal[0]).all(axis=0))
    for begin, end in _pieces(found):
        levels = np.unique(signal[0, begin:end])
        pulse = 2 <= len(levels) <= _PULSE_LEVELS and levels[-1] - levels[0] >= _PULSE_MV
        if not pulse or end - begin < _PULSE_S * rate_hz:
            found[begin:end] = False
    return found


def describe(found: Mask, leads: Sequence[str]) -> str:
    """The sentence on what was lost, lead by lead with its share of the time; empty where nothing was."""
    shares = found.mean(axis=1)
    if not shares.any():
        return ""
    named: dict[str, list[str]] = {}
    for lead, share in zip(leads, shares.tolist(), strict=True):
        if share > 0:
            named.setdefault("throughout" if share > 0.995 else f"for {max(share, 0.01):.0%} of the time", []).append(
                lead
            )
    parts = [f"{', '.join(names)} {how}" for how, names in named.items()]
    return f"constant or at the limit of the amplifier, and treated as missing: {'; '.join(parts)}"


def _constant(signal: NDArray[np.floating], still: Mask, rate_hz: float) -> Mask:
    """(lead, time) samples in a run of one value that is too long, or as long as the whole of a short recording."""
    n = signal.shape[1]
    least = min(max(2, round(_CONSTANT_S * rate_hz)), n)
    result = np.zeros(signal.shape, dtype=bool)
    for row in _candidates(still, least):
        for begin, end in _runs(still[row], least):
            result[row, begin:end] = True
    return result


def _filled(signal: NDArray[np.floating], still: Mask, rate_hz: float) -> Mask:
    """(lead, time) samples in a run of zeros that begins or ends with a jump."""
    result = np.zeros(signal.shape, dtype=bool)
    least = max(3, round(_FILLED_S * rate_hz))
    for row in _candidates(still, least):
        trace = signal[row]
        zeros = still[row] & (trace[1:] == 0)
        for begin, end in _runs(zeros, least):
            before = abs(trace[begin - 1]) if begin else 0.0
            after = abs(trace[end]) if end < len(trace) else 0.0
            if max(before, after) > _JUMP_MV:
                result[row, begin:end] = True
    return result


def _railed(signal: NDArray[np.floating], still: Mask, rate_hz: float) -> Mask:
    """(lead, time) samples at the end of the scale, and what lies between two such pieces."""
    result = np.zeros(signal.shape, dtype=bool)
    piece, total = max(2, round(_RAIL_PIECE_S * rate_hz)), max(3, round(_RAIL_S * rate_hz))
    high, low = np.fmax.reduce(signal, axis=1), np.fmin.reduce(signal, axis=1)
    for row in np.flatnonzero(high - low > _RAIL_MV):
        trace = signal[row]
        known = np.isfinite(trace)
        middle = float(np.median(trace[known]))
        limits = [limit for limit in (float(trace[known].max()), float(trace[known].min()))
                  if abs(limit - middle) > _RAIL_MV]  # fmt: skip
        at_limit = np.zeros(len(trace), dtype=bool)
        for limit in limits:
            for begin, end in _runs(still[row] & (trace[1:] == limit), piece):
                at_limit[begin:end] = True
        if at_limit.sum() >= total:
            result[row] = _closed(at_limit, round(_BETWEEN_S * rate_hz), max(1, round(_BESIDE_S * rate_hz)))
    return result


def _closed(mask: Mask, between: int, beside: int) -> Mask:
    """The mask with gaps of up to `between` samples filled, and `beside` samples more at either end of each piece."""
    result = mask.copy()
    pieces = _pieces(mask)
    for (_, end), (begin, _) in pairwise(pieces):
        if begin - end <= between:
            result[end:begin] = True
    for begin, end in _pieces(result):
        result[max(0, begin - beside) : end + beside] = True
    return result


def _smooth(signal: NDArray[np.floating], at: int) -> bool:
    """Whether no lead jumps between the samples before and at `at`."""
    return bool(np.nanmax(np.abs(signal[:, at] - signal[:, at - 1]), initial=0.0) < _JUMP_MV)


def _candidates(still: Mask, least: int) -> list[int]:
    """Leads that may have a run of `least` equal samples: such a run covers one of the blocks of half its length."""
    block = max(1, (least - 1) // 2)
    whole = still[:, : still.shape[1] // block * block].reshape(len(still), -1, block)
    full: Mask = np.asarray(whole.all(axis=2))
    return np.flatnonzero(np.asarray(full.any(axis=1))).tolist()


def _runs(still: Mask, least: int) -> list[tuple[int, int]]:
    """Runs [begin, end) of at least `least` samples, where `still[i]` says that sample i + 1 repeats sample i."""
    return [(begin, end + 1) for begin, end in _pieces(still) if end + 1 - begin >= least]


def _pieces(mask: Mask) -> list[tuple[int, int]]:
    """The pieces [begin, end) in which a mask (time,) holds."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
