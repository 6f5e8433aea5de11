"""A transformer over patches of the signal, of the amplitudes of its spectrum, and of its phases: the encoder of `crt`.

Source: Zhang et al. 2023, "Self-supervised time series representation learning via cross reconstruction transformer".
Idea: what is local in time and what is local in frequency are tokens of one sequence and attend to each other. The
spectrum is that of the window of the `InputSpec`, whatever the length of a record (`auricle.nn.spectrum`). A patch is
of all leads, has as many lines as samples, and is known by its kind; times are rotary, places in the spectrum learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._blocks import BlocksConfig, stack
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.nn.spectrum import amplitudes_and_phases
from auricle.nn.transformer import Rotary
from auricle.nn.visible import Visible
from auricle.signal.preprocess import TYPICAL_MV, InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 32, "depth": 2, "n_heads": 2},
    "nano": {"width": 96, "depth": 4, "n_heads": 4},
    "small": {"width": 192, "depth": 6, "n_heads": 6},
    "base": {"width": 384, "depth": 12, "n_heads": 6},
}


class SpectralVitConfig(BlocksConfig):
    """Settings of the encoder.

    Attributes:
        patch_ms: length of a patch of the signal; one of the spectrum has as many lines as that has samples.
    """

    name: Literal["spectral_vit"] = "spectral_vit"
    patch_ms: Annotated[float, Field(gt=0)] = 200.0


class SpectralVit(EncoderModule):
    """Patches of signal, amplitudes and phases, one transformer; its tokens are those of the signal."""

    def __init__(self, config: SpectralVitConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.patch = max(1, round(config.patch_ms * spec.rate_hz / 1000))
        self.n_samples = round(spec.seconds * spec.rate_hz)
        self.n_spectral = -(-(self.n_samples // 2 + 1) // self.patch)  # patches of all lines
        own = len(spec.leads) * self.patch
        self.features = (own, own, 2 * own)  # numbers of a patch of each kind
        self.embed = nn.ModuleList(nn.Linear(features, config.width) for features in self.features)
        self.identity = nn.Parameter(torch.randn(3, config.width) * 0.5)
        self.position = nn.Parameter(torch.randn(2 * self.n_spectral, config.width) * 0.5)
        self.rotary = Rotary(config.width // config.n_heads)
        self.blocks = stack(config)
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def patches(
        self, signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b n lp"], Float[Tensor, "b s lp"], Float[Tensor, "b s 2*lp"]]:
        """Patches of the signal, of its amplitudes, and of cosines and sines of its phases, all leads side by side.

        Signal and amplitudes are in units of TYPICAL_MV.

        Args:
            signal: 0 wherever nothing was recorded.
            time_mask: true inside the record.
        """
        scaled = signal / TYPICAL_MV
        every = (scaled, *amplitudes_and_phases(scaled, time_mask, self.n_samples))
        time, amplitude, phase = (self.cut(one) for one in every)
        return time, amplitude, phase

    def cut(self, rows: Float[Tensor, "b l t"]) -> Float[Tensor, "b n lp"]:
        """(b, n, l p) patches of rows of samples or of lines, those of all leads side by side."""
        return patchify(rows, self.patch).transpose(1, 2).flatten(2)

    def places(self, time_mask: Bool[Tensor, "b t"]) -> Bool[Tensor, "b m"]:
        """(b, n + 2 s) patches there are: those of the signal inside the record, then all of the spectrum, if any."""
        columns = patch_mask(time_mask, self.patch)
        return torch.cat([columns, columns.any(1, keepdim=True).expand(-1, 2 * self.n_spectral)], dim=1)

    def embed_patches(self, patches: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, "b m d"]:
        """(b, n + 2 s, d) tokens that have not heard each other, of patches as `patches` gives them."""
        own = [embed(part) + kind for embed, part, kind in zip(self.embed, patches, self.identity, strict=True)]
        return torch.cat([own[0], torch.cat(own[1:], dim=1) + self.position], dim=1)

    def encode_patches(
        self, tokens: Float[Tensor, "b m d"], shown: Bool[Tensor, "b m"], condition: Condition | None
    ) -> Float[Tensor, "b m d"]:
        """(b, m, d) tokens that have heard each other; one that is not shown is zero and has no influence.

        Args:
            tokens: as `embed_patches` gives them.
            shown: those that are read.
            condition: what modulates, by source.
        """
        visible = Visible(shown)
        x, turn = (
            visible.pack(tokens),
            visible.turn(*self.rotary.of_first(tokens.shape[1] - 2 * self.n_spectral, tokens.shape[1])),
        )
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x = modulate(block(x, visible.keys, turn), condition)
        return visible.unpack(self.norm(x))

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) tokens of the signal, and (b, d) the mean of these and of those of the spectrum as `pooled`."""
        del lead_mask
        shown = self.places(time_mask)
        x = self.encode_patches(self.embed_patches(self.patches(signal, time_mask)), shown, condition)
        n = x.shape[1] - 2 * self.n_spectral
        centres = patch_centres_ms(n, self.patch, self.spec.rate_hz)
        return Tokens.ungrouped(x[:, :n], shown[:, :n], centres, masked_mean(x, shown))
