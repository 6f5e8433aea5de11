"""A table of very many recordings, made in parts: here or on a cluster, and going on after a kill.

A part is a file of some recordings' lines beside the table (`TABLE.parts`), whole or not there. When all are there the
table is written from them, a part at a time, and they are removed.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auricle import __version__
from auricle.atomic import PARTIAL, locked, write_json
from auricle.data.inputs import Input, fingerprint
from auricle.errors import ConfigError, ReadingNote
from auricle.executors import each_done, executor_of
from auricle.progress import OnProgress
from auricle.tables import Row, write_parts

# Small enough that a kill costs seconds of work, large enough that a million recordings are some thousand files.
PART: Final = 200
_PLAN: Final = "plan.json"


@dataclass(frozen=True)
class Tabled:
    """What came of it: recordings, those without an answer, and those whose part was there before."""

    n: int
    n_failed: int
    n_before: int


def write_in_parts(
    path: Path,
    given: Sequence[Input],
    rows_of: Callable[[Sequence[Input]], list[Row]],
    plan: Mapping[str, Any],
    executor: str,
    workers: int | None,
    on_progress: OnProgress,
) -> Tabled:
    """Write a table of recordings, a line each, going on where an earlier run was ended.

    Args:
        path: the table, .csv or .parquet.
        given: the recordings, in the order of the lines.
        rows_of: the lines of some of them, `error` among their cells; sent to other processes and machines.
        plan: what the lines depend on beside the recordings; parts of another plan are refused.
        executor: `processes`, or `dask:ADDRESS` of a scheduler whose workers see the same files.
        workers: processes of this machine; one for each core by default.
        on_progress: told of recordings done and in all.

    Raises:
        ConfigError: the parts that are there are of something else, another process is at them, or no such executor.
    """
    folder = path.with_name(f"{path.name}.parts")
    whole = {"version": __version__, "part": PART, "recordings": fingerprint(given), **plan}
    with locked(folder / ".lock", wait=False) as held:
        if not held:
            raise ConfigError(f"{folder}: another process is making this table; wait for it")
        _begin(folder, whole)
        numbers = range(-(-len(given) // PART))
        todo = [number for number in numbers if not _place(folder, number).exists()]
        left = sum(len(_part(given, number)) for number in todo)
        before = len(given) - left
        done = before
        on_progress(done, len(given))
        with executor_of(executor, workers, len(todo)) as (pool, n_ahead):

            def submit(number: int) -> Future[None]:
                return pool.submit(_make, rows_of, list(_part(given, number)), _place(folder, number))

            for number in each_done(submit, todo, n_ahead):
                done += len(_part(given, number))
                on_progress(done, len(given))
        places = [_place(folder, number) for number in numbers]
        failed = _join(path, places)
        (folder / _PLAN).unlink()
    shutil.rmtree(folder)
    return Tabled(len(given), failed, before)


def _part(given: Sequence[Input], number: int) -> Sequence[Input]:
    return given[number * PART : (number + 1) * PART]


def _place(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _begin(folder: Path, plan: Mapping[str, Any]) -> None:
    path = folder / _PLAN
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in {*plan, *begun} if begun.get(key) != plan.get(key))
        if changed:
            raise ConfigError(
                f"{folder}: was begun with other {', '.join(changed)}; remove it, or give the table another name"
            )
    else:  # parts without a plan are what a kill left while they were removed
        for part in folder.glob("*.json"):
            part.unlink()
    for left_by_a_kill in folder.glob(f"*{PARTIAL}"):
        left_by_a_kill.unlink()
    write_json(path, plan)


def _make(rows_of: Callable[[Sequence[Input]], list[Row]], part: Sequence[Input], place: Path) -> None:
    """The lines of a part, in a file, wherever this is done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingNote)  # the lines hold them
        write_json(place, rows_of(part))


def _join(path: Path, places: Sequence[Path]) -> int:
    """The table from its parts, one of them in memory at a time, and how many lines hold an error."""
    failed: dict[Path, int] = {}

    def parts() -> Iterator[list[Row]]:
        for place in places:
            rows: list[Row] = json.loads(place.read_text(encoding="utf-8"))
            failed[place] = sum(bool(row.get("error")) for row in rows)
            yield rows

    write_parts(path, parts)
    return sum(failed.values())
