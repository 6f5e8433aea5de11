"""Pre-train on MIMIC-IV-ECG, ask PTB-XL, CPSC2018 and CSN: the first stage of the LISA proposal and its main table.

Every stage keeps what it made, and is not done again; whoever is stopped goes on with the same command. Data sets that
are not at hand are left out, and their columns say "not run".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from auricle.atomic import write_bytes, write_json
from auricle.config import Config, validate
from auricle.data.ingest import ingest
from auricle.data.sources import get_source
from auricle.data.store import Store, is_store
from auricle.errors import DataError
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.main_table import TASKS, main_table, task_by_task
from auricle.evaluate.protocols import FRACTIONS, SEEDS, Setting, linear_probe, protocol_folder, results_of, zero_shot
from auricle.evaluate.reference import reference_rows
from auricle.evaluate.table import collect
from auricle.methods import AlignsText
from auricle.progress import OnProgress
from auricle.tasks import Task, load_task
from auricle.train.config import Precision, RunConfig
from auricle.train.pretrain import train_once
from auricle.train.watch import Watcher

_HOURS: Final = "hours.json"
_REFERENCES: Final = ("class_prior", "random_encoder", "rocket", "supervised")


# Of these the rows that are asked at every share of the labels.
_PROBED: Final = ("random_encoder", "rocket")


class MimicConfig(Config):
    """What is pre-trained and asked.

    Attributes:
        mimic: folder of MIMIC-IV-ECG.
        ptb_xl, cpsc2018, csn: folders of what is asked; at least one.
        methods: that are pre-trained, each by its preset `preset`.
        preset: size of all of them.
        epochs: passes over the recordings that have a report.
        batch_size: records per step.
        precision: of training.
        workers: loader processes.
        rate_hz: of all stores.
        references: whether the reference rows are made as well.
    """

    mimic: Path
    ptb_xl: Path | None = None
    cpsc2018: Path | None = None
    csn: Path | None = None
    methods: tuple[str, ...] = ("lisa", "merl")
    preset: str = "small"
    epochs: Annotated[float, Field(gt=0)] = 30.0
    batch_size: Annotated[int, Field(gt=0)] = 256
    precision: Precision = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    rate_hz: Annotated[float, Field(gt=0)] = 500.0
    references: bool = True

    @model_validator(mode="after")
    def _asks_something(self) -> MimicConfig:
        if not self.asked:
            raise ValueError("name what is asked: the folder of PTB-XL, CPSC2018 or CSN (--ptb-xl, --cpsc2018, --csn)")
        return self

    @property
    def asked(self) -> dict[str, Path]:
        """Folders of the data sets that are asked, by source."""
        folders = {"ptb_xl": self.ptb_xl, "cpsc2018": self.cpsc2018, "csn": self.csn}
        return {source: folder for source, folder in folders.items() if folder is not None}


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What was made: the table, what could not be asked and why, and the hours of each stage."""

    table: str
    not_asked: tuple[str, ...]
    hours: Mapping[str, float]


def study(
    config: MimicConfig,
    out: Path,
    *,
    watcher: Watcher | None = None,
    say: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress | None = None,
) -> Pretrained:
    """Make the study, or go on with one.

    Args:
        config: the study.
        out: folder of everything: stores/, runs/, results/, table.md and hours.json.
        watcher: told of each training.
        say: called with a line before each stage.
        on_progress: called with (done, total) while records are read.

    Raises:
        DataError: a folder is no such data set.
        ConfigError: the folder holds runs of another study.
    """
    # What is wrong with the command is said before hours are spent on it.
    runs = {method: _run_of(config, method, out) for method in config.methods}
    for source, folder in config.asked.items():
        if not is_store(out / "stores" / source):
            get_source(source).index(folder)
    watcher, clock = watcher or Watcher(), _Clock(out / _HOURS)
    with clock.stage("ingest mimic_iv_ecg"):
        say("storing MIMIC-IV-ECG")
        ingest(
            "mimic_iv_ecg",
            config.mimic,
            out / "stores" / "mimic_iv_ecg",
            rate_hz=config.rate_hz,
            on_progress=on_progress,
        )
    for source, folder in config.asked.items():
        with clock.stage(f"ingest {source}"):
            say(f"storing {source}")
            ingest(source, folder, out / "stores" / source, rate_hz=config.rate_hz, on_progress=on_progress)
    for method in config.methods:
        with clock.stage(f"pretrain {method}"):
            train_once(runs[method], out / "runs" / method, watcher, partial(say, f"pre-training {method}"))
    not_asked: list[str] = []
    for task_id in TASKS:
        task = load_task(task_id)
        if task.source not in config.asked:
            continue
        store = Store(out / "stores" / task.source)
        try:
            task.annotated_parts(store)
        except DataError as error:
            not_asked.append(f"{task_id} was not asked: {error}")
            continue
        with clock.stage(f"ask {task_id}"):
            say(f"asking {task_id}")
            settings = [
                setting_of(out / "runs" / method, store, task, out / "results", method) for method in config.methods
            ]
            for setting in settings:
                _ask(setting)
            if config.references:
                _references(settings[0], task, watcher)
    results = collect(out / "results") if (out / "results").exists() else ()
    text = task_by_task(main_table(results)) + "".join(f"\n{line}\n" for line in not_asked)
    write_bytes(out / "table.md", text.encode())
    return Pretrained(text, tuple(not_asked), clock.hours)


def _run_of(config: MimicConfig, method: str, out: Path) -> RunConfig:
    """The pre-training of a method, on all of MIMIC-IV-ECG that has a report."""
    values = {
        "model": {"name": method, "preset": config.preset},
        "data": {"store": out / "stores" / "mimic_iv_ecg"},
        "train": {
            "epochs": config.epochs, "batch_size": config.batch_size, "precision": config.precision,
            "workers": config.workers, "checkpoint_every": 1000,
        },
    }  # fmt: skip
    return validate(RunConfig, values, f"pre-training {method}")


def _ask(setting: Setting) -> None:
    """Zero-shot where the method can, and probes at every share and seed, unless they are there."""
    done = {path.parent.name for path in setting.folder.rglob("result.json")} if setting.folder.is_dir() else set()
    if isinstance(setting.method, AlignsText) and "zero_shot" not in done:
        zero_shot(setting)
    wanted = {protocol_folder("linear_probe", share, seed) for share in FRACTIONS for seed in SEEDS}
    if wanted - done:
        linear_probe(setting)


def _references(setting: Setting, task: Task, watcher: Watcher) -> None:
    """The reference rows of a task, unless they are there."""
    probed, whole = sum(len(SEEDS) if share < 1 else 1 for share in FRACTIONS), 1
    wanted = {row: probed if row in _PROBED else whole for row in _REFERENCES}
    missing = [
        row for row, n in wanted.items() if len(list(results_of(setting.out, task, row).rglob("result.json"))) < n
    ]
    reference_rows(setting, missing, FRACTIONS, SEEDS, watcher)


class _Clock:
    """How long each stage took, in hours, over all commands that worked on it; kept in a file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hours: dict[str, float] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of what is done inside, finished or not."""
        begun, before = time.monotonic(), self.hours.get(name, 0.0)
        try:
            yield
        finally:
            self.hours[name] = before + (time.monotonic() - begun) / 3600
            self.place.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.place, self.hours)
