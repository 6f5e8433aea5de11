"""What was sent: files in a folder of their own that nobody else may read, gone when the answer is."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from auricle.errors import DataError

PREFIX: Final = "auricle-upload-"
_ODD: Final = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME: Final = 200
_BLOCK: Final = 1 << 20


def new_folder(below: Path | None = None) -> Path:
    """A folder that only this user may look into.

    Args:
        below: where; the system's place for temporary files where None.
    """
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=below))


def remove(folder: Path) -> None:
    """Remove a folder with what is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind(owner_alive_s: float) -> int:
    """Remove the folders of services that were killed: those older than any upload may take.

    Args:
        owner_alive_s: seconds for which a folder may still be in use.

    Returns:
        How many there were.
    """
    old = [
        folder
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
        if folder.is_dir()
        and folder.stat().st_uid == os.getuid()
        and time.time() - folder.stat().st_mtime > owner_alive_s
    ]
    for folder in old:
        remove(folder)
    return len(old)


def safe_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a file as a browser sends them, without what would lead out of its folder.

    Raises:
        DataError: nothing is left.
    """
    parts = [_ODD.sub("", part).strip() for part in name.replace("\\", "/").split("/")]
    kept = tuple(part[-_LONGEST_NAME:] for part in parts if part not in ("", ".", ".."))
    if not kept:
        raise DataError("a file was sent without a name: send its name, which tells which files belong together")
    return kept


async def write_files(uploads: Sequence[Any], folder: Path) -> list[Path]:
    """Write the files of a form into a folder, with the folders below it that their names have.

    Args:
        uploads: as Starlette's form parser gives them.
        folder: exists.

    Returns:
        Where they are, as they were sent.

    Raises:
        DataError: two of one name, a name that is none, or nothing was sent.
    """
    paths = []
    for upload in uploads:
        path = folder.joinpath(*safe_parts(upload.filename or ""))
        if path.exists():
            raise DataError(
                f"{path.relative_to(folder)}: was sent twice; send files of one name in folders of their own"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{path.relative_to(folder)}: a file is called as its folder") from None
        with path.open("xb") as file:
            while block := await upload.read(_BLOCK):
                file.write(block)
        paths.append(path)
    if not paths:
        raise DataError("no file was sent: send a recording as `file`, with its header and signals as several `file`s")
    return paths


def text_of(form: Mapping[str, Any], name: str) -> str:
    """A text field of a form; empty where it is not there.

    Raises:
        DataError: a file was sent in its place.
    """
    value = form.get(name, "")
    if not isinstance(value, str):
        raise DataError(f"{name}: is a text, and a file was sent")
    return value.strip()
