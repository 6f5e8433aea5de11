"""cpc: from the past of a record its next steps are told from other steps of it; nothing is augmented.

Source: van den Oord et al. 2018, "Representation learning with contrastive predictive coding"; for electrocardiograms
Mehari and Strodthoff 2022; with a state space as context arXiv 2509.25095. Idea: (1) an encoder says something of each
short step by itself; (2) a context hears the steps up to one; (3) linear maps predict from it what is said of each of
the next steps; (4) each is told from other steps of the same record. Inputs: signal. Differences: steps do not overlap;
the other steps are drawn once for all predictions of a record. What a step has not heard is samples: the filters of the
input have no phase, so an offset or a slow wave that comes later is in it a little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import nn

from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, visible
from auricle.encoders.context1d import Context1d
from auricle.errors import ConfigError, DataError
from auricle.losses.predictive import future_info_nce
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.processes import anywhere

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "context1d", "preset": "tiny"},
        "n_ahead": 3,
        "n_negatives": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "context1d", "preset": "nano"},
        "recipe": {"lr": 2e-3},
    },
    "nano_gru": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "context1d", "preset": "nano", "context": "gru", "depth": 2},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "context1d", "preset": "small"}},
    # 240 Hz, 120 steps a second.
    "paper": {
        "input": {"rate_hz": 240, "band_hz": (0.5, 100)},
        "encoder": {"name": "context1d", "preset": "small"},
        "recipe": {"lr": 1e-3, "weight_decay": 1e-3},
    },
}


class CpcConfig(MethodConfig):
    """Settings of cpc.

    Attributes:
        encoder: `context1d`, whose context hears the past alone, with a state space or a recurrent network.
        n_ahead: steps that are predicted.
        n_negatives: other steps of the record that each of them is told from, at most.
    """

    name: Literal["cpc"] = "cpc"
    encoder: component(ENCODERS) = Field(default={"name": "context1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=1e-3)
    n_ahead: Annotated[int, Field(gt=0)] = 14
    n_negatives: Annotated[int, Field(gt=0)] = 128


class Cpc(Method):
    """An encoder of steps with its context, and one linear map for each step ahead."""

    name: ClassVar[str] = "cpc"

    def __init__(self, config: CpcConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, Context1d):
            raise ConfigError(
                f"cpc predicts what its encoder has not heard, and {config.encoder.name} hears the whole record: take "
                "model.encoder.name=context1d"
            )
        self.ahead = nn.Linear(self.encoder.width, config.n_ahead * self.encoder.width, bias=False)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """InfoNCE of the steps ahead (equation 4). Terms: `loss`, and `hits`, the share that is told from all others.

        Raises:
            DataError: no record of the batch is long enough to predict anything.
        """
        del progress
        encoder, ready = self.encoder, self.preprocess(batch)
        assert isinstance(encoder, Context1d)
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        local, mask = encoder.local(signal, ready.time_mask)
        tokens = encoder.output(encoder.context(local, mask, condition), condition).tokens
        # (b, n, k d) to (b, k, n, d).
        predicted = self.ahead(tokens).unflatten(-1, (self.config.n_ahead, -1)).transpose(1, 2)
        # Products of unnormalised features: full precision, also under bf16.
        with torch.autocast(tokens.device.type, enabled=False):
            loss, hits, long = future_info_nce(predicted.float(), local.float(), mask, self.config.n_negatives)
        if not anywhere(long):
            raise DataError(
                f"cpc: no record of the batch has two steps of {encoder.step_s:g} s, from one of which the other is "
                "predicted: take longer windows (model.input.seconds) or shorter steps (model.encoder.step_ms)"
            )
        return Step(loss, {"loss": loss.detach(), "hits": hits})
