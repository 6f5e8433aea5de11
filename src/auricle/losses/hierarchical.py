"""Contrast of two views moment by moment, in ever coarser time: records against records, moments against moments.

Source: Yue et al. 2022 (TS2Vec), for the two contrasts and the hierarchy; Liu and Chen 2024 (TimesURL), for the
mixtures that are told apart from both ("double universums").
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.losses.contrastive import weighted_info_nce
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world


def hierarchical_contrast(
    one: Float[Tensor, "b n d"],
    other: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    scale: float,
    own_share: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Contrast of records and of moments, each the mean over all levels of a pyramid that halves time by its maximum.

    Args:
        one, other: features of two views; moment t of one and moment t of the other are the same moment of a record.
        mask: (b, n) moments that both views show.
        scale: one over the temperature of cosines.
        own_share: of a vector in the mixture of it and another, which is one more negative.

    Returns:
        The contrast of records and that of moments (TS2Vec, equations 1 and 2, with the mixtures of TimesURL,
        equations 5 and 6).
    """
    records, moments = [], []
    while True:
        unit = torch.stack([F.normalize(view, dim=-1) for view in (one, other)])
        records.append(_records_apart(unit, mask, scale, own_share))
        if one.shape[1] == 1:
            break
        moments.append(_moments_apart(unit, mask, scale, own_share))
        one, other = (_halved(view, mask) for view in (one, other))
        mask = F.max_pool1d(mask[:, None].float(), 2, ceil_mode=True)[:, 0] > 0
    nothing = records[0] * 0
    return torch.stack(records).mean(), torch.stack(moments).mean() if moments else nothing


def _halved(x: Tensor, mask: Tensor) -> Tensor:
    """(b, n, d) to half of n, the larger of two neighbours that count; 0 where neither does."""
    shown = x.masked_fill(~mask[..., None], -torch.inf).transpose(1, 2)
    most = F.max_pool1d(shown, 2, ceil_mode=True).transpose(1, 2)
    return torch.where(most.isfinite(), most, 0.0)


def _mixed(unit: Tensor, mask: Tensor, axis: int, own_share: float) -> tuple[Tensor, Tensor]:
    """Mixtures of vectors (view, b, n, d) with others along an axis of (b, n), and which of them there are (b, n)."""
    n = mask.shape[axis]
    if n < 2:
        return unit, torch.zeros_like(mask)
    turn = int(torch.randint(1, n, ()))
    mixture = own_share * unit + (1 - own_share) * unit.roll(turn, dims=axis + 1)
    return F.normalize(mixture, dim=-1), mask & mask.roll(turn, dims=axis)


def _records_apart(unit: Tensor, mask: Tensor, scale: float, own_share: float) -> Tensor:
    """Scalar: at each moment the views of a record, told from those of all records of all processes."""
    mixture, mixed = _mixed(unit, mask, 0, own_share)
    n = len(mask)
    rows = torch.cat([*unit])  # (2b, n, d)
    columns = torch.cat([gather(rows), gather(torch.cat([*mixture]))])
    there = torch.cat([gather_without_gradient(each.repeat(2, 1)) for each in (mask, mixed)])
    own = positive_columns(2 * n, world()[0], mask.device)
    logits = scale * torch.einsum("rnd,cnd->nrc", rows, columns)
    weight = there.T[:, None].float().repeat(1, 2 * n, 1)
    weight.scatter_(2, own[None, :, None].expand(len(weight), -1, 1), 0.0)
    losses, active = weighted_info_nce(logits, own.roll(n), weight)
    return mean_over_active(losses, active & mask.repeat(2, 1).T)


def _moments_apart(unit: Tensor, mask: Tensor, scale: float, own_share: float) -> Tensor:
    """Scalar: within each record the views of a moment, told from those of its other moments."""
    mixture, mixed = _mixed(unit, mask, 1, own_share)
    n = mask.shape[1]
    rows = torch.cat([*unit], dim=1)  # (b, 2n, d)
    columns = torch.cat([rows, *mixture], dim=1)
    there = torch.cat([mask, mask, mixed, mixed], dim=1)
    own = torch.arange(2 * n, device=mask.device)
    logits = scale * rows @ columns.transpose(1, 2)
    weight = there[:, None].float().repeat(1, 2 * n, 1)
    weight.scatter_(2, own[None, :, None].expand(len(weight), -1, 1), 0.0)
    losses, active = weighted_info_nce(logits, own.roll(n), weight)
    return mean_over_active(losses, active & mask.repeat(1, 2))
