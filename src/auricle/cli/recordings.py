"""What `measure` and `predict` share: one recording or thousands, gone through with a bar, told to persons or programs.

Every recording is one outcome, an answer or the reason why there is none, in the order in which they were given; one
that fails does not keep the others, and is counted in the exit status.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

import typer

from auricle.cli.output import write_table
from auricle.cli.stop import keeps
from auricle.errors import ConfigError, DataError
from auricle.origin import origin
from auricle.pool import in_order
from auricle.progress import OnProgress, progress_bar
from auricle.tables import Cell

if TYPE_CHECKING:
    from auricle.data.inputs import Input

# From so many recordings on it takes seconds.
_MANY: Final = 30
# From so many on a table is made in parts, so that a kill costs seconds and not hours.
_IN_PARTS: Final = 2000
# From so many on other processes help: each needs seconds for its imports.
_WORTH_WORKERS: Final = 200

Ready = TypeVar("Ready")
Answer = TypeVar("Answer")


def schema(verb: str) -> str:
    """The JSON Schema of the lines of a verb."""
    return files("auricle.cli").joinpath("schemas", f"{verb}.json").read_text(encoding="utf-8")


def _say_schema(context: typer.Context, asked: bool) -> None:
    if asked:
        typer.echo(schema(str(context.info_name)), nl=False)
        raise typer.Exit


FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="Recordings in any readable format, folders of them, or a manifest (.csv) with their ages.",
        show_default=False,
    ),
]
AgeOption = Annotated[
    str | None, typer.Option(help="3d, 6wk, 16mo, 2.4yr, 5y4m ...; goes before the file's own and the manifest's.")
]
GestationOption = Annotated[
    str | None,
    typer.Option(
        help="Weeks+days of gestation at birth (30+2); what is measured is compared at the age corrected by them."
    ),
]
SexOption = Annotated[str | None, typer.Option(help="F or M.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per recording and line.")]
SchemaOption = Annotated[
    bool, typer.Option("--schema", callback=_say_schema, is_eager=True, help="Say the JSON Schema of --json and stop.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Processes that read and measure; else one for each core from 200 recordings on.", min=1),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        help="Of a large table (--out): processes, or dask:ADDRESS of a scheduler whose workers see the same files."
    ),
]
FhirOption = Annotated[
    Path | None,
    typer.Option(help="Write FHIR R4B here: a Bundle of one recording (.json), or one a line (.ndjson)."),
]
TableOption = Annotated[
    Path | None, typer.Option("--out", help="Write a table with a line for each recording here (.csv, .parquet).")
]


@dataclass(frozen=True)
class Verb(Generic[Ready, Answer]):
    """What a verb does with a recording.

    Attributes:
        name: of the verb, in front of the bar.
        prepare: reads an input and does all that can fail with it alone; raises `DataError`. With several inputs it
            must be one that can be sent to another process.
        answer: answers for what was prepared, several at once.
        to_dict: an answer as plain data.
        to_row: that data as the cells of a line of a table.
        show: prints an answer for a person; its last argument is whether something was printed before.
        closing: prints what is said once, below everything that was shown.
        refusal: what JSON says of an error beside its message.
        batch: how many are answered for at once.
    """

    name: str
    prepare: Callable[[Input], Ready]
    answer: Callable[[Sequence[Ready]], Sequence[Answer]]
    to_dict: Callable[[Answer, Input], Mapping[str, Any]]
    to_row: Callable[[Mapping[str, Any]], Mapping[str, Cell]]
    show: Callable[[Answer, Input, bool], None]
    closing: Callable[[], None] = lambda: None
    refusal: Callable[[DataError], Mapping[str, Any]] = lambda error: {}
    batch: int = 1


@dataclass(frozen=True)
class _Outcome(Generic[Answer]):
    """What became of an input: an answer, or the error that says why there is none."""

    one: Input
    answer: Answer | None = None
    error: DataError | None = None


def only_one(given: Sequence[Input], option: str, is_used: bool) -> None:
    """Refuse an option that is about one recording where several were given.

    Raises:
        ConfigError: so it is.
    """
    if is_used and len(given) > 1:
        raise ConfigError(f"{option} is of one recording: give one file")


def only_here(executor: str | None, option: str, is_used: bool) -> None:
    """Refuse an option whose file is not made where an executor makes a table.

    Raises:
        ConfigError: so it is.
    """
    if is_used and executor is not None:
        raise ConfigError(f"{option} and --executor: a table alone is made there; leave one of them out")


def seen_from(files: Sequence[Path], executor: str | None) -> list[Path]:
    """Files as those see them who read them: from another machine's folder a relative name is another file."""
    return [path.absolute() for path in files] if executor is not None else list(files)


def go_through(
    given: Sequence[Input],
    verb: Verb[Ready, Answer],
    as_json: bool,
    out: Path | None,
    workers: int | None = None,
    large: Large | None = None,
) -> None:
    """Answer for every recording, print what was asked for, and write the table.

    Args:
        given: the recordings.
        verb: what is done with them.
        as_json: print a JSON object for each.
        out: the table, if any; its name was checked. With a table of several recordings, nothing is shown for a
            person but how many there are.
        workers: processes that prepare; by default one for each core where there are enough recordings.
        large: how a table of very many is made; None where the verb makes none.

    Raises:
        ConfigError: the table cannot be written there, or an executor without a table.
        typer.Exit: with status 2, when all is done, if there is a recording without an answer.
    """
    if large is not None and large.executor is not None and (out is None or as_json):
        raise ConfigError("--executor is of a table: give --out, and no --json")
    if large is not None and out is not None and not as_json and (large.executor or len(given) >= _IN_PARTS):
        _in_parts(given, verb.name, out, workers, large)
        return
    shown = not as_json and (out is None or len(given) == 1)
    rows: list[Mapping[str, Cell]] = []
    failed = printed = 0
    time = _now()
    with _progress(verb.name, len(given), shown or as_json) as on_progress:
        for done, outcome in enumerate(_outcomes(given, verb, workers), start=1):
            plain = _plain(outcome, verb, _about(outcome.one, time))
            if outcome.error is not None:
                failed += 1
                typer.echo(f"auricle: {plain['error']}", err=True)
            elif shown:
                assert outcome.answer is not None
                verb.show(outcome.answer, outcome.one, printed > 0)
                printed += 1
            if as_json:
                typer.echo(json.dumps(plain, allow_nan=False, ensure_ascii=False))
            if out is not None:
                rows.append(_line(outcome, verb, plain))
            on_progress(done, len(given))
    if printed:
        verb.closing()
    if out is not None:
        write_table("--out", out, rows)
        typer.echo(_written(out, len(given), failed), err=as_json)
    if failed:
        raise typer.Exit(2)


@dataclass(frozen=True)
class Large:
    """How a table of very many recordings is made.

    Attributes:
        executor: `processes` or `dask:ADDRESS`; None for the former, and only where there are very many.
        verb: makes the verb again in another process; it can be sent there.
        plan: what the lines depend on beside the recordings.
    """

    executor: str | None
    verb: Callable[[], Verb[Any, Any]]
    plan: Mapping[str, Any]


@dataclass(frozen=True)
class _Lines:
    """Makes the lines of some recordings, here or in another process."""

    verb: Callable[[], Verb[Any, Any]]
    time: str

    def __call__(self, given: Sequence[Input]) -> list[Mapping[str, Cell]]:
        verb = self.verb()
        outcomes = _outcomes(given, verb, workers=1)
        return [_line(outcome, verb, _plain(outcome, verb, _about(outcome.one, self.time))) for outcome in outcomes]


def _in_parts(given: Sequence[Input], name: str, out: Path, workers: int | None, large: Large) -> None:
    from auricle.data.tabled import write_in_parts

    keeps(f"the parts that were finished are kept in {out}.parts; the same command goes on")
    with progress_bar(name) as on_progress:
        lines = _Lines(large.verb, _now())
        plan = {"verb": name, **large.plan}
        found = write_in_parts(out, given, lines, plan, large.executor or "processes", workers, on_progress)
    if found.n_before:
        typer.echo(f"{found.n_before} of {found.n} recordings had been done before", err=True)
    typer.echo(_written(out, found.n, found.n_failed))
    if found.n_failed:
        raise typer.Exit(2)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(outcome: _Outcome[Answer], verb: Verb[Ready, Answer], plain: Mapping[str, Any]) -> Mapping[str, Cell]:
    """An outcome as a line of the table."""
    about = {name: plain[name] for name in ("path", "record_id", "program", "version", "schema", "time")}
    cells = {} if outcome.error else verb.to_row(plain)
    return {**about, "error": plain.get("error", ""), **cells}


def _written(out: Path, n: int, n_failed: int) -> str:
    return f"{out}: {n} recordings" + (f", {n_failed} of them without an answer" if n_failed else "")


def _plain(outcome: _Outcome[Answer], verb: Verb[Ready, Answer], about: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON says of an input."""
    if outcome.error is not None:
        return {**about, "error": outcome.one.reason(outcome.error), **verb.refusal(outcome.error)}
    assert outcome.answer is not None
    return {**about, **verb.to_dict(outcome.answer, outcome.one)}


def _outcomes(given: Sequence[Input], verb: Verb[Ready, Answer], workers: int | None) -> Iterator[_Outcome[Answer]]:
    """What becomes of each input, in order, answered for in batches."""
    if workers is None:
        workers = (os.cpu_count() or 1) if len(given) >= _WORTH_WORKERS else 1
    waiting: list[tuple[Input, Ready | DataError]] = []
    prepared = in_order(partial(_prepared, verb.prepare), given, min(workers, max(1, len(given))))
    for place, (one, found) in enumerate(zip(given, prepared, strict=True), start=1):
        waiting.append((one, found))
        n_ready = sum(not isinstance(ready, DataError) for _, ready in waiting)
        if n_ready in (0, verb.batch) or place == len(given):
            yield from _answered(waiting, verb)
            waiting = []


def _prepared(prepare: Callable[[Input], Ready], one: Input) -> Ready | DataError:
    try:
        return prepare(one)
    except DataError as error:
        return error


def _answered(waiting: Sequence[tuple[Input, Ready | DataError]], verb: Verb[Ready, Answer]) -> list[_Outcome[Answer]]:
    ready = [(one, found) for one, found in waiting if not isinstance(found, DataError)]
    failed = {id(one): _Outcome[Answer](one, error=found) for one, found in waiting if isinstance(found, DataError)}
    try:
        answers = verb.answer([found for _, found in ready]) if ready else ()
        answered = [_Outcome(one, answer) for (one, _), answer in zip(ready, answers, strict=True)]
    except DataError as error:
        if len(ready) == 1:
            answered = [_Outcome[Answer](ready[0][0], error=error)]
        else:  # of one of them: alone each says its own
            answered = [outcome for pair in ready for outcome in _answered([pair], verb)]
    in_order = iter(answered)
    return [failed[id(one)] if id(one) in failed else next(in_order) for one, _ in waiting]


def _about(one: Input, time: str) -> dict[str, Any]:
    """What is said of every recording, whatever became of it: which, by what, and when (`schemas/`)."""
    return {"path": str(one.path), "record_id": one.record_id, **origin(), "time": time}


@contextmanager
def _progress(title: str, n_recordings: int, printing: bool) -> Iterator[OnProgress]:
    """A bar where the work takes seconds and its results are not themselves seen to come."""
    if n_recordings < _MANY or (printing and sys.stdout.isatty()):
        yield lambda done, total: None
        return
    with progress_bar(title) as on_progress:
        yield on_progress
