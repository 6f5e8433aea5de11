"""Ages on an axis: which are known, and a scale on which a step is days in a newborn and years in an adult."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.age import OLDEST_DAYS

Values = NDArray[np.float64]


def known_ages(age_days: ArrayLike) -> NDArray[np.bool_]:
    """(n,) which ages in days are known and can be a person's; programs write -999 for an unknown one."""
    days = np.asarray(age_days, dtype=np.float64)
    return np.asarray(np.isfinite(days) & (days >= 0) & (days <= OLDEST_DAYS))


def age_scale(age_days: ArrayLike) -> Values:
    """log(1 + days/30) of ages: on this scale the same distance is days in a newborn and years in an adult."""
    return np.asarray(np.log1p(np.asarray(age_days, dtype=np.float64) / 30))


def age_of_scale(place: ArrayLike) -> Values:
    """Ages in days of places on `age_scale`."""
    return np.asarray(30 * np.expm1(np.asarray(place, dtype=np.float64)))


def spaced_ages(youngest: float, oldest: float, n: int) -> Values:
    """(n,) ages in days from the youngest to the oldest, at even distances on `age_scale`."""
    return age_of_scale(np.linspace(age_scale(youngest), age_scale(oldest), n))
