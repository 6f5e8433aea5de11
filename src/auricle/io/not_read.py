"""Files that people take for a recording and that are not read: what they are, and what to do with them."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 512
"""Of the first bytes of a file, so many are looked at."""

_AS_PNG: Final = "save the page that shows the ECG as PNG"
_UNPACK: Final = "unpack it and give the recording in it"
_EXPORT: Final = "export the recording as HL7 aECG XML, DICOM waveform, SCP-ECG, EDF or WFDB"
# By bytes at a place: what it is, and the remedy.
_KINDS: Final = (
    (0, b"%PDF", "a PDF document", _AS_PNG), (8, b"WEBP", "a WebP picture", _AS_PNG),
    (4, b"jP  ", "a JPEG 2000 picture", _AS_PNG), (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _AS_PNG),
    (4, b"ftyphei", "a HEIC picture", _AS_PNG), (4, b"ftypmif", "a HEIC picture", _AS_PNG),
    (4, b"ftypavif", "an AVIF picture", _AS_PNG), (0, b"<svg", "an SVG drawing", _AS_PNG),
    (0, b"8BPS", "a Photoshop picture", _AS_PNG), (0, b"\0\0\1\0", "an icon", _AS_PNG),
    (0, b"II+\0", "a BigTIFF picture", _AS_PNG), (0, b"MM\0+", "a BigTIFF picture", _AS_PNG),
    (0, b"PK\3\4", "a ZIP archive", _UNPACK), (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK), (0, b"\xfd7zXZ", "an xz archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK), (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK), (0, b"\xd0\xcf\x11\xe0", "an old Office document", _EXPORT),
    (0, b"ANN  1.0", "the annotations of an ISHNE Holter", "give its recording (.ecg)"),
    (0, b"GDF ", "a GDF file", "convert it to EDF with BioSig's save2gdf"),
    (0, b"MSH|", "an HL7 message", "give the document that it carries"), (0, b"{", "a JSON file", _EXPORT),
)  # fmt: skip


def kind_not_read(head: bytes) -> str:
    """What a file is, by its first bytes, if it is of a kind that is known and not read; empty for anything else."""
    return _found(head)[0]


def remedy_for(head: bytes) -> str:
    """What to do with such a file."""
    return _found(head)[1]


def remedy_for_xml(root: str) -> str:
    """What to do with an XML document of another root than those that are read."""
    return _AS_PNG if root == "svg" else _EXPORT


def _found(head: bytes) -> tuple[str, str]:
    return next(((kind, remedy) for at, mark, kind, remedy in _KINDS if head[at:].startswith(mark)), ("", ""))
