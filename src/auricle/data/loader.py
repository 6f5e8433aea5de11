"""Loading: batch number `step` is a function of (seed, step, rank) and of nothing else.

So a run resumed after a kill sees exactly what it would have seen, with any number of workers. Training reads random
crops; evaluation reads every record in windows.
"""

from __future__ import annotations

import signal
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from auricle.batch import ECGBatch
from auricle.data.collate import window_starts
from auricle.data.corpus import Corpus
from auricle.data.gather import gather
from auricle.data.order import Order, Share, Shuffle
from auricle.data.panel import LabPanel
from auricle.data.store import Store
from auricle.errors import DataError
from auricle.signal.preprocess import InputSpec

# Of the ages that people of a store are told in place of their own.
_SHUFFLE_SEED: Final = 20


class Seen(Protocol):
    """Training records, or some of them, as methods are prepared from them.

    Attributes:
        store: where they lie; None where they are made.
        rows: numbers of the records.
        corpus: their reports, or None.
        targets: classes by number of the record, or None.
        numbers: what is known of some records in numbers, NaN where it is not; or None.
        times: (row,) how often training meets each record, beside the others; None where it meets all alike.
    """

    @property
    def store(self) -> Store | None: ...  # noqa: D102

    @property
    def rows(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def corpus(self) -> Corpus | None: ...  # noqa: D102

    @property
    def targets(self) -> NDArray[np.float32] | None: ...  # noqa: D102

    @property
    def numbers(self) -> NDArray[np.float32] | None: ...  # noqa: D102

    @property
    def times(self) -> NDArray[np.float32] | None: ...  # noqa: D102


@dataclass(frozen=True)
class View:
    """Some rows of a store as a model wants to see them, and what comes with each record.

    Attributes:
        store: where the records are.
        rows: row numbers.
        spec: what the model reads: lead axis and crop length are taken from it.
        corpus: text side, if the method needs one.
        targets: (len(store), c) with NaN where not annotated, if there is a task.
        panel: the laboratory values that batches carry, if the method reads any. Stored pictures are always carried.
        needs_signal: whether a record of which there is only a picture is refused.

    Raises:
        DataError: the store's amplitudes are lost and the model reads millivolts, or it reads signals and a record
            has none.
    """

    store: Store
    rows: NDArray[np.int64]
    spec: InputSpec
    corpus: Corpus | None = None
    targets: NDArray[np.float32] | None = None
    panel: LabPanel | None = None
    needs_signal: bool = False
    _report_ids: NDArray[np.int64] = field(init=False, repr=False)
    _labs: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = field(init=False, repr=False)
    _told_age: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        unknown = self.rows[~self.store.column("amplitude_known").astype(bool)[self.rows]]
        if self.spec.scale == "mv" and len(unknown):
            raise DataError(
                f"{self.store.path}: the amplitudes of {len(unknown)} of {len(self.rows)} records are not known, and "
                "this model reads millivolts: leave them out (column amplitude_known), or train one with "
                "model.input.scale=amplitude_unknown or lead_unknown"
            )
        # Columns of the whole store, read once: every step asks for a few of their entries.
        object.__setattr__(self, "_report_ids", self.store.column("report_id"))
        every = np.arange(len(self.store))
        object.__setattr__(self, "_labs", self.panel.of_store(self.store, every) if self.panel else None)
        shuffled = self.spec.age == "shuffled"
        ages = (
            shuffled_ages(self.store.columns.age_days, self.store.patients) if shuffled else self.store.columns.age_days
        )
        object.__setattr__(self, "_told_age", ages)
        silent = self.rows[self.lengths[self.rows] == 0] if self.needs_signal else self.rows[:0]
        if len(silent):
            first = self.store.column("record_id")[silent[0]]
            raise DataError(
                f"{self.store.path}: of {len(silent)} records ({first} ...) there is only a picture, and this model "
                "reads signals: leave them out of the manifest, or use a model that reads pictures (mirage)"
            )
        self._refuse_without_the_leads()

    def _refuse_without_the_leads(self) -> None:
        """Raise where a record has leads of the axis, and none of those that are read."""
        if not self.spec.only:
            return
        columns = self.store.columns
        has_none = np.array([not set(layout) & set(self.spec.only) for layout in columns.layouts])
        bare = self.rows[has_none[columns.layout[self.rows]] & (self.lengths[self.rows] > 0)]
        if len(bare):
            (first,) = columns.record_ids(bare[:1])
            raise DataError(
                f"{self.store.path}: {len(bare)} records ({first} ...) have none of the leads the model reads "
                f"({', '.join(self.spec.only)}): leave them out of the manifest"
            )

    @property
    def times(self) -> None:
        """Training meets the records of a store all alike."""

    @property
    def numbers(self) -> None:
        """Of recordings in a store nothing is known as it is of simulated ones."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(len(store),) samples of each record of the store."""
        return self.store.columns.n_samples

    @property
    def n_samples(self) -> int:
        """Crop length in samples of the store."""
        return round(self.spec.seconds * self.store.rate_hz)

    def batch(self, rows: NDArray[np.int64], starts: NDArray[np.int64]) -> ECGBatch:
        """The records at `rows` of the store as one batch, each cropped from its sample in `starts`."""
        batch = gather(self.store, rows, starts, self.spec.leads, self.n_samples)
        text = self.corpus.text_batch(self._report_ids[rows]) if self.corpus else None
        target = torch.from_numpy(self.targets[rows]) if self.targets is not None else None
        labs, mask = (torch.from_numpy(column[rows]) for column in self._labs) if self._labs else (None, None)
        age_days = torch.from_numpy(self._told_age[rows])
        return replace(batch, age_days=age_days, text=text, target=target, labs=labs, labs_mask=mask)


def shuffled_ages(age_days: NDArray[np.float32], patients: NDArray[Any]) -> NDArray[np.float32]:
    """(n,) ages in which the people of a store have changed places, all records of a person together.

    All records of a person are told the age that another person had at a first record. The same places are changed
    whenever it is asked, so that training and testing agree.

    Args:
        age_days: (n,) of the records, NaN where unknown.
        patients: (n,) whose they are.
    """
    _, first, person = np.unique(patients, return_index=True, return_inverse=True)
    return age_days[first][np.random.default_rng(_SHUFFLE_SEED).permutation(len(first))][person]


class Batches(Dataset[ECGBatch]):
    """Training batches by step number, a function of (seed, step, process) and of nothing else."""

    @property
    @abstractmethod
    def seen(self) -> Seen:
        """What methods are prepared from before the first step."""

    @abstractmethod
    def of(self, share: Share) -> Batches:
        """The batches of this run that belong to the process of `share`."""

    @abstractmethod
    def __getitem__(self, step: int) -> ECGBatch: ...


class Steps(Batches):
    """Training batches by step number: random crops of a view.

    Every process draws the crops of the whole step and keeps its share, so that several processes together read what
    one process alone would.
    """

    def __init__(
        self, view: View, batch_size: int, seed: int, shuffle: Shuffle = Shuffle(), share: Share = Share()
    ) -> None:
        self.view, self.batch_size, self.seed, self.shuffle, self.share = view, batch_size, seed, shuffle, share
        patients = view.store.patients[view.rows] if shuffle.same_patient else None
        self.order = Order(len(view.rows), batch_size, seed, shuffle, share, patients)

    @property
    def seen(self) -> View:
        """The view itself."""
        return self.view

    def of(self, share: Share) -> Steps:
        """The batches of this run that belong to the process of `share`."""
        return Steps(self.view, self.batch_size, self.seed, self.shuffle, share)

    def __getitem__(self, step: int) -> ECGBatch:
        rows = self.view.rows[self.order[step]]
        slack = (self.view.lengths[rows] - self.view.n_samples).clip(min=0)
        if not slack.any():
            return self.view.batch(rows, slack)  # nothing to draw
        place = np.random.default_rng([self.seed, step, 1]).random(self.batch_size * self.share.world)
        first = self.share.rank * self.batch_size
        starts = np.floor(place[first : first + len(rows)] * (slack + 1)).astype(int)
        return self.view.batch(rows, starts)


class _Range(Sampler[int]):
    """Step numbers from the first one still to do; its length is the whole run's, as the trainer counts whole runs."""

    def __init__(self, first: int, n_steps: int) -> None:
        self.first, self.n_steps = first, n_steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.n_steps))

    def __len__(self) -> int:
        return self.n_steps


def _without_interrupts(worker: int) -> None:
    """Ctrl-C is for the process that trains: it ends its step, and then its workers."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def training_loader(steps: Batches, first_step: int, n_steps: int, workers: int = 0) -> DataLoader[ECGBatch]:
    """The batches of a run from `first_step` on.

    Args:
        steps: batches by number.
        first_step: the first step still to do.
        n_steps: steps of the whole run.
        workers: processes that read ahead; 0 reads in this one.
    """
    return DataLoader(
        steps,
        batch_size=None,
        sampler=_Range(first_step, n_steps),
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_without_interrupts if workers else None,
    )


def windows(view: View, batch_size: int) -> Iterator[tuple[NDArray[np.int64], ECGBatch]]:
    """Every window of every record of a view, in order, as (positions in `view.rows` of its records, batch)."""
    lengths = view.lengths[view.rows]
    pairs = [(i, s) for i, n in enumerate(lengths.tolist()) for s in window_starts(n, view.n_samples)]
    for first in range(0, len(pairs), batch_size):
        part = pairs[first : first + batch_size]
        positions = np.array([i for i, _ in part], dtype=np.int64)
        yield positions, view.batch(view.rows[positions], np.array([s for _, s in part], dtype=np.int64))
