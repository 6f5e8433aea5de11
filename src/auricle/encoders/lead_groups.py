"""Lead groups in several time scales: the encoder of `lisa`.

Source: LISA proposal sections 3.1 (MVCSE: anatomical lead groups, shared temporal weights, channel attention between
groups) and 3.2 (MS-SATE: parallel patch embeddings, one transformer per scale, relative positions). Where the proposal
is silent the choices are ours and are named in the configuration.

What makes tokens of a group's leads is in `_group_stems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor, nn

from auricle import leads as lead_names
from auricle.batch import ECGBatch
from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens, n_conditions
from auricle.encoders._group_stems import GroupConvStem, GroupStem, PerLeadStem, StemBody, Waves
from auricle.nn.channel_attention import ATTENTIONS, group_weights
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask
from auricle.nn.pooling import MeanAndAttention, masked_mean
from auricle.nn.transformer import Block, Rotary
from auricle.signal.preprocess import InputSpec
from auricle.tracing import all_true

# How far the last layer of the stem `conv` sees into its neighbours, unless it is said.
_CONV_OVERLAP: Final = 0.5

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "stem_width": 4, "stem_depth": 1, "depth": 2, "n_heads": 2, "patch_ms": (100, 250, 500)},
    "nano": {"width": 64, "depth": 1, "n_heads": 4, "patch_ms": (100, 250, 1000)},
    "small": {"width": 192, "depth": 4, "n_heads": 6},
    "base": {"width": 256, "depth": 6, "n_heads": 8},
}


class LeadGroupsConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        width: channels per scale; the pooled representation is `len(patch_ms)` times as wide.
        depth: transformer blocks per scale.
        patch_ms: stride of each scale, in ms (ours: waveform, complex, rhythm), so they follow the rate.
        overlap: how far a patch sees into its neighbours on either side, as a share of the stride. With 0 kernel and
            stride are equal, and a shift inside a patch matters more (`benchmarks/shift.py`); with .5 the kernel is
            twice the stride. None takes .5 for the stem `conv` and 0 for the others.
        groups: lead groups; a lead of the input in no group is not read.
        stem: `conv` (normalised convolutions on the leads of each group, then one with a stride for each scale),
            `group` (one linear map of a patch: each lead its own kernel, summed in the group), or `per_lead` (the
            temporal encoder runs on every lead, then attention pooling inside the group: the literal reading of 3.1).
        stem_width, stem_depth: channels of each group in the stem `conv`, and its residual layers.
        stem_ms: stride of its first layer, in ms.
        attention: inter-group attention: `se`, `eca`, or `none` (all present groups weigh 1).
    """

    name: Literal["lead_groups"] = "lead_groups"
    width: Annotated[int, Field(gt=0)] = 192
    depth: Annotated[int, Field(gt=0)] = 4
    n_heads: Annotated[int, Field(gt=0)] = 6
    mlp_ratio: float = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patch_ms: tuple[float, ...] = (40, 100, 500)
    overlap: Annotated[float, Field(ge=0, le=1)] | None = None
    groups: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(lead_names.LISA_GROUPS))
    stem: Literal["conv", "group", "per_lead"] = "conv"
    stem_width: Annotated[int, Field(gt=0)] = 32
    stem_depth: Annotated[int, Field(ge=0)] = 2
    stem_ms: Annotated[float, Field(gt=0)] = 20.0
    attention: Literal["se", "eca", "none"] = "se"


def _stem(config: LeadGroupsConfig, groups: list[list[int]], patch: int) -> GroupConvStem | GroupStem | PerLeadStem:
    """What makes tokens of one scale; its stride `patch` is in positions of the waves, or in samples."""
    if config.stem == "conv":
        overlap = _CONV_OVERLAP if config.overlap is None else config.overlap
        return GroupConvStem(groups, patch, config.width, overlap, config.stem_width)
    kind = GroupStem if config.stem == "group" else PerLeadStem
    return kind(groups, patch, config.width, config.overlap or 0.0)


class _Scale(nn.Module):
    """One time scale: stem, transformer over time with weights shared by all streams, attention between groups."""

    patch: int

    def __init__(self, encoder: LeadGroups, config: LeadGroupsConfig, number: int, patch: int, step: int) -> None:
        super().__init__()
        self.patch = patch
        n_groups = len(encoder.group_names)
        self.stem = _stem(config, encoder.group_rows, patch // step)
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = nn.ModuleList(
            Block(config.width, config.n_heads, config.mlp_ratio, config.dropout) for _ in range(config.depth)
        )
        name = f"scale{number}"
        self.points = [
            encoder.add_point(ModulationPoint(f"{name}.block{i}", config.width, -1, self.stem.n_streams, 1))
            for i in range(config.depth)
        ]
        self.gate_point = encoder.add_point(ModulationPoint(f"{name}.group_gate", 1, -1, n_groups, 1))
        # The squeeze is taken before the layer norm: behind it the mean over channels is a constant.
        self.squeeze = nn.Linear(config.width, 1)
        self.attention = None if config.attention == "none" else ATTENTIONS[config.attention](n_groups)
        self.pool, self.norm = MeanAndAttention(config.width), nn.LayerNorm(config.width)
        self.mix = nn.Parameter(torch.randn(n_groups, config.width, config.width) / (n_groups * config.width) ** 0.5)

    def forward(
        self,
        encoder: LeadGroups,
        read: Tensor | Waves,
        lead_mask: Tensor,
        time_mask: Tensor,
        condition: Condition | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the stem reads, (b, lead, t) or the waves of groups, as tokens of groups.

        With k conditions for each record all that comes before the first modulation is done once, and b is k times as
        large behind it.

        Returns:
            Tokens (b, g, n, d), their mask (b, n), the groups' parts of the pooled output (b, g, d), weights (b, g).
        """
        # Tokens of each stream, and a transformer over time in which records and streams are one axis.
        mask = patch_mask(time_mask, self.patch)
        x = self.stem(read, lead_mask, mask)
        b, s, n, _ = x.shape
        turn = self.rotary(n)
        # Attention without a mask takes the fast path, and most batches have no padding.
        keys = None if all_true(mask) else mask[:, None].expand(b, s, n).flatten(0, 1)
        k = n_conditions(condition, b)
        for number, (block, point) in enumerate(zip(self.blocks, self.points, strict=True)):
            x = block(x.flatten(0, 1), keys, turn).unflatten(0, (-1, s))
            if number == 0 and k > 1:
                x, mask, lead_mask = x.repeat(k, 1, 1, 1), mask.repeat(k, 1), lead_mask.repeat(k, 1)
                keys = None if keys is None else keys.repeat(k, 1)
            x = encoder.modulate[point](x, condition)
        # Attention between groups: streams become groups, each squeezed to one number and weighed.
        x = self.stem.gather(x, lead_mask)  # (b, g, n, d)
        present = encoder.groups_present(lead_mask)
        in_group = mask[:, None].expand(*x.shape[:3])
        logits = x.new_zeros(present.shape)
        if self.attention is not None:
            squeezed = masked_mean(self.squeeze(x), in_group).squeeze(-1)
            logits = self.attention(torch.where(present, squeezed, 0.0))
        logits = encoder.modulate[self.gate_point](logits[..., None], condition).squeeze(-1)
        weights = group_weights(logits, present)
        # Pooled over time; each group has a matrix of its own.
        pooled = weights[..., None] * self.norm(self.pool(x, in_group))  # (b, g, d)
        return x * weights[..., None, None], mask, torch.einsum("bgd,gde->bge", pooled, self.mix), weights


class LeadGroups(EncoderModule):
    """Multi-view, multi-scale encoder with age-modulated blocks, group weights and scale gains."""

    def __init__(self, config: LeadGroupsConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        index = lead_names.group_index(config.groups, spec.leads)
        self.group_rows = [[row for row, g in enumerate(index) if g == number] for number in range(len(config.groups))]
        kept = [number for number, rows in enumerate(self.group_rows) if rows]
        self.group_rows = [self.group_rows[number] for number in kept]
        self.group_names = tuple(list(config.groups)[number] for number in kept)
        # Strides are whole steps of the stem, which is one sample for the linear stems.
        is_conv = config.stem == "conv"
        step = max(1, round(config.stem_ms * spec.rate_hz / 1000)) if is_conv else 1
        patches = [step * max(1, round(ms * spec.rate_hz / 1000 / step)) for ms in config.patch_ms]
        self.body = StemBody(self.group_rows, step, config.stem_width, config.stem_depth) if is_conv else None
        self.scales = nn.ModuleList(_Scale(self, config, i, patch, step) for i, patch in enumerate(patches))
        self.gain_point = self.add_point(ModulationPoint("scale_gain", 1, -1, len(patches), 1))
        self.scale_names = tuple(f"{ms:g} ms" for ms in config.patch_ms)
        self.width = config.width * len(patches)

    def groups_present(self, lead_mask: Bool[Tensor, "b l"]) -> Bool[Tensor, "b g"]:
        """(b, g) whether a group has at least one recorded lead."""
        return torch.stack([lead_mask[:, rows].any(-1) for rows in self.group_rows], dim=1)

    def read_each(self, batch: ECGBatch, condition: Condition | None) -> Tokens:
        """Encode each of b records under k conditions (k * b, d) by source: k * b records, the first conditions first.

        Stems and the first block of each scale read every record once: the conditions act behind them.
        """
        return self.read(batch, condition)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) tokens: all scales in turn, in each the groups in turn; nothing under a false mask is read.

        `pooled` (b, scales * d) is the scales side by side; `group_weight` and `group_contribution` are (b, g).
        """
        read = signal if self.body is None else self.body(signal, lead_mask, time_mask)
        present = self.groups_present(lead_mask).repeat(n_conditions(condition, signal.shape[0]), 1)
        # Every scale by itself; its (b, g, n, d) tokens become one axis (b, g * n, d).
        tokens, masks, parts, weights, times, scale_of = [], [], [], [], [], []
        for number, scale in enumerate(self.scales):
            assert isinstance(scale, _Scale)
            x, mask, part, weight = scale(self, read, lead_mask, time_mask, condition)
            g, n = x.shape[1:3]
            tokens.append(x.flatten(1, 2))
            masks.append((mask[:, None] & present[..., None]).flatten(1))
            times.append(patch_centres_ms(n, scale.patch, self.spec.rate_hz).repeat(g))
            scale_of.append(torch.full((g * n,), number))
            parts.append(part)
            weights.append(weight)
        # The pooled output: groups are summed in each scale, and each scale has a gain.
        per_scale = torch.stack(parts, dim=1)  # (b, scale, g, d)
        summed = per_scale.sum(2)
        gained = self.modulate[self.gain_point](summed, condition)
        # Each group's share in the pooled output; a scale with a larger gain counts more.
        gain = gained.norm(dim=-1) / summed.norm(dim=-1).clamp_min(1e-9)
        sizes = (per_scale.norm(dim=-1) * gain[..., None]).sum(1)
        # The group of every token.
        group = [
            torch.arange(len(self.group_names)).repeat_interleave(x.shape[1] // len(self.group_names)) for x in tokens
        ]
        device = signal.device
        return Tokens(
            tokens=torch.cat(tokens, dim=1),
            mask=torch.cat(masks, dim=1),
            group=torch.cat(group).to(device),
            time_ms=torch.cat(times).to(device),
            scale=torch.cat(scale_of).to(device),
            pooled=gained.flatten(1),
            group_weight=torch.stack(weights).mean(0),
            group_contribution=sizes / sizes.sum(1, keepdim=True).clamp_min(1e-9),
        )
