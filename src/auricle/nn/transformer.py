"""Pre-norm transformer blocks over tokens of which some may be absent; positions are rotary, or are in the tokens."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.errors import ConfigError

_ROTARY_BASE: Final = 10_000.0


class Rotary(nn.Module):
    """Rotary position embedding (Su et al. 2021): attention sees how far apart two tokens are, never where they are.

    Raises:
        ValueError: the width of a head is odd, so that its features do not form pairs.
    """

    rates: Tensor

    def __init__(self, head_width: int) -> None:
        super().__init__()
        if head_width % 2:
            raise ValueError(f"rotary positions need an even head width, not {head_width}")
        rates = _ROTARY_BASE ** (-torch.arange(0, head_width, 2) / head_width)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, n: int) -> tuple[Float[Tensor, "n half"], Float[Tensor, "n half"]]:
        """Cosines and sines (n, half a head's width) for positions 0 to n - 1."""
        return self.at(torch.arange(n, device=self.rates.device))

    def at(self, places: Tensor) -> tuple[Float[Tensor, "*b n half"], Float[Tensor, "*b n half"]]:
        """Cosines and sines (.., n, half a head's width) for places (.., n), which need not be whole."""
        angle = places[..., None] * self.rates
        return angle.cos(), angle.sin()

    def of_first(self, n: int, n_all: int) -> tuple[Float[Tensor, "n half"], Float[Tensor, "n half"]]:
        """Cosines and sines (n_all, half a head's width) of n tokens in order, and of more that are turned by nothing.

        Args:
            n: tokens that have a place.
            n_all: these, and those behind them that have none.
        """
        cos, sin = self(n)
        rest = cos.new_zeros(n_all - n, cos.shape[1])
        return torch.cat([cos, rest + 1]), torch.cat([sin, rest])


def rotate(x: Float[Tensor, "b h n d"], cos: Tensor, sin: Tensor) -> Float[Tensor, "b h n d"]:
    """(b, head, n, d) queries or keys, each pair of features (i, i + d / 2) turned by its token's angle."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x), sin.to(x)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def causal_bias(n: int, device: torch.device) -> Float[Tensor, "n n"]:
    """(n, n) bias of `Block` under which a token attends to itself and to those before it alone."""
    return torch.full((n, n), -torch.inf, device=device).triu(1)


def _divide(width: int, n_heads: int) -> None:
    """Raise where heads do not divide a width."""
    if width % n_heads:
        raise ConfigError(f"{n_heads} heads do not divide a width of {width}: set n_heads or width")


class CrossAttention(nn.Module):
    """Tokens that read others, behind a layer norm each and added to what they were.

    Args:
        width: of the tokens that read.
        width_read: of those that are read.
        n_heads: attention heads.
    """

    def __init__(self, width: int, width_read: int, n_heads: int) -> None:
        super().__init__()
        _divide(width, n_heads)
        self.n_heads = n_heads
        self.norm, self.norm_read = nn.LayerNorm(width), nn.LayerNorm(width_read)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width_read, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        read: Float[Tensor, "b m e"],
        mask: Bool[Tensor, "b m"],
        turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """(b, n, d) tokens after they have read; a record that has nothing to read reads zeros.

        Args:
            x: tokens that read.
            read: tokens that are read.
            mask: those of them that there are.
            turns: cosines and sines of `Rotary` of those that read, and of those that are read; None where places do
                not count.
        """
        nothing = ~mask.any(1)
        shown = mask | nothing[:, None]  # a softmax over no key is NaN
        read = torch.where(mask[..., None], read, 0.0)
        q = self.query(self.norm(x)).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        k, v = self.key_value(self.norm_read(read)).unflatten(-1, (2, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        if turns is not None:
            q, k = rotate(q, *turns[0]), rotate(k, *turns[1])
        attended = F.scaled_dot_product_attention(q, k, v, shown[:, None, None])
        said: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return x + said


class CrossBlock(nn.Module):
    """Reading of other tokens and a feed-forward network, each behind a layer norm and added to its input.

    Args:
        width: of the tokens that read.
        width_read: of those that are read.
        n_heads: attention heads.
        mlp_ratio: width of the hidden layer, in widths.
    """

    def __init__(self, width: int, width_read: int, n_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        hidden = round(width * mlp_ratio)
        self.reads = CrossAttention(width, width_read, n_heads)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        read: Float[Tensor, "b m e"],
        mask: Bool[Tensor, "b m"],
        turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """(b, n, d) tokens after the block; those that read do not hear each other.

        Args:
            x: tokens that read.
            read: tokens that are read.
            mask: those of them that there are.
            turns: cosines and sines of `Rotary` of those that read, and of those that are read; None where places do
                not count.
        """
        x = self.reads(x, read, mask, turns)
        fed: Tensor = self.mlp(self.norm(x))
        return x + fed


class Block(nn.Module):
    """Self-attention and a feed-forward network, each behind a layer norm and added to its input."""

    def __init__(self, width: int, n_heads: int, mlp_ratio: float = 4.0, dropout: float = 0.0) -> None:
        super().__init__()
        _divide(width, n_heads)
        self.n_heads, self.dropout = n_heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = round(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        turn: tuple[Tensor, Tensor] | None = None,
        bias: Float[Tensor, "n n"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """(b, n, d) tokens after the block.

        Args:
            x: (b, n, d) tokens.
            mask: (b, n) true where a token may be attended to; None means everywhere.
            turn: cosines and sines of `Rotary`; None where tokens carry their position themselves, or have none.
            bias: (n, n) B of softmax((QK^T + B) / sqrt(d)): what pairs of places add to a score, whatever they hold.
        """
        # Attention: q, k and v are (b, head, n, d / heads).
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        allowed = None if mask is None else mask[:, None, None]
        if bias is not None:
            scores = (bias / q.shape[-1] ** 0.5).to(q.dtype)
            allowed = scores if allowed is None else torch.where(allowed, scores, -torch.inf)
        attended = F.scaled_dot_product_attention(q, k, v, allowed, self.dropout if self.training else 0.0)
        x = x + self.out(attended.transpose(1, 2).flatten(2))  # heads side by side: (b, n, d)
        fed: Tensor = self.mlp(self.norm2(x))
        return x + fed
