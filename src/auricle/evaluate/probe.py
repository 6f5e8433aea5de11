"""The linear probe: what a linear model can read from the features of a frozen encoder.

`fit_probe` is L2-regularised logistic regression for all classes and all penalties in one L-BFGS run. Features are
rotated onto their principal axes and every problem is rescaled by its curvature there, which makes them all nearly
spherical: a few dozen iterations solve what takes thousands in raw coordinates. `recovery` asks by ridge regression
which continuous quantities (axis, amplitudes, durations, rate) the features hold.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from auricle.errors import DataError
from auricle.evaluate.bootstrap import patient_draws, quantiles
from auricle.evaluate.predictions import patient_codes
from auricle.evaluate.ranking import auroc, macro

Features = Tensor | NDArray[np.floating]
# L2 weight beside the *mean* loss per record, 1 / (n C) in scikit-learn's terms: from next to none to nearly constant.
PENALTIES: Final = tuple(10.0**power for power in range(-5, 2))
_MAX_ITERATIONS: Final = 300
_GRADIENT_TOLERANCE: Final = 1e-7
# Directions whose variance is below this share of the largest are rounding noise, not features.
_RANK_TOLERANCE: Final = 1e-12
_FOLDS: Final = 5
_REPLICATES: Final = 1000


class RSquared(NamedTuple):
    """Held-out R^2 and its 95 % interval over a bootstrap of patients; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "not defined" if math.isnan(self.value) else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe.

    Attributes:
        mean, scale: (d,) standardisation, from the training part.
        weight: (d, c) for standardised features.
        bias: (c,)
        penalty: the chosen L2 weight beside the mean loss.
        validation_auroc: macro AUROC on the validation part of every penalty tried.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float
    validation_auroc: Mapping[float, float]

    def predict(self, features: Features) -> NDArray[np.float64]:
        """(n, c) probabilities of features (n, d)."""
        values = torch.as_tensor(features).to(self.mean)
        return torch.sigmoid((values - self.mean) / self.scale @ self.weight + self.bias).cpu().numpy()


def fit_probe(
    features_train: Features,
    targets_train: Features,
    features_val: Features,
    targets_val: Features,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """Fit a multi-label logistic regression; the one penalty shared by all classes is chosen by validation macro AUROC.

    A penalty for each class would be chosen on a handful of positives for the rare ones, so there is one for all; of
    equals, or where validation decides nothing, the strongest wins. The bias is not penalised. A class without a
    positive or without a negative in training gets the constant (positives + 1/2) / (annotated + 1).

    Args:
        features_train, features_val: (n, d), on the device to compute on; computed in float64.
        targets_train, targets_val: (n, c) 0, 1, or NaN where not annotated.
        penalties: L2 weights beside the mean loss to choose from.

    Raises:
        DataError: features that are not finite, or shapes that do not fit.
    """
    # Standardised by the training part, and solved for all penalties at once: weight (p, d, c), bias (p, c).
    train, target = torch.as_tensor(features_train).double(), torch.as_tensor(targets_train).double()
    _check(train, target)
    mean, scale = train.mean(dim=0), train.std(dim=0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    target = target.to(train.device)
    grid = sorted(penalties)
    weight, bias = _solve((train - mean) / scale, target, torch.tensor(grid).to(train))
    # The penalty of the best validation AUROC; the largest of equals.
    validation = (torch.as_tensor(features_val).to(train) - mean) / scale
    truth = torch.as_tensor(targets_val).double().cpu().numpy()
    scores = {
        penalty: float(macro(auroc(truth, (validation @ weight[number] + bias[number]).cpu().numpy())))
        for number, penalty in enumerate(grid)
    }
    best = max(range(len(grid)), key=lambda number: (np.nan_to_num(scores[grid[number]], nan=-1.0), number))
    return Probe(mean, scale, weight[best], bias[best], grid[best], scores)


def _check(features: Tensor, targets: Tensor) -> None:
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets) or len(features) == 0:
        raise DataError(
            f"a probe needs (record, feature) and (record, class), not {features.shape} and {targets.shape}"
        )
    if not torch.isfinite(features).all():
        raise DataError("features that are not finite: the encoder diverged, or a mask was applied by product")


def _solve(features: Tensor, target: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (p, d, c) and bias (p, c) for standardised features (n, d), targets (n, c) and penalties (p,)."""
    annotated = ~target.isnan()
    target = target.nan_to_num(0.0)
    n_annotated, n_positive = annotated.sum(dim=0), target.sum(dim=0)
    learnable = (n_positive > 0) & (n_positive < n_annotated)
    weight = features.new_zeros(len(penalties), features.shape[1], target.shape[1])
    bias = torch.logit((n_positive + 0.5) / (n_annotated + 1)).expand(len(penalties), -1).clone()
    if learnable.any():
        solved = _minimise(features, target[:, learnable], annotated[:, learnable], penalties)
        weight[:, :, learnable], bias[:, learnable] = solved
    return weight, bias


def _minimise(features: Tensor, target: Tensor, annotated: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (p, d, c) and bias (p, c) that minimise mean cross-entropy + penalty |w|^2 / 2 of each penalty and class.

    Args:
        features: (n, d) standardised.
        target: (n, c) 0 or 1, any number where not annotated.
        annotated: (n, c)
        penalties: (p,)
    """
    # Coordinates in which the curvature at the start is about 1 in every direction.
    axes, variance = _principal_axes(features)
    rotated = features @ axes
    share = annotated / annotated.sum(dim=0)
    rate = (target * share).sum(dim=0)
    # At the constant solution the Hessian along axis j is rate (1 - rate) variance_j + penalty: steps in its root.
    spread = rate * (1 - rate)
    weight_unit = (spread * variance[:, None] + penalties[:, None, None]).rsqrt()
    bias_unit = spread.rsqrt()
    steps = features.new_zeros(len(penalties), axes.shape[1] + 1, target.shape[1], requires_grad=True)
    start = torch.logit(rate)

    def parameters() -> tuple[Tensor, Tensor]:
        return steps[:, :-1] * weight_unit, start + steps[:, -1] * bias_unit

    optimiser = torch.optim.LBFGS(
        [steps],
        max_iter=_MAX_ITERATIONS,
        tolerance_grad=_GRADIENT_TOLERANCE,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        weight, bias = parameters()
        logits = torch.einsum("nk,pkc->pnc", rotated, weight) + bias[:, None]
        entropy = torch.nn.functional.softplus(logits) - target * logits
        loss = (entropy * share).sum() + (penalties[:, None, None] * weight.square()).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        weight, bias = parameters()
        return torch.einsum("dk,pkc->pdc", axes, weight), bias


def _principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal (d, k) spanning the features, and the variance (k,) along each.

    The minimiser lies in the span of the training features (any part of w outside costs penalty and changes nothing),
    so nothing is lost by dropping the rest.
    """
    n, d = features.shape
    if n < d:  # thousands of features of a few records: they span n directions at most
        _, size, across = torch.linalg.svd(features, full_matrices=False)
        variance, axes = size.square() / n, across.T
    else:
        variance, axes = torch.linalg.eigh(features.T @ features / n)
    kept = variance > _RANK_TOLERANCE * variance.max().clamp_min(1e-300)
    return axes[:, kept], variance[kept]


def recovery(
    features: Features,
    values: Mapping[str, ArrayLike],
    groups: Sequence[str | None],
    *,
    angles: Collection[str] = (),
) -> dict[str, RSquared]:
    """Which quantities a linear map reads from the features: held-out R^2 of each.

    Args:
        features: (n, d).
        values: name -> (n,), NaN where not measured (axis, R in V1, QRS duration, rate ...).
        groups: (n,) patients; one person's records are never in two folds.
        angles: names whose values are degrees: fitted as cosine and sine, because 179 and -179 degrees are neighbours.
    """
    result = {}
    for name, measured in values.items():
        column = np.asarray(measured, dtype=np.float64)
        known = np.flatnonzero(np.isfinite(column))
        column = np.deg2rad(column[known]) if name in angles else column[known]
        target = np.stack([np.cos(column), np.sin(column)], axis=1) if name in angles else column[:, None]
        chosen = torch.as_tensor(features)[torch.from_numpy(known)]
        result[name] = fit_ridge(chosen, target, [groups[row] for row in known.tolist()])
    return result


def fit_ridge(
    features: Features,
    targets: Features,
    groups: Sequence[str | None],
    *,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> RSquared:
    """R^2 of ridge regression on held-out groups, by five-fold cross-validation.

    Each fold is predicted by a fit on the others; its penalty is chosen on the next fold with the fit on the remaining
    ones. Several columns of `targets` (n, k) are pooled into one R^2. Not defined with fewer than three groups, or
    where the targets do not vary.

    Args:
        features: (n, d).
        targets: (n, k).
        groups: (n,) patients; None counts as a person of its own.
        penalties: L2 weights beside the mean loss to choose from.
        seed: of the folds.
    """
    inputs, outputs = torch.as_tensor(features).double().cpu(), torch.as_tensor(targets).double().cpu()
    codes = torch.from_numpy(patient_codes(groups))
    n_groups = int(codes.max()) + 1 if len(codes) else 0
    n_folds = min(_FOLDS, n_groups)
    if n_folds < 3:
        return RSquared(math.nan, math.nan, math.nan)
    fold_of_group = torch.from_numpy(np.random.default_rng(seed).permutation(n_groups) % n_folds)
    fold = fold_of_group[codes]
    predicted = torch.zeros_like(outputs)
    for held_out in range(n_folds):
        test, tuning = fold == held_out, fold == (held_out + 1) % n_folds
        fits = _ridge(inputs[~test & ~tuning], outputs[~test & ~tuning], inputs[tuning], penalties)
        errors = [float((fit - outputs[tuning]).square().sum()) for fit in fits]
        best = penalties[int(np.argmin(errors))]
        predicted[test] = _ridge(inputs[~test], outputs[~test], inputs[test], [best])[0]
    return _r_squared(outputs.numpy(), predicted.numpy(), codes.numpy(), seed)


def _r_squared(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], codes: NDArray[np.int64], seed: int
) -> RSquared:
    """R^2 of predictions (n, k), all columns pooled, and its interval when patients (n,) are drawn again."""
    n_patients = int(codes.max()) + 1

    def by_patient(values: NDArray[np.float64]) -> NDArray[np.float64]:
        summed = np.zeros((n_patients, values.shape[1]))
        np.add.at(summed, codes, values)
        return summed

    # From sums by patient: the spread about the mean is what is drawn minus the square of its own mean.
    parts = [by_patient(values) for values in (np.ones((len(truth), 1)), truth, truth**2, (predicted - truth) ** 2)]
    weights = np.concatenate([np.ones((1, n_patients)), patient_draws(codes, _REPLICATES, seed)])
    n, first, second, error = (weights @ part for part in parts)
    spread = (second - first**2 / n).sum(axis=1)
    found = np.where(spread > 1e-12, 1 - error.sum(axis=1) / np.maximum(spread, 1e-12), np.nan)
    if np.isnan(found[0]):
        return RSquared(math.nan, math.nan, math.nan)
    return RSquared(float(found[0]), *quantiles(found[1:]))


def _ridge(features: Tensor, targets: Tensor, asked: Tensor, penalties: Sequence[float]) -> list[Tensor]:
    """Predictions (m, k) at `asked` (m, d), one for each penalty, from standardised features."""
    mean, scale = features.mean(dim=0), features.std(dim=0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    axes, variance = _principal_axes((features - mean) / scale)
    centre = targets.mean(dim=0)
    moment = ((features - mean) / scale @ axes).T @ (targets - centre) / len(features)
    rotated = (asked - mean) / scale @ axes
    return [centre + rotated @ (moment / (variance + penalty)[:, None]) for penalty in penalties]
