"""Split files that others published: one multi-hot CSV per part, read from where their user has them.

Source: the benchmark files of MERL (Liu et al., ICML 2024, MIT licence). What is wrong in them is part of the record:
CSN labels were matched by substring and its `age` is the number of leads, so nothing but the record's name, its part
and (on the `legacy` track) its label columns is read.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from auricle.config import Config
from auricle.errors import DataError
from auricle.io.names import record_name


class Published(Config):
    """Where a question's split files lie below their folder.

    Attributes:
        record: the column that names the record, as an id or as a path whose stem is the id.
    """

    train: str
    validation: str
    test: str
    record: str


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """The rows of three split files.

    Attributes:
        parts: record ids of each part.
        columns: the remaining cells of each record, by column name.
    """

    parts: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Mapping[str, str]]

    def labels(self, classes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Record id -> (class,) 0/1 as published, faults included.

        Raises:
            DataError: a class is no column of the files.
        """
        first = next(iter(self.columns.values()))
        missing = [name for name in classes if name not in first]
        if missing:
            raise DataError(f"the published split files have no column {', '.join(missing)}")
        # By name: the three files of one question do not always order their columns alike.
        return {
            record: np.array([float(cells[name]) for name in classes], dtype=np.float32)
            for record, cells in self.columns.items()
        }


@lru_cache(maxsize=4)
def read_published(spec: Published, folder: Path) -> PublishedTable:
    """The rows of the three split files.

    Args:
        spec: names of the files, and of the column that names the record.
        folder: where they lie.

    Raises:
        DataError: one is missing or has no column that names the record, or a record is in two parts.
    """
    parts: dict[str, tuple[str, ...]] = {}
    columns: dict[str, Mapping[str, str]] = {}
    for part, name in spec.model_dump(exclude={"record"}).items():
        path = folder / name
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); give the folder of the split files") from None
        if not rows or spec.record not in rows[0]:
            raise DataError(f"{path}: has no column {spec.record!r}; is it the published split file?")
        ids = [record_name(PurePosixPath(row[spec.record])) for row in rows]
        doubled = next((record for record in ids if record in columns), None)
        if doubled is not None:
            raise DataError(f"{path}: record {doubled} is also in another part")
        columns |= dict(zip(ids, rows, strict=True))
        parts[part] = tuple(ids)
    return PublishedTable(parts, columns)
