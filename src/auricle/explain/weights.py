"""How an encoder weighs its lead groups by disease: does right ventricular hypertrophy raise the septal group?

Two numbers are read of each record: the weight that attention between groups gives (`Tokens.group_weight`), and each
group's share in the representation (`Tokens.group_contribution`), because what a weight does can be undone behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.evaluate.bootstrap import patient_weights, quantiles
from auricle.evaluate.predictions import Predictions
from auricle.methods import Method
from auricle.pages.style import COLOURS, MARKERS, MUTED, WIDTH, blank_figure, legend, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST: Final = 5
_N_BOOTSTRAP: Final = 500
_BESIDE: Final = 0.15


@dataclass(frozen=True, slots=True)
class ByClass:
    """By how much a class raises each group: mean of those who have it less mean of those who have not.

    Attributes:
        classes: the k classes that enough records have.
        n_positive: (k,) how many have it.
        groups: the g lead groups.
        weight: (k, g, 3) of the weight: difference, and the bounds of its 95 % interval over patients.
        contribution: (k, g, 3) of the share in the representation.
    """

    classes: tuple[str, ...]
    n_positive: tuple[int, ...]
    groups: tuple[str, ...]
    weight: NDArray[np.float64]
    contribution: NDArray[np.float64]


def features_and_groups(method: Method, batch: ECGBatch) -> torch.Tensor:
    """(b, width + 2 * g) features, then weight and share of each group; features alone of an encoder without groups."""
    tokens = method.encode(batch)
    if tokens.group_weight is None or tokens.group_contribution is None:
        return tokens.pooled
    return torch.cat([tokens.pooled, tokens.group_weight, tokens.group_contribution], dim=1)


def by_class(numbers: NDArray[np.floating], groups: Sequence[str], predictions: Predictions) -> ByClass:
    """By how much each class raises each group.

    Args:
        numbers: (n, 2 * g) weight of each group, then its share in the representation.
        groups: names of the groups.
        predictions: the same records with their classes and patients.
    """
    weights = patient_weights(predictions, _N_BOOTSTRAP, seed=0).astype(np.float64)
    weights = np.concatenate([np.ones((1, len(predictions))), weights])
    values = numbers.astype(np.float64)
    kept, counts, found = [], [], []
    for column, name in enumerate(predictions.classes):
        has, has_not = predictions.truth[:, column] == 1, predictions.truth[:, column] == 0
        if has.sum() < FEWEST or has_not.sum() < FEWEST:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [(weights * part) @ values / (weights @ part)[:, None] for part in (has, has_not)]
        difference = means[0] - means[1]
        bounds = np.array([quantiles(one) for one in difference[1:].T])
        kept.append(name)
        counts.append(int(has.sum()))
        found.append(np.concatenate([difference[0][:, None], bounds], axis=1))
    g = len(groups)
    table = np.array(found).reshape(len(kept), 2 * g, 3)
    return ByClass(tuple(kept), tuple(counts), tuple(groups), table[:, :g], table[:, g:])


def weights_figure(found: ByClass) -> Figure:
    """Weights and shares of each group by class, side by side."""
    figure = blank_figure(WIDTH, 0.42 * len(found.classes) + 1.4)
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, found, found.weight, "Weight of each group")
    _panel(right, found, found.contribution, "Share in the representation")
    left.set_yticks(
        -np.arange(len(found.classes)),
        [f"{name} ({n})" for name, n in zip(found.classes, found.n_positive, strict=True)],
    )
    legend(right)
    return figure


def _panel(axes: Axes, found: ByClass, values: NDArray[np.float64], title: str) -> None:
    style(axes, title)
    place = -np.arange(len(found.classes))
    for number, name in enumerate(found.groups):
        apart = _BESIDE * (number - (len(found.groups) - 1) / 2)
        value, low, high = values[:, number].T
        axes.errorbar(
            value, place - apart, xerr=np.maximum(0, [value - low, high - value]), label=name, ms=5, lw=1,
            fmt=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("who has it less who has not")
