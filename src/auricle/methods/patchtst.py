"""patchtst: patches of each lead are set to zero, and drawn from the patches of the same lead that are left.

Source: Nie et al. 2023, "A time series is worth 64 words: long-term forecasting with transformers", section 3.2. Idea:
(1) each lead is a series of its own, cut into patches; (2) some of each are set to zero; (3) one transformer, which
reads every lead by itself, and one linear map draw them. Inputs: signal. Differences from the paper: patches are of a
quarter of a second and do not overlap; amplitudes are in units of a typical one and not of each record's own spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import nn

from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, visible
from auricle.encoders.patchtst import Patchtst as PatchtstEncoder
from auricle.errors import ConfigError, DataError
from auricle.losses.masked import patch_error
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.nn.patch import patch_mask, patchify
from auricle.processes import anywhere, mean_over_active
from auricle.signal.preprocess import TYPICAL_MV

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "patchtst", "preset": "tiny"},
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "patchtst", "preset": "nano"},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "patchtst", "preset": "small"}},
    # Three layers of 128 features and 16 heads, patches of 25 samples at 100 Hz.
    "paper": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "patchtst", "preset": "small", "mlp_ratio": 2.0, "dropout": 0.2},
        "recipe": {"lr": 1e-4, "weight_decay": 0.0},
    },
}


class PatchtstConfig(MethodConfig):
    """Settings of patchtst.

    Attributes:
        encoder: `patchtst`, which reads every lead by itself.
        hidden: share of the patches of each lead that is set to zero.
    """

    name: Literal["patchtst"] = "patchtst"
    encoder: component(ENCODERS) = Field(default={"name": "patchtst", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=1e-3)
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.4


class Patchtst(Method):
    """An encoder that reads every lead by itself, and one map that draws a patch of any lead."""

    name: ClassVar[str] = "patchtst"

    def __init__(self, config: PatchtstConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, PatchtstEncoder):
            raise ConfigError(
                f"patchtst hides patches of leads that are read one by one, and {config.encoder.name} reads them "
                "together: take model.encoder.name=patchtst"
            )
        self.draw = nn.Linear(self.encoder.config.width, self.encoder.patch)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of the patches that were set to zero (equation of section 3.2). Terms: `loss`.

        Raises:
            DataError: nothing can be hidden in any record of the batch.
        """
        del progress
        encoder, ready = self.encoder, self.preprocess(replace(batch, image=None, image_mask=None))
        assert isinstance(encoder, PatchtstEncoder)
        signal = visible(ready.signal, ready.lead_mask, ready.time_mask)
        places = ready.lead_mask[:, :, None] & patch_mask(ready.time_mask, encoder.patch)[:, None]
        hidden = chosen(places.flatten(0, 1), self.config.hidden).view_as(places)
        if not anywhere(hidden):
            raise DataError(
                f"patchtst: a share of {self.config.hidden:g} of the patches of a lead is less than one in this batch: "
                "take longer windows (model.input.seconds), shorter patches (model.encoder.patch_ms), or a larger "
                "model.hidden"
            )
        gone = hidden.repeat_interleave(encoder.patch, dim=2)[..., : signal.shape[-1]]
        tokens = encoder.read(replace(ready, signal=torch.where(gone, 0.0, signal))).tokens
        drawn = self.draw(tokens).unflatten(1, (places.shape[1], -1))
        wanted = patchify(signal / TYPICAL_MV, encoder.patch)
        valid = patchify(ready.time_mask[:, None].float(), encoder.patch)[:, 0].bool()
        loss = mean_over_active(patch_error(drawn.float(), wanted.float(), valid), hidden)
        return Step(loss, {"loss": loss.detach()})
