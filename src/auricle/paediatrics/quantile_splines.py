"""Centile curves without a distribution: quantile regression splines (Koenker, Ng and Portnoy, Biometrika 1994;81:673).

Each quantile is a cubic B-spline in log(1 + days) with the least pinball loss, found as a linear programme in its dual
form (one bounded variable per record, one constraint per basis function; HiGHS). Quantiles are fitted outwards from the
median, each with coefficients not inside those before it: splines whose coefficients are ordered cannot cross.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import ndtri

from auricle.errors import DataError
from auricle.paediatrics.lms import design

Floats = NDArray[np.float64]

LEVELS: Final = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
# Neighbouring quantiles are at least this share of the values' spread apart, so that every value has one z.
_APART: Final = 1e-4


@dataclass(frozen=True, slots=True)
class QuantileSplines:
    """Fitted curves.

    Attributes:
        low, high: the range of log(1 + days) of the records.
        coefficients: (level, basis), one row for each of `LEVELS`.
        least: the smallest possible value (0 for an amplitude); -inf where there is none.
    """

    low: float
    high: float
    coefficients: Floats
    least: float = -np.inf

    def _levels(self, days: Floats) -> Floats:
        basis = design(np.log1p(days), self.low, self.high, self.coefficients.shape[1])
        levels = basis @ self.coefficients.T
        return np.asarray(np.maximum.accumulate(levels, axis=-1) + self._gap(levels) * np.arange(len(LEVELS)))

    @staticmethod
    def _gap(levels: Floats) -> Floats:
        """(.., 1) how far neighbouring quantiles are kept apart."""
        return np.asarray(_APART * np.maximum(levels[..., -1:] - levels[..., :1], 1e-9))

    def z_score(self, days: Floats, value: Floats) -> Floats:
        """Standard deviations of values at ages in days: linear in z between quantiles, and extended beyond them.

        Several quantiles may be the smallest possible value, of a wave that many people do not have: it is then no
        rarer than the highest of these, and has its z.
        """
        levels = self._levels(days)
        least = levels <= self.least + (len(LEVELS) + 1) * self._gap(levels)
        highest = np.where(least, levels, -np.inf).max(axis=-1)
        at = np.maximum(np.asarray(value, dtype=np.float64), highest)
        return _through(levels, np.broadcast_to(ndtri(LEVELS), (*np.shape(days), len(LEVELS))), at)

    def value(self, days: Floats, z: Floats) -> Floats:
        """The values `z` standard deviations from the median at ages in days: the inverse of `z_score`."""
        knots = np.broadcast_to(ndtri(LEVELS), (*np.shape(days), len(LEVELS)))
        return np.maximum(_through(knots, self._levels(days), z), self.least)


def fit_quantiles(basis: Floats, y: Floats, weight: Floats, levels: tuple[float, ...] = LEVELS) -> Floats:
    """(level, basis) coefficients of quantiles that do not cross; `levels` are ascending and contain 0.5.

    Args:
        basis: (record, basis) B-splines.
        y: (record,).
        weight: (record,) how often each record counts.
        levels: which quantiles.

    Raises:
        DataError: the linear programme has no solution.
    """
    used = weight > 0
    basis, y, weight = basis[used], y[used], weight[used]
    middle = levels.index(0.5)
    found = np.zeros((len(levels), basis.shape[1]))
    found[middle] = _fit(basis, y, weight, 0.5)
    for number in range(middle + 1, len(levels)):
        found[number] = found[number - 1] + _fit(basis, y - basis @ found[number - 1], weight, levels[number], True)
    for number in range(middle - 1, -1, -1):
        below = found[number + 1]
        found[number] = below - _fit(basis, basis @ below - y, weight, 1 - levels[number], True)
    return found


def pinball(residual: Floats, level: float) -> float:
    """Mean pinball loss of residuals (record,) of a quantile `level` in (0, 1)."""
    return float(np.maximum(level * residual, (level - 1) * residual).mean())


def _fit(basis: Floats, y: Floats, weight: Floats, level: float, positive: bool = False) -> Floats:
    """Coefficients of least pinball loss, not negative if `positive`, from the multipliers of the dual."""
    scale = max(float(np.abs(y).max()), 1e-12)
    bounds = np.stack([(level - 1) * weight, level * weight], axis=1)
    zero = np.zeros(basis.shape[1])
    if positive:
        solved = linprog(-y / scale, A_ub=basis.T, b_ub=zero, bounds=bounds, method="highs")
    else:
        solved = linprog(-y / scale, A_eq=basis.T, b_eq=zero, bounds=bounds, method="highs")
    if solved.status != 0:
        raise DataError(f"the quantile {level:g} cannot be fitted ({solved.message}): use the LMS method")
    multipliers = solved.ineqlin.marginals if positive else solved.eqlin.marginals
    return np.asarray(-multipliers * scale)


def _through(x: Floats, y: Floats, at: Floats) -> Floats:
    """Piecewise linear through ascending knots (*shape, level), linear beyond them."""
    at = np.asarray(at, dtype=np.float64)
    shape = np.broadcast_shapes(x.shape[:-1], at.shape)
    x, y = (np.broadcast_to(knots, (*shape, knots.shape[-1])) for knots in (x, y))
    at = np.broadcast_to(at, shape)
    piece = np.clip((at[..., None] >= x).sum(axis=-1) - 1, 0, x.shape[-1] - 2)[..., None]
    x0, x1, y0, y1 = (np.take_along_axis(knots, piece + step, -1)[..., 0] for knots in (x, y) for step in (0, 1))
    return np.asarray(y0 + (at - x0) * (y1 - y0) / (x1 - x0))
