"""Tasks: what is asked of a data set, as data. Each is a TOML file, `ptb_xl/super.toml` being the task `ptb_xl/super`.

A path to a TOML file of the same form is a task as well: that is how an owner of private data defines theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.config import Config, read_toml, validate
from auricle.data.splits import Parts, by_fold, by_patient
from auricle.data.store import Store
from auricle.errors import DataError, UnknownNameError

_HERE = Path(__file__).parent


class ClassSpec(Config):
    """One class: the codes that make a record positive, and the sentences that describe it to a text tower."""

    name: str
    title: str = ""
    codes: tuple[str, ...]
    prompts: tuple[str, ...] = ()


class FoldSplit(Config):
    """Parts by the source's own cross-validation folds."""

    by: Literal["fold"]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


class PatientSplit(Config):
    """Parts by a hash of the patient, as shares."""

    by: Literal["patient"]
    train: float
    validation: float
    test: float


class Task(Config):
    """Source, classes, split and prompts of one question.

    Attributes:
        require_any: leave out records that have none of the classes, as published PTB-XL tasks do.
    """

    id: str
    title: str
    source: str
    prompts_version: int = 1
    require_any: bool = False
    split: Annotated[FoldSplit | PatientSplit, Field(discriminator="by")]
    classes: tuple[ClassSpec, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(entry.name for entry in self.classes)

    def targets(self, labels: Iterable[Sequence[str]]) -> NDArray[np.float32]:
        """(record, class) 0/1 by exact code, never by substring."""
        code_sets = [set(entry.codes) for entry in self.classes]
        return np.array([[float(not codes.isdisjoint(own)) for codes in code_sets] for own in labels], dtype=np.float32)

    def parts(self, store: Store) -> Parts:
        """Row numbers of train, validation and test; patient-disjoint, checked."""
        shares = self.split.model_dump(exclude={"by"})
        parts = by_fold(store, shares) if self.split.by == "fold" else by_patient(store, shares)
        if self.require_any:
            labelled = np.asarray(self.targets(store.column("labels")).any(axis=1))
            parts = {name: rows[labelled[rows]] for name, rows in parts.items()}
        return parts


def list_tasks() -> list[str]:
    """Ids of the tasks that come with auricle."""
    return sorted(str(path.relative_to(_HERE).with_suffix("")) for path in _HERE.rglob("*.toml"))


def load_task(name: str | Path) -> Task:
    """A task by its id, or from a TOML file of one's own.

    Raises:
        UnknownNameError: no such task; suggests the nearest.
        ConfigError: the file is not a task.
    """
    path = Path(name) if str(name).endswith(".toml") else _HERE / f"{name}.toml"
    if not path.exists() and not str(name).endswith(".toml"):
        raise UnknownNameError("task", str(name), list_tasks())
    task = validate(Task, read_toml(path), str(path))
    if len(set(task.class_names)) != len(task.class_names):
        raise DataError(f"{path}: two classes have the same name")
    return task
