"""What batches need of all records of a store, as arrays: made once in a process, then read many rows at a time.

About 150 bytes a record, and as much again for the order of an epoch. A process that reads a few rows asks
`auricle.data.rows`, which makes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.age import best_days
from auricle.data.format import NO_PICTURE
from auricle.errors import require
from auricle.recording import patient_number

_CHUNK = 100_000


class Columns:
    """Arrays over the records of a store; n is their number.

    Args:
        table: the records' Arrow table.

    Attributes:
        shard, offset, n_bytes, n_samples: (n,) where the samples lie and how many there are of each lead.
        picture: (n,) where the picture begins, -1 where there is none.
        gain_mv: (n,) millivolts per step.
        age_days: (n,) the age to give to a model, NaN where unknown.
        male: (n,) 1, 0, or NaN where unknown.
        patient: (n,) numbers equal for equal patients.
        layout: (n,) which of `layouts` the leads of the record are.
        layouts: the distinct tuples of leads.
    """

    def __init__(self, table: Any) -> None:
        pc = require("pyarrow.compute", "train")
        self.shard = _numbers(table["shard"], np.int32)
        self.offset, self.n_bytes = _numbers(table["offset"], np.int64), _numbers(table["n_bytes"], np.int64)
        self.n_samples = _numbers(table["n_samples"], np.int64)
        self.gain_mv = _numbers(table["gain_mv"], np.float32)
        self.picture = np.full(len(table), NO_PICTURE, dtype=np.int64)
        if "image_offset" in table.column_names:
            self.picture = _numbers(pc.fill_null(table["image_offset"], NO_PICTURE), np.int64)
        days, resolution = (_numbers(table[name], np.float64) for name in ("age_days", "age_resolution_days"))
        # An age of which nobody said how finely it is known is an age all the same.
        self.age_days = best_days(days, np.nan_to_num(resolution)).astype(np.float32)
        male = pc.if_else(pc.equal(table["sex"], "M"), 1.0, pc.if_else(pc.equal(table["sex"], "F"), 0.0, None))
        self.male = _numbers(male, np.float32)
        self.patient = _patients(table)
        self.layout, self.layouts = _layouts(table["leads"])
        beats = table["beats"].combine_chunks()
        self._bounds = beats.offsets.to_numpy().astype(np.int64)
        self._beats = beats.values.to_numpy(zero_copy_only=False)
        self._record_id = table["record_id"].combine_chunks()

    def record_ids(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """The names of the records at `rows`."""
        return tuple(self._record_id.take(require("pyarrow", "train").array(rows)).to_pylist())

    def beats(self, rows: NDArray[np.int64], starts: NDArray[np.int64], n_samples: int) -> NDArray[np.int64]:
        """R peaks inside crops of the records at `rows`.

        Args:
            rows: (b,) row numbers.
            starts: (b,) first sample of each crop.
            n_samples: length of the crops.

        Returns:
            (b, beat) counted from the start of the crop, then -1.
        """
        first, count = self._bounds[rows], self._bounds[rows + 1] - self._bounds[rows]
        row, place = np.repeat(np.arange(len(rows)), count), np.arange(count.sum())
        peaks = self._beats[place + np.repeat(first - (np.cumsum(count) - count), count)] - starts[row]
        inside = (peaks >= 0) & (peaks < n_samples)
        row, peaks = row[inside], peaks[inside]
        kept = np.bincount(row, minlength=len(rows))
        padded = np.full((len(rows), kept.max(initial=0)), -1, dtype=np.int64)
        padded[row, np.arange(len(row)) - np.repeat(np.cumsum(kept) - kept, kept)] = peaks
        return padded


def _numbers(column: Any, kind: type[np.generic]) -> NDArray[Any]:
    """A column as an array of its own; missing numbers are NaN."""
    values: NDArray[Any] = column.to_numpy()
    return values.astype(kind)


def _patients(table: Any) -> NDArray[np.int64]:
    names = table.select(["source", "patient_id", "record_id"])
    numbers = np.empty(len(table), dtype=np.int64)
    for first in range(0, len(table), _CHUNK):  # the texts of a million records at once would be a gigabyte
        part = names.slice(first, _CHUNK).to_pydict().values()
        numbers[first : first + _CHUNK] = [patient_number(*one) for one in zip(*part, strict=True)]
    return numbers


def _layouts(column: Any) -> tuple[NDArray[np.int32], tuple[tuple[str, ...], ...]]:
    """Which of the distinct tuples of leads each record has, and these tuples."""
    pc = require("pyarrow.compute", "train")
    joined = pc.binary_join(column, "\n").combine_chunks().dictionary_encode()
    texts = joined.dictionary.to_pylist()
    return joined.indices.to_numpy().astype(np.int32), tuple(tuple(text.split("\n")) if text else () for text in texts)
