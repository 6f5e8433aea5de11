"""What saved weights were trained on, they and those they started from, and whether that was what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle.data.sources import share_recordings
from auricle.data.store import Store
from auricle.errors import ConfigError, UnknownNameError
from auricle.evaluate.predictions import OVERLAP_NOTE, UNKNOWN
from auricle.evaluate.protocols import Setting
from auricle.methods import check_store, foreign_of, load_card, load_method
from auricle.tasks import Task, load_task
from auricle.train.setup import load_run

# What is said where foreign weights do not say what they learned from.
_UNKNOWN_TRAINING: Final = "what they learned from is not known here, and they may have seen these recordings"


def setting_of(run: Path, store: Store, task: Task, out: Path, name: str = "") -> Setting:
    """Saved weights on a task, with what they have seen.

    Args:
        run: run folder or folder of saved weights.
        store, task, out: as in `Setting`.
        name: of the row; by default the run's.

    Raises:
        DataError: records of the task lack leads that foreign weights must have.
    """
    card, weights = load_card(run)
    seen = lineage(card["about"])
    collections = tuple(np.unique(store.column("source").astype(str)))
    method = load_method(weights)
    check_store(method, store, lambda: np.sort(np.concatenate(list(task.parts(store).values()))))
    saw = [entry for entry in seen if saw_the_test(entry, store.info, task, collections)]
    notes = _notes(card["about"])
    if saw and all("foreign" in entry for entry in saw):
        notes[OVERLAP_NOTE] = UNKNOWN
    return Setting(
        method=method,
        store=store,
        task=task,
        out=out,
        name=name or name_of(run),
        preset=card["method"],
        pretrained_on=tuple(dict.fromkeys(entry["source"] for entry in seen)),
        overlap=bool(saw),
        notes=notes,
    )


def name_of(run: Path) -> str:
    """What a run is called where nobody names it: as its folder, or as the TOML of foreign weights."""
    return run.resolve().name.removesuffix(".toml")


def _notes(about: Mapping[str, Any]) -> dict[str, str]:
    """What results say of foreign weights that a run began with; nothing where it did not."""
    foreign = foreign_of(about)
    if foreign is None:
        return {}
    known = [entry["source"] for entry in lineage(about) if entry.get("told_by_toml")]
    learned = f"learned from {', '.join(known)}, as its TOML says" if known else _UNKNOWN_TRAINING
    told = {"foreign_weights": f"{foreign['title']}, trained elsewhere: {learned}"}
    return told | {key: foreign[key] for key in ("citation", "licence") if foreign[key]}


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
    if "foreign" in entry:  # nobody here knows what it saw
        return True
    if "settings" in entry:  # a stream: its people are those of its seed, and of no other
        made = entry["settings"]["seed"] == info["options"].get("seed", 0)
        return bool(entry["source"] == info["source"] and made)
    if entry.get("people") is not None and entry["people"] != info["options"].get("seed", 0):
        return False  # simulated people of another seed
    if entry["source"] == info["source"]:
        return not (_one_split(entry, task) and entry["part"] == "train")
    shared = any(share_recordings(entry["source"], name) for name in collections or (info["source"],))
    return shared and not entry["others_left_out"]


def _one_split(entry: Mapping[str, Any], task: Task) -> bool:
    """Whether a training's records were divided as a task divides them: two questions may have one split."""
    if entry.get("split") is not None:
        return bool(entry["split"] == task.split_facts())
    # Weights from before the split was kept say whether it was a published one, and the name of their task.
    published = bool(entry.get("published_split"))
    return entry["task"] == task.id and published == (task.published_folder is not None)


_SAID: Final = ("source", "task", "part", "others_left_out")
_OF_PARTS: Final = ("settings", "split", "published_split", "people", "foreign", "told_by_toml")


def lineage(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a run and those it started from were trained on, the latest first; of a mixture every part."""
    parts = about.get("parts") or ([about] if about.get("source") else [])
    own = [
        {key: part.get(key) for key in _SAID} | {key: part[key] for key in _OF_PARTS if key in part} for part in parts
    ]
    return own + (lineage(about["donor"]) if about.get("donor") else [])
