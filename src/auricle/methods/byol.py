"""byol: one network predicts what another, which follows it slowly, makes of another view; nothing is pushed apart.

Source: Grill et al. 2020, "Bootstrap your own latent". Idea: (1) draw two views of each record; (2) the online network
encodes, projects and predicts one; (3) the target network, an exponential mean of the online one, encodes and projects
the other; (4) pull the prediction to it, both ways round; (5) the mean follows more and more slowly. Inputs: signal,
and R peaks where the store has them. Differences from the paper: the views are those of `acl_ecg`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from auricle.batch import ECGBatch
from auricle.losses.regression import cosine_regression
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._target import TargetConfig, WithTarget
from auricle.methods._two_views import BACKBONE

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**BACKBONE["tiny"], "hidden": 32, "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**BACKBONE["nano"], "recipe": {"lr": 2e-3}},
    "shared": BACKBONE["shared"],
    "paper": {**BACKBONE["shared"], "recipe": {"optimiser": "lars", "lr": 0.2, "weight_decay": 1.5e-6}},
}


class ByolConfig(TargetConfig):
    """Settings of byol."""

    name: Literal["byol"] = "byol"
    recipe: Recipe = Recipe(lr=1e-3)


class Byol(WithTarget):
    """An encoder, a projector, a predictor, and the target network of the first two."""

    name: ClassVar[str] = "byol"

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """2 - 2 cos of each prediction with the target of the other view, mean of both ways round (equations 1, 2).

        Terms: `loss`.
        """
        del progress
        views = self.two_views(batch)
        pooled = [self.encoder.read(one).pooled for one in views]
        predicted = [self.predicted(one) for one in pooled]
        targets = [self.targeted(one) for one in views]
        loss = (cosine_regression(predicted[0], targets[1]) + cosine_regression(predicted[1], targets[0])) / 2
        return Step(loss, {"loss": loss.detach()})
