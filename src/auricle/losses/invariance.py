"""Features in which the age of a person cannot be seen: two objectives of domain adaptation.

They are what a gate by age is compared with: instead of reading a trace in the light of the age, they make the traces
of all ages alike. Sources: Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks" (DANN); Long et al.
2015, "Learning Transferable Features with Deep Adaptation Networks" (MMD by several kernels, after Gretton et al.
2012).
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import mean_over_active

# Widths of the Gaussian kernels, as shares of the mean squared distance.
_KERNELS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
# How fast the adversary gains weight (Ganin et al. 2016, equation 14).
_STEEPNESS: Final = 10.0


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient has the other sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(x: Float[Tensor, "b d"], strength: float) -> Float[Tensor, "b d"]:
    """`x` itself; gradients through it are multiplied by -`strength`: what is learned behind it is unlearned before."""
    unchanged: Tensor = _Reversed.apply(x, strength)  # type: ignore[no-untyped-call]
    return unchanged


def adversary_strength(share: float) -> float:
    """From 0 at the beginning to 1 (Ganin et al. 2016, equation 14): at first the adversary knows nothing to unlearn.

    Args:
        share: of the training that is done, 0 to 1.
    """
    return 2 / (1 + math.exp(-_STEEPNESS * share)) - 1


def domain_loss(logits: Float[Tensor, "b k"], domain: Int[Tensor, " b"], known: Bool[Tensor, " b"]) -> Tensor:
    """Scalar cross-entropy of an adversary that tells domains; 0 where no domain is known.

    Args:
        logits: (b, k) of the adversary.
        domain: (b,) number of the domain of each record.
        known: (b,) records that count.
    """
    return mean_over_active(F.cross_entropy(logits, domain, reduction="none"), known)


def mmd(features: Float[Tensor, "b d"], domain: Int[Tensor, " b"], known: Bool[Tensor, " b"]) -> Tensor:
    """Scalar squared maximum mean discrepancy, the mean over all pairs of domains that have two records or more.

    The kernel is a mean of Gaussians whose widths go by the mean squared distance of the batch. 0 where there are no
    two such domains.

    Args:
        features: (b, d).
        domain: (b,) number of the domain of each record.
        known: (b,) records that count.
    """
    with torch.autocast(features.device.type, enabled=False):
        x, of = features[known].float(), domain[known]
        names = [name for name in sorted(set(of.tolist())) if int((of == name).sum()) > 1]
        if len(names) < 2:
            return features.float().sum() * 0.0
        squared = torch.cdist(x, x).square()
        width = squared.detach().sum() / max(1, len(x) * (len(x) - 1))
        kernel = torch.stack([torch.exp(-squared / (share * width).clamp_min(1e-12)) for share in _KERNELS]).mean(0)
        within = {name: kernel[of == name][:, of == name].mean() for name in names}
        pairs = [
            within[one] + within[other] - 2 * kernel[of == one][:, of == other].mean()
            for place, one in enumerate(names)
            for other in names[place + 1 :]
        ]
        return torch.stack(pairs).mean()
