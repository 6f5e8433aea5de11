"""Amplitudes of each lead with their standard errors, and R over S in V1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.measure.delineate import FUSED, Delineation
from auricle.measure.jackknife import standard_error
from auricle.measure.measurements import Measured
from auricle.measure.waves import WAVES

Floats = NDArray[np.float64]

UNKNOWN: Final = "amplitude is not known"
# Standard error of the level that an amplitude is counted from: PR and TP segments are never quite flat.
_LEVEL_SE_MV: Final = 0.01
# A wave that is not seen is not larger than this, or than its error allows.
_SMALLEST_WAVE_MV: Final = 0.02
_Z_95: Final = 1.96
_QRS_WAVES: Final = WAVES[:3]


def amplitude_values(
    amplitude: Floats, repeated: Sequence[Floats], noise_mv: Floats, leads: Sequence[str], found: Delineation,
    known: bool,
) -> dict[str, Measured]:  # fmt: skip
    """The waves of each lead by name (`r_v1`).

    Args:
        amplitude: (wave of `WAVES`, lead) mV.
        repeated: the same with groups of beats left out.
        noise_mv: (lead,) standard error of the median beat.
        leads: names.
        found: the marks, for the reasons of what is missing.
        known: whether the unit of the signal is known.
    """
    spread = standard_error(np.array(repeated)) if len(repeated) else np.full(amplitude.shape, np.nan)
    error = np.hypot(np.hypot(np.where(np.isfinite(spread), spread, noise_mv), noise_mv), _LEVEL_SE_MV)
    reasons = {"p": found.p.reason or FUSED, "t": found.t.reason or FUSED}
    values: dict[str, Measured] = {}
    for row, wave in enumerate(WAVES):
        for column, lead in enumerate(leads):
            name, value = f"{wave}_{lead.lower()}", float(amplitude[row, column])
            if not known:
                reason = UNKNOWN
            elif not math.isfinite(value):
                reason = reasons.get(wave, found.qrs.reason or "not covered by a beat")
            elif wave in _QRS_WAVES and not amplitude[: len(_QRS_WAVES), column].any():
                reason = "no QRS in this lead"
            else:
                values[name] = Measured(value, float(error[row, column]), "mV")
                continue
            values[name] = Measured(math.nan, math.nan, "mV", reason)
    return values


def ratio(values: Mapping[str, Measured]) -> Measured:
    """R over S in V1; where one of them cannot be told from nothing, the ratio is known from one side only."""
    if "r_v1" not in values:
        return _without("lead V1 was not measured")
    r, s = values["r_v1"], values["s_v1"]
    if r.reason or s.reason:
        return _without(r.reason or s.reason)
    seen = [one.value > max(_Z_95 * one.uncertainty, _SMALLEST_WAVE_MV) for one in (r, s)]
    # A wave that is not seen may still be as large as this.
    most = [max(one.value + _Z_95 * one.uncertainty, _SMALLEST_WAVE_MV) for one in (r, s)]
    if seen == [True, False]:
        return Measured(r.value / most[1], r.uncertainty / most[1], "1", bound="above")
    if seen == [False, True]:
        bound = most[0] / s.value
        return Measured(bound, bound * s.uncertainty / s.value, "1", bound="below")
    if seen == [False, False]:
        return _without("neither R nor S stands out in V1")
    return Measured(r.value / s.value, math.hypot(r.uncertainty, r.value * s.uncertainty / s.value) / s.value, "1")


def _without(reason: str) -> Measured:
    return Measured(math.nan, math.nan, "1", reason)
