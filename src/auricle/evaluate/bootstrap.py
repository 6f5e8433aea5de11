"""95 % intervals when *patients* are drawn again with replacement, all their records with them.

Records of one person resemble each other, so drawing records would give intervals that are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from auricle.evaluate.predictions import Predictions, patient_codes
from auricle.evaluate.ranking import Metric, Values, macro

CONFIDENCE: Final = 0.95
_TAIL: Final = (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval: bounds for each class (c,) and for the macro mean."""

    low: Values
    high: Values
    macro_low: float
    macro_high: float


def bootstrap_over_patients(predictions: Predictions, metric: Metric, n: int = 1000, seed: int = 0) -> Interval:
    """Percentile interval of a metric over replicates of the patients; NaN where there is one patient only.

    A replicate in which a class lost its positives counts for the other classes only.

    Args:
        predictions: of one test part.
        metric: a ranking metric that takes weights.
        n: replicates.
        seed: of the draws.
    """
    replicates = metric(predictions.truth, predictions.score, patient_weights(predictions, n, seed))
    if len(set(patient_codes(predictions.patient_id).tolist())) < 2:  # drawn again, one person is always the same
        replicates = np.full_like(replicates, np.nan)
    bounds = [quantiles(replicates[:, column]) for column in range(replicates.shape[1])]
    low, high = (np.array([pair[side] for pair in bounds]) for side in (0, 1))
    return Interval(low, high, *quantiles(macro(replicates)))


def patient_weights(predictions: Predictions, n: int, seed: int) -> NDArray[np.uint16]:
    """(n, record) how often each record is in each bootstrap replicate over patients."""
    codes = patient_codes(predictions.patient_id)
    return patient_draws(codes, n, seed)[:, codes] if len(codes) else np.zeros((n, 0), dtype=np.uint16)


def patient_draws(codes: NDArray[np.int64], n: int, seed: int) -> NDArray[np.uint16]:
    """(n, p) how often each of p patients is drawn in each replicate, of (record,) codes from 0 to p - 1."""
    n_patients = int(codes.max()) + 1
    draws = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=n)
    return draws.astype(np.uint16)


def quantiles(replicates: Values) -> tuple[float, float]:
    """The bounds between which 95 % of the (r,) replicates lie; NaN where none is a number."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) == 0:
        return np.nan, np.nan
    low, high = np.quantile(finite, (_TAIL, 1 - _TAIL))
    return float(low), float(high)


def by_person(codes: NDArray[np.int64]) -> csr_array:
    """(record, p) 1 where a record is of a person, of (record,) codes from 0 to p - 1."""
    shape = (len(codes), int(codes.max(initial=-1)) + 1)
    return csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=shape)


def people_near(kernel: Values, counted: NDArray[np.bool_], people: csr_array) -> Values:
    """(a,) how many people some records are of at each of a places; somebody with many records counts once.

    Args:
        kernel: (a, record) how near each record is to each place, in [0, 1].
        counted: (record,) those that count.
        people: (record, p) as `by_person` gives it.
    """
    return np.asarray(np.minimum((kernel * counted) @ people, 1.0).sum(axis=1))
