"""What saved weights were trained on, they and those they started from, and whether that was what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

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
    collections = tuple(np.unique(store.column("source").astype(str)))
    return Setting(
        method=load_method(weights),
        store=store,
        task=task,
        out=out,
        name=name or run.resolve().name,
        preset=card["method"],
        pretrained_on=tuple(dict.fromkeys(entry["source"] for entry in seen)),
        overlap=any(saw_the_test(entry, store.info, task, collections) for entry in seen),
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


def saw_the_test(
    entry: Mapping[str, Any], info: Mapping[str, Any], task: Task, collections: Sequence[str] = ()
) -> bool:
    """Whether a training saw the recordings of a task's test part, or may have seen them in another edition.

    Args:
        entry: one training, or one part of a mixture, as `lineage` gives it.
        info: of the store that is tested on: its source and options.
        task: that is asked.
        collections: whose recordings the store holds, such as `challenge2021/chapman`; by default all of its source.
    """
    if "settings" in entry:  # a stream: its people are those of its seed, and of no other
        made = entry["settings"]["seed"] == info["options"].get("seed", 0)
        return bool(entry["source"] == info["source"] and made)
    if entry.get("people") is not None and entry["people"] != info["options"].get("seed", 0):
        return False  # simulated people of another seed
    if entry["source"] == info["source"]:
        # Two questions of one split see the same recordings.
        same = entry["task"] == task.id or entry.get("split") == task.split.model_dump(mode="json")
        return not (same and entry["part"] == "train")
    shared = any(share_recordings(entry["source"], name) for name in collections or (info["source"],))
    return shared and not entry["others_left_out"]


_SAID: Final = ("source", "task", "part", "others_left_out")
_OF_PARTS: Final = ("settings", "split", "people")


def lineage(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run and those it started from were trained on, the latest first; of a mixture every part."""
    parts = about.get("parts") or ([about] if about.get("source") else [])
    own = [
        {key: part.get(key) for key in _SAID} | {key: part[key] for key in _OF_PARTS if key in part} for part in parts
    ]
    return own + (lineage(about["donor"]) if about.get("donor") else [])
