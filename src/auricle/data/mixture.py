"""A mixture: every batch holds some records of each of several parts, streams and stores alike.

A part that is a stream goes on for ever; a part that is a store begins again. Which records a step has is a function of
(seed, step, process), as with one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch, joined
from auricle.data.corpus import Corpus
from auricle.data.loader import Batches, Steps
from auricle.data.order import Share
from auricle.data.reading import Reading
from auricle.data.stream import NUMBERS, Stream


@dataclass(frozen=True)
class Sample:
    """Some of the records of a mixture, from which a method is prepared before it has seen any.

    Attributes:
        rows: (n,) all of them.
        corpus: their reports, or None.
        targets: (n, c) their classes, or None.
        numbers: (n, NUMBERS) what is known of them in numbers, NaN where it is not.
        times: (n,) how often training meets each, beside the others; None for all alike.
    """

    rows: NDArray[np.int64]
    corpus: Corpus | None
    targets: NDArray[np.float32] | None
    numbers: NDArray[np.float32] | None
    times: NDArray[np.float32] | None = None
    store: None = None


class StreamSteps(Batches):
    """The batches of a stream, by step number.

    Args:
        stream: what is made.
        batch_size: records per step and process.
        sample: what methods are prepared from.
        share: which part of the run this process is.
    """

    def __init__(self, stream: Stream, batch_size: int, sample: Sample, share: Share = Share()) -> None:
        self.stream, self.batch_size, self.sample, self.share = stream, batch_size, sample, share

    @property
    def seen(self) -> Sample:
        """Some of the records."""
        return self.sample

    def of(self, share: Share) -> StreamSteps:
        """The batches of this run that belong to the process of `share`."""
        return StreamSteps(self.stream, self.batch_size, self.sample, share)

    def __getitem__(self, step: int) -> ECGBatch:
        first = (step * self.share.world + self.share.rank) * self.batch_size
        return self.stream.batch(first, self.batch_size)


class Mixture(Batches):
    """Batches of several parts.

    Args:
        parts: what each batch is made of, in this order; all of one rate, lead axis and length.
        sample: what methods are prepared from.
        facts: of each part, for the card of the weights.
        reading: made the reports of the streams; the other parts have none.
    """

    def __init__(
        self,
        parts: Sequence[StreamSteps | Steps],
        sample: Sample,
        facts: Sequence[dict[str, Any]],
        reading: Reading | None,
    ) -> None:
        self.parts, self.sample, self.facts, self.reading = tuple(parts), sample, tuple(facts), reading

    @property
    def seen(self) -> Sample:
        """What methods are prepared from."""
        return self.sample

    def of(self, share: Share) -> Mixture:
        """The batches of this run that belong to the process of `share`."""
        return Mixture([part.of(share) for part in self.parts], self.sample, self.facts, self.reading)

    def __getitem__(self, step: int) -> ECGBatch:
        return joined([self._alike(part[step]) for part in self.parts])

    def _alike(self, batch: ECGBatch) -> ECGBatch:
        """A batch in millivolts with the fields that all parts share, empty where a part knows nothing."""
        n = len(batch)
        text = batch.text
        if text is None and self.reading is not None:
            text = self.reading.none(n)
        target = batch.target
        if target is None and self.sample.targets is not None:
            target = torch.full((n, self.sample.targets.shape[1]), torch.nan)
        numbers = torch.full((n, len(NUMBERS)), torch.nan) if batch.numbers is None else batch.numbers
        return replace(
            batch, signal=batch.millivolts(), gain_mv=None, text=text, target=target, numbers=numbers, beats=None,
            image=None, image_mask=None, labs=None, labs_mask=None,
        )  # fmt: skip
