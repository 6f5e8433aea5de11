"""Contrast with weighted negatives: InfoNCE, its multi-positive form, NT-Xent of two views, and the pairwise sigmoid.

The weighted forms take a similarity matrix of local rows against everybody's columns, the column of each row's partner,
and the weight a_ij of every pair as a negative; they return one value per row and which rows counted.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import gather, gather_without_gradient, mean_over_active, positive_columns, world


def info_nce(
    one: Float[Tensor, "b d"], other: Float[Tensor, "b d"], scale: Tensor, paired: Bool[Tensor, " b"] | None = None
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of two views (van den Oord et al. 2018; CLIP): rows of this process, everybody's columns.

    Args:
        one, other: unit vectors; row i of one belongs to row i of the other.
        scale: one over the temperature.
        paired: rows that have a partner; the others neither count nor repel. By default all.
    """
    paired = torch.ones(len(one), dtype=torch.bool, device=one.device) if paired is None else paired
    positive = positive_columns(len(one), world()[0], one.device)
    weight = gather_without_gradient(paired).float().expand(len(one), -1)
    directions = []
    for rows, columns in ((one, other), (other, one)):
        losses, active = weighted_info_nce(scale * rows @ gather(columns).T, positive, weight)
        directions.append(mean_over_active(losses, active & paired))
    return (directions[0] + directions[1]) / 2


def one_way_info_nce(
    one: Float[Tensor, "b d"], other: Float[Tensor, "b d"], scale: float | Tensor
) -> Float[Tensor, ""]:
    """InfoNCE of queries against keys, one direction (He et al. 2020, equation 1; Chen, Xie and He 2021, MoCo v3).

    Args:
        one: unit vectors, the queries of this process.
        other: unit vectors, the keys; row i belongs to row i of the queries. Those of all processes are compared.
        scale: one over the temperature.
    """
    columns = gather(other)
    positive = positive_columns(len(one), world()[0], one.device)
    losses, active = weighted_info_nce(scale * one @ columns.T, positive, torch.ones(len(one), len(columns)).to(one))
    return mean_over_active(losses, active)


def same_person_info_nce(
    one: Float[Tensor, "b d"],
    other: Float[Tensor, "b d"],
    person: Int[Tensor, " b"],
    paired: Bool[Tensor, " b"],
    scale: float | Tensor,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE in which all pairs of one person are positives (Kiyasseh et al. 2021, CLOCS, equations 1, 2).

    Of each row the mean over its positives of -log softmax, over the columns of all processes.

    Args:
        one, other: unit vectors; row i of both is of one recording.
        person: equal for equal people.
        paired: rows of which both vectors exist; the others neither count nor repel.
        scale: one over the temperature.
    """
    people, there = gather_without_gradient(person), gather_without_gradient(paired)
    positive = (person[:, None] == people[None]) & there[None]
    directions = []
    for rows, columns in ((one, other), (other, one)):
        logits = (scale * rows @ gather(columns).T).masked_fill(~there[None], -torch.inf)
        surprise = logits.logsumexp(1, keepdim=True) - logits
        own = torch.where(positive, surprise, 0.0).sum(1) / positive.sum(1).clamp_min(1)
        directions.append(mean_over_active(own, paired))
    return (directions[0] + directions[1]) / 2


def nt_xent(
    one: Float[Tensor, "b d"],
    other: Float[Tensor, "b d"],
    scale: float | Tensor,
    paired: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Normalised temperature-scaled cross-entropy of two views (Chen et al. 2020, SimCLR, equation 1).

    Each of the 2N views of all processes is drawn to the other view of its record and pushed from the 2N - 2 views of
    other records; unlike `info_nce`, a view is also pushed from views of its own kind. Zero for a single record.

    Args:
        one, other: unit vectors; row i of one and row i of the other are views of one record.
        scale: one over the temperature.
        paired: rows of which both views exist; the others neither count nor repel. By default all.
    """
    n = len(one)
    paired = torch.ones(n, dtype=torch.bool, device=one.device) if paired is None else paired
    counts = torch.cat([paired, paired])
    rows = torch.cat([one, other])
    columns = gather(rows)
    own = positive_columns(2 * n, world()[0], rows.device)
    positive = own.roll(n)  # of a process's 2n columns, the other view stands n places on
    weight = gather_without_gradient(counts).float().repeat(2 * n, 1).scatter_(1, own[:, None], 0.0)
    losses, active = weighted_info_nce(scale * rows @ columns.T, positive, weight)
    return mean_over_active(losses, active & counts)


def weighted_info_nce(
    logits: Float[Tensor, "*k r c"], positive: Int[Tensor, " r"], weight: Float[Tensor, "*k r c"]
) -> tuple[Float[Tensor, "*k r"], Bool[Tensor, "*k r"]]:
    """-log(e^{s_ii/t} / (e^{s_ii/t} + sum_{j != i} a_ij e^{s_ij/t})): DiagSim-weighted loss, LISA proposal 3.3.

    Args:
        logits: (.., r, c) s_ij / t.
        positive: (r,) column of each row's partner, the same in all tables of a stack.
        weight: (.., r, c) a_ij; the entry of the partner is not read.

    Returns:
        (.., r) loss of each row, and (.., r) whether it has a negative of positive weight: without one the loss is 0.
    """
    own = F.one_hot(positive, logits.shape[-1]).bool()
    negatives = (weight > 0) & ~own
    log_weight = torch.where(negatives, weight, 1.0).log().masked_fill(~(negatives | own), -torch.inf)
    partner = logits.gather(-1, positive.expand(logits.shape[:-1])[..., None])[..., 0]
    return torch.logsumexp(logits + log_weight, dim=-1) - partner, negatives.any(-1)


def soft_target_info_nce(
    logits: Float[Tensor, "r c"], positive: Int[Tensor, " r"], weight: Float[Tensor, "r c"], there: Bool[Tensor, " c"]
) -> tuple[Float[Tensor, " r"], Bool[Tensor, " r"]]:
    """Cross-entropy against 1 for the partner and 1 - a_ij for the others, normalised: similar reports attract.

    Source: FG-CLEP (arXiv 2505.11939), with the weights a_ij of DiagSim.

    Args:
        logits: (r, c) s_ij / t.
        positive: (r,) column of each row's partner.
        weight: (r, c) a_ij; the entry of the partner is not read.
        there: (c,) columns that have a report; the others neither attract nor repel.

    Returns:
        (r,) loss of each row, and (r,) whether it has a column with a_ij > 0 beside its partner.
    """
    own = F.one_hot(positive, logits.shape[1]).bool()
    counts = own | there
    target = torch.where(own, 1.0, 1 - weight).masked_fill(~counts, 0.0)
    target = target / target.sum(1, keepdim=True)
    said = logits.masked_fill(~counts, -torch.inf).log_softmax(1).masked_fill(~counts, 0.0)
    return -(target * said).sum(1), (weight.masked_fill(own | ~there, 0.0) > 0).any(1)


def weighted_siglip(
    logits: Float[Tensor, "r c"], positive: Int[Tensor, " r"], weight: Float[Tensor, "r c"], bias: Tensor
) -> tuple[Float[Tensor, " r"], Bool[Tensor, " r"]]:
    """Pairwise sigmoid (Zhai et al. 2023, equation 1), each negative pair weighted by a_ij (CLEF, arXiv 2512.02180).

    Args:
        logits: (r, c) s_ij / t, without the bias.
        positive: (r,) column of each row's partner.
        weight: (r, c) a_ij; the entry of the partner is not read.
        bias: scalar that is added to every logit.

    Returns:
        (r,) loss of each row, and (r,) true: every row counts.
    """
    own = F.one_hot(positive, logits.shape[1]).bool()
    shifted = logits + bias
    loss = torch.where(own, F.softplus(-shifted), weight * F.softplus(shifted)).sum(1)
    return loss, torch.ones_like(loss, dtype=torch.bool)


def several_positives(logits: Float[Tensor, "r c"], positive: Bool[Tensor, "r c"]) -> Float[Tensor, " r"]:
    """(r,) mean over the positives of a row of -log softmax (Dong et al. 2023, SimMTM, the constraint of section 3.2).

    Args:
        logits: (r, c) s_ij / t, -infinity at the row itself, which is neither positive nor negative.
        positive: (r, c) columns of the same record; each row has one beside itself.
    """
    counted = positive & torch.isfinite(logits)
    surprise = logits.logsumexp(1, keepdim=True) - logits
    return torch.where(counted, surprise, 0.0).sum(1) / counted.sum(1)
