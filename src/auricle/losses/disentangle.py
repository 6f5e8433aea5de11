"""Keeping two parts of a representation apart: no feature of one should be correlated with a feature of the other.

Source: CG-DMER (arXiv 2602.21154), `||Z_sh^T Z_sp||_F^2` on standardised batches.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from auricle.processes import gather, gather_without_gradient

_EPSILON = 1e-4


def decorrelation(
    shared: Float[Tensor, "b d"], specific: Float[Tensor, "b e"], active: Bool[Tensor, " b"] | None = None
) -> Float[Tensor, ""]:
    """`||Z_sh^T Z_sp / N||_F^2 / d`: squared correlations of every pair of features, summed, by the shared width.

    Two equal parts of independent features give 1, parts of chance about e / N. Mean, spread and correlation are those
    of the rows of all processes, and every process returns the same number; averaged over processes, its gradient is
    that of one process with all rows.

    Args:
        shared, specific: (b, d) and (b, e), the two parts of this process's records.
        active: (b,) rows that count, by default all. The loss is 0 where fewer than two rows count.
    """
    active = torch.ones(len(shared), dtype=torch.bool, device=shared.device) if active is None else active
    counts = gather_without_gradient(active)
    all_shared, all_specific = (_standardised(gather(part), counts) for part in (shared, specific))
    correlation = all_shared.T @ all_specific / counts.sum().clamp_min(1)  # (d, e)
    return correlation.square().sum() / shared.shape[1]


def _standardised(rows: Float[Tensor, "b d"], active: Bool[Tensor, " b"]) -> Float[Tensor, "b d"]:
    """Each feature with mean 0 and variance 1 over the active rows; 0 in the others."""
    n = active.sum().clamp_min(1)
    mean = torch.where(active[:, None], rows, 0.0).sum(0) / n
    centred = torch.where(active[:, None], rows - mean, 0.0)
    return centred * (centred.square().sum(0) / n + _EPSILON).rsqrt()
