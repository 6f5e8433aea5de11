"""Loading: batch number `step` is a function of (seed, step, rank) and of nothing else.

So a run resumed after a kill sees exactly what it would have seen, with any number of workers. Training reads random
crops; evaluation reads every record in windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from auricle.batch import ECGBatch
from auricle.data.collate import collate, window_starts
from auricle.data.corpus import Corpus
from auricle.data.store import Store
from auricle.errors import DataError


@dataclass(frozen=True)
class View:
    """Some rows of a store as a model wants to see them: lead axis, crop length, and what comes with each record.

    Attributes:
        store: where the records are.
        rows: row numbers.
        leads: lead axis of the batches.
        seconds: crop length.
        corpus: text side, if the method needs one.
        targets: (len(store), c) with NaN where not annotated, if there is a task.
        lengths: (len(store),) samples of each record.
    """

    store: Store
    rows: NDArray[np.int64]
    leads: Sequence[str]
    seconds: float
    corpus: Corpus | None = None
    targets: NDArray[np.float32] | None = None
    lengths: NDArray[np.int64] = field(init=False, repr=False)
    _report_ids: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Columns of the whole store, read once: every step asks for a few of their entries.
        object.__setattr__(self, "lengths", self.store.column("n_samples"))
        object.__setattr__(self, "_report_ids", self.store.column("report_id"))

    @property
    def n_samples(self) -> int:
        """Crop length in samples of the store."""
        return round(self.seconds * self.store.rate_hz)

    def batch(self, rows: NDArray[np.int64], starts: Sequence[int]) -> ECGBatch:
        """The records at `rows`, each cropped from its start."""
        recordings = [self.store.recording(row) for row in rows.tolist()]
        beats = [self.store.beats(row) for row in rows.tolist()]
        batch = collate(recordings, self.leads, self.n_samples, starts, beats)
        text = self.corpus.text_batch(self._report_ids[rows]) if self.corpus else None
        target = torch.from_numpy(self.targets[rows]) if self.targets is not None else None
        return replace(batch, text=text, target=target)


def rows_of_step(n: int, step: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Positions in [0, n) of the batch this rank reads at `step`: a fresh permutation each epoch, without a state.

    Raises:
        DataError: fewer records than one global batch.
    """
    steps_per_epoch = n // (batch_size * world)
    if steps_per_epoch == 0:
        raise DataError(f"{n} records are fewer than one batch of {batch_size * world}: lower train.batch_size")
    epoch, position = divmod(step, steps_per_epoch)
    order = _permutation(n, seed, epoch)
    start = (position * world + rank) * batch_size
    return order[start : start + batch_size]


def _permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    key = (n, seed, epoch)
    if _permutation_cache.get("key") != key:
        _permutation_cache.update(key=key, order=np.random.default_rng([seed, epoch]).permutation(n))
    order: NDArray[np.int64] = _permutation_cache["order"]
    return order


# One epoch's order, kept because every step of the epoch asks for it again.
_permutation_cache: dict[str, Any] = {}


class Steps(Dataset[ECGBatch]):
    """Training batches by step number: random crops of a view."""

    def __init__(self, view: View, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.view, self.batch_size, self.seed, self.rank, self.world = view, batch_size, seed, rank, world
        rows_of_step(len(view.rows), 0, batch_size, seed, rank, world)  # too few records: say so before training

    def __getitem__(self, step: int) -> ECGBatch:
        rows = self.view.rows[
            rows_of_step(len(self.view.rows), step, self.batch_size, self.seed, self.rank, self.world)
        ]
        slack = (self.view.lengths[rows] - self.view.n_samples).clip(min=0)
        generator = np.random.default_rng([self.seed, step, self.rank, 1])
        return self.view.batch(rows, generator.integers(0, slack + 1).tolist())


class _Range(Sampler[int]):
    """Step numbers from the first one still to do; its length is the whole run's, as the trainer counts whole runs."""

    def __init__(self, first: int, n_steps: int) -> None:
        self.first, self.n_steps = first, n_steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.n_steps))

    def __len__(self) -> int:
        return self.n_steps


def training_loader(steps: Steps, first_step: int, n_steps: int, workers: int = 0) -> DataLoader[ECGBatch]:
    """The batches of a run from `first_step` on."""
    return DataLoader(
        steps,
        batch_size=None,
        sampler=_Range(first_step, n_steps),
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )


def windows(view: View, batch_size: int) -> Iterator[tuple[NDArray[np.int64], ECGBatch]]:
    """Every window of every record of a view, in order, with the position in `view.rows` that each belongs to."""
    lengths = view.lengths[view.rows]
    pairs = [(i, s) for i, n in enumerate(lengths.tolist()) for s in window_starts(n, view.n_samples)]
    for first in range(0, len(pairs), batch_size):
        part = pairs[first : first + batch_size]
        positions = np.array([i for i, _ in part], dtype=np.int64)
        yield positions, view.batch(view.rows[positions], [s for _, s in part])
