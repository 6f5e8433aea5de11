"""Measures of one predictions file: intervals by patient bootstrap, thresholds, calibration, age; and `result.json`.

A class without a positive or a negative has no AUROC: it is NaN, left out of the macro mean, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.age import AGE_BANDS, AgeBand
from auricle.age_axis import age_scale, known_ages
from auricle.errors import DataError
from auricle.evaluate.bootstrap import (
    CONFIDENCE,
    bootstrap_over_patients,
    by_person,
    patient_weights,
    people_near,
    quantiles,
)
from auricle.evaluate.predictions import Predictions, patient_codes
from auricle.evaluate.ranking import (
    SPECIFICITY,
    Metric,
    Values,
    Weights,
    auroc,
    average_precision,
    divide,
    macro,
    rank,
    sensitivity,
    weighted,
)

_RANKING: Final[Mapping[str, Metric]] = {"auroc": auroc, "auprc": average_precision, "sensitivity": sensitivity}
OF_THRESHOLDS: Final = ("f1", "accuracy")
METRICS: Final = (*_RANKING, *OF_THRESHOLDS)
"""What a table can be asked for."""
# Guo et al. 2017, "On calibration of modern neural networks", use 15 bins of equal width.
_CALIBRATION_BINS: Final = 15


def best_thresholds(truth: ArrayLike, score: ArrayLike) -> Values:
    """(c,) the score from which a class is called, maximising F1; to be chosen on a validation part only.

    A class without a positive has none: NaN.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c) larger means more likely.
    """
    truth, score = np.asarray(truth, dtype=np.float64), np.asarray(score, dtype=np.float64)
    chosen = np.full(truth.shape[1], np.nan)
    for column in range(truth.shape[1]):
        ranked = rank(truth[:, column], score[:, column])
        if ranked.truth.sum() == 0:
            continue
        ordered = score[ranked.rows, column]
        last_of_tie = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])  # a tie is called whole or not at all
        found = np.cumsum(ranked.truth)[last_of_tie]
        best = last_of_tie[np.argmax(2 * found / (last_of_tie + 1 + ranked.truth.sum()))]
        chosen[column] = ordered[best]
    return chosen


def f1(truth: ArrayLike, score: ArrayLike, thresholds: Values, weights: Weights | None = None) -> Values:
    """F1 of each class when it is called from its threshold on; NaN for a class without a positive or a threshold.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c) larger means more likely.
        thresholds: (c,) scores from which a class is called, NaN where none was chosen.
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights.
    """
    truth, called = np.asarray(truth, dtype=np.float64), np.asarray(score) >= thresholds
    positives = weighted(truth == 1, weights)
    total = weighted(called & ~np.isnan(truth), weights) + positives
    value = divide(2 * weighted(called & (truth == 1), weights), total)
    return np.where((positives > 0) & ~np.isnan(thresholds), value, np.nan)


def accuracy(truth: ArrayLike, score: ArrayLike, thresholds: Values, weights: Weights | None = None) -> Values:
    """Share of annotated records of each class on the right side of the threshold.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c) larger means more likely.
        thresholds: (c,) scores from which a class is called, NaN where none was chosen.
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights; NaN where no record is annotated, or no threshold was chosen.
    """
    truth, called = np.asarray(truth, dtype=np.float64), np.asarray(score) >= thresholds
    annotated = ~np.isnan(truth)
    value = divide(weighted(annotated & (called == (truth == 1)), weights), weighted(annotated, weights))
    return np.where(np.isnan(thresholds), np.nan, value)


def top_accuracy(truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
    """Share of records whose highest score is that of their one class, as documents count that answer one of all.

    A record counts if it is annotated for every class and has exactly one; of equal scores the first wins.

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c) larger means more likely.
        weights: (r, n) weights of the records, one row for each replicate; None weighs all alike.

    Returns:
        (c,), or (r, c) with weights, the same number for every class; NaN where no record counts.
    """
    truth, score = np.asarray(truth, dtype=np.float64), np.asarray(score, dtype=np.float64)
    counts = np.asarray(truth.sum(axis=1) == 1)  # NaN where not annotated is not 1
    hit = counts & (score.argmax(axis=1) == np.nan_to_num(truth).argmax(axis=1))
    of_every_class = [np.repeat(rows[:, None], truth.shape[1], axis=1) for rows in (hit, counts)]
    return divide(weighted(of_every_class[0], weights), weighted(of_every_class[1], weights))


def _from(threshold_metric: Callable[..., Values], thresholds: Values) -> Metric:
    """A metric that takes thresholds, at given ones."""

    def metric(truth: ArrayLike, score: ArrayLike, weights: Weights | None = None) -> Values:
        return threshold_metric(truth, score, thresholds, weights)

    return metric


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted against observed frequency of one class in bins of equal width; bins without a record are left out."""

    predicted: Values
    observed: Values
    count: NDArray[np.int64]


def reliability(truth: ArrayLike, probability: ArrayLike, n_bins: int = _CALIBRATION_BINS) -> Reliability:
    """How often a class is true among records that were given about the same probability.

    Args:
        truth: (n,) 0, 1, or NaN where not annotated.
        probability: (n,) in [0, 1].
        n_bins: bins of equal width.
    """
    annotated = ~np.isnan(np.asarray(truth, dtype=np.float64))
    true = np.asarray(truth, dtype=np.float64)[annotated]
    given = np.asarray(probability, dtype=np.float64)[annotated]
    bins = np.clip((given * n_bins).astype(np.int64), 0, n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    used = count > 0
    predicted, observed = (np.bincount(bins, values, n_bins)[used] / count[used] for values in (given, true))
    return Reliability(predicted, observed, count[used])


def expected_calibration_error(truth: ArrayLike, probability: ArrayLike, n_bins: int = _CALIBRATION_BINS) -> Values:
    """(c,) mean distance of predicted from observed frequency, weighted by records (Naeini et al. 2015).

    Args:
        truth: (n, c) 0, 1, or NaN where not annotated.
        probability: (n, c) in [0, 1].
        n_bins: bins of equal width.
    """
    truth, probability = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    errors = np.full(truth.shape[1], np.nan)
    for column in range(truth.shape[1]):
        bins = reliability(truth[:, column], probability[:, column], n_bins)
        if bins.count.sum() > 0:
            errors[column] = np.average(np.abs(bins.predicted - bins.observed), weights=bins.count)
    return errors


# Where the kernel weighs fewer people than this, the value would come from far-away ages and is NaN.
FEWEST_NEAR_AN_AGE: Final = 5.0


def age_kernel(age_days: ArrayLike, ages_days: ArrayLike, bandwidth: float = 0.5) -> Values:
    """(a, n) how near each of n records is to each of a ages: a Gaussian of the distance on `age_scale`, 1 at the age.

    Args:
        age_days: (n,) of the records.
        ages_days: (a,) of the places.
        bandwidth: standard deviation of the Gaussian, in units of `age_scale`.
    """
    place, where = age_scale(age_days), age_scale(ages_days)
    return np.asarray(np.exp(-0.5 * ((place[None, :] - where[:, None]) / bandwidth) ** 2))


def macro_over_age(predictions: Predictions, ages_days: Values, *, n: int = 0) -> tuple[Values, Values, Values]:
    """Macro AUROC as a smooth curve over age, without the arbitrary edges of bands.

    Each age weighs the records by `age_kernel`. The mean is over the classes that five people near that age have and
    five have not; NaN where there is no such class.

    Args:
        predictions: records without an age are left out.
        ages_days: (a,) where to evaluate.
        n: bootstrap replicates over patients for the interval; 0 gives none (NaN bounds).

    Returns:
        (a,) value, lower and upper bound.
    """
    aged = predictions.select(np.flatnonzero(known_ages(predictions.age_days)))
    kernel, people = age_kernel(aged.age_days, ages_days), by_person(patient_codes(aged.patient_id))
    sides = (aged.truth == 1, aged.truth == 0)
    near = np.array(
        [[people_near(kernel, side[:, column], people) for side in sides] for column in range(len(aged.classes))]
    )  # (c, 2, a)
    told: NDArray[np.bool_] = np.min(near, axis=1).T >= FEWEST_NEAR_AN_AGE  # (a, c)
    value = macro(np.where(told, auroc(aged.truth, aged.score, kernel), np.nan))
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    if n:
        weights = patient_weights(aged, n, seed=0)
        for row in np.flatnonzero(np.isfinite(value)):
            replicates = auroc(aged.truth[:, told[row]], aged.score[:, told[row]], weights * kernel[row])
            low[row], high[row] = quantiles(macro(replicates))
    return value, low, high


def summarise(
    predictions: Predictions,
    validation: Predictions | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything a table or a figure needs from one predictions file: the content of `result.json`.

    AUROC, AUPRC, sensitivity (at a specificity of 90 %), F1 and accuracy come with 95 % patient-bootstrap intervals,
    per class and as macro mean, the first two also within age bands. F1 needs thresholds, and so does accuracy where
    each class is a question of its own; they come from `validation` only, and without it both are None. Where the
    answer is one of all classes, accuracy is by the highest score (`top_accuracy`) and needs none. Classes of which the
    validation part has no positive have no threshold, are named as `unchosen` and left out of these means. Values that
    do not exist (no positive, no negative, scores that are no probabilities) are None.

    Args:
        predictions: of the test part.
        validation: of the validation part, for thresholds.
        n_bootstrap: replicates of the bootstrap over patients.
        seed: of the bootstrap.

    Raises:
        DataError: the two parts have different classes.
    """
    if validation is not None and validation.classes != predictions.classes:
        raise DataError(f"validation predictions of {predictions.meta.task} have other classes than the test part")
    thresholds = None if validation is None else best_thresholds(validation.truth, validation.score)
    metrics = _metrics(thresholds)
    if predictions.meta.answers == "single_label":
        metrics["accuracy"] = top_accuracy
    columns = _columns(predictions, metrics, n_bootstrap, seed)
    macros = {name: column.pop("macro") for name, column in columns.items()}
    plain = _plain_columns(predictions, thresholds)
    defined = np.isfinite(columns["auroc"]["value"])
    classes = {
        name: {"n": int((~np.isnan(truth)).sum()), "n_positive": int((truth == 1).sum())}
        | dict.fromkeys(METRICS)
        | {key: _plain(value, number) for key, value in {**columns, **plain}.items()}
        for number, (name, truth) in enumerate(zip(predictions.classes, predictions.truth.T, strict=True))
    }
    return {
        "meta": predictions.meta.model_dump(mode="json"),
        "n_records": len(predictions),
        "n_patients": len(set(patient_codes(predictions.patient_id).tolist())),
        "n_classes": len(predictions.classes),
        "n_skipped": int((~defined).sum()),
        "skipped": [name for name, has in zip(predictions.classes, defined, strict=True) if not has],
        "unchosen": []
        if thresholds is None
        else [name for name, at in zip(predictions.classes, thresholds, strict=True) if np.isnan(at)],
        "bootstrap": {"n": n_bootstrap, "seed": seed, "unit": "patient", "confidence": CONFIDENCE},
        "specificity": SPECIFICITY,
        "macro": dict.fromkeys(METRICS) | macros | {"ece": finite_or_none(float(macro(plain["ece"])))},
        "classes": classes,
        "bands": [_band(predictions, band, n_bootstrap, seed) for band in AGE_BANDS],
    }


def _metrics(thresholds: Values | None) -> dict[str, Metric]:
    """The metrics that can be told, by name; those at a threshold only where one was chosen."""
    if thresholds is None:
        return dict(_RANKING)
    return {**_RANKING, "f1": _from(f1, thresholds), "accuracy": _from(accuracy, thresholds)}


def _columns(
    predictions: Predictions, metrics: Mapping[str, Metric], n_bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """By metric: (c,) values with their bounds, and the macro mean with its own."""
    columns: dict[str, dict[str, Any]] = {}
    for name, metric in metrics.items():
        value = metric(predictions.truth, predictions.score)
        interval = bootstrap_over_patients(predictions, metric, n_bootstrap, seed)
        overall = {"value": float(macro(value)), "low": interval.macro_low, "high": interval.macro_high}
        low, high = (np.where(np.isfinite(value), bound, np.nan) for bound in (interval.low, interval.high))
        columns[name] = {
            "value": value,
            "low": low,
            "high": high,
            "macro": {k: finite_or_none(v) for k, v in overall.items()},
        }
    return columns


def _plain_columns(predictions: Predictions, thresholds: Values | None) -> dict[str, Values]:
    """(c,) columns without an interval: the thresholds, and the calibration error of probabilities."""
    unknown = np.full(len(predictions.classes), np.nan)
    truth, score = predictions.truth, predictions.score
    return {
        "threshold": unknown if thresholds is None else thresholds,
        "ece": expected_calibration_error(truth, score) if predictions.meta.scores_are_probabilities else unknown,
    }


def _band(predictions: Predictions, band: AgeBand, n_bootstrap: int, seed: int) -> dict[str, Any]:
    inside = band.holds(predictions.age_days)
    part = predictions.select(np.flatnonzero(inside))
    columns = _columns(part, {name: _RANKING[name] for name in ("auroc", "auprc")}, n_bootstrap, seed)
    return {
        "name": band.name,
        "n_records": len(part),
        "n_patients": len(set(patient_codes(part.patient_id).tolist())),
        "n_skipped": int((~np.isfinite(columns["auroc"]["value"])).sum()),
        "macro": {name: columns[name]["macro"] for name in columns},
        "classes": {
            name: {"n_positive": int((part.truth[:, number] == 1).sum()), "auroc": _plain(columns["auroc"], number)}
            for number, name in enumerate(part.classes)
        },
    }


def _plain(value: Any, number: int) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner, number) for key, inner in value.items() if key != "macro"}
    return finite_or_none(float(value[number]))


def finite_or_none(value: float) -> float | None:
    """The value, or None where it is not finite, because JSON has no NaN and no infinity."""
    return value if np.isfinite(value) else None
