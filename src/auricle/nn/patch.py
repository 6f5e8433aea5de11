"""Cutting a signal into patches, and saying which patches hold recorded signal."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def patchify(signal: Float[Tensor, "b l t"], size: int) -> Float[Tensor, "b l n p"]:
    """Side-by-side patches of `size` samples; the end is padded with zeros."""
    padded = F.pad(signal, (0, -signal.shape[-1] % size))
    return padded.reshape(*padded.shape[:-1], -1, size)


def patch_mask(time_mask: Bool[Tensor, "b t"], size: int) -> Bool[Tensor, "b n"]:
    """True where a patch holds at least one recorded sample, so that no record is without a token."""
    padded = F.pad(time_mask, (0, -time_mask.shape[-1] % size))
    return padded.reshape(padded.shape[0], -1, size).any(-1)


def patch_centres_ms(n: int, size: int, rate_hz: float) -> Float[Tensor, " n"]:
    """Where each patch is centred in the crop, in milliseconds."""
    return (torch.arange(n) + 0.5) * size * 1000 / rate_hz
