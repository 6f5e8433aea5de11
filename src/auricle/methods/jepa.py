"""jepa: what a slowly following encoder says of hidden stretches is predicted from what is left; no sample is drawn.

Source: Assran et al. 2023, "Self-supervised learning from images with a joint-embedding predictive architecture"
(I-JEPA); for electrocardiograms Kim 2024 (ECG-JEPA). Idea: (1) stretches of time are hidden in all leads; (2) an
encoder reads the patches that are left; (3) a target encoder, which follows it slowly, reads all of them; (4) a small
predictor says what the target says of the hidden ones. What is noise cannot be predicted and need not be, which drawing
samples would ask. Inputs: signal. Differences from the papers: one mask for each record and step; each token of the
target is brought to mean 0 and spread 1; errors count by their size where they are large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from auricle.augment.masking import spans
from auricle.batch import ECGBatch
from auricle.encoders import visible
from auricle.errors import DataError
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._patch_drawing import PATCHES, DecoderConfig, PatchesConfig, reader_of_patches
from auricle.methods._target import Following
from auricle.nn.patch import patch_mask
from auricle.nn.patch_decoder import FeatureFiller
from auricle.processes import anywhere, mean_over_active

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**PATCHES["tiny"], "predictor": {"width": 16, "depth": 1, "n_heads": 2}, "recipe": {"lr": 3e-3}},
    "nano": {**PATCHES["nano"], "predictor": {"width": 48, "depth": 1, "n_heads": 3}, "recipe": {"lr": 2e-3}},
    "shared": {"encoder": {"name": "st_vit", "preset": "small", "common": 6, "own": 0}},
    "paper": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "st_vit", "width": 768, "common": 12, "own": 0, "n_heads": 12, "patch_ms": 200},
        "predictor": {"width": 384, "depth": 6, "n_heads": 12},
        "target_momentum": 0.996,
        "recipe": {"lr": 1e-3},
    },
}


class JepaConfig(PatchesConfig):
    """Settings of jepa.

    Attributes:
        predictor: of what the target says.
        hidden: share of the columns of time that are hidden.
        stretch_ms: length of a hidden stretch.
        target_momentum: how much of the target encoder a step keeps at the beginning; it rises to 1.
    """

    name: Literal["jepa"] = "jepa"
    recipe: Recipe = Recipe(lr=5e-4)
    predictor: DecoderConfig = DecoderConfig()
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.6
    stretch_ms: Annotated[float, Field(gt=0)] = 1000.0
    target_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99


class Jepa(Following):
    """An encoder of patches, its target, and a predictor of what the target says."""

    name: ClassVar[str] = "jepa"

    def __init__(self, config: JepaConfig) -> None:
        super().__init__(config)
        leads, width = len(config.input.leads), reader_of_patches(self).width
        self.predict = FeatureFiller(leads, width, **config.predictor.model_dump())
        self.begin_target()

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Absolute error, squared where small, of what the target says of hidden patches.

        Terms: `loss`.

        Raises:
            DataError: no record of the batch is long enough for anything to be hidden.
        """
        del progress
        encoder, ready = reader_of_patches(self), self.preprocess(replace(batch, image=None, image_mask=None))
        columns = patch_mask(ready.time_mask, encoder.patch)
        length = max(1, round(self.config.stretch_ms / 1000 * ready.rate_hz / encoder.patch))
        gone = spans(columns, self.config.hidden, length)
        if not anywhere(gone):
            raise DataError(
                f"jepa: a share of {self.config.hidden:g} of the columns of time is less than one in this batch: "
                "take longer windows (model.input.seconds), shorter patches (model.encoder.patch_ms), or a larger "
                "model.hidden"
            )
        places = encoder.places(ready.lead_mask, ready.time_mask)
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        left = encoder.output(encoder.encode_places(signal, places & ~gone[:, None], condition), condition)
        said = self.predict(left.tokens, left.mask, columns)
        with torch.no_grad():
            wanted = self.target_encoder.read(ready).tokens
            # Each token brought to one mean and spread, so that none becomes easy by becoming small.
            wanted = F.layer_norm(wanted.float(), wanted.shape[-1:])
        error = F.smooth_l1_loss(said.float(), wanted, reduction="none").mean(-1)
        loss = mean_over_active(error, (places & gone[:, None]).flatten(1))
        return Step(loss, {"loss": loss.detach()})
