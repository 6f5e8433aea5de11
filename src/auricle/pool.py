"""Processes that work for this one: a Ctrl-C does not reach them, and the one that has them ends them."""

from __future__ import annotations

import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# Items handed out before they are waited for, for each process.
_AHEAD: Final = 4


class Pool(ProcessPoolExecutor):
    """Processes that ignore the signal of a Ctrl-C, so that none prints a traceback."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """A job; the first one starts the processes, which inherit that the signal is ignored."""
        if threading.current_thread() is not threading.main_thread():
            return super().submit(fn, *args, **kwargs)  # only the main thread may handle signals
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)

    def end(self) -> None:
        """End the processes with the jobs they are at."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


@contextmanager
def pool(count: int, *begin: Any) -> Iterator[Pool]:
    """Some processes, ended at once where what runs inside fails.

    Args:
        count: how many.
        begin: a function that each calls first, and its arguments.
    """
    # "spawn": a fork of a process that has used torch's threads can deadlock.
    made = Pool(count, mp_context=get_context("spawn"), initializer=begin[0] if begin else None, initargs=begin[1:])
    try:
        yield made
    except BaseException:
        made.end()
        raise
    made.shutdown()


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], count: int) -> Iterator[_Result]:
    """The results of a function of each item, in the order of the items, made by several processes.

    What it warns of is warned of here. What it raises is raised here, at the place of its item.

    Args:
        function: sent to each process once; like items and results it must be one that can be sent.
        items: taken as processes become free.
        count: processes; 1 works in this one.
    """
    if count == 1:
        yield from map(function, items)
        return
    with pool(count, _keep, function) as workers:
        waiting, jobs = iter(items), deque[Future[bytes]]()
        while True:
            jobs.extend(workers.submit(_do, item) for item in islice(waiting, _AHEAD * count - len(jobs)))
            if not jobs:
                return
            result, warned = pickle.loads(jobs.popleft().result())
            for message, category in warned:
                warnings.warn(message, category, stacklevel=2)
            yield result


_kept: Callable[[Any], Any]


def _keep(function: Callable[[Any], Any]) -> None:
    """In a new process: remember what is to be done, and compute with one thread."""
    global _kept
    _kept = function
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _do(item: Any) -> bytes:
    # As bytes, because torch would otherwise send every tensor as an open file, of which a process may have few.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _kept(item)
    return pickle.dumps((result, [(str(one.message), one.category) for one in caught]))
