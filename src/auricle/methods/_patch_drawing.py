"""What methods share that hide patches: their encoder, how far a drawing is off, and the drawing in millivolts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.config import Config, component
from auricle.encoders import ENCODERS
from auricle.encoders.st_vit import StVit
from auricle.errors import ConfigError
from auricle.losses.masked import doubt, patch_error
from auricle.methods._base import Method, MethodConfig
from auricle.nn.patch import patchify
from auricle.nn.patch_decoder import Drawing, drawing_of
from auricle.processes import mean_over_active
from auricle.signal.preprocess import TYPICAL_MV

# Input and encoder of the small presets of a method that hides any patches; one stack of blocks below both parts.
PATCHES: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "st_vit", "preset": "tiny", "common": 2, "own": 0},
    },
    "nano": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "st_vit", "preset": "nano", "common": 4, "own": 0},
    },
}
# Weight of the mean and spread of a patch beside its shape.
_LEVEL_WEIGHT: Final = 0.5


class PatchesConfig(MethodConfig):
    """Settings of every method whose encoder reads patches of lead and time unless another is named."""

    encoder: component(ENCODERS) = Field(  # type: ignore[valid-type]
        default={"name": "st_vit", "preset": "small", "own": 0}, validate_default=True
    )


class DecoderConfig(Config):
    """The decoder of hidden patches.

    Attributes:
        width: features of a token.
        depth: transformer blocks.
        n_heads: attention heads of each.
    """

    width: Annotated[int, Field(gt=0)] = 128
    depth: Annotated[int, Field(gt=0)] = 2
    n_heads: Annotated[int, Field(gt=0)] = 4


def reader_of_patches(method: Method) -> StVit:
    """The encoder of a method that hides patches.

    Raises:
        ConfigError: it is none of which any patches can be hidden.
    """
    encoder = method.encoder
    if not isinstance(encoder, StVit):
        raise ConfigError(
            f"{method.name} hides patches of lead and time, and {method.config.encoder.name} reads none: take "
            "model.encoder.name=st_vit"
        )
    return encoder


def drawing_losses(
    drawn: Drawing, ready: ECGBatch, patch: int, wanted: Bool[Tensor, "b l n"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Losses of shape, level (mean and spread) and doubt of some patches, each a mean over those of all processes.

    The shape is that of a patch brought to mean 0 and spread 1 (He et al. 2022, MAE, section 4.1).

    Args:
        drawn: with doubt.
        ready: the preprocessed batch that was to be drawn.
        patch: samples of a patch.
        wanted: patches that count.
    """
    with torch.autocast(ready.signal.device.type, enabled=False):
        patches = patchify(ready.signal.float(), patch)
        valid = patchify(ready.time_mask[:, None].float(), patch)[:, 0].bool()
        truth = drawing_of(patches, valid)
        shape = patch_error(drawn.shape.float(), truth.shape, valid)
        level = (drawn.mean - truth.mean).square() + (drawn.log_spread - truth.log_spread).square()
        with torch.no_grad():
            missed = patch_error(in_millivolts(drawn) / TYPICAL_MV, patches / TYPICAL_MV, valid)
        assert drawn.log_doubt is not None
        doubted = doubt(missed, drawn.log_doubt.float())
        of_shape, of_level, of_doubt = (
            mean_over_active(values, wanted) for values in (shape, _LEVEL_WEIGHT * level, doubted)
        )
    return of_shape, of_level, of_doubt


def in_millivolts(drawing: Drawing) -> Float[Tensor, "b l n p"]:
    """(b, l, n, p) patches of a drawing in millivolts, in full precision."""
    return replace(
        drawing, shape=drawing.shape.float(), mean=drawing.mean.float(), log_spread=drawing.log_spread.float()
    ).millivolts()
