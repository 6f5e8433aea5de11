"""A transformer over patches of lead and time, which reads only what is there: the encoder of `cg_dmer`.

Source: CG-DMER (arXiv 2602.21154): patches of 50 samples per lead, a ViT, masking over leads and over time; an upper
stack for what a recording shares with its report and one for what it does not. Idea: (1) a patch of one lead is a
token, known by its lead's embedding and its rotary time; (2) absent leads, padding and whatever a mask hides are
dropped before the first block (as in MAE), so that masking makes training cheaper; (3) attention runs over lead and
time jointly; (4) the pooled representation is [shared; specific]. To hide a lead or a stretch of time is to set its
mask to false, so masked modelling needs nothing from the encoder but its contract that masked samples are not read.
Inputs: any subset of leads. Differences from the paper: 100 ms at any rate (200 in `tiny` and 250 in `nano`, because
1200 tokens are slow on a CPU), and a common stem, which the abstract does not mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Rotary
from auricle.nn.two_parts import TwoParts
from auricle.nn.visible import Visible
from auricle.signal.preprocess import TYPICAL_MV, InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "common": 1, "own": 1, "n_heads": 2, "patch_ms": 200},
    "nano": {"width": 96, "common": 2, "own": 1, "n_heads": 4, "patch_ms": 250},
    "small": {"width": 192, "common": 3, "own": 3, "n_heads": 6},
    "base": {"width": 384, "common": 6, "own": 6, "n_heads": 6},
}


class StVitConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        width: of a token and of each part; the pooled representation is twice as wide.
        common: blocks below both parts.
        own: blocks of each part; 0 makes the parts two linear heads over one stack (the ablation `heads`).
        patch_ms: length of a patch, so it follows the rate.
    """

    name: Literal["st_vit"] = "st_vit"
    width: Annotated[int, Field(gt=0)] = 192
    common: Annotated[int, Field(gt=0)] = 3
    own: Annotated[int, Field(ge=0)] = 3
    n_heads: Annotated[int, Field(gt=0)] = 6
    mlp_ratio: float = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patch_ms: Annotated[float, Field(gt=0)] = 100.0


class StVit(EncoderModule):
    """Patches per lead, a common stem, a shared and a specific stack; every lead is a group of its own."""

    def __init__(self, config: StVitConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, 2 * config.width
        self.group_names = spec.leads
        self.patch = max(1, round(config.patch_ms * spec.rate_hz / 1000))
        self.embed = nn.Linear(self.patch, config.width)
        self.identity = nn.Parameter(torch.randn(len(spec.leads), config.width) * 0.5)
        self.rotary = Rotary(config.width // config.n_heads)
        self.body = TwoParts(config.width, config.n_heads, config.common, config.own, config.mlp_ratio, config.dropout)
        for name in self.body.names:
            self.add_point(ModulationPoint(name, config.width, -1, len(spec.leads), 1))

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, l * n, 2 d) tokens, all times of a lead and then of the next, each [shared; specific].

        A token under a false mask is zero. `pooled` (b, 2 d) is the mean of the visible tokens.
        """
        return self.encode_places(signal, self.places(lead_mask, time_mask), condition)

    def places(self, lead_mask: Bool[Tensor, "b l"], time_mask: Bool[Tensor, "b t"]) -> Bool[Tensor, "b l n"]:
        """(b, l, n) patches that hold anything recorded."""
        return lead_mask[:, :, None] & patch_mask(time_mask, self.patch)[:, None]

    def encode_places(
        self, signal: Float[Tensor, "b l t"], shown: Bool[Tensor, "b l n"], condition: Condition | None
    ) -> Tokens:
        """Tokens as `encode` gives them, of any patches that are shown: a patch is hidden, not a lead or a moment.

        Args:
            signal: 0 wherever nothing was recorded.
            shown: patches that are read; the others have no influence.
            condition: what modulates, by source.
        """
        # Patches of every lead, and which of them are visible: (b, l, t) to (b, l, n, p) to (b, l * n, d).
        patches = patchify(signal, self.patch)
        leads, n = patches.shape[1:3]
        mask = shown.flatten(1)
        visible = Visible(mask)
        x = (self.embed(patches / TYPICAL_MV) + self.identity[:, None]).flatten(1, 2)
        cos, sin = self.rotary(n)
        turn = visible.turn(cos.repeat(leads, 1), sin.repeat(leads, 1))

        def modulated(number: int, packed: Tensor) -> Tensor:
            """Packed tokens after modulation, which acts on whole (b, l, n, d) tokens."""
            if condition is None:
                return packed
            whole = visible.unpack(packed).reshape(signal.shape[0], leads, n, -1)
            return visible.pack(self.modulate[number](whole, condition).flatten(1, 2))

        # Both parts of the visible tokens, back at their places.
        parts = self.body(visible.pack(x), visible.keys, turn, modulated)
        tokens = visible.unpack(torch.cat(parts, dim=-1))
        # Each lead's share in the pooled output, (b, l).
        sizes = tokens.reshape(signal.shape[0], leads, n, -1).sum(2).norm(dim=-1)
        return Tokens(
            tokens=tokens,
            mask=mask,
            group=torch.arange(leads, device=signal.device).repeat_interleave(n),
            time_ms=patch_centres_ms(n, self.patch, self.spec.rate_hz).repeat(leads).to(signal.device),
            scale=torch.zeros(leads * n, dtype=torch.long, device=signal.device),
            pooled=masked_mean(tokens, mask),
            group_contribution=sizes / sizes.sum(1, keepdim=True).clamp_min(1e-9),
        )
