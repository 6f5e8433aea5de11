"""Ranking metrics (AUROC, average precision) with weights, ties and missing truth, for many weightings at once.

The scores of a class are sorted once, and a replicate of the bootstrap is a weighting of the sorted records, so that a
thousand replicates are one sparse matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Values = NDArray[np.float64]
Weights = NDArray[np.floating] | NDArray[np.integer]
# Weighted sums run over blocks of at most this many (record, replicate) numbers, 32 MB, so that a thousand replicates
# of a large test part never exist at once in full precision.
_BLOCK: Final = 4_000_000
SPECIFICITY: Final = 0.9
"""At which `sensitivity` is asked for."""
_ROUNDING: Final = 1e-9


class Metric(Protocol):
    """A ranking metric: (n, c) truth and score, weights (r, n) or None, to (c,) or (r, c)."""

    def __call__(self, truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
        """The value of each class."""
        ...


@dataclass(frozen=True, slots=True)
class Ranked:
    """One class in runs of falling score, a run being one tie or a stretch without a positive.

    Attributes:
        rows: (k,) the annotated records, sorted by falling score.
        truth: (k,) truth of these records.
        run: (k,) number of the run each of them is in.
    """

    rows: NDArray[np.intp]
    truth: Values
    run: NDArray[np.int64]

    def sums(self, weights: Values) -> tuple[Values, Values]:
        """Weights (n, r) -> weight of positives and of negatives in each run, (run, r) each."""
        n_runs = int(self.run[-1]) + 1 if len(self.run) else 0
        both = []
        for value in (1, 0):
            chosen = self.truth == value
            begins = np.searchsorted(self.run[chosen], np.arange(n_runs + 1))  # runs rise with the records
            member = csr_array((np.ones(chosen.sum()), self.rows[chosen], begins), shape=(n_runs, len(weights)))
            both.append(member @ weights)
        return both[0], both[1]


def auroc(truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
    """Area under the ROC curve of each class: the chance that a positive outranks a negative, ties counting half.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c).
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights; NaN where a class has no positive or no negative.
    """
    return _by_class(_auroc_of_runs, truth, score, weights)


def average_precision(truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
    """Area under the precision-recall curve of each class, as the step sum of precision over recall.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c).
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights; NaN where a class has no positive or no negative.
    """
    return _by_class(_average_precision_of_runs, truth, score, weights)


def sensitivity(truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
    """The largest share of positives that is found at a specificity of 90 % or more; ties are called whole or not.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c).
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights; NaN where a class has no positive or no negative.
    """
    return _by_class(_sensitivity_of_runs, truth, score, weights)


def _by_class(
    measure: Callable[[Values, Values], Values], truth: ArrayLike, score: ArrayLike, weights: Weights | None
) -> Values:
    truth, score = np.asarray(truth, dtype=np.float64), np.asarray(score, dtype=np.float64)
    replicates = np.ones((1, len(truth))) if weights is None else weights
    ranked = [rank(truth[:, column], score[:, column]) for column in range(truth.shape[1])]
    result = np.full((len(replicates), truth.shape[1]), np.nan)
    block = max(1, _BLOCK // max(1, len(truth)))
    for start in range(0, len(replicates), block):
        chosen = np.ascontiguousarray(replicates[start : start + block].T, dtype=np.float64)
        for column, ranks in enumerate(ranked):
            result[start : start + block, column] = measure(*ranks.sums(chosen))
    return result[0] if weights is None else result


def weighted(numerator: NDArray[np.bool_], weights: Weights | None) -> Values:
    """(c,) number of records of a (n, c) mask, or (r, c) their weight in each replicate."""
    if weights is None:
        return np.asarray(numerator.sum(axis=0), dtype=np.float64)
    counted, block = numerator.astype(np.float64), max(1, _BLOCK // max(1, len(numerator)))
    result = np.zeros((len(weights), numerator.shape[1]))
    for at in range(0, len(weights), block):
        result[at : at + block] = np.asarray(weights[at : at + block], dtype=np.float64) @ counted
    return result


def rank(truth: Values, score: Values) -> Ranked:
    """One class sorted by falling score and divided into runs.

    Args:
        truth: (n,) 0, 1, or NaN where not annotated; such records are left out.
        score: (n,)
    """
    annotated = np.flatnonzero(~np.isnan(truth))
    rows = annotated[np.argsort(-score[annotated], kind="stable")]
    ordered, positive = score[rows], truth[rows] == 1
    tie = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]]) if len(rows) else np.zeros(0, dtype=np.int64)
    has_positive = np.bincount(tie, positive) > 0
    # Neighbouring ties without a positive are one run: neither metric looks at the order among negatives, and a rare
    # class then has a few runs instead of one for each record.
    run = np.cumsum(np.r_[False, has_positive[1:] | has_positive[:-1]]) if len(rows) else tie
    return Ranked(rows, truth[rows], run[tie])


def _auroc_of_runs(positive: Values, negative: Values) -> Values:
    """Weights of positives and negatives (run, r), runs in falling order of score -> (r,)."""
    positives, negatives = positive.sum(axis=0), negative.sum(axis=0)
    below = negatives - np.cumsum(negative, axis=0)
    won = (positive * (below + negative / 2)).sum(axis=0)
    return divide(won, positives * negatives)


def _average_precision_of_runs(positive: Values, negative: Values) -> Values:
    found = np.cumsum(positive, axis=0)
    precision = np.nan_to_num(divide(found, found + np.cumsum(negative, axis=0)))
    area = divide((positive * precision).sum(axis=0), positive.sum(axis=0))
    return np.where(negative.sum(axis=0) > 0, area, np.nan)


def _sensitivity_of_runs(positive: Values, negative: Values) -> Values:
    negatives = negative.sum(axis=0)
    allowed = (1 - SPECIFICITY) * negatives + _ROUNDING
    found = np.where(np.cumsum(negative, axis=0) <= allowed, np.cumsum(positive, axis=0), 0).max(axis=0, initial=0)
    return np.where(negatives > 0, divide(found, positive.sum(axis=0)), np.nan)


def divide(numerator: Values, denominator: Values) -> Values:
    """The quotient, NaN where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def macro(values: Values) -> Values:
    """Mean over the last axis of the classes that have a value; NaN where none has."""
    has = np.isfinite(values)
    return divide(np.where(has, values, 0).sum(axis=-1), has.sum(axis=-1).astype(np.float64))
