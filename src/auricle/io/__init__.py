"""Reading recordings: `read(path)` looks at the content, never at the suffix alone, and gives a `Recording`.

A format is one file here with `sniff(path, head) -> bool` and `read(path, **context) -> Recording`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Final

from auricle.errors import AuricleError, ReadError, ReadingNote
from auricle.io import arrays, hdf5, mat, picture, wfdb
from auricle.io.names import header_of
from auricle.recording import Recording

_FORMATS: Final[tuple[ModuleType, ...]] = (arrays, hdf5, wfdb, mat, picture)
_HEAD_BYTES: Final = 512
# What a caller may know better than a file that says it too. No reader sees it, so that whatever the format the file's
# own is read as well, and a note says which of two that differ is used.
_OF_THE_PERSON: Final = ("age", "sex", "gestation_days")


def read(path: Path | str, **context: object) -> Recording:
    """One recording from a file.

    Args:
        path: a WFDB header (or its signal file, or its name without suffix), .npy, .npz, MATLAB .mat or HDF5; or a
            picture of an ECG (PNG, JPEG, TIFF, BMP, GIF), for models that read pictures. A name with dots in it is
            tried as it stands first.
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
        with target.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ReadError(f"{path}: cannot be opened ({error.strerror})") from None
    person = {name: context.pop(name, None) for name in _OF_THE_PERSON}
    for format_module in _FORMATS:
        if format_module.sniff(target, head):
            try:
                recording: Recording = format_module.read(target, **context).with_context(**person)
            except ReadError:
                raise
            except AuricleError as error:
                raise ReadError(f"{target}: {error}") from None
            for note in recording.notes:
                warnings.warn(f"{target.name}: {note}", ReadingNote, stacklevel=2)
            return recording
    kind = picture.kind_not_read(head)
    if kind:
        raise ReadError(f"{target}: is {kind}, which is not read; save the page that shows the ECG as PNG")
    raise ReadError(f"{target}: is no ECG that auricle reads (WFDB header, .npy, .npz, .mat, HDF5 or a picture)")


__all__ = ["read"]
