"""Sets of answers: what may be said of a class so that of the people of each age nine in ten are told what is so.

Split conformal prediction, for those with a class and those without it apart, so that it holds whatever the frequency
of the disease (Vovk 2012, "Conditional validity of inductive conformal predictors"); at each knot of age people count
by how near they are (Guan 2023, "Localized conformal prediction"), and the one that is asked counts as one of them. A
person with several recordings counts as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age_axis import known_ages
from auricle.evaluate.by_age import BANDWIDTH
from auricle.evaluate.metrics import age_kernel
from auricle.evaluate.predictions import Predictions, patient_codes
from auricle.over_age import KNOTS_DAYS, AnswerSets

Floats = NDArray[np.float64]

COVERAGE: Final = 0.9
# Standard deviations of the kernel on the age scale. The next wider one is taken where so few are near that the set
# would rest on its last one or two of them.
_BANDWIDTHS: Final = (BANDWIDTH, 2 * BANDWIDTH, 4 * BANDWIDTH)
_ENOUGH: Final = 2.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said of a class to people whom training did not see.

    Attributes:
        told: (n,) probabilities, each recording asked with its age.
        untold: (n,) the same asked without an age.
        truth: (n,) 0 or 1.
        age_days: (n,) NaN where unknown.
        person: (n,) equal for equal people.
    """

    told: Floats
    untold: Floats
    truth: Floats
    age_days: Floats
    person: NDArray[np.int64]


def fit_sets(asked: Mapping[str, Sequence[Answered]], coverage: float = COVERAGE) -> AnswerSets:
    """The sets of some classes.

    Args:
        asked: by class, what was said to the people of some data sets. At each age the last one that knows it holds.
        coverage: the promise.
    """
    has, lacks = {}, {}
    for name, stores in asked.items():
        # Nothing is said of those who have it where nobody near had it: it may always be there; and the reverse.
        with_it = [_lowest(one, 1, coverage) for one in stores]
        without = [_lowest(one, 0, coverage) for one in stores]
        has[name] = tuple(lasting(np.array(with_it), 0.0).tolist())
        lacks[name] = tuple((-lasting(np.array(without), -1.0)).tolist())
    return AnswerSets(coverage=coverage, has=has, lacks=lacks)


def sets_of(predictions: Predictions, coverage: float = COVERAGE) -> AnswerSets:
    """The sets of a table of probabilities, one for each class.

    The table does not say what its model answers where it is told no age: as if the age made no difference.

    Args:
        predictions: of people who are not those that are asked.
        coverage: the promise.
    """
    people, asked = patient_codes(predictions.patient_id), {}
    for name, truth, score in zip(predictions.classes, predictions.truth.T, predictions.score.T, strict=True):
        rows = ~np.isnan(truth)
        asked[name] = [Answered(score[rows], score[rows], truth[rows], predictions.age_days[rows], people[rows])]
    return fit_sets(asked, coverage)


def lasting(by_store: Floats, otherwise: float) -> Floats:
    """(m,) at each of m places what the last of some data sets says that says anything.

    Args:
        by_store: (s, m) NaN where a data set says nothing.
        otherwise: where none does.
    """
    found = np.full(by_store.shape[1:], otherwise)
    for says in by_store:
        found = np.where(np.isnan(says), found, says)
    return found


def _lowest(one: Answered, answer: int, coverage: float) -> list[float]:
    """The support of an answer from which on it is in the set, for an unknown age and at each knot; NaN where unknown.

    The support of "yes" is the probability, that of "no" the probability with its sign turned.
    """
    rows = one.truth == answer
    sign = 1.0 if answer else -1.0
    told, untold, age = sign * one.told[rows], sign * one.untold[rows], one.age_days[rows]
    _, place, count = np.unique(one.person[rows], return_inverse=True, return_counts=True)
    weight = 1.0 / count[place]
    found = [_quantile(untold, weight, coverage)]
    aged = known_ages(age)
    kernels = [weight[aged] * age_kernel(age[aged], KNOTS_DAYS, width) for width in _BANDWIDTHS]
    fewest = _ENOUGH * coverage / (1 - coverage)
    for knot in range(len(KNOTS_DAYS)):
        near = next((one[knot] for one in kernels if one[knot].sum() >= fewest), kernels[-1][knot])
        found.append(_quantile(told[aged], near, coverage))
    return found


def _quantile(support: Floats, weight: Floats, coverage: float) -> float:
    """The highest support that, with one more person of whom nothing is known, `coverage` of the weight reaches.

    NaN where the weight is too small for that.
    """
    order = np.argsort(-support, kind="stable")
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, coverage * (weight.sum() + 1.0) - 1e-9))
    return float(support[order[place]]) if place < len(order) else float("nan")
