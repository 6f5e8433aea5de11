"""Experts over one latent: a product of Gaussians inside a group, a uniform mixture over the groups, and their KL.

Source: LS-EMVAE (arXiv 2503.13470), which fuses the leads of an ECG by products inside four groups of three and a
mixture over the groups. Each product has the prior N(0, I) as one more expert, once; what is absent is left out. The
script released with the paper computes something else. Both are here as fusions with one face, found by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Keeps a variance within what single precision can invert and add up.
LOG_VAR_LIMIT: Final = 12.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """A uniform mixture of the present components, each a diagonal Gaussian.

    Attributes:
        mean, log_var: (b, g, d) of each component.
        present: (b, g) which components take part. A record without any has the prior's mean and no KL.
    """

    mean: Float[Tensor, "b g d"]
    log_var: Float[Tensor, "b g d"]
    present: Bool[Tensor, "b g"]

    def sample(self, noise: Float[Tensor, "... d"] | None = None) -> Float[Tensor, "b g d"]:
        """One sample of every component, so that none is left to chance; of `noise` where it is given."""
        noise = torch.randn_like(self.mean) if noise is None else noise
        return self.mean + noise * (0.5 * self.log_var).exp()

    def over_present(self, values: Float[Tensor, "b g"]) -> Float[Tensor, " b"]:
        """The mean over the present components; zero where there are none."""
        return torch.where(self.present, values, 0.0).sum(1) / self.present.sum(1).clamp_min(1)

    def centre(self) -> Float[Tensor, "b d"]:
        """The mean of the mixture; the prior's where nothing is present."""
        total = torch.where(self.present[..., None], self.mean, 0.0).sum(1)
        return total / self.present.sum(1, keepdim=True).clamp_min(1)

    def log_density(self, z: Float[Tensor, "b s d"]) -> Float[Tensor, "b s"]:
        """Log density of the mixture at `z`; minus infinity where no component is present."""
        each = _log_normal(z[:, :, None], self.mean[:, None], self.log_var[:, None])
        each = each.masked_fill(~self.present[:, None], -torch.inf)
        return each.logsumexp(-1) - self.present.sum(1, keepdim=True).clamp_min(1).log()


def product(
    mean: Float[Tensor, "b l d"], log_var: Float[Tensor, "b l d"], present: Bool[Tensor, "b l"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
    """Mean and log-variance of the product of the present experts and of N(0, I), each weighted by its precision."""
    precision = torch.where(present[..., None], (-log_var).exp(), 0.0)
    total = 1 + precision.sum(1)
    centre = (precision * torch.where(present[..., None], mean, 0.0)).sum(1) / total
    return centre, -total.log()


def kl_to_prior(mean: Float[Tensor, "*b d"], log_var: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """KL(N(mean, var) || N(0, I)) in nats, summed over the latent."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)


def kl_bound(mixture: Mixture) -> Float[Tensor, " b"]:
    """(1/G) sum of the components' KL: an upper bound on the mixture's, because KL is convex."""
    return mixture.over_present(kl_to_prior(mixture.mean, mixture.log_var))


def kl_monte_carlo(mixture: Mixture) -> Float[Tensor, " b"]:
    """KL of the mixture itself, estimated from one sample of every component."""
    samples = mixture.sample()
    standard = torch.zeros_like(samples)
    there = mixture.present.any(1)
    # Without any component there is no density; the record is left out below.
    whole = Mixture(mixture.mean, mixture.log_var, mixture.present | ~there[:, None])
    ratio = whole.log_density(samples) - _log_normal(samples, standard, standard)
    return torch.where(there, mixture.over_present(ratio), 0.0)


KLS: Final[Mapping[str, Callable[[Mixture], Tensor]]] = {"bound": kl_bound, "monte_carlo": kl_monte_carlo}


def _log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log density of a diagonal Gaussian, summed over the last axis."""
    squared = (z - mean).square() * (-log_var).exp()
    return -0.5 * (squared + log_var + math.log(2 * math.pi)).sum(-1)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a fusion makes of the experts of a batch.

    Attributes:
        sampled: the distribution that latents are drawn from.
        charged: the distribution whose KL to the prior is paid for; the same one in any variational autoencoder that
            means what it says.
    """

    sampled: Mixture
    charged: Mixture


Fusion = Callable[[Tensor, Tensor, Tensor, Sequence[Sequence[int]]], Posterior]


def mixture_of_products(
    mean: Float[Tensor, "b l d"],
    log_var: Float[Tensor, "b l d"],
    present: Bool[Tensor, "b l"],
    groups: Sequence[Sequence[int]],
) -> Posterior:
    """Products with the prior inside each group (rows of the lead axis), a uniform mixture over the groups present."""
    log_var = log_var.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
    parts = [product(mean[:, rows], log_var[:, rows], present[:, rows]) for rows in map(list, groups)]
    there = torch.stack([present[:, list(rows)].any(1) for rows in groups], dim=1)
    mixture = Mixture(torch.stack([part[0] for part in parts], 1), torch.stack([part[1] for part in parts], 1), there)
    return Posterior(sampled=mixture, charged=mixture)


def released_script(
    mean: Float[Tensor, "b l d"],
    log_var: Float[Tensor, "b l d"],
    present: Bool[Tensor, "b l"],
    groups: Sequence[Sequence[int]],
) -> Posterior:
    """What the released script computes, for comparison only.

    The prior stands behind the leads as a thirteenth expert, and thirteen experts cut into four runs of three leave it
    over: no product has a prior. The mixture is one Gaussian of averaged means and averaged log-variances; KL is paid
    on another one, the plain mean of the encoders. The script knows complete records only; an absent lead is left out
    of every sum here, and `groups` is not read: a run is a quarter of the lead axis.
    """
    del groups
    log_var = log_var.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
    n_experts = mean.shape[1] + 1  # the prior
    n_runs = min(4, n_experts)
    size = n_experts // n_runs
    centres, widths, there = [], [], []
    for run in range(n_runs):
        # The last run ends before the prior wherever size x runs does; with a remainder of 0 it would reach it.
        rows = slice(run * size, min((run + 1) * size, mean.shape[1]))
        inside = present[:, rows, None]
        precision = torch.where(inside, (-log_var[:, rows]).exp(), 0.0)
        total = precision.sum(1)
        some = inside.any(1)
        safe = torch.where(some, total, 1.0)
        centres.append((precision * torch.where(inside, mean[:, rows], 0.0)).sum(1) / safe)
        widths.append(-safe.log())
        there.append(some[:, 0])
    runs = Mixture(torch.stack(centres, 1), torch.stack(widths, 1), torch.stack(there, 1))
    sampled = _one_gaussian(runs.mean, runs.log_var, runs.present)
    return Posterior(sampled=sampled, charged=_one_gaussian(mean, log_var, present))


def _one_gaussian(mean: Tensor, log_var: Tensor, present: Tensor) -> Mixture:
    """One component of the plain means of means and of log-variances over what is present."""
    share = (present / present.sum(1, keepdim=True).clamp_min(1))[..., None]
    centre = (torch.where(present[..., None], mean, 0.0) * share).sum(1, keepdim=True)
    width = (torch.where(present[..., None], log_var, 0.0) * share).sum(1, keepdim=True)
    return Mixture(centre, width, present.any(1, keepdim=True))


FUSIONS: Final[Mapping[str, Fusion]] = {"corrected": mixture_of_products, "released": released_script}
