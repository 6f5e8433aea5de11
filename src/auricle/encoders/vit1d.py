"""A plain transformer over patches of all leads at once: the ungrouped, single-scale reference encoder.

Source: ViT (Dosovitskiy et al. 2021) on a signal; the patch embedding is one convolution over all leads, kernel and
stride equal. Row A1 of the LISA proposal's ablation compares against it. Positions are rotary, pooling is a mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._blocks import BlocksConfig, stack
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Rotary
from auricle.nn.visible import Visible
from auricle.signal.preprocess import InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 32, "depth": 2, "n_heads": 2},
    "nano": {"width": 128, "depth": 4, "n_heads": 4},
    "small": {"width": 384, "depth": 6, "n_heads": 6},
    "base": {"width": 768, "depth": 12, "n_heads": 12},
}


class Vit1dConfig(BlocksConfig):
    """Settings of the encoder; `patch_ms` is kernel and stride in milliseconds."""

    name: Literal["vit1d"] = "vit1d"
    width: Annotated[int, Field(gt=0)] = 384
    patch_ms: Annotated[float, Field(gt=0)] = 100.0


class Vit1d(EncoderModule):
    """Patch embedding over all leads, transformer, masked mean."""

    def __init__(self, config: Vit1dConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.patch = max(1, round(config.patch_ms * spec.rate_hz / 1000))
        self.embed = nn.Linear(len(spec.leads) * self.patch, config.width)
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = stack(config)
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per patch of all leads, and (b, d) their mean as `pooled`.

        The patch embedding reads zeros in place of an absent lead.
        """
        del lead_mask
        return self.encode_places(signal, patch_mask(time_mask, self.patch), condition)

    def embed_places(self, signal: Float[Tensor, "b l t"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) what the patch embedding makes of each patch by itself.

        Args:
            signal: 0 wherever nothing was recorded.
        """
        # (b, l, n, p) to (b, n, l * p).
        embedded: Tensor = self.embed(patchify(signal, self.patch).transpose(1, 2).flatten(2))
        return embedded

    def encode_places(
        self, signal: Float[Tensor, "b l t"], shown: Bool[Tensor, "b n"], condition: Condition | None
    ) -> Tokens:
        """Tokens as `encode` gives them, of any patches that are shown; a token that is not is zero.

        Args:
            signal: 0 wherever nothing was recorded.
            shown: patches that are read; the others have no influence.
            condition: what modulates, by source.
        """
        visible, n = Visible(shown), shown.shape[1]
        x, turn = visible.pack(self.embed_places(signal)), visible.turn(*self.rotary(n))
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x = modulate(block(x, visible.keys, turn), condition)
        x = visible.unpack(self.norm(x))
        return Tokens.ungrouped(x, shown, patch_centres_ms(n, self.patch, self.spec.rate_hz), masked_mean(x, shown))
