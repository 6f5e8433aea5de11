"""Names of files: what of a name is a suffix, and which files belong together.

Hospitals name records by identifiers with dots in them (`2.25.31.4`, `2024.05.01`). What follows the last dot is then
no suffix: cut off, it leaves the name of another record, often of another patient.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePath
from posixpath import normpath
from typing import Final

from auricle.errors import ReadError

_HEADER: Final = ".hea"
_SIGNALS: Final = frozenset({".dat", ".mat"})
# What is cut from a name to get the record's; anything else behind a dot belongs to the name.
_SUFFIXES: Final = _SIGNALS | {
    _HEADER, ".npy", ".npz", ".h5", ".hdf5", ".hdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif",
    ".webp", ".jp2", ".pdf", ".xml", ".dcm", ".scp", ".edf", ".bdf", ".ecg", ".mwf", ".mfr", ".csv", ".txt",
}  # fmt: skip
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"})
_ARCHIVES: Final = frozenset({".npy", ".npz", ".mat", ".h5", ".hdf5", ".hdf"})
_EXPORTS: Final = frozenset({".xml", ".dcm", ".scp", ".edf", ".bdf", ".ecg", ".mwf", ".mfr"})
_NO_FILE: Final = frozenset({"-", "~", "", ".", ".."})
# A name written in one code page and read in another: what it was read in, what it may have been written in.
_READ_IN: Final = ("gb18030", "latin-1", "cp1252")
_WRITTEN_IN: Final = ("utf-8", "gb18030", "latin-1")


def suffix_of(path: PurePath | str) -> str:
    """The suffix in small letters if it is one of a file that belongs to a recording, otherwise empty."""
    suffix = PurePath(path).suffix.casefold()
    return suffix if suffix in _SUFFIXES else ""


def record_name(path: PurePath | str) -> str:
    """The name of a record by that of its file: `2.25.31.4` of `x/2.25.31.4.hea`, of `x/2.25.31.4` as well."""
    name = PurePath(path).name
    return name[: len(name) - len(suffix_of(name))]


def holds_signals(path: PurePath | str) -> bool:
    """Whether a name ends as those of WFDB signal files do (.dat, .mat)."""
    return suffix_of(path) in _SIGNALS


def header_of(path: Path) -> Path | None:
    """The header that belongs to a signal file or to a record's name; None if there is none.

    A name is tried as it stands first; only what is known to be a suffix is cut from it.
    """
    if not path.name:
        return None
    known = suffix_of(path) in _SIGNALS | {_HEADER}
    for name in dict.fromkeys((path.name, record_name(path) if known else path.name)):
        for suffix in (_HEADER, _HEADER.upper()):
            if path.with_name(name + suffix).is_file():
                return path.with_name(name + suffix)
    return None


def recordings_below(folder: Path, pictures: bool = False) -> list[Path]:
    """The files in a folder and below it that are recordings by their names, one for each record, in order.

    A header stands for its signal files, and a recording for the pictures of its name. What is hidden (a name that
    begins with a dot) is left out.

    Args:
        folder: where to look.
        pictures: take pictures that no recording of their name lies beside as well.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen = sorted(name for name in names if not name.startswith("."))
        headers = {record_name(name) for name in seen if suffix_of(name) == _HEADER}
        chosen = [name for name in seen if suffix_of(name) == _HEADER]
        chosen += [
            name for name in seen if suffix_of(name) in _ARCHIVES | _EXPORTS and record_name(name) not in headers
        ]
        if pictures:
            taken = {record_name(name) for name in chosen}
            chosen += [name for name in seen if suffix_of(name) in _PICTURES and record_name(name) not in taken]
        found += [Path(place, name) for name in sorted(chosen)]
    return found


def signal_file(header: Path, name: str) -> Path:
    """The signal file that a header names, beside the header or in a folder below it.

    Where no file is spelled exactly so, one that differs in capitals, in the composition of accents or in the code page
    the header was written in is taken, if it is the only one. A name that begins with the folder which the header
    itself lies in (`ge/1.dat` in `ge/1.hea`, as PTB-XL+ has it) is meant from the folder above.

    Raises:
        ReadError: it lies elsewhere, or is not there.
    """
    parts = PurePath(normpath(name.replace("\\", "/"))).parts
    if name in _NO_FILE or not parts or parts[0] in {"/", "//", ".."} or ":" in parts[0]:
        raise ReadError(f"{header}: names a signal file outside of its folder")
    parents = [header.parent.joinpath(*parts[:-1])]
    folder = parts[:-1]
    if folder and header.absolute().parent.parts[-len(folder) :] == folder:
        parents.append(header.parent)
    for parent in parents:
        found = _spelled_like(parent, parts[-1])
        if found is not None:
            return found
    raise ReadError(f"{header}: its signal file {name[:80]} is missing: copy it beside the header")


def _spelled_like(folder: Path, name: str) -> Path | None:
    try:
        if (folder / name).is_file():
            return folder / name
        entries = [entry.name for entry in folder.iterdir()]
    except (OSError, ValueError):  # a name that no file can have, or no such folder
        return None
    for wanted in (name, *_other_readings(name)):
        alike = [entry for entry in entries if _folded(entry) == _folded(wanted) and (folder / entry).is_file()]
        if len(alike) == 1:
            return folder / alike[0]
    return None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _other_readings(name: str) -> list[str]:
    """A name that is not plain ASCII as other code pages have it, and as its bytes."""
    if name.isascii():
        return []
    found = []
    for read_in in _READ_IN:
        try:
            content = name.encode(read_in)
        except UnicodeError:
            continue
        for written_in in _WRITTEN_IN:
            try:
                found.append(content.decode(written_in))
            except UnicodeError:
                continue
        found.append(os.fsdecode(content))
    return list(dict.fromkeys(found))
