"""A common stem of blocks, then two stacks: one for what two modalities share, one for what only this one has.

Source: CG-DMER (arXiv 2602.21154): modality-shared and modality-specific encoders. With no blocks in the two stacks
each part is a linear read-out of the stem, which is cheaper and serves as an ablation.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from auricle.nn.transformer import Block

# Called with the number of a block and what came out of it.
After = Callable[[int, Tensor], Tensor]


def _unchanged(number: int, x: Tensor) -> Tensor:
    del number
    return x


class TwoParts(nn.Module):
    """Tokens to two features per token.

    Args:
        width: features of the tokens and of each part.
        n_heads: attention heads of each block.
        common: blocks below both parts.
        own: blocks of each part.
    """

    def __init__(
        self, width: int, n_heads: int, common: int, own: int, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        depths = {"common": common, "shared": own, "specific": own}
        self.names = tuple(f"{part}{number}" for part, depth in depths.items() for number in range(depth))
        self.stacks = nn.ModuleDict(
            {
                part: nn.ModuleList(Block(width, n_heads, mlp_ratio, dropout) for _ in range(depth))
                for part, depth in depths.items()
            }
        )
        self.read = nn.ModuleDict(
            {part: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for part in ("shared", "specific")}
        )

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
        turn: tuple[Tensor, Tensor] | None = None,
        after: After = _unchanged,
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n d"]]:
        """The shared and the specific features of each token, (b, n, d) each.

        Args:
            x: (b, n, d) tokens.
            mask: (b, n) true where a token may be attended to; None means everywhere.
            turn: cosines and sines of `Rotary`.
            after: called with a block's place in `names` and its output, and returns what goes on; for modulation.
        """
        x = self._run("common", x, mask, turn, after)
        shared = self.read["shared"](self._run("shared", x, mask, turn, after))
        specific = self.read["specific"](self._run("specific", x, mask, turn, after))
        return shared, specific

    def _run(
        self, part: str, x: Tensor, mask: Tensor | None, turn: tuple[Tensor, Tensor] | None, after: After
    ) -> Tensor:
        stack = self.stacks[part]
        assert isinstance(stack, nn.ModuleList)
        for number, block in enumerate(stack):
            x = after(self.names.index(f"{part}{number}"), block(x, mask, turn))
        return x
