"""acl_ecg: two views of a record that keep its rhythm belong together, and so do their anatomical regions; no labels.

Source: ACL-ECG, Sensors 2026, 26(3), 1080 (its abstract; no code is public). Idea: (1) draw two views that differ in
what part is seen, in which cycles and leads are missing, and not in rhythm; (2) pull the two views of a record together
and push records apart (NT-Xent); (3) read one vector for each region of leads (anterior, inferior, septal, lateral);
(4) pull a region to itself in the other view and push it from other regions and other records; (5) add half of that.
Inputs: signal, and R peaks where the store has them. Differences from the abstract: a crop is not scaled back to the
window (rate carries age) but padded, beside a stretch of at most a tenth; what the abstract leaves open (encoder,
heads, temperature, weight) is ours; repulsion between regions of one heartbeat, or at all, can be switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.batch import ECGBatch
from auricle.config import Config, component
from auricle.encoders import ENCODERS, EncoderModule, Tokens
from auricle.errors import ConfigError
from auricle.losses.contrastive import nt_xent
from auricle.losses.regions import Repels, region_nt_xent
from auricle.methods._base import Progress, Recipe, Step
from auricle.methods._two_views import TwoViews, TwoViewsConfig
from auricle.nn.heads import projection
from auricle.nn.pooling import masked_mean

# The abstract names the regions; their leads are the usual ones. aVR looks at none of the four: left out.
REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "anterior": ("V3", "V4"),
    "inferior": ("II", "III", "aVF"),
    "septal": ("V1", "V2"),
    "lateral": ("I", "aVL", "V5", "V6"),
}


def _encoder(preset: str) -> dict[str, Any]:
    return {"name": "lead_groups", "preset": preset, "groups": dict(REGIONS)}


_NANO: Final = {"input": {"rate_hz": 250}, "encoder": _encoder("nano"), "recipe": {"lr": 2e-3}}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    # For tests: half of two seconds would hold one beat or none.
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": _encoder("tiny"),
        "views": {"crop": (1.0, 1.0), "stretch": (1.0, 1.0)},
        "projection": 16,
        "recipe": {"lr": 3e-3},
    },
    "nano": _NANO,
    "small": {"encoder": _encoder("small"), "recipe": {"lr": 5e-4}},
    # What the abstract says and no more: time is not stretched, no lead is lost.
    "paper": {
        "encoder": _encoder("small"),
        "recipe": {"lr": 5e-4},
        "views": {"stretch": (1.0, 1.0), "change": {"lead_drop_records": 0.0}},
    },
    # The two ablations of the abstract, at the size of nano.
    "generic": {**_NANO, "views": {"name": "generic"}},
    "instance": {**_NANO, "region": {"weight": 0.0}},
}


class RegionConfig(Config):
    """The region objective.

    Attributes:
        weight: beside the instance objective; 0 leaves it out, head and all.
        repels: what a region is pushed from: `everything` else, which includes other regions of its own record; all
            regions of `other_records`; or the `same_region` of other records, so that different regions never repel.
    """

    weight: Annotated[float, Field(ge=0)] = 0.5
    repels: Repels = "everything"


class AclEcgConfig(TwoViewsConfig):
    """Settings of acl_ecg.

    Attributes:
        encoder: one whose tokens know their lead group, unless the region objective is left out.
        region: the region objective.
        projection: width of the spaces in which views, and regions, are compared.
        temperature: of both objectives; fixed.
    """

    name: Literal["acl_ecg"] = "acl_ecg"
    encoder: component(ENCODERS) = Field(default=_encoder("small"), validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=1e-3)
    region: RegionConfig = RegionConfig()
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.1


class RegionHead(nn.Module):
    """One unit vector per region: means of its tokens at each time scale, each scale by its own matrix, and summed.

    Args:
        encoder: encodes one silent record here, which tells the width, groups and scales of its tokens.
        out: width of the vectors.

    Raises:
        ConfigError: the encoder's tokens see all leads at once.
    """

    def __init__(self, encoder: EncoderModule, out: int) -> None:
        super().__init__()
        tokens = _tokens_of_silence(encoder)
        width = tokens.tokens.shape[-1]
        self.n_regions, self.n_scales = int(tokens.group.max()) + 1, int(tokens.scale.max()) + 1
        if self.n_regions < 1:
            raise ConfigError(
                f"acl_ecg contrasts regions, and {encoder.config.name} reads all leads as one: "
                "use model.encoder.name=lead_groups, or leave regions out with model.region.weight=0"
            )
        self.of_scale = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(self.n_scales)
        )
        self.project = projection(width, out)

    def forward(self, tokens: Tokens) -> tuple[Float[Tensor, "b g d"], Bool[Tensor, "b g"]]:
        """(b, g, d) unit vectors, and (b, g) regions that a record has; the vector of an absent region is undefined."""
        vectors, present = [], []
        for region in range(self.n_regions):
            inside = tokens.group == region
            parts = [  # (b, d) each: the mean of the region's tokens at one time scale
                of_scale(masked_mean(tokens.tokens[:, chosen], tokens.mask[:, chosen]))
                for number, of_scale in enumerate(self.of_scale)
                for chosen in [inside & (tokens.scale == number)]
            ]
            vectors.append(torch.stack(parts).sum(0))
            present.append(tokens.mask[:, inside].any(1))
        return F.normalize(self.project(torch.stack(vectors, dim=1)), dim=-1), torch.stack(present, dim=1)


@torch.no_grad()
def _tokens_of_silence(encoder: EncoderModule) -> Tokens:
    """The tokens of one silent record, which tell their layout. Leaves the encoder as it was."""
    spec, training = encoder.spec, encoder.training
    lead_mask = torch.ones(1, len(spec.leads), dtype=torch.bool)
    time_mask = torch.ones(1, spec.n_samples, dtype=torch.bool)
    encoder.eval()
    tokens: Tokens = encoder(torch.zeros(1, len(spec.leads), spec.n_samples), lead_mask, time_mask)
    encoder.train(training)
    return tokens


class AclEcg(TwoViews):
    """An encoder, a projection of the record, and a projection of its regions."""

    name: ClassVar[str] = "acl_ecg"

    def __init__(self, config: AclEcgConfig) -> None:
        super().__init__(config)
        self.project = projection(self.encoder.width, config.projection)
        self.regions = RegionHead(self.encoder, config.projection) if config.region.weight else None

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """NT-Xent of two views of each record, plus `region.weight` times that of their regions.

        Terms: `loss`, and where regions are contrasted `instance` (records) and
        `region`.
        """
        del progress
        # Two random views, encoded, and one unit vector (b, d) of each.
        pair = [self.encoder.read(one) for one in self.two_views(batch)]
        first, second = (F.normalize(self.project(tokens.pooled), dim=-1) for tokens in pair)
        regions = None if self.regions is None else [self.regions(tokens) for tokens in pair]
        scale = 1 / self.config.temperature
        # Cosines over a small temperature: full precision, also under bf16.
        with torch.autocast(first.device.type, enabled=False):
            instance = nt_xent(first.float(), second.float(), scale)
            if regions is None:
                return Step(instance, {"loss": instance.detach()})
            vectors, present = (torch.stack(part, dim=1) for part in zip(*regions, strict=True))  # (b, 2, g, d)
            region = region_nt_xent(vectors.float(), present, scale, self.config.region.repels)
            loss = instance + self.config.region.weight * region
        terms = {"loss": loss.detach(), "instance": instance.detach(), "region": region.detach()}
        return Step(loss, terms)
