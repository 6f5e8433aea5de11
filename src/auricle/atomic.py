"""Files that a reader sees whole or not at all: written beside their place, synced, and renamed into it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeGuard
from uuid import uuid4

# What the names of unfinished files end in: no pattern for finished ones matches them.
PARTIAL: Final = ".partial"
# A list of numbers over several lines.
_NUMBERS: Final = re.compile(r"\[\n *([-+.\deE]+(?:,\n *[-+.\deE]+)*)\n *\]")


def write_with(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, and rename it into place when it is whole.

    If `write` raises, nothing is left; if the process is killed, the old file stays as it was, with a file ending in
    `PARTIAL` beside it.

    Args:
        path: the file; its folder is made if needed.
        write: called with the temporary path.

    Raises:
        OSError: it cannot be written there; of a full disk its `filename` is the file's.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if is_full(error) and error.filename is None:
            error.filename = str(path)
        raise


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error says that the disk, or what one may use of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes to a file that is replaced as a whole."""
    write_with(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON to a file that is replaced as a whole; lists of numbers take one line.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    # Line ends in strings are escaped, so that no list over several lines lies in one.
    text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    write_bytes(path, text.encode())


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock on a file that is made if needed; the system releases it when the process ends, however it ends.

    Args:
        path: the lock's file.
        wait: wait until another process releases it.

    Yields:
        Whether the lock is held; false only where another process holds it and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
