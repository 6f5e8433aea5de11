"""DiagSim: how much a pair of records should repel, from how alike their reports are (LISA proposal, section 3.3).

The proposal lowers the weight a_ij of a negative pair as S_ij, the similarity of the two reports, rises. S may be the
cosine of frozen text embeddings (the proposal's), the weighted Jaccard of parsed diagnoses (ours), or their product.
Reports that are equal, as text or as findings, never repel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from auricle.batch import TextBatch
from auricle.config import Config
from auricle.text.findings import similarity as findings_similarity

if TYPE_CHECKING:
    from auricle.data.corpus import Corpus

Similarity = Literal["cosine", "findings", "both"]
Weighting = Literal["ramp", "step", "power", "none"]

# Pairs of records on which the ramp is fitted: enough for a stable tail.
_FIT_PAIRS: Final = 20_000
_PAIRS_AT_ONCE: Final = 512


class DiagSimConfig(Config):
    """How the similarity of two reports weakens their repulsion.

    Attributes:
        similarity: `findings` (weighted Jaccard of parsed statements), `cosine` of text embeddings, or `both`.
        weighting: from similarity to weight, see `negative_weights`.
        power: the exponent of the weighting `power`.
    """

    similarity: Similarity = "findings"
    weighting: Weighting = "ramp"
    power: Annotated[float, Field(gt=0)] = 2.0


@torch.no_grad()
def diag_sim_weights(
    config: DiagSimConfig, ramp: tuple[float, float], rows: TextBatch, columns: TextBatch
) -> tuple[Float[Tensor, "r c"], Bool[Tensor, "r c"]]:
    """(r, c) weights a_ij of all pairs of reports, and (r, c) which pairs have the same report.

    A report that is absent is never a positive and never a negative: its column weighs 0.

    Args:
        config: which similarity, and how it becomes a weight.
        ramp: (s0, s1) as `fit_ramp_to` gives them.
        rows: reports of this process's records.
        columns: reports of all processes' records.

    Raises:
        ValueError: the batches do not carry what the similarity needs.
    """
    same = same_report(rows, columns)
    similarity = report_similarity(config.similarity, rows, columns)
    weight = negative_weights(similarity, same, config.weighting, ramp, config.power)
    return torch.where((columns.report_id >= 0)[None], weight, 0.0), same


def report_similarity(kind: Similarity, rows: TextBatch, columns: TextBatch) -> Float[Tensor, "r c"]:
    """(r, c) similarity S between the reports of two batches, in [0, 1].

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
        if rows.diagnoses is None or columns.diagnoses is None:
            raise ValueError("similarity of findings needs parsed findings in the batch")
        parts.append(findings_similarity(rows.diagnoses, columns.diagnoses))
    return torch.stack(parts).prod(0)


def same_report(rows: TextBatch, columns: TextBatch) -> Bool[Tensor, "r c"]:
    """(r, c) whether two records have the same report, as text or (where parsed, and not empty) as findings."""
    equal = (rows.report_id[:, None] == columns.report_id[None]) & (rows.report_id >= 0)[:, None]
    if rows.findings is not None and columns.findings is not None:
        shared = rows.findings @ columns.findings.T
        row_weight, column_weight = rows.findings.square().sum(-1), columns.findings.square().sum(-1)
        # Entries are square roots of positive weights: the shared weight equals both sums only for equal sets.
        full = torch.maximum(row_weight[:, None], column_weight[None])
        equal = equal | ((full > 0) & torch.isclose(shared, full, rtol=1e-4, atol=0.0))
    return equal


def fit_ramp(similarity: Float[Tensor, " pairs"], kind: Similarity) -> tuple[float, float] | None:
    """s0 and s1 of the ramp, fitted once on pairs of a corpus (ours): from where a pair repels less, and not at all.

    Of findings, S is above 0 exactly where two reports share a diagnosis, so every such pair has to repel less, s0 = 0,
    and the most alike tenth of them not at all: s1 is the 90th centile of S over the pairs that share one. A cosine is
    above 0 for any two reports: there s0 and s1 are the 90th and 99th centile over all pairs, at least .05 apart.

    Args:
        similarity: (pairs,) S of each pair.
        kind: which similarity it is.

    Returns:
        (s0, s1), or None where no two reports share anything.
    """
    values = similarity.float()
    if kind == "cosine":
        s0, s1 = torch.quantile(values, torch.tensor([0.90, 0.99])).tolist()
        return min(s0, 0.90), min(max(s1, s0 + 0.05), 1.0)
    sharing = values[values > 0]
    return (0.0, max(float(torch.quantile(sharing, 0.90)), 0.05)) if len(sharing) else None


def fit_ramp_to(corpus: Corpus, kind: Similarity) -> tuple[float, float] | None:
    """The ramp of a corpus, fitted on pairs of its training reports drawn by how many records carry them.

    Args:
        corpus: the training reports, with the embeddings or findings that `kind` compares.
        kind: which similarity.

    Returns:
        (s0, s1), or None where all records have one report or no two of them share anything.
    """
    generator = torch.Generator().manual_seed(0)
    share = (corpus.n_records / corpus.n_records.sum()).double()
    pairs = torch.multinomial(share, 2 * _FIT_PAIRS, replacement=True, generator=generator).view(2, -1)
    pairs = pairs[:, pairs[0] != pairs[1]]
    if not pairs.shape[1]:
        return None
    first, second = (corpus.text_batch(reports.numpy()) for reports in pairs)
    chunks = [
        report_similarity(kind, first.select(chunk), second.select(chunk)).diagonal()
        for chunk in torch.split(torch.arange(pairs.shape[1]), _PAIRS_AT_ONCE)
    ]
    return fit_ramp(torch.cat(chunks), kind)


def negative_weights(
    similarity: Float[Tensor, "r c"],
    same: Bool[Tensor, "r c"],
    kind: Weighting,
    ramp: tuple[float, float] = (0.5, 0.9),
    power: float = 2.0,
) -> Float[Tensor, "r c"]:
    """(r, c) a_ij in [0, 1], the weight of each pair as a negative.

    Args:
        similarity: (r, c) S.
        same: (r, c) pairs with equal reports; they get 0 in all kinds but `none`.
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
