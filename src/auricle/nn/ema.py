"""Networks that follow others by an exponential mean of their weights: what momentum methods call the target encoder.

Source: He et al. 2020 (MoCo); Grill et al. 2020 (BYOL), whose mean follows more and more slowly.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn


class Ema(nn.Module):
    """Copies of some networks that follow them and are never trained.

    Weights are means of those that are followed; what a layer counts by itself (running moments of batch norm) it goes
    on counting, by what it is shown. Copies and count of updates are saved and resumed as anything else of a method.

    Args:
        followed: by name, the networks as they are at the beginning.
    """

    n_updates: Tensor

    def __init__(self, **followed: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleDict({name: deepcopy(module) for name, module in followed.items()})
        self.requires_grad_(False)
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.long))

    def __getitem__(self, name: str) -> nn.Module:
        """The copy of a network."""
        return self.copies[name]

    @torch.no_grad()
    def begin(self, **followed: nn.Module) -> None:
        """Take over what is followed as it is, unless it has been followed before (a run that goes on)."""
        if not self.n_updates:
            for name, module in followed.items():
                self.copies[name].load_state_dict(module.state_dict())

    @torch.no_grad()
    def follow(self, keep: float, **followed: nn.Module) -> None:
        """Become `keep` of what the copies are and 1 - `keep` of what is followed.

        Args:
            keep: 0 copies, 1 stays as it is.
            followed: the networks, by the names they were given.
        """
        for name, module in followed.items():
            for own, other in zip(self.copies[name].parameters(), module.parameters(), strict=True):
                own.lerp_(other.to(own), 1 - keep)
        self.n_updates += 1


def rising_momentum(base: float, share: float) -> float:
    """How much of a copy is kept, from `base` at the beginning to 1 at the end along a cosine (BYOL, appendix).

    Args:
        base: at the beginning.
        share: how much of the run is done, 0 to 1.
    """
    return 1 - (1 - base) * (math.cos(math.pi * share) + 1) / 2
