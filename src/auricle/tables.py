"""Tables as files, CSV in UTF-8 or Parquet by their suffix, whole or not at all, however many lines they have."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle.atomic import write_with
from auricle.errors import require

CSV, PARQUET = ".csv", ".parquet"
# A missing number is None, a missing text empty.
Cell = str | float | int | bool | None
Row = Mapping[str, Cell]
# A truth value is a number as well: the first that fits counts. numpy's scalars are of these kinds, too.
_KINDS: Final = ((str, "string"), ((bool, np.bool_), "bool_"), (Integral, "int64"))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write lines of cells.

    Args:
        path: its suffix decides the format.
        rows: the columns are those of all rows, in the order in which they first occur; what a row lacks is missing.

    Raises:
        OSError: it cannot be written there.
        MissingExtraError: .parquet without pyarrow.
    """
    write_parts(path, lambda: [rows])


def write_parts(path: Path, parts: Callable[[], Iterable[Sequence[Row]]]) -> None:
    """Write lines of cells that come in parts, one of which is in memory at a time.

    Args:
        path: its suffix decides the format.
        parts: gives all parts, and the same ones again when it is called again: the columns are known when all were
            seen once.

    Raises:
        OSError, MissingExtraError: as by `write_rows`.
    """
    kinds: dict[str, set[type]] = {}
    for rows in parts():
        for row in rows:
            for name, value in row.items():
                kinds.setdefault(name, set()).update([type(value)] if value is not None else [])
    write = _write_csv if path.suffix.casefold() == CSV else _write_parquet
    write_with(path, lambda place: write(place, parts(), kinds))


def _write_csv(place: Path, parts: Iterable[Sequence[Row]], kinds: Mapping[str, set[type]]) -> None:
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kinds), restval="", lineterminator="\n")
        writer.writeheader()
        for rows in parts:
            writer.writerows(rows)


def _write_parquet(place: Path, parts: Iterable[Sequence[Row]], kinds: Mapping[str, set[type]]) -> None:
    arrow, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    fields = {name: getattr(arrow, _kind(found))() for name, found in kinds.items()}
    texts = {name for name, found in kinds.items() if _kind(found) == "string" and found != {str}}

    def cell(row: Row, name: str) -> Any:
        value = row.get(name)
        return str(value) if name in texts and value is not None else value

    with parquet.ParquetWriter(place, arrow.schema(list(fields.items()))) as writer:
        for rows in parts:
            columns = [arrow.array([cell(row, name) for row in rows], kind) for name, kind in fields.items()]
            writer.write_table(arrow.table(columns, names=list(fields)))


def _kind(found: set[type]) -> str:
    """Arrow's name for what a column holds: texts where one is a text, numbers where there is no value at all."""
    kinds = {next((kind for base, kind in _KINDS if issubclass(one, base)), "float64") for one in found}
    return "string" if "string" in kinds else kinds.pop() if len(kinds) == 1 else "float64"
