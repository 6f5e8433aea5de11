"""Codebooks: features as one of a few learned vectors in each of some groups, and how many of them are in use.

Sources: Baevski et al. 2020 (wav2vec 2.0), section 2: product quantisation by a Gumbel softmax (Jang et al. 2017); van
den Oord et al. 2017 (VQ-VAE), appendix A.1: the nearest entry, which follows what falls to it by an exponential mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.processes import gather, gather_without_gradient, mean_over_active, world

# How many features an entry that begins stands for: few, so that the first that fall to it move it far.
_LITTLE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Quantised:
    """What a codebook makes of features.

    Attributes:
        vectors: (b, n, d) of the chosen entries, those of all groups side by side.
        diversity: scalar, 0 where all entries are used alike and near 1 where one of each group is used.
        used: scalar, the perplexity of the entries, summed over the groups: how many are in use.
    """

    vectors: Float[Tensor, "b n d"]
    diversity: Float[Tensor, ""]
    used: Float[Tensor, ""]


class GumbelCodebook(nn.Module):
    """Features to one entry in each group; in training drawn by a Gumbel softmax, and the most likely one afterwards.

    Args:
        width: of the features.
        n_groups: G, groups.
        n_entries: V, entries of a group; at least two.
        width_out: of the vectors, a multiple of the groups.

    Raises:
        ValueError: fewer than two entries, or a width that the groups do not divide.
    """

    def __init__(self, width: int, n_groups: int, n_entries: int, width_out: int) -> None:
        super().__init__()
        if n_entries < 2:
            raise ValueError(f"a codebook of {n_entries} entry says the same of everything: give it two or more")
        if width_out % n_groups:
            raise ValueError(f"{n_groups} groups do not divide a width of {width_out}")
        self.n_groups, self.n_entries = n_groups, n_entries
        self.choose = nn.Linear(width, n_groups * n_entries)
        self.entries = nn.Parameter(torch.rand(n_groups, n_entries, width_out // n_groups))

    def forward(self, x: Float[Tensor, "b n d"], counts: Bool[Tensor, "b n"], temperature: float) -> Quantised:
        """Quantised features.

        Args:
            x: features; where `counts` is false they have no say in the diversity.
            counts: places that are quantised.
            temperature: of the draw.
        """
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.float(), self.choose.weight.float(), self.choose.bias.float())
            logits = torch.unflatten(logits, -1, (self.n_groups, self.n_entries))  # (b, n, G, V)
            if self.training:
                chosen = F.gumbel_softmax(logits, temperature, hard=True)
            else:
                chosen = F.one_hot(logits.argmax(-1), self.n_entries).to(logits)
            vectors = torch.einsum("bngv,gvd->bngd", chosen, self.entries.float()).flatten(2)
            # The mean choice over the batch of all processes; of a batch without a place, one entry of each group.
            total = torch.where(counts[..., None, None], logits.softmax(-1), 0.0).sum((0, 1))
            row = torch.cat([total.flatten(), counts.sum()[None].to(total)])
            summed = gather(row[None]).sum(0)
            mean = (summed[:-1] / summed[-1].detach().clamp_min(1)).view(self.n_groups, self.n_entries)
            perplexity = torch.exp(-(mean * (mean + 1e-7).log()).sum(-1))
        n_all = self.n_groups * self.n_entries
        return Quantised(vectors, (n_all - perplexity.sum()) / n_all, perplexity.sum().detach())


@dataclass(frozen=True, slots=True)
class Assigned:
    """What a codebook of directions makes of features.

    Attributes:
        index: (b, n) entry of each place.
        vectors: (b, n, d) unit vectors of the entries; gradients pass to the features as if nothing had been replaced.
        commitment: scalar, mean squared distance of the features' directions from their entries; it moves no entry.
        used: scalar, the perplexity of the entries: how many are in use.
    """

    index: Int[Tensor, "b n"]
    vectors: Float[Tensor, "b n d"]
    commitment: Float[Tensor, ""]
    used: Float[Tensor, ""]


class NearestCodebook(nn.Module):
    """Directions: features to the entry of the largest cosine; entries are means of what fell to them, never trained.

    In training an entry moves towards the mean direction of the features that fell to it, and one that nothing fell to
    for a while begins anew at a feature of the batch, the same in all processes.

    Args:
        n_entries: at least two.
        width: of the features.
        keep: how much of an entry's mean a step keeps.
        patience: steps without a feature after which an entry begins anew.

    Raises:
        ValueError: fewer than two entries.
    """

    entries: Tensor
    weight: Tensor
    idle: Tensor
    n_updates: Tensor

    def __init__(self, n_entries: int, width: int, keep: float = 0.99, patience: int = 20) -> None:
        super().__init__()
        if n_entries < 2:
            raise ValueError(f"a codebook of {n_entries} entry says the same of everything: give it two or more")
        self.keep, self.patience = keep, patience
        self.register_buffer("entries", F.normalize(torch.randn(n_entries, width), dim=-1))
        self.register_buffer("weight", torch.full((n_entries,), _LITTLE))
        # Fresh entries point anywhere: those that nothing falls to at once begin anew at once.
        self.register_buffer("idle", torch.full((n_entries,), patience - 1))
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.long))

    def forward(self, x: Float[Tensor, "b n d"], counts: Bool[Tensor, "b n"]) -> Assigned:
        """Entries of features; in training the entries move afterwards.

        Args:
            x: features; where `counts` is false they have no say in anything.
            counts: places that are quantised.
        """
        with torch.autocast(x.device.type, enabled=False):
            unit = F.normalize(torch.where(counts[..., None], x, 0.0).float(), dim=-1)
            index = (unit.detach() @ self.entries.T).argmax(-1)
            chosen = self.entries[index]
            commitment = mean_over_active((unit - chosen).square().sum(-1), counts)
            fallen, total = self._fallen(unit.detach(), index, counts)
            share = fallen / fallen.sum().clamp_min(1)
            used = torch.exp(-(share * (share + 1e-7).log()).sum())
            vectors = unit + (chosen - unit).detach()
            if self.training:
                self._follow(unit.detach()[counts], fallen, total)
        return Assigned(index, vectors, commitment, used)

    def _fallen(self, unit: Tensor, index: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """(v,) how many features fell to each entry in all processes, and (v, d) their sum."""
        own = torch.zeros(len(self.entries), unit.shape[-1] + 1, device=unit.device)
        row = torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1)[counts]
        summed = gather_without_gradient(own.index_add_(0, index[counts], row)[None]).sum(0)
        return summed[:, -1], summed[:, :-1]

    @torch.no_grad()
    def _follow(self, unit: Float[Tensor, "m d"], fallen: Float[Tensor, " v"], total: Float[Tensor, "v d"]) -> None:
        """Move the entries towards the means of what fell to them, and let idle ones begin anew."""
        self.n_updates += 1
        mean = self.weight[:, None] * self.entries * self.keep + total * (1 - self.keep)
        self.weight.mul_(self.keep).add_((1 - self.keep) * fallen)
        moved = (fallen > 0)[:, None]
        self.entries.copy_(torch.where(moved, F.normalize(mean, dim=-1), self.entries))
        self.idle.add_(1).masked_fill_(fallen > 0, 0)
        dead = (self.idle >= self.patience).nonzero().flatten()
        fresh = self._fresh(unit, len(dead)) if len(dead) else unit[:0]
        dead = dead[: len(fresh)]
        self.entries[dead], self.weight[dead], self.idle[dead] = fresh, _LITTLE, 0

    def _fresh(self, unit: Float[Tensor, "m d"], n: int) -> Float[Tensor, "k d"]:
        """(k, d) up to n features of all processes: from all over the batch, and other ones each step."""
        counts = gather_without_gradient(torch.tensor([len(unit)], device=unit.device))
        n_all, first = int(counts.sum()), int(counts[: world()[0]].sum())
        k = min(n, n_all)
        place = (torch.arange(k, device=unit.device) * max(1, n_all // max(1, k)) + self.n_updates) % max(1, n_all)
        # Each process gives those of the places that are its own.
        own = (place >= first) & (place < first + len(unit))
        given = unit.new_zeros(k, unit.shape[-1])
        given[own] = unit[place[own] - first]
        return gather_without_gradient(given[None]).sum(0)
