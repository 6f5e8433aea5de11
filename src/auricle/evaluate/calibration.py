"""Calibration: a factor and a shift of each class's logit, so that of records given 30 % about three in ten have it.

Source: Platt 1999 ("Probabilistic outputs for support vector machines"), with his smoothed targets, for each class by
itself; where one class of all is asked, one factor of all logits (Guo et al. 2017, "On calibration of modern neural
networks"). A prior holds a class with few positives near the logit it has. At each knot of age the records near it
count by their nearness, and a prior holds the pair near that of all ages. Sets of answers (`auricle.over_age`) are then
fitted to the calibrated probabilities of the same records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

from auricle.age_axis import known_ages
from auricle.batch import ECGBatch
from auricle.data.splits import spread_over
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.conformal import Answered, fit_sets
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.metrics import age_kernel, expected_calibration_error
from auricle.evaluate.predictions import patient_codes
from auricle.evaluate.protocols import Setting
from auricle.losses.supervised import one_class
from auricle.methods import Answering, Classifies, keep_calibration, load_card, load_method, own_card
from auricle.over_age import KNOTS_DAYS, CalibrationOverAge
from auricle.scope import Scope
from auricle.tasks import load_task

Floats = NDArray[np.float64]
Pair = tuple[float, float]

# A class of which those who count together have fewer of either answer keeps what training gave it.
_FEWEST: Final = 10
# A store of real people with fewer of either answer does not take part in what several give together.
_SOME: Final = 3
# Records of each store from which it is learned what the weights know.
_MOST_KNOWN: Final = 4000
# Spreads of the priors, of the logarithm of the factor and of the shift: of all ages about the logit as it is, and at
# an age about the pair of all.
_OF_ALL, _AT_AN_AGE = (0.7, 3.0), (0.35, 1.0)
# Between which the logarithm of a temperature's factor is looked for.
_LOG_FACTORS: Final = (-4.0, 4.0)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How one class was calibrated.

    Attributes:
        name: of the class.
        source, task: whose validation part it was, those of real people joined by ` + `.
        positive, negative: records of either answer.
        factor, shift: of the logit where the age is unknown.
        before, after: expected calibration error on the records it was fitted on, each at its age.
    """

    name: str
    source: str
    task: str
    positive: int
    negative: int
    factor: float
    shift: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the weights say of the validation part of one store.

    Attributes:
        store: its folder.
        source: name of the data set.
        task: id of the question.
        logits: (n, c) of the classes of the weights, each record asked with its age.
        untold: (n, c) the same asked without an age.
        truth: (n, c) 0, 1, or NaN where it is not known or the class not asked.
        age_days: (n,) NaN where unknown.
        person: (n,) equal for equal people.
    """

    store: Path
    source: str
    task: str
    logits: Floats
    untold: Floats
    truth: Floats
    age_days: Floats
    person: NDArray[np.int64]

    def answers(self, column: int) -> tuple[int, int]:
        """How many records have a class, and how many have it not."""
        return int((self.truth[:, column] == 1).sum()), int((self.truth[:, column] == 0).sum())


def platt(
    logit: Floats, truth: Floats, weight: Floats | None = None, about: Pair = (1.0, 0.0), spread: Pair = _OF_ALL
) -> Pair:
    """The factor (above 0) and shift of a logit under which a class's probabilities are true.

    Args:
        logit: (n,) of the records that are annotated.
        truth: (n,) 0 or 1.
        weight: (n,) how much each record counts; None for all alike.
        about: the pair that the prior holds them near.
        spread: of the prior, of the logarithm of the factor and of the shift.
    """
    counts = np.ones(len(logit)) if weight is None else weight
    n_positive, n_negative = float((counts * truth).sum()), float((counts * (1 - truth)).sum())
    wanted = np.where(truth == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    middle, spreads = np.array([math.log(about[0]), about[1]]), np.array(spread)

    def loss(values: Floats) -> tuple[float, Floats]:
        factor, shift = math.exp(values[0]), values[1]
        z = factor * logit + shift
        error = counts * (expit(z) - wanted)
        off = (values - middle) / spreads
        total = float((counts * (np.logaddexp(0, z) - wanted * z)).sum() + 0.5 * (off * off).sum())
        return total, np.array([(error * factor * logit).sum(), error.sum()]) + off / spreads

    found = minimize(loss, middle, jac=True, method="L-BFGS-B")
    return math.exp(found.x[0]), float(found.x[1])


def temperature(
    logits: Floats, truth: Floats, weight: Floats | None = None, about: Pair = (1.0, 0.0), spread: Pair = _OF_ALL
) -> Pair:
    """The factor (above 0) of all logits under which the probabilities of one class of all are true, and a shift of 0.

    Args:
        logits: (n, c) of records.
        truth: (n, c) 1 for the class of a record and 0 for the others; a record of none, of several or that is not
            annotated with all of them does not count.
        weight: (n,) how much each record counts; None for all alike.
        about: the pair whose factor the prior holds it near.
        spread: of the prior, of which the first is that of the factor's logarithm.
    """
    counts = one_class(torch.from_numpy(truth)).numpy() * (np.ones(len(logits)) if weight is None else weight)
    chosen = (logits * (truth == 1)).sum(1)

    def loss(value: float) -> float:
        surprise = logsumexp(math.exp(value) * logits, axis=1) - math.exp(value) * chosen
        return float((counts * surprise).sum() + 0.5 * ((value - math.log(about[0])) / spread[0]) ** 2)

    return math.exp(float(minimize_scalar(loss, bounds=_LOG_FACTORS, method="bounded").x)), 0.0


def calibrate(run: Path | str, stores: Sequence[tuple[Path | str, str]]) -> list[Calibrated]:
    """Calibrate saved weights on validation parts of some stores, and learn from their training parts what they know.

    Calibration and sets of answers, for an unknown age and over age, go into the card; the scope (`auricle.scope`) lies
    beside the weights.

    Args:
        run: run folder or folder of saved weights that classify.
        stores: folders of stores, each with the task whose validation part it is. Of a class that several can
            calibrate all those of real people do, joined, because nobody who asks says whose habits are his; without
            any the last simulated one does. At ages that they do not know it is calibrated as of all. Its sets at an
            age are those of the last of these that has enough people of about that age, because they do not depend on
            how often it occurs.

    Returns:
        What was fitted, in the order of the classes.

    Raises:
        ConfigError: the weights do not classify, a task asks for none of their classes, training saw the records, or no
            class has enough of them.
    """
    own_card(run)  # refused before anything is computed
    known: list[tuple[Floats, Floats]] = []
    seen_days: list[Floats] = []
    held_back: list[tuple[Floats, Floats]] = []
    asked: list[_Asked] = []
    for where, question in stores:
        setting = _setting(run, where, question)
        setting.parts("validation")  # refused where it holds no annotated record
        parts = setting.task.parts(setting.store)
        train, validation = parts["train"], parts["validation"]
        known.append(_features(setting, spread_over(train, _MOST_KNOWN)))
        seen_days.append(setting.store.columns.age_days[train].astype(np.float64))
        held_back.append(_features(setting, validation))
        asked.append(_asked(setting))
    method = load_method(run)
    assert isinstance(method, Answering)
    places = _places(method, asked)
    if not places:
        raise ConfigError(f"no class has {_FEWEST} records of either answer in the validation parts")
    pairs = _pairs(method, asked, places)
    factor, shift = ({name: tuple(pair[k] for pair in each) for name, each in pairs.items()} for k in (0, 1))
    over_age = CalibrationOverAge(factor=factor, shift=shift)
    before = [method.squashed(torch.from_numpy(one.logits)).numpy() for one in asked]
    told = [_probabilities(method, one.logits, one.age_days, over_age) for one in asked]
    untold = [_probabilities(method, one.untold, np.full(len(one.untold), np.nan), over_age) for one in asked]
    fitted, to_cover = [], {}
    for name, groups in places.items():
        column = method.class_names.index(name)
        joined = [_joined([asked[k] for k in group]) for group in groups]
        by_age, without = ([np.concatenate([part[k] for k in group]) for group in groups] for part in (told, untold))
        squashed = np.concatenate([before[k] for k in groups[-1]])
        fitted.append(_said(name, joined[-1], column, pairs[name][0], squashed, by_age[-1]))
        to_cover[name] = [_answered(*one, column) for one in zip(by_age, without, joined, strict=True)]
    sets = fit_sets(to_cover)

    features, ages = (np.concatenate(column) for column in zip(*known, strict=True))
    Scope.fit(features, ages, held_back, np.concatenate(seen_days)).save(load_card(run)[1])
    of_unknown = {one.name: (one.factor, one.shift) for one in fitted}
    keep_calibration(run, of_unknown, over_age, sets, [_facts(one) for one in fitted])
    return fitted


def _setting(run: Path | str, where: Path | str, question: str) -> Setting:
    """The weights on a task whose validation part training did not see."""
    setting = setting_of(Path(run), Store(where), load_task(question), Path())
    method = setting.method
    if not isinstance(method, Classifies):
        raise ConfigError(f"{run}: does not classify, so it has no probabilities to calibrate")
    if not set(setting.task.class_names) & set(method.class_names):
        raise ConfigError(f"{run}: was trained for none of the classes of {setting.task.id}")
    if setting.overlap:
        raise ConfigError(
            f"{run}: its training saw, or may have seen, the validation part of {where}: calibrate on another"
        )
    return setting


def _asked(setting: Setting) -> _Asked:
    """What the weights say of the validation part of a store."""
    method, store, task = setting.method, setting.store, setting.task
    assert isinstance(method, Classifies)
    rows = setting.parts("validation")["validation"]
    truth = np.full((len(rows), len(method.class_names)), np.nan)
    for name, answers in zip(task.class_names, setting.targets(rows).T, strict=True):
        if name in method.class_names:
            truth[:, method.class_names.index(name)] = answers
    logits = untold = setting.each(method.logits, rows).astype(np.float64)
    if setting.method.reads_age:
        untold = setting.each(method.logits, rows, ECGBatch.without_age).astype(np.float64)
    ages, person = store.columns.age_days[rows].astype(np.float64), patient_codes([*map(str, store.patients[rows])])
    return _Asked(store.path.resolve(), store.info["source"], task.id, logits, untold, truth, ages, person)


def _features(setting: Setting, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Features of records asked without their age, (n, d), and their ages in days, (n,)."""
    features = setting.each(setting.method.embed, rows, ECGBatch.without_age).astype(np.float64)
    return features, setting.store.columns.age_days[rows].astype(np.float64)


def _places(method: Answering, asked: Sequence[_Asked]) -> dict[str, list[list[int]]]:
    """Each class that can be calibrated, with the groups of stores that can do it; the group that counts is the last.

    A simulated store is a group of its own, and all of real people are one: how often a class occurs belongs to a
    store, and the simulator's frequencies to nobody. A store takes part where some of its people have the class; in
    a list that hardly ever names it those without it are not known to be. Where one class of all is asked it is one
    store, the last that has enough records of one class.
    """
    real = [k for k, one in enumerate(asked) if one.source != "simulated"]
    simulated = [k for k in range(len(asked)) if k not in real]
    if method.config.answers == "single_label":
        able = [k for k in simulated + real if one_class(torch.from_numpy(asked[k].truth)).sum() >= _FEWEST][-1:]
        return {
            name: [able]
            for column, name in enumerate(method.class_names)
            if able and min(asked[able[0]].answers(column)) >= _FEWEST
        }
    places = {}
    for column, name in enumerate(method.class_names):
        some = [k for k in real if min(asked[k].answers(column)) >= _SOME]
        # A store that is asked two questions holds the same people: the last one counts.
        groups = [*([k] for k in simulated), list({asked[k].store: k for k in some}.values())]
        found = [group for group in groups if _enough([asked[k].answers(column) for k in group])]
        if found:
            places[name] = found
    return places


def _enough(answers: Sequence[tuple[int, int]]) -> bool:
    """Whether stores have enough records of either answer together."""
    return bool(answers) and min(map(sum, zip(*answers, strict=True))) >= _FEWEST


def _joined(parts: Sequence[_Asked]) -> _Asked:
    """Several stores as one, whose people are others."""
    firsts = np.cumsum([0, *(part.person.max() + 1 for part in parts[:-1])])

    def each(name: str) -> Floats:
        whole: Floats = np.concatenate([getattr(part, name) for part in parts])
        return whole

    return _Asked(
        store=parts[-1].store,
        source=" + ".join(part.source for part in parts),
        task=" + ".join(part.task for part in parts),
        logits=each("logits"),
        untold=each("untold"),
        truth=each("truth"),
        age_days=each("age_days"),
        person=np.concatenate([part.person + first for part, first in zip(parts, firsts, strict=True)]),
    )


def _pairs(method: Answering, asked: Sequence[_Asked], places: Mapping[str, list[list[int]]]) -> dict[str, list[Pair]]:
    """By class, factor and shift for an unknown age and at each knot, of the people who calibrate it."""
    if method.config.answers == "single_label":
        # One factor of all logits, those of rare classes too.
        last = asked[next(iter(places.values()))[-1][-1]]
        shared = _over_age(temperature, last.logits, last.untold, last.truth, last.age_days)
        return dict.fromkeys(method.class_names, shared)
    pairs = {}
    for name, groups in places.items():
        last = _joined([asked[k] for k in groups[-1]])
        column = method.class_names.index(name)
        rows = ~np.isnan(last.truth[:, column])
        told, untold, truth = (part[rows, column] for part in (last.logits, last.untold, last.truth))
        pairs[name] = _over_age(platt, told, untold, truth, last.age_days[rows])
    return pairs


def _over_age(fit: Callable[..., Pair], told: Floats, untold: Floats, truth: Floats, age_days: Floats) -> list[Pair]:
    """What a store says for an unknown age and at each knot; of all ages together at knots near which it has nobody.

    Args:
        fit: `platt` or `temperature`.
        told, untold: logits of records asked with their age and without.
        truth: of the same records.
        age_days: (n,) their ages.
    """
    of_all = fit(told, truth)
    pairs = [fit(untold, truth)]
    aged = known_ages(age_days)
    for near in age_kernel(age_days[aged], KNOTS_DAYS):
        knows = near.sum() >= _FEWEST
        pairs.append(fit(told[aged], truth[aged], near, of_all, _AT_AN_AGE) if knows else of_all)
    return pairs


def _answered(told: Floats, untold: Floats, one: _Asked, column: int) -> Answered:
    """What was said of a class, (n, c) probabilities, to those who are annotated with it."""
    rows = ~np.isnan(one.truth[:, column])
    own, others, truth = (part[rows, column] for part in (told, untold, one.truth))
    return Answered(own, others, truth, one.age_days[rows], one.person[rows])


def _probabilities(method: Answering, logits: Floats, age_days: Floats, over_age: CalibrationOverAge) -> Floats:
    """(n, c) probabilities of logits under a calibration, at some ages."""
    ages = torch.from_numpy(age_days)
    calibrated = over_age.calibrated(torch.from_numpy(logits), ages, method.class_names)
    probabilities: Floats = method.squashed(calibrated).numpy()
    return probabilities


def _said(name: str, one: _Asked, column: int, pair: Pair, before: Floats, after: Floats) -> Calibrated:
    """How a class was calibrated, with its error before and after, (n, c) probabilities, on the records of a store."""
    rows = ~np.isnan(one.truth[:, column])
    truth = one.truth[rows, column]
    errors = [
        float(expected_calibration_error(truth[:, None], given[rows, column, None])[0]) for given in (before, after)
    ]
    positive = int(truth.sum())
    return Calibrated(name, one.source, one.task, positive, len(truth) - positive, *pair, *errors)


def _facts(one: Calibrated) -> dict[str, Any]:
    """What the card says of a class's calibration."""
    return {
        "class": one.name,
        "source": one.source,
        "task": one.task,
        "positive": one.positive,
        "negative": one.negative,
    }
