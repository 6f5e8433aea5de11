"""Ablations and sweeps: several runs that differ in a few settings, trained and evaluated alike, in one table.

An ablation is data, a TOML file in `ablations/` or one of the user's own: settings common to all rows, and for each row
what differs. A row may begin from the weights of a donor, which is trained before, once for all rows and seeds. A row
is trained from its first step or from where it was killed, and evaluated by its own classes, by a linear probe or
zero-shot; a finished row is not repeated. Rows are compared with one of them on the same people
(`auricle.evaluate.paired`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from auricle.config import Catalogue, Config, dump, read_toml, validate
from auricle.data.store import Store
from auricle.errors import ConfigError, UnknownNameError
from auricle.evaluate.by_age import thresholds_at
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.paired import measured
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, finetuned, linear_probe, zero_shot
from auricle.evaluate.reference import reference_rows
from auricle.evaluate.table import NOT_RUN, Table, cell, collect
from auricle.methods import METHODS, Classifies, build_method, load_card
from auricle.registry import merge
from auricle.tasks import Task
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import finetune_values, load_run, same_run, with_classes
from auricle.train.watch import Watcher

_ABLATIONS: Final = Catalogue("ablation", Path(__file__).parent / "ablations")
_RESULTS: Final = "results"
_REFERENCES: Final = "reference"
_TEST, _VALIDATION = "predictions.parquet", "validation.parquet"
# Folders of results that learned from all labels.
_WHOLE: Final = ("finetune-", "linear_probe-1-")
_COMPARED_NOTE: Final = (
    "Calls of a class are from the threshold that lets a tenth of those without it pass in the validation part, of all "
    "ages. Differences are over the same resampled people, seeds averaged; ± is their standard deviation over seeds."
)
Metric = Literal["auroc", "auprc", "f1", "accuracy"]


class Row(Config):
    """One row of the table.

    Attributes:
        name: of the row.
        run: what differs from the base.
        drop: dotted keys of the base that it does without.
        donor: whose weights it begins from.
        reference: a row of `auricle.evaluate.reference` in place of a training, such as `rocket`.
    """

    name: str
    run: dict[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()
    donor: str = ""
    reference: Literal["", "class_prior", "rocket", "age_and_sex"] = ""


class Called(Config):
    """A column: how often a class is called among people of some ages, from the threshold that validation gives.

    Attributes:
        title: of the column.
        called: the class. Its threshold lets a tenth of those without it pass, of all ages of the validation part.
        low_days, high_days: ages counted, the last one not.
        having: `no`, among those who do not have it (false calls), or `yes`, among those who have (sensitivity).
    """

    title: str
    called: str
    low_days: float = 0.0
    high_days: float = math.inf
    having: Literal["no", "yes"] = "no"


class Ablation(Config):
    """What is compared.

    Attributes:
        title: headline of the table.
        source: the paper or document that asks for the comparison.
        metrics: macro metrics shown, thresholds being chosen on validation.
        fractions: shares of the training patients for the linear probe of methods that do not classify.
        calls: further columns, of rows that were trained for classes.
        protocols: how rows that were not trained for classes are asked.
        compared_with: the row that the others are compared with; none where empty.
        donors: by name, the runs whose weights rows begin from, trained on `Frame.pretrain`.
        base: settings of a run common to all rows.
        rows: at least one.
    """

    title: str
    source: str = ""
    metrics: tuple[Metric, ...] = ("auroc",)
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    calls: tuple[Called, ...] = ()
    protocols: tuple[Literal["zero_shot", "linear_probe"], ...] = ("linear_probe",)
    compared_with: str = ""
    donors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    base: dict[str, Any] = Field(default_factory=dict)
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Ablation:
        names = [row.name for row in self.rows]
        if self.compared_with and self.compared_with not in names:
            raise ValueError(f"compared_with names no row: {self.compared_with!r}")
        for row in self.rows:
            if row.donor and row.donor not in self.donors:
                raise ValueError(f"row {row.name!r} begins from {row.donor!r}, which is no donor")
            if row.reference and (row.run or row.drop or row.donor):
                raise ValueError(
                    f"row {row.name!r} is the reference row {row.reference}: it has no settings of its own"
                )
        return self

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
    """Where an ablation is run.

    Attributes:
        store: of the records that are asked about, and learned from by what is trained on labels.
        task: that is asked.
        out: folder of the runs, their results and the table.
        seeds: of every row.
        over: settings laid over those of every row.
        drop: dotted keys that all rows do without.
        pretrain: store that donors, and rows without labels, learn from; `store` where None.
        only: names of the rows that are trained now; all where empty. The table has all.
    """

    store: Path
    task: Task
    out: Path
    seeds: Sequence[int] = (0,)
    over: Mapping[str, Any] | None = None
    drop: Sequence[str] = ()
    pretrain: Path | None = None
    only: Sequence[str] = ()


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
    """Settings of the run of one row: its data, the base without what is dropped, the row, and the seed.

    A row with a donor has the donor's encoder and reads what the donor reads.
    """
    base: dict[str, Any] = dict(ablation.base)
    for key in (*row.drop, *frame.drop):
        base = _without(base, key.split("."))
    values = merge(merge(merge(base, row.run), frame.over or {}), {"train": {"seed": seed}})
    if row.donor:
        donor = dump(_donor_config(ablation, row.donor, frame))["model"]
        kept = {key: donor[key] for key in ("input", "encoder", "labs") if key in donor}
        under = {"model": {"name": "supervised", **kept}, "init_from": str(donor_folder(frame, row.donor))}
        values = merge(under, values)
    store = frame.store if frame.pretrain is None or _needs_labels(values) else frame.pretrain
    values = merge({"data": _data(store, frame.task if store == frame.store else None)}, values)
    return finetune_values(values) if "init_from" in values and not row.donor else values


def _donor_config(ablation: Ablation, name: str, frame: Frame) -> RunConfig:
    """The run of a donor; of the settings laid over all rows it takes what encoders read.

    Raises:
        ConfigError: there is no store for it, or its settings are wrong.
    """
    if frame.pretrain is None:
        raise ConfigError(f"rows begin from the donor {name!r}: name the store it learns from (--pretrain STORE)")
    over = (frame.over or {}).get("model", {})
    values = merge(ablation.donors[name], {"model": {key: over[key] for key in ("input",) if key in over}})
    task = frame.task if _needs_labels(values) else None
    return validate(RunConfig, merge({"data": _data(frame.pretrain, task)}, values), f"donor {name!r}")


def _needs_labels(values: Mapping[str, Any]) -> bool:
    """Whether the method of a run learns from labels; one that does not exist does not."""
    name = values.get("model", {}).get("name", "")
    return name in METHODS.names() and "target" in METHODS.get(name).cls.needs


def _data(store: Path, task: Task | None) -> dict[str, Any]:
    """Whose records a run sees: the training part of a task, or all of a store."""
    if task is None:
        return {"store": store}
    return {"store": store, "task": task.origin, "published": task.published_folder, "track": task.track}


def donor_folder(frame: Frame, name: str) -> Path:
    """Where a donor is trained and kept."""
    return frame.out / "donors" / slug(name)


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
    """Train and evaluate the rows that are not finished, and make the table of all.

    Args:
        ablation: what is compared.
        frame: where it is run.
        watcher: told of each run's progress.
        say: called with a line before each row is trained.

    Raises:
        ConfigError: a row's settings are wrong (all are checked before the first is trained), or the folder holds rows
            of other settings.
    """
    rows = ablation.only(frame.only).rows
    runs = [
        (row, seed, _checked(ablation, row, frame, seed)) for row in rows for seed in frame.seeds if not row.reference
    ]
    for name in dict.fromkeys(row.donor for row in rows if row.donor):
        _train(_donor_config(ablation, name, frame), donor_folder(frame, name), watcher, say, f"donor {name}")
    spent: list[float] = []
    for number, (row, seed, config) in enumerate(runs):
        left = f", about {fmean(spent) * (len(runs) - number) / 60:.0f} min left" if spent else ""
        begun = time.monotonic()
        folder = frame.out / "runs" / f"{slug(row.name)}-{seed}"
        title = f"{row.name}, seed {seed} ({number + 1} of {len(runs)}{left})"
        _train(with_classes(config, frame.task), folder, watcher, say, title)
        if _evaluate(ablation, row, seed, folder, frame):
            spent.append(time.monotonic() - begun)
    for row in rows:
        if row.reference:
            _make_reference(ablation, row, frame, watcher)
    return ablation_table(ablation, frame.task, frame.out)


def _checked(ablation: Ablation, row: Row, frame: Frame, seed: int) -> RunConfig:
    try:
        return validate(RunConfig, row_values(ablation, row, frame, seed), "run")
    except ConfigError as error:
        raise ConfigError(f"row {row.name!r}: {error}") from None


def _train(config: RunConfig, folder: Path, watcher: Watcher, say: Callable[[str], None], title: str) -> None:
    """Train a run unless it is finished; what is there must be the run that is asked for."""
    begun = (folder / "run.toml").exists()
    differing = same_run(load_run(folder), config) if begun else []
    if differing:
        raise ConfigError(
            f"{folder}: was made with another {', '.join(differing)}; choose another folder for the table"
        )
    if not (folder / "model").is_dir():
        say(title)
        fit(config, folder, resume=begun, watcher=watcher)


def _evaluate(ablation: Ablation, row: Row, seed: int, folder: Path, frame: Frame) -> bool:
    """Predictions and metrics of one trained row, unless they are there; whether anything was done."""
    out = frame.out / _RESULTS / f"seed{seed}"
    setting = replace(setting_of(folder, Store(frame.store), frame.task, out, row.name), preset=slug(row.name))
    tuned = isinstance(setting.method, Classifies)
    probes = len(ablation.fractions) if "linear_probe" in ablation.protocols else 0
    wanted = 1 if tuned else probes + ("zero_shot" in ablation.protocols)
    done = sorted(setting.folder.rglob("result.json")) if setting.folder.is_dir() else []
    if len(done) >= wanted:
        return False
    if tuned:
        about = load_card(folder)[0]["about"]
        finetuned(setting, about["label_share"], seed, about["n_records"])
    if probes and not tuned:
        linear_probe(setting, ablation.fractions, [seed])
    if "zero_shot" in ablation.protocols and not tuned:
        zero_shot(setting)
    return True


def _make_reference(ablation: Ablation, row: Row, frame: Frame, watcher: Watcher) -> None:
    """A reference row on all labels, unless it is there; what it reads is what the first trained row reads."""
    trained = next(one for one in ablation.rows if not one.reference)
    method = build_method(_checked(ablation, trained, frame, 0).model)
    setting = Setting(method, Store(frame.store), frame.task, frame.out / _RESULTS / _REFERENCES, row.reference)
    if not setting.folder.is_dir():
        reference_rows(setting, [row.reference], (1.0,), (0,), watcher)


def ablation_table(ablation: Ablation, task: Task, out: Path) -> Table:
    """All rows of an ablation, those that were not run as well.

    One column for each share of labels and metric, in per cent, one for each of `Ablation.calls`, and what each row is
    above `compared_with`: both over the same people, seeds averaged.

    Args:
        ablation: what is compared.
        task: that was asked.
        out: folder of the ablation.
    """
    ours = [result for result in collect(out / _RESULTS) if result["meta"]["task"] == task.id]
    asked = sorted({(result["meta"]["fraction"] is None, result["meta"]["fraction"] or 0.0) for result in ours})
    columns = [(share, metric) for share in asked for metric in ablation.metrics]
    named = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "accuracy": "accuracy"}
    shown = [
        named[m] + ((" zero-shot" if z else f" at {100 * f:g} %") if len(asked) > 1 else "") for (z, f), m in columns
    ]
    rows = []
    for row in ablation.rows:
        of_row = [result for result in ours if result["meta"]["method"] == (row.reference or row.name)]
        shares = [(result["meta"]["fraction"] is None, result["meta"]["fraction"] or 0.0) for result in of_row]
        cells = [
            cell([result for result, own in zip(of_row, shares, strict=True) if own == share], metric)
            for share, metric in columns
        ]
        rows.append((row.name, *cells))
    header, more = _compared(ablation, task, out)
    sizes = {f"{r['n_records']} test records of {r['n_patients']} patients" for r in ours}
    seeds = len({result["meta"]["seed"] for result in ours})
    notes = [
        f"Macro means in per cent; {', '.join(sorted(sizes))}; mean ± standard deviation over seeds ({seeds}), and the "
        "95 % interval of a bootstrap over patients; thresholds chosen on validation."
    ]
    if header:
        notes.append(_COMPARED_NOTE)
    joined = tuple((*row, *more[row[0]]) for row in rows)
    return Table(("", *shown, *header), joined, f"**{ablation.title}** on {task.id}.", tuple(notes))


def _compared(ablation: Ablation, task: Task, out: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The columns that are read from predictions: their names, and the cells by row.

    They are of what learned from all labels: classes of trained rows, probes of the others.
    """
    asked: dict[str, list[tuple[Predictions, Predictions]]] = {}
    for row in ablation.rows:
        found = sorted((out / _RESULTS).glob(f"*/{task.id.replace('/', '-')}/{row.reference or row.name}/*"))
        whole = [folder for folder in found if folder.name.startswith(_WHOLE) and (folder / _VALIDATION).exists()]
        asked[row.name] = [(Predictions.read(f / _TEST), Predictions.read(f / _VALIDATION)) for f in whole]
    header: list[str] = []
    cells: dict[str, list[str]] = {row.name: [] for row in ablation.rows}
    measures: list[tuple[str, Called | None, bool]] = [(call.title, call, False) for call in ablation.calls]
    if ablation.compared_with:
        against = f"above {ablation.compared_with}"
        measures += [(f"AUROC {against}", None, True)] + [(f"{c.title} {against}", c, True) for c in ablation.calls]
    for title, call, is_difference in measures:
        header.append(title)
        for row in ablation.rows:
            own, other = asked[row.name], asked.get(ablation.compared_with, [])
            if not own or (is_difference and not other):
                cells[row.name].append(NOT_RUN)
            elif is_difference and row.name == ablation.compared_with:
                cells[row.name].append("–")
            else:
                cells[row.name].append(_measured(own, other if is_difference else None, call))
    return header, cells


def _measured(
    own: Sequence[tuple[Predictions, Predictions]],
    other: Sequence[tuple[Predictions, Predictions]] | None,
    call: Called | None,
) -> str:
    """A cell: a row by itself or above another, each by (test, validation) of every seed."""
    if call is None:
        return str(measured([test for test, _ in own], [test for test, _ in other] if other else None))
    chosen = {id(test): thresholds_at(validation) for test, validation in (*own, *(other or ()))}

    def share(predictions: Predictions, weights: NDArray[np.uint16]) -> NDArray[np.float64]:
        column = predictions.classes.index(call.called)
        days, truth = predictions.age_days, predictions.truth[:, column]
        counted = (days >= call.low_days) & (days < call.high_days) & (truth == (call.having == "yes"))
        called = counted & (predictions.score[:, column] >= chosen[id(predictions)][column])
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * (weights @ called.astype(float)) / (weights @ counted.astype(float)))

    return str(measured([test for test, _ in own], [test for test, _ in other] if other else None, share))
