"""A small trainable text encoder: a shared and a specific feature of each token, and the guess of a masked word.

Source: BERT (Devlin et al. 2019), smaller, with rotary positions and pre-norm blocks; the upper blocks are two stacks
(see `auricle.nn.two_parts`). The guess reads both parts and shares its output matrix with the embedding.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Rotary
from auricle.nn.two_parts import TwoParts


class TextEncoder(nn.Module):
    """Transformer over tokens.

    Args:
        n_entries: size of the vocabulary.
        width: features of a token, and of each part.
        n_heads: attention heads of each block.
        common: blocks below both parts.
        own: blocks of each part.
    """

    def __init__(self, n_entries: int, width: int, n_heads: int, common: int, own: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_entries, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.rotary = Rotary(width // n_heads)
        self.body = TwoParts(width, n_heads, common, own, mlp_ratio)
        self.guess = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.LayerNorm(width))
        self.guess_bias = nn.Parameter(torch.zeros(n_entries))

    def forward(
        self, ids: Int[Tensor, "b token"], mask: Bool[Tensor, "b token"]
    ) -> tuple[Float[Tensor, "b token d"], Float[Tensor, "b token d"]]:
        """The shared and the specific features (b, token, d) of each token.

        Args:
            ids: (b, token) entries of the vocabulary.
            mask: (b, token) tokens that are read. The first is read in any case, so that no text is empty.
        """
        read = torch.cat([torch.ones_like(mask[:, :1]), mask[:, 1:]], dim=1)
        keys = None if bool(read.all()) else read
        shared, specific = self.body(self.embed(ids), keys, self.rotary(ids.shape[1]))
        return shared, specific

    def pooled(self, features: Float[Tensor, "b token d"], mask: Bool[Tensor, "b token"]) -> Float[Tensor, "b d"]:
        """(b, d) features of whole texts: the mean over their tokens; 0 for a record without a text."""
        return masked_mean(features, mask)

    def guess_words(self, shared: Float[Tensor, "m d"], specific: Float[Tensor, "m d"]) -> Float[Tensor, "m entry"]:
        """(m, entry) logits over the vocabulary at m masked places, from the two features (m, d) of each."""
        return F.linear(self.guess(torch.cat([shared, specific], dim=-1)), self.embed.weight, self.guess_bias)
