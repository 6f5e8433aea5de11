"""XML from carts, read so that no file can do harm: no entities, nothing fetched, no larger than a recording may be.

Names are given without their namespaces. Encodings that the parser of Python does not know (GB18030, Shift-JIS) are
decoded first.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError, tostring

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ReadError, require

# A day of a Holter is not written as text, and numbers as text take thirty times their bytes while they are read.
_LARGEST_BYTES: Final = 32 * 2**20
_ROOT_WITHIN: Final = 65_536
_SKIPPED: Final = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)", re.DOTALL)
_ROOT: Final = re.compile(r"\s*<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)(?=[\s/>])")
_DECLARED: Final = re.compile(rb"^\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.:-]+)[\"'][^>]*\?>")
_KNOWN_TO_EXPAT: Final = frozenset({"utf-8", "utf8", "utf-16", "utf16", "iso-8859-1", "latin-1", "us-ascii", "ascii"})
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


def begins(head: bytes) -> bool:
    """Whether bytes can begin an XML document, in any of the encodings that carts use."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return text.startswith(b"<") or head.startswith((b"\xff\xfe<\0", b"\xfe\xff\0<", b"<\0", b"\0<"))


def root_name(path: Path, head: bytes) -> str:
    """The name of a document's root without its namespace; empty where it is no XML."""
    if not begins(head):
        return ""
    found = _root_in(head)
    if not found:  # behind comments, as in examples of HL7
        with path.open("rb") as file:
            found = _root_in(file.read(_ROOT_WITHIN))
    return found


def _root_in(content: bytes) -> str:
    text, place = _as_text(content), 0
    while (skipped := _SKIPPED.match(text, place)) is not None:
        place = skipped.end()
    found = _ROOT.match(text, place)
    return found[1] if found else ""


def _as_text(content: bytes) -> str:
    """Bytes as text for looking at names, whatever the encoding."""
    wide = content.startswith(_MARKS[:2]) or b"\0" in content[:4]
    big = content.startswith(b"\xfe\xff") or content[:1] == b"\0"
    encoding = ("utf-16-be" if big else "utf-16-le") if wide else "utf-8"
    return content.decode(encoding, "replace").lstrip("\ufeff")


def parse(path: Path) -> Element:
    """The root of a document, with names that have lost their namespaces.

    Raises:
        ReadError: damaged, too large, in an unknown encoding, or with entities.
    """
    defused = require("defusedxml.ElementTree", "io")
    refused = require("defusedxml.common", "io").DefusedXmlException
    if path.stat().st_size > _LARGEST_BYTES:
        raise ReadError(f"{path}: is larger than {_LARGEST_BYTES >> 20} MiB, which is not read; export it as EDF")
    content = path.read_bytes()
    try:
        root: Element = defused.fromstring(_in_utf_8(path, content), forbid_dtd=False)
    except refused:
        raise ReadError(
            f"{path}: declares entities, which no ECG export needs and which can harm a computer; not read"
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise ReadError(f"{path}: is damaged or ends early as XML ({error}); export it again") from None
    for node in root.iter():
        node.tag = str(node.tag).rpartition("}")[2]
    return root


def _in_utf_8(path: Path, content: bytes) -> bytes:
    """A document in an encoding that the parser knows."""
    declared = None if content.startswith(_MARKS) else _DECLARED.match(content)
    if declared is None or declared[1].decode("ascii").casefold() in _KNOWN_TO_EXPAT:
        return content
    encoding = declared[1].decode("ascii")
    # GB2312 is what files in its successor say.
    encoding = "gb18030" if encoding.casefold() in {"gb2312", "gbk"} else encoding
    try:
        return content[declared.end() :].decode(encoding, "replace").encode("utf-8", "replace")
    except LookupError:
        raise ReadError(f"{path}: is in the encoding {encoding[:40]!r}, which is not known") from None


def text_of(node: Element | None, place: str = "") -> str:
    """The text at a place below a node (`a/b`), without blanks around it; empty where there is none."""
    found = node if node is None or not place else node.find(place)
    return "" if found is None else (found.text or "").strip()


def person(path: Path, root: Element, name: str) -> Element:
    """The node that describes the person; an empty one where there is none.

    Raises:
        ReadError: there are several, and they differ.
    """
    found = list(root.iter(name))
    if len({b"".join(tostring(node).split()) for node in found}) > 1:
        raise ReadError(f"{path}: holds recordings of several persons; export a file for each")
    return found[0] if found else Element(name)


def first(node: Element, *places: str) -> str:
    """The first text that is there at several places below a node."""
    return next((text for text in (text_of(node, place) for place in places) if text), "")


def counts(path: Path, text: str) -> NDArray[np.float64]:
    """Numbers parted by blanks, commas or semicolons.

    Raises:
        ReadError: something else stands among them.
    """
    try:
        return np.array(re.sub(r"[,;]", " ", text).split(), dtype=np.float64)
    except ValueError:
        raise ReadError(f"{path}: something that is no number stands among its samples; export it again") from None


def decoded(path: Path, text: str) -> bytes:
    """Bytes that are written in Base64.

    Raises:
        ReadError: they are not.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ReadError(f"{path}: its samples are not whole Base64; export it again") from None


def words_16(path: Path, text: str, signed: bool = True) -> NDArray[np.float64]:
    """Samples of two bytes each, the lower first, that are written in Base64.

    Raises:
        ReadError: it is no Base64, or half a sample is left over.
    """
    content = decoded(path, text)
    if len(content) % 2:
        raise ReadError(f"{path}: its samples end within one; export it again")
    return np.frombuffer(content, dtype="<i2" if signed else "<u2").astype(np.float64)
