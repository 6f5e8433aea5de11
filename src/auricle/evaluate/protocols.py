"""Protocols: functions from a method and a task to predictions files. Metrics and tables read the files, never a model.

Every protocol asks for an ability (`AlignsText`, `Classifies`), never for a class of method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.atomic import write_json
from auricle.batch import ECGBatch
from auricle.data.loader import View
from auricle.data.splits import Parts, share_of_patients
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.embed import over_records
from auricle.evaluate.metrics import summarise
from auricle.evaluate.predictions import Answers, PredictionMeta, Predictions
from auricle.evaluate.probe import RSquared, fit_probe, recovery
from auricle.methods import AlignsText, Classifies, Method
from auricle.processes import accelerator
from auricle.progress import OnProgress, stage
from auricle.tasks import PARTS, Task
from auricle.tasks.prompts import embed_prompts

FRACTIONS: Final = (0.01, 0.1, 1.0)
SEEDS: Final = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """What is evaluated: one method under one name, on one task in one store; results go below `out`.

    Attributes:
        name: row of the table: the method's registered name or that of a reference row.
        preset: the run's name.
        pretrained_on: sources seen in pre-training.
        overlap: whether pre-training saw the signals of this test part, or may have seen them.
        notes: what results say beside that: of foreign weights, whose they are.
    """

    method: Method
    store: Store
    task: Task
    out: Path
    name: str
    preset: str = ""
    pretrained_on: tuple[str, ...] = ()
    overlap: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    device: str = field(default_factory=accelerator)
    on_progress: OnProgress | None = None

    @property
    def folder(self) -> Path:
        """Where this row's results of this task go; several runs and tasks may share `out`."""
        return results_of(self.out, self.task, self.name)

    def view(self, rows: NDArray[np.int64]) -> View:
        """Some rows of the store as the method wants to see them."""
        config, needs_signal = self.method.config, self.method.picture_size is None
        return View(self.store, rows, config.input, panel=config.labs, needs_signal=needs_signal)

    def each(
        self,
        function: Callable[..., torch.Tensor],
        rows: NDArray[np.int64],
        change: Callable[[ECGBatch], ECGBatch] | None = None,
    ) -> NDArray[np.float32]:
        """`function` of every record at `rows`, of what `change` leaves of it."""
        self.method.to(self.device).eval()
        with stage(f"{self.name}: {len(rows)} records", self.on_progress) as on_progress:
            view = self.view(rows)
            return over_records(function, view, change=change, device=self.device, on_progress=on_progress)

    def parts(self, *needed: str) -> Parts:
        """Row numbers of the annotated records of train, validation and test.

        Args:
            needed: parts that must have some; by default all.

        Raises:
            DataError: a needed part has none.
        """
        return self.task.annotated_parts(self.store, needed or PARTS)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, c) 0, 1, or NaN where not annotated."""
        return self.task.store_targets(self.store)[rows]


def predictions_of(setting: Setting, rows: NDArray[np.int64], score: NDArray[Any], **meta: Any) -> Predictions:
    """Scores of the records at `rows` beside their truth, with where they come from; `meta` as in `PredictionMeta`."""
    pooling = {"windows": f"{setting.method.config.input.seconds:g} s, pooled by their mean"}
    return Predictions(
        record_id=tuple(map(str, setting.store.column("record_id")[rows])),
        patient_id=tuple(map(str, setting.store.patients[rows])),
        age_days=setting.store.columns.age_days[rows].astype(np.float64),
        classes=setting.task.class_names,
        truth=setting.targets(rows).astype(np.float64),
        score=np.asarray(score, dtype=np.float64),
        meta=PredictionMeta(
            task=setting.task.id,
            method=setting.name,
            preset=setting.preset,
            pretrained_on=setting.pretrained_on,
            overlap=setting.overlap,
            track=setting.task.track,
            notes={**pooling, **setting.notes},
            **meta,
        ),
    )


def save(setting: Setting, folder: str, test: Predictions, validation: Predictions | None) -> Path:
    """Write predictions, then the metrics read from them, below the setting's folder; returns where."""
    where = setting.folder / folder
    where.mkdir(parents=True, exist_ok=True)
    test.write(where / "predictions.parquet")
    if validation is not None:
        validation.write(where / "validation.parquet")
    with stage(f"{setting.name}: intervals of {folder}"):
        write_json(where / "result.json", summarise(test, validation))
    return where


def zero_shot(setting: Setting) -> Path:
    """Cosine of each test record with each class's prompts, and nothing learned from any label.

    Raises:
        ConfigError: the method is not aligned with text.
    """
    method, task = setting.method, setting.task
    if not isinstance(method, AlignsText):
        raise ConfigError(f"{setting.name} is not aligned with text: zero-shot needs a method such as lisa")
    # Always from the task's own sentences: those that travel with the weights may be of another version of it.
    with stage(f"{setting.name}: sentences of the task"):
        method.keep_prompts(task.id, task.class_names, embed_prompts(task, method.tower()))
    parts = setting.parts("test")
    scored = {
        part: predictions_of(
            setting,
            parts[part],
            setting.each(lambda batch: method.prompt_scores(batch, task.id), parts[part]),
            protocol="zero_shot",
            scores_are_probabilities=False,
        )
        for part in ("test", "validation")
        if len(parts[part])
    }
    return save(setting, "zero_shot", scored["test"], scored.get("validation"))


def results_of(out: Path, task: Task, row: str) -> Path:
    """Where the results of a row of a task lie in a folder of results, one folder for each of `protocol_folder`."""
    return out / task.id.replace("/", "-") / row


def protocol_folder(protocol: str, fraction: float = 1.0, seed: int = 0) -> str:
    """The folder of what a row answers by a protocol from a share of the training patients.

    A probe on all patients is the same whatever the seed, and lies under seed 0.
    """
    return f"{protocol}-{fraction:g}-{seed if fraction < 1 or protocol != 'linear_probe' else 0}"


def linear_probe(setting: Setting, fractions: Iterable[float] = FRACTIONS, seeds: Iterable[int] = SEEDS) -> list[Path]:
    """Logistic regression on frozen features, from shares of the training patients; features are computed once."""
    return probe_features(setting, setting.method.embed, fractions, seeds)


def probe_features(
    setting: Setting, function: Callable[[ECGBatch], torch.Tensor], fractions: Iterable[float], seeds: Iterable[int]
) -> list[Path]:
    """The linear probe on what any function makes of a batch."""
    seeds = tuple(seeds)
    parts = setting.parts()
    features = {part: setting.each(function, rows) for part, rows in parts.items()}
    targets = {part: setting.targets(rows) for part, rows in parts.items()}
    patients = setting.store.patients[parts["train"]]
    saved = []
    for fraction in fractions:
        for seed in seeds if fraction < 1 else [0]:  # all patients are all patients, whatever the seed
            chosen = share_of_patients(patients, fraction, seed)
            with stage(f"{setting.name}: probe on {100 * fraction:g} %, seed {seed}"):
                probe = fit_probe(
                    features["train"][chosen], targets["train"][chosen], features["validation"], targets["validation"]
                )
            meta = {"protocol": "linear_probe", "fraction": fraction, "seed": seed, "n_train": len(chosen)}
            scored = {
                part: predictions_of(setting, parts[part], probe.predict(features[part]), **meta)
                for part in ("test", "validation")
            }
            saved.append(
                save(setting, protocol_folder("linear_probe", fraction, seed), scored["test"], scored["validation"])
            )
    return saved


def finetuned(setting: Setting, fraction: float = 1.0, seed: int = 0, n_train: int | None = None) -> Path:
    """Probabilities of a method that was trained on labels of this task's classes, others of its classes aside.

    Raises:
        ConfigError: the method has no classes, or not all of this task's.
    """
    meta = {"protocol": "finetune", "fraction": fraction, "seed": seed, "n_train": n_train}
    test, validation = answered(setting, **meta)
    return save(setting, protocol_folder("finetune", fraction, seed), test, validation)


def answered(setting: Setting, **meta: Any) -> tuple[Predictions, Predictions | None]:
    """What a method with this task's classes says of the test part, and of the validation part where there is one.

    Args:
        setting: the method on its task.
        meta: as in `PredictionMeta`.

    Raises:
        ConfigError: the method has no classes, or not all of this task's.
    """
    if not answers_task(setting):
        raise ConfigError(f"{setting.name} was not trained for the classes of {setting.task.id}: fine-tune it first")
    parts = setting.parts("test")
    meta = {"answers": answers_of(setting), **meta}
    scored = {
        part: predictions_of(setting, parts[part], own_answers(setting, parts[part]), **meta)
        for part in (("test", "validation") if len(parts["validation"]) else ("test",))
    }
    return scored["test"], scored.get("validation")


def answers_task(setting: Setting) -> bool:
    """Whether the method was trained for all classes of the task, in whatever order and among whatever others."""
    method = setting.method
    return isinstance(method, Classifies) and set(setting.task.class_names) <= set(method.class_names)


def answers_of(setting: Setting) -> Answers:
    """Whether the method answers each class for itself or one of all."""
    answers: Answers = getattr(setting.method.config, "answers", "multi_label")
    return answers


def own_answers(
    setting: Setting, rows: NDArray[np.int64], change: Callable[[ECGBatch], ECGBatch] | None = None
) -> NDArray[np.float64]:
    """(n, c) what a method says itself of the task's classes, in the task's order; for settings that `answers_task`.

    Args:
        setting: the method on its task.
        rows: of the store.
        change: what is done to a batch before it is read.
    """
    method = setting.method
    assert isinstance(method, Classifies)
    columns = [method.class_names.index(name) for name in setting.task.class_names]
    # Windows are pooled as logits.
    logits = torch.from_numpy(setting.each(method.logits, rows, change)).double()
    ages = torch.from_numpy(setting.store.columns.age_days[rows]).double()
    return np.asarray(method.probabilities(logits, ages).numpy()[:, columns])


def linear_recovery(setting: Setting, names: Sequence[str] | None = None) -> dict[str, RSquared]:
    """Held-out R^2 of a linear map from frozen features to what was measured of each record: is the encoder blind?

    Axis, R/S in V1, QRS width and rate are what a paediatric ECG is read by. Ratios are taken as logarithms.

    Raises:
        ConfigError: the store has no such measurements (a simulated one has).
    """
    measured = setting.store.measurements()
    missing = sorted(set(names or ()) - measured.keys())
    if missing or not measured:
        raise ConfigError(f"{setting.store.path}: no measurements {', '.join(missing)} to recover")
    rows = setting.task.parts(setting.store)["test"]
    values = {
        name: np.log(np.clip(column[rows], 1e-2, None)) if "ratio" in name else column[rows]
        for name, column in measured.items()
        if names is None or name in names
    }
    angles = {name for name in values if name.endswith("_deg")}
    patients = [str(patient) for patient in setting.store.patients[rows]]
    features = setting.each(setting.method.embed, rows)
    with stage(f"{setting.name}: what can be read from its features"):
        return recovery(features, values, patients, angles=angles)
