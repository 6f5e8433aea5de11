"""clocs: what a heart says in one stretch of time, or in one lead, belongs to what it says in the next.

Source: Kiyasseh, Zhu and Clifton 2021, "CLOCS: Contrastive learning of cardiac signals across space, time and
patients". Idea: (1) cut a record into two stretches that follow each other (`cmsc`), look at it through two single
leads (`cmlc`), or both (`cmsmlc`); (2) encode both by one network; (3) pull together all that is of one patient and
push patients apart. Inputs: signal. Differences from the paper: both stretches are halves of the window; one pair of
leads is drawn for each record and step in place of all pairs; no further noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from auricle.augment.views import halves, single_leads
from auricle.batch import ECGBatch
from auricle.errors import DataError
from auricle.losses.contrastive import same_person_info_nce
from auricle.methods._base import Method, Progress, Recipe, Step
from auricle.methods._two_views import (
    BackboneConfig,
    check_several,
    share_with_another,
    without_views,
)
from auricle.nn.heads import projection
from auricle.processes import anywhere

Kind = Literal["cmsc", "cmlc", "cmsmlc"]


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**without_views("tiny"), "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**without_views("nano"), "recipe": {"lr": 2e-3}},
    "shared": without_views("shared"),
    # The paper's 320 features; its four-layer network is not the common backbone and is not built.
    "paper": {**without_views("shared"), "projection": 320, "recipe": {"lr": 1e-4, "weight_decay": 0.0}},
}


class ClocsConfig(BackboneConfig):
    """Settings of clocs.

    Attributes:
        kind: what belongs together: stretches of time (`cmsc`), leads (`cmlc`), or leads of both stretches (`cmsmlc`).
        projection: width of the space in which they are compared.
        temperature: of the contrast; fixed.
    """

    name: Literal["clocs"] = "clocs"
    recipe: Recipe = Recipe(lr=1e-3)
    kind: Kind = "cmsc"
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.1


class Clocs(Method):
    """An encoder and a projection."""

    name: ClassVar[str] = "clocs"
    same_patient: ClassVar[bool] = True

    def __init__(self, config: ClocsConfig) -> None:
        super().__init__(config)
        self.project = projection(self.encoder.width, config.projection)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Contrast of stretches or leads, with all of one patient as positives (equations 1 and 2).

        Terms: `loss`, and `patients`, the share of rows whose patient is in the
        batch with another record.

        Raises:
            DataError: a single record, or none that is long enough to be cut, or that has two leads.
        """
        del progress
        check_several(batch, self.name)
        one, other, paired = self._pair(self.preprocess(batch))
        if not anywhere(paired):
            what = "two leads" if self.config.kind == "cmlc" else f"more than half of {self.config.input.seconds:g} s"
            raise DataError(
                f"clocs ({self.config.kind}): no record of the batch has {what}: take shorter windows or more leads"
            )
        pooled = [self.encoder.read(part).pooled for part in (one, other)]
        first, second = (F.normalize(self.project(each), dim=-1) for each in pooled)
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(first.device.type, enabled=False):
            person = batch.patient_id
            loss = same_person_info_nce(first.float(), second.float(), person, paired, 1 / self.config.temperature)
        return Step(loss, {"loss": loss.detach(), "patients": share_with_another(person)})

    def _pair(self, ready: ECGBatch) -> tuple[ECGBatch, ECGBatch, Tensor]:
        """What is pulled together, and (b,) which records have both."""
        one, other = (ready, ready) if self.config.kind == "cmlc" else halves(ready)
        if self.config.kind != "cmsc":
            leads = single_leads(ready.lead_mask)
            one, other = (replace(part, lead_mask=mask) for part, mask in zip((one, other), leads, strict=True))
        there = [part.lead_mask.any(1) & part.time_mask.any(1) for part in (one, other)]
        return one, other, there[0] & there[1]
