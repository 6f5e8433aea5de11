"""What methods share that have a slowly following network: the network, and two views compared across it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.encoders import EncoderModule, Tokens
from auricle.methods._base import Method, Progress
from auricle.methods._two_views import BackboneConfig, TwoViews, TwoViewsConfig
from auricle.nn.ema import Ema, rising_momentum
from auricle.nn.heads import NormedHead

if TYPE_CHECKING:
    from auricle.data.loader import Seen


class HeadsConfig(BackboneConfig):
    """Settings of every method that predicts what a target network projects.

    Attributes:
        hidden: width of the hidden layers of projector and predictor.
        projection: width of the space in which views are compared.
        target_momentum: how much of the target network a step keeps at the beginning; it rises to 1.
    """

    hidden: Annotated[int, Field(gt=0)] = 1024
    projection: Annotated[int, Field(gt=0)] = 256
    target_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99


class TargetConfig(HeadsConfig, TwoViewsConfig):
    """Settings of every method that predicts what a target network projects of another random view."""


class Following(Method):
    """An encoder, and a network that follows it: built by `begin_target` at the end of the subclass's `__init__`."""

    target: Ema

    def followed(self) -> dict[str, nn.Module]:
        """What the target network follows, by name."""
        return {"encoder": self.encoder}

    def begin_target(self) -> None:
        """Make the target network, equal to what it follows."""
        self.target = Ema(**self.followed())

    def prepare(self, view: Seen) -> None:
        """Fit the scale of laboratory values, and let the target begin as the encoder that training starts from."""
        super().prepare(view)
        self.target.begin(**self.followed())

    def after_step(self, progress: Progress) -> None:
        """The target network follows."""
        self.target.follow(rising_momentum(self.config.target_momentum, progress.share), **self.followed())

    @property
    def target_encoder(self) -> EncoderModule:
        """The encoder that follows."""
        encoder = self.target["encoder"]
        assert isinstance(encoder, EncoderModule)
        return encoder


class WithHeads(Following):
    """An encoder, a projector, a predictor, and the target network of the first two."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config)
        self.project = NormedHead((self.encoder.width, config.hidden, config.projection))
        self.predict = NormedHead((config.projection, config.hidden, config.projection))
        self.begin_target()

    def followed(self) -> dict[str, nn.Module]:
        """The encoder and the projector."""
        return {**super().followed(), "project": self.project}

    def predicted(self, pooled: Tensor) -> Tensor:
        """(b, projection) what the online network predicts from the features (b, width) of a view."""
        predicted: Tensor = self.predict(self.project(pooled))
        return predicted

    @torch.no_grad()
    def targeted(self, one: ECGBatch) -> Tensor:
        """(b, projection) what the target network makes of a view."""
        return self.read_by_target(one)[1]

    @torch.no_grad()
    def read_by_target(self, one: ECGBatch) -> tuple[Tokens, Tensor]:
        """What the target encoder says of a view, and (b, projection) what its projector makes of that."""
        tokens = self.target_encoder.read(one)
        return tokens, self.target["project"](tokens.pooled)


class WithTarget(WithHeads, TwoViews):
    """An encoder, a projector, a predictor and their target network, for two random views of each record."""
