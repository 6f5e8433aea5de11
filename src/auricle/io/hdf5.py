"""HDF5 files with one array of millivolts, as the Shandong Provincial Hospital set has them (`ecg`, half precision).

The file says neither rate nor leads: they come from the caller. Links out of the file are never followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ReadError, require
from auricle.io.arrays import bare
from auricle.recording import Recording

_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_NAMES: Final = ("ecg", "signal", "data", "val")
# Half-precision ECG deflates to a third; a dataset that claims more than this many times its file is damaged.
_MOST_INFLATED: Final = 64


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes begin an HDF5 file."""
    del path
    return head.startswith(_MAGIC)


def read(path: Path, **context: object) -> Recording:
    """A recording from the array `ecg` (or `signal`, `data`, `val`); rate and leads come from the caller.

    Raises:
        ReadError: damaged, or no such array.
    """
    return bare(path, _load(path), context)


def _load(path: Path) -> NDArray[Any]:
    h5py = require("h5py", "io")
    try:
        with h5py.File(path, "r") as file:
            name = next((name for name in _NAMES if isinstance(file.get(name, getlink=True), h5py.HardLink)), None)
            if name is None:
                raise ReadError(f"{path}: no array named {', '.join(_NAMES)} in it")
            table = file[name]
            if not isinstance(table, h5py.Dataset) or table.dtype.kind not in "fiu" or table.external:
                raise ReadError(f"{path}: {name} is not an array of numbers")
            if table.size * table.dtype.itemsize > _MOST_INFLATED * path.stat().st_size:
                raise ReadError(f"{path}: {name} claims {table.shape} values, more than its file holds")
            return np.asarray(table[()])
    except ReadError:
        raise
    except Exception as error:  # the library raises whatever it trips over
        raise ReadError(f"{path}: not a readable HDF5 file ({type(error).__name__}); copy it again") from None
