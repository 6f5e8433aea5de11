"""Calibration: a factor and a shift of each class's logit, so that of records given 30 % about three in ten have it.

Source: Platt 1999 ("Probabilistic outputs for support vector machines"), with his smoothed targets, for each class by
itself; and a prior that holds a class with few positives near the logit it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.metrics import expected_calibration_error
from auricle.evaluate.protocols import Setting
from auricle.methods import Classifies, keep_calibration, load_card
from auricle.scope import Scope
from auricle.tasks import load_task

Floats = NDArray[np.float64]

# A class with fewer records of either answer keeps what an earlier store, or training, gave it.
_FEWEST: Final = 10
# Records of each store from which it is learned what the weights know.
_MOST_KNOWN: Final = 4000
# Spreads of the prior: of the logarithm of the factor, and of the shift.
_FACTOR_SPREAD, _SHIFT_SPREAD = 0.7, 3.0


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How one class was calibrated.

    Attributes:
        name: of the class.
        source, task: whose validation part it was.
        positive, negative: records of either answer.
        factor, shift: of the logit.
        before, after: expected calibration error on the records it was fitted on.
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


def platt(logit: Floats, truth: Floats) -> tuple[float, float]:
    """The factor (above 0) and shift of a logit under which a class's probabilities are true.

    Args:
        logit: (n,) of the records that are annotated.
        truth: (n,) 0 or 1.
    """
    n_positive, n_negative = float(truth.sum()), float(len(truth) - truth.sum())
    wanted = np.where(truth == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def loss(values: Floats) -> tuple[float, Floats]:
        factor, shift = math.exp(values[0]), values[1]
        z = factor * logit + shift
        error = 1 / (1 + np.exp(-z)) - wanted
        prior = np.array([values[0] / _FACTOR_SPREAD**2, values[1] / _SHIFT_SPREAD**2])
        total = float((np.logaddexp(0, z) - wanted * z).sum() + 0.5 * (prior * values).sum())
        return total, np.array([(error * factor * logit).sum(), error.sum()]) + prior

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B")
    return math.exp(found.x[0]), float(found.x[1])


def calibrate(run: Path | str, stores: Sequence[tuple[Path | str, str]]) -> list[Calibrated]:
    """Calibrate saved weights on validation parts of some stores, and learn from their training parts what they know.

    The calibration goes into the card, the scope (`auricle.scope`) beside the weights.

    Args:
        run: run folder or folder of saved weights that classify.
        stores: folders of stores, each with the task whose validation part it is; of a class that several can
            calibrate, the last one does.

    Returns:
        What was fitted, in the order of the classes.

    Raises:
        ConfigError: the weights do not classify, a task asks for none of their classes, training saw the records, or no
            class has enough of them.
    """
    found: dict[str, Calibrated] = {}
    names: tuple[str, ...] = ()
    known: list[tuple[Floats, Floats]] = []
    held_back: list[tuple[Floats, Floats]] = []
    for where, question in stores:
        setting = _setting(run, where, question)
        parts = setting.task.parts(setting.store)
        known.append(_features(setting, parts["train"][:_MOST_KNOWN]))
        held_back.append(_features(setting, parts["validation"]))
        found |= _of_store(setting)
        names = setting.method.config.classes
    if not found:
        raise ConfigError(f"no class has {_FEWEST} records of either answer in the validation parts")
    features, ages = (np.concatenate(column) for column in zip(*known, strict=True))
    Scope.fit(features, ages, held_back).save(load_card(run)[1])
    ordered = [found[name] for name in names if name in found]
    keep_calibration(run, {one.name: (one.factor, one.shift) for one in ordered}, [_facts(one) for one in ordered])
    return ordered


def _setting(run: Path | str, where: Path | str, question: str) -> Setting:
    """The weights on a task whose validation part training did not see."""
    setting = setting_of(Path(run), Store(where), load_task(question), Path())
    method = setting.method
    if not isinstance(method, Classifies):
        raise ConfigError(f"{run}: does not classify, so it has no probabilities to calibrate")
    if not set(setting.task.class_names) & set(method.class_names):
        raise ConfigError(f"{run}: was trained for none of the classes of {setting.task.id}")
    if setting.overlap:
        raise ConfigError(f"{run}: its training saw the validation part of {where}: calibrate on what it did not see")
    return setting


def _of_store(setting: Setting) -> dict[str, Calibrated]:
    """The classes that the validation part of a store can calibrate."""
    method, store, task = setting.method, setting.store, setting.task
    assert isinstance(method, Classifies)
    rows = setting.parts("validation")["validation"]
    logits = torch.from_numpy(setting.each(method.logits, rows)).double()
    truth = setting.targets(rows).astype(np.float64)
    found = {}
    for name, answer in zip(task.class_names, truth.T, strict=True):
        if name not in method.class_names:
            continue
        logit = logits[:, method.class_names.index(name)].numpy()
        fitted = _fitted(name, logit[~np.isnan(answer)], answer[~np.isnan(answer)])
        if fitted is not None:
            found[name] = Calibrated(name, store.info["source"], task.id, *fitted)
    return found


def _features(setting: Setting, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Features of records asked without their age, (n, d), and their ages in days, (n,)."""
    features = setting.each(lambda batch: setting.method.embed(batch.without_age()), rows).astype(np.float64)
    return features, setting.store.column("age_days")[rows].astype(np.float64)


def _fitted(name: str, logit: Floats, truth: Floats) -> tuple[int, int, float, float, float, float] | None:
    """Counts, factor, shift, and the error before and after; None where there are too few of either answer."""
    positive, negative = int((truth == 1).sum()), int((truth == 0).sum())
    if min(positive, negative) < _FEWEST:
        return None
    factor, shift = platt(logit, truth)

    def error(z: Floats) -> float:
        return float(expected_calibration_error(truth[:, None], (1 / (1 + np.exp(-z)))[:, None])[0])

    return positive, negative, factor, shift, error(logit), error(factor * logit + shift)


def _facts(one: Calibrated) -> dict[str, Any]:
    """What the card says of a class's calibration."""
    return {
        "class": one.name,
        "source": one.source,
        "task": one.task,
        "positive": one.positive,
        "negative": one.negative,
    }
