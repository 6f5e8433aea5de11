"""Processes that read and answer, each of which may die, hang or eat its memory without the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Final

from pebble import ProcessExpired, ProcessPool

from auricle.serve import answers
from auricle.serve.answers import UNPROCESSABLE, Answer, Ask, refusal
from auricle.serve.background import keep_doing
from auricle.serve.guard import BUSY, FAULT
from auricle.serve.settings import Settings

log = logging.getLogger("auricle.serve")

_FAULT: Final = 500
# Weights are loaded within seconds; a process that dies while it does so is begun again and again.
_BEGIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.5
# So often a recording is asked again because processes ended of which nobody can say whether it was the cause.
_MOST_RENEWALS: Final = 3
_PLACE: Final = re.compile(r'File "[^"]*?([\w/.-]{1,80})", line (\d+)')
Reading = Callable[[Ask], Answer]


class WorkerDiedError(Exception):
    """The process that read a recording ended; others go on."""


class AllLostError(WorkerDiedError):
    """All processes ended, again and again; nobody can say why."""


class Workers:
    """Processes that are kept at hand.

    A recording that takes too long, or that ends its process, costs that process: another takes its place, and nothing
    else that waits is lost. A process that ends while none of them reads (the kernel takes memory back), or while it
    begins, breaks pebble's pool: all of them are then begun anew, and what waits is asked again.

    Args:
        settings: how many, with what weights, and what they may use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.seconds
        self.waiting = 0
        self.died = 0
        self._pool = self._new()
        self._moved = time.monotonic()
        self._is_ready = self._is_stopped = False
        self._open: set[Future[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a process has loaded what it needs, and nothing has ended all of them since."""
        return self._is_ready and self._pool.active

    async def failure(self) -> str:
        """Wait until a process has loaded what it needs; what is wrong with that, or nothing."""
        asked = asyncio.ensure_future(self._scheduled(answers.failure))
        try:
            async with asyncio.timeout(_BEGIN_S):
                # A pool that breaks meanwhile leaves the question without an answer, and nobody else may look.
                while not (await asyncio.wait([asked], timeout=_LOOK_EVERY_S))[0]:
                    if not self._pool.active:
                        self._renew(self._pool)
                found = str(asked.result())
        except (ProcessExpired, WorkerDiedError, TimeoutError):
            return "the processes that read end as soon as they begin; is there enough memory (--memory-gb)?"
        finally:
            asked.cancel()
        self._is_ready = not found
        return found

    def begin(self) -> None:
        """See to it from now on that there are processes."""
        self._task = keep_doing(self._keep)

    async def stop(self) -> None:
        """End all processes with what they are at."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(_end, self._pool, set())

    async def _keep(self) -> None:
        """Look once, then rest: where all processes are lost, or none has moved for longer than any may, begin anew."""
        stands_still = self.waiting and time.monotonic() - self._moved > self._seconds + _BEGIN_S
        if stands_still or not self._pool.active:
            self._renew(self._pool)
        if not self._is_ready:
            failure = await self.failure()
            if failure:
                log.error("%s", failure)
        await asyncio.sleep(_LOOK_EVERY_S)

    async def ask(self, function: Reading, ask: Ask) -> Answer:
        """The answer of a process; what went wrong with it is an answer too.

        Args:
            function: one of `answers`.
            ask: what is asked.
        """
        try:
            return await self.ask_once(function, ask)
        except TimeoutError:
            return refusal(UNPROCESSABLE, f"it took more than {self._seconds:g} s to read and was given up; cut it")
        except AllLostError:
            return refusal(BUSY, "the processes that read were lost: come again in a second")
        except WorkerDiedError:
            return refusal(UNPROCESSABLE, "the process that read it ended; the file is damaged, or too large")

    async def ask_once(self, function: Reading, ask: Ask) -> Answer:
        """The answer of a process, however many wait.

        Raises:
            TimeoutError: it took too long, and its process was ended.
            WorkerDiedError: its process ended.
        """
        if not self.waiting:
            self._moved = time.monotonic()
        self.waiting += 1
        try:
            answer: Answer = await self._scheduled(function, ask, seconds=self._seconds)
            return answer
        except ProcessExpired as error:
            self.died += 1
            raise WorkerDiedError(f"exit status {error.exitcode}") from None
        except TimeoutError:
            self.died += 1
            raise
        except WorkerDiedError:
            raise
        except Exception as error:
            # Its text may hold what the file held: the log has its kind and its place.
            places = _PLACE.findall(str(error.__cause__))
            log.error("%s at %s", type(error).__name__, ":".join(places[-1]) if places else "an unknown place")
            return refusal(_FAULT, FAULT)
        finally:
            self.waiting -= 1
            self._moved = time.monotonic()

    async def _scheduled(self, function: Callable[..., Any], *given: Any, seconds: float | None = None) -> Any:
        """What a process answers, from new processes where all were lost meanwhile.

        Raises:
            ProcessExpired: its process ended.
            TimeoutError: it took too long, and its process was ended.
            AllLostError: all processes were lost again and again.
        """
        for _ in range(_MOST_RENEWALS):
            pool = self._pool
            try:
                future = pool.schedule(function, args=given, timeout=seconds)
            except RuntimeError:  # pebble's word for a pool that broke before
                self._renew(pool)
                continue
            self._open.add(future)
            try:
                return await asyncio.wrap_future(future)
            except BrokenProcessPool:
                self._renew(pool)
            finally:
                self._open.discard(future)
        raise AllLostError("all processes ended, several times")

    def _new(self) -> Any:
        # "spawn": a fork of a process that has used torch's threads can deadlock.
        return ProcessPool(
            max_workers=self._settings.workers,
            initializer=answers.begin,
            initargs=[self._settings.weights, self._settings.memory_bytes],
            context=get_context("spawn"),
        )

    def _renew(self, broken: Any) -> None:
        """Begin all processes anew, once for each time they were lost."""
        if broken is not self._pool or self._is_stopped:
            return
        self.died += 1
        log.error("all processes that read are begun anew")
        self._pool, self._is_ready, self._moved = self._new(), False, time.monotonic()
        lost, self._open = self._open, set()
        threading.Thread(target=_end, args=[broken, lost], daemon=True).start()


def _end(pool: Any, lost: set[Future[Any]]) -> None:
    """End the processes of a pool; whoever waits for an answer of it learns that there is none."""
    pool.stop()
    pool.join()
    for future in lost:
        with contextlib.suppress(InvalidStateError):
            future.set_exception(BrokenProcessPool())
