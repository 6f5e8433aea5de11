"""Scores and truth of recordings as a table, which any program may write, and as predictions.

Columns: `record_id`, `patient_id`, `age_days`, `source`, `refused` and `error` (why there is no score), then for each
class `y:CLASS` (0, 1, or empty where not annotated) and `p:CLASS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.age_axis import known_ages
from auricle.audit.models import Model, model_of
from auricle.data.inputs import Input
from auricle.data.store import Store
from auricle.data.table import cells_of, read_table
from auricle.errors import ConfigError, DataError, require
from auricle.evaluate.predictions import PredictionMeta, Predictions
from auricle.numerals import UNKNOWN, UNSAID, decimal_mark, read_number
from auricle.recording import Recording
from auricle.tasks import Task, known_in_collections, load_task

Row = Mapping[str, Any]
_TRUTH, _SCORE = "y:", "p:"
# In memory at once.
_READ: Final = 64


@dataclass(frozen=True, slots=True)
class Scored:
    """A table of scores, read.

    Attributes:
        predictions: of the recordings that have scores.
        refused_days: (n,) ages of those that the model answered nothing for; NaN where unknown.
        n_unread: recordings that could not be read.
        sources: data sets the recordings are of.
    """

    predictions: Predictions
    refused_days: NDArray[np.float64]
    n_unread: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Scoring:
    """Makes the lines of a table, here or in another process.

    Attributes:
        model: as `model_of` takes it.
        digest: of that model: another one lies there where it differs.
        task: whose classes are asked.
    """

    model: str
    digest: str
    task: str

    def __call__(self, given: Sequence[Input]) -> list[Row]:
        """The lines of some recordings.

        Raises:
            ConfigError: other weights lie there than where the work was handed out, or a function that gives no scores.
        """
        model, task = _model(self.model), load_task(self.task)
        if model.digest != self.digest:
            raise ConfigError(f"{self.model}: another model lies there where parts of the table are made")
        rows: list[Row] = []
        for first in range(0, len(given), _READ):
            read = [_read(one) for one in given[first : first + _READ]]
            recordings = [one for one in read if isinstance(one, Recording)]
            scores = iter(model.scores(recordings))
            for asked, one in zip(given[first : first + _READ], read, strict=True):
                if isinstance(one, Recording):
                    rows.append(_row(asked, one, next(scores), task))
                else:
                    rows.append({"record_id": asked.record_id, "error": asked.reason(one)})
        return rows


def of_store(folder: Path, rows: NDArray[np.int64]) -> list[Input]:
    """Records of a store as inputs to be read in turn."""
    names = Store(folder).column("record_id")
    place = folder / "records.arrow"
    return [Input(place, str(names[row]), partial(_of_store, str(folder), int(row)), said=str(row)) for row in rows]


def read_scores(path: Path, task: str, name: str, is_probability: bool = True) -> Scored:
    """A table of scores as predictions.

    Args:
        path: .csv or .parquet, by `Scoring` or by another program.
        task: what was asked.
        name: of the model.
        is_probability: whether the scores are probabilities; scores beyond 0 and 1 are none in any case.

    Raises:
        DataError: no such table, no class with truth and scores, no recording with scores, or a score that is missing
            or no number.
    """
    columns = _columns(path)
    n = len(next(iter(columns.values()), ()))
    has_error, has_refusal = (
        np.array([bool(text) for text in columns.get(key, [""] * n)], dtype=bool) for key in ("error", "refused")
    )
    answered = np.flatnonzero(~has_error & ~has_refusal)
    if not len(answered):
        reasons = [text for key in ("refused", "error") for text in columns.get(key, []) if text]
        raise DataError(f"{path}: none of {n} recordings has scores{f'; the first: {reasons[0]}' if reasons else ''}")
    classes = [one.removeprefix(_SCORE) for one in columns if one.startswith(_SCORE)]
    classes = [one for one in classes if _TRUTH + one in columns]
    lacking = sorted({"record_id", "age_days"} - columns.keys())
    if lacking or not classes:
        what = ", ".join(lacking) or "a class with y:CLASS and p:CLASS"
        raise DataError(f"{path}: has no column {what}; docs/audit.md says which a table of scores has")
    truth, score = (
        np.stack([_numbers(path, columns, prefix + one) for one in classes], axis=1) for prefix in (_TRUTH, _SCORE)
    )
    of = np.array([str(one or "") for one in columns.get("source", [""] * n)])
    # What a collection knows is told by those too that the model answered nothing for.
    truth, score = known_in_collections(truth, of)[answered], score[answered]
    if not np.isfinite(score).all():
        row, column = np.argwhere(~np.isfinite(score))[0]
        record = columns["record_id"][answered[row]]
        raise DataError(f"{path}: {record} has no score p:{classes[column]}; say in `refused` why a record has none")
    days = _numbers(path, columns, "age_days")
    days = np.where(known_ages(days), days, np.nan)  # an age that nobody can have is unknown, in every count
    patients = [
        _person(*pair)
        for pair in zip(columns.get("patient_id", [None] * n), columns.get("source", [""] * n), strict=True)
    ]
    is_probability = is_probability and bool(((score >= 0) & (score <= 1)).all())
    predictions = Predictions(
        tuple(str(columns["record_id"][row]) for row in answered),
        tuple(patients[row] for row in answered),
        days[answered], tuple(classes), truth, score,
        PredictionMeta(protocol="audit", task=task, method=name, scores_are_probabilities=is_probability),
    )  # fmt: skip
    sources = sorted({str(one) for one in columns.get("source", []) if one})
    return Scored(predictions, days[has_refusal & ~has_error], int(has_error.sum()), tuple(sources))


def _person(patient: Any, source: Any) -> str | None:
    """Whose record it is: the same number in two data sets is two people; None where nothing is known."""
    text = "" if patient is None else str(patient).strip()
    return None if text.casefold() in UNSAID else f"{source or ''}/{text}"


@lru_cache(maxsize=1)
def _model(asked: str) -> Model:
    return model_of(asked)


@lru_cache(maxsize=2)
def _store(folder: str) -> Store:
    return Store(folder)


def _of_store(folder: str, row: int, **_: object) -> Recording:
    return _store(folder).recording(row)


def _read(one: Input) -> Recording | DataError:
    try:
        return one.read()
    except DataError as error:
        return error


def _row(asked: Input, recording: Recording, scores: Mapping[str, float] | str, task: Task) -> Row:
    """A line: who, what is true, and what the model says."""
    truth = task.targets([recording.labels])[0]
    row: dict[str, Any] = {
        "record_id": asked.record_id,
        "patient_id": recording.patient_id,
        "age_days": None if recording.age is None else recording.age.best_days,
        "source": recording.source,
        "refused": scores if isinstance(scores, str) else "",
        "error": "",
    }
    for name, true in zip(task.class_names, truth, strict=True):
        if isinstance(scores, str) or name in scores:
            row[_TRUTH + name] = None if np.isnan(true) else float(true)
            row[_SCORE + name] = None if isinstance(scores, str) else scores[name]
    return row


def _columns(path: Path) -> dict[str, list[Any]]:
    """A table by column.

    Raises:
        DataError: no such table, one that is damaged, or two columns of one name.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table")
    if path.suffix.casefold() == ".csv":
        return _of_csv(path)
    arrow, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    try:
        table = parquet.read_table(path)
        return {name: table[name].to_pylist() for name in table.column_names}
    except (arrow.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{path}: is no parquet table, or has two columns of one name ({error})") from None


def _of_csv(path: Path) -> dict[str, list[Any]]:
    """A CSV by column, as spreadsheets of any country write it."""
    table = read_table(path)
    if table.garbled_reason:
        raise DataError(f"{path}: {table.garbled_reason}")
    twice = [name for name, count in Counter(table.header).items() if count > 1]
    if twice:
        raise DataError(f"{path}: has two columns {twice[0]}")
    rows = []
    for line, values in table.records:
        try:
            rows.append(cells_of(table.header, values))
        except DataError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
    return {name: [row.get(name) or "" for row in rows] for name in table.header}


def _numbers(path: Path, columns: Mapping[str, Sequence[Any]], name: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where a cell is empty or says `nan`; its decimals may have a comma where that is sure.

    Raises:
        DataError: a cell that is no number, with its place and without what is in it, which may be a name.
    """
    found = np.full(len(columns[name]), np.nan)
    mark = decimal_mark(cell for cell in columns[name] if isinstance(cell, str))
    for place, cell in enumerate(columns[name]):
        if cell is None or (isinstance(cell, str) and cell.strip().casefold() in UNKNOWN):
            continue
        try:
            found[place] = read_number(cell, mark) if isinstance(cell, str) else float(cell)
        except (DataError, TypeError, ValueError):
            wanted = "days" if name == "age_days" else "0, 1 or nothing" if name.startswith(_TRUTH) else "a score"
            raise DataError(
                f"{path}: column {name}: the cell of recording {place + 1} is no number; write {wanted}, such as "
                f"{'1826' if name == 'age_days' else '1' if name.startswith(_TRUTH) else '0.25'}"
            ) from None
    return found
