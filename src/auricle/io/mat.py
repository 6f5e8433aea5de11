"""MATLAB files of levels 4 and 5 without a WFDB header beside them: the native layout of CPSC2018, and bare arrays.

CPSC2018 writes a struct `ECG` with `data` (lead, time) in millivolts, `sex` and `age`; the Challenge editions write an
array `val` of counts. Neither says rate or leads: they come from the caller, or from further variables (`fs`, `leads`).
Files of level 7.3 are HDF5 and read there. The parser is ours (MAT-file format, MathWorks): scipy's ends the process on
damaged bytes. Every size is checked against what holds it before it is used.
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

from auricle.errors import ReadError
from auricle.io.arrays import named
from auricle.recording import Recording

_MAGIC: Final = b"MATLAB 5.0 MAT-file"
_HEADER_BYTES: Final = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
# Data types of elements, as numpy writes them without byte order.
_TYPES: Final = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
}  # fmt: skip
_NUMERIC_CLASSES: Final = range(6, 16)
# ECG samples deflate to a fifth at best; more than this is no recording.
_MOST_INFLATED: Final = 200
_DEEPEST: Final = 6
# Level 4: the head of a matrix, kinds of numbers by the tens of its type, and no name is longer.
_HEAD_4: Final = 20
_TYPES_4: Final = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class _Element:
    """A tagged piece of the file."""

    kind: int
    body: bytes


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes begin a file of level 5, or the first matrix of one of level 4."""
    del path
    return head.startswith(_MAGIC) or _level_4(head) is not None


def read(path: Path, **context: object) -> Recording:
    """A recording from a struct `ECG` or arrays; rate and leads come from the caller where the file says neither.

    Raises:
        ReadError: damaged, or no ECG in it.
    """
    tables = _load(path)
    struct = tables.get("ECG")
    return named(path, struct if isinstance(struct, dict) else tables, context)


def _load(path: Path) -> dict[str, Any]:
    """The variables of a file by name: arrays, text, and structs as dictionaries; other classes are left out."""
    content = path.read_bytes()
    if not content.startswith(_MAGIC):
        return _load_level_4(path, content)
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
    if kind == _CELL:
        cells = [_matrix(part.body, order, depth + 1)[1] for part in parts if part.kind == _MATRIX]
        return name, cells if all(isinstance(cell, str) for cell in cells) else None
    if kind != _CHAR and kind not in _NUMERIC_CLASSES:
        return name, None
    values = _numbers(_part(parts), order)
    if values.size != math.prod(shape):
        raise ValueError(f"a matrix of shape {shape} with {values.size} values")
    if kind == _CHAR:
        return name, _text(values.reshape(shape, order="F"))
    return name, values.reshape(shape, order="F")


def _text(letters: NDArray[Any]) -> str | list[str]:
    """A matrix of characters: one text, or one for each of several rows, whose blanks at the end only pad them."""
    rows = letters.reshape(letters.shape[0], -1) if letters.size else letters.reshape(1, -1)
    texts = ["".join(chr(int(value)) for value in row if 0 < int(value) < 0xD800) for row in rows]
    return texts[0] if len(texts) == 1 else [text.rstrip() for text in texts]


def _level_4(content: bytes) -> tuple[str, np.dtype[Any], int, int, bool, int] | None:
    """Name, kind of number, rows, columns, whether text, and bytes of the name; None if no matrix begins here.

    A matrix begins with five numbers of four bytes: type, rows, columns, whether complex, length of the name.
    """
    if len(content) < _HEAD_4:
        return None
    for order in "<>":
        kind, rows, columns, complex_, length = struct.unpack_from(f"{order}5i", content)
        machine, number, text = kind // 1000, kind // 10 % 100, kind % 10
        known = number in _TYPES_4 and text in (0, 1) and machine == (0 if order == "<" else 1)
        if known and complex_ == 0 and rows > 0 and columns > 0 and 1 < length <= _LONGEST_NAME:
            name = content[_HEAD_4 : _HEAD_4 + length]
            if name.endswith(b"\0") and name[:-1].replace(b"_", b"").isalnum():
                return name[:-1].decode("latin-1"), np.dtype(order + _TYPES_4[number]), rows, columns, text == 1, length
    return None


def _load_level_4(path: Path, content: bytes) -> dict[str, Any]:
    """The matrices of a file of level 4 by name, one behind the other."""
    found: dict[str, Any] = {}
    while content:
        matrix = _level_4(content)
        if matrix is None:
            raise ReadError(f"{path}: truncated or damaged (what follows a matrix is none); copy it again")
        name, kind, rows, columns, is_text, length = matrix
        begin = _HEAD_4 + length
        end = begin + rows * columns * kind.itemsize
        if end > len(content):
            raise ReadError(f"{path}: truncated or damaged (a matrix claims more bytes than it has); copy it again")
        values = np.frombuffer(content[begin:end], dtype=kind).reshape((rows, columns), order="F")
        found[name] = _text(values) if is_text else values
        content = content[end:]
    return found


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
