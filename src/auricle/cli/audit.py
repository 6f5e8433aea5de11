"""auricle audit: how a model does at each age, and at which ages it should not be asked."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.recordings import ExecutorOption, WorkersOption
from auricle.cli.stop import keeps
from auricle.errors import ConfigError, DataError
from auricle.progress import progress_bar, stage

if TYPE_CHECKING:
    from auricle.audit.models import Model
    from auricle.data.inputs import Input
    from auricle.evaluate.ranking import Values

_TABLES = (".csv", ".parquet")
_SCORES, _PLAN, _JSON, _PAGE = "scores.parquet", "scores.json", "audit.json", "audit.html"
# Lines on the terminal; the page has all.
_MOST_LINES = 20


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)


def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="lisa-nano, a run folder or saved weights; a folder of `auricle export`; module:function of your own; "
            "or a table of scores (.csv, .parquet), without DATA.",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A store (its test part is asked), a manifest with ages and labels, recordings or folders of them.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for audit.html, audit.json and the scores.")] = Path("audit"),
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the one of the weights.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Call every class from this score on, instead of choosing thresholds.")
    ] = None,
    specificity: Annotated[
        float,
        typer.Option(help="Of the thresholds, chosen on half of the patients; the other half is reported.", min=0.01),
    ] = 0.9,
    margin: Annotated[float, typer.Option(help="How much worse than over all ages is too much.", min=0.0)] = 0.1,
    bootstrap: Annotated[int, typer.Option(help="Replicates of the intervals over patients.", min=20)] = 500,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
) -> None:
    """Ask how a model does at each age, and at which ages it should not be asked. Research use, not a diagnosis."""
    from auricle.age import describe
    from auricle.atomic import write_json
    from auricle.audit.page import audit_page
    from auricle.audit.report import Audit, lead, sentence, to_dict
    from auricle.audit.scores import read_scores
    from auricle.cli.output import write_page
    from auricle.evaluate.by_age import by_age, halves, thresholds_at

    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold {threshold:g}: give a score between 0 and 1")
    if not 0 < specificity < 1:
        raise ConfigError(f"--specificity {specificity:g}: give a share between 0 and 1, such as 0.9")
    notes: list[str] = []
    if data:
        keeps(f"the scores that were made are kept in {out}; the same command goes on")
        opened, question, scores = _scored(model, data, task, out, workers, executor)
        name, is_probability, learned = opened.name, opened.is_probability, opened.sources
    else:
        if Path(model).suffix.casefold() not in _TABLES:
            raise ConfigError(f"{model}: give the records to ask it about (a store, a manifest, a folder), or scores")
        scores, name, question = Path(model), Path(model).stem, task or "a table of scores"
        is_probability, learned = True, ()
    scored = read_scores(scores, question, name, is_probability)
    with stage("intervals over age"):
        if threshold is None:
            chosen_on, reported = halves(scored.predictions)
            if not len(chosen_on) or not len(reported):
                raise DataError("all records are of one half of the patients: give --threshold, or more people")
            thresholds: Values | float = thresholds_at(chosen_on, specificity)
            share = f"{100 * (1 - specificity):.0f} %"
            words = f"those that leave {share} false positives over all ages, chosen on other people"
        else:
            reported, thresholds, words = scored.predictions, threshold, f"{threshold:g} for every class"
        found = by_age(reported, thresholds, margin=margin, n_bootstrap=bootstrap)
    named = {source.partition("/")[0] for source in scored.sources}
    trained = [one for one in learned if one.partition("/")[0] in named]
    if trained:
        notes.append(f"The weights were trained on {', '.join(trained)}: make sure that these records were not seen.")
    result = Audit(name, question, found, scored, words, margin, bootstrap, tuple(notes))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _JSON, to_dict(result))
    given = " ".join([Path(model).name if Path(model).exists() else model, *(path.name for path in data or ())])
    write_page("--out", out / _PAGE, lambda: audit_page(result, f"auricle audit {given}"))
    typer.echo(lead(result))
    lines = [sentence(one.name, where) for one in found.classes for where in one.unfit]
    for line in lines[:_MOST_LINES]:
        typer.echo(f"  {line}")
    if len(lines) > _MOST_LINES:
        typer.echo(f"  and {len(lines) - _MOST_LINES} more, on the page")
    untested = [one.name for one in found.classes if one.untested]
    if untested:
        ages = f"{describe(float(found.ages_days[0]))} to {describe(float(found.ages_days[-1]))}"
        told = ", ".join(untested)
        typer.echo(f"Untested at some ages between {ages}, because too few have them, or have them not: {told}.")
    if found.left_out:
        typer.echo(f"Nobody of those reported has them, or everybody: {', '.join(found.left_out)}.")
    bare = [one.name for one in found.classes if one.threshold != one.threshold]
    if bare:
        typer.echo(f"No threshold could be chosen (--threshold gives one): {', '.join(bare)}.")
    if scored.predictions.meta.scores_are_probabilities != is_probability:
        typer.echo("Scores beyond 0 and 1 are no probabilities: their calibration was not asked.")
    for note in notes:
        typer.echo(note)
    typer.echo(f"{out / _PAGE}")


def _scored(
    model: str, data: Sequence[Path], task: str | None, out: Path, workers: int | None, executor: str | None
) -> tuple[Model, str, Path]:
    """Ask the model about all recordings, going on where an earlier run was ended.

    Returns:
        The model, the task, and the table of scores.
    """
    from auricle import __version__
    from auricle.atomic import write_json
    from auricle.audit.models import model_of
    from auricle.audit.scores import Scoring
    from auricle.cli.parts import write_in_parts
    from auricle.data.inputs import fingerprint
    from auricle.tasks import load_task

    with stage("starting"):
        opened: Model = model_of(model)
        if not (task or opened.task):
            raise ConfigError(f"{model}: does not say what it answers: give --task (`auricle list tasks`)")
        question = load_task(task or opened.task)
        given = _inputs(data, question.origin or question.id)
    named, scores = question.origin or question.id, out / _SCORES
    # A task file may be edited, and two functions may lie in one file.
    asked = hashlib.sha256(question.model_dump_json().encode()).hexdigest()
    plan = {
        "model": [opened.name, opened.digest], "task": [named, asked], "version": __version__,
        "recordings": fingerprint(given),
    }  # fmt: skip
    if scores.is_file() and _plan(out) == plan:
        typer.echo(f"{len(given)} recordings had been asked before", err=True)
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / _PLAN).unlink(missing_ok=True)
        scoring = Scoring(model, opened.digest, named)
        with progress_bar("audit") as on_progress:
            write_in_parts(scores, given, scoring, plan, executor or "processes", workers or 1, on_progress)
        write_json(out / _PLAN, plan)
    return opened, question.id, scores


def _inputs(data: Sequence[Path], task: str) -> list[Input]:
    """The recordings of stores, manifests, files and folders; of a store the annotated ones of its test part."""
    from auricle.audit.scores import of_store
    from auricle.data.inputs import inputs
    from auricle.data.store import Store
    from auricle.tasks import load_task

    found: list[Input] = []
    for path in data:
        if (path / "store.json").is_file():
            found += of_store(path, load_task(task).annotated_parts(Store(path), ("test",))["test"])
        else:
            found += inputs([path])
    return _told_apart(found)


def _told_apart(given: Sequence[Input]) -> list[Input]:
    """Recordings of one name, as files in several folders are, with their number behind it."""
    seen: Counter[str] = Counter()
    found = []
    for one in given:
        seen[one.record_id] += 1
        number = seen[one.record_id]
        found.append(one if number == 1 else replace(one, record_id=f"{one.record_id} #{number}"))
    return found


def _plan(out: Path) -> object:
    try:
        return json.loads((out / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
