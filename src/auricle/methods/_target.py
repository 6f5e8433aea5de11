"""What methods share that compare a view with what a slowly following network makes of the other view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.encoders import EncoderModule, Tokens
from auricle.methods._base import Progress
from auricle.methods._two_views import TwoViews, TwoViewsConfig
from auricle.nn.ema import Ema, rising_momentum
from auricle.nn.heads import NormedHead

if TYPE_CHECKING:
    from auricle.data.loader import Seen


class TargetConfig(TwoViewsConfig):
    """Settings of every method with a target network.

    Attributes:
        hidden: width of the hidden layers of projector and predictor.
        projection: width of the space in which views are compared.
        target_momentum: how much of the target network a step keeps at the beginning; it rises to 1.
    """

    hidden: Annotated[int, Field(gt=0)] = 1024
    projection: Annotated[int, Field(gt=0)] = 256
    target_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99


class WithTarget(TwoViews):
    """An encoder, a projector, a predictor, and the target network of the first two."""

    def __init__(self, config: TargetConfig) -> None:
        super().__init__(config)
        self.project = NormedHead((self.encoder.width, config.hidden, config.projection))
        self.predict = NormedHead((config.projection, config.hidden, config.projection))
        self.target = Ema(**self._followed())

    def _followed(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "project": self.project}

    def prepare(self, view: Seen) -> None:
        """Fit the scale of laboratory values, and let the target begin as the encoder that training starts from."""
        super().prepare(view)
        self.target.begin(**self._followed())

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
        encoder, project = self.target["encoder"], self.target["project"]
        assert isinstance(encoder, EncoderModule)
        tokens = encoder.read(one)
        return tokens, project(tokens.pooled)

    def after_step(self, progress: Progress) -> None:
        """The target network follows."""
        self.target.follow(rising_momentum(self.config.target_momentum, progress.share), **self._followed())
