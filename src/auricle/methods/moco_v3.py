"""moco_v3: a view is told from those of other records by keys that a slowly following network makes.

Source: Chen, Xie and He 2021, "An empirical study of training self-supervised vision transformers". Idea: (1) draw two
views of each record; (2) the online network encodes, projects and predicts one: the query; (3) the target network, an
exponential mean of it, makes the key of the other; (4) each query is pulled to its key and pushed from those of all
other records of the batch, both ways round. There is no queue. Inputs: signal, and R peaks where the store has them.
Differences from the paper: the views are those of `acl_ecg`; projector and predictor end without a norm; a frozen patch
stem (their remedy for vision transformers) is not needed by the common backbone and not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from auricle.batch import ECGBatch
from auricle.losses.contrastive import one_way_info_nce
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._target import TargetConfig, WithTarget
from auricle.methods._two_views import BACKBONE

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**BACKBONE["tiny"], "hidden": 32, "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**BACKBONE["nano"], "recipe": {"lr": 2e-3}},
    "shared": BACKBONE["shared"],
    "paper": {**BACKBONE["shared"], "hidden": 4096, "recipe": {"lr": 1.5e-4, "weight_decay": 0.1}},
}


class MocoV3Config(TargetConfig):
    """Settings of moco_v3.

    Attributes:
        temperature: of the contrast; fixed.
    """

    name: Literal["moco_v3"] = "moco_v3"
    recipe: Recipe = Recipe(lr=1e-3)
    temperature: Annotated[float, Field(gt=0)] = 0.2


class MocoV3(WithTarget):
    """An encoder, a projector, a predictor, and the target network of the first two."""

    name: ClassVar[str] = "moco_v3"

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """InfoNCE of queries against keys, both ways round, their sum times twice the temperature (algorithm 1).

        Terms: `loss`.
        """
        del progress
        views, temperature = self.two_views(batch), self.config.temperature
        pooled = [self.encoder.read(one).pooled for one in views]
        queries = [self.predicted(one).float() for one in pooled]
        keys = [self.targeted(one).float() for one in views]
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(queries[0].device.type, enabled=False):
            one, other = (F.normalize(query, dim=-1) for query in queries)
            key, other_key = (F.normalize(each, dim=-1) for each in keys)
            both = one_way_info_nce(one, other_key, 1 / temperature) + one_way_info_nce(other, key, 1 / temperature)
            loss = 2 * temperature * both
        return Step(loss, {"loss": loss.detach()})
