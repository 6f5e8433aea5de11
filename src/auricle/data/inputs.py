"""What a person gives to be measured or answered for: files, folders and manifests, as recordings to be read in turn.

Nothing is read before its turn, and whatever cannot be read is an input that says so when it is: one bad file, line or
folder does not keep the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle.errors import DataError, ReadError
from auricle.io import read
from auricle.io.names import header_of, record_name, recordings_below
from auricle.recording import Recording

if TYPE_CHECKING:
    from auricle.data.manifest import ManifestRow

_MANIFESTS: Final = frozenset({".csv", ".tsv"})


@dataclass(frozen=True, slots=True)
class Input:
    """One recording that was asked for and not yet read.

    Attributes:
        path: the file, as it was given, or as a manifest names it seen from where the manifest was given.
        record_id: the name of the record: that of the manifest, else the file's.
        read: reads it, here or in another process. Takes what the caller knows better (age, sex ...) by keyword; None
            changes nothing. Raises `DataError`.
        listed: the manifest and the line that list it, such as `records.csv:3`; empty where none does.
        said: what the manifest says of it, as text that changes with it.
    """

    path: Path
    record_id: str
    read: Callable[..., Recording]
    listed: str = ""
    said: str = ""

    def reason(self, error: DataError) -> str:
        """The message of an error about this input, with the place in front where it does not say which."""
        text = str(error).removeprefix(f"{self.record_id}: ")
        known = (str(self.path), self.path.name, self.listed or str(self.path))
        return text if any(name in text for name in known) else f"{self.listed or self.path}: {text}"


def fingerprint(given: Iterable[Input]) -> str:
    """A digest that changes with the recordings, their order, what a manifest says of them, and their files' dates."""
    digest = hashlib.sha256()
    for one in given:
        try:
            state = one.path.stat()
            file = f"{state.st_size}/{state.st_mtime_ns}"
        except OSError:
            file = "none"
        digest.update("\0".join((str(one.path), one.record_id, one.listed, one.said, file, "\n")).encode())
    return digest.hexdigest()


def inputs(paths: Iterable[Path], pictures: bool = False) -> list[Input]:
    """The recordings that some paths stand for, in order.

    Args:
        paths: a recording in any readable format; a folder, which stands for all recordings in it and below; or a
            manifest (.csv, .tsv), which stands for the recordings it lists with their ages and whatever else it knows.
        pictures: in folders, take pictures without a recording of their name as well.
    """
    return [one for path in paths for one in _inputs(path, pictures)]


def _inputs(path: Path, pictures: bool) -> list[Input]:
    if path.suffix.casefold() in _MANIFESTS and not path.is_dir():
        return _listed(path)
    # A WFDB record may go by a name that a folder beside it has too.
    if not path.is_dir() or header_of(path) is not None:
        return [_file(path)]
    below = recordings_below(path, pictures)
    if not below:
        why = f"{path}: no recording in this folder; `auricle list formats` says what is one"
        return [_failing(path, ReadError(why))]
    return [_file(one) for one in below]


def _file(path: Path) -> Input:
    return Input(path, record_name(path), partial(read, path))


def _failing(path: Path, error: DataError) -> Input:
    return Input(path, record_name(path), partial(_fail, error))


def _fail(error: DataError, **_: object) -> Recording:
    raise error


def _listed(manifest: Path) -> list[Input]:
    from auricle.data.manifest import read_manifest

    try:
        rows = read_manifest(manifest)
    except DataError as error:
        return [_failing(manifest, error)]
    return [_row(manifest, row) for row in rows]


def _row(manifest: Path, row: ManifestRow) -> Input:
    from auricle.data.manifest import found

    named = row.file or row.image
    path = found(manifest.parent, named) or (manifest.parent / named if named else manifest)
    return Input(path, row.record_id, partial(_read_row, manifest, row), f"{manifest.name}:{row.line}", repr(row))


def _read_row(manifest: Path, row: ManifestRow, **known: Any) -> Recording:
    from auricle.data.sources.manifest import Manifest

    return Manifest().read(manifest, {"row": row}).with_context(**known)
