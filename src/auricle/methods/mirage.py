"""mirage: series, picture and laboratory values of one ECG, fused; trained on labels and on their agreement.

Source: the MIRAGE document (Multimodal Integration via Representational Alignment using Graphormer and Encoders),
sections A to F. Idea: (1) leads are nodes of a graph; (2) the same ECG as a picture is read by a vision transformer;
(3) laboratory values modulate every layer of both (FiLM), so that like traces with unlike troponin part early; (4) the
class tokens of both branches of one patient attract each other and repel other patients' (symmetric InfoNCE); (5) a
transformer over all tokens answers. Inputs: signal or picture, labels, laboratory values (any may be missing).
Differences from the document: masks for absent leads; a lead's identity is learned; filters are ours and end at 50 Hz
where the input is at 100 Hz (75 Hz cannot be represented there); the age gate comes at fine-tuning, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from auricle.augment.signal import augment
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, Tokens
from auricle.encoders.series_image import SeriesImage
from auricle.errors import ConfigError
from auricle.losses.contrastive import info_nce
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._classifier import Classifier, ClassifierConfig
from auricle.signal.preprocess import InputSpec

_INPUT: Final = {"rate_hz": 100, "band_hz": (0.05, 50)}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "series_image", "preset": "tiny"},
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": _INPUT,
        "encoder": {"name": "series_image", "preset": "nano"},
        "recipe": {"lr": 1e-3},
    },
    "nano_conv": {
        "input": _INPUT,
        "encoder": {"name": "series_image", "preset": "nano", "series": {"lead_stem": "conv"}},
        "recipe": {"lr": 1e-3},
    },
    "small": {"input": _INPUT, "encoder": {"name": "series_image", "preset": "small"}, "recipe": {"lr": 3e-4}},
    "paper": {"input": _INPUT, "encoder": {"name": "series_image", "preset": "small"}},
}


class MirageConfig(ClassifierConfig):
    """Settings of mirage; defaults are the document's.

    Attributes:
        contrast: weight of the agreement of series and picture beside the labels; 0 turns it off.
        temperature: of that contrast, fixed.
    """

    name: Literal["mirage"] = "mirage"
    input: InputSpec = InputSpec(rate_hz=100, band_hz=(0.05, 50))
    encoder: component(ENCODERS) = Field(default={"name": "series_image", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=3.26e-5, weight_decay=0.01, betas=(0.9, 0.999), warmup=0.13)
    class_weights: bool = True
    contrast: Annotated[float, Field(ge=0)] = 0.445
    temperature: Annotated[float, Field(gt=0)] = 0.1


class Mirage(Classifier):
    """Two branches, their fusion, a linear head, and the contrast between the branches."""

    name: ClassVar[str] = "mirage"

    def __init__(self, config: MirageConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, SeriesImage):
            raise ConfigError(
                f"mirage reads a series and a picture: use encoder series_image, not {config.encoder.name}"
            )
        widths = {branch.width for branch in self.encoder.parts()[1:]}
        if config.contrast and len(widths) > 1:
            raise ConfigError("series and picture are compared as they are: give both branches one width")

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Cross-entropy of the labels through the fusion, plus `contrast` times the agreement of the branches.

        Terms: `loss`, `classification`, `contrast`, and `accuracy` over the annotated entries.
        """
        del progress
        assert batch.target is not None
        assert isinstance(self.encoder, SeriesImage)
        ready = augment(self.preprocess(batch), self.config.augment)
        condition = self.encoder.condition(ready)
        branches = self.encoder.read_branches(ready, condition)
        fused = self.encoder.output(self.encoder.fuse(branches, condition), condition)
        answer, right = self.classification(fused, batch.target)
        agreement = self._agreement(branches, ready.lead_mask.any(-1)) if self.config.contrast else answer.new_zeros(())
        loss = answer + self.config.contrast * agreement
        terms = {"loss": loss, "classification": answer, "contrast": agreement, "accuracy": right}
        return Step(loss, {name: value.detach() for name, value in terms.items()})

    def _agreement(self, branches: Mapping[str, Tokens], has_series: Tensor) -> Tensor:
        """Scalar symmetric InfoNCE of the branches' class tokens (b, d) by cosine; 0 where there is one branch.

        Args:
            branches: tokens by branch.
            has_series: (b,) records that have a series; the others do not count.
        """
        pooled = [branch.pooled for branch in branches.values()]
        if len(pooled) < 2:
            return pooled[0].new_zeros(())
        with torch.autocast(pooled[0].device.type, enabled=False):
            first, second = (F.normalize(vector.float(), dim=-1) for vector in pooled)
            return info_nce(first, second, torch.tensor(1 / self.config.temperature, device=first.device), has_series)
