"""What an age gate learned: its gamma, and the contribution of each lead group, over age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.errors import ConfigError
from auricle.methods import Method
from auricle.nn.film import FiLM


@dataclass(frozen=True, slots=True)
class GateCurves:
    """Gates over age.

    Attributes:
        ages_days: (a,)
        group_names: the g lead groups.
        gamma: (a, point, g) mean over channels of the scale at each modulation point, NaN at points without groups.
        contribution: (a, g) mean share of each group in the representation of the given records.
    """

    ages_days: NDArray[np.float64]
    group_names: tuple[str, ...]
    gamma: NDArray[np.float64]
    contribution: NDArray[np.float64]


@torch.no_grad()
def gate_curves(method: Method, batch: ECGBatch, ages_days: Sequence[float]) -> GateCurves:
    """Gamma and contributions of a fine-tuned method at every age, on one batch of records.

    Args:
        method: a method with an age gate; set to evaluation mode.
        batch: the records, as they come from the loader.
        ages_days: (a,) ages in days.

    Raises:
        ConfigError: the method has no age gate, or its encoder no lead groups.
    """
    names = method.encoder.group_names
    if "age" not in method.encoder.codes or not names:
        raise ConfigError("gates over age need an age gate on an encoder with lead groups")
    films = [module for module in method.encoder.modules() if isinstance(module, FiLM) and module.source == "age"]
    gamma = np.full((len(ages_days), len(films), len(names)), np.nan)
    contribution = np.zeros((len(ages_days), len(names)))
    method.eval()
    for row, days in enumerate(ages_days):
        code = method.encoder.codes["age"](torch.tensor([float(days)]))
        for column, film in enumerate(films):
            if film.point.groups == len(names):
                gamma[row, column] = film.gamma_beta(code)[0].mean(-1)[0].numpy()
        shares = method.encode(batch.at_age(float(days))).group_contribution
        assert shares is not None
        contribution[row] = shares.mean(0).numpy()
    return GateCurves(np.asarray(ages_days, dtype=np.float64), names, gamma, contribution)
