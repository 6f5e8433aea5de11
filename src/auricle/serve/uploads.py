"""What was sent: files in a folder of their own that nobody else may read, gone when the answer is."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from auricle.atomic import locked
from auricle.errors import DataError

PREFIX: Final = "auricle-upload-"
# The folder in which all uploads of a service lie, in the system's place for temporary files.
_HOME: Final = "auricle-uploads-"
_ODD: Final = re.compile(r"[\x00-\x1f\x7f]")
# What file systems take, in bytes: no file that came from one is called longer.
_LONGEST_NAME: Final = 255
_BLOCK: Final = 1 << 20


class Home:
    """The folder of one service's uploads, which nobody else may look into, held as long as the service lives."""

    def __init__(self) -> None:
        self.folder = self._made()

    def _made(self) -> Path:
        # It has its own name only when it is locked: another service that starts now must not take it for left behind.
        made = Path(tempfile.mkdtemp(prefix=".auricle-"))
        self._lock = locked(made / "lock", wait=False)
        self._lock.__enter__()
        return made.rename(made.with_name(_HOME + made.name.removeprefix(".auricle-")))

    def new_folder(self) -> Path:
        """A folder for one upload; the home is made anew where somebody cleaned it away."""
        try:
            return new_folder(self.folder)
        except FileNotFoundError:
            self._lock.__exit__(None, None, None)
            self.folder = self._made()
            return new_folder(self.folder)

    def close(self) -> None:
        """Remove it with what is in it."""
        remove(self.folder)
        self._lock.__exit__(None, None, None)


def new_folder(below: Path) -> Path:
    """A folder for one upload, that only this user may look into."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=below))


def remove(folder: Path) -> None:
    """Remove a folder with what is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind() -> int:
    """Remove the folders of services that were killed; how many there were."""
    count = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_HOME}*"):
        # Another user's may not be looked into, and one that is gone by now is nobody's.
        with contextlib.suppress(OSError):
            state = folder.lstat()
            if state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode) or not (folder / "lock").is_file():
                continue
            with locked(folder / "lock", wait=False) as is_left:
                if is_left:
                    remove(folder)
                    count += 1
    return count


def safe_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a file as a browser sends them, without what would lead out of its folder.

    Raises:
        DataError: nothing is left.
    """
    parts = [_ODD.sub("", part).strip() for part in name.replace("\\", "/").split("/")]
    # The end of a name is what tells its kind.
    kept = tuple(
        part.encode(errors="replace")[-_LONGEST_NAME:].decode(errors="ignore")
        for part in parts
        if part not in ("", ".", "..")
    )
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
        DataError: two of one name, a name that is none, a text in place of a file, or nothing was sent.
    """
    paths = []
    for upload in uploads:
        if isinstance(upload, str):
            raise DataError("file: is a file, and a text was sent; send it with its name")
        path = folder.joinpath(*safe_parts(upload.filename or ""))
        if os.path.lexists(path):
            raise DataError(
                f"{path.relative_to(folder)}: was sent twice; send files of one name in folders of their own"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                while block := await upload.read(_BLOCK):
                    file.write(block)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise DataError(f"{path.relative_to(folder)}: a file is called as a folder") from None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise DataError("a file lies in too many folders, or its name is too long: send it by its name") from None
        # What was kept of it while it came is given up: it is on the disk once, not twice.
        await upload.close()
        paths.append(path)
    if not paths:
        raise DataError("no file was sent: send a recording as `file`, with its header and signals as several `file`s")
    return paths
