"""What saved weights were trained on, they and those they started from, and whether that was what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auricle.data.sources import share_recordings
from auricle.data.store import Store
from auricle.errors import ConfigError, UnknownNameError
from auricle.evaluate.protocols import Setting
from auricle.methods import load_card, load_method
from auricle.tasks import Task, load_task
from auricle.train.setup import load_run


def setting_of(run: Path, store: Store, task: Task, out: Path, name: str = "") -> Setting:
    """Saved weights on a task, with what they have seen.

    Args:
        run: run folder or folder of saved weights.
        store, task, out: as in `Setting`.
        name: of the row; by default the run's.
    """
    card, weights = load_card(run)
    seen = lineage(card["about"])
    return Setting(
        method=load_method(weights),
        store=store,
        task=task,
        out=out,
        name=name or run.resolve().name,
        preset=card["method"],
        pretrained_on=tuple(dict.fromkeys(entry["source"] for entry in seen)),
        overlap=any(saw_the_test(entry, store.info["source"], task.id) for entry in seen),
    )


def task_of(run: Path) -> str:
    """The task a run was trained for, as its configuration names it: an id, or a TOML file of its owner's.

    Raises:
        ConfigError: it names none, or one that is not there any more.
    """
    written = run / "run.toml"
    named = load_run(run).data.task if written.exists() else load_card(run)[0]["about"].get("task")
    if not named:
        raise ConfigError(f"{run}: was trained for no task: say with --task what it is asked")
    try:
        load_task(named)
    except (UnknownNameError, ConfigError):
        raise ConfigError(
            f"{run}: was trained for the task {named}, which is not here: give its file as --task"
        ) from None
    return str(named)


def saw_the_test(entry: dict[str, Any], source: str, task: str) -> bool:
    """Whether a training saw the recordings of a task's test part, or may have seen them in another edition.

    Args:
        entry: one training, as `lineage` gives it.
        source: source of the store that is tested on.
        task: id of the task.
    """
    if entry["source"] == source:
        return (entry["task"], entry["part"]) != (task, "train")
    return share_recordings(entry["source"], source) and not entry["others_left_out"]


def lineage(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run and those it started from were trained on, the latest first."""
    own = (
        [{key: about.get(key) for key in ("source", "task", "part", "others_left_out")}] if about.get("source") else []
    )
    return own + (lineage(about["donor"]) if about.get("donor") else [])
