"""simsiam: one view predicts what the same network makes of the other, without negatives and without a second network.

Source: Chen and He 2021, "Exploring simple Siamese representation learning". Idea: (1) draw two views of each record
and project both by one network with batch norm; (2) a predictor turns the projection of one into that of the other;
(3) no gradient reaches what is predicted, which is what keeps all records from becoming one point. Inputs: signal, and
R peaks where the store has them. Differences from the paper: the views are those of `acl_ecg`, and gradients are
clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from auricle.batch import ECGBatch
from auricle.losses.regression import cosine_regression
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._two_views import BACKBONE, TwoViews, TwoViewsConfig
from auricle.nn.heads import NormedHead

# The predictor is a bottleneck of a quarter of the width.
_BOTTLENECK: Final = 4
# SGD at .05 for a batch of 256, in proportion to the batch (the paper's rule); here for 64.
_SGD: Final = {"optimiser": "sgd", "lr": 0.0125, "weight_decay": 1e-4}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**BACKBONE["tiny"], "recipe": {"lr": 3e-3}},
    "nano": {**BACKBONE["nano"], "recipe": _SGD},
    "shared": {**BACKBONE["shared"], "recipe": _SGD},
    "paper": {**BACKBONE["shared"], "recipe": {**_SGD, "lr": 0.05}},
}


class SimsiamConfig(TwoViewsConfig):
    """Settings of simsiam."""

    name: Literal["simsiam"] = "simsiam"
    recipe: Recipe = Recipe(lr=1e-3)


class Simsiam(TwoViews):
    """An encoder, a projector of three layers, and a predictor."""

    name: ClassVar[str] = "simsiam"

    def __init__(self, config: SimsiamConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        self.project = NormedHead((width, width, width, width), ends_normed=True)
        self.predict = NormedHead((width, max(1, width // _BOTTLENECK), width))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Minus the cosine of each prediction with the other view's projection (equations 1 to 4), plus 1.

        Terms: `loss`.
        """
        del progress
        pooled = [self.encoder.read(one).pooled for one in self.two_views(batch)]
        projected = [self.project(one) for one in pooled]
        predicted = [self.predict(one) for one in projected]
        loss = cosine_regression(predicted[0], projected[1]) + cosine_regression(predicted[1], projected[0])
        return Step(loss / 4, {"loss": loss.detach() / 4})
