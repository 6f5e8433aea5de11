"""Processes that read and answer, each of which may die, hang or eat its memory without the service."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from multiprocessing import get_context
from typing import Final

from pebble import ProcessExpired, ProcessPool

from auricle.serve import answers
from auricle.serve.answers import UNPROCESSABLE, Answer, Ask, refusal
from auricle.serve.guard import FAULT
from auricle.serve.settings import Settings

log = logging.getLogger("auricle.serve")

BUSY: Final = 503
_FAULT: Final = 500
# Weights are loaded within seconds; a process that dies while it does so is begun again and again.
_BEGIN_S: Final = 120.0
_PLACE: Final = re.compile(r'File "[^"]*?([\w/.-]{1,80})", line (\d+)')
Reading = Callable[[Ask], Answer]


class WorkerDiedError(Exception):
    """The process that read a recording ended; others go on."""


class Workers:
    """Processes that are kept at hand.

    A recording that takes too long, or that ends its process, costs that process: another takes its place, and nothing
    else that waits is lost (pebble). A process that ends while none of them reads breaks the pool: all later answers
    are faults until the service is started again. That is not mended yet.

    Args:
        settings: how many, with what weights, and what they may use.
    """

    def __init__(self, settings: Settings) -> None:
        # "spawn": a fork of a process that has used torch's threads can deadlock.
        self._pool = ProcessPool(
            max_workers=settings.workers,
            initializer=answers.begin,
            initargs=[settings.weights, settings.memory_bytes],
            context=get_context("spawn"),
        )
        self._seconds, self._most_waiting = settings.seconds, settings.waiting
        self.waiting = 0
        self.died = 0

    async def failure(self) -> str:
        """Wait until a process has loaded what it needs; what is wrong with that, or nothing."""
        try:
            async with asyncio.timeout(_BEGIN_S):
                return str(await asyncio.wrap_future(self._pool.schedule(answers.failure)))
        except (ProcessExpired, TimeoutError):
            return "the processes that read end as soon as they begin; is there enough memory (--memory-gb)?"

    async def ask(self, function: Reading, ask: Ask) -> Answer:
        """The answer of a process; what went wrong with it is an answer too.

        Args:
            function: one of `answers`.
            ask: what is asked.
        """
        if self.waiting >= self._most_waiting:
            return refusal(BUSY, "the service is busy: come again in a second")
        try:
            return await self.ask_once(function, ask)
        except TimeoutError:
            return refusal(UNPROCESSABLE, f"it took more than {self._seconds:g} s to read and was given up; cut it")
        except WorkerDiedError:
            return refusal(UNPROCESSABLE, "the process that read it ended; the file is damaged, or too large")

    async def ask_once(self, function: Reading, ask: Ask) -> Answer:
        """The answer of a process, however many wait.

        Raises:
            TimeoutError: it took too long, and its process was ended.
            WorkerDiedError: its process ended.
        """
        self.waiting += 1
        try:
            future = self._pool.schedule(function, args=[ask], timeout=self._seconds)
            answer: Answer = await asyncio.wrap_future(future)
        except ProcessExpired as error:
            self.died += 1
            raise WorkerDiedError(f"exit status {error.exitcode}") from None
        except TimeoutError:
            self.died += 1
            raise
        except Exception as error:
            # Its text may hold what the file held: the log has its kind and its place.
            places = _PLACE.findall(str(error.__cause__))
            log.error("%s at %s", type(error).__name__, ":".join(places[-1]) if places else "an unknown place")
            return refusal(_FAULT, FAULT)
        finally:
            self.waiting -= 1
        return answer

    def stop(self) -> None:
        """End all processes with what they are at."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
