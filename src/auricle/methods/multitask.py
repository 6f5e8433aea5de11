"""multitask: what lisa learns from reports, with classes, numbers and hidden parts of the recording learned beside it.

Source: lisa (LISA proposal 3.1 to 3.4); the sum of objectives is ours. Idea: (1) alignment with reports, where there
are any; (2) a head for classes, over the entries that are annotated; (3) numbers that a simulator knows (rate,
intervals, axis, amplitudes of every lead); (4) leads and stretches of time are hidden, and drawn from what is shown,
which needs neither report nor label; (5) the age gate from the first step. Each objective has a weight and asks only
those records that can answer, so one batch may hold simulated people, real ones with labels and real ones without.
Inputs: signal, report embeddings, parsed findings, targets, numbers, age; each may be missing for any record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.masking import hide
from auricle.augment.signal import augment, drop_leads
from auricle.batch import ECGBatch
from auricle.config import Config
from auricle.data.stream import NUMBERS
from auricle.encoders import Tokens
from auricle.losses.supervised import masked_bce
from auricle.methods._base import Progress, Step
from auricle.methods._classifier import Answering, AnsweringConfig
from auricle.methods._gate import AgeGateConfig, attach_age_gate
from auricle.methods._token_drawing import TokenDrawing
from auricle.methods.lisa import PRESETS as LISA_PRESETS
from auricle.methods.lisa import Lisa, LisaConfig
from auricle.processes import mean_over_active
from auricle.signal.preprocess import TYPICAL_MV

if TYPE_CHECKING:
    from auricle.data.loader import Seen

# Columns of time that are hidden: their length, and share of them in the records of which any are.
_HIDDEN_MS: Final = 400.0
_HIDDEN_SHARE: Final = 0.25
_HIDDEN_RECORDS: Final = 0.5

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = LISA_PRESETS

Weight = Annotated[float, Field(ge=0)]


class Objectives(Config):
    """What each objective weighs; 0 leaves it out.

    Attributes:
        align: comparing recordings with their reports.
        classes: cross-entropy of the classes.
        numbers: what the simulator knows in numbers.
        hidden: drawing what was hidden.
    """

    align: Weight = 0.3
    classes: Weight = 1.0
    numbers: Weight = 0.3
    hidden: Weight = 0.3


class MultitaskConfig(LisaConfig, AnsweringConfig):
    """Settings of multitask.

    Attributes:
        objectives: what is learned.
        gate: the age gate, or None.
    """

    name: Literal["multitask"] = "multitask"  # type: ignore[assignment]
    objectives: Objectives = Objectives()
    gate: AgeGateConfig | None = AgeGateConfig()

    @model_validator(mode="after")
    def _each_class_for_itself(self) -> MultitaskConfig:
        if self.answers == "single_label":
            raise ValueError(
                "answers: multitask learns each class for itself (multi_label); supervised learns one of all"
            )
        return self


class Multitask(Lisa, Answering):
    """Encoder, age gate, the projections of lisa, and heads for classes, numbers and hidden samples."""

    name: ClassVar[str] = "multitask"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding", "findings", "target"})
    number_mean: Tensor
    number_spread: Tensor

    def __init__(self, config: MultitaskConfig) -> None:
        super().__init__(config)
        self.drawing = TokenDrawing(self.encoder)
        attach_age_gate(self.encoder, config.gate)
        self.numbers = nn.Sequential(nn.LayerNorm(self.encoder.width), nn.Linear(self.encoder.width, len(NUMBERS)))
        self.register_buffer("number_mean", torch.zeros(len(NUMBERS)))
        self.register_buffer("number_spread", torch.ones(len(NUMBERS)))

    def prepare(self, view: Seen) -> None:
        """Fit the ramp, the mean text embedding and the scale of the numbers on the training records, once.

        Raises:
            ConfigError: as `Lisa.prepare`.
        """
        super().prepare(view)
        if view.numbers is not None:
            numbers = torch.from_numpy(view.numbers).double()
            known = ~numbers.isnan()
            count = known.sum(0).clamp_min(1)
            mean = numbers.nan_to_num().sum(0) / count
            spread = ((numbers - mean).nan_to_num().square().sum(0) / count).sqrt()
            self.number_mean.copy_(mean)
            self.number_spread.copy_(torch.where(spread > 0, spread, 1.0))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """The weighted sum of all objectives. Terms: `loss`, and the loss of each by its name."""
        del progress
        weights = self.config.objectives
        # What is shown: disturbed recordings that have lost leads and, some of them, stretches of time.
        lossless = self.config.augment.model_copy(update={"lead_drop": 0.0})
        whole = augment(self.preprocess(batch), lossless)
        shown = self._hidden(whole)
        tokens = self.encoder.read(shown)
        losses: dict[str, Tensor] = {}
        if weights.align and batch.text is not None:
            losses["align"] = self.alignment(tokens, batch.text).loss
        if weights.classes and batch.target is not None:
            losses["classes"] = masked_bce(self.classify(tokens), batch.target)
        if weights.numbers and batch.numbers is not None:
            losses["numbers"] = self._number_loss(tokens, batch.numbers)
        if weights.hidden:
            losses["hidden"] = self._hidden_loss(tokens, whole, shown)
        loss = torch.stack([getattr(weights, name) * one for name, one in losses.items()]).sum()
        return Step(loss, {"loss": loss.detach(), **{name: one.detach() for name, one in losses.items()}})

    def _hidden(self, whole: ECGBatch) -> ECGBatch:
        """The batch without the leads and stretches of time that are to be drawn; only their masks change."""
        lost = self.config.augment
        shown = replace(whole, lead_mask=drop_leads(whole.lead_mask, lost.lead_drop_records, lost.lead_drop))
        if not self.config.objectives.hidden:
            return shown
        column = max(1, round(_HIDDEN_MS / 1000 * whole.rate_hz))
        return hide(shown, column, 0.0, _HIDDEN_SHARE, _HIDDEN_RECORDS)

    def _number_loss(self, tokens: Tokens, numbers: Tensor) -> Tensor:
        """Absolute error, squared where small, of the numbers in spreads of the training records."""
        wanted = (numbers - self.number_mean) / self.number_spread
        known = ~wanted.isnan()
        errors = F.smooth_l1_loss(self.numbers(tokens.pooled).float(), wanted.nan_to_num(), reduction="none")
        return mean_over_active(errors, known)

    def _hidden_loss(self, tokens: Tokens, whole: ECGBatch, shown: ECGBatch) -> Tensor:
        """Absolute error, squared where small, of hidden samples in typical sizes, over those that were recorded."""
        drawn = self.drawing(tokens, whole.signal.shape[-1]).float()
        recorded = whole.lead_mask[:, :, None] & whole.time_mask[:, None]
        hidden = recorded & ~(shown.lead_mask[:, :, None] & shown.time_mask[:, None])
        errors = F.smooth_l1_loss(drawn / TYPICAL_MV, whole.signal.float() / TYPICAL_MV, reduction="none")
        return mean_over_active(errors, hidden)
