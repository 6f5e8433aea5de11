"""Long work that survives a kill: what was accepted lies on the disk, in SQLite, until its answers were fetched.

A recording is `waiting`, `running` or `done`; its answer and `done` are written in one transaction, so that whenever
the service is killed each recording has one answer or none, and the ones without are read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import sqlite3
import stat
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auricle.atomic import locked
from auricle.errors import ConfigError, DataError
from auricle.io.names import recordings_below
from auricle.serve import answers, uploads
from auricle.serve.answers import JSON, UNPROCESSABLE, Answer, Ask
from auricle.serve.background import keep_doing
from auricle.serve.workers import WorkerDiedError, Workers

KINDS: Final = {"measure": answers.measured, "predict": answers.predicted}
# A recording that ended its process, or the service, so often is not tried again.
_MOST_TRIES: Final = 3
_GIVEN_UP: Final = {"error": f"the process that read it ended, or took too long, {_MOST_TRIES} times"}
_IDLE_S: Final = 1.0
# Answers that are read from the disk at once.
_PAGE: Final = 100
# Names of the folders of jobs, and of uploads that are not yet jobs.
_MADE_HERE: Final = re.compile(rf"[0-9a-f]{{32}}|{uploads.PREFIX}.+")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, asked TEXT NOT NULL, made REAL NOT NULL, finished REAL
);
CREATE TABLE IF NOT EXISTS recordings (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, place INTEGER NOT NULL, file TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', tries INTEGER NOT NULL DEFAULT 0, answer TEXT,
    PRIMARY KEY (job, place)
);
CREATE INDEX IF NOT EXISTS by_state ON recordings (state);
"""


@dataclass(frozen=True, slots=True)
class _Next:
    """A recording whose turn it is."""

    job: str
    place: int
    file: str
    kind: str
    asked: dict[str, str]


class Jobs:
    """The queue of one folder, which one service at a time may have.

    Args:
        folder: `jobs.sqlite` and the files of each job; made for this user alone if needed.
        workers: processes that read.
        at_once: how many recordings of jobs are read at the same time.
        keep_hours: how long finished jobs are kept.
        noted: told of each recording that was read, for the audit log: the job, `measure` or `predict`, the answer.

    Raises:
        ConfigError: another service has this folder, others may look into it, or it cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        workers: Workers,
        at_once: int,
        keep_hours: float,
        noted: Callable[[str, str, Answer], None] = lambda job, kind, answer: None,
    ) -> None:
        self.folder, self._workers, self._at_once, self._keep_s = folder, workers, at_once, 3600 * keep_hours
        self._noted = noted
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"--jobs {folder}: others on this machine can look into it; chmod 700 it")
            self._lock = locked(folder / "lock", wait=False)
            if not self._lock.__enter__():
                raise ConfigError(f"--jobs {folder}: another service works there; give another folder")
            self._data = sqlite3.connect(folder / "jobs.sqlite", isolation_level=None, check_same_thread=False)
            self._data.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;" + _SCHEMA
            )
            known = {name for (name,) in self._data.execute("SELECT id FROM jobs")}
        except OSError as error:
            raise ConfigError(f"--jobs {folder}: cannot be used ({error.strerror}); give another folder") from None
        except sqlite3.Error as error:
            raise ConfigError(f"--jobs {folder}: jobs.sqlite cannot be used ({error}); give another folder") from None
        self._take_up()
        for left in folder.iterdir():
            # Only what a service made: the folder may hold what is somebody else's.
            if left.is_dir() and left.name not in known and _MADE_HERE.fullmatch(left.name):
                uploads.remove(left)
        self._tasks: list[asyncio.Task[None]] = []
        self._put_back: list[_Next] = []
        self._work = asyncio.Event()

    def _take_up(self) -> None:
        """Let wait what was running when the service was killed; what was there each time it was killed is given up."""
        left = self._data.execute(
            "SELECT job, place FROM recordings WHERE state = 'running' AND tries >= ?", (_MOST_TRIES,)
        )
        for job, place in left.fetchall():
            self._finish(job, place, json.dumps(_GIVEN_UP))
        self._data.execute("UPDATE recordings SET state = 'waiting' WHERE state = 'running'")

    def begin(self) -> None:
        """Work at what waits, from now on."""
        self._tasks = [keep_doing(self._run) for _ in range(self._at_once)]
        self._tasks.append(keep_doing(self._forget))
        self._work.set()

    async def stop(self) -> None:
        """Stop where it is; what is being read is read again later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A recording that was being read when somebody stopped the service has ended nothing.
        self._data.execute("UPDATE recordings SET state = 'waiting', tries = tries - 1 WHERE state = 'running'")
        self._data.close()
        self._lock.__exit__(None, None, None)

    async def accept(self, folder: Path, kind: str, asked: dict[str, str]) -> tuple[str, int]:
        """Take the recordings of a folder; when this returns they are on the disk and survive a kill.

        Args:
            folder: of uploaded files, below this queue's folder; it becomes the job's.
            kind: one of `KINDS`.
            asked: `language`, `age` ... for all of them.

        Returns:
            The id of the job, which nobody can guess, and how many recordings it has.

        Raises:
            DataError: another kind, or no recording among the files.
        """
        if kind not in KINDS:
            raise DataError(f"kind {kind!r}: is one of {', '.join(KINDS)}")
        files = recordings_below(folder, pictures=True)
        if not files:
            raise DataError("no recording among the files; `auricle list formats` says what is one")
        name = uuid.uuid4().hex
        own = self.folder / name
        await asyncio.to_thread(_settle, folder)
        folder.rename(own)
        _settle_folder(self.folder)
        try:
            self._enter(name, kind, asked, [str(file.relative_to(folder)) for file in files])
        except BaseException:
            uploads.remove(own)
            raise
        self._work.set()
        return name, len(files)

    def _enter(self, name: str, kind: str, asked: dict[str, str], files: list[str]) -> None:
        """Enter a job into the data base."""
        rows = [(name, place, file) for place, file in enumerate(files)]
        with self._transaction():
            self._data.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, NULL)", (name, kind, json.dumps(asked), time.time())
            )
            self._data.executemany("INSERT INTO recordings (job, place, file) VALUES (?, ?, ?)", rows)

    def about(self, name: str) -> dict[str, Any] | None:
        """How far a job is: `kind`, `n` recordings, `done`, `finished`; None where there is no such job."""
        found = self._data.execute("SELECT kind, finished FROM jobs WHERE id = ?", (name,)).fetchone()
        if found is None:
            return None
        counts = dict(
            self._data.execute("SELECT state, COUNT(*) FROM recordings WHERE job = ? GROUP BY state", (name,))
        )
        return {
            "id": name, "kind": found[0], "n": sum(counts.values()), "done": counts.get("done", 0),
            "finished": found[1] is not None,
        }  # fmt: skip

    async def lines(self, name: str) -> AsyncIterator[bytes]:
        """The answers of a job so far, a JSON object a line, each with the `file` it is of, in the files' order."""
        last = -1
        while True:
            found = self._data.execute(
                "SELECT place, file, answer FROM recordings WHERE job = ? AND state = 'done' AND place > ? "
                "ORDER BY place LIMIT ?",
                (name, last, _PAGE),
            ).fetchall()
            for last, file, answer in found:  # noqa: B007 - the place goes on behind the page
                yield answers.to_json({"file": file, **json.loads(answer)}) + b"\n"
            if len(found) < _PAGE:
                return

    def forget(self, name: str) -> bool:
        """Remove a job with its files and answers; whether there was one."""
        with self._transaction():
            found = self._data.execute("DELETE FROM jobs WHERE id = ?", (name,)).rowcount > 0
        if found:  # a name that is no job's may be another folder's
            uploads.remove(self.folder / name)
        return found

    def counts(self) -> dict[str, int]:
        """Recordings by state, of all jobs."""
        found = dict(self._data.execute("SELECT state, COUNT(*) FROM recordings GROUP BY state"))
        return {state: found.get(state, 0) for state in ("waiting", "running", "done")}

    async def _run(self) -> None:
        """Take the next that waits, or wait for one."""
        while self._put_back:
            self._back(self._put_back[-1], is_fault=True)
            self._put_back.pop()
        one = self._next()
        if one is None:
            self._work.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._work.wait()
            return
        try:
            await self._answer(one)
        except Exception:
            # A fault of the service, such as a full disk, in which nothing can be written now.
            self._put_back.append(one)
            raise

    async def _answer(self, one: _Next) -> None:
        asked = one.asked
        path = self.folder / one.job / one.file
        ask = Ask(path, asked["age"], asked["sex"], asked["gestation"], asked["language"])
        try:
            answer = await self._workers.ask_once(KINDS[one.kind], ask)
        except (WorkerDiedError, TimeoutError):
            if self._tries(one) < _MOST_TRIES:
                self._back(one)
                return
            answer = Answer(UNPROCESSABLE, JSON, answers.to_json(_GIVEN_UP))
        # Noted down first: what is fetched has been noted.
        self._noted(one.job, one.kind, answer)
        self._finish(one.job, one.place, answer.content.decode())

    def _finish(self, job: str, place: int, answer: str) -> None:
        """Keep an answer, and note when the job has all of them."""
        with self._transaction():
            self._data.execute(
                "UPDATE recordings SET state = 'done', answer = ? WHERE job = ? AND place = ? AND state = 'running'",
                (answer, job, place),
            )
            self._data.execute(
                "UPDATE jobs SET finished = ? WHERE id = ? AND NOT EXISTS "
                "(SELECT 1 FROM recordings WHERE job = id AND state != 'done')",
                (time.time(), job),
            )

    def _next(self) -> _Next | None:
        """The next recording that waits, of the oldest job, which runs from now on."""
        with self._transaction():
            found = self._data.execute(
                "SELECT job, place, file, kind, asked FROM recordings JOIN jobs ON job = id "
                "WHERE state = 'waiting' ORDER BY made, place LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            one = _Next(**dict(zip(("job", "place", "file", "kind"), found, strict=False)), asked=json.loads(found[4]))
            self._data.execute(
                "UPDATE recordings SET state = 'running', tries = tries + 1 WHERE job = ? AND place = ?",
                (one.job, one.place),
            )
        return one

    def _tries(self, one: _Next) -> int:
        found = self._data.execute("SELECT tries FROM recordings WHERE job = ? AND place = ?", (one.job, one.place))
        (tries,) = found.fetchone() or (_MOST_TRIES,)
        return int(tries)

    def _back(self, one: _Next, is_fault: bool = False) -> None:
        """Let a recording wait again; what was no fault of its own is no try."""
        with self._transaction():
            self._data.execute(
                "UPDATE recordings SET state = 'waiting', tries = tries - ? "
                "WHERE job = ? AND place = ? AND state = 'running'",
                (int(is_fault), one.job, one.place),
            )

    async def _forget(self) -> None:
        """Remove finished jobs whose time has come, then rest."""
        old = self._data.execute("SELECT id FROM jobs WHERE finished < ?", (time.time() - self._keep_s,)).fetchall()
        for (name,) in old:
            self.forget(name)
        await asyncio.sleep(min(60.0, max(1.0, self._keep_s / 4)))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._data.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._data.execute("COMMIT")
        except BaseException as error:
            if self._data.in_transaction:  # of a full disk SQLite has rolled back by itself
                self._data.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder)) from None
            raise


def _settle(folder: Path) -> None:
    """Have the files of a folder, and their names, on the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        else:
            _settle_folder(file)
    _settle_folder(folder)


def _settle_folder(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
