"""rocket: random convolutions that are not trained, and a linear classifier on their outputs.

Source: Dempster, Petitjean and Webb, "ROCKET", 2020, with the biases of "MiniRocket" (2021): quantiles of the kernel's
own output on a few training records, so that no scale has to be known. Each kernel gives two features: its maximum, and
the share of time it is above its bias. It is a reference row for pre-trained encoders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from auricle.batch import ECGBatch
from auricle.signal.preprocess import InputSpec, Preprocess

N_KERNELS: Final = 2000
_LENGTHS: Final = (7, 9, 11)
# Kernels are made in groups of one length, dilation and set of leads: a group is one call of a convolution.
_PER_GROUP: Final = 20


@dataclass(frozen=True, slots=True)
class _Group:
    """Kernels (kernel, lead of the group, tap) of one dilation, the leads they read, and their biases."""

    weight: Tensor
    leads: Tensor
    dilation: int
    bias: Tensor


class Rocket:
    """Random kernels for one input.

    Args:
        spec: what is read; preprocessing is that of the method the row stands beside.
        examples: a few training records, from which the biases are taken.
        n_kernels: number of kernels; two features each.
        seed: of kernels and biases.
    """

    def __init__(self, spec: InputSpec, examples: ECGBatch, n_kernels: int = N_KERNELS, seed: int = 0) -> None:
        self._preprocess = Preprocess(spec)
        generator = torch.Generator().manual_seed(seed)
        ready = self._preprocess(examples)
        self._groups = [
            _with_bias(group, ready, generator)
            for group in _draw(spec.n_samples, len(spec.leads), n_kernels, generator)
        ]

    @torch.no_grad()
    def features(self, batch: ECGBatch) -> Float[Tensor, "b feature"]:
        """(b, 2 kernels) the maximum and the share above the bias of every kernel, over recorded time only."""
        ready = self._preprocess(batch)
        parts = []
        for group in self._groups:
            found, valid = _convolve(group, ready)
            above = (found > group.bias.to(found)[:, None]) & valid
            highest = found.masked_fill(~valid, -torch.inf).amax(-1)
            parts += [highest.nan_to_num(neginf=0.0), above.sum(-1) / valid.sum(-1).clamp_min(1)]
        return torch.cat(parts, dim=1)


def _draw(n_samples: int, n_leads: int, n_kernels: int, generator: torch.Generator) -> Iterator[_Group]:
    """Kernels of the paper: normal weights of mean zero, dilations up to the input's length, random sets of leads."""
    for first in range(0, n_kernels, _PER_GROUP):
        n = min(_PER_GROUP, n_kernels - first)
        length = _LENGTHS[int(torch.randint(len(_LENGTHS), (), generator=generator))]
        widest = math.log2(max(1.0, (n_samples - 1) / (length - 1)))
        dilation = int(2 ** (float(torch.rand((), generator=generator)) * widest))
        most = int(2 ** (float(torch.rand((), generator=generator)) * math.log2(n_leads + 1)))
        leads = torch.randperm(n_leads, generator=generator)[: max(1, most)]
        weight = torch.randn(n, len(leads), length, generator=generator)
        yield _Group(weight - weight.mean(-1, keepdim=True), leads, max(1, dilation), torch.zeros(n))


def _with_bias(group: _Group, examples: ECGBatch, generator: torch.Generator) -> _Group:
    """The group with biases at random quantiles of its outputs on the examples."""
    found, valid = _convolve(group, examples)
    share = torch.rand(len(group.weight), generator=generator)
    outputs = found.masked_fill(~valid, torch.nan).movedim(1, 0).flatten(1)
    bias = torch.stack([torch.nanquantile(row, q) for row, q in zip(outputs, share, strict=True)])
    return _Group(group.weight, group.leads, group.dilation, bias.nan_to_num())


def _convolve(group: _Group, batch: ECGBatch) -> tuple[Tensor, Tensor]:
    """(b, kernel, t) outputs, and (b, 1, t) inside the record; beyond its ends the signal is zero."""
    reach = (group.weight.shape[-1] - 1) * group.dilation
    pad = (reach // 2, reach - reach // 2)
    read = batch.signal[:, group.leads.to(batch.signal.device)]
    found = F.conv1d(F.pad(read, pad), group.weight.to(read), dilation=group.dilation)
    return found, batch.time_mask[:, None]
