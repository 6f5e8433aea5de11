"""How many records answer each class of a task, and which codes of a store a task may have meant.

A class without a positive is never learned, and its loss says nothing of it: a misspelt code looks like a perfect run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.data.store import Store
from auricle.errors import DataError
from auricle.tasks import Task

# A label of fewer records may be a name in the wrong column and is not shown.
_FEWEST_SHOWN: Final = 3
_MOST_SHOWN: Final = 6
_NEAR: Final = 0.5


@dataclass(frozen=True, slots=True)
class Answers:
    """Records of one class: with it, without it, and of which it is not known."""

    name: str
    positive: int
    negative: int
    unknown: int


def count_answers(task: Task, targets: NDArray[np.float32]) -> tuple[Answers, ...]:
    """The answers of each class.

    Args:
        task: names the classes.
        targets: (record, class) 0, 1, or NaN where not annotated.
    """
    return tuple(
        Answers(name, int((column == 1).sum()), int((column == 0).sum()), int(np.isnan(column).sum()))
        for name, column in zip(task.class_names, targets.T, strict=True)
    )


def check_answers(task: Task, store: Store, answers: tuple[Answers, ...]) -> None:
    """Refuse to train where no class has a positive.

    Raises:
        DataError: with the task's codes, and the codes of the store that are nearest to them.
    """
    if any(one.positive for one in answers):
        return
    asked = list(dict.fromkeys(code for entry in task.classes for code in entry.codes))
    shown = ", ".join(asked[:_MOST_SHOWN]) + (" ..." if len(asked) > _MOST_SHOWN else "")
    raise DataError(
        f"{store.path}: no training record has a code of task {task.id} ({shown}); {_instead(asked, store)}: correct "
        "the codes of the task or the labels of the store"
    )


def unanswered(task: Task, store: Store | None, answers: tuple[Answers, ...]) -> list[str]:
    """A sentence for each class that cannot be learned; where it has no positive, with the nearest codes there are."""
    said = []
    for entry, one in zip(task.classes, answers, strict=True):
        if not one.positive:
            near = f" ({_instead(entry.codes, store)})" if store is not None else ""
            said.append(f"{one.name}: no training record has it{near}")
        elif not one.negative:
            said.append(f"{one.name}: all training records that are annotated have it")
    return said


def resembling(task: Task, labels: Iterable[Sequence[str]]) -> list[str]:
    """A sentence on labels that are written like codes of the task and are none, if there are any.

    Args:
        task: whose codes they are like.
        labels: of the records that are trained on or asked.
    """
    counted = Counter(label for own in labels for label in set(own))
    like = task.resembled(counted)
    if not like:
        return []
    # Of a label that few have the code alone is shown: it may be a name in the wrong column.
    shown = ", ".join(
        f"{f'{label} ({n})' if n >= _FEWEST_SHOWN else n} like {' or '.join(codes)}"
        for label, codes in list(like.items())[:_MOST_SHOWN]
        if (n := counted[label])
    )
    more = f" and {len(like) - _MOST_SHOWN} more" if len(like) > _MOST_SHOWN else ""
    return [
        f"labels written like a code of {task.id} that are none, whose records count neither with the class nor "
        f"without it: {shown}{more}; correct them, or add the spelling to the task"
    ]


def _instead(codes: tuple[str, ...] | list[str], store: Store) -> str:
    """The codes of a store that are nearest to some others, or its most frequent ones, with their records."""
    counted = Counter(label for labels in store.column("labels") for label in set(labels))
    known = {label: n for label, n in counted.most_common() if n >= _FEWEST_SHOWN and label not in codes}
    near = dict.fromkeys(label for code in codes for label in get_close_matches(code, known, n=2, cutoff=_NEAR))
    shown = list(near or known)[:_MOST_SHOWN]
    if not shown:
        return "the store has no labels" if not counted else "the store has no other label of three records or more"
    return ("the nearest in the store: " if near else "the store has ") + ", ".join(f"{c} ({known[c]})" for c in shown)
