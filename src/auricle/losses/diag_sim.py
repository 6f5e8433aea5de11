"""DiagSim: how much a pair of records should repel, from how alike their reports are (LISA proposal, section 3.3).

The proposal lowers the weight a_ij of a negative pair as S_ij, the similarity of the two reports, rises. S may be the
cosine of frozen text embeddings (the proposal's), the weighted Jaccard of parsed findings (ours), or their product.
Reports that are equal, as text or as findings, never repel.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.batch import TextBatch
from auricle.text.findings import similarity as findings_similarity

Similarity = Literal["cosine", "findings", "both"]
Weighting = Literal["ramp", "step", "power", "none"]


def report_similarity(kind: Similarity, rows: TextBatch, columns: TextBatch) -> Float[Tensor, "r c"]:
    """S between the reports of two batches, in [0, 1].

    Raises:
        ValueError: the batch does not carry what this kind needs.
    """
    parts = []
    if kind in ("cosine", "both"):
        if rows.embedding is None or columns.embedding is None:
            raise ValueError("cosine similarity of reports needs text embeddings in the batch")
        cosine = F.normalize(rows.embedding, dim=-1) @ F.normalize(columns.embedding, dim=-1).T
        parts.append(cosine.clamp(0, 1))
    if kind in ("findings", "both"):
        if rows.findings is None or rows.concepts is None or columns.findings is None or columns.concepts is None:
            raise ValueError("similarity of findings needs parsed findings in the batch")
        parts.append(findings_similarity(rows.findings, rows.concepts, columns.findings, columns.concepts))
    return torch.stack(parts).prod(0)


def same_report(rows: TextBatch, columns: TextBatch) -> Bool[Tensor, "r c"]:
    """Whether two records have the same report, as text or (where parsed, and not empty) as findings."""
    equal = (rows.report_id[:, None] == columns.report_id[None]) & (rows.report_id >= 0)[:, None]
    if rows.findings is not None and columns.findings is not None:
        shared = rows.findings @ columns.findings.T
        own, other = rows.findings.square().sum(-1), columns.findings.square().sum(-1)
        # Columns hold square roots of positive weights: the shared weight equals both sums only for equal sets.
        full = torch.maximum(own[:, None], other[None])
        equal = equal | ((full > 0) & torch.isclose(shared, full, rtol=1e-4, atol=0.0))
    return equal


def fit_ramp(similarity: Float[Tensor, " pairs"]) -> tuple[float, float]:
    """s0 and s1 of the ramp, fitted once on pairs of a corpus: where similarity becomes unusual, and where extreme.

    They are the 90th and 99th centile of S over random pairs of records with different reports (ours), at least .05
    apart so that the ramp never becomes a cliff.
    """
    s0, s1 = torch.quantile(similarity.float(), torch.tensor([0.90, 0.99])).tolist()
    return min(s0, 0.90), min(max(s1, s0 + 0.05), 1.0)


def negative_weights(
    similarity: Float[Tensor, "r c"],
    same: Bool[Tensor, "r c"],
    kind: Weighting,
    ramp: tuple[float, float] = (0.5, 0.9),
    power: float = 2.0,
) -> Float[Tensor, "r c"]:
    """a_ij in [0, 1], the weight of each pair as a negative.

    Args:
        similarity: S.
        same: pairs with equal reports; they get 0 in all kinds but `none`.
        kind: `ramp` 1 below s0, 0 above s1, linear between; `step` 1 below s1, else 0; `power` (1 - S)^g; `none`
            1 everywhere, equal reports included: plain InfoNCE, row A4 of the proposal.
        ramp: (s0, s1).
        power: the exponent g.
    """
    s0, s1 = ramp
    if kind == "none":
        return torch.ones_like(similarity)
    if kind == "ramp":
        weights = ((s1 - similarity) / (s1 - s0)).clamp(0, 1)
    elif kind == "step":
        weights = (similarity < s1).to(similarity.dtype)
    else:
        weights = (1 - similarity).clamp(0, 1) ** power
    return torch.where(same, 0.0, weights)
