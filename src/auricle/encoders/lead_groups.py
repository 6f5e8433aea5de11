"""Lead groups in several time scales: the encoder of `lisa`.

Source: LISA proposal sections 3.1 (MVCSE: anatomical lead groups, shared temporal weights, channel attention between
groups) and 3.2 (MS-SATE: parallel patch embeddings, one transformer per scale, relative positions). Where the proposal
is silent the choices are ours and are named in the configuration.

Inside a group every lead has its own kernel. One shared kernel over a mean of leads would read the mean lead only:
the mean of {II, III, aVF} is aVF, and the electrical axis could not be read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from auricle import leads as lead_names
from auricle.batch import ECGBatch
from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens, n_conditions
from auricle.nn.channel_attention import ATTENTIONS, group_weights
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.masked_norm import MaskedNorm
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import MeanAndAttention, masked_mean
from auricle.nn.transformer import Block, Rotary
from auricle.signal.preprocess import TYPICAL_MV, InputSpec
from auricle.tracing import all_true, is_traced

# Of the stem `conv`: taps of the layers without a stride, the fewest positions of a stride after averaging, and how
# far its last layer sees into the neighbours.
_TAPS: Final = 7
_FEWEST_TAPS: Final = 10
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


@dataclass(frozen=True, slots=True)
class Waves:
    """What the body of the stem `conv` makes of every group, the records that lack a group left out.

    Attributes:
        x: (r, c, n) features of all groups in turn, 0 beyond each record.
        counts: (r, 1, n) positions with a recorded sample; None where all have.
        places: (r,) record + group * records of each row; None where every record has every group.
    """

    x: Float[Tensor, "r c n"]
    counts: Bool[Tensor, "r 1 n"] | None
    places: Int[Tensor, " r"] | None


class _Residual(nn.Module):
    """Two convolutions of seven taps, each normalised, and a shortcut around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        shape, size = (width, width, _TAPS), (width * _TAPS) ** -0.5
        self.first, self.second = nn.Parameter(torch.randn(shape) * size), nn.Parameter(torch.randn(shape) * size)
        self.first_norm, self.second_norm = MaskedNorm(width), MaskedNorm(width)

    def forward(self, x: Float[Tensor, "r c n"], counts: Bool[Tensor, "r 1 n"] | None) -> Float[Tensor, "r c n"]:
        """(r, c, n) to the same; 0 where nothing counts."""
        hidden = functional.conv1d(x, self.first, padding=_TAPS // 2)
        hidden = functional.relu(self.first_norm(hidden, counts, axis=1))
        hidden = functional.conv1d(hidden, self.second, padding=_TAPS // 2)
        return functional.relu(x + self.second_norm(hidden, counts, axis=1))


class StemBody(nn.Module):
    """What the scales of the stem `conv` share: leads of a group summed by kernels of their own, then residual layers.

    Nothing passes between groups. The first layer is each group's own, rescaled by how many of its leads are present;
    the layers behind it are one set of weights for all groups, as the weights over time are (proposal, 3.1).
    """

    def __init__(self, config: LeadGroupsConfig, groups: list[list[int]], step: int) -> None:
        super().__init__()
        self.groups, self.step = groups, step
        # Longer than its stride, and never so short that it sees a single flank.
        self.taps = max(_TAPS, 2 * step + 1)
        width = config.stem_width
        # Of a spread of 1 before any norm has seen a record, so that an untrained encoder is one like any other.
        self.kernels = nn.ParameterList(
            torch.randn(width, len(members), self.taps) / (TYPICAL_MV * (len(members) * self.taps) ** 0.5)
            for members in groups
        )
        self.norms = nn.ModuleList(MaskedNorm(width) for _ in groups)
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(config.stem_depth))

    def forward(
        self, signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
    ) -> Waves:
        """The features of all groups, one position every `step` samples.

        Args:
            signal: (b, l, t) zero where a lead is absent and beyond the record.
            lead_mask: (b, l) leads that are present.
            time_mask: (b, t) samples that were recorded.
        """
        # A mask in which all counts is none: most batches have no padding, and then a norm is one fast call.
        recorded = patch_mask(time_mask, self.step)[:, None]
        n, b = recorded.shape[-1], signal.shape[0]
        all_recorded = all_true(recorded)
        before = (self.taps - self.step) // 2
        padded = functional.pad(signal, (before, n * self.step - signal.shape[-1] + self.taps - self.step - before))
        found, counts, places = [], [], []
        for number, members in enumerate(self.groups):
            n_present = lead_mask[:, members].sum(-1)
            if is_traced():  # how many rows are left would depend on the batch: all stay, and some do not count
                counts.append(recorded & (n_present > 0)[:, None, None])
                found.append(self._enter(number, padded[:, members], n_present.clamp_min(1), counts[-1]))
                continue
            rows = n_present.nonzero()[:, 0]
            # Rows of records without the group are left out, so that no norm counts them.
            own = padded[:, members] if len(rows) == b else padded[rows][:, members]
            found.append(self._enter(number, own, n_present[rows], None if all_recorded else recorded[rows]))
            counts.append(recorded[rows])
            places.append(rows + number * b)
        x = torch.cat(found)
        together = None if all_recorded else torch.cat(counts)
        for block in self.blocks:
            x = block(x, together)
        is_whole = is_traced() or len(x) == b * len(self.groups)
        return Waves(x, together, None if is_whole else torch.cat(places))

    def _enter(
        self, number: int, own: Float[Tensor, "r l t"], n_present: Int[Tensor, " r"], counts: Tensor | None
    ) -> Float[Tensor, "r c n"]:
        """The first layer of a group on the records `own` that have `n_present` of its leads."""
        scale = len(self.groups[number]) / n_present[:, None, None]
        x = functional.conv1d(own * scale, self.kernels[number], stride=self.step)
        return functional.relu(self.norms[number](x, counts, axis=1))


class ConvStem(nn.Module):
    """Tokens of each group from its waves: a convolution with the stride of this scale, normalised.

    `patch` is the stride in positions of the waves; of the linear stems, in samples.
    """

    def __init__(self, config: LeadGroupsConfig, groups: list[list[int]], patch: int) -> None:
        super().__init__()
        self.n_streams, self.patch = len(groups), patch
        # A long stride reads means of a few positions: the kernel of a second needs no tap every 20 ms.
        fits = [
            d for d in range(1, self.patch + 1) if self.patch % d == 0 and (d == 1 or self.patch // d >= _FEWEST_TAPS)
        ]
        self.coarser = max(fits)
        self.stride = self.patch // self.coarser
        self.reach = round(self.stride * (_CONV_OVERLAP if config.overlap is None else config.overlap))
        shape = (config.width, config.stem_width, self.stride + 2 * self.reach)
        self.kernel = nn.Parameter(torch.randn(shape) / (shape[1] * shape[2]) ** 0.5)
        self.norm = MaskedNorm(config.width)
        self.identity = nn.Parameter(torch.randn(len(groups), config.width) * 0.5)

    def forward(
        self, waves: Waves, lead_mask: Bool[Tensor, "b l"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b s n d"]:
        """(b, group, n, d) one stream of tokens per group.

        Args:
            waves: of every group, from `StemBody`.
            lead_mask: (b, l) leads that are present; `waves` know already.
            mask: (b, n) tokens with a recorded sample.
        """
        del lead_mask
        b, n = mask.shape
        read = functional.pad(waves.x, (0, n * self.patch - waves.x.shape[-1]))
        read = functional.avg_pool1d(read, self.coarser) if self.coarser > 1 else read
        tokens = functional.conv1d(functional.pad(read, (self.reach, self.reach)), self.kernel, stride=self.stride)
        counts = None if waves.counts is None else patch_mask(waves.counts[:, 0], self.patch)[:, None]
        # Contiguous, or every matrix product behind it reads across.
        normal: Tensor = self.norm(tokens, counts, axis=1).transpose(1, 2).contiguous()
        if waves.places is not None:
            normal = normal.new_zeros(b * self.n_streams, *normal.shape[1:]).index_copy(0, waves.places, normal)
        return torch.unflatten(normal, 0, (self.n_streams, b)).transpose(0, 1) + self.identity[:, None]

    def gather(self, x: Float[Tensor, "b s n d"], lead_mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b g n d"]:
        """(b, g, n, d) streams as they are: each is a group already."""
        del lead_mask
        return x


class GroupStem(nn.Module):
    """Tokens of a group: the sum over its present leads of lead-specific kernels, rescaled by how many are present."""

    def __init__(self, config: LeadGroupsConfig, groups: list[list[int]], patch: int) -> None:
        super().__init__()
        self.groups, self.n_streams = groups, len(groups)
        self.patch, self.reach = patch, round(patch * (config.overlap or 0.0))
        taps = patch + 2 * self.reach
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.randn(len(members) * taps, config.width) / (TYPICAL_MV * (len(members) * taps) ** 0.5))
            for members in groups
        )
        self.identity = nn.Parameter(torch.randn(len(groups), config.width) * 0.5)

    def forward(
        self, signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b s n d"]:
        """(b, group, n, d) one stream of tokens per group.

        Args:
            signal: (b, l, t) zero where a lead is absent.
            lead_mask: (b, l) leads that are present.
            mask: (b, n) tokens with a recorded sample; not needed here.
        """
        del mask
        patches = patchify(signal, self.patch, self.reach)  # (b, l, n, p)
        streams = []
        for members, kernel in zip(self.groups, self.kernels, strict=True):
            present = lead_mask[:, members].sum(-1)
            scale = len(members) / present.clamp_min(1)
            joined = patches[:, members].transpose(1, 2).flatten(2)  # (b, n, members * p)
            streams.append((joined @ kernel) * scale[:, None, None])
        return torch.stack(streams, dim=1) + self.identity[:, None]

    def gather(self, x: Float[Tensor, "b s n d"], lead_mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b g n d"]:
        """(b, g, n, d) streams as they are: each is a group already."""
        del lead_mask
        return x


class PerLeadStem(nn.Module):
    """A stream of tokens per lead under one kernel and a lead embedding; leads meet by attention inside their group."""

    def __init__(self, config: LeadGroupsConfig, groups: list[list[int]], patch: int) -> None:
        super().__init__()
        self.groups = groups
        self.order = [lead for members in groups for lead in members]
        self.n_streams = len(self.order)
        self.patch, self.reach = patch, round(patch * (config.overlap or 0.0))
        taps = patch + 2 * self.reach
        self.kernel = nn.Parameter(torch.randn(taps, config.width) / (TYPICAL_MV * taps**0.5))
        self.identity = nn.Parameter(torch.randn(self.n_streams, config.width) * 0.5)
        self.score = nn.Linear(config.width, 1, bias=False)

    def forward(
        self, signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b s n d"]:
        """(b, lead, n, d) one stream of tokens per lead, in the order of the groups, from signals (b, l, t)."""
        del lead_mask, mask
        patches = patchify(signal[:, self.order], self.patch, self.reach)
        return patches @ self.kernel + self.identity[:, None]

    def gather(self, x: Float[Tensor, "b s n d"], lead_mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b g n d"]:
        """(b, g, n, d) streams of leads pooled by attention over the present leads of each group."""
        present = lead_mask[:, self.order]
        scores = self.score(x).squeeze(-1)  # (b, s, n)
        scores = scores.masked_fill(~present[:, :, None], torch.finfo(scores.dtype).min)
        pooled, first = [], 0
        for members in self.groups:
            part = slice(first, first + len(members))
            weights = scores[:, part].softmax(1)
            pooled.append((weights[..., None] * x[:, part]).sum(1))
            first += len(members)
        return torch.stack(pooled, dim=1)


_STEMS: Final[Mapping[str, type[ConvStem] | type[GroupStem] | type[PerLeadStem]]] = {
    "conv": ConvStem,
    "group": GroupStem,
    "per_lead": PerLeadStem,
}


class _Scale(nn.Module):
    """One time scale: stem, transformer over time with weights shared by all streams, attention between groups."""

    patch: int

    def __init__(self, encoder: LeadGroups, config: LeadGroupsConfig, number: int, patch: int, step: int) -> None:
        super().__init__()
        self.patch = patch
        n_groups = len(encoder.group_names)
        self.stem = _STEMS[config.stem](config, encoder.group_rows, patch // step)
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
        self.body = StemBody(config, self.group_rows, step) if is_conv else None
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
