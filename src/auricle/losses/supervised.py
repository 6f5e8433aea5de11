"""Supervision by labels, some of which may be unknown."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def masked_bce(logits: Float[Tensor, "b c"], target: Float[Tensor, "b c"]) -> Tensor:
    """Binary cross-entropy over the annotated entries; NaN in `target` means not annotated. Zero if none is."""
    known = ~torch.isnan(target)
    losses = F.binary_cross_entropy_with_logits(logits, torch.where(known, target, 0.0), reduction="none")
    return torch.where(known, losses, 0.0).sum() / known.sum().clamp_min(1)
