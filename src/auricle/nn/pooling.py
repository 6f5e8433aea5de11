"""Pooling over tokens of which some are absent."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from auricle.nn.transformer import CrossAttention


def masked_mean(x: Float[Tensor, "*b n d"], mask: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b d"]:
    """(.., d) mean of (.., n, d) tokens over those whose mask is true; 0 where there are none."""
    total = torch.where(mask[..., None], x, 0.0).sum(-2)
    return total / mask.sum(-1, keepdim=True).clamp_min(1)


class AttentionPool(nn.Module):
    """Multi-head attention whose one query is the mean token (the attention pool of CLIP, Radford et al. 2021)."""

    def __init__(self, width: int, out: int, heads: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, out)
        self.attention = nn.MultiheadAttention(out, heads, batch_first=True)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b out"]:
        """(b, out) pooled from tokens (b, n, d); where the mask is false a token is not read."""
        tokens = self.narrow(x)
        query = masked_mean(tokens, mask)[:, None]  # (b, 1, out)
        keys = torch.cat([query, tokens], dim=1)  # the mean is a key too, so a record without tokens still has one
        hidden = torch.cat([torch.zeros_like(mask[:, :1]), ~mask], dim=1)
        pooled: Tensor = self.attention(query, keys, keys, key_padding_mask=hidden, need_weights=False)[0]
        return pooled[:, 0]


class QueryPool(nn.Module):
    """Learned queries that each read the tokens of a record: a few vectors in place of many (Yu et al. 2022, CoCa).

    Args:
        width: of the tokens.
        out: of the vectors.
        n_queries: how many there are.
        n_heads: attention heads.
    """

    def __init__(self, width: int, out: int, n_queries: int, n_heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_queries, out) * out**-0.5)
        self.read = CrossAttention(out, width, n_heads)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b q out"]:
        """(b, query, out) from tokens (b, n, d); where the mask is false a token is not read."""
        pooled: Tensor = self.norm(self.read(self.queries.expand(len(x), -1, -1), x, mask))
        return pooled


class MeanAndAttention(nn.Module):
    """Mean of the tokens plus a learned weighted mean, which lets one unusual beat among ten change the result.

    A fresh pool gives twice the mean, because the scores of the attention begin at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)  # a softmax does not see a bias
        nn.init.zeros_(self.score.weight)

    def forward(self, x: Float[Tensor, "*b n d"], mask: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b d"]:
        """(.., d) pooled from tokens (.., n, d) whose mask is true; 0 where no token is present."""
        scores = self.score(x).squeeze(-1)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = torch.where(mask, scores.softmax(-1), 0.0)
        return masked_mean(x, mask) + (weights[..., None] * torch.where(mask[..., None], x, 0.0)).sum(-2)
