"""astcl: noise added and noise removed must look alike, and each view foretells what a slow network hears in the other.

Source: Wang et al. 2024, "Adversarial spatiotemporal contrastive learning for electrocardiogram signals" (ASTCL), of
which no program is public; this is our reading of it. Idea: (1) two views of each record, one with noise added, one
smoothed; leads are missing in both; (2) an online network predicts the projection of the other view by a slowly
following one, and all records of one patient are the same answer; (3) from the tokens of one view the next tokens of
the other, with all its leads, are predicted (space and time); (4) an adversary tells which view features are of, and
its gradient reaches the encoder with the other sign. Inputs: signal. A token of the common backbone has heard some
seven tokens on either side, so the next four have been heard, in another view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.augment.spectrum import smoothed
from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import DataError
from auricle.losses.invariance import adversary_strength, domain_loss, reversed_gradient
from auricle.losses.regression import cosine_regression
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._target import HeadsConfig, WithHeads
from auricle.methods._two_views import (
    along_time,
    check_several,
    share_with_another,
    without_views,
)
from auricle.processes import anywhere, gather_without_gradient

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**without_views("tiny"), "hidden": 32, "projection": 16, "n_ahead": 2, "recipe": {"lr": 3e-3}},
    "nano": {**without_views("nano"), "recipe": {"lr": 2e-3}},
    "shared": without_views("shared"),
    "paper": {**without_views("shared"), "recipe": {"lr": 1e-3, "weight_decay": 1e-4}},
}
_ADDED: Final = AugmentConfig(gain=0.0, noise_mv=0.05, wander_mv=0.1)
_REMOVED: Final = AugmentConfig(gain=0.0, noise_mv=0.0)


class AstclConfig(HeadsConfig):
    """Settings of astcl.

    Attributes:
        added: noise of the one view, and leads that it misses.
        removed: leads that the other view misses; it is smoothed first.
        cutoff_hz: what is faster is removed.
        n_ahead: tokens that are predicted.
        ahead: weight of their prediction beside that of the projection.
        adversary: weight of the adversary at the end; it rises from 0.
    """

    name: Literal["astcl"] = "astcl"
    recipe: Recipe = Recipe(lr=1e-3)
    added: AugmentConfig = _ADDED
    removed: AugmentConfig = _REMOVED
    cutoff_hz: Annotated[float, Field(gt=0)] = 25.0
    n_ahead: Annotated[int, Field(gt=0)] = 4
    ahead: Annotated[float, Field(ge=0)] = 1.0
    adversary: Annotated[float, Field(ge=0)] = 0.1


class Astcl(WithHeads):
    """An encoder with projector, predictor and their target; a linear map for each token ahead; and an adversary."""

    name: ClassVar[str] = "astcl"
    same_patient: ClassVar[bool] = True

    def __init__(self, config: AstclConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        self.ahead = nn.Linear(width, config.n_ahead * width)
        self.tell = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Predictions of the other view by patient and ahead in time, and the adversary.

        Terms: `loss`, `agree`, `ahead`, `adversary` (cross-entropy; ln 2 where it knows nothing), and `patients`, the
        share of rows whose patient is in the batch with another record.

        Raises:
            ConfigError: the tokens of the encoder do not follow each other in time.
            DataError: a single record, or no record with more tokens than are predicted.
        """
        check_several(batch, self.name)
        ready = self.preprocess(replace(batch, image=None, image_mask=None))
        whole = ready, smoothed(ready, self.config.cutoff_hz)
        shown = augment(ready, self.config.added), augment(whole[1], self.config.removed)
        online = [along_time(self.encoder.read(one), self.name) for one in shown]
        # What is to be foretold has all leads of the record.
        target = [self.read_by_target(one) for one in whole]

        # Of one patient all records have one answer.
        people = gather_without_gradient(batch.patient_id)
        same = (batch.patient_id[:, None] == people[None]).float()
        with torch.autocast(same.device.type, enabled=False):
            answers = [
                same @ gather_without_gradient(F.normalize(projected.float(), dim=-1)) for _, projected in target
            ]
        agree = torch.stack(
            [cosine_regression(self.predicted(online[one].pooled), answers[other]) for one, other in ((0, 1), (1, 0))]
        ).mean()
        ahead = torch.stack([self._foretold(online[one], target[other][0]) for one, other in ((0, 1), (1, 0))]).mean()

        pooled = torch.cat([tokens.pooled for tokens in online])
        kind = torch.arange(2, device=pooled.device).repeat_interleave(len(batch))
        told = self.tell(reversed_gradient(pooled, adversary_strength(progress.share)))
        adversary = domain_loss(told.float(), kind, torch.ones_like(kind, dtype=torch.bool))
        loss = agree + self.config.ahead * ahead + self.config.adversary * adversary
        shared = share_with_another(batch.patient_id)
        terms = {"loss": loss, "agree": agree, "ahead": ahead, "adversary": adversary, "patients": shared}
        return Step(loss, {name: term.detach() for name, term in terms.items()})

    def _foretold(self, tokens: Tokens, target: Tokens) -> Tensor:
        """Scalar: from each token of a view the next ones that the target network hears in the other."""
        n = tokens.tokens.shape[1]
        aim = torch.arange(n, device=tokens.mask.device)[:, None] + 1
        aim = aim + torch.arange(self.config.n_ahead, device=aim.device)  # (n, k)
        inside = aim.clamp_max(n - 1)
        there = tokens.mask[:, :, None] & target.mask[:, inside] & (aim < n)
        if not anywhere(there):
            raise DataError(
                "astcl: no record of the batch has two tokens, from one of which the other is predicted: take longer "
                "windows (model.input.seconds)"
            )
        predicted = self.ahead(tokens.tokens).unflatten(-1, (self.config.n_ahead, -1))
        return cosine_regression(predicted, target.tokens[:, inside], there)
