"""Masked modelling: the error of what was drawn or guessed where nothing was shown, and nowhere else."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import mean_over_active

# A wild error may be nine variances at once and no more, else one artefact would set everybody's doubt.
_MOST_VARIANCES = 9.0


def patch_error(
    drawn: Float[Tensor, "b l n p"],
    wanted: Float[Tensor, "b l n p"],
    valid: Bool[Tensor, "b n p"],
) -> Float[Tensor, "b l n"]:
    """Mean squared error of each patch over its valid samples; 0 where it has none."""
    inside = valid[:, None]
    # Zero difference instead of a product with the mask: what lies under it may be anything.
    error = (drawn - wanted).masked_fill(~inside, 0.0).square().sum(-1)
    return error / inside.sum(-1).clamp_min(1)


def doubt(error: Float[Tensor, "*b"], log_spread: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Gaussian negative log-likelihood of a spread, given squared errors; without its constant.

    The error is taken as given: the spread learns from it, it does not learn from the spread.
    """
    variance = (2 * log_spread).exp()
    bounded = error.detach().minimum(_MOST_VARIANCES * variance.detach())
    return bounded / (2 * variance) + log_spread


def masked_words(logits: Float[Tensor, "m entry"], wanted: Int[Tensor, " m"]) -> Float[Tensor, ""]:
    """Cross-entropy over the hidden words of all processes together; zero if there is none."""
    errors = F.cross_entropy(logits, wanted, reduction="none")
    return mean_over_active(errors, torch.ones_like(wanted, dtype=torch.bool))
