"""One small convolutional encoder per lead, each giving a Gaussian over one shared latent: the encoder of `ls_emvae`.

Source: LS-EMVAE (arXiv 2503.13470): three convolutions 1-16-32-64 of kernel 3 and stride 2, then linear maps to mean
and log-variance. Idea: every lead is a modality of its own, with weights of its own (grouped convolutions do all of
them at once); leads are fused as experts on one latent (`nn.experts`), so that any subset of leads is an input.
Differences: the published form flattens 64 x 625 features into its linear maps and has 246 M weights there; in
`adaptive` (default) the latent has a time axis and every bin of it is read by the same weights, which are less than
1 % of those. Nothing is normalised over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle import leads as lead_names
from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens, visible
from auricle.errors import DataError
from auricle.nn.experts import FUSIONS, LOG_VAR_LIMIT, Posterior
from auricle.nn.film import Condition, ModulationPoint
from auricle.signal.preprocess import TYPICAL_MV, InputSpec
from auricle.tracing import is_traced

# Experts start with a small variance: from samples as wide as the prior's the decoder would learn to ignore them.
_FIRST_LOG_VAR: Final = -4.0
_STRIDE: Final = 2
# Keeps the gradient of a square root finite where all bins say the same.
_LEAST_SPREAD: Final = 1e-6
# The published groups of three, in the order of the standard leads.
TRIPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "limb": ("I", "II", "III"),
    "augmented": ("aVR", "aVL", "aVF"),
    "right_chest": ("V1", "V2", "V3"),
    "left_chest": ("V4", "V5", "V6"),
}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"channels": (32, 64), "latent": 512, "bin_ms": 64.0},
    "nano": {"channels": (24, 48, 96), "latent": 256},
    "small": {"latent": 256},
    "base": {"channels": (32, 64, 128), "latent": 512},
    "paper": {"latent": 256, "pooling": "flatten"},
    "released": {"latent": 256, "pooling": "flatten", "fusion": "released"},
    "lisa_groups": {"latent": 256, "groups": dict(lead_names.LISA_GROUPS)},
}


class LeadVaeConfig(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        channels: of the convolutions, each halving the time axis.
        latent: width of the shared latent; `adaptive` rounds it to a multiple of the number of bins.
        pooling: `adaptive` lets every `bin_ms` of a record give its own part of the latent, by weights that all bins
            share, and is read downstream as mean, spread and extremes over the bins; `flatten` is the published form,
            one linear map of a record of exactly the input's length.
        bin_ms: length of a bin: long enough for a QRS, too short for two.
        groups: leads whose experts are multiplied; the mixture is over groups. Leads in none form one more group.
        fusion: `corrected`, or `released` for what the script released with the paper computes.
    """

    name: Literal["lead_vae"] = "lead_vae"
    channels: tuple[Annotated[int, Field(gt=0)], ...] = (16, 32, 64)
    latent: Annotated[int, Field(gt=0)] = 256
    pooling: Literal["adaptive", "flatten"] = "adaptive"
    bin_ms: Annotated[float, Field(gt=0)] = 320.0
    groups: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(TRIPLES))
    fusion: Literal["corrected", "released"] = "corrected"

    @model_validator(mode="after")
    def _prior_for_empty_bins(self) -> LeadVaeConfig:
        if self.fusion == "released" and self.pooling != "flatten":
            raise ValueError(
                "fusion=released has no prior to stand for empty bins of time: use pooling=flatten with it"
            )
        return self


class AdaptivePool(nn.Module):
    """Each bin of time gives its own part of the latent, by weights that all bins of a lead share.

    A bin sees its neighbours on either side. Bins are counted from the start of the record in milliseconds, so a
    shorter record leaves the last ones empty and changes none of the others. An empty bin has a mean of 0 and so large
    a variance that it has next to no weight in a product of experts.
    """

    def __init__(self, n_leads: int, width: int, n_positions: int, config: LeadVaeConfig, step_ms: float) -> None:
        super().__init__()
        self.n_leads, self.size = n_leads, max(1, round(config.bin_ms / step_ms))
        self.n_bins = math.ceil(n_positions / self.size)
        self.n_positions, self.per_bin = self.size * self.n_bins, max(1, round(config.latent / self.n_bins))
        self.latent, self.n_summary = self.per_bin * self.n_bins, 4 * self.per_bin
        self.read = nn.Conv1d(
            n_leads * width, n_leads * 2 * self.per_bin, 3 * self.size, self.size, padding=self.size, groups=n_leads
        )

    def forward(
        self, x: Float[Tensor, "b l c n"], mask: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b l d"]]:
        """Mean and log-variance of each lead, (b, l, d) each.

        Args:
            x: (b, l, c, n) channels of each lead at n positions in time; zero where nothing was recorded.
            mask: (b, n) positions that were recorded.
        """
        whole = self._cut(x).flatten(1, 2)  # (b, l * c, n)
        read = self.read(whole).float().unflatten(1, (self.n_leads, 2, self.per_bin))  # (b, l, 2, per bin, bin)
        recorded = self._bins(mask)[:, None, None]
        mean = torch.where(recorded, read[:, :, 0], 0.0)
        log_var = torch.where(recorded, read[:, :, 1] + _FIRST_LOG_VAR, LOG_VAR_LIMIT)
        return mean.flatten(2), log_var.flatten(2)

    def summary(self, mean: Float[Tensor, "b s d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b s e"]:
        """(b, s, e) mean, spread, largest and smallest value over the recorded bins of a latent (b, s, d).

        None of the four depends on which bin a beat falls into.
        """
        recorded = self._bins(mask)[:, None, None]
        bins = mean.reshape(*mean.shape[:2], self.per_bin, self.n_bins)  # (b, s, per bin, bin)
        n = recorded.sum(-1).clamp_min(1)
        centre = torch.where(recorded, bins, 0.0).sum(-1) / n
        spread = torch.where(recorded, bins - centre[..., None], 0.0).square().sum(-1) / n
        top, bottom = (torch.where(recorded, sign * bins, -torch.inf).amax(-1) for sign in (1, -1))
        any_bin = recorded.any(-1)
        parts = (
            centre,
            (spread + _LEAST_SPREAD).sqrt(),
            torch.where(any_bin, top, 0.0),
            torch.where(any_bin, -bottom, 0.0),
        )
        return torch.cat(parts, dim=-1)

    def _cut(self, x: Shaped[Tensor, "*b n"]) -> Shaped[Tensor, "*b m"]:
        """The last axis padded with zeros, or cut, to the positions of all bins."""
        return F.pad(x, (0, max(0, self.n_positions - x.shape[-1])))[..., : self.n_positions]

    def _bins(self, mask: Bool[Tensor, "b n"]) -> Bool[Tensor, "b m"]:
        """(b, bin) bins with at least one recorded position."""
        return self._cut(mask).reshape(mask.shape[0], self.n_bins, self.size).any(-1)

    def unpool(self, width: int) -> nn.Module:
        """Layers from a latent (b, d) back to (b, width, position), with the same weights for every bin."""
        return nn.Sequential(
            nn.Unflatten(1, (self.per_bin, self.n_bins)),
            nn.Conv1d(self.per_bin, width * self.size, 3, padding=1),
            nn.Unflatten(1, (width, self.size)),
            _BinsToTime(),
        )


class _BinsToTime(nn.Module):
    """Joins the positions inside all bins to one time axis."""

    def forward(self, x: Float[Tensor, "b c p n"]) -> Float[Tensor, "b c m"]:
        """(b, width, position in a bin, bin) to (b, width, position)."""
        return x.transpose(2, 3).flatten(2)


class FlattenPool(nn.Module):
    """All positions of a lead side by side into one linear map, as published."""

    def __init__(self, n_leads: int, width: int, n_positions: int, config: LeadVaeConfig, step_ms: float) -> None:
        super().__init__()
        del step_ms
        self.n_positions, self.latent, self.n_summary = n_positions, config.latent, config.latent
        n_features = width * n_positions
        self.weight = nn.Parameter(torch.randn(n_leads, n_features, 2 * self.latent) / n_features**0.5)
        self.bias = nn.Parameter(torch.zeros(n_leads, 2 * self.latent))

    def forward(
        self, x: Float[Tensor, "b l c n"], mask: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b l d"]]:
        """Mean and log-variance of each lead, (b, l, d) each.

        Args:
            x: (b, l, c, n) channels of each lead at n positions in time.
            mask: (b, n) positions that were recorded.

        Raises:
            DataError: the batch is shorter than the records that this encoder was built for.
        """
        if mask.shape[1] < self.n_positions:
            raise DataError(
                "pooling=flatten reads records of one length only, and this batch is shorter: "
                "pad it to the input's length, or use pooling=adaptive"
            )
        features = x[..., : self.n_positions].flatten(2)  # (b, l, c * n)
        out = torch.einsum("blf,lfo->blo", features, self.weight).float() + self.bias
        mean, log_var = out.chunk(2, dim=-1)
        return mean, log_var + _FIRST_LOG_VAR

    def summary(self, mean: Float[Tensor, "b s d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b s d"]:
        """(b, s, d) the means themselves, as published."""
        del mask
        return mean

    def unpool(self, width: int) -> nn.Module:
        """Layers from a latent (b, d) back to (b, width, position): one linear map."""
        return nn.Sequential(nn.Linear(self.latent, width * self.n_positions), nn.Unflatten(1, (width, -1)))


_POOLINGS: Final[Mapping[str, type[AdaptivePool] | type[FlattenPool]]] = {
    "adaptive": AdaptivePool,
    "flatten": FlattenPool,
}


class LeadVae(EncoderModule):
    """Per-lead encoders to a Gaussian each, and their fusion."""

    def __init__(self, config: LeadVaeConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        n_leads = len(spec.leads)
        self.group_names = spec.leads
        self.expert_groups = _group_rows(config.groups, spec.leads)
        self.fusion = FUSIONS[config.fusion]
        self.layers, self.points = nn.ModuleList(), []
        width = 1
        for number, channels in enumerate(config.channels):
            layer = nn.Conv1d(n_leads * width, n_leads * channels, 3, _STRIDE, padding=1, groups=n_leads)
            self.layers.append(layer)
            self.points.append(self.add_point(ModulationPoint(f"layer{number}", channels, 2, n_leads, 1)))
            width = channels
        step = _STRIDE ** len(config.channels)
        n_positions = math.ceil(spec.n_samples / step)
        step_ms = 1000 * step / spec.rate_hz
        self.pool = _POOLINGS[config.pooling](n_leads, width, n_positions, config, step_ms)
        self.latent = self.pool.latent
        self.width = (n_leads + 1) * self.pool.n_summary + n_leads

    def experts(
        self,
        signal: Float[Tensor, "b l t"],
        lead_mask: Bool[Tensor, "b l"],
        time_mask: Bool[Tensor, "b t"],
        condition: Condition | None = None,
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b l d"]]:
        """Mean and log-variance of each lead's Gaussian over the latent, (b, l, d) each; undefined for absent leads.

        Args:
            signal: (b, l, t) in millivolts; nothing under a false mask is read.
            lead_mask: (b, l) leads that are present.
            time_mask: (b, t) samples inside the record.
            condition: what modulates the layers, by source.

        Raises:
            DataError: records longer than the input this encoder was built for.
        """
        # Convolutions with weights of each lead's own: (b, l * c, n) between the layers.
        x, mask = visible(signal, lead_mask, time_mask) / TYPICAL_MV, time_mask
        for layer, point in zip(self.layers, self.points, strict=True):
            mask = mask[:, ::_STRIDE]
            hidden = layer(x).unflatten(1, (len(self.group_names), -1))  # (b, l, c, n)
            hidden = self.modulate[point](hidden, condition).relu()
            # Padding is set to zero again after every layer, or biases and gates would leak out of it.
            inside = lead_mask[:, :, None, None] & mask[:, None, None]
            x = torch.where(inside, hidden, 0.0).flatten(1, 2)
        # Rounding a change of rate can give one position more; still more means a longer record.
        beyond = mask[:, self.pool.n_positions + 1 :]
        if beyond.shape[1] and not is_traced() and bool(beyond.any()):
            raise DataError(
                f"records of {signal.shape[-1] / self.spec.rate_hz:.1f} s, and this encoder reads "
                f"{self.spec.seconds:g} s: read them in windows"
            )
        mean, log_var = self.pool(torch.unflatten(x, 1, (len(self.group_names), -1)), mask)
        return mean, log_var

    def fuse(
        self, mean: Float[Tensor, "b l d"], log_var: Float[Tensor, "b l d"], lead_mask: Bool[Tensor, "b l"]
    ) -> Posterior:
        """The distributions that the present leads give together, by the configured fusion, in full precision.

        Args:
            mean, log_var: (b, l, d) as `experts` gives them.
            lead_mask: (b, l) leads that take part.
        """
        with torch.autocast(mean.device.type, enabled=False):
            return self.fusion(mean.float(), log_var.float(), lead_mask, self.expert_groups)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, l, d) one token per lead, the mean of its Gaussian.

        `pooled` (b, width) holds a summary of each lead, a summary of their fusion, and the lead mask.
        """
        mean, log_var = self.experts(signal, lead_mask, time_mask, condition)
        return self.summarise(mean, self.fuse(mean, log_var, lead_mask), lead_mask, time_mask)

    def summarise(
        self,
        mean: Float[Tensor, "b l d"],
        posterior: Posterior,
        lead_mask: Bool[Tensor, "b l"],
        time_mask: Bool[Tensor, "b t"],
    ) -> Tokens:
        """What is known of a record by the Gaussians of its leads and their fusion, as `encode` says it.

        Args:
            mean: of each lead's Gaussian.
            posterior: their fusion.
            lead_mask: leads that took part.
            time_mask: samples inside the record.
        """
        fused = posterior.sampled.centre()
        # An absent lead has the prior's mean, and the lead mask in `pooled` tells that it is absent.
        mean = torch.where(lead_mask[..., None], mean, 0.0)
        # Summaries over time, (b, l + 1, e): each lead, then the fusion.
        positions = time_mask[:, :: _STRIDE ** len(self.config.channels)]
        summary = self.pool.summary(torch.cat([mean, fused[:, None]], dim=1), positions)
        own = torch.where(lead_mask[..., None], summary[:, :-1], 0.0)
        n_leads, device = len(self.group_names), mean.device
        sizes = own.norm(dim=-1)
        return Tokens(
            tokens=mean,
            mask=lead_mask,
            group=torch.arange(n_leads, device=device),
            time_ms=torch.full((n_leads,), 500 * self.spec.seconds, device=device),
            scale=torch.zeros(n_leads, dtype=torch.long, device=device),
            pooled=torch.cat([own.flatten(1), summary[:, -1], lead_mask.to(mean)], dim=1),
            group_contribution=sizes / sizes.sum(1, keepdim=True).clamp_min(1e-9),
        )


def _group_rows(groups: Mapping[str, tuple[str, ...]], leads: tuple[str, ...]) -> list[list[int]]:
    """Rows of the lead axis in each group that has any; leads in no group form one more group at the end."""
    index = lead_names.group_index(groups, leads)
    rows = [[row for row, owner in enumerate(index) if owner == number] for number in range(len(groups))]
    return [members for members in (*rows, [row for row, owner in enumerate(index) if owner < 0]) if members]
