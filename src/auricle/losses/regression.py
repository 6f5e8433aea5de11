"""Losses of two views without negatives: one is predicted from the other, or their features are told apart.

What keeps them from one point for all records lies elsewhere (a target that learns otherwise) or in the loss itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import gather, mean_over_active

_EPSILON = 1e-5


def cosine_regression(
    predicted: Float[Tensor, "*b d"], target: Float[Tensor, "*b d"], counts: Bool[Tensor, "*b"] | None = None
) -> Float[Tensor, ""]:
    """Mean of 2 - 2 cos: the squared distance of unit vectors (Grill et al. 2020, BYOL, equation 2).

    Args:
        predicted: what one view predicts.
        target: what is made of the other; no gradient reaches it.
        counts: vectors that enter the mean, over all processes. By default all.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        cosine = (F.normalize(predicted.float(), dim=-1) * F.normalize(target.detach().float(), dim=-1)).sum(-1)
        counts = torch.ones_like(cosine, dtype=torch.bool) if counts is None else counts
        return mean_over_active(2 - 2 * cosine, counts)


def barlow_twins(
    one: Float[Tensor, "b d"], other: Float[Tensor, "b d"], redundancy: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Correlations of the features of two views over the batch of all processes: 1 with themselves, 0 with others.

    Source: Zbontar et al. 2021, equation 1: sum_i (1 - C_ii)^2 + redundancy sum_{i != j} C_ij^2.

    Args:
        one, other: projected views; row i of both is of one record.
        redundancy: of the second sum, lambda.

    Returns:
        The loss, and its second sum as it is.
    """
    with torch.autocast(one.device.type, enabled=False):
        first, second = (_standardised(gather(view.float())) for view in (one, other))
        correlation = first.T @ second / len(first)
        off = correlation.square().sum() - correlation.diagonal().square().sum()
        return (1 - correlation.diagonal()).square().sum() + redundancy * off, off


def _standardised(features: Tensor) -> Tensor:
    """(n, d) with mean 0 and variance 1 of each feature over the rows."""
    centred = features - features.mean(0)
    return centred * (centred.square().mean(0) + _EPSILON).rsqrt()
