"""A vision transformer on the ECG as a grey picture: the picture encoder of `mirage`.

Source: ViT (Dosovitskiy et al. 2021) as the MIRAGE document, section B, uses it: 16 x 16 patches, each flattened under
one linear map, a class token, learned positions. A picture that was scanned or exported is read as it is; where there
is none it is drawn from the millivolts (`image/raster`), so the encoder takes a signal like any other.
Ours: the picture is inverted, so that ink is large and paper is near zero; pre-norm blocks; every layer can be
modulated. Patches of an absent lead are blank paper and stay tokens, as a reader of the sheet sees them too. Where the
`scale` of the input is not `mv`, the heights drawn are in that scale's unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens, visible
from auricle.errors import DataError
from auricle.image.raster import RasterConfig, raster
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Block
from auricle.signal.preprocess import InputSpec

# Ink of simulated sheets of 224 x 224 pixels: its mean and standard deviation over pixels, roughly.
_INK_MEAN, _INK_SD = 0.08, 0.26
_POSITION_SD: Final = 0.02  # as in ViT

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"raster": {"height": 48, "width": 64}, "width": 16, "depth": 2, "n_heads": 2},
    "nano": {"width": 96, "depth": 3, "n_heads": 4},
    "small": {"width": 384, "depth": 6, "n_heads": 6},
    "base": {"width": 768, "depth": 12, "n_heads": 12},
}


class VitImageConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        raster: size and look of the picture; stored pictures must have its size.
        patch: side of a patch in pixels; height and width are multiples of it.
        depth: transformer blocks; with none the tokens are the patches under their linear map.
    """

    name: Literal["vit_image"] = "vit_image"
    raster: RasterConfig = RasterConfig()
    patch: Annotated[int, Field(gt=0)] = 16
    width: Annotated[int, Field(gt=0)] = 384
    depth: Annotated[int, Field(ge=0)] = 6
    n_heads: Annotated[int, Field(gt=0)] = 6
    mlp_ratio: float = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _cuts_evenly(self) -> VitImageConfig:
        height, width = self.raster.height, self.raster.width
        if height % self.patch or width % self.patch:
            raise ValueError(f"a picture of {height} x {width} pixels is not cut evenly by patches of {self.patch}")
        return self


class VitImage(EncoderModule):
    """Patches of a picture, transformer, class token."""

    def __init__(self, config: VitImageConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.picture_size = (config.raster.height, config.raster.width)
        self.n_down = config.raster.height // config.patch
        self.n_across = config.raster.width // config.patch
        self.embed = nn.Linear(config.patch**2, config.width)
        self.class_token = nn.Parameter(torch.randn(config.width) * _POSITION_SD)
        self.position = nn.Parameter(torch.randn(1 + self.n_down * self.n_across, config.width) * _POSITION_SD)
        self.blocks = nn.ModuleList(
            Block(config.width, config.n_heads, config.mlp_ratio, config.dropout) for _ in range(config.depth)
        )
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def read(self, batch: ECGBatch, condition: Condition | None = None) -> Tokens:
        """Encode a preprocessed batch: stored pictures where there are any, pictures drawn from the signal elsewhere.

        Args:
            batch: its `image`, if any, is (b, h, w) grey uint8 of the configured size.
            condition: what modulates the layers, by source; by default made from the batch.

        Raises:
            DataError: the pictures are of another type or size.
        """
        condition = condition or self.condition(batch)
        if batch.image is None or batch.image_mask is None or not bool(batch.image_mask.any()):
            tokens: Tokens = self(batch.signal, batch.lead_mask, batch.time_mask, condition)
            return tokens
        self._check(batch.image)
        picture = batch.image.float() / 255
        if not bool(batch.image_mask.all()):
            seen = visible(batch.signal, batch.lead_mask, batch.time_mask)
            drawn = self.draw(seen, batch.lead_mask, batch.time_mask)
            picture = torch.where(batch.image_mask[:, None, None], picture, drawn)
        return self.output(self.encode_picture(picture, condition), condition)

    def _check(self, image: Tensor) -> None:
        wanted = f"{self.config.raster.height}x{self.config.raster.width}"
        if image.dtype != torch.uint8 or image.ndim != 3:
            raise DataError(f"pictures must be grey uint8 (record, {wanted}), not {image.dtype} {tuple(image.shape)}")
        if tuple(image.shape[1:]) != (self.config.raster.height, self.config.raster.width):
            stored = f"{image.shape[1]}x{image.shape[2]}"
            raise DataError(
                f"stored pictures are {stored} pixels, the encoder reads {wanted}: ingest with --image-size {wanted}"
            )

    def draw(
        self, signal: Float[Tensor, "b l t"], lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h w"]:
        """(b, h, w) pictures of preprocessed signals (b, l, t), 1 white and 0 ink."""
        spec = self.spec
        return raster(signal, lead_mask, time_mask, spec.rate_hz, spec.leads, self.config.raster, spec.seconds)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """Draw the signals and encode the pictures; nothing under a false mask is drawn."""
        return self.encode_picture(self.draw(signal, lead_mask, time_mask), condition)

    def encode_picture(self, picture: Float[Tensor, "b h w"], condition: Condition | None = None) -> Tokens:
        """(b, n, d) one token per patch of a picture, and (b, d) the class token as `pooled`.

        Without a layer through which the class token could read the patches, their mean stands in its place.

        Args:
            picture: (b, h, w) of the configured size, 1 white and 0 ink.
            condition: what modulates the layers, by source.
        """
        # Square patches, row by row of the sheet: (b, h, w) to (b, down, across, size, size) to (b, n, d).
        ink = (1 - picture - _INK_MEAN) / _INK_SD
        size = self.config.patch
        patches = ink.reshape(ink.shape[0], self.n_down, size, self.n_across, size).transpose(2, 3)
        x = self.embed(patches.flatten(3).flatten(1, 2))
        x = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1) + self.position
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x = modulate(block(x), condition)
        x = self.norm(x)
        n, device = self.n_down * self.n_across, x.device
        # The time of a patch goes by its column alone: the sheet is read as one stretch of time from left to right.
        middle = (torch.arange(self.n_across, device=device) + 0.5) / self.n_across
        time_ms = (1000 * self.spec.seconds * middle).repeat(self.n_down)
        mask = torch.ones(x.shape[0], n, dtype=torch.bool, device=device)
        pooled = x[:, 0] if self.blocks else masked_mean(x[:, 1:], mask)
        return Tokens.ungrouped(x[:, 1:], mask, time_ms, pooled)
