"""From a store to a batch: many records at a time, as the steps they lie in, with nothing made for each but its copy.

Everything but the samples is read as whole columns. The samples are copied record by record, which by itself
takes a tenth longer than the best numpy does with one mapped file; an index over several shards would copy twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import MISSING_STEP, WHITE, ECGBatch
from auricle.data.format import NO_PICTURE
from auricle.data.store import Store
from auricle.errors import DataError
from auricle.leads import block_of, rows_onto


def gather(
    store: Store, rows: NDArray[np.int64], starts: NDArray[np.int64], leads: Sequence[str], n_samples: int
) -> ECGBatch:
    """Records of a store side by side, as int16 steps.

    Args:
        store: where they are.
        rows: (b,) their row numbers.
        starts: (b,) first sample of each crop. R peaks are shifted into it.
        leads: the lead axis; leads a record lacks are masked, leads not on the axis are left out.
        n_samples: length of the time axis, at the store's rate; shorter records are padded and masked.

    Raises:
        DataError: a record has none of the leads and no picture.
        StoreError: a shard is damaged.
    """
    columns = store.columns
    placed = [rows_onto(names, tuple(leads)) for names in columns.layouts]
    layouts = columns.layout[rows]
    lead_mask = np.zeros((len(placed), len(leads)), dtype=bool)
    for number, (_, target) in enumerate(placed):
        lead_mask[number, list(target)] = True
    lead_mask = lead_mask[layouts]
    _refuse_silent(store, rows, lead_mask, leads)
    lengths = np.clip(columns.n_samples[rows] - starts, 0, n_samples)
    signal = np.empty((len(rows), len(leads), n_samples), dtype=np.int16)
    signal[~lead_mask.all(1) | (lengths < n_samples)] = 0  # of the others every sample is written
    blocks = [(block_of(source), block_of(target)) for source, target in placed]
    _copy_samples(store, signal, rows, starts, lengths, [blocks[number] for number in layouts.tolist()])
    image, image_mask = _pictures(store, rows)
    return ECGBatch(
        signal=torch.from_numpy(signal),
        lead_mask=torch.from_numpy(lead_mask),
        time_mask=torch.from_numpy(_known(signal, lead_mask, lengths)),
        leads=tuple(leads),
        rate_hz=store.rate_hz,
        age_days=torch.from_numpy(columns.age_days[rows]),
        male=torch.from_numpy(columns.male[rows]),
        patient_id=torch.from_numpy(columns.patient[rows]),
        record_id=columns.record_ids(rows),
        image=image,
        image_mask=image_mask,
        beats=torch.from_numpy(columns.beats(rows, starts, n_samples)),
        gain_mv=torch.from_numpy(columns.gain_mv[rows]),
    )


def _refuse_silent(store: Store, rows: NDArray[np.int64], lead_mask: NDArray[np.bool_], leads: Sequence[str]) -> None:
    """Raise where a record has none of the leads of the axis and no picture."""
    silent = ~lead_mask.any(1)
    if silent.any():
        silent &= store.columns.picture[rows] == NO_PICTURE
    if silent.any():
        row = rows[silent][:1]
        (record,) = store.columns.record_ids(row)
        only = ", ".join(store.columns.layouts[store.columns.layout[row[0]]])
        raise DataError(f"{record}: has none of the leads the model reads ({', '.join(leads)}), only {only}")


def _copy_samples(
    store: Store,
    signal: NDArray[np.int16],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    blocks: Sequence[tuple[slice | list[int], slice | list[int]]],
) -> None:
    """Fill (b, lead, time) with the crops of the records at `rows`, each lead in its row."""
    columns = store.columns
    shards, offsets = columns.shard[rows].tolist(), columns.offset[rows].tolist()
    every, flat = slice(0, signal.shape[1]), signal.reshape(len(signal), -1)
    as_axis = np.array([source == target == every for source, target in blocks])
    whole = as_axis & (lengths == signal.shape[2]) & (columns.n_samples[rows] == signal.shape[2])
    if store.form == "raw":
        runs = columns.shard[rows[whole]], columns.offset[rows[whole]] // 2
        _copy_runs(store, flat, np.flatnonzero(whole), *runs)
        rest = np.flatnonzero(~whole & (lengths > 0)).tolist()
    else:
        rest = np.flatnonzero(lengths > 0).tolist()
    sizes = [len(columns.layouts[number]) for number in columns.layout[rows].tolist()]
    n_bytes, n_samples = columns.n_bytes[rows].tolist(), columns.n_samples[rows].tolist()
    begins, ends = starts.tolist(), (starts + lengths).tolist()

    def copy(place: int) -> None:
        (source, target), begin, end = blocks[place], begins[place], ends[place]
        steps = store.steps(shards[place], offsets[place], n_bytes[place], sizes[place], n_samples[place])
        signal[place, target, : end - begin] = steps[source, begin:end]

    # Decompressing lets go of the interpreter, copying does not gain from a second thread.
    threads = torch.get_num_threads() if store.form == "pcodec" else 1
    if threads == 1:
        for place in rest:
            copy(place)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(copy, rest))


def _copy_runs(
    store: Store,
    flat: NDArray[np.int16],
    places: NDArray[np.int64],
    shards: NDArray[np.int32],
    firsts: NDArray[np.int64],
) -> None:
    """Fill the rows `places` of (b, step) with as many steps of the shards' files, from the first of each."""
    n = flat.shape[1]
    # No more than a slice and a copy in this loop: between two copies of 100 kB nothing else stays in the cache.
    files = {shard: store.file_of_steps(shard, firsts[shards == shard].max() + n) for shard in set(shards.tolist())}
    for place, shard, first in zip(places.tolist(), shards.tolist(), firsts.tolist(), strict=True):
        flat[place] = files[shard][first : first + n]


def _known(signal: NDArray[np.int16], lead_mask: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(b, time) where any lead of a record has a sample: what none has is no part of it, wherever it lies."""
    # The first lead is nearly always there and complete, and then no other needs to be read.
    known: NDArray[np.bool_] = signal[:, 0] != MISSING_STEP
    doubted = ~(known.all(1) & lead_mask[:, 0] & (lengths == signal.shape[2]))
    for row in np.flatnonzero(doubted):
        there = (signal[row, lead_mask[row], : lengths[row]] != MISSING_STEP).any(0)
        known[row] = False
        known[row, : lengths[row]] = there
    return known


def _pictures(store: Store, rows: NDArray[np.int64]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """(b, h, w) pictures, white where a record has none, and (b,) which have one; None where the store has none."""
    if store.image_size is None:
        return None, None
    columns = store.columns
    mask = columns.picture[rows] != NO_PICTURE
    image = np.full((len(rows), *store.image_size), WHITE, dtype=np.uint8)
    for place in np.flatnonzero(mask):
        image[place] = store.picture(int(columns.shard[rows[place]]), int(columns.picture[rows[place]]))
    return torch.from_numpy(image), torch.from_numpy(mask)
