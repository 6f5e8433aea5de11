"""What an age gate learned: its gamma and beta, and what lead groups and time scales contribute, over age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.encoders import EncoderModule
from auricle.errors import ConfigError
from auricle.methods import Method
from auricle.nn.film import FiLM

# The point whose groups are time scales.
_SCALES: Final = "scale_gain"


@dataclass(frozen=True, slots=True)
class GateCurves:
    """Gates over age.

    Attributes:
        ages_days: (a,)
        group_names: the g lead groups.
        scale_names: the s time scales; none where the encoder has one.
        gamma: (a, point, g) mean over channels of the scale at each modulation point, NaN at points without groups.
        beta: (a, point, g) root mean square over channels of the shift there, NaN likewise: shifts of a layer cancel in
            their mean.
        contribution: (a, g) mean share of each group in the representation of the given records.
        scale_contribution: (a, s) mean share of each time scale in its norm.
    """

    ages_days: NDArray[np.float64]
    group_names: tuple[str, ...]
    scale_names: tuple[str, ...]
    gamma: NDArray[np.float64]
    beta: NDArray[np.float64]
    contribution: NDArray[np.float64]
    scale_contribution: NDArray[np.float64]


@torch.no_grad()
def gate_curves(method: Method, batch: ECGBatch, ages_days: Sequence[float]) -> GateCurves:
    """Gates and contributions of a fine-tuned method at every age, on one batch of records.

    Args:
        method: a method with an age gate; set to evaluation mode.
        batch: the records, as they come from the loader.
        ages_days: (a,) ages in days.

    Raises:
        ConfigError: the method has no age gate or is told no age, or its encoder has no lead groups.
    """
    encoder = method.encoder
    names = encoder.group_names
    if not has_gated_groups(method):
        raise ConfigError("gates over age need an age gate on an encoder with lead groups")
    films = [module for module in encoder.modules() if isinstance(module, FiLM) and module.source == "age"]
    gamma = np.full((len(ages_days), len(films), len(names)), np.nan)
    beta = gamma.copy()
    contribution = np.zeros((len(ages_days), len(names)))
    scales = np.zeros((len(ages_days), len(encoder.scale_names)))
    method.eval()
    for row, days in enumerate(ages_days):
        code = encoder.codes["age"](torch.tensor([float(days)]))
        for column, film in enumerate(films):
            if film.point.groups == len(names) and film.point.name != _SCALES:
                scale, shift = film.gamma_beta(code)
                gamma[row, column] = scale.mean(-1)[0].numpy()
                beta[row, column] = shift.square().mean(-1).sqrt()[0].numpy()
        tokens = method.encode(batch.at_age(float(days)))
        assert tokens.group_contribution is not None
        contribution[row] = tokens.group_contribution.mean(0).numpy()
        scales[row] = _scale_shares(encoder, tokens.pooled)
    ages = np.asarray(ages_days, dtype=np.float64)
    return GateCurves(ages, names, encoder.scale_names, gamma, beta, contribution, scales)


def has_gated_groups(method: Method) -> bool:
    """Whether age modulates lead groups of this method."""
    return method.has_age_gate and bool(method.encoder.group_names)


def _scale_shares(encoder: EncoderModule, pooled: torch.Tensor) -> NDArray[np.float64]:
    """(s,) mean share of each time scale in the norm of (b, s * d) pooled features."""
    if not encoder.scale_names:
        return np.zeros(0)
    norms = torch.unflatten(pooled, -1, (len(encoder.scale_names), -1)).norm(dim=-1)
    shares: NDArray[np.float64] = (norms / norms.sum(-1, keepdim=True).clamp_min(1e-9)).mean(0).double().numpy()
    return shares
