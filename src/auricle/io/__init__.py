"""Reading recordings: `read(path)` looks at the content, never at the suffix alone, and gives a `Recording`.

A format is one file here with `sniff(path, head) -> bool` and `read(path, **context) -> Recording`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Final

from auricle.errors import AuricleError, ReadError, ReadingNote
from auricle.io import (
    aecg,
    arrays,
    cardiosoft,
    dicom,
    edf,
    hdf5,
    ishne,
    mat,
    mfer,
    muse,
    picture,
    schiller,
    scp,
    sierra,
    wfdb,
    xml,
)
from auricle.io.names import header_of
from auricle.io.not_read import HEAD_BYTES, kind_not_read, remedy_for, remedy_for_xml
from auricle.recording import Recording

# What has a mark of its own first; SCP-ECG and MFER are told by how their first fields fit together.
_FORMATS: Final[tuple[ModuleType, ...]] = (
    arrays, hdf5, sierra, muse, cardiosoft, schiller, aecg, dicom, edf, ishne, wfdb, mat, picture, scp, mfer,
)  # fmt: skip
# What a caller may know better than a file that says it too. No reader sees it, so that whatever the format the file's
# own is read as well, and a note says which of two that differ is used.
_OF_THE_PERSON: Final = ("age", "sex", "gestation_days")


def read(path: Path | str, **context: object) -> Recording:
    """One recording from a file.

    Args:
        path: a WFDB header (or its signal file, or its name without suffix); what carts and archives export (Philips,
            MUSE, CardioSoft and Schiller XML, HL7 aECG, DICOM, SCP-ECG, EDF, MFER, ISHNE); .npy, .npz, MATLAB .mat or
            HDF5; or a picture of an ECG (PNG, JPEG, TIFF, BMP, GIF), for models that read pictures. A name with dots in
            it is tried as it stands first.
        **context: what the caller knows and the file may not: age, sex, report ...; None changes nothing. A bare
            array (.npy, .mat, HDF5) also needs `rate_hz` and `leads`. What the file says otherwise of age, sex and
            gestation is named in a note.

    Returns:
        The recording; each of its `notes` is also a `ReadingNote`, a Python warning that names the file.

    Raises:
        ReadError: no such file, no ECG in it, or a damaged one; one line with file and remedy.
    """
    path = Path(path)
    try:
        target = path if path.is_file() else header_of(path)
        if target is None:
            if path.is_dir() and path.name:
                raise ReadError(f"{path}: is a folder; give one recording in it")
            raise ReadError(f"{path}: no such file")
        before = _state_of(target)
        with target.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror})") from None
    person = {name: context.pop(name, None) for name in _OF_THE_PERSON}
    format_module = next((module for module in _FORMATS if module.sniff(target, head)), None)
    if format_module is None:
        raise ReadError(f"{target}: {_why_not_read(target, head)}")
    try:
        recording: Recording = format_module.read(target, **context).with_context(**person)
    except ReadError:
        raise
    except AuricleError as error:
        raise ReadError(f"{target}: {error}") from None
    except MemoryError:
        raise ReadError(f"{target}: needs more memory to read than there is; it is damaged, or cut it") from None
    except OSError as error:
        raise ReadError(f"{target}: cannot be read ({error.strerror or type(error).__name__})") from None
    if _state_of(target) != before:
        raise ReadError(f"{target}: changed while it was read; wait until it is written")
    for note in recording.notes:
        warnings.warn(f"{target.name}: {note}", ReadingNote, stacklevel=2)
    return recording


def formats() -> dict[str, str]:
    """The formats that are read by the name of their reader, each with a line on it, in the order they are tried."""
    return {
        module.__name__.rpartition(".")[2]: (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
        for module in _FORMATS
    }


def _state_of(path: Path) -> tuple[int, int] | None:
    """What of a file changes when somebody writes it; None where it is gone."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _why_not_read(path: Path, head: bytes) -> str:
    """What a file is that no reader takes, and the remedy."""
    kind = kind_not_read(head)
    if kind:
        return f"is {kind}, which is not read; {remedy_for(head)}"
    root = xml.root_name(path, head)
    if root:
        return f"is XML of another kind ({root[:40]}), which is not read; {remedy_for_xml(root)}"
    return "is no ECG that auricle reads (auricle list formats)"


__all__ = ["formats", "read"]
