"""Reports that nobody has seen before training: read as they come, each distinct one once in a process.

What a report is made into depends on it alone and never on its neighbours, so that every process, and a run that is
resumed, makes the same of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.batch import TextBatch
from auricle.data.corpus import Corpus
from auricle.text.findings import FindingsSpace
from auricle.text.glossary import to_english
from auricle.text.reports import clean
from auricle.text.towers import Tower, load_tower
from auricle.text.vocabulary import Vocabulary

# Distinct reports a process remembers; beyond it the oldest are read again.
_REMEMBERED = 50_000


@dataclass
class Reading:
    """Reads reports into what a method's batches carry.

    Attributes:
        tower: name of the text tower that embeds them; empty for none.
        space: statements of the reports that training began with; others have no column.
        vocabulary: learnt from them, or None where no tokens are asked for.
    """

    tower: str
    space: FindingsSpace
    vocabulary: Vocabulary | None = None
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    _loaded: Tower | None = field(default=None, repr=False)

    @classmethod
    def fit(
        cls, texts: Sequence[str], tower: str, needs: Collection[str], vocabulary_size: int = 0
    ) -> tuple[Reading, Corpus]:
        """Learn what reports say from some of them; returns the reader, and these reports as a corpus.

        Args:
            texts: reports as they were written, of any language the phrase book knows.
            tower: name of the text tower, if `needs` has "embedding".
            needs: what the method's batches must carry.
            vocabulary_size: most entries of the vocabulary, if `needs` has "tokens".
        """
        english = [_english(text) for text in texts]
        distinct = tuple(dict.fromkeys(english))
        vocabulary = Vocabulary.fit(distinct, vocabulary_size) if "tokens" in needs else None
        reading = cls(tower if "embedding" in needs else "", FindingsSpace.fit(distinct), vocabulary)
        number = {text: row for row, text in enumerate(distinct)}
        counts = np.bincount([number[text] for text in english], minlength=len(distinct))
        return reading, reading._corpus(distinct, torch.from_numpy(counts))

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """The text of a batch, one report for each record; equal reports have equal ids in every process."""
        english = [_english(text) for text in texts]
        distinct = tuple(dict.fromkeys(english))
        number = {text: row for row, text in enumerate(distinct)}
        corpus = self._corpus(distinct, torch.ones(len(distinct), dtype=torch.long))
        read = corpus.text_batch(np.array([number[text] for text in english], dtype=np.int64))
        return replace(read, report_id=torch.tensor([zlib.crc32(text.encode()) for text in english]))

    def none(self, n: int) -> TextBatch:
        """The text of n records without a report."""
        empty = self._corpus(("",), torch.ones(1, dtype=torch.long))
        return empty.text_batch(np.full(n, -1, dtype=np.int64))

    def _corpus(self, distinct: tuple[str, ...], counts: Tensor) -> Corpus:
        findings, diagnoses = map(torch.from_numpy, self.space.encode(distinct))
        embedding = torch.from_numpy(np.stack([self._vector(text) for text in distinct])) if self.tower else None
        corpus = Corpus(distinct, counts, embedding, self.space, findings, diagnoses)
        if self.vocabulary is None:
            return corpus
        token_ids, token_mask = map(torch.from_numpy, self.vocabulary.table(distinct))
        return replace(corpus, vocabulary=self.vocabulary, token_ids=token_ids, token_mask=token_mask)

    def _vector(self, text: str) -> NDArray[np.float32]:
        """The embedding of one report, taken by itself and on one thread: sums in another order differ in a bit."""
        known = self._known.get(text)
        if known is None:
            if self._loaded is None:
                self._loaded = load_tower(self.tower, "cpu")
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                known = self._loaded.embed([text])[0]
            finally:
                torch.set_num_threads(threads)
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[text] = known
        return known

    def __getstate__(self) -> dict[str, Any]:
        """Without the tower, which every process loads for itself."""
        return {**self.__dict__, "_loaded": None}


def _english(text: str) -> str:
    """A report as written, cleaned and in English, as ingest stores it."""
    return to_english(clean(text)).text
