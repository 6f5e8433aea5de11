"""Centile curves by the LMS method: a Box-Cox power L, a median M and a coefficient of variation S that vary with age.

Cole and Green, Stat Med 1992;11:1305: z = ((y/M)^L - 1) / (L S) is standard normal, and L, log M and log S are smooth
functions of log(1 + days), here cubic B-splines with difference penalties (Eilers and Marx 1996), fitted together by
penalised likelihood. A penalty is given as the equivalent degrees of freedom it leaves, as Cole and Green give it, with
their expected information as weights. Beyond them: amplitudes at or below a floor ("no wave") count as censored, and
values that can be zero or negative (axes, T) are shifted first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.linalg import cholesky, eigvalsh, solve_triangular
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_ndtr

from auricle.errors import DataError

Floats = NDArray[np.float64]

N_BASIS: Final = 24
_DEGREE: Final = 3
_LARGEST_EXPONENT: Final = 30.0
_SMALL_POWER: Final = 1e-6
# Precision of a weak prior of L around 1 (standard deviation 3): without it the power is not determined by few records.
_POWER_WISH: Final = 1 / 9
_WISHES: Final = (_POWER_WISH, 0.0, 0.0)
_RIDGE: Final = 1e-6
_FAR: Final = 1e300
_RESAMPLE_STEPS: Final = 30
# A step of a resample may cost a little more than the best place, and lead to a better one.
_SLACK: Final = 0.01
# Records from which a sparse product is the faster one.
_MANY: Final = 1000
# Of a range of 90 on a scale of exponents: to one part in a thousand million.
_HALVINGS: Final = 40
# The least scatter of a parameter that is the same in all of a part: a thousandth, finer than anything is measured.
_LEAST_SPREAD: Final = 1e-3


class Freedom(NamedTuple):
    """Equivalent degrees of freedom; a median or spread of 2 is a line in log(1 + days), a power of 1 is constant."""

    median: float = 6.0
    spread: float = 3.0
    power: float = 1.0


class Frame(NamedTuple):
    """What a fit stands in, for L, log M and log S.

    Attributes:
        penalties: (basis, basis) each, that leave the wanted degrees of freedom.
        unwhitening: (basis, basis) each, from coordinates in which the expected curvature is the identity, so that
            L-BFGS needs tens of steps and not thousands.
    """

    penalties: list[Floats]
    unwhitening: list[Floats]


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


def fit_lms(basis: Floats, y: Floats, floor: float, freedom: Freedom) -> tuple[Floats, Floats, Floats]:
    """Coefficients of L, log M and log S by penalised likelihood.

    Args:
        basis: (record, basis) from `design`.
        y: (record,) positive after shifting.
        floor: values at or below it count as "not more than this".
        freedom: equivalent degrees of freedom of the three curves.

    Returns:
        (basis,) coefficients of L, of log M and of log S.

    Raises:
        DataError: no curve fits, as where nearly all values are the same.
    """
    weight = np.ones(len(y))
    sparse = _product(basis)
    begin = _start(sparse, _logs(y, floor), weight)
    frame = _frame(sparse, weight, begin[2], freedom)
    cost_and_slope = _objective(sparse, y, weight[:, None], floor, frame, begin)

    def objective(free: Floats) -> tuple[float, Floats]:
        cost, slope = cost_and_slope(free[:, None])
        if not (np.isfinite(cost[0]) and np.isfinite(slope).all()):
            return _FAR, np.zeros_like(free)  # the line search turns back
        return float(cost[0]), slope[:, 0]

    options = {"maxiter": 300, "maxcor": 10, "ftol": 1e-8}
    found: Any = minimize(objective, np.zeros(3 * len(begin[0])), jac=True, method="L-BFGS-B", options=options)
    if not found.fun < _FAR:
        raise DataError("no curve fits these values")
    power, median, spread = (part[:, 0] for part in _coefficients(found.x[:, None], frame, begin))
    return power, median, spread


def fit_resamples(
    basis: Floats, y: Floats, weights: Floats, floor: float, freedom: Freedom, start: Sequence[Floats]
) -> tuple[Floats, Floats, Floats]:
    """Fits to the same records with other weights, all at once, from the fit in which each record counts once.

    The penalties are those of that fit. Each fit takes steps of Barzilai and Borwein (IMA J Numer Anal 1988;8:141) in
    coordinates in which the expected curvature is the identity, and keeps the best place it has seen: bands are no more
    exact than their number of resamples.

    Args:
        basis: (record, basis) from `design`.
        y: (record,) positive after shifting.
        weights: (record, fit) how often each record counts.
        floor: values at or below it count as "not more than this".
        freedom: equivalent degrees of freedom of the three curves.
        start: (basis,) coefficients of L, log M and log S of the fit.

    Returns:
        (basis, fit) coefficients of L, of log M and of log S.
    """
    sparse = _product(basis)
    once = np.ones(len(y))
    frame = _frame(sparse, once, _start(sparse, _logs(y, floor), once)[2], freedom)
    cost_and_slope = _objective(sparse, y, weights, floor, frame, start)
    free = np.zeros((3 * basis.shape[1], weights.shape[1]))
    cost, slope = cost_and_slope(free)
    best, least = free, cost
    step = np.full(len(cost), 0.5)
    for _ in range(_RESAMPLE_STEPS):
        moved = free - step * slope
        cost, turned = cost_and_slope(moved)
        # A step that leads nowhere is taken back and halved.
        good = np.isfinite(cost) & np.isfinite(turned).all(axis=0) & (cost <= least + _SLACK * np.abs(least))
        away, bend = np.where(good, moved - free, 0.0), np.where(good, turned - slope, 0.0)
        curved = (away * bend).sum(axis=0)
        long = (away**2).sum(axis=0) / np.where(curved > 0, curved, 1.0)
        step = np.where(good, np.where(curved > 0, np.clip(long, 1e-3, 4.0), 0.5), step / 4)
        free, slope = np.where(good, moved, free), np.where(good, turned, slope)
        better = good & (cost < least)
        best, least = np.where(better, free, best), np.where(better, cost, least)
    power, median, spread = _coefficients(best, frame, start)
    return power, median, spread


def _objective(
    sparse: Any, y: Floats, weight: Floats, floor: float, frame: Frame, centre: Sequence[Floats]
) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Penalised cost (fit,) and slope (3 basis, fit) at free coordinates (3 basis, fit) around a place."""
    logs, censored = _logs(y, floor)[:, None], _censored(y, floor)
    k = sparse.shape[1]

    def cost_and_slope(free: Floats) -> tuple[Floats, Floats]:
        parts = _coefficients(free, frame, centre)
        cost, slopes = _likelihood(sparse, logs, weight, censored, parts)
        gradient = []
        for part, slope, bend, wish, turn in zip(
            parts, slopes, frame.penalties, _WISHES, frame.unwhitening, strict=True
        ):
            away, bent = part - 1.0, bend @ part
            cost = cost + 0.5 * (part * bent).sum(axis=0) + 0.5 * wish / k * (away**2).sum(axis=0)
            gradient.append(turn.T @ (slope + bent + wish / k * away))
        return cost, np.concatenate(gradient)

    return cost_and_slope


def _coefficients(free: Floats, frame: Frame, centre: Sequence[Floats]) -> list[Floats]:
    """(basis, fit) coefficients of the three curves at free coordinates (3 basis, fit) around a place."""
    k = len(centre[0])
    return [centre[part][:, None] + frame.unwhitening[part] @ free[part * k : (part + 1) * k] for part in range(3)]


def _product(basis: Floats) -> Any:
    """The splines for products with them: sparse where there are many records, of which each has only four.

    Of few the dense product is done before a sparse one has looked at its indices; of many it would start threads.
    """
    return csr_array(basis) if len(basis) > _MANY else basis


def _logs(y: Floats, floor: float) -> Floats:
    return np.asarray(np.log(np.maximum(y, max(floor, 1e-12))))


def _censored(y: Floats, floor: float) -> NDArray[np.bool_]:
    return y <= floor if floor else np.zeros(len(y), dtype=bool)


def _frame(sparse: Any, weight: Floats, spread: Floats, freedom: Freedom) -> Frame:
    usual = float(np.exp(np.average(sparse @ spread, weights=np.maximum(weight, 1e-12))))
    information = (7 * usual**2 / 4, 1 / usual**2 + 2, 2.0)
    orders, wanted = (1, 2, 2), (freedom.power, freedom.median, freedom.spread)
    gram = _gram(sparse, weight)
    penalties = [penalty(gram * part, order, df) for part, order, df in zip(information, orders, wanted, strict=True)]
    unit = np.eye(len(gram))
    unwhitening = [
        solve_triangular(cholesky(gram * part + bend + wish / len(gram) * unit), unit)
        for part, bend, wish in zip(information, penalties, _WISHES, strict=True)
    ]
    return Frame(penalties, unwhitening)


def cost_of(basis: Floats, y: Floats, floor: float, parts: Sequence[Floats]) -> float:
    """Mean negative log-likelihood of records that were not fitted (up to a constant of the data)."""
    total, _ = _likelihood(
        basis, _logs(y, floor)[:, None], np.ones((len(y), 1)), _censored(y, floor), [part[:, None] for part in parts]
    )
    return float(total[0]) / max(len(y), 1)


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
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left = float((1 / (1 + np.exp(middle) * roots)).sum())
        low, high = (middle, high) if left > wanted else (low, middle)
    return np.asarray(np.exp((low + high) / 2) * bend)


def _gram(basis: Any, weight: Floats) -> Floats:
    product = basis.T @ (basis * weight[:, None])
    gram: Floats = product if isinstance(product, np.ndarray) else product.toarray()
    return np.asarray(gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)))


def _start(basis: Any, logs: Floats, weight: Floats) -> list[Floats]:
    gram = _gram(basis, weight)
    median = np.linalg.solve(gram + penalty(gram, 2, 5.0), basis.T @ (weight * logs))
    scatter = np.sqrt(np.average((logs - basis @ median) ** 2, weights=weight))
    k = basis.shape[1]
    return [np.ones(k), median, np.full(k, np.log(max(float(scatter), _LEAST_SPREAD)))]


def _likelihood(
    basis: Any, logs: Floats, weight: Floats, censored: NDArray[np.bool_], parts: Sequence[Floats]
) -> tuple[Floats, list[Floats]]:
    """Weighted negative log-likelihood and its slopes along the coefficients of L, log M, log S.

    Args:
        basis: (record, basis).
        logs: (record, 1) logarithms of the values.
        weight: (record, fit) how often each record counts in each of the fits that are made at once.
        censored: (record,) values that count as "not more than this".
        parts: (basis, fit) coefficients of each curve.

    Returns:
        (fit,) costs and (basis, fit) slopes of each curve.
    """
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
        apart = [np.where(censored[:, None], 0.0, part) for part in apart]
    slopes = [by_z * z_part + part for z_part, part in zip((z_power, z_median, z_spread), apart, strict=True)]
    return np.asarray((weight * cost).sum(axis=0)), [basis.T @ (weight * slope) for slope in slopes]


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
