"""barlow_twins: each feature of a record is the same in two views, and no feature repeats another; no negatives.

Source: Zbontar et al. 2021, "Barlow Twins: self-supervised learning via redundancy reduction". Idea: (1) draw two views
of each record and project both far up; (2) correlate the features of one view with those of the other over the batch;
(3) draw the correlations to the identity matrix. Inputs: signal, and R peaks where the store has them. Differences from
the paper: the views are those of `acl_ecg`; the loss is divided by the number of features, so that one learning rate
serves all widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from auricle.batch import ECGBatch
from auricle.losses.regression import barlow_twins
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._two_views import BACKBONE, TwoViews, TwoViewsConfig
from auricle.nn.heads import NormedHead

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**BACKBONE["tiny"], "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**BACKBONE["nano"], "projection": 512, "recipe": {"lr": 2e-3}},
    "shared": BACKBONE["shared"],
    "paper": {**BACKBONE["shared"], "recipe": {"optimiser": "lars", "lr": 0.2, "weight_decay": 1.5e-6}},
}


class BarlowTwinsConfig(TwoViewsConfig):
    """Settings of barlow_twins.

    Attributes:
        projection: width of the three layers of the projector.
        redundancy: weight of the correlations between different features, lambda.
    """

    name: Literal["barlow_twins"] = "barlow_twins"
    recipe: Recipe = Recipe(lr=1e-3)
    projection: Annotated[int, Field(gt=0)] = 2048
    redundancy: Annotated[float, Field(ge=0)] = 5.1e-3


class BarlowTwins(TwoViews):
    """An encoder and a projector of three layers."""

    name: ClassVar[str] = "barlow_twins"

    def __init__(self, config: BarlowTwinsConfig) -> None:
        super().__init__(config)
        self.project = NormedHead((self.encoder.width, *(config.projection,) * 3))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Distance of the correlations of two views from the identity (equation 1), by the number of features.

        Terms: `loss`, `redundancy` (mean square of the correlations between different features).
        """
        del progress
        pooled = [self.encoder.read(one).pooled for one in self.two_views(batch)]
        first, second = (self.project(one) for one in pooled)
        width = self.config.projection
        loss, off = barlow_twins(first, second, self.config.redundancy)
        terms = {"loss": loss.detach() / width, "redundancy": off.detach() / max(1, width * (width - 1))}
        return Step(loss / width, terms)
