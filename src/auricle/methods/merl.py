"""merl: a ResNet18-1D aligned with reports by plain contrast, and with itself under dropout; the nearest relative.

Source: Liu et al., "Zero-Shot ECG Classification with Multimodal Learning and Test-time Clinical Knowledge
Enhancement", ICML 2024. Idea: (1) encode all leads together; (2) pool the feature map by attention into the space of
the reports; (3) pull each recording to its report and push it from all others, equal reports included; (4) pull two
dropout copies of its mean feature together. Inputs: signal, report embeddings. Differences from the paper: no min-max
scaling of the record (it erases millivolts), our text towers instead of MedCPT where there is no hub, a learned
temperature, and prompts are ours unless the published file is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, Tokens
from auricle.losses.contrastive import info_nce
from auricle.methods._aligned import Aligned, AlignedConfig
from auricle.methods._base import Progress, Recipe, Step
from auricle.nn.heads import projection
from auricle.nn.pooling import AttentionPool

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "resnet1d", "preset": "tiny"},
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {"input": {"rate_hz": 250}, "encoder": {"name": "resnet1d", "preset": "nano"}},
    "small": {"encoder": {"name": "resnet1d", "preset": "small"}},
    "paper": {"encoder": {"name": "resnet1d", "preset": "small"}, "projection": 256, "recipe": {"lr": 1e-3}},
}
# The paper changes nothing about a record before it is encoded.
_UNCHANGED: Final = AugmentConfig(lead_drop_records=0.0, gain=0.0, noise_mv=0.0)


class MerlConfig(AlignedConfig):
    """Settings of merl.

    Attributes:
        heads: of the attention pool.
        dropout: between the two copies of a feature that are pulled together.
        self_weight: of the second term beside the first.
    """

    name: Literal["merl"] = "merl"
    encoder: component(ENCODERS) = Field(default={"name": "resnet1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    augment: AugmentConfig = _UNCHANGED
    recipe: Recipe = Recipe(lr=1e-3)
    heads: Annotated[int, Field(gt=0)] = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    self_weight: Annotated[float, Field(ge=0)] = 1.0


class Merl(Aligned):
    """ECG encoder, attention pool, report projection, and two heads for the contrast of dropout copies."""

    name: ClassVar[str] = "merl"

    def __init__(self, config: MerlConfig) -> None:
        super().__init__(config)
        self.copies = nn.ModuleList(nn.Linear(self.encoder.width, config.projection) for _ in range(2))

    def signal_head(self) -> nn.Module:
        """Attention pool over time, (b, n, d) to (b, projection)."""
        return AttentionPool(self.encoder.width, self.config.projection, self.config.heads)

    def report_head(self) -> nn.Module:
        """Two layers from a report's embedding (b, d) to (b, projection), as in the paper."""
        return projection(self.config.text.width, self.config.projection)

    def signal_vector(self, tokens: Tokens) -> Tensor:
        """(b, projection) vectors of recordings, pooled from all their tokens."""
        vector: Tensor = self.project_signal(tokens.tokens, tokens.mask)
        return vector

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Symmetric InfoNCE of recordings and reports, plus `self_weight` times that of two dropout copies.

        Terms: `loss`, `align`, `copies`, and the learned `temperature`.
        """
        del progress
        assert batch.text is not None
        assert batch.text.embedding is not None
        ready = augment(self.preprocess(batch), self.config.augment)
        tokens = self.encoder.read(ready)
        one, other = (head(F.dropout(tokens.pooled, self.config.dropout, self.training)) for head in self.copies)
        signal = F.normalize(self.signal_vector(tokens), dim=-1)
        report = self.project_text(batch.text.embedding)
        with torch.autocast(signal.device.type, enabled=False):
            has_report = batch.text.report_id >= 0
            align = info_nce(signal.float(), report.float(), self.scale, has_report)
            copies = info_nce(F.normalize(one.float(), dim=-1), F.normalize(other.float(), dim=-1), self.scale)
            loss = align + self.config.self_weight * copies
        terms = {"loss": loss.detach(), "align": align.detach(), "copies": copies.detach()}
        return Step(loss, {**terms, "temperature": 1 / self.scale.detach()})
