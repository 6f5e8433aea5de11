"""MATLAB files of level 5 without a WFDB header beside them: the native layout of CPSC2018, and bare arrays.

CPSC2018 writes a struct `ECG` with `data` (lead, time) in millivolts, `sex` and `age`; the Challenge editions write an
array `val`. Neither says rate or leads: they come from the caller. The parser is ours (MAT-file format, MathWorks,
level 5): scipy's ends the process on damaged bytes. Every size is checked against what holds it before it is used.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
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
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR = 2, 4
# Data types of elements, as numpy writes them without byte order.
_TYPES: Final = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
}  # fmt: skip
_NUMERIC_CLASSES: Final = range(6, 16)
# ECG samples deflate to a fifth at best; more than this is no recording.
_MOST_INFLATED: Final = 200
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class _Element:
    """A tagged piece of the file."""

    kind: int
    body: bytes


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
    fields = {name.casefold(): value for name, value in table.items()} if isinstance(table, dict) else {}
    if "data" not in fields:
        raise ReadError(f"{path}: its struct ECG has no field data")
    known: dict[str, object] = {}
    try:
        known["age"] = ages.parse(_text(fields.get("age")))
    except DataError:
        known["age"] = None  # an age that makes no sense is unknown, never the loss of the ECG
    known["sex"] = sex_of(_text(fields.get("sex")))
    return fields["data"], {name: value for name, value in known.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    flat = np.asarray([] if value is None else value).reshape(-1)
    return str(flat[0]) if flat.size else ""


def _load(path: Path) -> dict[str, Any]:
    """The variables of a file by name: arrays, text, and structs as dictionaries; other classes are left out."""
    content = path.read_bytes()
    order = "<" if content[126:128] == b"IM" else ">"
    found: dict[str, Any] = {}
    try:
        for element in _elements(content[_HEADER_BYTES:], order):
            inner = element
            if element.kind == _COMPRESSED:
                inner = next(_elements(_inflate(element.body), order), element)
            if inner.kind == _MATRIX:
                name, value = _matrix(inner.body, order, 0)
                found[name] = value
    except (ValueError, struct.error, StopIteration) as error:
        raise ReadError(f"{path}: truncated or damaged ({error}); copy it again") from None
    return {name: value for name, value in found.items() if value is not None}


def _elements(content: bytes, order: str) -> Iterator[_Element]:
    """The tagged elements side by side in some bytes.

    Raises:
        ValueError: one claims more bytes than there are.
    """
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        if kind >> 16:  # a small element: type and size share one word, the data is the next
            size, kind = kind >> 16, kind & 0xFFFF
            if size > 4:
                raise ValueError("an element of wrong size")
            yield _Element(kind, content[position + 4 : position + 4 + size])
            position += 8
            continue
        position += 8
        if size > len(content) - position:
            raise ValueError("an element claims more bytes than the file holds")
        yield _Element(kind, content[position : position + size])
        position += size if kind == _COMPRESSED else size + (-size) % 8


def _matrix(body: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of a matrix element; the value is None for classes that hold no recording.

    Raises:
        ValueError: its parts do not fit together.
    """
    if depth > _DEEPEST:
        raise ValueError("structs nested deeper than any recording's")
    parts = _elements(body, order)
    flags = _numbers(_part(parts), order)
    shape = tuple(int(n) for n in _numbers(_part(parts), order))
    name = _part(parts).body.decode("latin-1")
    if not flags.size or not 2 <= len(shape) <= 4 or min(shape) < 0:
        raise ValueError("a matrix without class or shape")
    kind = int(flags[0]) & 0xFF
    if kind == _STRUCT:
        return name, _struct(parts, shape, order, depth)
    if kind != _CHAR and kind not in _NUMERIC_CLASSES:
        return name, None
    values = _numbers(_part(parts), order)
    if values.size != math.prod(shape):
        raise ValueError(f"a matrix of shape {shape} with {values.size} values")
    if kind == _CHAR:
        return name, "".join(chr(int(value)) for value in values if 0 < int(value) < 0xD800)
    return name, values.reshape(shape, order="F")


def _struct(parts: Iterator[_Element], shape: tuple[int, ...], order: str, depth: int) -> dict[str, Any]:
    """The fields of the first of an array of structs."""
    width = _numbers(_part(parts), order)
    names = _part(parts).body
    if math.prod(shape) < 1 or width.size != 1 or not 0 < int(width[0]) <= max(1, len(names)):
        raise ValueError("a struct without fields")
    step = int(width[0])
    fields = [names[i : i + step].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), step)]
    return {field: _matrix(_part(parts).body, order, depth + 1)[1] for field in fields}


def _part(parts: Iterator[_Element]) -> _Element:
    found = next(parts, None)
    if found is None:
        raise ValueError("a matrix that ends too early")
    return found


def _numbers(element: _Element, order: str) -> NDArray[Any]:
    if element.kind not in _TYPES:
        raise ValueError(f"data of type {element.kind}")
    kind = np.dtype(order + _TYPES[element.kind])
    if len(element.body) % kind.itemsize:
        raise ValueError("data that end inside a number")
    return np.frombuffer(element.body, dtype=kind)


def _inflate(body: bytes) -> bytes:
    limit = max(1, len(body)) * _MOST_INFLATED
    try:
        content = zlib.decompressobj().decompress(body, limit)
    except zlib.error:
        raise ValueError("a compressed element that does not inflate") from None
    if len(content) >= limit:
        raise ValueError("a compressed element that inflates beyond any recording")
    return content
