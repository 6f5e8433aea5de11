"""Features with their mean over records subtracted, divided by their spread.

Why: pooled features of a fresh transformer have cosines of .9 and more with each other, because most of each vector is
common to all records; an alignment of cosines then does not improve for hundreds of steps. The mean of a frozen tower
could be subtracted once before training; that of an encoder in training changes. Source: batch normalisation without
its affine part (Ioffe and Szegedy 2015).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from auricle.processes import gather, gather_without_gradient

_EPSILON: Final = 1e-5
_MOMENTUM: Final = 0.05


class Standardise(nn.Module):
    """(b, d) to (b, d): by mean and variance of the batch of all processes in training, by running ones afterwards.

    The running values are the plain mean of the first batches, then of about the last twenty.
    """

    mean: Tensor
    variance: Tensor
    n_batches: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("n_batches", torch.zeros(()))

    def forward(self, rows: Tensor, active: Tensor | None = None) -> Tensor:
        """Standardised rows, in full precision.

        Args:
            rows: (b, d)
            active: (b,) rows that count, by default all. A batch with fewer than two, which have no spread, uses the
                running values.

        Returns:
            (b, d) rows of mean 0 and variance 1 over the active rows of all processes.
        """
        rows = rows.float()
        if not self.training:
            return self._by_running_values(rows)
        active = torch.ones(len(rows), dtype=torch.bool, device=rows.device) if active is None else active
        counts = gather_without_gradient(active)
        n = int(counts.sum())
        if n < 2:
            return self._by_running_values(rows)
        everyone = gather(torch.where(active[:, None], rows, 0.0))
        mean = everyone.sum(0) / n
        centred = torch.where(counts[:, None], everyone - mean, 0.0)
        variance = centred.square().sum(0) / n
        with torch.no_grad():
            self.n_batches += 1
            share = torch.maximum(1 / self.n_batches, torch.full_like(self.n_batches, _MOMENTUM))
            self.mean.lerp_(mean, share)
            self.variance.lerp_(variance, share)
        return (rows - mean) * (variance + _EPSILON).rsqrt()

    def _by_running_values(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) * (self.variance + _EPSILON).rsqrt()
