"""Cutting a signal into patches, and saying which patches hold recorded signal."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def patchify(signal: Float[Tensor, "b l t"], size: int, reach: int = 0) -> Float[Tensor, "b l n p"]:
    """Patches every `size` samples that also see `reach` samples on either side; beyond the ends there are zeros."""
    padded = F.pad(signal, (reach, -signal.shape[-1] % size + reach))
    return padded.unfold(-1, size + 2 * reach, size)


def patch_mask(time_mask: Bool[Tensor, "b t"], size: int) -> Bool[Tensor, "b n"]:
    """True where a patch holds at least one recorded sample, so that no record is without a token."""
    padded = F.pad(time_mask, (0, -time_mask.shape[-1] % size))
    return padded.reshape(padded.shape[0], -1, size).any(-1)


def patch_centres_ms(n: int, size: int, rate_hz: float) -> Float[Tensor, " n"]:
    """Where each patch is centred in the crop, in milliseconds."""
    return (torch.arange(n) + 0.5) * size * 1000 / rate_hz
