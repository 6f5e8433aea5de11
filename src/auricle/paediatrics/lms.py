"""Centile curves by the LMS method: a Box-Cox power L, a median M and a coefficient of variation S that vary with age.

Cole and Green, Stat Med 1992;11:1305: z = ((y/M)^L - 1) / (L S) is standard normal, and L, log M and log S are smooth
functions of log(1 + days), here cubic B-splines with difference penalties (Eilers and Marx 1996), fitted together by
penalised likelihood. A penalty is given as the equivalent degrees of freedom it leaves, as Cole and Green give it, with
their expected information as weights. Beyond them: amplitudes at or below a floor ("no wave") count as censored, and
values that can be zero or negative (axes, T) are shifted first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.linalg import cholesky, eigvalsh, solve_triangular
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_ndtr

Floats = NDArray[np.float64]

N_BASIS: Final = 24
_DEGREE: Final = 3
_LARGEST_EXPONENT: Final = 30.0
_SMALL_POWER: Final = 1e-6
# Precision of a weak prior of L around 1 (standard deviation 3): without it the power is not determined by few records.
_POWER_WISH: Final = 1 / 9
_RIDGE: Final = 1e-6


class Freedom(NamedTuple):
    """Equivalent degrees of freedom; a median or spread of 2 is a line in log(1 + days), a power of 1 is constant."""

    median: float = 6.0
    spread: float = 3.0
    power: float = 1.0


@dataclass(frozen=True, slots=True)
class LMS:
    """A fitted curve.

    Attributes:
        low, high: the range of log(1 + days) of its records.
        power, median, spread: (basis,) coefficients of L, log M and log S.
        shift: added to a value before anything else.
        floor: shifted values at or below it count as "not more than this".
    """

    low: float
    high: float
    power: Floats
    median: Floats
    spread: Floats
    shift: float = 0.0
    floor: float = 0.0

    def _at(self, days: Floats) -> tuple[Floats, Floats, Floats]:
        basis = design(np.log1p(days), self.low, self.high, len(self.median))
        return basis @ self.power, basis @ self.median, basis @ self.spread

    def z_score(self, days: Floats, value: Floats) -> Floats:
        """Standard deviations of values from the median at ages in days; a value below the floor has the floor's."""
        power, median, spread = self._at(days)
        smallest = max(self.floor, np.finfo(np.float64).tiny)
        return _z(np.log(np.maximum(value + self.shift, smallest)) - median, power, np.exp(spread))

    def value(self, days: Floats, z: Floats) -> Floats:
        """The values `z` standard deviations from the median at ages in days; where none is so low, the scale's end."""
        power, median, spread = self._at(days)
        inner = power * np.exp(spread) * z
        safe = np.where(np.abs(power) < _SMALL_POWER, 1.0, power)
        with np.errstate(divide="ignore"):
            bent = np.log(np.maximum(1 + inner, 0)) / safe
        exponent = np.where(np.abs(power) < _SMALL_POWER, np.exp(spread) * z, bent)
        grown = np.exp(np.clip(exponent + median, -700, _LARGEST_EXPONENT))
        return np.where(grown <= self.floor, 0.0, grown) - self.shift if self.floor else grown - self.shift


def design(x: Floats, low: float, high: float, n_basis: int = N_BASIS) -> Floats:
    """(record, basis) cubic B-splines with even knots from `low` to `high`; outside they keep their end values."""
    step = (high - low) / (n_basis - _DEGREE)
    knots = low + step * np.arange(-_DEGREE, n_basis + 1)
    inside = np.clip(x, low, high - 1e-9 * step).ravel()
    matrix: Floats = BSpline.design_matrix(inside, knots, _DEGREE).toarray()
    return matrix.reshape(*np.shape(x), n_basis)


def fit_lms(
    basis: Floats,
    y: Floats,
    weight: Floats,
    floor: float,
    freedom: Freedom,
    start: Sequence[Floats] | None = None,
    iterations: int = 300,
) -> tuple[Floats, Floats, Floats]:
    """Coefficients of L, log M and log S by penalised likelihood.

    Args:
        basis: (record, basis) from `design`.
        y: (record,) positive after shifting.
        weight: (record,) how often each record counts.
        floor: values at or below it count as "not more than this".
        freedom: equivalent degrees of freedom of the three curves.
        start: (basis,) coefficients of each curve to start from.
        iterations: most steps of L-BFGS.

    Returns:
        (basis,) coefficients of L, of log M and of log S.
    """
    # Where to start, and the penalties that leave the wanted degrees of freedom.
    logs = np.log(np.maximum(y, max(floor, 1e-12)))
    # Sparse: only four splines are not zero at an age, and starting threads for a dense product would take longer.
    sparse = csr_array(basis)
    begin = [np.array(part) for part in start] if start is not None else _start(sparse, logs, weight)
    spread = float(np.exp(np.average(sparse @ begin[2], weights=np.maximum(weight, 1e-12))))
    information = (7 * spread**2 / 4, 1 / spread**2 + 2, 2.0)
    orders, wanted = (1, 2, 2), (freedom.power, freedom.median, freedom.spread)
    gram = _gram(sparse, weight)
    penalties = [penalty(gram * part, order, df) for part, order, df in zip(information, orders, wanted, strict=True)]
    wishes = (_POWER_WISH, 0.0, 0.0)
    # Coordinates in which the expected curvature is the identity, so that L-BFGS needs tens of steps and not thousands.
    whitening = [
        cholesky(gram * part + bend + wish / len(gram) * np.eye(len(gram)))
        for part, bend, wish in zip(information, penalties, wishes, strict=True)
    ]
    k, centre = basis.shape[1], np.concatenate(begin)
    censored = y <= floor if floor else np.zeros(len(y), dtype=bool)

    def coefficients(free: Floats) -> list[Floats]:
        return [
            centre[part * k : (part + 1) * k] + solve_triangular(whitening[part], free[part * k : (part + 1) * k])
            for part in range(3)
        ]

    def objective(free: Floats) -> tuple[float, Floats]:
        parts = coefficients(free)
        cost, slopes = _likelihood(sparse, logs, weight, censored, parts)
        gradient = []
        for number, (part, slope, bend, wish) in enumerate(zip(parts, slopes, penalties, wishes, strict=True)):
            away = part - 1.0
            cost += 0.5 * float(part @ bend @ part) + 0.5 * wish / k * float(away @ away)
            gradient.append(solve_triangular(whitening[number], slope + bend @ part + wish / k * away, trans="T"))
        return cost, np.concatenate(gradient)

    options = {"maxiter": iterations, "maxcor": 10, "ftol": 1e-8}
    found: Any = minimize(objective, np.zeros(3 * k), jac=True, method="L-BFGS-B", options=options)
    power, median, wide = coefficients(found.x)
    return power, median, wide


def cost_of(basis: Floats, y: Floats, floor: float, parts: Sequence[Floats]) -> float:
    """Mean negative log-likelihood of records that were not fitted (up to a constant of the data)."""
    logs = np.log(np.maximum(y, max(floor, 1e-12)))
    censored = y <= floor if floor else np.zeros(len(y), dtype=bool)
    total, _ = _likelihood(basis, logs, np.ones(len(y)), censored, parts)
    return total / max(len(y), 1)


def penalty(gram: Floats, order: int, freedom: float) -> Floats:
    """(basis, basis) difference penalty of an order that leaves `freedom` equivalent degrees of freedom.

    Args:
        gram: (basis, basis) weighted products of the splines.
        order: of the differences: 1 penalises slopes, 2 penalises bends.
        freedom: equivalent degrees of freedom.
    """
    k = len(gram)
    difference = np.diff(np.eye(k), order, axis=0)
    bend = difference.T @ difference
    roots = np.clip(eigvalsh(bend, gram), 0, None)
    wanted, low, high = np.clip(freedom, order + 1e-3, k - 1e-3), -30.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        left = float((1 / (1 + np.exp(middle) * roots)).sum())
        low, high = (middle, high) if left > wanted else (low, middle)
    return np.asarray(np.exp((low + high) / 2) * bend)


def _gram(basis: Any, weight: Floats) -> Floats:
    gram: Floats = (basis.T @ (basis * weight[:, None])).toarray()
    return np.asarray(gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)))


def _start(basis: Any, logs: Floats, weight: Floats) -> list[Floats]:
    gram = _gram(basis, weight)
    median = np.linalg.solve(gram + penalty(gram, 2, 5.0), basis.T @ (weight * logs))
    scatter = np.sqrt(np.average((logs - basis @ median) ** 2, weights=weight))
    k = basis.shape[1]
    return [np.ones(k), median, np.full(k, np.log(max(float(scatter), 1e-4)))]


def _likelihood(
    basis: Any, logs: Floats, weight: Floats, censored: NDArray[np.bool_], parts: Sequence[Floats]
) -> tuple[float, list[Floats]]:
    """Weighted negative log-likelihood and its slopes along the coefficients of L, log M, log S."""
    power, median, spread = (basis @ part for part in parts)
    u, wide = logs - median, np.exp(np.clip(spread, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
    z = _z(u, power, wide)
    lifted = np.exp(np.clip(power * u, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
    z_median, z_spread, z_power = -lifted / wide, -z, _z_by_power(u, power, wide, lifted)
    cost, by_z = z**2 / 2 + spread - power * u, z
    apart = [-u, power, np.ones_like(u)]
    if censored.any():
        # A censored value counts by the probability of lying at the floor or below it.
        log_below = log_ndtr(z[censored])
        exponent = -(z[censored] ** 2) / 2 - 0.5 * np.log(2 * np.pi) - log_below
        by_z = z.copy()
        cost[censored], by_z[censored] = -log_below, -np.exp(np.clip(exponent, -700, _LARGEST_EXPONENT))
        apart = [np.where(censored, 0.0, part) for part in apart]
    slopes = [by_z * z_part + part for z_part, part in zip((z_power, z_median, z_spread), apart, strict=True)]
    return float(weight @ cost), [basis.T @ (weight * slope) for slope in slopes]


def _z(u: Floats, power: Floats, wide: Floats) -> Floats:
    safe = np.where(np.abs(power) < _SMALL_POWER, 1.0, power)
    bent = np.expm1(np.clip(power * u, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)) / safe
    return np.asarray(np.where(np.abs(power) < _SMALL_POWER, u, bent) / wide)


def _z_by_power(u: Floats, power: Floats, wide: Floats, lifted: Floats) -> Floats:
    small = np.abs(power * u) < 1e-3
    safe = np.where(small | (np.abs(power) < _SMALL_POWER), 1.0, power)
    exact = (safe * u * lifted - (lifted - 1)) / safe**2
    series = u**2 / 2 + power * u**3 / 3
    return np.asarray(np.where(small | (np.abs(power) < _SMALL_POWER), series, exact) / wide)
