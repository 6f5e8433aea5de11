"""What encoders share that are a stack of transformer blocks: its settings, and the stack."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from auricle.config import ComponentConfig
from auricle.nn.transformer import Block


class BlocksConfig(ComponentConfig):
    """Settings of a stack of transformer blocks.

    Attributes:
        width: features of a token.
        depth: blocks.
        n_heads: attention heads of each.
        mlp_ratio: width of a block's hidden layer, in widths.
        dropout: in the blocks.
    """

    width: Annotated[int, Field(gt=0)] = 192
    depth: Annotated[int, Field(gt=0)] = 6
    n_heads: Annotated[int, Field(gt=0)] = 6
    mlp_ratio: float = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


def stack(config: BlocksConfig) -> nn.ModuleList:
    """The blocks that a configuration describes."""
    return nn.ModuleList(
        Block(config.width, config.n_heads, config.mlp_ratio, config.dropout) for _ in range(config.depth)
    )
