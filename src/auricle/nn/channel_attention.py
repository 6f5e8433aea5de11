"""Attention over lead groups: how much each group counts in a record, as one weight per group that can be shown."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """SE over the group axis (Hu et al. 2018): two layers from all groups' summaries to one gate per group."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        hidden = max(4, groups)
        self.net = nn.Sequential(nn.Linear(groups, hidden), nn.ReLU(), nn.Linear(hidden, groups))

    def forward(self, squeezed: Float[Tensor, "b g"]) -> Float[Tensor, "b g"]:
        """Gate logits (b, g) from one number per record and group."""
        logits: Tensor = self.net(squeezed)
        return logits


class EfficientChannel(nn.Module):
    """ECA (Wang et al. 2020): a one-dimensional convolution across neighbouring groups instead of two full layers."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        del groups  # the same three weights serve any number
        self.net = nn.Conv1d(1, 1, kernel_size=3, padding=1)

    def forward(self, squeezed: Float[Tensor, "b g"]) -> Float[Tensor, "b g"]:
        """Gate logits (b, g) from one number per record and group."""
        logits: Tensor = self.net(squeezed[:, None])  # (b, 1, g): the groups are what the convolution slides over
        return logits[:, 0]


ATTENTIONS: dict[str, type[nn.Module]] = {"se": SqueezeExcitation, "eca": EfficientChannel}


def group_weights(logits: Float[Tensor, "b g"], present: Bool[Tensor, "b g"]) -> Float[Tensor, "b g"]:
    """Weights in [0, 2] that are 1 at logit 0, and exactly 0 for an absent group."""
    return torch.where(present, 2 * logits.sigmoid(), 0.0)
