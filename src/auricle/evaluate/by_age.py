"""How a model that calls classes does at each age: rates as smooth functions of age, and the ages to keep it away from.

A model that was made on adults may call healthy newborns ill and be right on the average. What decides is the rate of
false calls among people of an age, so each rate is weighed by a Gaussian of the distance in age, without the arbitrary
edges of bands, with intervals over patients; bands stand beside it, because people ask for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from auricle.age import AGE_BANDS
from auricle.age_axis import age_of_scale, age_scale, known_ages, spaced_ages
from auricle.errors import DataError
from auricle.evaluate.bootstrap import by_person, patient_weights, people_near, quantiles
from auricle.evaluate.metrics import FEWEST_NEAR_AN_AGE, age_kernel
from auricle.evaluate.predictions import Predictions, patient_codes
from auricle.evaluate.ranking import Values
from auricle.over_age import AnswerSets

Rate = Literal["sensitivity", "false_positives", "calibration", "covered_with", "covered_without", "decided"]
RATES: Final[tuple[Rate, ...]] = (
    "sensitivity", "false_positives", "calibration", "covered_with", "covered_without", "decided",
)  # fmt: skip
"""Called among those who have it; called among those who have not; mean probability less the share who have it; of
those who have it, and of those who have not, the share whose set of answers holds that; the share whose set is one
answer."""
_TOO_HIGH: Final = frozenset({"false_positives", "calibration"})
_TOO_LOW: Final = frozenset({"sensitivity", "calibration", "covered_with", "covered_without"})

N_AGES: Final = 121
# Of the kernel: eight days at birth, a quarter of the age later on. It dilutes what is narrower; bands do not.
BANDWIDTH: Final = 0.25
# People of a band, with the class or without it, from whom on the band by itself says to stay away.
_FEWEST_IN_BAND: Final = 20
_Z_95: Final = 1.96
N_BOOTSTRAP: Final = 500
MARGIN: Final = 0.1
# Records that are shown of those that make an age one to stay away from.
_MOST_DRIVERS: Final = 20


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate over age: value, and the bounds of its 95 % interval over patients; NaN where too few are of about an age.

    Attributes:
        value, low, high: (a,).
        n: (a,) how many records the value rests on, each counted by its nearness.
    """

    value: Values
    low: Values
    high: Values
    n: Values


@dataclass(frozen=True, slots=True)
class InBand:
    """A rate within an age band, with its 95 % interval; NaN where there is nobody to count.

    Attributes:
        band: name of the age band.
        value, low, high: the rate.
        n, n_people: the records that it counts, and whose they are.
    """

    band: str
    value: float
    low: float
    high: float
    n: int
    n_people: int


@dataclass(frozen=True, slots=True)
class Driver:
    """A record that makes a rate what it is there: a false call, or one that was missed."""

    record_id: str
    patient_id: str | None
    age_days: float
    score: float


@dataclass(frozen=True, slots=True)
class Unfit:
    """Ages at which a class should not be asked, by one of its rates.

    Attributes:
        rate: which.
        low_days, high_days: from the first such age to the last, of the ages that were looked at, or of an age band.
        value, low, high: the rate where it is worst, with its interval.
        expected: what it should be: 0 of a calibration, the promise of sets, else the rate of all ages together.
        drivers: the records behind it, the gravest first.
        n_drivers: how many there are; not all are in `drivers`.
        n_patients: whose they are.
    """

    rate: Rate
    low_days: float
    high_days: float
    value: float
    low: float
    high: float
    expected: float
    drivers: tuple[Driver, ...]
    n_drivers: int
    n_patients: int


@dataclass(frozen=True, slots=True)
class ClassByAge:
    """One class over age.

    Attributes:
        name: of the class.
        threshold: from which score on it is called; NaN where none could be chosen, and then it has no rates of calls.
        n, n_positive: annotated records, and those that have it.
        overall: each rate of all ages together.
        expected: what each rate should be at any age.
        curves: each rate over age.
        bands: each rate within age bands.
        unfit: ages to stay away from.
        untested: (first, last) age in days of each stretch in which too few have the class, or have it not, to say.
    """

    name: str
    threshold: float
    n: int
    n_positive: int
    overall: Mapping[Rate, float]
    expected: Mapping[Rate, float]
    curves: Mapping[Rate, Curve]
    bands: Mapping[Rate, tuple[InBand, ...]]
    unfit: tuple[Unfit, ...]
    untested: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ByAge:
    """All classes over age.

    Attributes:
        ages_days: (a,) where the curves were evaluated.
        classes: in the order of the predictions; those that nobody has, or everybody, are left out.
        left_out: these.
        n_records, n_patients: with a known age.
        n_ageless: records that were left out because their age is unknown, or none that a person can have.
    """

    ages_days: Values
    classes: tuple[ClassByAge, ...]
    left_out: tuple[str, ...]
    n_records: int
    n_patients: int
    n_ageless: int


def by_age(
    predictions: Predictions,
    thresholds: Values | float,
    *,
    sets: AnswerSets | None = None,
    margin: float = MARGIN,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> ByAge:
    """The rates of each class over age, and the ages to stay away from.

    An age is one to stay away from where the interval of a rate lies wholly beyond `margin` from what it is of all ages
    together (false positives above it, sensitivity below it), that of the calibration beyond `margin` from 0, or that
    of the share who are covered by their sets beyond `margin` below the promise. An age band is likewise, from twenty
    people on, because a curve dilutes what is narrower than its kernel. An interval is the wider of the bootstrap's and
    of one that holds for few people (Wilson's; for the calibration that of the probabilities themselves). They are of
    each age by itself: of many ages and classes a few lie beyond by chance.

    Args:
        predictions: of records that no training and no threshold saw.
        thresholds: (c,) or one for all: the score from which a class is called.
        sets: of answers, whose coverage is asked too.
        margin: see above.
        n_bootstrap: replicates of the bootstrap over patients.
        seed: of the bootstrap.

    Raises:
        DataError: no record has a known age and a label.
    """
    days = predictions.age_days
    aged = predictions.select(np.flatnonzero(known_ages(days)))
    if not len(aged) or np.isnan(aged.truth).all():
        raise DataError(
            "no record has an age and a label for a class of the model: nothing can be said over age; give ages "
            "(age_days of a table, the age column of a manifest) and records that the task has labels of"
        )
    at = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(aged.classes))
    ages = spaced_ages(float(aged.age_days.min()), float(aged.age_days.max()), N_AGES)
    places = _places(aged, ages, patient_weights(aged, n_bootstrap, seed).astype(np.float32))
    found, left_out = [], []
    for column, name in enumerate(aged.classes):
        positive, negative = aged.truth[:, column] == 1, aged.truth[:, column] == 0
        is_bare = np.isnan(at[column]) and not aged.meta.scores_are_probabilities
        if not positive.any() or not negative.any() or is_bare:
            left_out.append(name)
            continue
        one = _OneClass(aged, column, float(at[column]), positive, negative, *_set_of(name, aged, sets))
        found.append(_over_age(one, places, margin))
    return ByAge(ages, tuple(found), tuple(left_out), len(aged), places.people.shape[1], len(predictions) - len(aged))


@dataclass(frozen=True, slots=True)
class _Places:
    """What all classes share: where rates are asked, and how much each record and person counts there.

    Attributes:
        ages: (a,) in days.
        kernel: (a, n) how near each record is to each age.
        inside: (b, n) 1 for the records of each of `AGE_BANDS`.
        weights: (r, n) how often each record is in each replicate.
        codes: (n,) number of the person of each record.
        people: (n, p) 1 where a record is of a person.
    """

    ages: Values
    kernel: Values
    inside: Values
    weights: NDArray[np.float32]
    codes: NDArray[np.int64]
    people: csr_array


def _places(aged: Predictions, ages: Values, weights: NDArray[np.float32]) -> _Places:
    days, codes = aged.age_days, patient_codes(aged.patient_id)
    inside = np.array([band.holds(days) for band in AGE_BANDS], dtype=float)
    return _Places(ages, age_kernel(days, ages, BANDWIDTH), inside, weights, codes, by_person(codes))


@dataclass(frozen=True, slots=True)
class _OneClass:
    """What the rates of a class are made of."""

    predictions: Predictions
    column: int
    threshold: float
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    may_have: NDArray[np.bool_] | None
    may_lack: NDArray[np.bool_] | None
    promise: float

    @property
    def score(self) -> Values:
        return self.predictions.score[:, self.column]

    @property
    def called(self) -> NDArray[np.bool_]:
        return np.asarray(self.score >= self.threshold)

    def parts(self) -> Iterator[tuple[Rate, Values, Values]]:
        """Of each rate what is summed above the line and what below it, by record."""
        annotated = (self.positive | self.negative).astype(float)
        if not np.isnan(self.threshold):
            yield "sensitivity", (self.called & self.positive).astype(float), self.positive.astype(float)
            yield "false_positives", (self.called & self.negative).astype(float), self.negative.astype(float)
        if self.predictions.meta.scores_are_probabilities:
            yield "calibration", (self.score - self.positive) * annotated, annotated
        if self.may_have is not None and self.may_lack is not None:
            yield "covered_with", (self.may_have & self.positive).astype(float), self.positive.astype(float)
            yield "covered_without", (self.may_lack & self.negative).astype(float), self.negative.astype(float)
            yield "decided", (self.may_have ^ self.may_lack) * annotated, annotated

    def expected(self, rate: Rate, overall: float) -> float:
        """What a rate should be at any age."""
        if rate in ("covered_with", "covered_without"):
            return self.promise
        return 0.0 if rate == "calibration" else overall


def _set_of(
    name: str, aged: Predictions, sets: AnswerSets | None
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None, float]:
    """Which records (n,) may have a class and which may be without it, and the promise; None without a set for it."""
    if sets is None or name not in sets.has:
        return None, None, np.nan
    lowest, highest = (one.numpy() for one in sets.thresholds(name, torch.from_numpy(aged.age_days)))
    score = aged.score[:, aged.classes.index(name)]
    return score >= lowest, score <= highest, sets.coverage


def _over_age(one: _OneClass, places: _Places, margin: float) -> ClassByAge:
    """A class over age: its curves and bands from the same replicates."""
    overall: dict[Rate, float] = {}
    curves: dict[Rate, Curve] = {}
    in_bands: dict[Rate, tuple[InBand, ...]] = {}
    for rate, above, below in one.parts():
        overall[rate] = float(above.sum() / below.sum())
        # What a true probability would leave open by itself.
        spread = one.score * (1 - one.score) if rate == "calibration" else None
        curves[rate] = _rates(above, below, spread, places.kernel, places, FEWEST_NEAR_AN_AGE)
        people = people_near(places.inside, below > 0, places.people)
        banded = _rates(above, below, spread, places.inside, places, 1.0)
        in_bands[rate] = tuple(
            InBand(
                band.name,
                float(banded.value[row]),
                float(banded.low[row]),
                float(banded.high[row]),
                int(banded.n[row]),
                int(people[row]),
            )
            for row, band in enumerate(AGE_BANDS)
        )
    unfit = []
    for rate, curve in curves.items():
        beyond = _Beyond(rate, one.expected(rate, overall[rate]), margin)
        found = list(_unfit(one, places, curve, beyond))
        unfit += found + list(_unfit_bands(one, places, in_bands[rate], beyond, found))
    near = np.stack([people_near(places.kernel, side, places.people) for side in (one.positive, one.negative)])
    ages = places.ages
    unknown = np.asarray((near < FEWEST_NEAR_AN_AGE).any(axis=0))
    expected = {rate: one.expected(rate, value) for rate, value in overall.items()}
    return ClassByAge(
        one.predictions.classes[one.column], one.threshold, int((one.positive | one.negative).sum()),
        int(one.positive.sum()), overall, expected, curves, in_bands, tuple(unfit),
        tuple((float(ages[run[0]]), float(ages[run[-1]])) for run in _runs(unknown)),
    )  # fmt: skip


def _rates(
    above: Values, below: Values, spread: Values | None, kernel: Values, places: _Places, fewest: float
) -> Curve:  # fmt: skip
    """Weighted shares; `kernel` (a, n) weighs the records of each place.

    The interval is the wider of the bootstrap's and of Wilson's at as many people as the weights are worth; where the
    rate is a mean of differences, of one whose variance is `spread` (n,). All records of a person are taken to
    say the same.
    """
    upper, lower = (kernel * above).astype(np.float32).T, (kernel * below).astype(np.float32).T
    n = lower.sum(axis=0, dtype=np.float64)
    enough = people_near(kernel, below > 0, places.people) >= fewest
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(enough, upper.sum(axis=0, dtype=np.float64) / n, np.nan)
        replicates = (places.weights @ upper).astype(np.float64) / (places.weights @ lower)
    low, high = np.array([quantiles(column) for column in replicates.T]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        if spread is None:
            worth = n**2 / (((kernel * below) @ places.people) ** 2).sum(axis=1)
            middle = (value + _Z_95**2 / (2 * worth)) / (1 + _Z_95**2 / worth)
            reach = _Z_95 * np.sqrt(value * (1 - value) / worth + _Z_95**2 / (4 * worth**2)) / (1 + _Z_95**2 / worth)
        else:
            middle = value
            reach = _Z_95 * np.sqrt((((kernel * below * np.sqrt(spread)) @ places.people) ** 2).sum(axis=1)) / n
    low, high = (
        np.where(enough, bound, np.nan) for bound in (np.fmin(low, middle - reach), np.fmax(high, middle + reach))
    )
    return Curve(value, low, high, n)


@dataclass(frozen=True, slots=True)
class _Beyond:
    """What counts as surely worse than a rate should be."""

    rate: Rate
    expected: float
    margin: float

    def sides(self, low: Values, high: Values) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where intervals lie wholly too high, and where too low."""
        too_high = (low > self.expected + self.margin) & (self.rate in _TOO_HIGH)
        too_low = (high < self.expected - self.margin) & (self.rate in _TOO_LOW)
        return np.asarray(too_high), np.asarray(too_low)


def _unfit(one: _OneClass, places: _Places, curve: Curve, beyond: _Beyond) -> Iterator[Unfit]:
    """The stretches of age at which a rate is surely worse than it should be."""
    ages = places.ages
    for is_high, bad in zip((True, False), beyond.sides(curve.low, curve.high), strict=True):
        for run in _runs(bad):
            worst = run[np.argmax(np.abs(curve.value[run] - beyond.expected))]
            yield Unfit(
                beyond.rate, float(ages[run[0]]), float(ages[run[-1]]), float(curve.value[worst]),
                float(curve.low[worst]), float(curve.high[worst]), beyond.expected,
                *_drivers(one, places, beyond.rate, *_reach(ages, run), is_high),
            )  # fmt: skip


def _unfit_bands(
    one: _OneClass, places: _Places, found: Sequence[InBand], beyond: _Beyond, known: Sequence[Unfit]
) -> Iterator[Unfit]:  # fmt: skip
    """Age bands in which a rate is surely worse than it should be and which no stretch of the curve tells of."""
    too_high, too_low = beyond.sides(*(np.array([getattr(cell, end) for cell in found]) for end in ("low", "high")))
    first, last = float(places.ages[0]), float(places.ages[-1])
    for row, (band, cell) in enumerate(zip(AGE_BANDS, found, strict=True)):
        if cell.n_people < _FEWEST_IN_BAND or not (too_high[row] or too_low[row]):
            continue
        low, high = max(band.low_days, first), min(band.high_days, last)
        middle = float(age_of_scale(age_scale([low, high]).mean()))
        if any(where.low_days <= middle <= where.high_days for where in known):
            continue
        drivers = _drivers(one, places, beyond.rate, low, np.nextafter(band.high_days, 0), bool(too_high[row]))
        yield Unfit(beyond.rate, low, high, cell.value, cell.low, cell.high, beyond.expected, *drivers)


def _reach(ages: Values, run: NDArray[np.intp]) -> tuple[float, float]:
    """From where to where a stretch of places reaches: half the way to the places beside it."""
    first, last = int(run[0]), int(run[-1])
    low = -np.inf if first == 0 else (ages[first - 1] + ages[first]) / 2
    high = np.inf if last == len(ages) - 1 else (ages[last] + ages[last + 1]) / 2
    return float(low), float(high)


def _drivers(
    one: _OneClass, places: _Places, rate: Rate, low_days: float, high_days: float, is_high: bool
) -> tuple[tuple[Driver, ...], int, int]:
    """The records of these ages that the rate consists of, the furthest on the wrong side first."""
    missed, false = one.positive & ~one.called, one.negative & one.called
    # Of a calibration that is too high those who have it not and were given the most, and the reverse.
    wrong = {"sensitivity": missed, "false_positives": false, "calibration": one.negative if is_high else one.positive}
    if one.may_have is not None and one.may_lack is not None:
        wrong |= {"covered_with": one.positive & ~one.may_have, "covered_without": one.negative & ~one.may_lack}
    days = one.predictions.age_days
    chosen = np.flatnonzero(wrong[rate] & (days >= low_days) & (days <= high_days))
    falls = rate in ("sensitivity", "covered_with") or (rate == "calibration" and not is_high)
    chosen = chosen[np.argsort(one.score[chosen] if falls else -one.score[chosen], kind="stable")]
    found = tuple(
        Driver(one.predictions.record_id[row], one.predictions.patient_id[row], float(days[row]), float(one.score[row]))
        for row in chosen[:_MOST_DRIVERS]
    )
    return found, len(chosen), len(set(places.codes[chosen].tolist()))


def _runs(where: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The stretches of neighbouring places at which something is true."""
    places = np.flatnonzero(where)
    return [run for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]
