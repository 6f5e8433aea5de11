"""Supervision by labels, some of which may be unknown."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from auricle.losses.gather import mean_over_active


def masked_bce(logits: Float[Tensor, "b c"], target: Float[Tensor, "b c"]) -> Tensor:
    """Binary cross-entropy over the annotated entries; NaN in `target` means not annotated. Zero if none is.

    The mean runs over the entries of all processes, so that the result does not depend on how a batch is divided.
    """
    known = ~torch.isnan(target)
    losses = F.binary_cross_entropy_with_logits(logits, torch.where(known, target, 0.0), reduction="none")
    return mean_over_active(losses, known)
