"""Values of a memory-mapped Arrow table, one row at a time, without making a column: for who reads a few."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from auricle.errors import require


class Rows:
    """Reads single rows of some columns of a table, and keeps views of the parts of the file it has read from.

    Args:
        table: an Arrow table.
        names: its columns to read.
    """

    def __init__(self, table: Any, names: Sequence[str]) -> None:
        self._parts = table.select(list(names)).to_batches()
        self._firsts = np.cumsum([0, *(part.num_rows for part in self._parts)]).tolist()
        self._names = tuple(names)
        self._readers: dict[int, list[Callable[[int], Any]]] = {}

    def __getitem__(self, row: int) -> dict[str, Any]:
        """The values of row number `row` by column: None where missing, lists of numbers as (n,) arrays.

        Raises:
            IndexError: no such row.
        """
        if not 0 <= row < self._firsts[-1]:
            raise IndexError(f"row {row} of a table of {self._firsts[-1]}")
        part = bisect_right(self._firsts, row) - 1
        if part not in self._readers:
            self._readers[part] = [_reader(self._parts[part].column(name)) for name in self._names]
        place = row - self._firsts[part]
        return {name: read(place) for name, read in zip(self._names, self._readers[part], strict=True)}


def _reader(column: Any) -> Callable[[int], Any]:
    """What reads one value of an Arrow array: an item of its own memory where it holds plain numbers, else by Arrow."""
    types = require("pyarrow.types", "train")
    plain = types.is_integer(column.type) or types.is_floating(column.type)
    if plain and not column.null_count:
        read: Callable[[int], Any] = column.to_numpy(zero_copy_only=True).item
        return read
    if types.is_list(column.type) and types.is_integer(column.type.value_type) and not column.null_count:
        bounds, values = column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=True)
        return lambda place: values[bounds[place] : bounds[place + 1]]
    return lambda place: column[place].as_py()
