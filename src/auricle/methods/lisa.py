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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import augment
from auricle.batch import ECGBatch, TextBatch
from auricle.config import Config
from auricle.errors import ConfigError
from auricle.losses.contrastive import soft_target_info_nce, weighted_info_nce, weighted_siglip
from auricle.losses.diag_sim import Similarity, Weighting, fit_ramp, negative_weights, report_similarity, same_report
from auricle.methods._aligned import Aligned, AlignedConfig
from auricle.methods._base import Progress, Recipe, Step
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world

if TYPE_CHECKING:
    from auricle.data.loader import View

# Pairs of records on which the ramp is fitted: enough for a stable 99th centile.
_FIT_PAIRS: Final = 20_000
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


class DiagSimConfig(Config):
    """How the similarity of two reports weakens their repulsion; see `auricle.losses.diag_sim`."""

    similarity: Similarity = "findings"
    weighting: Weighting = "ramp"
    power: Annotated[float, Field(gt=0)] = 2.0


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

    def prepare(self, view: View) -> None:
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
        generator = torch.Generator().manual_seed(0)
        pairs = torch.multinomial(share.double(), 2 * _FIT_PAIRS, replacement=True, generator=generator).view(2, -1)
        pairs = pairs[:, pairs[0] != pairs[1]]
        if pairs.shape[1]:
            one, other = (corpus.text_batch(side.numpy()) for side in pairs)
            kind = self.config.diag_sim.similarity
            chunks = [
                report_similarity(kind, _rows(one, i), _rows(other, i)).diagonal()
                for i in torch.split(torch.arange(pairs.shape[1]), 512)
            ]
            self.ramp.copy_(torch.tensor(fit_ramp(torch.cat(chunks))))

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """The weighted contrastive loss of a batch; every process sees all processes' columns."""
        del progress
        assert batch.text is not None
        assert batch.text.embedding is not None
        ready = augment(self.preprocess(batch), self.config.augment)
        tokens = self.encoder.read(ready)
        signal = F.normalize(self.signal_vector(tokens), dim=-1)
        report = self.project_text(batch.text.embedding)
        # Cosines, temperatures and weights are compared to the third decimal: full precision, also under bf16.
        with torch.autocast(signal.device.type, enabled=False):
            return self._align(signal.float(), report.float(), batch.text)

    def _align(self, signal: Tensor, report: Tensor, text: TextBatch) -> Step:
        """The loss of unit vectors of recordings and of their reports, rows of this process against all columns."""
        everyone = _gather_text(text)
        weight, same = self._weights(text, everyone)
        scale = self.scale
        positive = positive_columns(len(signal), world()[0], signal.device)
        has_report = text.report_id >= 0
        logits = scale * signal @ gather(report).T
        loss, active = self._direction(logits, positive, weight, has_report)
        share = self.config.text_to_ecg
        if share:
            back, _ = self._direction(scale * report @ gather(signal).T, positive, weight, has_report)
            loss = (1 - share) * loss + share * back
        hit = same[torch.arange(len(logits), device=logits.device), logits.argmax(1)]
        terms = {
            "loss": loss.detach(),
            "temperature": 1 / scale.detach(),
            "mean_weight": weight.mean(),
            "active": active.float().mean(),
            "top1": hit.float().mean(),
        }
        return Step(loss, terms)

    @torch.no_grad()
    def _weights(self, text: TextBatch, everyone: TextBatch) -> tuple[Tensor, Tensor]:
        """a_ij of this process's rows against all columns, and which pairs have the same report."""
        config = self.config.diag_sim
        same = same_report(text, everyone)
        similarity = report_similarity(config.similarity, text, everyone)
        ramp = (float(self.ramp[0]), float(self.ramp[1]))
        weight = negative_weights(similarity, same, config.weighting, ramp, config.power)
        # A record without a report has no partner to be drawn to and is nobody's negative.
        return torch.where((everyone.report_id >= 0)[None], weight, 0.0), same

    def _direction(self, logits: Tensor, positive: Tensor, weight: Tensor, has_report: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.objective == "siglip":
            losses, active = weighted_siglip(logits, positive, weight, self.logit_bias)
        elif self.config.objective == "soft_target":
            losses, active = soft_target_info_nce(logits, positive, weight)
        else:
            losses, active = weighted_info_nce(logits, positive, weight)
        active = active & has_report
        return mean_over_active(losses, active), active


def _rows(text: TextBatch, index: Tensor) -> TextBatch:
    def take(matrix: Tensor | None) -> Tensor | None:
        return None if matrix is None else matrix[index]

    return TextBatch(text.report_id[index], take(text.embedding), take(text.findings), take(text.concepts))


def _gather_text(text: TextBatch) -> TextBatch:
    def take(matrix: Tensor | None) -> Tensor | None:
        return None if matrix is None else gather_without_gradient(matrix)

    return TextBatch(
        gather_without_gradient(text.report_id), take(text.embedding), take(text.findings), take(text.concepts)
    )
