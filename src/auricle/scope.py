"""Scope: for what weights can answer. A recording unlike those they know, or an age that does not fit it, is outside.

What weights know is told from the features they make of recordings they were trained on, asked without an age: how far
a recording lies from their middle (Mahalanobis distance; Lee et al. 2018, "A simple unified framework for detecting
out-of-distribution samples"), and which age a line through the features gives it. `auricle calibrate` fits it; it lies
beside the weights in a file of its own, and weights without one answer everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from auricle.age import DAYS_PER_MONTH, Age, describe
from auricle.age_axis import known_ages
from auricle.atomic import write_with
from auricle.errors import CheckpointError

Floats = NDArray[np.float64]

FILE: Final = "scope.safetensors"
# Of records that training did not see so many lie within the limits, whatever they are of. The farthest hundredth of
# simulated people are rare patterns that lie farther out than much that is no ECG (chosen by benchmarks/abstention.py).
_WITHIN: Final = 0.97
_AGES_WITHIN: Final = 0.99
# So much farther an age lies from the line where leads are missing: of 59 adults of PTB-XL lead II alone contradicted
# the age of 7, the worst by 1.3 times what is allowed of twelve leads (benchmarks/few_leads.py).
_WITHOUT_LEADS: Final = 1.5
# Directions in which features hardly vary are told apart no more finely than by this share of their mean variance.
_SHRINKAGE: Final = 0.001
# Weight of the penalty on the line from features to age, as a share of the mean variance and number of records.
_RIDGE: Final = 0.01
# Of the scale on which saved scopes were fitted to ages: nearly `age_axis.age_scale`, and theirs for good.
_SCALE_DAYS: Final = DAYS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Scope:
    """What weights know; d is the width of their features.

    Attributes:
        mean: (d,) of the features of known recordings.
        whiten: (d, d) under which they vary by 1 in every direction.
        farthest: (1,) distance within which nearly all of those that were held back lie.
        to_age: (d + 1,) line from whitened features, and 1, to the age scale.
        age_error: (1,) how far the age of nearly all of those that were held back lies from it.
        age_days: (2,) least and greatest age that training saw.
    """

    mean: Floats
    whiten: Floats
    farthest: Floats
    to_age: Floats
    age_error: Floats
    age_days: Floats

    @classmethod
    def fit(
        cls,
        features: Floats,
        age_days: Floats,
        held_back: Sequence[tuple[Floats, Floats]],
        seen_days: Floats | None = None,
    ) -> Scope:
        """What some weights know.

        Args:
            features: (n, d) of recordings that training saw, asked without their age.
            age_days: (n,) their ages, NaN where unknown.
            held_back: (m, d) features and (m,) ages of recordings that it did not see, by data set: the limits are
                those of the data set that lies farthest.
            seen_days: (k,) ages of all that training saw, where `features` are of a part of them.
        """
        mean = features.mean(0)
        variance = np.cov(features, rowvar=False)
        variance += _SHRINKAGE * np.trace(variance) / len(variance) * np.eye(len(variance))
        values, directions = np.linalg.eigh(variance)
        whiten = directions / np.sqrt(values)
        known = known_ages(age_days)
        ages = age_days[known]
        seen = ages if seen_days is None else seen_days[known_ages(seen_days)]
        bounds = np.array([seen.min(), seen.max()]) if len(seen) else np.array([0.0, np.inf])
        to_age = _line((features[known] - mean) @ whiten, age_scale(ages))
        scope = cls(mean, whiten, np.zeros(1), to_age, np.zeros(1), bounds)
        farthest, errors = 0.0, [0.0] if len(ages) else []
        for others, of_age in held_back:
            farthest = max(farthest, float(np.quantile(scope.distance(others), _WITHIN)))
            aged = known_ages(of_age)
            if aged.any() and len(ages):
                off = np.abs(scope.age_line(others[aged]) - age_scale(of_age[aged]))
                errors.append(float(np.quantile(off, _AGES_WITHIN)))
        # Without a known age there is nothing that another could contradict.
        return cls(mean, whiten, np.array([farthest]), to_age, np.array([max(errors, default=np.inf)]), bounds)

    def distance(self, features: Floats) -> Floats:
        """(n,) how far features (n, d) lie from the middle of those that are known, as a share of their directions."""
        distance: Floats = np.sqrt(np.square((features - self.mean) @ self.whiten).mean(-1))
        return distance

    def age_line(self, features: Floats) -> Floats:
        """(n,) the age on `age_scale` that features (n, d) look like."""
        return _with_one((features - self.mean) @ self.whiten) @ self.to_age

    def against(self, features: Floats, age: Age | None, is_whole: bool = True) -> tuple[str, ...]:
        """Why one recording is outside, the gravest first; empty where it is inside.

        Args:
            features: (d,) of the recording, asked without its age.
            age: of the patient, or None.
            is_whole: whether every lead that the weights read was there; without some the age is told less well.
        """
        reasons = []
        if self.distance(features[None])[0] > self.farthest[0]:
            reasons.append("the trace is unlike all that these weights know: look at it (auricle measure FILE --page)")
        if age is None:
            return tuple(reasons)
        days, (low, high) = age.best_days, self.age_days
        if days < low - age.resolution_days or days > high + age.resolution_days:
            reasons.append(
                f"these weights know ages from {describe(float(low))} to {describe(float(high))}, and this is "
                f"{describe(age.days)}"
            )
        else:
            looks = self.age_line(features[None])[0]
            nearest = np.clip(
                looks, *age_scale(np.array([max(0.0, days - age.resolution_days), days + age.resolution_days]))
            )
            if abs(looks - nearest) > self.age_error[0] * (1.0 if is_whole else _WITHOUT_LEADS):
                oldest, seems = float(self.age_days[1]), float(days_of(looks))
                like = f"like {describe(seems)}" if seems <= oldest else f"older than {describe(oldest)}"
                reasons.append(
                    f"the age of {describe(age.days)} does not fit the trace, which looks {like}: check the age, and "
                    "the sampling rate and gain of the file"
                )
        return tuple(reasons)

    def save(self, folder: Path) -> None:
        """Write it beside the weights in a folder."""
        tensors = {
            entry.name: np.ascontiguousarray(getattr(self, entry.name), dtype=np.float32) for entry in fields(self)
        }

        def write(path: Path) -> None:
            save_file(tensors, path)
            path.chmod(0o644)  # as the weights beside it, so that a colleague can read it

        write_with(folder / FILE, write)

    @classmethod
    def load(cls, folder: Path, width: int, calibrated: bool = False) -> Scope | None:
        """The scope that lies beside weights; None where they have none.

        Args:
            folder: of the weights.
            width: of their features.
            calibrated: whether `auricle calibrate`, which writes it, was run on them.

        Raises:
            CheckpointError: it is damaged, of other weights, or was lost.
        """
        path = folder / FILE
        if not path.exists():
            if calibrated:  # without it they would answer what they refused
                raise CheckpointError(
                    f"{folder}: {FILE} is missing, by which these weights know what they cannot answer: copy the whole "
                    "folder again, or run auricle calibrate"
                )
            return None
        try:
            tensors = load_file(path)
            scope = cls(**{entry.name: tensors[entry.name].astype(np.float64) for entry in fields(cls)})
        except (SafetensorError, KeyError, OSError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}): run auricle calibrate again") from None
        if scope.mean.shape != (width,) or scope.whiten.shape != (width, width) or scope.to_age.shape != (width + 1,):
            raise CheckpointError(f"{path}: is of other weights: run auricle calibrate again")
        return scope


def age_scale(age_days: Floats) -> Floats:
    """Ages on a scale on which a month of an infant and years of an adult are alike."""
    return np.log1p(np.asarray(age_days, dtype=np.float64) / _SCALE_DAYS)


def days_of(scale: Floats | float) -> Floats:
    """Ages in days from `age_scale`."""
    return np.maximum(0.0, np.expm1(np.asarray(scale, dtype=np.float64)) * _SCALE_DAYS)


def _line(x: Floats, y: Floats) -> Floats:
    """(k + 1,) ridge regression of y (n,) on x (n, k) and 1; zeros where there is nothing to learn from."""
    one = _with_one(x)
    if not len(one):
        return np.zeros(one.shape[1])
    penalty = _RIDGE * len(one) * np.eye(one.shape[1])
    penalty[-1, -1] = 0.0
    return np.linalg.solve(one.T @ one + penalty, one.T @ y).astype(np.float64)


def _with_one(x: Floats) -> Floats:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)
