"""Masked modelling: the error of what was drawn or guessed where nothing was shown, and nowhere else."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import mean_over_active

# A squared error counts as nine variances at most, else one artefact would raise the doubt of all records.
_MOST_VARIANCES = 9.0


def patch_error(
    drawn: Float[Tensor, "b l n p"],
    wanted: Float[Tensor, "b l n p"],
    valid: Bool[Tensor, "b n p"],
) -> Float[Tensor, "b l n"]:
    """(b, l, n) mean squared error of each patch over its valid samples; 0 where it has none.

    Args:
        drawn, wanted: (b, l, n, p) in one unit.
        valid: (b, n, p) samples that were recorded; the others may hold anything.
    """
    inside = valid[:, None]  # (b, 1, n, p), for all leads
    # Filled instead of multiplied by the mask: NaN or infinity outside of it must not spread.
    error = (drawn - wanted).masked_fill(~inside, 0.0).square().sum(-1)
    return error / inside.sum(-1).clamp_min(1)


def doubt(error: Float[Tensor, "*b"], log_spread: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Gaussian negative log-likelihood of a standard deviation, given squared errors; without its constant.

    The error is detached: the spread learns from the error, the drawing does not learn from the spread.

    Args:
        error: squared errors, of any shape.
        log_spread: logarithm of the standard deviation, in the same shape and unit.
    """
    variance = (2 * log_spread).exp()
    bounded = error.detach().minimum(_MOST_VARIANCES * variance.detach())
    return bounded / (2 * variance) + log_spread


def masked_words(logits: Float[Tensor, "m entry"], wanted: Int[Tensor, " m"]) -> Float[Tensor, ""]:
    """Cross-entropy over the hidden words of all processes together; 0 if there is none.

    Args:
        logits: (m, entry) over the vocabulary, of m hidden words.
        wanted: (m,) entries that were hidden.
    """
    errors = F.cross_entropy(logits, wanted, reduction="none")
    return mean_over_active(errors, torch.ones_like(wanted, dtype=torch.bool))
