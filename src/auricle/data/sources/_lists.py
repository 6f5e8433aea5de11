"""What the sources share: a data set's own list file, and WFDB records without globbing a million names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle.errors import DataError, ReadError, require
from auricle.io import wfdb

if TYPE_CHECKING:
    import pandas as pd

    from auricle.recording import Recording

_RECORDS: Final = "RECORDS"


def read_list(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    """A data set's own CSV as text, empty cells as "".

    Args:
        path: the CSV file, gzipped or not.
        columns: those it must have.
        what: the data set, for the message.

    Raises:
        DataError: missing, unreadable, or without one of the columns.
    """
    pandas = require("pandas", "train")
    try:
        table: pd.DataFrame = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path.parent}: no {path.name} in it; give the folder that holds {what}") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as CSV ({type(error).__name__}); copy it again") from None
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}; is it {what}'s own list?")
    return table


def wfdb_stems(root: Path) -> list[str]:
    """Records below a folder, relative and without suffix, from PhysioNet's RECORDS files where there are any.

    A RECORDS file names records, or folders that have a RECORDS file of their own; without one the folder is walked.

    Raises:
        DataError: no folder, or not one record in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    stems = sorted(dict.fromkeys(_listed(root, "") if (root / _RECORDS).is_file() else _walked(root)))
    if not stems:
        raise DataError(f"{root}: lists no WFDB record; give the folder that the archive unpacks to")
    return stems


def _listed(root: Path, under: str) -> Iterator[str]:
    for line in (root / under / _RECORDS).read_text(encoding="utf-8").split():
        name = f"{under}{line}"
        if not name.endswith("/") and not (root / name).is_dir():
            yield name.removesuffix(".hea")
        elif (root / name / _RECORDS).is_file():
            yield from _listed(root, f"{name.rstrip('/')}/")
        elif (root / name).is_dir():  # a folder that an incomplete mirror lacks is not an error
            yield from (f"{name.rstrip('/')}/{stem}" for stem in _walked(root / name))


def _walked(folder: Path) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        under = Path(place).relative_to(folder)
        yield from (str((under / name).with_suffix("")) for name in files if name.endswith(".hea"))


def read_wfdb(root: Path, row: Mapping[str, Any], **context: object) -> Recording:
    """The record of an index row with `record_id` and `file` (its stem).

    Raises:
        ReadError: missing or damaged.
    """
    path = root / f"{row['file']}.hea"
    if not path.is_file():
        raise ReadError(f"{path}: missing, though the data set's list names it: copy it")
    return wfdb.read(path).with_context(record_id=str(row["record_id"]), **context)
