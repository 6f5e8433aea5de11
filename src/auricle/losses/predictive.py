"""Predicting what comes: steps ahead are told from other steps of the record, or from those of other records.

Source: van den Oord et al. 2018, "Representation learning with contrastive predictive coding" (CPC).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from auricle.losses.contrastive import weighted_info_nce
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world


def future_info_nce(
    predicted: Float[Tensor, "b k n d"],
    local: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    n_negatives: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Bool[Tensor, " b"]]:
    """-log exp(z_{t+k}^T p_{t,k}) / sum: each step ahead against other steps of its record (CPC, equation 4).

    The sum runs over the step itself and random others of the record, drawn once for all its predictions.

    Args:
        predicted: p, what position t says of the step k + 1 behind it.
        local: z, what each step says of itself.
        mask: (b, n) steps that were recorded.
        n_negatives: how many other steps are drawn, at most.

    Returns:
        The mean over all predictions of all processes; the share of them that is nearer to its step than to any other;
        and which records (b,) are long enough to predict anything.
    """
    n_ahead, n = predicted.shape[1], local.shape[1]
    place = torch.arange(n, device=local.device)
    aim = place + 1 + torch.arange(n_ahead, device=local.device)[:, None]  # (k, n) step that is predicted
    inside = aim.clamp_max(n - 1)
    there = mask[:, None] & mask[:, inside] & (aim < n)  # (b, k, n)
    own = (predicted * local[:, inside]).sum(-1)

    # The others: (b, m) places, of which those that were not recorded, or are the aim itself, do not count.
    drawn = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1.0).topk(min(n_negatives, n)).indices
    known = mask.gather(1, drawn)
    others = local.gather(1, drawn[..., None].expand(-1, -1, local.shape[-1]))
    scores = torch.einsum("bknd,bmd->bknm", predicted, others)
    counts = known[:, None, None] & (drawn[:, None, None] != inside[None, ..., None])
    scores = scores.masked_fill(~counts, -torch.inf)

    there = there & counts.any(-1)
    surprise = torch.cat([own[..., None], scores], dim=-1).logsumexp(-1) - own
    hits = mean_over_active((own > scores.amax(-1)).float(), there)
    return mean_over_active(surprise, there), hits.detach(), there.flatten(1).any(1)


def across_records_info_nce(
    predicted: Float[Tensor, "b k d"],
    wanted: Float[Tensor, "b k d"],
    there: Bool[Tensor, " b"],
    scale: float | Tensor,
) -> Float[Tensor, ""]:
    """Each of k predictions against what other records hold at the same one (Eldele et al. 2021, TS-TCC, equation 1).

    Args:
        predicted: unit vectors, what a record is predicted to hold at each of k places.
        wanted: unit vectors, what it holds; those of all processes are compared.
        there: (b,) records that have all of it; the others neither count nor repel.
        scale: one over the temperature.
    """
    columns, known = gather(wanted), gather_without_gradient(there)
    positive = positive_columns(len(predicted), world()[0], predicted.device)
    logits = scale * torch.einsum("bkd,ckd->kbc", predicted, columns)
    losses, active = weighted_info_nce(logits, positive, known.to(logits).expand_as(logits))
    return mean_over_active(losses, active & there)
