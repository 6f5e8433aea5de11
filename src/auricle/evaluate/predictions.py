"""The predictions file: what a protocol writes and every metric, table and figure reads.

One parquet file per (method, task, protocol, fraction, seed). Columns `record_id`, `patient_id`, `age_days`, then for
each class `y:<class>` (0, 1, or NaN where not annotated) and `p:<class>` (the score). What the numbers mean is kept in
the schema metadata as JSON, so that a file moved out of its folder still says where it came from.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from auricle.atomic import write_bytes
from auricle.config import Config
from auricle.errors import DataError, require

Answers = Literal["multi_label", "single_label"]
"""Each class for itself, or one of all."""
_METADATA_KEY: Final = b"auricle.predictions"
_TRUTH, _SCORE = "y:", "p:"


# Under which note it stands that nobody knows whether pre-training saw the test part, and the word for it.
OVERLAP_NOTE: Final = "overlap"
UNKNOWN: Final = "unknown"


class PredictionMeta(Config):
    """Where the numbers of a predictions file come from.

    Attributes:
        protocol: `zero_shot`, `linear_probe`, `finetune` ...
        task: task id, such as `ptb_xl/super`.
        method: registered name of the method, or of a reference row such as `class_prior`.
        preset: the method's preset or the run's name; empty where it has none.
        fraction: share of the training patients used, None where nothing was trained (zero-shot).
        seed: seed of the training subset and of the training.
        track: `clean` (ours) or `legacy` (the conditions of the published numbers).
        pretrained_on: sources seen in pre-training.
        overlap: whether pre-training saw the signals of this test part, or may have seen them.
        n_train: number of training records.
        answers: `multi_label`, each class for itself, or `single_label`, one of all: the class with the highest score.
        scores_are_probabilities: false for cosines, for which a calibration error means nothing.
        notes: further facts (windows and pooling, prompt set ...).
    """

    protocol: str
    task: str
    method: str
    preset: str = ""
    fraction: float | None = None
    seed: int = 0
    track: Literal["clean", "legacy"] = "clean"
    pretrained_on: tuple[str, ...] = ()
    overlap: bool = False
    n_train: int | None = None
    answers: Answers = "multi_label"
    scores_are_probabilities: bool = True
    notes: dict[str, str | int | float | bool] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scores for the records of one test part, beside the truth.

    Attributes:
        record_id: the n records.
        patient_id: their patients; None is a person of its own.
        age_days: (n,) NaN where unknown.
        classes: the c class names.
        truth: (n, c) 0, 1, or NaN where not annotated.
        score: (n, c) larger means more likely; probabilities where `meta.scores_are_probabilities`.
        meta: where the numbers come from.

    Raises:
        DataError: shapes that do not fit, a record or class twice, scores that are not finite, or truth that is not 0,
            1 or NaN.
    """

    record_id: tuple[str, ...]
    patient_id: tuple[str | None, ...]
    age_days: NDArray[np.float64]
    classes: tuple[str, ...]
    truth: NDArray[np.float64]
    score: NDArray[np.float64]
    meta: PredictionMeta

    def __post_init__(self) -> None:
        shape = (len(self.record_id), len(self.classes))
        what = f"predictions of {self.meta.method} for {self.meta.task}"
        if self.truth.shape != shape or self.score.shape != shape:
            raise DataError(
                f"{what}: truth {self.truth.shape} and score {self.score.shape}, not (record, class) {shape}"
            )
        if len(self.patient_id) != shape[0] or self.age_days.shape != (shape[0],):
            raise DataError(f"{what}: patient_id and age_days must have one value for each of the {shape[0]} records")
        if len(set(self.record_id)) != shape[0] or len(set(self.classes)) != shape[1]:
            names = self.record_id if len(set(self.record_id)) != shape[0] else self.classes
            first: dict[str, int] = {}
            place = next(place for place, name in enumerate(names) if first.setdefault(name, place) != place)
            kind = "record" if names is self.record_id else f"class {names[place]}"
            raise DataError(f"{what}: a {kind} occurs twice, the second time in place {place + 1}: name each once")
        if not np.isfinite(self.score).all():
            raise DataError(f"{what}: scores that are not finite; the model diverged or a mask was applied by product")
        if not np.isin(self.truth[~np.isnan(self.truth)], (0, 1)).all():
            raise DataError(f"{what}: truth must be 0, 1 or NaN")

    def __len__(self) -> int:
        return len(self.record_id)

    def select(self, index: NDArray[np.integer]) -> Predictions:
        """The records at `index` (positions), in that order."""
        return Predictions(
            record_id=tuple(self.record_id[row] for row in index),
            patient_id=tuple(self.patient_id[row] for row in index),
            age_days=self.age_days[index],
            classes=self.classes,
            truth=self.truth[index],
            score=self.score[index],
            meta=self.meta,
        )

    def write(self, path: str | Path) -> None:
        """Write one parquet file, which is replaced as a whole."""
        pyarrow, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
        columns: dict[str, Any] = {
            "record_id": pyarrow.array(self.record_id, pyarrow.string()),
            "patient_id": pyarrow.array(self.patient_id, pyarrow.string()),
            "age_days": self.age_days,
        }
        for number, name in enumerate(self.classes):
            columns[_TRUTH + name] = self.truth[:, number]
            columns[_SCORE + name] = self.score[:, number]
        table = pyarrow.table(columns).replace_schema_metadata({_METADATA_KEY: self.meta.model_dump_json().encode()})
        content = io.BytesIO()
        parquet.write_table(table, content, compression="zstd")
        write_bytes(path, content.getvalue())

    @classmethod
    def read(cls, path: str | Path) -> Predictions:
        """Read what `write` wrote.

        Raises:
            DataError: there is no such file, or it is not a predictions file.
        """
        pyarrow, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
        try:
            table = parquet.read_table(path)
            meta = PredictionMeta.model_validate_json((table.schema.metadata or {})[_METADATA_KEY])
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such predictions file; run the evaluation that writes it") from error
        except (pyarrow.ArrowInvalid, KeyError, ValidationError) as error:
            raise DataError(f"{path}: not a predictions file of this version; run the evaluation again") from error
        classes = tuple(name.removeprefix(_TRUTH) for name in table.column_names if name.startswith(_TRUTH))
        return cls(
            record_id=tuple(table["record_id"].to_pylist()),
            patient_id=tuple(table["patient_id"].to_pylist()),
            age_days=_column(table, "age_days"),
            classes=classes,
            truth=_columns(table, _TRUTH, classes),
            score=_columns(table, _SCORE, classes),
            meta=meta,
        )


def _columns(table: Any, prefix: str, classes: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([_column(table, prefix + name) for name in classes], axis=1)


def _column(table: Any, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def patient_codes(patient_ids: Sequence[str | None]) -> NDArray[np.int64]:
    """(n,) numbers from 0, equal for equal patients, in order of first appearance; each None is a person of its own."""
    known: dict[object, int] = {}
    codes = [known.setdefault(row if name is None else name, len(known)) for row, name in enumerate(patient_ids)]
    return np.array(codes, dtype=np.int64)
