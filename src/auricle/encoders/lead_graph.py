"""Leads as the nodes of a graph that attend to each other: the series encoder of `mirage`.

Source: the MIRAGE document, section B (after Graphormer, Ying et al. 2021). Each lead is standardised by itself and
becomes one node, `h = W x + b`; layers of attention `softmax((QK^T + B) / sqrt(d)) V` with a learned B for every pair
of leads; a class token reads the nodes through a transformer encoder. Ours: a learned identity of each lead (with one W
for all and B at zero, nodes would be interchangeable) and `lead_stem = "conv"`, because one linear map of a whole lead
gives another result for the same beats shifted in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.pooling import MeanAndAttention, masked_mean
from auricle.nn.transformer import Block
from auricle.signal.preprocess import InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 2, "n_heads": 2},
    "nano": {"width": 96, "depth": 2, "n_heads": 4},
    "small": {"width": 256, "depth": 3, "n_heads": 4, "readout_depth": 2},
    "base": {"width": 512, "depth": 6, "n_heads": 8, "readout_depth": 2},
}
# Kernel and stride in samples of the layers of the convolutional stem; at 100 Hz the last one sees about half a second.
_CONV_LAYERS: Final = ((15, 2), (9, 2), (9, 2))


class LeadGraphConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        width: features of a node.
        depth: layers of attention between the leads; with 0 the class token reads the nodes of the stem.
        readout_depth: layers of the transformer encoder through which the class token reads the nodes.
        lead_stem: `linear` (the document's: one map of the whole lead, so its length is fixed) or `conv`.
    """

    name: Literal["lead_graph"] = "lead_graph"
    width: Annotated[int, Field(gt=0)] = 256
    depth: Annotated[int, Field(ge=0)] = 3
    readout_depth: Annotated[int, Field(ge=0)] = 1
    n_heads: Annotated[int, Field(gt=0)] = 4
    mlp_ratio: float = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lead_stem: Literal["linear", "conv"] = "linear"


class LinearStem(nn.Module):
    """One map of all samples of a lead, the same for every lead."""

    def __init__(self, n_samples: int, width: int) -> None:
        super().__init__()
        self.n_samples = n_samples
        self.embed = nn.Linear(n_samples, width)

    def forward(self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b l d"]:
        """(b, l, d) nodes; a signal shorter than the map is padded with zeros, a longer one is cut."""
        del time_mask
        nodes: Tensor = self.embed(F.pad(signal, (0, self.n_samples - signal.shape[-1])))
        return nodes


class ConvStem(nn.Module):
    """Convolutions over time, the same for every lead, then mean and attention over time.

    Pooling over time makes the node nearly the same wherever the beats lie.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [1, *(max(8, width // 2 ** (len(_CONV_LAYERS) - i)) for i in range(1, len(_CONV_LAYERS))), width]
        # The norm subtracts what all records share; without it the differences between records are small beside it.
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(widths[i], widths[i + 1], kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(widths[i + 1]),
            )
            for i, (kernel, stride) in enumerate(_CONV_LAYERS)
        )
        self.pool = MeanAndAttention(width)

    def forward(self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b l d"]:
        """(b, l, d) nodes of leads of any length."""
        b, n_leads, _ = signal.shape
        # Every lead is a signal of its own: (b * l, 1, t), and (b * l, d, t) behind the convolutions.
        x, mask = signal.flatten(0, 1)[:, None], time_mask.repeat_interleave(n_leads, 0)
        for layer, (_, stride) in zip(self.layers, _CONV_LAYERS, strict=True):
            mask = mask[:, ::stride]
            # Padding is set to zero again, or the norm's shift would reach recorded samples through the next layer.
            x = torch.where(mask[:, None], F.gelu(layer(x)), 0.0)
        nodes: Tensor = self.pool(x.transpose(1, 2), mask)  # (b * l, d)
        return nodes.view(b, n_leads, -1)


def standardised(
    signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b l t"]:
    """(b, l, t) leads with mean 0 and standard deviation 1 over their valid samples; 0 elsewhere.

    Instance normalisation (Ulyanov et al. 2016) of each lead of each record; a flat lead becomes 0.

    Args:
        signal: (b, l, t) in any unit.
        lead_mask: (b, l) leads that are present.
        time_mask: (b, t) samples inside the record.
    """
    valid = lead_mask[:, :, None] & time_mask[:, None]
    n = valid.sum(-1, keepdim=True).clamp_min(1)
    signal = torch.where(valid, signal, 0.0)
    centred = torch.where(valid, signal - signal.sum(-1, keepdim=True) / n, 0.0)
    deviation = (centred.square().sum(-1, keepdim=True) / n).sqrt()
    return centred / deviation.clamp_min(1e-4)  # a flat lead stays flat


class LeadGraph(EncoderModule):
    """Lead nodes, attention with a learned bias between leads, a class token."""

    def __init__(self, config: LeadGraphConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        n_leads = len(spec.leads)
        self.stem = ConvStem(config.width) if config.lead_stem == "conv" else LinearStem(spec.n_samples, config.width)
        self.identity = nn.Parameter(torch.randn(n_leads, config.width) * 0.5)
        self.bias = nn.Parameter(torch.zeros(config.depth, n_leads, n_leads))
        self.blocks = nn.ModuleList(self._block() for _ in range(config.depth))
        for number in range(config.depth):
            # A gain of its own for every lead: a gate that sees channels only could not turn V1 up.
            self.add_point(ModulationPoint(f"graph{number}", config.width, -1, n_leads, 1))
        self.class_token = nn.Parameter(torch.randn(config.width) * 0.5)
        self.readout = nn.ModuleList(self._block() for _ in range(config.readout_depth))
        self.norm = nn.LayerNorm(config.width)

    def _block(self) -> Block:
        return Block(self.config.width, self.config.n_heads, self.config.mlp_ratio, self.config.dropout)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, l, d) one token per lead, and (b, d) the class token as `pooled`.

        The class token of a record without any lead attends to itself only. Without a layer through which it could read
        the nodes it knows nothing, and the mean of the nodes stands in its place.
        """
        # One node per lead: (b, l, t) to (b, l, d).
        signal, time_mask = signal[..., : self.spec.n_samples], time_mask[:, : self.spec.n_samples]
        x = self.stem(standardised(signal, lead_mask, time_mask), time_mask) + self.identity
        x = torch.where(lead_mask[..., None], x, 0.0)
        # Attention between leads. A softmax over no key is NaN, so a record without leads attends to its zeros.
        looked_at = lead_mask | ~lead_mask.any(-1, keepdim=True)
        for number, block in enumerate(self.blocks):
            x = self.modulate[number](block(x, looked_at, bias=self.bias[number]), condition)
        # The class token reads the nodes: (b, 1 + l, d).
        x = torch.cat([self.class_token.expand(x.shape[0], 1, -1).to(x), x], dim=1)
        present = F.pad(lead_mask, (1, 0), value=True)
        for block in self.readout:
            x = block(x, present)
        x = self.norm(x)
        middle_ms = torch.full((lead_mask.shape[1],), 500 * self.spec.seconds)  # a node is the whole lead
        pooled = x[:, 0] if self.readout else masked_mean(x[:, 1:], lead_mask)
        return Tokens.ungrouped(x[:, 1:], lead_mask, middle_ms, pooled)
