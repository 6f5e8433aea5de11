"""Ablations and sweeps: several runs that differ in a few settings, trained and evaluated alike, in one table.

An ablation is data, a TOML file in `ablations/` or one of the user's own: settings common to all rows, and for each row
what differs. A row is trained from its first step or from where it was killed, and evaluated by its own classes or by a
linear probe; a finished row is not repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal

from pydantic import Field

from auricle.config import Catalogue, Config, read_toml, validate
from auricle.data.store import Store
from auricle.errors import ConfigError, UnknownNameError
from auricle.evaluate.protocols import Setting, finetuned, linear_probe
from auricle.evaluate.table import Result, Table, cell, collect
from auricle.methods import Classifies, load_card, load_method
from auricle.registry import merge
from auricle.tasks import Task
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import finetune_values, load_run, same_run, with_classes
from auricle.train.watch import Watcher

_ABLATIONS: Final = Catalogue("ablation", Path(__file__).parent / "ablations")
Metric = Literal["auroc", "auprc", "f1", "accuracy"]


class Row(Config):
    """One row: its name, what differs from the base, and dotted keys of the base that it does without."""

    name: str
    run: dict[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Ablation(Config):
    """What is compared.

    Attributes:
        title: headline of the table.
        source: the paper or document that asks for the comparison.
        metrics: macro metrics shown, thresholds being chosen on validation.
        fractions: shares of the training patients for the linear probe of methods that do not classify.
        base: settings of a run common to all rows.
        rows: at least one.
    """

    title: str
    source: str = ""
    metrics: tuple[Metric, ...] = ("auroc",)
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    base: dict[str, Any]
    rows: tuple[Row, ...]

    def only(self, names: Sequence[str]) -> Ablation:
        """The ablation with the named rows alone, in the order of the file; all rows if no name is given.

        Raises:
            UnknownNameError: no such row.
        """
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise UnknownNameError("row", name, known)
        return self.model_copy(update={"rows": tuple(row for row in self.rows if not names or row.name in names)})


@dataclass(frozen=True)
class Frame:
    """Where an ablation is run: store, task, folder, seeds; settings laid over those of every row, and dropped ones."""

    store: Path
    task: Task
    out: Path
    seeds: Sequence[int] = (0,)
    over: Mapping[str, Any] | None = None
    drop: Sequence[str] = ()


def list_ablations() -> list[str]:
    """Names of the ablations that come with auricle."""
    return _ABLATIONS.names()


def load_ablation(name: str) -> Ablation:
    """An ablation by name, or from a TOML file of one's own.

    Raises:
        UnknownNameError: no such ablation.
        ConfigError: the file is not one.
    """
    path = _ABLATIONS.find(name)
    return validate(Ablation, read_toml(path), str(path))


def row_values(ablation: Ablation, row: Row, frame: Frame, seed: int) -> dict[str, Any]:
    """Settings of the run of one row: the frame's data, the base without what is dropped, the row, and the seed."""
    base: dict[str, Any] = dict(ablation.base)
    for key in (*row.drop, *frame.drop):
        base = _without(base, key.split("."))
    data = {"store": frame.store, "task": frame.task.origin, "published": frame.task.published_folder}
    values = merge(merge(merge({"data": {**data, "track": frame.task.track}}, base), row.run), frame.over or {})
    values = merge(values, {"train": {"seed": seed}})
    return finetune_values(values) if "init_from" in values else values


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    if len(path) == 1:
        return {key: value for key, value in values.items() if key != path[0]}
    return {key: _without(value, path[1:]) if key == path[0] else value for key, value in values.items()}


def slug(name: str) -> str:
    """A row's name in small letters, digits, dots and hyphens, for a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-")


def run_ablation(
    ablation: Ablation, frame: Frame, watcher: Watcher, say: Callable[[str], None] = lambda text: None
) -> Table:
    """Train and evaluate the rows that are not finished, and make the table.

    Args:
        ablation: what is compared.
        frame: where it is run.
        watcher: told of each run's progress.
        say: called with a line before each row is trained.

    Raises:
        ConfigError: a row's settings are wrong (all are checked before the first is trained), or the folder holds rows
            of other settings.
    """
    runs = [(row, seed, _checked(ablation, row, frame, seed)) for row in ablation.rows for seed in frame.seeds]
    spent: list[float] = []
    for number, (row, seed, config) in enumerate(runs):
        left = f", about {fmean(spent) * (len(runs) - number) / 60:.0f} min left" if spent else ""
        begun = time.monotonic()
        folder = frame.out / "runs" / f"{slug(row.name)}-{seed}"
        _refuse_another(config, folder, frame.task)
        if not (folder / "model").is_dir():
            say(f"{row.name}, seed {seed} ({number + 1} of {len(runs)}{left})")
            fit(config, folder, resume=(folder / "run.toml").exists(), watcher=watcher)
        if _evaluate(ablation, row, seed, folder, frame):
            spent.append(time.monotonic() - begun)
    return ablation_table(ablation, frame.task, collect(frame.out / "results"))


def _checked(ablation: Ablation, row: Row, frame: Frame, seed: int) -> RunConfig:
    try:
        return validate(RunConfig, row_values(ablation, row, frame, seed), "run")
    except ConfigError as error:
        raise ConfigError(f"row {row.name!r}: {error}") from None


def _refuse_another(config: RunConfig, folder: Path, task: Task) -> None:
    """A finished row is not trained again, so it must be the row that is asked for."""
    if not (folder / "run.toml").exists():
        return
    differing = same_run(load_run(folder), with_classes(config, task))
    if differing:
        raise ConfigError(
            f"{folder}: was made with another {', '.join(differing)}; choose another folder for the table"
        )


def _evaluate(ablation: Ablation, row: Row, seed: int, folder: Path, frame: Frame) -> bool:
    """Predictions and metrics of one trained row, unless they are there; whether anything was done."""
    card, weights = load_card(folder)
    setting = Setting(
        method=load_method(weights), store=Store(frame.store), task=frame.task,
        out=frame.out / "results" / f"seed{seed}", name=row.name, preset=slug(row.name),
    )  # fmt: skip
    tuned = isinstance(setting.method, Classifies)
    done = sorted(setting.folder.rglob("result.json")) if setting.folder.is_dir() else []
    if len(done) >= (1 if tuned else len(ablation.fractions)):
        return False
    if tuned:
        about = card["about"]
        finetuned(setting, about["label_share"], seed, about["n_records"])
    else:
        linear_probe(setting, ablation.fractions, [seed])
    return True


def ablation_table(ablation: Ablation, task: Task, results: Sequence[Result]) -> Table:
    """One row for each row of the ablation, one column for each share of labels and metric, in per cent."""
    ours = [result for result in results if result["meta"]["task"] == task.id]
    asked = sorted({result["meta"]["fraction"] for result in ours})
    columns = [(fraction, metric) for fraction in asked for metric in ablation.metrics]
    named = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "accuracy": "accuracy"}
    header = ["", *(f"{named[metric]}{f' at {100 * f:g} %' if len(asked) > 1 else ''}" for f, metric in columns)]
    rows = []
    for row in ablation.rows:
        of_row = [result for result in ours if result["meta"]["method"] == row.name]
        cells = [
            cell([result for result in of_row if result["meta"]["fraction"] == fraction], metric)
            for fraction, metric in columns
        ]
        rows.append((row.name, *cells))
    sizes = {f"{r['n_records']} test records of {r['n_patients']} patients" for r in ours}
    seeds = len({result["meta"]["seed"] for result in ours})
    notes = (
        f"Macro means in per cent; {', '.join(sorted(sizes))}; mean ± standard deviation over seeds ({seeds}), and the "
        "95 % interval of a bootstrap over patients; thresholds chosen on validation."
    )
    return Table(tuple(header), tuple(rows), f"**{ablation.title}** on {task.id}.", (notes,))
