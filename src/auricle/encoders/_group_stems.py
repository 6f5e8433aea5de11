"""What turns the leads of each group into tokens of one time scale: the stems of `lead_groups`.

Source: LISA proposal, 3.1. Inside a group every lead has its own kernel. One shared kernel over a mean of leads would
read the mean lead only: the mean of {II, III, aVF} is aVF, and the electrical axis could not be read from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from auricle.nn.masked_norm import MaskedNorm
from auricle.nn.patch import patch_mask, patchify
from auricle.signal.preprocess import TYPICAL_MV
from auricle.tracing import all_true, is_traced

# Taps of the layers without a stride, and the fewest positions of a stride after averaging.
_TAPS: Final = 7
_FEWEST_TAPS: Final = 10


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
    the layers behind it are one set of weights for all groups, as the weights over time are (LISA proposal, 3.1).

    Args:
        groups: rows of the leads of each group.
        step: stride of the first layer in samples.
        width: channels of each group.
        depth: residual layers.
    """

    def __init__(self, groups: list[list[int]], step: int, width: int, depth: int) -> None:
        super().__init__()
        self.groups, self.step = groups, step
        # Longer than its stride, and never so short that it sees a single flank.
        self.taps = max(_TAPS, 2 * step + 1)
        # Of a spread of 1 before any norm has seen a record, so that an untrained encoder is one like any other.
        self.kernels = nn.ParameterList(
            torch.randn(width, len(members), self.taps) / (TYPICAL_MV * (len(members) * self.taps) ** 0.5)
            for members in groups
        )
        self.norms = nn.ModuleList(MaskedNorm(width) for _ in groups)
        self.blocks = nn.ModuleList(_Residual(width) for _ in range(depth))

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


class _OfGroups(nn.Module):
    """A stem whose streams are the groups."""

    def gather(self, x: Float[Tensor, "b s n d"], lead_mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b g n d"]:
        """(b, g, n, d) streams as they are: each is a group already."""
        del lead_mask
        return x


class GroupConvStem(_OfGroups):
    """Tokens of each group from its waves: a convolution with the stride of this scale, normalised.

    Args:
        groups: rows of the leads of each group.
        patch: stride in positions of the waves.
        width: channels of a token.
        overlap: how far a token sees into its neighbours on either side, as a share of the stride.
        stem_width: channels of the waves.
    """

    def __init__(self, groups: list[list[int]], patch: int, width: int, overlap: float, stem_width: int) -> None:
        super().__init__()
        self.n_streams, self.patch = len(groups), patch
        # A long stride reads means of a few positions: the kernel of a second needs no tap every 20 ms.
        fits = [
            d for d in range(1, self.patch + 1) if self.patch % d == 0 and (d == 1 or self.patch // d >= _FEWEST_TAPS)
        ]
        self.coarser = max(fits)
        self.stride = self.patch // self.coarser
        self.reach = round(self.stride * overlap)
        shape = (width, stem_width, self.stride + 2 * self.reach)
        self.kernel = nn.Parameter(torch.randn(shape) / (shape[1] * shape[2]) ** 0.5)
        self.norm = MaskedNorm(width)
        self.identity = nn.Parameter(torch.randn(len(groups), width) * 0.5)

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


class GroupStem(_OfGroups):
    """Tokens of a group: the sum over its present leads of lead-specific kernels, rescaled by how many are present.

    Args:
        groups: rows of the leads of each group.
        patch: stride in samples.
        width: channels of a token.
        overlap: how far a patch sees into its neighbours on either side, as a share of the stride.
    """

    def __init__(self, groups: list[list[int]], patch: int, width: int, overlap: float) -> None:
        super().__init__()
        self.groups, self.n_streams = groups, len(groups)
        self.patch, self.reach = patch, round(patch * overlap)
        taps = patch + 2 * self.reach
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.randn(len(members) * taps, width) / (TYPICAL_MV * (len(members) * taps) ** 0.5))
            for members in groups
        )
        self.identity = nn.Parameter(torch.randn(len(groups), width) * 0.5)

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


class PerLeadStem(nn.Module):
    """A stream of tokens per lead under one kernel and a lead embedding; leads meet by attention inside their group.

    Args:
        groups: rows of the leads of each group.
        patch: stride in samples.
        width: channels of a token.
        overlap: how far a patch sees into its neighbours on either side, as a share of the stride.
    """

    def __init__(self, groups: list[list[int]], patch: int, width: int, overlap: float) -> None:
        super().__init__()
        self.groups = groups
        self.order = [lead for members in groups for lead in members]
        self.n_streams = len(self.order)
        self.patch, self.reach = patch, round(patch * overlap)
        taps = patch + 2 * self.reach
        self.kernel = nn.Parameter(torch.randn(taps, width) / (TYPICAL_MV * taps**0.5))
        self.identity = nn.Parameter(torch.randn(self.n_streams, width) * 0.5)
        self.score = nn.Linear(width, 1, bias=False)

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
