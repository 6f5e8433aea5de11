"""Asking a model about recordings of known ages: its scores as a table, which an ended run goes on with."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from auricle import __version__
from auricle.atomic import write_json
from auricle.audit.models import Model, model_of
from auricle.audit.scores import Scoring, of_store
from auricle.data.inputs import Input, fingerprint, inputs
from auricle.data.store import Store, is_store
from auricle.data.tabled import write_in_parts
from auricle.errors import ConfigError
from auricle.progress import progress_bar, stage
from auricle.tasks import Task, load_task

_SCORES, _PLAN = "scores.parquet", "scores.json"
_HERE: Final = "processes"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model was asked.

    Attributes:
        model: that answered.
        task: id of the question.
        scores: the table of its scores.
        n_before: how many recordings an earlier run had asked about; 0 unless all of them.
    """

    model: Model
    task: str
    scores: Path
    n_before: int


def ask(
    model: str, data: Sequence[Path], task: str | None, out: Path, *, workers: int = 1, executor: str | None = None
) -> Asked:
    """Ask a model about all recordings, going on where an earlier run was ended.

    Args:
        model: what `auricle.audit.models.model_of` takes.
        data: stores (the annotated records of their test part), manifests, recordings or folders of them.
        task: id or TOML file; by default the one of the weights.
        out: folder of the table of scores; made if needed.
        workers: processes that ask.
        executor: `processes` or `dask:ADDRESS`; by default the former.

    Raises:
        ConfigError: no such model or task, or one that answers none of its classes.
        DataError: a store without annotated records in its test part.
    """
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
        given = _inputs(data, question)
    named, scores = question.origin or question.id, out / _SCORES
    # A task file may be edited, and two functions may lie in one file.
    asked = hashlib.sha256(question.model_dump_json().encode()).hexdigest()
    plan = {
        "model": [opened.name, opened.digest], "task": [named, asked], "version": __version__,
        "recordings": fingerprint(given),
    }  # fmt: skip
    if scores.is_file() and _plan(out) == plan:
        return Asked(opened, question.id, scores, len(given))
    out.mkdir(parents=True, exist_ok=True)
    (out / _PLAN).unlink(missing_ok=True)
    scoring = Scoring(model, opened.digest, named)
    with progress_bar("audit") as on_progress:
        write_in_parts(scores, given, scoring, plan, executor or _HERE, workers, on_progress)
    write_json(out / _PLAN, plan)
    return Asked(opened, question.id, scores, 0)


def _inputs(data: Sequence[Path], task: Task) -> list[Input]:
    """The recordings of stores, manifests, files and folders; of a store the annotated ones of its test part."""
    found: list[Input] = []
    for path in data:
        if is_store(path):
            found += of_store(path, task.annotated_parts(Store(path), ("test",))["test"])
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
