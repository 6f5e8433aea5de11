"""Experts over one latent: a product of Gaussians inside a group, a uniform mixture over the groups, and their KL.

Source: LS-EMVAE (arXiv 2503.13470), which fuses the leads of an ECG by products inside four groups of three and a
mixture over the groups. Each product has the prior N(0, I) as one more expert, once; what is absent is left out. The
script released with the paper computes something else. Both are here as fusions with one signature, found by name.
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
        """(b, g, d) one sample of every component, instead of drawing which component is sampled.

        Args:
            noise: standard normal values that are scaled and shifted into samples; by default new ones.
        """
        noise = torch.randn_like(self.mean) if noise is None else noise
        return self.mean + noise * (0.5 * self.log_var).exp()

    def over_present(self, values: Float[Tensor, "b g"]) -> Float[Tensor, " b"]:
        """(b,) mean of (b, g) `values` over the present components of each record; 0 where there are none."""
        return torch.where(self.present, values, 0.0).sum(1) / self.present.sum(1).clamp_min(1)

    def centre(self) -> Float[Tensor, "b d"]:
        """(b, d) mean of the mixture; 0, the prior's mean, where no component is present."""
        total = torch.where(self.present[..., None], self.mean, 0.0).sum(1)
        return total / self.present.sum(1, keepdim=True).clamp_min(1)

    def log_density(self, z: Float[Tensor, "b s d"]) -> Float[Tensor, "b s"]:
        """(b, s) log density of the mixture at the points `z`; minus infinity where no component is present."""
        each = _log_normal(z[:, :, None], self.mean[:, None], self.log_var[:, None])  # (b, s, g)
        each = each.masked_fill(~self.present[:, None], -torch.inf)
        return each.logsumexp(-1) - self.present.sum(1, keepdim=True).clamp_min(1).log()


def product(
    mean: Float[Tensor, "b l d"], log_var: Float[Tensor, "b l d"], present: Bool[Tensor, "b l"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
    """(b, d) mean and log-variance of the product of the present experts and of N(0, I), weighted by precision.

    Args:
        mean, log_var: (b, l, d) one Gaussian expert per lead.
        present: (b, l) experts that take part; the others are not read.
    """
    precision = torch.where(present[..., None], (-log_var).exp(), 0.0)
    total = 1 + precision.sum(1)
    centre = (precision * torch.where(present[..., None], mean, 0.0)).sum(1) / total
    return centre, -total.log()


def kl_to_prior(mean: Float[Tensor, "*b d"], log_var: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """KL(N(mean, var) || N(0, I)) in nats, summed over the latent."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)


def kl_bound(mixture: Mixture) -> Float[Tensor, " b"]:
    """(b,) mean of the components' KL in nats: an upper bound on the mixture's own KL, because KL is convex."""
    return mixture.over_present(kl_to_prior(mixture.mean, mixture.log_var))


def kl_monte_carlo(mixture: Mixture) -> Float[Tensor, " b"]:
    """(b,) KL of the mixture itself in nats, estimated from one sample of every component."""
    samples = mixture.sample()  # (b, g, d)
    standard = torch.zeros_like(samples)
    any_present = mixture.present.any(1)
    # Without any component there is no density; the record is left out below.
    whole = Mixture(mixture.mean, mixture.log_var, mixture.present | ~any_present[:, None])
    ratio = whole.log_density(samples) - _log_normal(samples, standard, standard)
    return torch.where(any_present, mixture.over_present(ratio), 0.0)


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
        charged: the distribution whose KL to the prior enters the loss. A variational bound asks for the same
            distribution as `sampled`; the released script uses another.
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
    """Products with the prior inside each group, and a uniform mixture over the groups that are present.

    Args:
        mean, log_var: (b, l, d) one Gaussian expert per lead.
        present: (b, l) leads that take part; a group is present if any of its leads is.
        groups: rows of the lead axis in each group.
    """
    log_var = log_var.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
    # Leads become groups: (b, l, d) to (b, g, d).
    parts = [product(mean[:, rows], log_var[:, rows], present[:, rows]) for rows in map(list, groups)]
    group_present = torch.stack([present[:, list(rows)].any(1) for rows in groups], dim=1)
    mixture = Mixture(
        torch.stack([part[0] for part in parts], 1), torch.stack([part[1] for part in parts], 1), group_present
    )
    return Posterior(sampled=mixture, charged=mixture)


def released_script(
    mean: Float[Tensor, "b l d"],
    log_var: Float[Tensor, "b l d"],
    present: Bool[Tensor, "b l"],
    groups: Sequence[Sequence[int]],
) -> Posterior:
    """What the released script computes, for comparison only.

    The prior stands behind the leads as a thirteenth expert, and thirteen experts cut into four runs of three leave it
    over: no product has a prior. The mixture is one Gaussian of averaged means and averaged log-variances; KL is
    computed for another Gaussian, the plain mean of the encoders. The script knows complete records only; an absent
    lead is left out of every sum here.

    Args:
        mean, log_var: (b, l, d) one Gaussian expert per lead.
        present: (b, l) leads that take part.
        groups: not read; a run is a quarter of the lead axis.
    """
    del groups
    log_var = log_var.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
    # How the script cuts its experts: the leads, and the prior behind them.
    n_experts = mean.shape[1] + 1
    n_runs = min(4, n_experts)
    size = n_experts // n_runs
    # The product of the experts of each run, (b, d) each.
    centres, widths, run_present = [], [], []
    for run in range(n_runs):
        # The last run ends before the prior wherever size x runs does; with a remainder of 0 it would reach it.
        rows = slice(run * size, min((run + 1) * size, mean.shape[1]))
        inside = present[:, rows, None]
        precision = torch.where(inside, (-log_var[:, rows]).exp(), 0.0)
        total = precision.sum(1)
        any_lead = inside.any(1)
        safe = torch.where(any_lead, total, 1.0)
        centres.append((precision * torch.where(inside, mean[:, rows], 0.0)).sum(1) / safe)
        widths.append(-safe.log())
        run_present.append(any_lead[:, 0])
    # One Gaussian over the runs is sampled, another one over the leads enters the KL.
    runs = Mixture(torch.stack(centres, 1), torch.stack(widths, 1), torch.stack(run_present, 1))
    sampled = _one_gaussian(runs.mean, runs.log_var, runs.present)
    return Posterior(sampled=sampled, charged=_one_gaussian(mean, log_var, present))


def _one_gaussian(mean: Tensor, log_var: Tensor, present: Tensor) -> Mixture:
    """One component (b, 1, d): plain means, over the present experts, of their means and of their log-variances."""
    share = (present / present.sum(1, keepdim=True).clamp_min(1))[..., None]
    centre = (torch.where(present[..., None], mean, 0.0) * share).sum(1, keepdim=True)
    width = (torch.where(present[..., None], log_var, 0.0) * share).sum(1, keepdim=True)
    return Mixture(centre, width, present.any(1, keepdim=True))


FUSIONS: Final[Mapping[str, Fusion]] = {"corrected": mixture_of_products, "released": released_script}
