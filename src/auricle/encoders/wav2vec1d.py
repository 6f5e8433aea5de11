"""Convolutions that halve time again and again, and a transformer over what is left: the encoder of wav2vec type.

Source: Baevski et al. 2020 (wav2vec 2.0); for electrocardiograms Oh et al. 2022, with convolutions of kernel and stride
2. Ours: all leads enter together; every place is normed by itself, so that padding has no part in it; times are rotary;
how often time is halved follows from the length of a step and the rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._blocks import BlocksConfig, stack
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Rotary
from auricle.signal.preprocess import TYPICAL_MV, InputSpec
from auricle.tracing import all_true

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"stem_width": 16, "width": 32, "depth": 1, "n_heads": 2},
    "nano": {"stem_width": 64, "width": 96, "depth": 4, "n_heads": 4, "step_ms": 64.0},
    "small": {"stem_width": 256, "width": 256, "depth": 4, "n_heads": 4},
    "base": {"stem_width": 256, "width": 768, "depth": 12, "n_heads": 12},
}


class Wav2vec1dConfig(BlocksConfig):
    """Settings of the encoder.

    Attributes:
        stem_width: channels of the convolutions.
        step_ms: time from one token to the next, as near to it as halving the rate can come.
    """

    name: Literal["wav2vec1d"] = "wav2vec1d"
    stem_width: Annotated[int, Field(gt=0)] = 256
    width: Annotated[int, Field(gt=0)] = 256
    depth: Annotated[int, Field(gt=0)] = 4
    n_heads: Annotated[int, Field(gt=0)] = 4
    step_ms: Annotated[float, Field(gt=0)] = 32.0


class _Halving(nn.Module):
    """A convolution of kernel and stride 2, and a norm of each place by itself."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_width, width, 2, 2, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d u"]:
        """(b, c, t) to (b, d, t / 2)."""
        normed = self.norm(self.convolution(x).transpose(1, 2))
        return F.gelu(normed).transpose(1, 2)


class Wav2vec1d(EncoderModule):
    """Halvings of time over all leads, transformer blocks, masked mean."""

    def __init__(self, config: Wav2vec1dConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        n_halvings = max(1, round(math.log2(config.step_ms * spec.rate_hz / 1000)))
        self.patch = 2**n_halvings
        widths = [len(spec.leads), *[config.stem_width] * n_halvings]
        self.stem = nn.Sequential(*(_Halving(one, config.stem_width) for one in widths[:-1]))
        self.enter = nn.Sequential(nn.LayerNorm(config.stem_width), nn.Linear(config.stem_width, config.width))
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = stack(config)
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def local(self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]) -> tuple[Tensor, Tensor]:
        """(b, n, stem_width) what the convolutions say of each step by itself, and (b, n) which were recorded.

        Args:
            signal: 0 wherever nothing was recorded; an absent lead is read as 0.
            time_mask: true inside the record.
        """
        mask = patch_mask(time_mask, self.patch)
        padded = F.pad(signal / TYPICAL_MV, (0, -signal.shape[-1] % self.patch))
        said: Tensor = self.stem(padded).transpose(1, 2)
        return torch.where(mask[..., None], said, 0.0), mask

    def context(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"], condition: Condition | None) -> Tokens:
        """Tokens (b, n, width) that have heard each other, and (b, width) their mean as `pooled`.

        Args:
            x: what `enter` makes of what the convolutions say, or whatever stands in its place.
            mask: steps that were recorded.
            condition: what modulates, by source.
        """
        turn = self.rotary(x.shape[1])
        # Attention without a mask takes the fast path, and most batches have no padding.
        keys = None if all_true(mask) else mask
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x = modulate(block(x, keys, turn), condition)
        x = torch.where(mask[..., None], self.norm(x), 0.0)
        return Tokens.ungrouped(
            x, mask, patch_centres_ms(x.shape[1], self.patch, self.spec.rate_hz), masked_mean(x, mask)
        )

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per step of all leads, and (b, d) their mean as `pooled`."""
        del lead_mask
        local, mask = self.local(signal, time_mask)
        return self.context(self.enter(local), mask, condition)
