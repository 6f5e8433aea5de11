"""Work in other processes is the work of this one: order, errors, warnings, and an end that leaves nobody behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
import warnings
from itertools import count

import pytest
import torch

from auricle.errors import ConfigError, DataError, ReadingNote, StoppedError, UnknownNameError, UnreadableError
from auricle.pool import in_order


def worked(number: int) -> tuple[int, int]:
    time.sleep(0.05 if number % 3 == 0 else 0.0)  # the first of three comes last
    if number == 7:
        warnings.warn("seven is odd", ReadingNote, stacklevel=2)
    if number == 100:
        raise DataError("a hundred is too many")
    return number, os.getpid()


def tensor_of(number: int) -> torch.Tensor:
    return torch.full((3,), number)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    with pytest.warns(ReadingNote, match="seven is odd"):
        found = list(in_order(worked, range(20), processes))
    assert [number for number, _ in found] == list(range(20))
    assert len({process for _, process in found}) == processes
    assert (os.getpid() in {process for _, process in found}) is (processes == 1)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_comes_at_the_place_of_its_item(processes: int) -> None:
    results = in_order(worked, [1, 2, 100, 3], processes)
    assert [next(results)[0], next(results)[0]] == [1, 2]
    with pytest.raises(DataError, match="a hundred is too many"):
        next(results)


def test_items_are_taken_as_they_are_needed_and_nobody_is_left_behind() -> None:
    """Without an end to the items, and given up half-way."""
    before = set(multiprocessing.active_children())
    results = in_order(tensor_of, count(), 2)
    assert [int(next(results)[0]) for _ in range(30)] == list(range(30))
    results.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 20
    while set(multiprocessing.active_children()) - before and time.monotonic() < until:
        time.sleep(0.05)
    assert set(multiprocessing.active_children()) <= before


def n_threads(_: int) -> int:
    return torch.get_num_threads()


def test_each_process_computes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert list(in_order(n_threads, range(4), 2)) == [1] * 4
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    "error",
    [
        DataError("a.hea: broken"),
        UnreadableError("a.hea: noise", {"acceptable": False}),
        UnknownNameError("lead", "V99", ["V1", "V9"]),
        StoppedError("stopped", 15),
        ConfigError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_as_they_were_raised(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
