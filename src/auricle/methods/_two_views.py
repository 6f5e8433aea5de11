"""What methods share that compare two views of a record: the views, and one network for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from auricle.augment.views import PhysiologyViews, ViewsConfig, view
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, Tokens
from auricle.errors import ConfigError, DataError
from auricle.methods._base import Method, MethodConfig
from auricle.processes import gather_without_gradient, world

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


def along_time(tokens: Tokens, name: str) -> Tokens:
    """The tokens, if they follow each other in time.

    Raises:
        ConfigError: they do not, but are of several lead groups or time scales.
    """
    if not (tokens.time_ms.diff() > 0).all():
        raise ConfigError(
            f"{name} compares moments, and the tokens of this encoder are of several groups of leads or time scales: "
            "take model.encoder.name=resnet1d"
        )
    return tokens


def without_views(name: str) -> dict[str, Any]:
    """A preset of `BACKBONE` for a method that draws its views itself."""
    return {key: value for key, value in BACKBONE[name].items() if key != "views"}


class BackboneConfig(MethodConfig):
    """Settings of every method whose encoder is the common backbone unless another is named."""

    encoder: component(ENCODERS) = Field(default={"name": "resnet1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]


class TwoViewsConfig(BackboneConfig):
    """Settings of every method that compares two views.

    Attributes:
        views: how two views of a record may differ: `physiology` or `generic`.
    """

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


def share_with_another(person: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Scalar share of this process's records whose person is in the batch of all processes with another one.

    Args:
        person: equal for equal people.
    """
    same = person[:, None] == gather_without_gradient(person)[None]
    return (same.sum(1) > 1).float().mean()
