"""lisa: lead groups in several time scales, aligned with reports by a loss in which like diagnoses do not repel.

Source: the LISA proposal, sections 3.1 to 3.3. Idea: (1) leads enter in anatomical groups; (2) three time scales run in
parallel; (3) a frozen clinical text tower embeds each distinct report once; (4) ECG and report projections meet in a
cosine space; (5) a negative pair counts the less, the more alike the two diagnoses are (DiagSim). The age gate comes at
fine-tuning (`supervised`).
Inputs: signal, report embeddings, parsed findings. Differences from the proposal: similarity of findings instead of
cosine by default (cosine hides laterality and negation), the loss is the mean of both directions, and augmentation
drops leads so that any subset is a legal input.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import augment
from auricle.batch import ECGBatch, TextBatch
from auricle.encoders import Tokens
from auricle.errors import ConfigError
from auricle.losses.contrastive import soft_target_info_nce, weighted_info_nce, weighted_siglip
from auricle.losses.diag_sim import (
    DiagSimConfig,
    diag_sim_weights,
    fit_ramp_to,
)
from auricle.methods._aligned import Aligned, AlignedConfig
from auricle.methods._base import Progress, Recipe, Step
from auricle.processes import gather, mean_over_active, positive_columns, world

if TYPE_CHECKING:
    from auricle.data.loader import Seen

_SIGLIP_START: Final = (math.log(10.0), -10.0)

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "lead_groups", "preset": "tiny"},
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 250, "band_hz": (0.5, 100)},
        "encoder": {"name": "lead_groups", "preset": "nano"},
        "recipe": {"lr": 2e-3},
    },
    "small": {"encoder": {"name": "lead_groups", "preset": "small"}, "recipe": {"lr": 5e-4}},
    "base": {"encoder": {"name": "lead_groups", "preset": "base"}, "recipe": {"lr": 3e-4}},
}


class LisaConfig(AlignedConfig):
    """Settings of lisa.

    Attributes:
        objective: `info_nce` (the proposal's), `soft_target` or `siglip`, all with the same a_ij.
        text_to_ecg: share of the text-to-ECG direction; 0 is the proposal's one-way formula.
    """

    name: Literal["lisa"] = "lisa"
    recipe: Recipe = Recipe(lr=1e-3)
    diag_sim: DiagSimConfig = DiagSimConfig()
    objective: Literal["info_nce", "soft_target", "siglip"] = "info_nce"
    text_to_ecg: Annotated[float, Field(ge=0, le=1)] = 0.5


class Lisa(Aligned):
    """ECG encoder and two projections; the text tower itself is not part of the weights."""

    name: ClassVar[str] = "lisa"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding", "findings"})
    ramp: Tensor

    def __init__(self, config: LisaConfig) -> None:
        super().__init__(config)
        if config.objective == "siglip":
            nn.init.constant_(self.logit_scale, _SIGLIP_START[0])
        bias = torch.tensor(_SIGLIP_START[1] if config.objective == "siglip" else 0.0)
        self.logit_bias = nn.Parameter(bias, requires_grad=config.objective == "siglip")
        self.register_buffer("ramp", torch.tensor([0.5, 0.9]))

    def prepare(self, view: Seen) -> None:
        """Fit the ramp and the mean text embedding on the corpus, once.

        Raises:
            ConfigError: there is no text, or it is as wide as another tower's.
        """
        super().prepare(view)
        corpus = view.corpus
        if corpus is None or corpus.embedding is None:
            raise ConfigError("lisa aligns with reports: pre-train it on a store that has them")
        width = corpus.embedding.shape[1]
        if width != self.config.text.width:
            raise ConfigError(f"tower {self.text_tower!r} is {width} wide: set model.text.width={width}")
        share = corpus.n_records / corpus.n_records.sum()
        self.text_mean.copy_((share[:, None] * corpus.embedding).sum(0))
        ramp = fit_ramp_to(corpus, self.config.diag_sim.similarity)
        if ramp is None:
            warnings.warn(
                "no two reports of the training records share a diagnosis, so DiagSim lets all of them repel alike: "
                "are they in English, German, Swedish or Chinese, and are there enough of them?",
                stacklevel=2,
            )
        else:
            self.ramp.copy_(torch.tensor(ramp))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """The DiagSim-weighted contrastive loss of a batch (LISA proposal 3.3), reports of all processes included."""
        del progress
        assert batch.text is not None
        return self.alignment(self.encoder.read(augment(self.preprocess(batch), self.config.augment)), batch.text)

    def alignment(self, tokens: Tokens, text: TextBatch) -> Step:
        """The DiagSim-weighted contrastive loss of encoded recordings and their reports.

        Args:
            tokens: of b recordings.
            text: their reports, embedded; a recording without one takes no part.
        """
        assert text.embedding is not None
        # Both sides as unit vectors of one space, (b, projection).
        signal = F.normalize(self.signal_vector(tokens), dim=-1)
        report = self.project_text(text.embedding)
        # Cosines, temperatures and weights are compared to the third decimal: full precision, also under bf16.
        with torch.autocast(signal.device.type, enabled=False):
            return self._align(signal.float(), report.float(), text)

    def _align(self, signal: Tensor, report: Tensor, text: TextBatch) -> Step:
        """The loss of unit vectors, (b, projection) each; b records of this process meet the c of all processes."""
        # a_ij (b, c): how much report j repels record i, 0 where the two are one report.
        ramp = (float(self.ramp[0]), float(self.ramp[1]))
        columns = text.gather()
        weight, same = diag_sim_weights(self.config.diag_sim, ramp, text, columns)
        # ECG to text, (b, c); a record without a report has no row.
        scale = self.scale
        positive = positive_columns(len(signal), world()[0], signal.device)
        has_report, there = text.report_id >= 0, columns.report_id >= 0
        logits = scale * signal @ gather(report).T
        loss, active = self._direction(logits, positive, weight, has_report, there)
        # Text to ECG, (b, c), where it is asked for.
        share = self.config.text_to_ecg
        if share:
            back, _ = self._direction(scale * report @ gather(signal).T, positive, weight, has_report, there)
            loss = (1 - share) * loss + share * back
        # For the eye: whether the nearest report says what the record's own says.
        hit = same[torch.arange(len(logits), device=logits.device), logits.argmax(1)]
        terms = {
            "loss": loss.detach(),
            "temperature": 1 / scale.detach(),
            "mean_weight": weight.mean(),
            "active": active.float().mean(),
            "top1": hit.float().mean(),
        }
        return Step(loss, terms)

    def _direction(
        self, logits: Tensor, positive: Tensor, weight: Tensor, has_report: Tensor, there: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The mean loss of one direction, and (b,) the records that have a partner and someone to repel.

        Args:
            logits: (b, c) scaled cosines.
            positive: (b,) the column of each record's own partner.
            weight: (b, c) of the others as negatives.
            has_report: (b,) records that have a partner at all.
            there: (c,) the same of all processes' records.
        """
        if self.config.objective == "siglip":
            losses, active = weighted_siglip(logits, positive, weight, self.logit_bias)
        elif self.config.objective == "soft_target":
            losses, active = soft_target_info_nce(logits, positive, weight, there)
        else:
            losses, active = weighted_info_nce(logits, positive, weight)
        active = active & has_report
        return mean_over_active(losses, active), active
