"""Corpus: the distinct reports of a store as embeddings, findings and tokens, computed once before training."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.batch import TextBatch
from auricle.data.store import Store
from auricle.errors import DataError
from auricle.text.findings import FindingsSpace
from auricle.text.towers import embed_reports, load_tower
from auricle.text.vocabulary import PAD, Vocabulary


@dataclass(frozen=True, slots=True)
class Corpus:
    """Text side of a store; R is the number of distinct reports.

    Attributes:
        english: the reports, cleaned and translated.
        n_records: (R,) how many training records carry each report; 0 for reports of other parts.
        embedding: (R, d) of the frozen tower, or None if not asked for.
        space: the statements that training reports make, with their weights.
        findings: (R, f) and `diagnoses`: (R, f), see `FindingsSpace.encode`.
        vocabulary: learnt from the training reports, or None if not asked for. A method copies it into its weights when
            it is prepared, so that they can read new sentences without a corpus.
        token_ids: (R, token) entries of that vocabulary, and `token_mask` where they are not padding.
    """

    english: tuple[str, ...]
    n_records: Tensor
    embedding: Tensor | None
    space: FindingsSpace
    findings: Tensor
    diagnoses: Tensor
    vocabulary: Vocabulary | None = None
    token_ids: Tensor | None = None
    token_mask: Tensor | None = None

    @classmethod
    def from_store(
        cls,
        store: Store,
        rows: NDArray[np.int64],
        tower: str,
        needs: Collection[str],
        vocabulary_size: int = 0,
    ) -> Corpus:
        """Read and parse the reports of a store; embed them (cached on disk) or cut them into tokens if needed.

        Weights, counts and the vocabulary come from the training records at `rows` alone: test reports must not shape
        training.

        Args:
            store: the store whose reports are read.
            rows: row numbers of the training records.
            tower: name of the text tower that embeds, if `needs` has "embedding".
            needs: what the method's batches must carry.
            vocabulary_size: most entries of the vocabulary, if `needs` has "tokens".

        Raises:
            DataError: the training records have no reports.
        """
        english = tuple(report["english"] for report in store.reports)
        ids = store.column("report_id")[rows]
        counts = np.bincount(ids[ids >= 0], minlength=len(english))
        if not counts.any():
            raise DataError(f"{store.path}: has no reports to train on, and aligning with text needs them")
        seen = [text for text, count in zip(english, counts, strict=True) if count]
        space = FindingsSpace.fit(seen)
        findings, diagnoses = space.encode(english)
        embedding = None
        if "embedding" in needs:
            embedding = torch.from_numpy(embed_reports(english, load_tower(tower), store.path / "text"))
        corpus = cls(
            english, torch.from_numpy(counts), embedding, space, torch.from_numpy(findings), torch.from_numpy(diagnoses)
        )
        if "tokens" not in needs:
            return corpus
        vocabulary = Vocabulary.fit(seen, vocabulary_size)
        token_ids, token_mask = map(torch.from_numpy, vocabulary.table(english))
        return replace(corpus, vocabulary=vocabulary, token_ids=token_ids, token_mask=token_mask)

    def text_batch(self, report_id: NDArray[np.int64]) -> TextBatch:
        """The text of a batch: rows of the corpus at (b,) `report_id`. A record without a report (-1) gets zeros."""
        ids = torch.from_numpy(report_id)
        rows = ids.clamp_min(0)
        has = (ids >= 0)[:, None]

        def take(matrix: Tensor | None) -> Tensor | None:
            return None if matrix is None else torch.where(has, matrix[rows], 0.0)

        text = TextBatch(ids, take(self.embedding), take(self.findings), take(self.diagnoses))
        if self.token_ids is None or self.token_mask is None:
            return text
        token_mask = has & self.token_mask[rows]
        # As long as this batch needs: the longest report of a store is several times the usual one.
        longest = int(token_mask.sum(1).max().clamp_min(1)) if len(ids) else 1
        token_ids = torch.where(has, self.token_ids[rows], PAD)[:, :longest].long()
        return replace(text, token_ids=token_ids, token_mask=token_mask[:, :longest])
