"""Contrast of anatomical regions: what one region of the heart shows in two views of a record belongs together.

Source: ACL-ECG (Sensors 2026, 26(3), 1080), whose abstract asks for "intra-region consistency" and "inter-region
discriminability"; the equation is ours, NT-Xent with regions for records.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from auricle.losses.contrastive import weighted_info_nce
from auricle.processes import gather, gather_without_gradient, mean_over_active, world

Repels = Literal["everything", "other_records", "same_region"]


def region_nt_xent(
    vectors: Float[Tensor, "b 2 g d"],
    present: Bool[Tensor, "b 2 g"],
    scale: float | Tensor,
    repels: Repels = "everything",
) -> Float[Tensor, ""]:
    """-log(e^{s(ivr, iwr)/t} / (e^{s(ivr, iwr)/t} + sum of e^{s(ivr, n)/t} over n)), w being the other view than v.

    The sum runs over regions of both views of records, of all processes. An absent region is in no sum, and a region
    that is absent from either view has no row. Leads are linear mixtures of one dipole, so whether different regions
    should repel, of one beat or at all, is open.

    Args:
        vectors: (b, 2, g, d) unit vectors of record, view and region; not read where `present` is false.
        present: (b, 2, g) regions that a view has.
        scale: one over the temperature t.
        repels: what is in the sum: `everything`; `other_records`, all regions of them; `same_region`, of other records.

    Returns:
        Scalar mean over all rows; 0 where there is none.
    """
    # Rows are the (record, view, region) of this process, columns those of all processes.
    n, _, n_regions, width = vectors.shape
    own = torch.where(present[..., None], vectors, 0.0)
    columns = gather(own).reshape(-1, width)
    column_present = gather_without_gradient(present).flatten()
    # Of every column: its number, record and region; of every row: its column, and that of the other view.
    position = torch.arange(len(columns), device=vectors.device).view(-1, 2, n_regions)
    record = torch.arange(len(position), device=vectors.device)[:, None, None].expand_as(position).flatten()
    mine = slice(world()[0] * n, world()[0] * n + n)
    row = position[mine].flatten()
    partner = position[mine].flip(1).flatten()
    region = torch.arange(n_regions, device=vectors.device).expand_as(position).flatten()
    # (r, c) which columns repel a row.
    other_record = record[row][:, None] != record
    in_sum = {
        "everything": row[:, None] != torch.arange(len(columns), device=vectors.device),
        "other_records": other_record,
        "same_region": other_record & (region[row][:, None] == region),
    }[repels]
    logits = scale * own.reshape(-1, width) @ columns.T
    losses, active = weighted_info_nce(logits, partner, (in_sum & column_present).to(logits.dtype))
    return mean_over_active(losses, active & present.all(1, keepdim=True).expand_as(present).flatten())
