"""Feature-wise linear modulation: how age, laboratory values or anything else about a patient changes an encoder.

An encoder publishes `modulation_points` and calls `modulate[i](x, condition)` at each; fresh, every modulation is
exactly the identity. Conditions from several sources compose, each under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.nn.age_code import AgeKind, code_width, coded

Condition = Mapping[str, Tensor]

# Width of a gate's hidden layer: the map from one number to a group's gain is smooth and needs no more.
_HIDDEN: Final = 32


@dataclass(frozen=True, slots=True)
class ModulationPoint:
    """A place in an encoder where features may be modulated.

    Attributes:
        name: what it modulates, for figures: `short.block0`, `short.group_gate`, `scale_gain`.
        width: number of channels; 1 where a whole group shares one gain.
        channel_axis: axis of the channels in the tensor at this point.
        groups: number of lead groups (or scales) that get their own gamma and beta; 1 where there are none.
        group_axis: axis of the groups in the tensor at this point; None where there are none.
    """

    name: str
    width: int
    channel_axis: int
    groups: int = 1
    group_axis: int | None = None


class Modulations(nn.Module):
    """All modulations of one point, applied one after the other; without any, the input is returned unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.films = nn.ModuleDict()

    def forward(self, x: Tensor, condition: Condition | None) -> Tensor:
        """`x`, of any shape, modulated by every FiLM whose source `condition` carries; unchanged without any."""
        for film in self.films.values():
            x = film(x, condition)
        return x


class FiLM(nn.Module):
    """`gamma(c) * x + beta(c)`, gamma and beta from a two-layer perceptron (Perez et al. 2018; LISA proposal 3.4).

    One gamma, beta pair per group and channel. The last layer starts at zero, so gamma is exactly 1 and beta 0.

    Args:
        point: the place, and its width and groups.
        source: under which the condition is found.
        condition_width: how many numbers the condition has per record.
        only_shifts: gamma stays 1.
    """

    def __init__(self, point: ModulationPoint, source: str, condition_width: int, *, only_shifts: bool = False) -> None:
        super().__init__()
        self.point, self.source, self.only_shifts = point, source, only_shifts
        last = nn.Linear(_HIDDEN, 2 * point.groups * point.width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.Linear(condition_width, _HIDDEN), nn.SiLU(), last)

    def gamma_beta(self, code: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b g d"], Float[Tensor, "b g d"]]:
        """Scale gamma and shift beta, (b, g, d) each: one of either for each record, group and channel."""
        out = self.net(code).unflatten(-1, (2, self.point.groups, self.point.width))  # (b, 2, g, d)
        return (torch.ones_like(out[:, 0]) if self.only_shifts else 1 + out[:, 0]), out[:, 1]

    def forward(self, x: Tensor, condition: Condition | None) -> Tensor:
        """`x` modulated, in its shape; without a condition of this source, `x` unchanged."""
        if condition is None or self.source not in condition:
            return x
        gamma, beta = self.gamma_beta(condition[self.source].to(x.dtype))
        # Gamma and beta broadcast over every axis of `x` that is not the record's, the groups' or the channels'.
        shape = [1] * x.ndim
        shape[0] = x.shape[0]
        shape[self.point.channel_axis] = self.point.width
        if self.point.group_axis is not None:
            shape[self.point.group_axis] = self.point.groups
        in_order = self.point.group_axis is None or self.point.group_axis < self.point.channel_axis % x.ndim
        if not in_order:
            gamma, beta = gamma.transpose(1, 2), beta.transpose(1, 2)
        return gamma.reshape(shape) * x + beta.reshape(shape)


class Code(nn.Module):
    """Turns what is known of a patient (the age, the laboratory values) into numbers that a FiLM reads.

    A code may have parameters of its own, which are saved with the weights.

    Attributes:
        width: how many numbers it makes of each record.
        reads_age: whether the age of a record changes them.
    """

    width: int
    reads_age: bool = False

    def of(self, batch: ECGBatch) -> Float[Tensor, "b c"]:
        """(b, width) code of each record of a batch; an unknown value has a code of its own."""
        raise NotImplementedError


class AgeCode(Code):
    """Age in days as what the gates read: a code in [0, 1] with optional Fourier features, or a learned "unknown".

    Args:
        kind: `linear`, `log`, `log_month`, `bands` or `constant` (see `auricle.nn.age_code.coded`).
        n_fourier: sine and cosine pairs of the code added to it.
        unknown_share: share of training records whose age is hidden, so that the model also works without one.
    """

    frequencies: Tensor

    def __init__(self, kind: AgeKind = "log_month", n_fourier: int = 0, unknown_share: float = 0.1) -> None:
        super().__init__()
        self.kind, self.unknown_share = kind, unknown_share
        self.reads_age = kind != "constant"
        self.width = code_width(kind) * (1 + 2 * n_fourier)
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(n_fourier), persistent=False)
        self.unknown = nn.Parameter(torch.zeros(self.width))
        nn.init.normal_(self.unknown, std=0.5)

    def forward(self, age_days: Float[Tensor, " b"]) -> Float[Tensor, "b c"]:
        """(b, width) code of ages in days; NaN, and in training a hidden age, gives the learned code of "unknown"."""
        known = ~torch.isnan(age_days)
        if self.training and self.unknown_share > 0:
            known = known & (torch.rand_like(age_days) >= self.unknown_share)
        told = coded(torch.where(known, age_days, 0.0), self.kind)
        waves = (told[..., None] * self.frequencies).flatten(1)
        features = torch.cat([told, waves.sin(), waves.cos()], dim=-1)
        if self.kind == "constant":  # nor is it told whose age is unknown
            return features
        return torch.where(known[:, None], features, self.unknown)

    def of(self, batch: ECGBatch) -> Float[Tensor, "b c"]:
        """(b, width) code of the age of each record of a batch."""
        coded: Tensor = self(batch.age_days)
        return coded


def attach(
    modulate: Sequence[nn.Module],
    points: Sequence[ModulationPoint],
    source: str,
    condition_width: int,
    *,
    only_shifts: bool = False,
) -> None:
    """Put a fresh FiLM of `source` at every point of an encoder, whose output stays what it was.

    Args:
        modulate: the `Modulations` of the encoder, one per point.
        points: the encoder's modulation points, in the same order.
        source: name under which the condition is found.
        condition_width: how many numbers the condition has per record.
        only_shifts: the source may add to features and not scale them.
    """
    for place, point in zip(modulate, points, strict=True):
        assert isinstance(place, Modulations)
        place.films[source] = FiLM(point, source, condition_width, only_shifts=only_shifts)
