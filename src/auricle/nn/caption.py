"""Writing a report from what an encoder says of a recording, and reading its sentences: both by one table of words.

Source: Yu et al. 2022 (CoCa), for a decoder whose blocks attend to the words before, and to the recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.nn.transformer import Block, CrossAttention, Rotary, causal_bias


class CaptionDecoder(nn.Module):
    """The next word of a report at each place, from the words before it and a recording.

    Args:
        n_entries: size of the vocabulary.
        width: of a word.
        width_read: of the vectors of a recording.
        depth: blocks.
        n_heads: attention heads.
    """

    def __init__(self, n_entries: int, width: int, width_read: int, depth: int, n_heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_entries, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.rotary = Rotary(width // n_heads)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.reads = nn.ModuleList(CrossAttention(width, width_read, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(n_entries))

    def forward(self, ids: Int[Tensor, "b token"], read: Float[Tensor, "b q d"]) -> Float[Tensor, "b token entry"]:
        """(b, token, entry) logits of the word behind each one; padding behind a report has no influence on it.

        Args:
            ids: entries of the vocabulary, the start first.
            read: vectors of the recordings.
        """
        x, n = self.embed(ids), ids.shape[1]
        turn, bias = self.rotary(n), causal_bias(n, x.device)
        there = torch.ones(read.shape[:2], dtype=torch.bool, device=read.device)
        for block, reads in zip(self.blocks, self.reads, strict=True):
            x = reads(block(x, None, turn, bias), read, there)
        return F.linear(self.norm(x), self.embed.weight, self.bias)


class SentenceReader(nn.Module):
    """A vector of each sentence of a report, from words that have heard each other.

    Args:
        width: of a word, and of a sentence.
        depth: blocks.
        n_heads: attention heads.
    """

    def __init__(self, width: int, depth: int, n_heads: int) -> None:
        super().__init__()
        self.rotary = Rotary(width // n_heads)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))

    def forward(
        self, words: Float[Tensor, "b token d"], mask: Bool[Tensor, "b token"], sentence: Int[Tensor, "b token"], n: int
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """(b, n, d) vectors of the first n sentences of each report, and (b, n) which there are.

        Args:
            words: embedded entries.
            mask: those that are read; the first in any case, so that no report is empty.
            sentence: number of the sentence of each entry, -1 where it is of none.
            n: sentences at most.
        """
        read = torch.cat([torch.ones_like(mask[:, :1]), mask[:, 1:]], dim=1)
        turn, x = self.rotary(words.shape[1]), words
        for block in self.blocks:
            x = block(x, read, turn)
        member = F.one_hot(sentence.clamp(-1, n) + 1, n + 2)[..., 1:-1].to(x)  # (b, token, n)
        count = member.sum(1)
        mean = torch.einsum("btn,btd->bnd", member, x) / count.clamp_min(1)[..., None]
        vectors: Tensor = self.out(mean)
        return vectors, count > 0


def sentence_of(
    ids: Int[Tensor, "b token"], mask: Bool[Tensor, "b token"], ends: Sequence[int], digits: Sequence[int], blank: int
) -> Int[Tensor, "b token"]:
    """(b, token) number of the sentence that each entry is in; -1 for the start, for ends, and in the padding.

    Sentences without a word are not counted. `auricle.text.reports.sentences` says the same of a text.

    Args:
        ids: entries of the vocabulary, the start first.
        mask: entries that are not padding.
        ends: entries that end a sentence, unless a digit follows.
        digits: those of digits without a space in front.
        blank: the entry of a space, which is no word by itself.
    """
    is_end, is_digit = (torch.isin(ids, torch.tensor(list(some), device=ids.device)) for some in (ends, digits))
    is_end = mask & is_end & ~torch.cat([is_digit[:, 1:], torch.zeros_like(is_digit[:, :1])], dim=1)
    inside = mask & ~is_end
    inside[:, 0] = False
    # Sentences by the ends before them, then those with a word one after another.
    raw = is_end.long().cumsum(1)
    n_words = torch.zeros_like(raw).scatter_add(1, raw.clamp_max(ids.shape[1] - 1), (inside & (ids != blank)).long())
    number = torch.where(n_words > 0, (n_words > 0).long().cumsum(1) - 1, -1)
    return torch.where(inside, number.gather(1, raw.clamp_max(ids.shape[1] - 1)), -1)
