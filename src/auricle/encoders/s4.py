"""Diagonal state spaces over all leads at once: every position hears the whole record through two Fourier maps.

Source: S4D (Gu et al. 2022), see `auricle.nn.state_space`; for electrocardiograms: Mehari and Strodthoff 2022. Ours:
both directions, and a strided convolution in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.nn.state_space import DiagonalStates, StateLayer
from auricle.signal.preprocess import TYPICAL_MV, InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 2, "n_states": 4},
    "nano": {"width": 128, "depth": 4, "n_states": 8, "step_ms": 40.0},
    "small": {"width": 384, "depth": 6, "n_states": 32},
    "base": {"width": 512, "depth": 8, "n_states": 32},
}
_BOTH: Final = 2


class S4Config(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        width: channels.
        depth: layers.
        n_states: damped oscillations in the kernel of a channel and direction.
        step_ms: time from one position to the next; never finer than the samples are.
        shortest_ms, longest_ms: of the range from which the time scale of a channel is drawn at the start.
        dropout: of whole channels in a layer.
    """

    name: Literal["s4"] = "s4"
    width: Annotated[int, Field(gt=0)] = 384
    depth: Annotated[int, Field(gt=0)] = 6
    n_states: Annotated[int, Field(gt=0)] = 32
    step_ms: Annotated[float, Field(gt=0)] = 20.0
    shortest_ms: Annotated[float, Field(gt=0)] = 100.0
    longest_ms: Annotated[float, Field(gt=0)] = 10_000.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class S4(EncoderModule):
    """A strided convolution over all leads, layers of diagonal state spaces, masked mean over time."""

    def __init__(self, config: S4Config, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.patch = max(1, round(config.step_ms * spec.rate_hz / 1000))
        self.reach = self.patch
        taps = len(spec.leads) * (self.patch + 2 * self.reach)
        self.embed = nn.Parameter(torch.randn(taps, config.width) / (TYPICAL_MV * taps**0.5))
        step_ms = 1000 * self.patch / spec.rate_hz
        scales = (config.shortest_ms, config.longest_ms)
        self.layers = nn.ModuleList(
            StateLayer(DiagonalStates(config.width, config.n_states, step_ms, scales, _BOTH), config.dropout)
            for _ in range(config.depth)
        )
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"layer{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per step of all leads, and (b, d) their mean as `pooled`.

        The first convolution reads zeros in place of an absent lead.
        """
        mask = patch_mask(time_mask, self.patch)
        patches = patchify(signal, self.patch, self.reach)  # (b, l, n, p)
        x = torch.where(mask[..., None], patches.transpose(1, 2).flatten(2) @ self.embed, 0.0)
        for layer, modulate in zip(self.layers, self.modulate, strict=True):
            x = torch.where(mask[..., None], modulate(layer(x, mask), condition), 0.0)
        tokens = torch.where(mask[..., None], self.norm(x), 0.0)
        times = patch_centres_ms(x.shape[1], self.patch, self.spec.rate_hz)
        return Tokens.ungrouped(tokens, mask, times, masked_mean(tokens, mask))
