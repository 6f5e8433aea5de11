"""What methods share that compare two views of a record: the views, one network for both, and a watch for collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from auricle.augment.views import PhysiologyViews, ViewsConfig, view
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS
from auricle.errors import DataError
from auricle.methods._base import Method, MethodConfig
from auricle.processes import world

# Input and encoder of each preset of a method whose encoder is the common backbone.
BACKBONE: Final[Mapping[str, Mapping[str, Any]]] = {
    # Half of two seconds would hold one beat or none.
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "resnet1d", "preset": "tiny"},
        "views": {"crop": (1.0, 1.0), "stretch": (1.0, 1.0)},
    },
    "nano": {"input": {"rate_hz": 250}, "encoder": {"name": "resnet1d", "preset": "nano"}},
    "shared": {"encoder": {"name": "resnet1d", "preset": "small"}},
}


class TwoViewsConfig(MethodConfig):
    """Settings of every method that compares two views.

    Attributes:
        views: how two views of a record may differ: `physiology` or `generic`.
    """

    encoder: component(ENCODERS) = Field(default={"name": "resnet1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    views: ViewsConfig = PhysiologyViews()


class TwoViews(Method):
    """An encoder that sees two random views of each record."""

    def two_views(self, batch: ECGBatch) -> tuple[ECGBatch, ECGBatch]:
        """Two views of each record of a batch as it comes from the loader.

        Raises:
            DataError: the batch has one record, which there is nothing to compare with.
        """
        check_several(batch, self.name)
        ready = self.preprocess(batch)
        return view(ready, self.config.views), view(ready, self.config.views)


def check_several(batch: ECGBatch, name: str) -> None:
    """Refuse a batch of one record, over all processes.

    Raises:
        DataError: it is one.
    """
    if len(batch) * world()[1] < 2:
        raise DataError(
            f"{name} compares the records of a batch, and this one has a single record: raise the batch size"
        )


@torch.no_grad()
def effective_rank(features: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """How many directions the features of a batch use, 1 where they have collapsed onto one line.

    Source: Garrido et al. 2023 (RankMe): the exponential of the entropy of the singular values as shares of their sum.

    Args:
        features: of this process; their mean is taken off, so that what all share does not count.
    """
    centred = features.detach().float()
    values = torch.linalg.svdvals(centred - centred.mean(0))
    share = values / values.sum().clamp_min(1e-12) + 1e-7
    return torch.exp(-(share * share.log()).sum())
