"""simmtm: a record is drawn from records that are like it, its own masked copies above all.

Source: Dong et al. 2023, "SimMTM: a simple pre-training framework for masked time-series modeling". Idea: (1) several
copies of each record, with other short stretches of each lead set to zero; (2) all copies and records of the batch are
compared as wholes; (3) the tokens of a record are replaced by the mean of those of all others, weighted by how like
they are, and drawn from that; (4) copies of one record belong together, and records apart; (5) the two losses are
weighed by learned uncertainties. Inputs: signal. Differences from the paper: drawing is one linear map of a token, in
millivolts and only where something was recorded; lengths of stretches are in milliseconds, at any rate; of several
positives the mean counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from auricle.augment.masking import geometric
from auricle.batch import ECGBatch, joined
from auricle.errors import ConfigError
from auricle.losses.contrastive import several_positives
from auricle.methods._base import Method, Progress, Recipe, Step
from auricle.methods._token_drawing import TokenDrawing
from auricle.methods._two_views import BackboneConfig, check_several, without_views
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world
from auricle.signal.preprocess import TYPICAL_MV

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**without_views("tiny"), "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**without_views("nano"), "recipe": {"lr": 1e-3}},
    "shared": {**without_views("shared")},
    # 100 Hz, a residual network; the size of the paper's is not that of twelve leads, so ours is the common backbone.
    "paper": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "resnet1d", "preset": "small"},
        "recipe": {"lr": 1e-4, "weight_decay": 0.0},
    },
}


class SimmtmConfig(BackboneConfig):
    """Settings of simmtm.

    Attributes:
        copies: masked copies of each record.
        hidden: share of each lead of a copy that is set to zero.
        stretch_ms: mean length of a stretch of zeros.
        temperature: of the likeness of wholes; fixed.
        projection: width of the space in which wholes are compared.
    """

    name: Literal["simmtm"] = "simmtm"
    recipe: Recipe = Recipe(lr=1e-3)
    copies: Annotated[int, Field(gt=0)] = 3
    hidden: Annotated[float, Field(gt=0, lt=0.75)] = 0.5
    stretch_ms: Annotated[float, Field(gt=0)] = 30.0
    temperature: Annotated[float, Field(gt=0)] = 0.2
    projection: Annotated[int, Field(gt=0)] = 128


class Simmtm(Method):
    """An encoder, a projection of wholes, a map that draws tokens, and the weights of two losses."""

    name: ClassVar[str] = "simmtm"

    def __init__(self, config: SimmtmConfig) -> None:
        super().__init__(config)
        # Stretches of zeros and what is left between them are at least one sample long.
        least_ms = 1000 / config.input.rate_hz * config.hidden / (1 - config.hidden)
        if least_ms > self._length() / config.input.rate_hz * 1000:
            raise ConfigError(
                f"simmtm: to hide a share of {config.hidden:g}, stretches must be {least_ms:.3g} ms or longer on "
                "average at this rate: raise model.stretch_ms or lower model.hidden"
            )
        width = self.encoder.width
        self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))
        self.drawing = TokenDrawing(self.encoder)
        # Logarithms of the variances of both losses.
        self.uncertainty = nn.Parameter(torch.zeros(2))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of what is drawn, and contrast of copies, weighed by uncertainty (equations 5 to 9).

        Terms: `loss`, `drawn`, `copies`.

        Raises:
            DataError: the batch has one record, which nothing is like.
        """
        del progress
        check_several(batch, self.name)
        ready, config = self.preprocess(replace(batch, image=None, image_mask=None)), self.config
        every = joined([ready, *(self._masked(ready) for _ in range(config.copies))])
        tokens = self.encoder.read(every)
        # Rows of this process among those of all, and of which record each of all is.
        n = len(every)
        own = positive_columns(n, world()[0], ready.signal.device)
        record = torch.arange(n, device=own.device) % len(ready) + world()[0] * len(ready)
        positive = record[:, None] == gather_without_gradient(record)[None]
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(ready.signal.device.type, enabled=False):
            whole = F.normalize(self.project(tokens.pooled.float()), dim=-1)
            likeness = whole @ gather(whole).T / config.temperature
            likeness = likeness.masked_fill(F.one_hot(own, likeness.shape[1]).bool(), -torch.inf)
            there = torch.where(tokens.mask[..., None], tokens.tokens.float(), 0.0)
            mixed = torch.einsum("rc,cnd->rnd", likeness[: len(ready)].softmax(1), gather(there))
            apart = several_positives(likeness, positive)
            copies = mean_over_active(apart, torch.ones_like(apart, dtype=torch.bool))
        valid = ready.lead_mask[:, :, None] & ready.time_mask[:, None]
        wanted = torch.where(valid, ready.signal, 0.0) / TYPICAL_MV
        instead = replace(
            tokens, tokens=mixed, mask=tokens.mask[: len(ready)], pooled=tokens.pooled[: len(ready)], group_weight=None,
            group_contribution=None,
        )  # fmt: skip
        drawn = self.drawing(instead, ready.signal.shape[-1]) / TYPICAL_MV
        missed = mean_over_active((drawn.float() - wanted.float()).square(), valid)
        loss = (torch.exp(-self.uncertainty) * torch.stack([missed, copies]) + self.uncertainty).sum()
        return Step(loss, {"loss": loss.detach(), "drawn": missed.detach(), "copies": copies.detach()})

    def _length(self) -> float:
        """Mean length of a stretch of zeros in samples."""
        return float(max(1.0, self.config.stretch_ms / 1000 * self.config.input.rate_hz))

    def _masked(self, ready: ECGBatch) -> ECGBatch:
        """The records with stretches of each lead at zero, other ones in each."""
        b, leads, t = ready.signal.shape
        there = (ready.lead_mask[:, :, None] & ready.time_mask[:, None]).flatten(0, 1)
        hidden = geometric(there, self.config.hidden, self._length()).view(b, leads, t)
        return replace(ready, signal=torch.where(hidden, 0.0, ready.signal))
