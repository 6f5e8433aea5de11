"""Corpus: the distinct reports of a store with everything a training step needs of them, computed once before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.batch import TextBatch
from auricle.data.store import Store
from auricle.errors import DataError
from auricle.text.findings import FindingsSpace
from auricle.text.towers import embed_reports, load_tower


@dataclass(frozen=True, slots=True)
class Corpus:
    """Text side of a store; R is the number of distinct reports.

    Attributes:
        english: the reports, cleaned and translated.
        n_records: (R,) how many training records carry each report; 0 for reports of other parts.
        embedding: (R, d) of the frozen tower, or None if not asked for.
        space: the statements that training reports make, with their weights.
        findings: (R, f) and `concepts`: (R, k), see `FindingsSpace`.
    """

    english: tuple[str, ...]
    n_records: Tensor
    embedding: Tensor | None
    space: FindingsSpace
    findings: Tensor
    concepts: Tensor

    @classmethod
    def from_store(cls, store: Store, rows: NDArray[np.int64], tower: str, needs: Collection[str]) -> Corpus:
        """Read, parse and (if `needs` has "embedding") embed the reports of a store, using its cache on disk.

        Weights and counts come from the training records at `rows` alone: test reports must not shape training.

        Raises:
            DataError: the training records have no reports.
        """
        english = tuple(report["english"] for report in store.reports)
        ids = store.column("report_id")[rows]
        counts = np.bincount(ids[ids >= 0], minlength=len(english))
        if not counts.any():
            raise DataError(f"{store.path}: has no reports to train on, and aligning with text needs them")
        space = FindingsSpace.fit([text for text, count in zip(english, counts, strict=True) if count])
        findings, concepts = space.encode(english)
        embedding = None
        if "embedding" in needs:
            embedding = torch.from_numpy(embed_reports(english, load_tower(tower), store.path / "text"))
        return cls(
            english, torch.from_numpy(counts), embedding, space, torch.from_numpy(findings), torch.from_numpy(concepts)
        )

    def text_batch(self, report_id: NDArray[np.int64]) -> TextBatch:
        """The text of a batch. A record without a report gets zeros and `report_id` -1."""
        ids = torch.from_numpy(report_id)
        rows = ids.clamp_min(0)
        has = (ids >= 0)[:, None]

        def take(matrix: Tensor | None) -> Tensor | None:
            return None if matrix is None else torch.where(has, matrix[rows], 0.0)

        return TextBatch(ids, take(self.embedding), take(self.findings), take(self.concepts))
