"""A folder that is watched: what lies in it, newest first, each with what its own file says of it.

What is known of a file lives in memory and as long as the service; the page calls a file by a number that means
nothing elsewhere, so that no name is in an address or a log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auricle.io.names import recordings_below
from auricle.io.wfdb_header import files_of
from auricle.serve import answers
from auricle.serve.answers import Ask
from auricle.serve.background import keep_doing
from auricle.serve.guard import BUSY, where
from auricle.serve.workers import Workers

log = logging.getLogger("auricle.serve")

_EVERY_S: Final = 2.0
# Of more only the newest are listed.
_MOST: Final = 2000


@dataclass(slots=True)
class _File:
    """A recording in the folder.

    Attributes:
        path: its file, of WFDB its header.
        files: that and its signal files.
        state: of each, what changes when it is written anew, its time first.
        number: what the page calls it by; another one when it was written anew.
        about: what was read of it; empty until then.
    """

    path: Path
    files: list[Path]
    state: tuple[tuple[int, ...], ...]
    number: str
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def changed_ns(self) -> int:
        """When the last of its files was written."""
        return max(state[0] for state in self.state)


class Watched:
    """The recordings of a folder.

    Args:
        folder: it and the folders below it are looked through every two seconds, or as soon as the recording that is
            being read has been read. What leads out of it, a recording or one of its signal files, is left out.
        workers: processes that read what is new, one recording at a time, the newest first.
    """

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.folder, self._workers = folder.resolve(), workers
        self._secret = secrets.token_bytes(32)
        self._files: dict[Path, _File] = {}
        self._numbers: dict[str, _File] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on."""
        self._task = keep_doing(self._look)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def path(self, number: str) -> Path | None:
        """The file that goes by a number; None where it is gone, is another one by now, or leads elsewhere."""
        found = self._numbers.get(number)
        try:
            is_same = found is not None and _state(found.files) == found.state and self._are_inside(found.files)
        except OSError:
            is_same = False
        return found.path if found is not None and is_same else None

    def listed(self) -> list[dict[str, Any]]:
        """What lies in the folder, newest first: `id`, `name`, `changed`, and what was read of it so far."""
        return [
            {
                "id": one.number,
                # Bytes that are no UTF-8 are shown as what they are not, rather than not at all.
                "name": os.fsencode(one.path.relative_to(self.folder)).decode(errors="replace"),
                "changed": one.changed_ns / 1e9,
                **one.about,
            }
            for one in self._newest()
        ]

    async def _look(self) -> None:
        """Look through the folder, then read what is new until it is time to look again."""
        until = time.monotonic() + _EVERY_S
        await asyncio.to_thread(self._scan)
        for one in self._newest():
            if one.about:
                continue
            answer = await self._workers.ask(answers.summarised, Ask(one.path))
            if answer.status == BUSY:
                break
            one.about = json.loads(answer.content)
            if time.monotonic() > until:
                return
        await asyncio.sleep(_EVERY_S)

    def _newest(self) -> list[_File]:
        """The recordings that are listed."""
        return sorted(self._files.values(), key=lambda one: -one.changed_ns)[:_MOST]

    def _scan(self) -> None:
        """Take up what is new or was written anew; forget what is gone."""
        found = []
        for path in recordings_below(self.folder):
            try:
                one = self._seen(path)
            except Exception as error:  # one file that nobody thought of does not keep the others
                log.error("%s", where(error))
                continue
            if one is not None:
                found.append(one)
        self._files = {one.path: one for one in found}
        self._numbers = {one.number: one for one in found}

    def _seen(self, path: Path) -> _File | None:
        """A recording as it lies there now; None for one that is gone or leads out of the folder."""
        known = self._files.get(path)
        # Which signals a header names is read again as long as there was something wrong with it.
        files = known.files if known is not None and "error" not in known.about else files_of(path)
        try:
            state = _state(files)
            if known is not None and known.state[0] != state[0]:
                files = files_of(path)
                state = _state(files)
        except OSError:
            return None
        if known is not None and known.state == state:
            return known
        # Who may write there chooses not what is read elsewhere.
        if not self._are_inside(files):
            return None
        told = b"\0".join([os.fsencode(path), repr(state).encode()])
        number = hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:24]
        return _File(path, files, state, number)

    def _are_inside(self, files: list[Path]) -> bool:
        return all(file.resolve().is_relative_to(self.folder) for file in files)


def _state(files: list[Path]) -> tuple[tuple[int, ...], ...]:
    """What of files changes when they are written anew, as well by programs that keep their size and time.

    Raises:
        OSError: one is gone.
    """
    states = (file.stat() for file in files)
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino, state.st_ctime_ns) for state in states)
