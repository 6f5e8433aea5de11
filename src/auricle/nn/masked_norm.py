"""Batch normalisation over what was recorded: neither padding nor absent leads enter the mean or are shifted by it.

Source: Ioffe and Szegedy 2015; the statistics are those of the batch of all processes, so that a run does not depend on
how its batch is divided. Over all recorded samples of a batch there are thousands of values for each channel, and a
batch of one record has statistics like any other.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from auricle.processes import gather, world

_EPSILON: Final = 1e-5
_MOMENTUM: Final = 0.1


class MaskedNorm(nn.Module):
    """A tensor to the same, each channel with mean 0 and variance 1 over the entries that count, then affine.

    In training by the entries of the batch of all processes; afterwards, and for a channel of which a batch has none,
    by running values, which are the plain mean of the first batches and then of about the last ten.
    """

    mean: Tensor
    variance: Tensor
    n_batches: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("n_batches", torch.zeros(()))

    def forward(self, x: Tensor, counts: Tensor | None, axis: int = -1) -> Tensor:
        """Normalised `x`, in its shape; 0 where nothing counts.

        Args:
            x: of any shape, finite everywhere.
            counts: true for the entries that count, broadcasts to `x`; None where all do.
            axis: of the channels in both.
        """
        if counts is None and axis == 1 and x.numel() > x.shape[1] and world()[1] == 1:
            return self._all_count(x)
        if counts is None:
            counts = torch.ones([1] * x.ndim, dtype=torch.bool, device=x.device)
        mean, variance = self._moments(x, counts, axis) if self.training else (self.mean, self.variance)
        scale = self.weight * (variance + _EPSILON).rsqrt()
        shape = [1] * x.ndim
        shape[axis] = -1
        shifted = x * scale.to(x).reshape(shape) + (self.bias - mean * scale).to(x).reshape(shape)
        return torch.where(counts, shifted, 0.0)

    def _all_count(self, x: Tensor) -> Tensor:
        """Where all of (n, channel, ...) counts: what `forward` says, in the one call that PyTorch has for it."""
        if not self.training:
            return batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=_EPSILON)
        # Their running variance is of the sample, ours of the entries: filled in apart, and mixed as ours are.
        mean, variance = torch.zeros_like(self.mean), torch.ones_like(self.variance)
        out = batch_norm(x, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=_EPSILON)
        n = x.numel() // x.shape[1]
        self._keep(mean, variance * ((n - 1) / n), torch.ones_like(mean, dtype=torch.bool))
        return out

    def _keep(self, mean: Tensor, variance: Tensor, seen: Tensor) -> None:
        """Mix the moments of a batch into the running ones, of the channels (channel,) that it had."""
        with torch.no_grad():
            self.n_batches += 1
            share = torch.maximum(1 / self.n_batches, torch.full_like(self.n_batches, _MOMENTUM))
            self.mean.copy_(torch.where(seen, self.mean.lerp(mean, share), self.mean))
            self.variance.copy_(torch.where(seen, self.variance.lerp(variance, share), self.variance))

    def _moments(self, x: Tensor, counts: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Mean and variance (channel,) over the entries that count in all processes, kept as running values."""
        width = x.shape[axis]
        others = [number for number in range(x.ndim) if number != axis % x.ndim]
        kept = torch.where(counts, x.float(), 0.0)
        n_own = counts.expand_as(x).sum(others).float()
        # One row for each process: sums, sums of squares, and how many entries there are.
        row = torch.cat([kept.sum(others), kept.square().sum(others), n_own])
        sums, squares, n = torch.split(gather(row[None]).sum(0), width)
        n = n.detach()
        mean = sums / n.clamp_min(1)
        variance = (squares / n.clamp_min(1) - mean.square()).clamp_min(0)
        seen = n > 0
        self._keep(mean, variance, seen)
        return torch.where(seen, mean, self.mean), torch.where(seen, variance, self.variance)
