"""Codebooks: features as one of a few learned vectors in each of some groups, and how many of them are in use.

Source: Baevski et al. 2020 (wav2vec 2.0), section 2: product quantisation by a Gumbel softmax (Jang et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.processes import gather


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
