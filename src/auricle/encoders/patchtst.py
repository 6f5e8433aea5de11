"""PatchTST, as the library `transformers` keeps it: patches of each lead by themselves, one transformer for all leads.

Source: Nie et al. 2023, "A time series is worth 64 words: long-term forecasting with transformers". No lead hears
another; what is said of each stands side by side in the pooled vector, as its classifier reads it. Ours is what goes in
and what is kept out: patches of a length in time, in units of a typical amplitude in place of a norm for each record;
norms of each token by itself, so that padding and other records have no part; padding is no key of any attention; a
record that is longer than the window is read window by window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.encoders._base import EncoderModule, Tokens
from auricle.encoders._blocks import BlocksConfig
from auricle.errors import require
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.signal.preprocess import TYPICAL_MV, InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 2, "n_heads": 2},
    "nano": {"width": 96, "depth": 4, "n_heads": 4},
    "small": {"width": 128, "depth": 3, "n_heads": 16},
    "base": {"width": 256, "depth": 6, "n_heads": 16},
}


class PatchtstConfig(BlocksConfig):
    """Settings of the encoder.

    Attributes:
        width: of a token; the pooled vector has that of every lead side by side.
        patch_ms: length of a patch.
    """

    name: Literal["patchtst"] = "patchtst"
    width: Annotated[int, Field(gt=0)] = 128
    depth: Annotated[int, Field(gt=0)] = 3
    n_heads: Annotated[int, Field(gt=0)] = 16
    patch_ms: Annotated[float, Field(gt=0)] = 250.0


class Patchtst(EncoderModule):
    """The model of `transformers` behind our masks; every lead is a group of its own.

    Raises:
        MissingExtraError: `transformers` is not installed.
    """

    def __init__(self, config: PatchtstConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        transformers = require("transformers", "text")
        self.config, self.n_leads = config, len(spec.leads)
        self.width, self.group_names = self.n_leads * config.width, spec.leads
        self.patch = max(1, round(config.patch_ms * spec.rate_hz / 1000))
        self.n_patches = max(1, -(-round(spec.seconds * spec.rate_hz) // self.patch))
        model = transformers.PatchTSTModel(
            transformers.PatchTSTConfig(
                num_input_channels=self.n_leads,
                context_length=self.n_patches * self.patch,
                patch_length=self.patch,
                patch_stride=self.patch,
                num_hidden_layers=config.depth,
                d_model=config.width,
                num_attention_heads=config.n_heads,
                ffn_dim=round(config.width * config.mlp_ratio),
                norm_type="layernorm",
                attention_dropout=config.dropout,
                ff_dropout=config.dropout,
                path_dropout=config.dropout,
                scaling=None,
                do_mask_input=False,
            )
        )
        # Scaling and patches are ours; the rest of the model is its encoder.
        self.transformer: nn.Module = model.encoder
        for number, layer in enumerate(self.transformer.layers):
            self.add_point(ModulationPoint(f"block{number}", config.width, -1, self.n_leads, 1))
            layer.self_attn.register_forward_pre_hook(self._with_keys, with_kwargs=True)
        # What a pass is of, for the layers that the library calls.
        self._keys: Tensor | None = None

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, l * n, d) tokens, all times of a lead and then of the next, and (b, l d) the mean of each lead.

        A token under a false mask is zero.
        """
        # Whole windows, one below the other: (b, l, w n, p) to (b w, l, n, p).
        patches, columns = patchify(signal / TYPICAL_MV, self.patch), patch_mask(time_mask, self.patch)
        n = columns.shape[1]
        short = -n % self.n_patches
        patches, columns = F.pad(patches, (0, 0, 0, short)), F.pad(columns, (0, short))
        windows = (n + short) // self.n_patches
        folded = torch.unflatten(patches, 2, (windows, self.n_patches)).transpose(1, 2).flatten(0, 1)
        keys = torch.unflatten(columns, 1, (windows, self.n_patches)).flatten(0, 1)
        if condition is not None and windows > 1:
            condition = {source: code.repeat_interleave(windows, dim=0) for source, code in condition.items()}
        x = self._read(folded, keys, condition)
        # Back to (b, l, w n, d), and what was recorded of it.
        x = torch.unflatten(x, 0, (-1, windows)).transpose(1, 2).flatten(2, 3)[:, :, :n]
        mask = lead_mask[:, :, None] & columns[:, None, :n]
        x = torch.where(mask[..., None], x, 0.0)
        sizes = x.sum(2).norm(dim=-1)
        return Tokens(
            tokens=x.flatten(1, 2),
            mask=mask.flatten(1),
            group=torch.arange(self.n_leads, device=signal.device).repeat_interleave(n),
            time_ms=patch_centres_ms(n, self.patch, self.spec.rate_hz).repeat(self.n_leads).to(signal.device),
            scale=torch.zeros(self.n_leads * n, dtype=torch.long, device=signal.device),
            pooled=masked_mean(x, mask).flatten(1),
            group_contribution=sizes / sizes.sum(1, keepdim=True).clamp_min(1e-9),
        )

    def _read(self, patches: Tensor, keys: Bool[Tensor, "b n"], condition: Condition | None) -> Tensor:
        """(b, l, n, d) of patches (b, l, n, p), layer by layer, so that what modulates comes between."""
        # A window without a recorded patch attends to its first one: a softmax over no key is NaN.
        shown = keys | F.pad(~keys.any(1, keepdim=True), (0, keys.shape[1] - 1))
        # What is added to the scores of each lead's attention, (b l, 1, 1, n).
        self._keys = torch.where(shown, 0.0, -torch.inf).repeat_interleave(self.n_leads, dim=0)[:, None, None]
        try:
            x: Tensor = self.transformer.positional_encoder(self.transformer.embedder(patches))  # type: ignore[operator]
            for layer, modulate in zip(self.transformer.layers, self.modulate, strict=True):  # type: ignore[arg-type]
                x = modulate(layer(hidden_state=x, output_attentions=False)[0], condition)
        finally:
            self._keys = None
        return x

    def _with_keys(
        self, attention: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The library's layers take no mask; their attention does."""
        del attention
        keys = self._keys
        assert keys is not None
        n = keys.shape[-1]
        return positional, {**named, "attention_mask": keys.expand(-1, 1, n, n)}
