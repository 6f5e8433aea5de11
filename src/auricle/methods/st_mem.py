"""st_mem: three quarters of the patches of lead and time are hidden, and drawn from the quarter that is left.

Source: Na et al. 2024, "Guiding masked representation learning to capture spatio-temporal relationship of
electrocardiogram". Idea: (1) a patch of one lead is a token, known by its lead and its time; (2) a transformer reads
the few that are shown, of all leads together; (3) a small decoder draws the hidden ones, lead by lead, so that what it
needs of other leads must be in the tokens. Inputs: signal. Differences from the paper: a lead is known by an embedding
alone, without separators between leads; times are rotary; beside the shape of a patch the decoder gives its level and
its doubt, as that of `cg_dmer` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.encoders import visible
from auricle.errors import DataError
from auricle.methods._base import Method, Progress, Recipe, Step
from auricle.methods._patch_drawing import PATCHES, DecoderConfig, PatchesConfig, drawing_losses, reader_of_patches
from auricle.nn.patch import patch_mask
from auricle.nn.patch_decoder import PatchDecoder
from auricle.processes import anywhere

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**PATCHES["tiny"], "decoder": {"width": 16, "depth": 1, "n_heads": 2}, "recipe": {"lr": 3e-3}},
    "nano": {**PATCHES["nano"], "decoder": {"width": 48, "depth": 1, "n_heads": 3}, "recipe": {"lr": 2e-3}},
    "shared": {"encoder": {"name": "st_vit", "preset": "small", "common": 6, "own": 0, "patch_ms": 300}},
    # 250 Hz, nine seconds in patches of 75 samples, ViT-B.
    "paper": {
        "input": {"rate_hz": 250, "seconds": 9.0},
        "encoder": {"name": "st_vit", "width": 768, "common": 12, "own": 0, "n_heads": 12, "patch_ms": 300},
        "decoder": {"width": 256, "depth": 4, "n_heads": 4},
        "recipe": {"lr": 1.2e-3, "betas": (0.9, 0.95), "weight_decay": 0.05},
    },
}


class StMemConfig(PatchesConfig):
    """Settings of st_mem.

    Attributes:
        decoder: of the hidden patches, one lead at a time.
        hidden: share of the patches of each lead that are hidden; one always stays.
    """

    name: Literal["st_mem"] = "st_mem"
    recipe: Recipe = Recipe(lr=5e-4)
    decoder: DecoderConfig = DecoderConfig()
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.75


class StMem(Method):
    """An encoder of patches and a decoder of one lead."""

    name: ClassVar[str] = "st_mem"

    def __init__(self, config: StMemConfig) -> None:
        super().__init__(config)
        encoder = reader_of_patches(self)
        self.decoder = PatchDecoder(1, encoder.width, encoder.patch, **config.decoder.model_dump())

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of the hidden patches, each brought to mean 0 and spread 1 (section 3.2).

        Terms: `loss`, `drawn`, and `level` (mean and spread). The doubt learns beside the loss and changes no feature.

        Raises:
            DataError: nothing can be hidden in any record of the batch.
        """
        del progress
        encoder, ready = reader_of_patches(self), self.preprocess(replace(batch, image=None, image_mask=None))
        places = encoder.places(ready.lead_mask, ready.time_mask)  # (b, l, n)
        # In every lead as many, so that each shows something of itself to a decoder that knows nothing else of it.
        hidden = chosen(places.flatten(0, 1), self.config.hidden).view_as(places)
        if not anywhere(hidden):
            raise DataError(
                f"st_mem: a share of {self.config.hidden:g} of the patches of a lead is less than one in this batch: "
                "take longer windows (model.input.seconds), shorter patches (model.encoder.patch_ms), or a larger "
                "model.hidden"
            )
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        tokens = encoder.output(encoder.encode_places(signal, places & ~hidden, condition), condition)

        # Lead by lead: (b, l n, d) to (b l, n, d), and back.
        b, leads, n = places.shape
        of_leads = tokens.tokens.reshape(b * leads, n, -1)
        seen, inside = tokens.mask.reshape(b * leads, n), patch_mask(ready.time_mask, encoder.patch)
        drawn = self.decoder(of_leads, seen, inside.repeat_interleave(leads, dim=0)).of_leads(leads)
        shape, level, doubted = drawing_losses(drawn, ready, encoder.patch, hidden)
        loss = shape + level
        return Step(loss + doubted, {"loss": loss.detach(), "drawn": shape.detach(), "level": level.detach()})
