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
from auricle.errors import ConfigError
from auricle.progress import progress_bar, stage

if TYPE_CHECKING:
    from auricle.audit.models import Model
    from auricle.data.inputs import Input
    from auricle.over_age import AnswerSets

_TABLES = (".csv", ".parquet")
_SCORES, _PLAN, _JSON, _PAGE = "scores.parquet", "scores.json", "audit.json", "audit.html"


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
    from auricle.atomic import write_json
    from auricle.audit.page import audit_page
    from auricle.audit.report import printed, to_dict
    from auricle.audit.run import audit_scores, check_levels
    from auricle.audit.scores import read_scores
    from auricle.cli.output import write_page

    check_levels(threshold, specificity)
    learned_from: Sequence[str] = ()
    sets: AnswerSets | None = None
    if data:
        keeps(f"the scores that were made are kept in {out}; the same command goes on")
        opened, question, scores = _scored(model, data, task, out, workers, executor)
        name, is_probability, learned_from = opened.name, opened.is_probability, opened.sources
        sets = opened.sets
    else:
        if Path(model).suffix.casefold() not in _TABLES:
            raise ConfigError(f"{model}: give the records to ask it about (a store, a manifest, a folder), or scores")
        scores, name, question, is_probability = Path(model), Path(model).stem, task or "a table of scores", True
    scored = read_scores(scores, question, name, is_probability)
    with stage("intervals over age"):
        found = audit_scores(
            scored, threshold=threshold, specificity=specificity, margin=margin, n_bootstrap=bootstrap,
            learned_from=learned_from, sets=sets,
        )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _JSON, to_dict(found))
    given = " ".join([Path(model).name if Path(model).exists() else model, *(path.name for path in data or ())])
    write_page("--out", out / _PAGE, lambda: audit_page(found, f"auricle audit {given}"))
    for line in [*printed(found), str(out / _PAGE)]:
        typer.echo(line)


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
        if opened.classes and not set(opened.classes) & set(question.class_names):
            raise ConfigError(
                f"{model}: answers none of the classes of {question.id} ({', '.join(question.class_names)}): choose "
                "another --task"
            )
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
    from auricle.data.store import Store, is_store
    from auricle.tasks import load_task

    found: list[Input] = []
    for path in data:
        if is_store(path):
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
