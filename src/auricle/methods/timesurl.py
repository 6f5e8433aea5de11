"""timesurl: two stretches of a record agree where they overlap, moment by moment and in ever coarser time.

Source: Liu and Chen 2024, "TimesURL: self-supervised contrastive learning for universal time series representation
learning". Idea: (1) two overlapping stretches of a record, each with lines of its spectrum taken from another record
and columns of time set to 0; (2) one network encodes both; (3) at each moment of the overlap records are told apart,
and within a record moments, in a pyramid of ever coarser time; (4) mixtures of a vector with another are told apart
too; (5) what was set to 0 is drawn from the tokens. Inputs: signal. Differences from the paper: moments are the tokens
of the common backbone, because the contrast of moments is quadratic in their number; vectors are compared as cosines of
a projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor

from auricle.augment.masking import columns
from auricle.augment.signal import Share
from auricle.augment.spectrum import mixed_lines
from auricle.augment.views import overlapping
from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import DataError
from auricle.losses.hierarchical import hierarchical_contrast
from auricle.methods._base import Method, Progress, Recipe, Step
from auricle.methods._token_drawing import TokenDrawing
from auricle.methods._two_views import BackboneConfig, along_time, check_several, without_views
from auricle.nn.heads import projection
from auricle.processes import anywhere, mean_over_active
from auricle.signal.preprocess import TYPICAL_MV

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**without_views("tiny"), "lines": 0.1, "hidden": 0.1, "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**without_views("nano"), "recipe": {"lr": 2e-3}},
    "shared": without_views("shared"),
    # The paper's 320 features.
    "paper": {**without_views("shared"), "projection": 320, "recipe": {"lr": 1e-3, "weight_decay": 5e-4}},
}


class TimesurlConfig(BackboneConfig):
    """Settings of timesurl.

    Attributes:
        lines: most of the lines of a record's spectrum that come from another one.
        hidden: share of the columns of time that are set to 0.
        projection: width of the space in which moments are compared.
        temperature: of both contrasts; fixed.
        records: weight of the contrast of records; that of moments has the rest.
        own_share: of a vector in a mixture of it and another.
        drawing: weight of drawing what was set to 0.
    """

    name: Literal["timesurl"] = "timesurl"
    recipe: Recipe = Recipe(lr=1e-3)
    lines: Share = 0.5
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.2
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.2
    records: Share = 0.8
    own_share: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    drawing: Annotated[float, Field(ge=0)] = 0.01


class Timesurl(Method):
    """An encoder, a projection of its tokens, and linear maps that draw the stretch of a token."""

    name: ClassVar[str] = "timesurl"

    def __init__(self, config: TimesurlConfig) -> None:
        super().__init__(config)
        self.project = projection(self.encoder.width, config.projection)
        self.drawing = TokenDrawing(self.encoder)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Hierarchical contrast of two stretches, and drawing (equations 3 to 9).

        Terms: `loss`, `records`, `moments`, and `drawing`, an error in squares of a typical amplitude.

        Raises:
            ConfigError: the tokens of the encoder do not follow each other in time.
            DataError: a single record, or stretches that have no token in common.
        """
        del progress
        check_several(batch, self.name)
        ready = self.preprocess(replace(batch, image=None, image_mask=None))
        stretches = [replace(mixed_lines(ready, self.config.lines), time_mask=mask)
                     for mask in overlapping(ready.time_mask)]  # fmt: skip
        hidden = [columns(one.time_mask, self.drawing.patch, self.config.hidden) for one in stretches]
        emptied = [replace(one, signal=one.signal.masked_fill(gone[:, None], 0.0))
                   for one, gone in zip(stretches, hidden, strict=True)]  # fmt: skip
        views = [along_time(self.encoder.read(one), self.name) for one in emptied]
        mask = views[0].mask & views[1].mask
        if not anywhere(mask):
            raise DataError(
                "timesurl: two stretches of a record have nothing in common in this batch: its records are too short, "
                "take longer windows (model.input.seconds)"
            )
        first, second = (self.project(view.tokens) for view in views)
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(first.device.type, enabled=False):
            records, moments = hierarchical_contrast(
                first.float(), second.float(), mask, 1 / self.config.temperature, self.config.own_share
            )
        drawing = torch.stack(
            [self._missed(view, one, gone) for view, one, gone in zip(views, stretches, hidden, strict=True)]
        ).mean()
        share = self.config.records
        loss = share * records + (1 - share) * moments + self.config.drawing * drawing
        terms = {"loss": loss, "records": records, "moments": moments, "drawing": drawing}
        return Step(loss, {name: term.detach() for name, term in terms.items()})

    def _missed(self, tokens: Tokens, shown: ECGBatch, hidden: Tensor) -> Tensor:
        """Scalar: mean squared error of what was set to 0 (b, t), in squares of a typical amplitude."""
        drawn = self.drawing(tokens, shown.signal.shape[-1]).float()
        error = ((drawn - shown.signal.float()) / TYPICAL_MV).square()
        return mean_over_active(error, shown.lead_mask[..., None] & (hidden & shown.time_mask)[:, None])
