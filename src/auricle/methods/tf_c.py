"""tf_c: what a record is in time and what it is in frequency belong together.

Source: Zhang et al. 2022, "Self-supervised contrastive pre-training for time series via time-frequency consistency".
Idea: (1) one encoder reads the signal and another the amplitude of its spectrum; (2) each is contrasted with a changed
view of its own kind: noise and gain in time, lines removed and added in frequency; (3) projected, the two are pulled
together in one space, and records apart. Inputs: signal. Differences from the paper: time and frequency of a record
meet in one contrast, as in the program that its authors published, in place of differences of distances of changed and
unchanged views; some views miss leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.augment.spectrum import LinesConfig, changed_lines
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS
from auricle.encoders.time_frequency import TimeFrequency
from auricle.errors import ConfigError
from auricle.losses.contrastive import nt_xent
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.methods._two_views import check_several
from auricle.nn.heads import projection

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "time_frequency", "preset": "tiny"},
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "time_frequency", "preset": "nano"},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "time_frequency", "preset": "small"}},
    "paper": {
        "encoder": {"name": "time_frequency", "preset": "small"},
        "view": {"gain": 0.1, "noise_mv": 0.05, "lead_drop_records": 0.0},  # no leads are lost, as published
        "recipe": {"lr": 3e-4, "weight_decay": 5e-4, "betas": (0.9, 0.99)},
    },
}
_VIEW: Final = AugmentConfig(gain=0.1, noise_mv=0.05)


class TfCConfig(MethodConfig):
    """Settings of tf_c.

    Attributes:
        encoder: `time_frequency`, with a branch for each.
        view: how a view in time differs from the record.
        lines: how a view in frequency differs from its spectrum.
        projection: width of the space in which both meet.
        temperature: of all contrasts; fixed.
        own: weight of the contrasts within time and within frequency, beside that of the two.
    """

    name: Literal["tf_c"] = "tf_c"
    encoder: component(ENCODERS) = Field(default={"name": "time_frequency", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=1e-3)
    view: AugmentConfig = _VIEW
    lines: LinesConfig = LinesConfig()
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.2
    own: Annotated[float, Field(ge=0)] = 0.2


class TfC(Method):
    """An encoder of time and frequency, and a projection of each."""

    name: ClassVar[str] = "tf_c"

    def __init__(self, config: TfCConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, TimeFrequency):
            raise ConfigError(
                f"tf_c compares time with frequency, and {config.encoder.name} reads no spectrum: take "
                "model.encoder.name=time_frequency"
            )
        self.project_time = projection(self.encoder.time.width, config.projection)
        self.project_frequency = projection(self.encoder.frequency.width, config.projection)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Contrasts in time, in frequency, and between them (equations 1 to 3).

        Terms: `loss`, `time`, `frequency`, `across`.

        Raises:
            DataError: a single record.
        """
        del progress
        check_several(batch, self.name)
        encoder = self.encoder
        assert isinstance(encoder, TimeFrequency)
        ready = self.preprocess(replace(batch, image=None, image_mask=None))
        other, condition = augment(ready, self.config.view), encoder.condition(ready)

        # Both branches on the record and on a view of it, and what the encoder as a whole makes of the record.
        plain = encoder.spectrum(ready.signal, ready.lead_mask, ready.time_mask)
        changed = changed_lines(plain, other.lead_mask, self.config.lines)
        heard = [encoder.time(one.signal, one.lead_mask, one.time_mask, condition).pooled for one in (ready, other)]
        seen = [
            encoder.read_spectrum(lines, one.lead_mask, one.time_mask, condition).pooled
            for lines, one in ((plain, ready), (changed, other))
        ]
        whole = encoder.modulate_output(torch.cat([heard[0], seen[0]], dim=-1), condition)
        in_time, in_frequency = whole.split([encoder.time.width, encoder.frequency.width], dim=-1)
        both = [self.project_time(in_time), self.project_frequency(in_frequency)]

        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(whole.device.type, enabled=False):
            time, frequency, across = (self._contrast(one, other) for one, other in (heard, seen, both))
        loss = self.config.own * (time + frequency) + across
        terms = {"loss": loss, "time": time, "frequency": frequency, "across": across}
        return Step(loss, {name: term.detach() for name, term in terms.items()})

    def _contrast(self, one: Tensor, other: Tensor) -> Tensor:
        """Scalar NT-Xent of features (b, d)."""
        first, second = (F.normalize(each.float(), dim=-1) for each in (one, other))
        return nt_xent(first, second, 1 / self.config.temperature)
