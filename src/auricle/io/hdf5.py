"""HDF5 files with one array, as the Shandong Provincial Hospital set has them (`ecg`, half precision, millivolts), and
MATLAB files of level 7.3, which are HDF5 with their axes in the other order.

Where the file says neither rate nor leads they come from the caller. Links out of the file are never followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle.errors import ReadError, require
from auricle.io.arrays import named
from auricle.recording import Recording

_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_MATLAB: Final = b"MATLAB 7.3 MAT-file"
# Half-precision ECG deflates to a third; a dataset that claims more than this many times its file is damaged.
_MOST_INFLATED: Final = 64
_MOST_NAMES: Final = 200


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes begin an HDF5 file, or MATLAB's with its own line before it."""
    del path
    return head.startswith((_MAGIC, _MATLAB))


def read(path: Path, **context: object) -> Recording:
    """A recording from the array `ecg` (`signal`, `data`, `val`) or MATLAB's struct `ECG`.

    Raises:
        ReadError: damaged, or no such array.
    """
    return named(path, _load(path), context)


def _load(path: Path) -> dict[str, Any]:
    """The datasets at the top of a file by name, or those of its group `ECG`."""
    h5py = require("h5py", "io")
    try:
        with path.open("rb") as content:
            matlab = content.read(len(_MATLAB)) == _MATLAB
        with h5py.File(path, "r") as file:
            inner = file.get("ECG") if isinstance(file.get("ECG", getlink=True), h5py.HardLink) else None
            group = inner if isinstance(inner, h5py.Group) else file
            names = list(group)[:_MOST_NAMES]
            linked = [name for name in names if isinstance(group.get(name, getlink=True), h5py.HardLink)]
            return {
                name: _value(path, name, group[name], matlab)
                for name in linked
                if isinstance(group[name], h5py.Dataset) and group[name].dtype.kind in "fiuSO"
            }
    except ReadError:
        raise
    except Exception as error:  # the library raises whatever it trips over
        raise ReadError(f"{path}: not a readable HDF5 file ({type(error).__name__}); copy it again") from None


def _value(path: Path, name: str, table: Any, matlab: bool) -> Any:
    """A dataset as an array or text."""
    if table.external:
        raise ReadError(f"{path}: {name} is not an array of numbers in this file")
    if table.size * table.dtype.itemsize > _MOST_INFLATED * path.stat().st_size:
        raise ReadError(f"{path}: {name} claims {table.shape} values, more than its file holds")
    if table.dtype.kind == "O":
        return _texts(table)
    values = np.asarray(table[()])
    if not matlab:
        return values
    if _attribute(table.attrs, "MATLAB_class") == "char":
        return "".join(chr(int(letter)) for letter in values.T.reshape(-1, order="F") if 0 < int(letter) < 0xD800)
    return values.T


def _texts(table: Any) -> Any:
    """Text of any length, or what references point to if all of it is text (MATLAB's cells)."""
    h5py = require("h5py", "io")
    if h5py.check_ref_dtype(table.dtype) is None:
        return [str(text) for text in table.asstr()[()].reshape(-1)] if table.shape else table.asstr()[()]
    cells = [table.file[reference] for reference in table[()].reshape(-1)[:_MOST_NAMES]]
    return ["".join(chr(int(letter)) for letter in cell[()].reshape(-1) if 0 < int(letter) < 0xD800) for cell in cells]


def _attribute(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name, b"")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
