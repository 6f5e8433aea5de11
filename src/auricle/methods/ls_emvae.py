"""ls_emvae: every lead a modality of one variational autoencoder; absent leads are left out, and can be drawn.

Source: "Multimodal Lead-Specific Modeling of ECG for Low-Cost Pulmonary Hypertension Assessment" (arXiv 2503.13470).
Idea: (1) each lead's encoder gives a Gaussian over one latent; (2) the Gaussians are multiplied inside groups of leads
and mixed over the groups; (3) one decoder draws the leads from the latent; (4) downstream, the Gaussian means of the
leads and of their fusion are read. Inputs: the signal, in millivolts; no text and no label.
Differences: `corrected` (default) samples every component of the mixture and adds the KL of the distribution that it
samples, its decoder has an output for each lead, and leads hidden in training have to be drawn from the others;
`released` is what the script released with the paper computes. A residual per lead gives the uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import drop_leads
from auricle.batch import ECGBatch
from auricle.config import component
from auricle.encoders import ENCODERS
from auricle.encoders.lead_vae import LeadVae
from auricle.methods._base import Method, MethodConfig, Progress, Recipe, Reconstruction, Step, split_decay
from auricle.nn.experts import KLS
from auricle.processes import mean_over_active

_AT_100_HZ: Final = {"rate_hz": 100, "band_hz": (0.5, 45.0)}
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "input": {"rate_hz": 250, "seconds": 2.0},
        "encoder": {"name": "lead_vae", "preset": "tiny"},
        "hidden_records": 0.1,
    },
    "nano": {"input": _AT_100_HZ, "encoder": {"name": "lead_vae", "preset": "nano"}, "recipe": {"lr": 1e-3}},
    "small": {"encoder": {"name": "lead_vae", "preset": "small"}},
    "paper": {"encoder": {"name": "lead_vae", "preset": "paper"}},
    "released": {
        "variant": "released",
        "encoder": {"name": "lead_vae", "preset": "released"},
        "mse_weight": 1e-3,
    },
}
# The residual is one number per lead that starts far from its value: it learns at this multiple of the rate.
_NOISE_LR_SCALE: Final = 20.0
_FIRST_NOISE_MV: Final = 0.1
_DRAWS: Final = 8
# Shares of the leads that a record may lose in training, in turn: a few, half, most, all but about one.
_HIDDEN_SHARES: Final = (0.25, 0.5, 0.75, 0.92)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant is made of.

    Attributes:
        fusion: name of the encoder's fusion of experts.
        told_the_lead: whether the decoder knows which lead it draws.
        hides_leads: whether leads are hidden in training.
    """

    fusion: str
    told_the_lead: bool
    hides_leads: bool


VARIANTS: Final[Mapping[str, Variant]] = {
    "corrected": Variant("corrected", told_the_lead=True, hides_leads=True),
    "released": Variant("released", told_the_lead=False, hides_leads=False),
}


class LsEmvaeConfig(MethodConfig):
    """Settings of ls_emvae.

    Attributes:
        variant: `corrected`, or `released` for what the released script computes.
        kl: `bound` (the mean of the components' KL) or `monte_carlo` (of the mixture itself).
        mse_weight: of the squared error in mV^2, summed over leads and samples; 1 / (2 sd^2) for noise of sd mV that
            the latent need not explain. The released script has .001, under which the latent carries next to nothing.
        agreement: weight of the distance between each lead's mean and the mean of them all.
        anneal: share of the run over which the KL's weight rises to 1 (50 of the published 100 epochs).
        hidden_records: share of training records that lose leads, which then have to be drawn (`corrected`).
    """

    name: Literal["ls_emvae"] = "ls_emvae"
    encoder: component(ENCODERS) = Field(default={"name": "lead_vae", "preset": "small"}, validate_default=True)  # type: ignore[valid-type]
    recipe: Recipe = Recipe(lr=5e-4, weight_decay=1e-5, betas=(0.9, 0.999), warmup=0.02)
    variant: Literal["corrected", "released"] = "corrected"
    kl: Literal["bound", "monte_carlo"] = "bound"
    mse_weight: Annotated[float, Field(gt=0)] = 100.0
    agreement: Annotated[float, Field(ge=0)] = 0.1
    anneal: Annotated[float, Field(gt=0, le=1)] = 0.5
    hidden_records: Annotated[float, Field(ge=0, le=1)] = 0.6

    @model_validator(mode="after")
    def _one_variant(self) -> LsEmvaeConfig:
        if self.encoder.name != "lead_vae":
            raise ValueError(f"ls_emvae needs the encoder lead_vae, not {self.encoder.name}")
        wanted = VARIANTS[self.variant].fusion
        if self.encoder.fusion != wanted:
            raise ValueError(f"variant {self.variant} goes with encoder.fusion={wanted}, not {self.encoder.fusion}")
        return self


class Decoder(nn.Module):
    """A latent to waveforms: a map onto the coarse time axis, then transposed convolutions (as published).

    All layers but the last are shared by the leads. The last has a kernel for each waveform, so that every lead is a
    mixture of common sources with weights of its own, as the leads of one heart are.

    Args:
        unpool: from a latent to (b, width, position), the inverse of what the encoder does behind its convolutions.
        channels: of the encoder; the decoder runs through them backwards.
        n_samples: length of a waveform.
        n_waves: how many are drawn: one per lead, or 1 that stands for all of them.
    """

    def __init__(self, unpool: nn.Module, channels: tuple[int, ...], n_samples: int, n_waves: int) -> None:
        super().__init__()
        self.n_samples, self.unpool = n_samples, unpool
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(in_width, out_width, 4, stride=2, padding=1)
            for in_width, out_width in pairwise([*reversed(channels), n_waves])
        )

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b w t"]:
        """(b, wave, t) waveforms in millivolts, from latents (b, d)."""
        x: Tensor = self.unpool(z)  # (b, c, n)
        for layer in self.layers:
            x = layer(x.relu())
        return x[..., : self.n_samples]


class LsEmvae(Method):
    """Lead-specific encoders, experts on one latent, a decoder, and how far it is off in each lead."""

    name: ClassVar[str] = "ls_emvae"

    def __init__(self, config: LsEmvaeConfig) -> None:
        super().__init__(config)
        assert isinstance(self.encoder, LeadVae)
        self.variant = VARIANTS[config.variant]
        self.n_leads = len(config.input.leads)
        n_waves = self.n_leads if self.variant.told_the_lead else 1
        channels = self.encoder.config.channels
        self.decoder = Decoder(self.encoder.pool.unpool(channels[-1]), channels, config.input.n_samples, n_waves)
        # Log standard deviation of what is left: of leads that were read, then of leads drawn from the others.
        self.log_noise = nn.Parameter(torch.full((2 * self.n_leads,), math.log(_FIRST_NOISE_MV)))

    def draw(self, z: Float[Tensor, "b s d"], n_samples: int) -> Float[Tensor, "b s l t"]:
        """(b, s, l, t) every lead in mV from each of s latents, cut or filled with zeros to `n_samples`."""
        waves: Tensor = self.decoder(z.flatten(0, 1)).float()  # (b * s, wave, t)
        waves = F.pad(waves, (0, max(0, n_samples - waves.shape[-1])))[..., :n_samples]
        return waves.reshape(*z.shape[:2], -1, n_samples).expand(-1, -1, self.n_leads, -1)

    def noise(self, lead_mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b l"]:
        """(b, l) log standard deviation of the residual in mV: of leads that were read, and of leads that were not."""
        read, drawn = self.log_noise.chunk(2)
        return torch.where(lead_mask, read, drawn)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """mse_weight * sum of squares + a(t) * KL + agreement * mean MSE(mean of a lead, mean of the leads).

        a(t) = min(epoch / 50, 1) of the published 100 epochs is min(share of the run / `anneal`, 1) here, so that a
        run of any length has the same course. The squared error is over the leads that were recorded, hidden ones
        included, and over the time inside the record; it is taken of every component's sample, then their mean.

        Terms: `loss`, `kl`, `apart` (agreement of the leads), and `mse_mv2`, the squared error per sample.
        """
        # Hidden leads are not encoded, and have to be drawn below.
        ready = self.preprocess(batch)
        shown = self._hide(ready.lead_mask)
        encoder = self.encoder
        assert isinstance(encoder, LeadVae)
        # Gaussians of the leads (b, l, d), their fusion, and one sample of each component (b, g, d).
        condition = encoder.condition(ready)
        mean, log_var = encoder.experts(ready.signal, shown, ready.time_mask, condition)
        with torch.autocast(mean.device.type, enabled=False):
            posterior = encoder.fuse(mean, log_var, shown)
        with torch.no_grad():  # nothing is learned from the features, but who watches for collapse sees them
            encoder.output(encoder.summarise(mean, posterior, shown, ready.time_mask), condition)
        with torch.autocast(mean.device.type, enabled=False):
            samples = posterior.sampled.sample()
            kl = KLS[self.config.kl](posterior.charged).mean()
            apart = _disagreement(mean, shown).mean()
        # All leads drawn from each sample, (b, g, l, t), and the loss in full precision.
        drawn = self.draw(samples, ready.signal.shape[-1])
        with torch.autocast(mean.device.type, enabled=False):
            error = _squared_error(drawn, ready)
            fit = torch.where(ready.lead_mask[:, None], error, 0.0).sum(-1)
            squares = posterior.sampled.over_present(fit).mean()
            per_sample, active = self._per_sample(error, ready, posterior.sampled.present)
            noise = self._noise_loss(per_sample, active, shown)
            weight = min(progress.share / self.config.anneal, 1.0)
            loss = self.config.mse_weight * squares + weight * kl + self.config.agreement * apart
        terms = {"loss": loss, "kl": kl, "apart": apart, "mse_mv2": mean_over_active(per_sample, active)}
        # The term of the residual has a gradient for the residual alone, so it is added outside of `loss`.
        return Step(loss + noise, {name: value.detach() for name, value in terms.items()})

    def _hide(self, lead_mask: Bool[Tensor, "b l"]) -> Bool[Tensor, "b l"]:
        """(b, l) leads that stay visible; in training some records lose a few leads, others nearly all of them."""
        if not (self.variant.hides_leads and self.training):
            return lead_mask
        # Drawn for each record: in a batch the parts of a mixture and the records of a patient lie side by side.
        shares = torch.tensor(_HIDDEN_SHARES, device=lead_mask.device)
        chosen = torch.randint(len(shares), (len(lead_mask), 1), device=lead_mask.device)
        return drop_leads(lead_mask, self.config.hidden_records, shares[chosen])

    def _per_sample(
        self, error: Float[Tensor, "b s l"], ready: ECGBatch, present: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b l"], Bool[Tensor, "b l"]]:
        """(b, l) squared error per sample in mV^2, the mean over the present components, and (b, l) where there is one.

        Args:
            error: (b, s, l) squared error summed over time, of each component's sample.
            ready: the batch that was to be drawn.
            present: (b, s) components that a record has.
        """
        component = present[..., None]
        mean = torch.where(component, error, 0.0).sum(1) / component.sum(1).clamp_min(1)
        n = ready.time_mask.sum(1, keepdim=True)
        return mean / n.clamp_min(1), ready.lead_mask & (n > 0) & present.any(1, keepdim=True)

    def _noise_loss(self, per_sample: Tensor, active: Tensor, shown: Tensor) -> Tensor:
        """Scalar negative log-likelihood of the squared errors (b, l) under the residual; the errors are detached."""
        log_sd = self.noise(shown)
        return mean_over_active(log_sd + 0.5 * per_sample.detach() * (-2 * log_sd).exp(), active)

    def reconstruct(self, batch: ECGBatch) -> Reconstruction:
        """Every lead of a batch from those present in it: mean and standard deviation in mV over the mixture's samples.

        The noise of the samples is fixed, so the answer for a record does not depend on the batch it is in.
        """
        # The fusion of the leads that are present.
        ready = self.preprocess(batch)
        encoder = self.encoder
        assert isinstance(encoder, LeadVae)
        mean, log_var = encoder.experts(ready.signal, ready.lead_mask, ready.time_mask, encoder.condition(ready))
        mixture = encoder.fuse(mean, log_var, ready.lead_mask).sampled
        # Noise in opposite pairs, whose mean is exact for a linear decoder.
        generator = torch.Generator().manual_seed(0)
        half = torch.randn(_DRAWS // 2, *mixture.mean.shape[1:], generator=generator).to(mixture.mean)
        # Mean and mean square over samples and present components, (b, l, t).
        component = mixture.present[:, :, None, None]
        n = component.sum(1).clamp_min(1)
        total = squares = torch.zeros(())
        for noise in torch.cat([half, -half]):
            drawn = torch.where(component, self.draw(mixture.sample(noise), ready.signal.shape[-1]), 0.0)
            total = total + drawn.sum(1) / n
            squares = squares + drawn.square().sum(1) / n
        centre = total / _DRAWS
        spread = (squares / _DRAWS - centre.square()).clamp_min(0)
        # The variance of a sample: over the latents, and of the residual around each of them.
        residual = (2 * self.noise(ready.lead_mask)).exp()[..., None]
        inside = ready.time_mask[:, None]
        return Reconstruction(
            mean=torch.where(inside, centre, 0.0), std=torch.where(inside, (spread + residual).sqrt(), 0.0)
        )

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters in groups with and without weight decay; the residual in a group with a higher rate."""
        groups = split_decay(self, self.config.recipe.weight_decay)
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if parameter is not self.log_noise]
        noise = {"params": [self.log_noise], "weight_decay": 0.0, "lr_scale": _NOISE_LR_SCALE}
        return [*groups, noise]


def _squared_error(drawn: Float[Tensor, "b s l t"], ready: ECGBatch) -> Float[Tensor, "b s l"]:
    """(b, s, l) squared difference to the recorded leads in mV^2, summed over the record's time."""
    inside = ready.lead_mask[:, None, :, None] & ready.time_mask[:, None, None]
    return torch.where(inside, drawn - ready.signal[:, None], 0.0).square().sum(-1)


def _disagreement(mean: Float[Tensor, "b l d"], present: Bool[Tensor, "b l"]) -> Float[Tensor, " b"]:
    """(b,) mean over the present leads of the mean squared distance between a lead's mean and the mean of them all."""
    n = present.sum(1).clamp_min(1)
    lead_present = present[..., None]
    centre = torch.where(lead_present, mean, 0.0).sum(1) / n[:, None]
    apart = torch.where(lead_present, mean - centre[:, None], 0.0).square().mean(-1)
    return apart.sum(1) / n
