"""Sets of answers: what may be said of a class so that of the people of each age nine in ten are told what is so.

Split conformal prediction, for those with a class and those without it apart, so that it holds whatever the frequency
of the disease (Vovk 2012, "Conditional validity of inductive conformal predictors"); at each knot of age records count
by how near they are (Guan 2023, "Localized conformal prediction"), and the one that is asked counts as one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.evaluate.metrics import age_kernel
from auricle.evaluate.predictions import Predictions
from auricle.over_age import KNOTS_DAYS, AnswerSets

Floats = NDArray[np.float64]

COVERAGE: Final = 0.9
# Standard deviations of the kernel on the age scale. The next wider one is taken where so few are near that the set
# would rest on its last one or two of them.
_BANDWIDTHS: Final = (0.25, 0.5, 1.0)
_ENOUGH: Final = 2.0


def fit_sets(asked: Mapping[str, Sequence[tuple[Floats, Floats, Floats]]], coverage: float = COVERAGE) -> AnswerSets:
    """The sets of some classes.

    Args:
        asked: by class, from each of some data sets: (n,) probabilities, (n,) truth of 0 and 1, and (n,) ages in days,
            NaN where unknown, of records that training did not see. At each age the last one that knows it holds.
        coverage: the promise.
    """
    has, lacks = {}, {}
    for name, stores in asked.items():
        # Nothing is said of those who have it where nobody near had it: it may always be there; and the reverse.
        with_it = [_lowest(p[truth == 1], age[truth == 1], coverage) for p, truth, age in stores]
        without = [_lowest(1 - p[truth == 0], age[truth == 0], coverage) for p, truth, age in stores]
        has[name] = tuple(lasting(np.array(with_it), 0.0).tolist())
        lacks[name] = tuple((1 - lasting(np.array(without), 0.0)).tolist())
    return AnswerSets(coverage=coverage, has=has, lacks=lacks)


def sets_of(predictions: Predictions, coverage: float = COVERAGE) -> AnswerSets:
    """The sets of a table of probabilities, one for each class.

    Args:
        predictions: of records whose people are not those that are asked.
        coverage: the promise.
    """
    asked = {}
    for name, truth, score in zip(predictions.classes, predictions.truth.T, predictions.score.T, strict=True):
        rows = ~np.isnan(truth)
        asked[name] = [(score[rows], truth[rows], predictions.age_days[rows])]
    return fit_sets(asked, coverage)


def lasting(by_store: Floats, otherwise: float | tuple[float, ...]) -> Floats:
    """(m, ...) at each of m places what the last of some data sets says that says anything.

    Args:
        by_store: (s, m, ...) NaN where a data set says nothing.
        otherwise: where none does.
    """
    found = np.broadcast_to(np.asarray(otherwise, dtype=np.float64), by_store.shape[1:]).copy()
    for says in by_store:
        found = np.where(np.isnan(says), found, says)
    return found


def _lowest(support: Floats, age_days: Floats, coverage: float) -> list[float]:
    """The support from which on an answer is in the set, for an unknown age and at each knot; NaN where it is unknown.

    Args:
        support: (n,) probability given to the answer that is so.
        age_days: (n,) NaN where unknown.
    """
    found = [_quantile(support, np.ones(len(support)), coverage)]
    aged = np.isfinite(age_days)
    kernels = [age_kernel(age_days[aged], KNOTS_DAYS, width) for width in _BANDWIDTHS]
    fewest = _ENOUGH * coverage / (1 - coverage)
    for knot in range(len(KNOTS_DAYS)):
        near = next((one[knot] for one in kernels if one[knot].sum() >= fewest), kernels[-1][knot])
        found.append(_quantile(support[aged], near, coverage))
    return found


def _quantile(support: Floats, weight: Floats, coverage: float) -> float:
    """The highest support that, with one more record of which nothing is known, `coverage` of the weight reaches.

    NaN where the weight is too small for that.
    """
    order = np.argsort(-support, kind="stable")
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, coverage * (weight.sum() + 1.0) - 1e-9))
    return float(support[order[place]]) if place < len(order) else float("nan")
