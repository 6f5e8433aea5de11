"""Cutting a signal into patches, and saying which patches hold recorded signal."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def patchify(signal: Float[Tensor, "b l t"], size: int, reach: int = 0) -> Float[Tensor, "b l n p"]:
    """(b, l, n, p) patches of (b, l, t) signals, p being size + 2 reach samples.

    Args:
        signal: (b, l, t)
        size: samples from one patch to the next; the last patch is filled up with zeros.
        reach: samples that a patch also sees of its neighbour on either side; zeros beyond the ends of the signal.
    """
    padded = F.pad(signal, (reach, -signal.shape[-1] % size + reach))
    return padded.unfold(-1, size + 2 * reach, size)


def patch_mask(time_mask: Bool[Tensor, "b t"], size: int) -> Bool[Tensor, "b n"]:
    """(b, n) true where a patch of `size` samples holds at least one recorded sample.

    One sample is enough, so that every record with any signal has at least one token.
    """
    padded = F.pad(time_mask, (0, -time_mask.shape[-1] % size))
    return padded.reshape(padded.shape[0], padded.shape[1] // size, size).any(-1)


def patch_centres_ms(n: int, size: int, rate_hz: float) -> Float[Tensor, " n"]:
    """(n,) centres of n patches of `size` samples, in milliseconds from the start of the signal."""
    return (torch.arange(n) + 0.5) * size * 1000 / rate_hz
