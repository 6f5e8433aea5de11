"""Steps of all leads and a context over them that hears the past alone: the network of predictive coding.

Source: van den Oord et al. 2018 (CPC): an encoder of short stretches, and an autoregressive network over what it says;
for electrocardiograms Mehari and Strodthoff 2022; with a state space in place of the recurrent network arXiv
2509.25095. Ours: the stretches do not overlap, so that no step has seen a sample of the next one; their length is in
milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
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
    "tiny": {"width": 16, "depth": 1, "n_states": 4},
    "nano": {"width": 192, "step_ms": 40.0},
    "small": {"width": 512, "depth": 6, "step_ms": 1000 / 120},
    "base": {"width": 512, "depth": 8, "n_states": 32, "step_ms": 1000 / 120},
}
_PAST: Final = 1


class Context1dConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        context: what hears the past: `s4`, layers of diagonal state spaces, or `gru`.
        width: channels.
        depth: layers of the context.
        stem_depth: layers that read one step by itself.
        step_ms: time from one step to the next; never finer than the samples are.
        n_states: of `s4`, damped oscillations in the kernel of a channel.
        shortest_ms, longest_ms: of `s4`, the range from which the time scale of a channel is drawn at the start.
        dropout: of `s4`, of whole channels in a layer.
    """

    name: Literal["context1d"] = "context1d"
    context: Literal["s4", "gru"] = "s4"
    width: Annotated[int, Field(gt=0)] = 512
    depth: Annotated[int, Field(gt=0)] = 4
    stem_depth: Annotated[int, Field(gt=0)] = 3
    step_ms: Annotated[float, Field(gt=0)] = 20.0
    n_states: Annotated[int, Field(gt=0)] = 8
    shortest_ms: Annotated[float, Field(gt=0)] = 100.0
    longest_ms: Annotated[float, Field(gt=0)] = 10_000.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class _StepNorm(nn.Module):
    """Layer norm and gelu of each step by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) to the same."""
        normal: Tensor = nn.functional.gelu(self.norm(x))
        return normal


class _RecurrentLayer(nn.Module):
    """One gated recurrent layer (Cho et al. 2014), and a residual around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) to the same; what lies under a false mask is not changed, and read as 0.

        Its state goes on through such steps, so that a gap, or padding in front, is silence to it and not nothing.
        """
        new = self.gru(torch.where(mask[..., None], self.norm(x), 0.0))[0]
        return x + torch.where(mask[..., None], new, 0.0)


class Context1d(EncoderModule):
    """Layers that read one step of all leads, layers that hear the steps up to it, masked mean over time."""

    def __init__(self, config: Context1dConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.patch = max(1, round(config.step_ms * spec.rate_hz / 1000))
        taps = len(spec.leads) * self.patch
        self.embed = nn.Parameter(torch.randn(taps, config.width) / (TYPICAL_MV * taps**0.5))
        self.stem = nn.Sequential(
            *(
                part
                for one, other in pairwise([config.width] * config.stem_depth)
                for part in (_StepNorm(one), nn.Linear(one, other))
            )
        )
        self.layers = nn.ModuleList(self._layer() for _ in range(config.depth))
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"layer{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    @property
    def step_s(self) -> float:
        """Seconds from one step to the next."""
        return self.patch / self.spec.rate_hz

    def _layer(self) -> nn.Module:
        config = self.config
        if config.context == "gru":
            return _RecurrentLayer(config.width)
        scales = (config.shortest_ms, config.longest_ms)
        return StateLayer(
            DiagonalStates(config.width, config.n_states, 1000 * self.step_s, scales, _PAST), config.dropout
        )

    def local(self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]) -> tuple[Tensor, Tensor]:
        """(b, n, d) what is said of each step by itself, and (b, n) which of them were recorded.

        Args:
            signal: 0 wherever nothing was recorded; an absent lead is read as 0.
            time_mask: true inside the record.
        """
        mask = patch_mask(time_mask, self.patch)
        patches = patchify(signal, self.patch)  # (b, l, n, p)
        said = self.stem(patches.transpose(1, 2).flatten(2) @ self.embed)
        return torch.where(mask[..., None], said, 0.0), mask

    def context(self, local: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"], condition: Condition | None) -> Tokens:
        """Tokens (b, n, d), each of which has heard the steps up to its own, and (b, d) their mean as `pooled`."""
        x = local
        for layer, modulate in zip(self.layers, self.modulate, strict=True):
            x = torch.where(mask[..., None], modulate(layer(x, mask), condition), 0.0)
        tokens = torch.where(mask[..., None], self.norm(x), 0.0)
        times = patch_centres_ms(x.shape[1], self.patch, self.spec.rate_hz)
        return Tokens.ungrouped(tokens, mask, times, masked_mean(tokens, mask))

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per step of all leads, and (b, d) their mean as `pooled`."""
        del lead_mask
        return self.context(*self.local(signal, time_mask), condition)
