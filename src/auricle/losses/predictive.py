"""Predicting what comes: steps ahead are told from other steps of the record, or from those of other records.

Source: van den Oord et al. 2018, "Representation learning with contrastive predictive coding" (CPC).
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.losses.contrastive import weighted_info_nce
from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world

# The score of what does not count: with infinity in its place, a row of nothing else would have no gradient.
_NEVER: Final = -1e30


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
    drawn, known, others = _drawn(local, mask, n_negatives)

    # Step by step, so that nothing as large as all predictions is made twice, forth or back.
    surprise, hits, told = [], [], []
    for k, said in enumerate(predicted.unbind(1)):
        wide = max(0, n - k - 1)
        own = F.pad((said[:, :wide] * local[:, n - wide :]).sum(-1), (0, n - wide))
        # Of the others those that are the aim itself do not count.
        counts = known[:, None] & (drawn[:, None] != inside[k, :, None])
        scores = (said @ others.transpose(1, 2)).masked_fill(~counts, _NEVER)
        surprise.append(torch.logaddexp(own, scores.logsumexp(-1)) - own)
        hits.append((own > scores.amax(-1)).float())
        told.append(counts.any(-1))
    there = there & torch.stack(told, 1)
    share = mean_over_active(torch.stack(hits, 1), there)
    return mean_over_active(torch.stack(surprise, 1), there), share.detach(), there.flatten(1).any(1)


def hidden_info_nce(
    said: Float[Tensor, "b n d"],
    true: Float[Tensor, "b n d"],
    hidden: Bool[Tensor, "b n"],
    n_negatives: int,
    scale: float | Tensor,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What is said of a hidden place, told from what is true of other hidden places of the record.

    Source: Baevski et al. 2020 (wav2vec 2.0), equation 3. The sum runs over the place itself and random others, drawn
    once for all places of the record; others of which the same is true do not count.

    Args:
        said: unit vectors, what the context says.
        true: unit vectors, what a codebook says of the place as it was.
        hidden: places that were hidden.
        n_negatives: how many others are drawn, at most.
        scale: one over the temperature.

    Returns:
        The mean over all hidden places of all processes that have an other, and the share of them that is told apart.
    """
    own = scale * (said * true).sum(-1)
    drawn, known, others = _drawn(true, hidden, n_negatives)
    place = torch.arange(said.shape[1], device=said.device)
    scores = scale * torch.einsum("bnd,bmd->bnm", said, others)
    same = (true[:, :, None] == others[:, None]).all(-1)
    counts = known[:, None] & (drawn[:, None] != place[:, None]) & ~same
    scores = scores.masked_fill(~counts, _NEVER)
    there = hidden & counts.any(-1)
    surprise = torch.logaddexp(own, scores.logsumexp(-1)) - own
    hits = mean_over_active((own > scores.amax(-1)).float(), there)
    return mean_over_active(surprise, there), hits.detach()


def _drawn(vectors: Tensor, mask: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random places (b, m) of each record, which of them the mask (b, n) counts, and their vectors (b, m, d)."""
    score = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1.0)
    drawn = score.topk(min(n, mask.shape[1])).indices
    return drawn, mask.gather(1, drawn), vectors.gather(1, drawn[..., None].expand(-1, -1, vectors.shape[-1]))


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
