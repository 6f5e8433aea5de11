"""Amplitudes of each lead and directions in the frontal plane, read from a median beat between its global marks.

Q, R and S are counted from the level just before QRS, as positive millivolts: R is the highest point above it, Q the
lowest below it before R, S the lowest after R. A QS (no R at all) is both Q and S. P is counted from the level before
P, T and ST from that before QRS; they keep their sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.delineate import Delineation

Floats = NDArray[np.float64]

WAVES: Final = ("q", "r", "s", "st", "t", "p")
# A deflection smaller than this is no wave of its own (CSE: 20 uV).
_LEAST_WAVE_MV: Final = 0.02
_LEVEL_MS: Final = 12.0
# ST is read 60 ms behind the J point, and nearer at fast rates, where T has begun by then: after a tenth of RR.
_ST_MS: Final = 60.0
_ST_SHARE_OF_RR: Final = 0.1
# T begins somewhere in the first part of the way from J to its end; what is before is ST.
_T_FROM: Final = 0.25


@dataclass(frozen=True, slots=True)
class Waves:
    """Amplitudes and areas of the waves of a median beat.

    Attributes:
        amplitude_mv: (wave of `WAVES`, lead); NaN where the marks of the wave are missing.
        area: (P, QRS, T; lead) net area in mV ms; NaN where the marks of the wave are missing.
    """

    amplitude_mv: Floats
    area: Floats


def read_waves(median: Floats, found: Delineation, rate_hz: float, rr: float) -> Waves:
    """Read the waves of all leads of a median beat.

    Args:
        median: (lead, time) mV, finite.
        found: marks in samples of `median`; without QRS all values are NaN.
        rate_hz: samples per second.
        rr: samples from beat to beat.
    """
    n, ms = len(median), 1000 / rate_hz
    amplitude, area = np.full((len(WAVES), n), np.nan), np.full((3, n), np.nan)
    if found.qrs.onset is None or found.qrs.offset is None:
        return Waves(amplitude, area)
    # QRS and ST, from the level just before QRS.
    onset, offset = _span(found.qrs.onset.at, found.qrs.offset.at, median)
    width = max(1, round(_LEVEL_MS / ms))
    level = median[:, max(0, onset - width) : onset + 1].mean(axis=1, keepdims=True)
    signal = median - level
    amplitude[:3] = _q_r_s(signal[:, onset : offset + 1])
    area[1] = signal[:, onset : offset + 1].sum(axis=1) * ms
    behind = min(_ST_MS / ms, _ST_SHARE_OF_RR * rr)
    amplitude[3] = signal[:, min(signal.shape[1] - 1, round(found.qrs.offset.at + behind))]
    # T, from the same level; without an end, as far behind its peak as a fifth of the way from QRS to the peak.
    if found.t.peak > offset:
        end = found.t.offset.at if found.t.offset is not None else found.t.peak + 0.2 * (found.t.peak - offset)
        begin = round(offset + _T_FROM * (end - offset))
        piece = signal[:, begin : max(begin + 1, min(signal.shape[1], round(end) + 1))]
        amplitude[4], area[2] = _largest(piece), piece.sum(axis=1) * ms
    # P, from the level just before it.
    if found.p.onset is not None and found.p.offset is not None:
        first, last = _span(found.p.onset.at, found.p.offset.at, median)
        before = median[:, max(0, first - width) : first + 1].mean(axis=1, keepdims=True)
        piece = median[:, first : last + 1] - before
        amplitude[5], area[0] = _largest(piece), piece.sum(axis=1) * ms
    return Waves(amplitude, area)


def frontal_axes_deg(area: Floats, leads: Sequence[str]) -> Floats:
    """(3,) directions of the net areas of P, QRS and T in degrees in (-180, 180]; NaN without two limb leads.

    Args:
        area: (3, lead) in mV ms.
        leads: canonical names.
    """
    lead_i, lead_ii = frontal(area, leads)
    return np.asarray(np.degrees(np.arctan2((2 * lead_ii - lead_i) / math.sqrt(3), lead_i)))


def frontal(area: Floats, leads: Sequence[str]) -> tuple[Floats, Floats]:
    """Areas in leads I and II, by Einthoven's and Goldberger's equations where they were not recorded.

    Args:
        area: (wave, lead) in any unit.
        leads: canonical names.

    Returns:
        (wave,) of lead I and (wave,) of lead II; NaN without two limb leads that give both.
    """
    row = {name: area[:, number] for number, name in enumerate(leads)}
    missing = np.full(len(area), np.nan)
    if "I" in row and "II" in row:
        return row["I"], row["II"]
    if "I" in row and "III" in row:
        return row["I"], row["I"] + row["III"]
    if "II" in row and "III" in row:
        return row["II"] - row["III"], row["II"]
    if "I" in row and "aVF" in row:
        return row["I"], row["aVF"] + row["I"] / 2
    return missing, missing


def _q_r_s(qrs: Floats) -> Floats:
    """(3, lead) Q, R and S in positive mV from a QRS (lead, time) between onset and offset, from its level."""
    lead = np.arange(len(qrs))
    peak = qrs.argmax(axis=1)
    r = np.maximum(qrs[lead, peak], 0)
    time = np.arange(qrs.shape[1])
    before = np.where(time <= peak[:, None], qrs, 0)
    nadir = before.argmin(axis=1)
    q = np.maximum(-before[lead, nadir], 0)
    s = np.maximum(-np.where(time >= peak[:, None], qrs, 0).min(axis=1), 0)
    # In rSR' the deepest point stands before the tallest, and behind a small r: it is an S.
    first_r = np.where(time <= nadir[:, None], qrs, 0).max(axis=1) >= _LEAST_WAVE_MV
    s, q = np.where(first_r, np.maximum(s, q), s), np.where(first_r, 0, q)
    depth = np.maximum(-qrs.min(axis=1), 0)
    no_r = r < _LEAST_WAVE_MV
    r, q, s = np.where(no_r, 0, r), np.where(no_r, depth, q), np.where(no_r, depth, s)
    return np.stack([np.where(wave < _LEAST_WAVE_MV, 0, wave) for wave in (q, r, s)])


def _largest(piece: Floats) -> Floats:
    """(lead,) value of a piece (lead, time) that is farthest from zero, with its sign."""
    return np.asarray(np.take_along_axis(piece, np.abs(piece).argmax(axis=1)[:, None], axis=1)[:, 0])


def _span(first: float, last: float, median: Floats) -> tuple[int, int]:
    """Two marks as whole sample numbers inside the beat, at least one apart."""
    n = median.shape[1]
    begin = min(max(0, round(first)), n - 2)
    return begin, min(max(begin + 1, round(last)), n - 1)
