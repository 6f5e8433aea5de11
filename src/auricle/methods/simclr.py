"""simclr: two views of a record belong together, and records apart; the plain contrast that others refine.

Source: Chen et al. 2020, "A simple framework for contrastive learning of visual representations". Idea: (1) draw two
views of each record; (2) encode both by one network and project them; (3) pull the two together and push all other
views of the batch away (NT-Xent). Inputs: signal, and R peaks where the store has them. Differences from the paper: the
views are those of `acl_ecg`, since crops and colours of pictures have no like in an ECG.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from auricle.batch import ECGBatch
from auricle.losses.contrastive import nt_xent
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._two_views import BACKBONE, TwoViews, TwoViewsConfig
from auricle.nn.heads import projection

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**BACKBONE["tiny"], "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**BACKBONE["nano"], "recipe": {"lr": 2e-3}},
    "shared": BACKBONE["shared"],
    # LARS is for batches of thousands; at a few hundred records SimCLR's own ablation and ours use AdamW.
    "paper": {**BACKBONE["shared"], "recipe": {"optimiser": "lars", "lr": 0.3, "weight_decay": 1e-6}},
}


class SimclrConfig(TwoViewsConfig):
    """Settings of simclr.

    Attributes:
        projection: width of the space in which views are compared.
        temperature: of the contrast; fixed.
    """

    name: Literal["simclr"] = "simclr"
    recipe: Recipe = Recipe(lr=1e-3)
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.1


class Simclr(TwoViews):
    """An encoder and a projection."""

    name: ClassVar[str] = "simclr"

    def __init__(self, config: SimclrConfig) -> None:
        super().__init__(config)
        self.project = projection(self.encoder.width, config.projection)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """NT-Xent of two views of each record (equation 1). Terms: `loss`."""
        del progress
        pooled = [self.encoder.read(one).pooled for one in self.two_views(batch)]
        first, second = (F.normalize(self.project(one), dim=-1) for one in pooled)
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(first.device.type, enabled=False):
            loss = nt_xent(first.float(), second.float(), 1 / self.config.temperature)
        return Step(loss, {"loss": loss.detach()})
