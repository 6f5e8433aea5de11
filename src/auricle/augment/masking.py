"""Masks that hide what was recorded, so that it can be drawn: whole leads, columns of time, and stretches of either.

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


def spans(present: Bool[Tensor, "b n"], share: float, length: int) -> Bool[Tensor, "b n"]:
    """(b, n) random stretches of `length` places, about a `share` of what is present, never all of it.

    Stretches begin anywhere and may lie over each other, so that some are longer. Source: Baevski et al. 2020 (wav2vec
    2.0), section 4.2, where a place begins a stretch with a fixed probability; here as many are drawn as the share
    needs.

    Args:
        present: places that may be hidden.
        share: of them, below 1.
        length: places of a stretch.
    """
    n = present.sum(1, keepdim=True)
    wanted = (n * share).floor()
    # The stretches in a random order; those that are needed for the share are taken, the last one as far as it is.
    begins = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0).argsort(1, descending=True)
    place = torch.arange(present.shape[1], device=present.device)
    # When each place is covered first: the number of the earliest stretch that reaches it, (b, n).
    number = torch.empty_like(begins).scatter_(1, begins, place.expand_as(begins))
    reach = torch.nn.functional.pad(number, (length - 1, 0), value=present.shape[1])
    covered = reach.unfold(1, length, 1).amin(-1).masked_fill(~present, present.shape[1])
    order = (covered * present.shape[1] + place).argsort(1).argsort(1)
    return present & (order < wanted)


def geometric(present: Bool[Tensor, "b n"], share: float, mean_length: float) -> Bool[Tensor, "b n"]:
    """(b, n) stretches of random length, geometric with the mean given, that hide about a `share` of what is present.

    Source: Zerveas et al. 2021, section 3.2, and SimMTM: at each place it is decided whether the state goes on, so that
    stretches that are hidden have the mean length L and those that are shown L (1 - r) / r. One place stays shown.

    Args:
        present: places that may be hidden.
        share: r of them, above 0 and below 1.
        mean_length: L, at least 1.

    Raises:
        ValueError: stretches that are shown would be shorter than one place.
    """
    if share / (1 - share) > mean_length:
        raise ValueError(f"a share of {share:g} needs hidden stretches of more than {mean_length:g} places on average")
    ends = 1 / max(1.0, mean_length)
    begins = min(1.0, ends * share / (1 - share))
    draw = torch.rand(present.shape, device=present.device)
    state = torch.rand(len(present), device=present.device) < share
    states = []
    for column in draw.unbind(1):
        states.append(state)
        state = torch.where(state, column >= ends, column < begins)
    hidden = present & torch.stack(states, dim=1)
    # A record that would be hidden whole shows a random place of it.
    spared = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0).argmax(1)
    whole = (hidden == present).all(1)
    hidden[torch.arange(len(hidden), device=hidden.device), spared] &= ~whole
    return hidden


def chosen(present: Bool[Tensor, "b k"], share: float) -> Bool[Tensor, "b k"]:
    """(b, k) a random `share` (below 1) of what is present in each row, rounded down, so that something stays."""
    place = torch.rand(present.shape, device=present.device).masked_fill(~present, 2.0).argsort(dim=1).argsort(dim=1)
    return place < (present.sum(1, keepdim=True) * share).floor()
