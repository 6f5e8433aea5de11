"""Masks that hide what was recorded, so that it can be drawn: whole leads, and columns of time in all leads.

To hide is to set entries of a mask to false. Encoders see nothing under a false mask, which their contract tests check,
so masked modelling needs no other mechanism.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.nn.patch import patch_mask


def hide(ready: ECGBatch, patch: int, lead_share: float, time_share: float, records: float = 1.0) -> ECGBatch:
    """A preprocessed batch with leads and columns of time under a false mask.

    Args:
        ready: the batch, (b, l, t).
        patch: samples in a column of time.
        lead_share: share of the present leads of each record that are hidden whole.
        time_share: share of its columns of time that are hidden in all leads.
        records: share of the records, by chance, of which anything is hidden at all.

    Returns:
        The batch under its new masks; of each record at least one lead and one column stay.
    """
    lost = chosen(ready.lead_mask, lead_share)
    hidden = columns(ready.time_mask, patch, time_share)
    if records < 1:
        some = torch.rand(len(ready), 1, device=lost.device) < records
        lost, hidden = lost & some, hidden & some
    return replace(ready, lead_mask=ready.lead_mask & ~lost, time_mask=ready.time_mask & ~hidden)


def columns(time_mask: Bool[Tensor, "b t"], patch: int, share: float) -> Bool[Tensor, "b t"]:
    """(b, t) true in a random `share` of the columns of `patch` samples that hold anything recorded, never in all.

    Args:
        time_mask: true inside the record.
        patch: samples in a column.
        share: of the columns, below 1.
    """
    drawn = chosen(patch_mask(time_mask, patch), share)
    return drawn.repeat_interleave(patch, dim=1)[:, : time_mask.shape[1]]


def chosen(present: Bool[Tensor, "b k"], share: float) -> Bool[Tensor, "b k"]:
    """(b, k) a random `share` (below 1) of what is present in each row, rounded down, so that something stays."""
    place = torch.rand(present.shape, device=present.device).masked_fill(~present, 2.0).argsort(dim=1).argsort(dim=1)
    return place < (present.sum(1, keepdim=True) * share).floor()
