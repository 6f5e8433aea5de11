"""crt: patches of a record and of its spectrum are dropped, more and more of them, and drawn from those that are left.

Source: Zhang et al. 2023, "Self-supervised time series representation learning via cross reconstruction transformer".
Idea: (1) a record is read as patches of its signal, amplitudes and phases; (2) some of all three are dropped, not
masked, so that what is left looks as it does later; (3) a small decoder draws the dropped ones, in time from what is
left in frequency and the other way; (4) how much is dropped rises with training; (5) records of a batch are kept
apart, lest drawing make them alike. Inputs: signal. Differences from the paper: only what was dropped counts; phases
are cosines and sines; records are kept apart by the mean likeness of all pairs, in the form of InfoNCE's denominator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.masking import chosen
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS, visible
from auricle.encoders.spectral_vit import SpectralVit
from auricle.errors import ConfigError, DataError
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Step
from auricle.methods._patch_drawing import DecoderConfig
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Block, Rotary
from auricle.processes import (
    anywhere,
    gather,
    gather_without_gradient,
    mean_over_active,
    positive_columns,
    world,
)

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "spectral_vit", "preset": "tiny"},
        "decoder": {"width": 16, "depth": 1, "n_heads": 2},
        "recipe": {"lr": 3e-3},
    },
    "nano": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "spectral_vit", "preset": "nano"},
        "decoder": {"width": 48, "depth": 1, "n_heads": 3},
        "recipe": {"lr": 2e-3},
    },
    "shared": {"encoder": {"name": "spectral_vit", "preset": "small"}},
    # Six layers of 128 features and a decoder of two; patches of 20 samples at 100 Hz.
    "paper": {
        "input": {"rate_hz": 100, "band_hz": (0.5, 45)},
        "encoder": {"name": "spectral_vit", "width": 128, "depth": 6, "n_heads": 8},
        "decoder": {"width": 128, "depth": 2, "n_heads": 8},
        "recipe": {"lr": 1e-3, "weight_decay": 0.0},
    },
}


class CrtConfig(MethodConfig):
    """Settings of crt.

    Attributes:
        encoder: `spectral_vit`, which reads patches of signal and spectrum.
        decoder: of the dropped patches.
        least: share of the patches that is dropped at the beginning.
        most: share that is dropped at the end; between them as much as of the run is done.
        apart: weight of what keeps records apart.
    """

    name: Literal["crt"] = "crt"
    encoder: component(ENCODERS) = Field(default={"name": "spectral_vit", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=1e-3)
    decoder: DecoderConfig = DecoderConfig()
    least: Annotated[float, Field(gt=0, lt=1)] = 0.3
    most: Annotated[float, Field(gt=0, lt=1)] = 0.8
    apart: Annotated[float, Field(ge=0)] = 1e-4

    @model_validator(mode="after")
    def _in_order(self) -> CrtConfig:
        if self.least > self.most:
            raise ValueError(f"least={self.least:g} is more than most={self.most:g}")
        return self


class _Decoder(nn.Module):
    """Tokens that were left to patches of all three kinds.

    Args:
        encoder: whose tokens are read.
        config: width, depth and heads.
    """

    def __init__(self, encoder: SpectralVit, config: DecoderConfig) -> None:
        super().__init__()
        self.n_spectral = encoder.n_spectral
        self.narrow = nn.Linear(encoder.width, config.width)
        self.unseen = nn.Parameter(torch.randn(config.width) * 0.5)
        self.identity = nn.Parameter(torch.randn(3, config.width) * 0.5)
        self.position = nn.Parameter(torch.randn(2 * self.n_spectral, config.width) * 0.5)
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = nn.ModuleList(Block(config.width, config.n_heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.draw = nn.ModuleList(nn.Linear(config.width, features) for features in encoder.features)

    def forward(
        self,
        tokens: Float[Tensor, "b m d"],
        left: Bool[Tensor, "b m"],
        there: Bool[Tensor, "b m"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Patches (b, n, l p), (b, s, l p) and (b, s, 2 l p) of signal, amplitudes and phases.

        Args:
            tokens: of the encoder; not read where nothing was left.
            left: patches that the encoder read.
            there: patches there are.
        """
        sizes = (tokens.shape[1] - 2 * self.n_spectral, self.n_spectral, self.n_spectral)
        kind = self.identity.repeat_interleave(torch.tensor(sizes, device=tokens.device), dim=0)
        x = torch.where(left[..., None], self.narrow(tokens), self.unseen) + kind
        x = torch.cat([x[:, : sizes[0]], x[:, sizes[0] :] + self.position], dim=1)
        turn = self.rotary.of_first(sizes[0], tokens.shape[1])
        # A record without anything is drawn from nothing, and does not count.
        keys = there | ~there.any(1, keepdim=True)
        for block in self.blocks:
            x = block(x, keys, turn)
        time, amplitude, phase = self.norm(x).split(sizes, dim=1)
        return self.draw[0](time), self.draw[1](amplitude), self.draw[2](phase)


class Crt(Method):
    """An encoder of patches of signal and spectrum, and a decoder of the dropped ones."""

    name: ClassVar[str] = "crt"

    def __init__(self, config: CrtConfig) -> None:
        super().__init__(config)
        if not isinstance(self.encoder, SpectralVit):
            raise ConfigError(
                f"crt drops patches of signal and spectrum, and {config.encoder.name} reads none: take "
                "model.encoder.name=spectral_vit"
            )
        self.decoder = _Decoder(self.encoder, config.decoder)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Squared error of dropped patches, and how alike records are (section III).

        Terms: `loss`, `signal`, `amplitudes`, `phases`, `alike`.

        Raises:
            DataError: no patch can be dropped in any record of the batch.
        """
        encoder, ready = self.encoder, self.preprocess(replace(batch, image=None, image_mask=None))
        assert isinstance(encoder, SpectralVit)
        share = max(self.config.least, min(self.config.most, progress.share))
        there = encoder.places(ready.time_mask)
        dropped = chosen(there, share)
        if not anywhere(dropped):
            raise DataError(
                f"crt: a share of {share:g} of the patches is less than one in this batch: take longer windows "
                "(model.input.seconds) or shorter patches (model.encoder.patch_ms)"
            )
        signal, condition = visible(ready.signal, ready.lead_mask, ready.time_mask), encoder.condition(ready)
        patches = encoder.patches(signal, ready.time_mask)
        tokens = encoder.encode_patches(encoder.embed_patches(patches), there & ~dropped, condition)
        pooled = encoder.modulate_output(masked_mean(tokens, there & ~dropped), condition)
        n = patches[0].shape[1]
        drawn = self.decoder(tokens, there & ~dropped, there)
        counts = _counts(encoder, ready)
        kinds = torch.split(dropped, [n, encoder.n_spectral, encoder.n_spectral], dim=1)
        errors = [
            mean_over_active((one.float() - two.float()).square(), valid & kind[..., None])
            for one, two, valid, kind in zip(drawn, patches, counts, kinds, strict=True)
        ]
        # Cosines: full precision, also under bf16.
        with torch.autocast(signal.device.type, enabled=False):
            alike = _alike(pooled.float(), there.any(1))
        loss = torch.stack(errors).sum() + self.config.apart * alike
        terms = dict(zip(("signal", "amplitudes", "phases"), errors, strict=True))
        terms = {"loss": loss, **terms, "alike": alike}
        return Step(loss, {name: value.detach() for name, value in terms.items()})


def _counts(encoder: SpectralVit, ready: ECGBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Which numbers of the patches of each kind were recorded: (b, n, l p), (b, s, l p) and (b, s, 2 l p)."""
    leads = ready.lead_mask[:, :, None]
    lines = torch.ones(encoder.n_samples // 2 + 1, dtype=torch.bool, device=leads.device)
    spectral = leads & lines
    masks = (leads & ready.time_mask[:, None], spectral, torch.cat([spectral, spectral], dim=1))
    time, amplitude, phase = (encoder.cut(mask.float()).bool() for mask in masks)
    return time, amplitude, phase


def _alike(pooled: Float[Tensor, "b d"], there: Bool[Tensor, " b"]) -> Float[Tensor, ""]:
    """Logarithm of the mean of exp(cosine) over the other records of all processes; 0 where there is no other.

    Args:
        pooled: of each record.
        there: records of which anything was recorded; the others count for nobody.
    """
    whole = F.normalize(pooled, dim=-1)
    cosine = whole @ gather(whole).T
    own = F.one_hot(positive_columns(len(whole), world()[0], whole.device), cosine.shape[1]).bool()
    others = gather_without_gradient(there)[None] & ~own
    n = others.sum(1)
    # A row without another record: its own column stands in, and does not count.
    kept = torch.where((n > 0)[:, None], others, own)
    values = cosine.masked_fill(~kept, -torch.inf).logsumexp(1) - n.clamp_min(1).log()
    return mean_over_active(values, there & (n > 0))
