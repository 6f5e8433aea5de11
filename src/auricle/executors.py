"""Where many jobs are done: in this process, in several of this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar

from auricle.errors import ConfigError, require
from auricle.pool import pool

_P = ParamSpec("_P")
_T = TypeVar("_T")
# Jobs handed out for each worker: the next one waits there while one is done.
_AHEAD: Final = 2
_SCHEDULER_TIMEOUT: Final = "10s"


def each_done(submit: Callable[[int], Future[Any]], numbers: list[int], n_ahead: int) -> Iterator[int]:
    """Hand out jobs, a few at a time, and give their numbers back as they are done.

    Args:
        submit: hands out the job of a number.
        numbers: of the jobs.
        n_ahead: how many are out at a time.
    """
    waiting = iter(numbers)
    jobs: dict[Future[Any], int] = {}
    while True:
        for number in islice(waiting, n_ahead - len(jobs)):
            jobs[submit(number)] = number
        if not jobs:
            return
        finished, _ = wait(jobs, return_when=FIRST_COMPLETED)
        for job in finished:
            job.result()
            yield jobs.pop(job)


class _Here(Executor):
    """Does a job when it is handed out, in this process: a second one would only cost its imports."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """The job, done. What it raises is raised here."""
        job: Future[_T] = Future()
        job.set_result(fn(*args, **kwargs))
        return job


@contextmanager
def executor_of(kind: str, workers: int | None, n_jobs: int) -> Iterator[tuple[Executor, int]]:
    """Something to submit to, and how many jobs to give it at a time.

    Args:
        kind: `processes` of this machine, or `dask:ADDRESS` of a scheduler whose workers see the same folders.
        workers: processes; by default one per core. With one, or one job, the work is done here.
        n_jobs: how many jobs there will be.

    Raises:
        ConfigError: an executor we do not know, or a scheduler that does not answer.
    """
    if kind.startswith("dask:"):
        distributed = require("distributed", "cluster")
        address = kind.removeprefix("dask:")
        try:
            client = distributed.Client(address, timeout=_SCHEDULER_TIMEOUT)
        except (OSError, ValueError, TimeoutError) as error:
            raise ConfigError(f"no Dask scheduler answers at {address!r}: {type(error).__name__}") from None
        with client:
            n_workers = sum(client.nthreads().values())
            if not n_workers:
                raise ConfigError(f"the Dask scheduler at {address} has no workers: start some")
            yield client.get_executor(pure=False), _AHEAD * n_workers
        return
    if kind != "processes":
        raise ConfigError(f"unknown executor {kind!r}: `processes`, or `dask:ADDRESS` of a scheduler")
    count = min(workers or os.cpu_count() or 1, max(n_jobs, 1))
    if count == 1:
        torch = sys.modules.get("torch")
        threads = torch.get_num_threads() if torch else 1
        try:
            yield _Here(), 1
        finally:
            if torch:
                torch.set_num_threads(threads)  # a job may compute on one
        return
    with pool(count) as workers_of_this:
        yield workers_of_this, _AHEAD * count
