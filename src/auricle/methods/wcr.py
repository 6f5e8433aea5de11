"""wcr: hidden steps are told apart by their codes, and the halves of a record, seen through few leads, belong together.

Source: Oh et al. 2022, "Lead-agnostic self-supervised learning for local and global representations of
electrocardiogram": wav2vec 2.0 (Baevski et al. 2020), contrast of adjacent stretches (CLOCS) and random lead masking,
hence W, C, R. ECG-FM (McKeen et al. 2024) is a preset. Idea: (1) each lead is hidden with one half; (2) convolutions
say something of each step, and a codebook calls it by one of its entries; (3) stretches of steps are hidden, and the
transformer's word for each is told from the codes of other hidden steps of the record; (4) the two halves of a record,
as wholes, are pulled together, and patients apart; (5) all entries of the codebook are to be used, and what the
convolutions say is kept small. Inputs: signal. Differences from the papers: halves of the window, times are rotary,
steps are normed by themselves, and the other steps are drawn once for all predictions of a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from auricle.augment.masking import spans
from auricle.augment.signal import Share, drop_leads
from auricle.augment.views import halves
from auricle.batch import ECGBatch, joined
from auricle.config import Config, component
from auricle.encoders import ENCODERS, visible
from auricle.encoders.wav2vec1d import Wav2vec1d
from auricle.errors import ConfigError, DataError
from auricle.losses.contrastive import same_person_info_nce
from auricle.losses.predictive import hidden_info_nce
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.methods._two_views import check_several
from auricle.nn.codebook import GumbelCodebook
from auricle.processes import anywhere, mean_over_active

# The Gumbel softmax begins soft and ends hard.
_SOFT, _HARD = 2.0, 0.5
_ADAM: Final = {"lr": 5e-5, "weight_decay": 0.01, "betas": (0.9, 0.98)}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "wav2vec1d", "preset": "tiny"},
        "codes": {"groups": 2, "entries": 8, "width": 16},
        "projection": 16,
        "lead_share": 0.1,
        "hidden": 0.2,
        "stretch": 3,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 250},
        "encoder": {"name": "wav2vec1d", "preset": "nano"},
        "codes": {"groups": 2, "entries": 64, "width": 96},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "wav2vec1d", "preset": "small"}},
    "paper": {"encoder": {"name": "wav2vec1d", "preset": "base"}, "projection": 256, "recipe": _ADAM},
    # Five seconds at 500 Hz; 90.9 million weights as published, with a convolution for positions that this has not.
    "ecg_fm": {"encoder": {"name": "wav2vec1d", "preset": "base"}, "projection": 256, "recipe": _ADAM},
}


class CodesConfig(Config):
    """The codebook.

    Attributes:
        groups: an entry of each is chosen.
        entries: of each group, two or more.
        width: of the vectors in which the context and the codes are compared.
    """

    groups: Annotated[int, Field(gt=0)] = 2
    entries: Annotated[int, Field(ge=2)] = 320
    width: Annotated[int, Field(gt=0)] = 256


class WcrConfig(MethodConfig):
    """Settings of wcr.

    Attributes:
        encoder: `wav2vec1d`, whose convolutions say something of each step by itself.
        lead_share: probability with which each lead is hidden; one stays.
        hidden: share of the steps that are hidden; beginning a stretch at 6.5 % of the steps, as wav2vec 2.0 does,
            comes to about half.
        stretch: steps of a hidden stretch.
        n_negatives: other hidden steps that each is told from, at most.
        temperature: of that contrast; fixed.
        codes: the codebook.
        diversity: weight of the use of its entries.
        quiet: weight of the squares of what the convolutions say.
        global_weight: weight of the contrast of halves.
        projection: width of the space in which halves are compared.
        global_temperature: of that contrast; fixed.
    """

    name: Literal["wcr"] = "wcr"
    encoder: component(ENCODERS) = Field(default={"name": "wav2vec1d", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=5e-4)
    lead_share: Share = 0.5
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.5
    stretch: Annotated[int, Field(gt=0)] = 10
    n_negatives: Annotated[int, Field(gt=0)] = 100
    temperature: Annotated[float, Field(gt=0)] = 0.1
    codes: CodesConfig = CodesConfig()
    diversity: Annotated[float, Field(ge=0)] = 0.1
    quiet: Annotated[float, Field(ge=0)] = 10.0
    global_weight: Annotated[float, Field(ge=0)] = 1.0
    projection: Annotated[int, Field(gt=0)] = 128
    global_temperature: Annotated[float, Field(gt=0)] = 0.1


class Wcr(Method):
    """An encoder, a codebook, maps of context and codes into one space, and a projection of whole halves."""

    name: ClassVar[str] = "wcr"
    same_patient: ClassVar[bool] = True

    def __init__(self, config: WcrConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, Wav2vec1d):
            raise ConfigError(
                f"wcr hides what convolutions say of steps, and {config.encoder.name} has none that could be hidden: "
                "take model.encoder.name=wav2vec1d"
            )
        codes, width = config.codes, self.encoder.width
        self.unseen = nn.Parameter(torch.rand(width))
        self.codebook = GumbelCodebook(config.encoder.stem_width, codes.groups, codes.entries, codes.width)
        self.project_code = nn.Linear(codes.width, codes.width)
        self.project_context = nn.Linear(width, codes.width)
        self.project = nn.Linear(width, config.projection)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Contrast of hidden steps and of halves, use of the codes, and the size of what the convolutions say.

        Terms: `loss`, `local`, `hits` (share of hidden steps told from all others), `whole`, and `codes` (entries in
        use, of all groups together).

        Raises:
            DataError: a single record, no record with both halves, or none of which a step can be hidden.
        """
        check_several(batch, self.name)
        encoder, config = self.encoder, self.config
        assert isinstance(encoder, Wav2vec1d)
        ready = self.preprocess(batch)
        parts = joined(halves(ready))
        leads = drop_leads(parts.lead_mask, 1.0, config.lead_share)
        condition = encoder.condition(parts)
        local, mask = encoder.local(visible(parts.signal, leads, parts.time_mask), parts.time_mask)

        # Hidden steps: what the transformer says of them, and what the codebook called them.
        hidden = spans(mask, config.hidden, config.stretch)
        entered = torch.where(hidden[..., None], self.unseen, encoder.enter(local))
        tokens = encoder.output(encoder.context(entered, mask, condition), condition)
        temperature = _SOFT * (_HARD / _SOFT) ** progress.share
        quantised = self.codebook(encoder.enter[0](local), hidden, temperature)
        said, true = self.project_context(tokens.tokens), self.project_code(quantised.vectors)
        first, second = F.normalize(self.project(tokens.pooled), dim=-1).chunk(2)
        paired = torch.stack(mask.any(1).chunk(2)).all(0)
        if not anywhere(hidden) or not anywhere(paired):
            raise DataError(
                f"wcr: no record of the batch has both halves, and a share of {config.hidden:g} of their steps that is "
                "at least one: take longer windows (model.input.seconds), shorter steps (model.encoder.step_ms), or a "
                "larger model.hidden"
            )
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(local.device.type, enabled=False):
            apart, hits = hidden_info_nce(
                F.normalize(said.float(), dim=-1), F.normalize(true.float(), dim=-1), hidden, config.n_negatives,
                1 / config.temperature,
            )  # fmt: skip
            whole = same_person_info_nce(
                first.float(), second.float(), batch.patient_id, paired, 1 / config.global_temperature
            )
            size = mean_over_active(local.float().square().mean(-1), mask)
        loss = apart + config.diversity * quantised.diversity + config.quiet * size + config.global_weight * whole
        terms = {"loss": loss.detach(), "local": apart.detach(), "hits": hits, "whole": whole.detach()}
        return Step(loss, {**terms, "codes": quantised.used})
