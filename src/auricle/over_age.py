"""What calibrated answers take from the age: a factor and shift of a logit, and the sets of answers that hold at it.

Both are numbers at a few ages (knots), with others between them by their place on log(1 + months), and numbers of their
own for people of unknown age. Sets are split conformal ones, for those with a class and those without it apart
(Vovk 2012, "Conditional validity of inductive conformal predictors"), with records weighed by how near their age is
(Guan 2023, "Localized conformal prediction"). `auricle.evaluate.calibration` fits them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from auricle.age import DAYS_PER_MONTH
from auricle.config import Config

# From birth to 90 years in even steps of log(1 + months), each as wide as two bandwidths of the narrowest kernel that
# fits them (`auricle.evaluate.by_age.BANDWIDTH`), so that no age lies between two that do not see it.
KNOTS_DAYS: Final = tuple(round(DAYS_PER_MONTH * math.expm1(0.5 * step), 1) for step in range(15))

# What is said of a class: it is there, it is not, or both may be.
Answer = Literal["yes", "no", "either"]


Share = Annotated[float, Field(ge=0, le=1)]


class _AtKnots(Config):
    """Numbers by class: the first for an unknown age, then one for each knot."""

    knots_days: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = KNOTS_DAYS

    def _check(self, **numbers: dict[str, tuple[float, ...]]) -> None:
        """Refuse numbers that do not fit the knots, or are of different classes."""
        if list(self.knots_days) != sorted(set(self.knots_days)):
            raise ValueError("knots_days: give ages that rise")
        first, *others = numbers.values()
        if any(one.keys() != first.keys() for one in others):
            raise ValueError(f"{', '.join(numbers)}: give each for the same classes")
        for name, by_class in numbers.items():
            wrong = [one for one, values in by_class.items() if len(values) != 1 + len(self.knots_days)]
            if wrong:
                raise ValueError(f"{name} of {wrong[0]}: give a number for an unknown age and one for each knot")


class CalibrationOverAge(_AtKnots):
    """How logits are calibrated at each age.

    Attributes:
        knots_days: k ages in days, rising.
        factor, shift: by class, of its logit for an unknown age and at each knot.
    """

    factor: dict[str, tuple[Annotated[float, Field(gt=0)], ...]]
    shift: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _fits(self) -> CalibrationOverAge:
        self._check(factor=self.factor, shift=self.shift)
        return self

    def calibrated(
        self, logits: Float[Tensor, "n c"], age_days: Float[Tensor, " n"], names: Sequence[str]
    ) -> Float[Tensor, "n c"]:
        """Logits times factor plus shift, those of the age; a class without them keeps its logit.

        Args:
            logits: of n records and c classes.
            age_days: of each record, NaN where unknown.
            names: of the classes.
        """
        factor, shift = self.at(age_days.to(logits), names)
        calibrated: Tensor = factor * logits + shift
        return calibrated

    def at(
        self, age_days: Float[Tensor, " n"], names: Sequence[str]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """The factors and the shifts of some classes at some ages.

        Args:
            age_days: of each record, NaN where unknown.
            names: of the classes; one without them has 1 and 0.
        """
        n, near = 1 + len(self.knots_days), shares(age_days, self.knots_days)
        factor = torch.tensor([self.factor.get(name, (1.0,) * n) for name in names]).to(near)
        shift = torch.tensor([self.shift.get(name, (0.0,) * n) for name in names]).to(near)
        return near @ factor.T, near @ shift.T


class AnswerSets(_AtKnots):
    """Which answers stand beside a probability, so that of the people of each age a promised share is covered.

    Of those who have a class at least `coverage` are told "yes" or "either", of those who have it not "no" or
    "either". Between two knots the more cautious of their thresholds holds. No answer goes against its probability: a
    class that is rather absent than there is never told "yes" alone, nor one that is rather there "no" alone, however
    few without it, or with it, have such a probability. So every set has an answer, and covers more than it promises.

    Attributes:
        knots_days: k ages in days, rising.
        coverage: the promise.
        has: by class, the probability from which on it may be there, for an unknown age and at each knot; 0 where too
            few had it to say.
        lacks: by class, the probability up to which it may be absent; 1 where too few were without it.
    """

    coverage: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    has: dict[str, tuple[Share, ...]]
    lacks: dict[str, tuple[Share, ...]]

    @model_validator(mode="after")
    def _fits(self) -> AnswerSets:
        self._check(has=self.has, lacks=self.lacks)
        return self

    def thresholds(self, name: str, age_days: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """From which probability on a class may be there, and up to which it may be absent, at some ages.

        The first is one half at most and the second one half at least.

        Args:
            name: of the class.
            age_days: NaN where unknown.

        Raises:
            KeyError: no set was fitted for the class.
        """
        lowest, highest = self._bounds([name], age_days)
        return lowest[:, 0], highest[:, 0]

    def _bounds(
        self, names: Sequence[str], age_days: Float[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """The thresholds of some classes at some ages."""
        near = (shares(age_days.double(), self.knots_days) > 0)[:, None]
        has, lacks = (
            torch.tensor([part[name] for name in names], dtype=torch.float64) for part in (self.has, self.lacks)
        )
        lowest = torch.where(near, has, torch.inf).amin(-1)
        highest = torch.where(near, lacks, -torch.inf).amax(-1)
        return lowest.clamp_max(0.5), highest.clamp_min(0.5)

    def answers(self, probabilities: Mapping[str, float], age_days: float | None) -> dict[str, Answer]:
        """What is said of some classes at an age.

        Args:
            probabilities: by class; one without a set is answered by "either".
            age_days: None for unknown.
        """
        known = [name for name in probabilities if name in self.has]
        said: dict[str, Answer] = dict.fromkeys(probabilities, "either")
        if not known:
            return said
        age = torch.tensor([torch.nan if age_days is None else age_days])
        lowest, highest = (bounds[0].tolist() for bounds in self._bounds(known, age))
        for name, low, high in zip(known, lowest, highest, strict=True):
            there, absent = probabilities[name] >= low, probabilities[name] <= high
            if not (there and absent):
                said[name] = "yes" if there else "no"
        return said

    def answer(self, name: str, probability: float, age_days: float | None) -> Answer:
        """What is said of one class at an age; see `answers`.

        Args:
            name: of the class.
            probability: of the class.
            age_days: None for unknown.
        """
        return self.answers({name: probability}, age_days)[name]


def shares(age_days: Float[Tensor, " n"], knots_days: Sequence[float]) -> Float[Tensor, "n k"]:
    """How much the numbers for an unknown age (first) and at each knot count at some ages; rows sum to 1.

    An age between two knots is shared by them by its place on log(1 + months); beyond the outermost knots theirs hold.

    Args:
        age_days: NaN where unknown.
        knots_days: rising.
    """
    place = torch.log1p(torch.as_tensor(knots_days, dtype=age_days.dtype, device=age_days.device) / DAYS_PER_MONTH)
    is_unknown = torch.isnan(age_days)
    age = torch.log1p(torch.where(is_unknown, 0.0, age_days).clamp_min(0.0) / DAYS_PER_MONTH)
    age = torch.minimum(torch.maximum(age, place[0]), place[-1])[:, None]
    # Rising from the knot before, falling to the knot behind.
    gaps = place.diff()
    infinite = torch.full_like(place[:1], torch.inf)
    before, behind = torch.cat([infinite, gaps]), torch.cat([gaps, infinite])
    hats = (1 - (place - age).clamp_min(0.0) / before - (age - place).clamp_min(0.0) / behind).clamp_min(0.0)
    unknown = is_unknown.to(age_days.dtype)[:, None]
    return torch.cat([unknown, (1 - unknown) * hats], dim=-1)
