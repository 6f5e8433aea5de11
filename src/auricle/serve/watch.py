"""A folder that is watched: what lies in it, newest first, each with what its own file says of it.

What is known of a file lives in memory and as long as the service; the page calls a file by a number that means
nothing elsewhere, so that no name is in an address or a log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auricle.io.names import recordings_below
from auricle.serve import answers
from auricle.serve.answers import Ask
from auricle.serve.background import keep_doing
from auricle.serve.workers import Workers

_EVERY_S: Final = 2.0
# Of more only the newest are listed.
_MOST: Final = 2000


@dataclass(slots=True)
class _File:
    """A recording in the folder."""

    path: Path
    changed: tuple[int, int]
    about: dict[str, Any] = field(default_factory=dict)


class Watched:
    """The recordings of a folder.

    Args:
        folder: it and the folders below it are looked through again two seconds after what was new has been read.
        workers: processes that read what is new, one recording at a time.
    """

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.folder, self._workers = folder, workers
        self._secret = secrets.token_bytes(32)
        self._files: dict[str, _File] = {}
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
        """The file that goes by a number; None where there is none (any more)."""
        found = self._files.get(number)
        return found.path if found is not None else None

    def listed(self) -> list[dict[str, Any]]:
        """What lies in the folder, newest first: `id`, `name`, `changed`, and what was read of it so far."""
        newest = sorted(self._files.items(), key=lambda item: -item[1].changed[1])
        return [
            {"id": number, "name": str(one.path.relative_to(self.folder)), "changed": one.changed[1] / 1e9, **one.about}
            for number, one in newest
        ]

    async def _look(self) -> None:
        """Look through the folder once, read what is new, then rest."""
        await asyncio.to_thread(self._scan)
        for one in sorted(self._files.values(), key=lambda file: -file.changed[1]):
            if not one.about:
                answer = await self._workers.ask(answers.summarised, Ask(one.path))
                one.about = json.loads(answer.content)
        await asyncio.sleep(_EVERY_S)

    def _scan(self) -> None:
        """Take up what is new or was written anew; forget what is gone."""
        found = {}
        root = self.folder.resolve()
        for path in recordings_below(self.folder):
            try:
                state = path.stat()
            except OSError:
                continue
            if not path.resolve().is_relative_to(root):
                continue  # a link out of the folder: who may write there chooses not what is read elsewhere
            found[path] = (state.st_size, state.st_mtime_ns)
        newest = sorted(found, key=lambda path: -found[path][1])[:_MOST]
        before = self._files
        files: dict[str, _File] = {}
        for path in newest:
            number = hmac.new(self._secret, str(path).encode(), hashlib.sha256).hexdigest()[:24]
            known = before.get(number)
            files[number] = known if known is not None and known.changed == found[path] else _File(path, found[path])
        self._files = files
