"""Processes that work for this one: a Ctrl-C does not reach them, and the one that has them ends them."""

from __future__ import annotations

import os
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
# Read by the libraries of a process when they are loaded.
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Pool(ProcessPoolExecutor):
    """Processes of one thread that ignore the signal of a Ctrl-C, so that none prints a traceback."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """A job; the first ones start the processes, which inherit that signals are ignored, and their one thread."""
        with one_thread(), _without_interrupts():
            return super().submit(fn, *args, **kwargs)

    def end(self) -> None:
        """End the processes with the jobs they are at."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


@contextmanager
def one_thread() -> Iterator[None]:
    """What is started inside computes with one thread: several would wait for each other and take a core for it."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started inside ignores the signal of a Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
    with pool(count, _keep, function) as workers, _beside_others():
        waiting, jobs = iter(items), deque[Future[bytes]]()
        while True:
            jobs.extend(workers.submit(_do, item) for item in islice(waiting, _AHEAD * count - len(jobs)))
            if not jobs:
                return
            result, warned = pickle.loads(jobs.popleft().result())
            for message, category in warned:
                warnings.warn(message, category, stacklevel=2)
            yield result


@contextmanager
def _beside_others() -> Iterator[None]:
    """Torch, where this process has it, computes inside with one thread: the other cores are taken."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    try:
        if torch:
            torch.set_num_threads(1)
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


_kept: Callable[[Any], Any]


def _keep(function: Callable[[Any], Any]) -> None:
    """In a new process: remember what is to be done."""
    global _kept
    _kept = function


def _do(item: Any) -> bytes:
    # As bytes, because torch would otherwise send every tensor as an open file, of which a process may have few.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _kept(item)
    return pickle.dumps((result, [(str(one.message), one.category) for one in caught]))
