"""Contrast of anatomical regions: what one region of the heart shows in two views of a record belongs together.

Source: ACL-ECG (Sensors 2026, 26(3), 1080), whose abstract asks for "intra-region consistency" and "inter-region
discriminability"; the equation is ours, NT-Xent with regions for records.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from auricle.losses.contrastive import weighted_info_nce
from auricle.losses.gather import gather, gather_flags, mean_over_active, world


def region_nt_xent(
    vectors: Float[Tensor, "b 2 g d"],
    present: Bool[Tensor, "b 2 g"],
    scale: float | Tensor,
    repel_within_record: bool = True,
) -> Float[Tensor, ""]:
    """-log(e^{s(ivr, iwr)/t} / (e^{s(ivr, iwr)/t} + sum of e^{s(ivr, n)/t} over n)), w being the other view than v.

    The sum runs over all regions of both views of the other records, of all processes, and, if `repel_within_record`,
    over the other regions of the same record. An absent region is in no sum, and a region that is absent from either
    view has no row. Leads are linear mixtures of one dipole, so whether regions of one beat should repel is open.

    Args:
        vectors: unit vectors of record, view, region; what lies under a false `present` is not read.
        present: regions that a view has.
        scale: one over the temperature t.
        repel_within_record: whether other regions of the same record repel.

    Returns:
        The mean over all rows; 0 where there is none.
    """
    n, _, n_regions, width = vectors.shape
    own = torch.where(present[..., None], vectors, 0.0)
    columns = gather(own).reshape(-1, width)
    column_present = gather_flags(present).flatten()
    position = torch.arange(len(columns), device=vectors.device).view(-1, 2, n_regions)
    record = torch.arange(len(position), device=vectors.device)[:, None, None].expand_as(position).flatten()
    mine = slice(world()[0] * n, world()[0] * n + n)
    row = position[mine].flatten()
    partner = position[mine].flip(1).flatten()
    repels = torch.ones(len(row), len(columns), dtype=torch.bool, device=vectors.device)
    if not repel_within_record:
        repels = record[row][:, None] != record
    repels = repels & column_present & (row[:, None] != torch.arange(len(columns), device=vectors.device))
    logits = scale * own.reshape(-1, width) @ columns.T
    losses, active = weighted_info_nce(logits, partner, repels.to(logits.dtype))
    return mean_over_active(losses, active & present.all(1, keepdim=True).expand_as(present).flatten())
