"""A watch for collapse: how many directions the features of a batch use, in the log of every run."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.methods import Method


class FeatureWatch:
    """Keeps what the encoder of a method last said of a batch, from its next step on."""

    def __init__(self, method: Method) -> None:
        self._pooled: Tensor | None = None
        self._rank: float | None = None
        # Every encoder ends there, whichever way it is asked.
        method.encoder.modulate_output.register_forward_hook(self._keep)

    def _keep(self, module: Any, given: Any, pooled: Tensor) -> None:
        del module, given
        self._pooled = pooled.detach()

    def added_to(self, terms: dict[str, float], *, anew: bool) -> dict[str, float]:
        """Terms of a step with the `rank`: computed anew, or as it was last said, since it costs more than a sum."""
        if anew or self._rank is None:
            self._rank = self.rank()
        return terms if self._rank is None else {**terms, "rank": self._rank}

    def rank(self) -> float | None:
        """The `effective_rank` of this process's last features; None where nothing can be said."""
        if self._pooled is None or len(self._pooled) < 2 or not self._pooled.isfinite().all():
            return None
        return float(effective_rank(self._pooled.cpu()))


@torch.no_grad()
def effective_rank(features: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """How many directions the features of a batch use, 1 where they have collapsed onto one line.

    Source: Garrido et al. 2023 (RankMe): the exponential of the entropy of the singular values as shares of their sum.

    Args:
        features: of this process; their mean is taken off, so that what all share does not count.
    """
    centred = features.detach().float()
    values = torch.linalg.svdvals(centred - centred.mean(0))
    share = values / values.sum().clamp_min(1e-12) + 1e-7
    return torch.exp(-(share * share.log()).sum())
