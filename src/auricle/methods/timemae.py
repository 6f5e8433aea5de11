"""timemae: what a slow encoder says of hidden patches is read off those that are shown, and so are their codes.

Source: Cheng et al. 2023, "TimeMAE: self-supervised representations of time series with decoupled masked autoencoders".
Idea: (1) short patches of all leads, of which three fifths are hidden; (2) the encoder reads the others alone; (3) a
few layers of cross-attention, and nothing else, answer for the hidden places, so that no encoding is spent on them;
(4) they answer what a target encoder, which follows slowly, says of the hidden patches, and which entry of a codebook
each of them is. Inputs: signal. Differences from the paper: times are rotary; each token of the target is brought to
mean 0 and spread 1; the target follows more and more slowly; the codebook is one of directions that follow the target's
patch embeddings and are never trained, where the paper draws its entries by a softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, visible
from auricle.encoders.vit1d import Vit1d
from auricle.errors import ConfigError, DataError
from auricle.methods._base import MethodConfig, Progress, Recipe, Step
from auricle.methods._target import Following
from auricle.nn.codebook import NearestCodebook
from auricle.nn.patch import patch_mask
from auricle.nn.transformer import CrossBlock, Rotary
from auricle.processes import anywhere, mean_over_active

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "vit1d", "preset": "tiny", "patch_ms": 80},
        "depth": 1,
        "n_heads": 2,
        "codes": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "vit1d", "width": 96, "depth": 4, "n_heads": 4, "patch_ms": 80},
        "depth": 2,
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "vit1d", "width": 192, "depth": 6, "n_heads": 6, "patch_ms": 80}},
    # Patches of 8 samples at 100 Hz, eight layers of 64 features and four that answer.
    "paper": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "vit1d", "width": 64, "depth": 8, "n_heads": 4, "patch_ms": 80, "dropout": 0.2},
        "recipe": {"lr": 1e-3, "weight_decay": 0.0},
    },
}


class TimemaeConfig(MethodConfig):
    """Settings of timemae.

    Attributes:
        encoder: `vit1d`, whose patches can be hidden.
        hidden: share of the patches that are hidden.
        depth: layers of cross-attention that answer for them.
        n_heads: attention heads of each.
        codes: entries of the codebook, two or more.
        features: weight of what the target says.
        named: weight of the codes.
        target_momentum: how much of the target encoder a step keeps at the beginning; it rises to 1.
    """

    name: Literal["timemae"] = "timemae"
    encoder: component(ENCODERS) = Field(  # type: ignore[valid-type]
        default={"name": "vit1d", "preset": "small", "patch_ms": 80}, validate_default=True
    )
    recipe: Recipe = Recipe(lr=1e-3)
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.6
    depth: Annotated[int, Field(gt=0)] = 4
    n_heads: Annotated[int, Field(gt=0)] = 4
    codes: Annotated[int, Field(ge=2)] = 192
    features: Annotated[float, Field(ge=0)] = 5.0
    named: Annotated[float, Field(ge=0)] = 1.0
    target_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99


class Timemae(Following):
    """An encoder of patches, its target, what answers for hidden patches, and a codebook."""

    name: ClassVar[str] = "timemae"

    def __init__(self, config: TimemaeConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, Vit1d):
            raise ConfigError(
                f"timemae hides patches of all leads, and {config.encoder.name} reads none: take "
                "model.encoder.name=vit1d"
            )
        width = self.encoder.width
        self.unseen = nn.Parameter(torch.randn(width) * 0.5)
        self.rotary = Rotary(width // config.n_heads)
        self.answers = nn.ModuleList(CrossBlock(width, width, config.n_heads) for _ in range(config.depth))
        self.norm, self.say, self.name_code = (
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.Linear(width, config.codes),
        )
        self.codebook = NearestCodebook(config.codes, width)
        self.begin_target()

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of what the target says of hidden patches, and cross-entropy of their codes (section 3.3).

        Terms: `loss`, `features`, `named`, and `codes` (entries in use).

        Raises:
            DataError: no record of the batch is long enough for anything to be hidden.
        """
        del progress
        encoder, ready = self.encoder, self.preprocess(replace(batch, image=None, image_mask=None))
        assert isinstance(encoder, Vit1d)
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        columns = patch_mask(ready.time_mask, encoder.patch)
        gone = chosen(columns, self.config.hidden)
        if not anywhere(gone):
            raise DataError(
                f"timemae: a share of {self.config.hidden:g} of the patches is less than one in this batch: take "
                "longer windows (model.input.seconds), shorter patches (model.encoder.patch_ms), or a larger "
                "model.hidden"
            )
        left = encoder.output(encoder.encode_places(signal, columns & ~gone, condition), condition)
        answer = self._answers(left.tokens, left.mask)
        with torch.no_grad():
            target = self.target_encoder
            assert isinstance(target, Vit1d)
            # The target reads the hidden patches, which together are a record with gaps as well.
            wanted = target.encode_places(signal, gone, target.condition(ready)).tokens.float()
            wanted = F.layer_norm(wanted, wanted.shape[-1:])
            codes = self.codebook(target.embed_places(signal).float(), gone)
        missed = (self.say(answer).float() - wanted).square().mean(-1)
        unnamed = F.cross_entropy(self.name_code(answer).float().transpose(1, 2), codes.index, reduction="none")
        features, named = mean_over_active(missed, gone), mean_over_active(unnamed, gone)
        loss = self.config.features * features + self.config.named * named
        terms = {"loss": loss, "features": features, "named": named, "codes": codes.used}
        return Step(loss, {name: value.detach() for name, value in terms.items()})

    def _answers(self, tokens: Float[Tensor, "b n d"], shown: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) an answer for every place, read off the tokens of those that were shown."""
        turn = self.rotary(tokens.shape[1])
        x = self.unseen.expand_as(tokens)
        for block in self.answers:
            x = block(x, tokens, shown, (turn, turn))
        normed: Tensor = self.norm(x)
        return normed
