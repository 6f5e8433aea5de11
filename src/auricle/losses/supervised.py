"""Supervision by labels, some of which may be unknown, and of which some are rare."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.processes import mean_over_active

# Without a limit, the few records of a rare class would outweigh all others.
_LARGEST_WEIGHT = 20.0


def masked_bce(
    logits: Float[Tensor, "b c"], target: Float[Tensor, "b c"], weight: Float[Tensor, "two c"] | None = None
) -> Tensor:
    """Scalar binary cross-entropy over the annotated entries; 0 if none is annotated.

    The mean runs over the entries of all processes, so that the result does not depend on how a batch is divided.

    Args:
        logits: (b, c) one per class, each class a question of its own.
        target: (b, c) 0, 1, or NaN where not annotated.
        weight: (2, c) of negatives and of positives, see `balancing_weights`; by default all weigh 1.
    """
    known = ~torch.isnan(target)
    truth = torch.where(known, target, 0.0)
    losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if weight is not None:
        losses = losses * torch.where(truth > 0, weight[1], weight[0])
    return mean_over_active(losses, known)


def masked_cross_entropy(
    logits: Float[Tensor, "b c"], target: Float[Tensor, "b c"], weight: Float[Tensor, "two c"] | None = None
) -> Tensor:
    """Scalar softmax cross-entropy of classes that exclude each other; 0 if no record counts.

    Args:
        logits: (b, c)
        target: (b, c) 0, 1, or NaN where not annotated; a record counts if all its classes are annotated and one is 1.
        weight: (2, c) of negatives (not used) and of positives, see `balancing_weights`; by default all weigh 1.
    """
    counts = one_class(target)
    weights = torch.ones_like(logits) if weight is None else weight[1].expand_as(logits)
    truth = torch.where(counts[:, None], target, 0.0)
    losses = -(weights * truth * logits.log_softmax(-1)).sum(-1)
    return mean_over_active(losses, counts)


def one_class(target: Float[Tensor, "b c"]) -> Bool[Tensor, " b"]:
    """(b,) which records of a (b, c) target (0, 1 or NaN) are annotated with one class and no other."""
    return (target.nan_to_num(nan=2.0).sum(-1) == 1) & ~torch.isnan(target).any(-1)


def balancing_weights(
    target: Float[Tensor, "n c"], exclusive: bool, times: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "two c"]:
    """(2, c) weights of negatives (row 0) and positives (row 1) under which every class counts the same.

    Args:
        target: (n, c) of all training records, NaN where not annotated.
        exclusive: classes exclude each other: n / (c n_c) for the positives; otherwise each class is a question with
            two answers, n / (2 n_answer). A class without a record keeps weight 1; none is above 20.
        times: how often training meets each record, beside the others; by default all alike.
    """
    times = torch.ones(len(target), device=target.device) if times is None else times
    positive, known = times @ (target == 1).float(), times @ (~torch.isnan(target)).float()
    if exclusive:
        is_one = one_class(target)
        of_one = times[is_one] @ (target[is_one] == 1).float()
        counts, share = torch.stack([of_one, of_one]), of_one.sum() / max(1, target.shape[1])
    else:
        counts, share = torch.stack([known - positive, positive]), known / 2
    return torch.where(counts > 0, share / torch.where(counts > 0, counts, 1.0), 1.0).clamp_max(_LARGEST_WEIGHT)
