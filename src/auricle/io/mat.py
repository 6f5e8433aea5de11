"""MATLAB files of level 5 without a WFDB header beside them: the native layout of CPSC2018, and bare arrays.

CPSC2018 writes a struct `ECG` with `data` (lead, time) in millivolts, `sex` and `age`; the Challenge editions write an
array `val`. Neither says rate or leads: they come from the caller. Files are parsed by scipy, after a walk over their
elements has shown that none claims more bytes than there are.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle import age as ages
from auricle.errors import DataError, ReadError
from auricle.io.arrays import bare
from auricle.io.wfdb import sex_of
from auricle.recording import Recording

_MAGIC: Final = b"MATLAB 5.0 MAT-file"
_HEADER_BYTES: Final = 128
_COMPRESSED, _MATRIX = 15, 14
# ECG samples deflate to a fifth at best; more than this is no recording.
_MOST_INFLATED: Final = 200
_DEEPEST: Final = 6


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes begin a level 5 file."""
    del path
    return head.startswith(_MAGIC)


def read(path: Path, **context: object) -> Recording:
    """A recording from a struct `ECG` or an array `val`; rate and leads come from the caller.

    Raises:
        ReadError: damaged, or no ECG in it.
    """
    tables = _load(path)
    if "ECG" in tables:
        signal, known = _from_struct(path, tables["ECG"])
    elif "val" in tables:
        signal, known = tables["val"], {}
    else:
        raise ReadError(f"{path}: holds neither a struct ECG nor an array val, only {', '.join(tables) or 'nothing'}")
    given = {name: value for name, value in context.items() if value is not None}
    return bare(path, signal, {**known, **given})


def _from_struct(path: Path, table: Any) -> tuple[Any, dict[str, object]]:
    try:
        fields = table.reshape(-1)[0]
        names = {name.casefold(): name for name in fields.dtype.names}
        signal = fields[names["data"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ReadError(f"{path}: its struct ECG has no field data") from None
    known: dict[str, object] = {}
    try:
        known["age"] = ages.parse(_text(fields[names["age"]])) if "age" in names else None
    except DataError:
        known["age"] = None  # an age that makes no sense is unknown, never the loss of the ECG
    known["sex"] = sex_of(_text(fields[names["sex"]])) if "sex" in names else None
    return signal, {name: value for name, value in known.items() if value is not None}


def _text(value: Any) -> str:
    flat = np.asarray(value).reshape(-1)
    return str(flat[0]) if flat.size else ""


def _load(path: Path) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat

    content = path.read_bytes()
    try:
        _check_sizes(content[_HEADER_BYTES:], "<" if content[126:128] == b"IM" else ">", 0)
        tables = loadmat(path, verify_compressed_data_integrity=True)
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from None
    except Exception as error:  # scipy's parser raises whatever it trips over
        raise ReadError(f"{path}: not a readable MATLAB file ({type(error).__name__})") from None
    return {name: value for name, value in tables.items() if not name.startswith("__")}


def _check_sizes(content: bytes, order: str, depth: int) -> None:
    """Walk the elements: each must fit into what holds it, so that nobody allocates by a claim.

    Raises:
        ReadError: an element claims more than is there, inflates beyond reason, or nests too deep.
    """
    if depth > _DEEPEST:
        raise ReadError("elements nested deeper than any recording's")
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        if kind >> 16:  # a small element: type and size share one word, the data the next
            position += 8
            continue
        position += 8
        if size > len(content) - position:
            raise ReadError("truncated, or damaged: an element claims more bytes than the file holds; copy it again")
        body = content[position : position + size]
        if kind == _COMPRESSED:
            _check_sizes(_inflate(body), order, depth + 1)
            position += size
        else:
            if kind == _MATRIX:
                _check_sizes(body, order, depth + 1)
            position += size + (-size) % 8


def _inflate(body: bytes) -> bytes:
    limit = max(1, len(body)) * _MOST_INFLATED
    try:
        content = zlib.decompressobj().decompress(body, limit)
    except zlib.error:
        raise ReadError("a damaged compressed element; copy it again") from None
    if len(content) >= limit:
        raise ReadError("a compressed element that inflates beyond any recording")
    return content
