"""Running an ablation: what is not finished is trained and evaluated, and all rows stand in one table.

A row is trained from its first step or from where it was killed, and evaluated by its own classes, by a linear probe or
zero-shot; a finished row is not repeated. Rows are compared with one of them on the same people
(`auricle.evaluate.paired`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.atomic import write_json
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.ablation import Ablation, Called, Frame, Row, donor_config, donor_folder, row_config, slug
from auricle.evaluate.by_age import thresholds_at
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.paired import measured
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, finetuned, linear_probe, zero_shot
from auricle.evaluate.ranking import auroc
from auricle.evaluate.reference import reference_rows
from auricle.evaluate.table import NOT_RUN, Result, Table, cell, collect
from auricle.methods import Classifies, build_method, load_card
from auricle.tasks import Task
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import load_run, same_run, with_classes
from auricle.train.watch import Watcher

_RESULTS: Final = "results"
_REFERENCES: Final = "reference"
_MINUTES: Final = "minutes.json"
_TEST, _VALIDATION = "predictions.parquet", "validation.parquet"
# Folders of results that learned from all labels.
_WHOLE: Final = ("finetune-", "linear_probe-1-")
_COMPARED_NOTE: Final = (
    "Calls of a class are from the threshold that lets a tenth of those without it pass in the validation part, of all "
    "ages. Differences are over the same resampled people, seeds averaged; ± is their standard deviation over seeds."
)

# What a row says of the test and of the validation part; by the folder of its seed.
Pair = tuple[Predictions, Predictions]
BySeed = Mapping[str, Pair]


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
        (row, seed, row_config(ablation, row, frame, seed)) for row in rows for seed in frame.seeds if not row.reference
    ]
    for name in dict.fromkeys(row.donor for row in rows if row.donor):
        _train(donor_config(ablation, name, frame), donor_folder(frame, name), watcher, say, f"donor {name}")
    spent: list[float] = []
    for number, (row, seed, config) in enumerate(runs):
        left = f", about {fmean(spent) * (len(runs) - number) / 60:.0f} min left" if spent else ""
        begun = time.monotonic()
        folder = frame.out / "runs" / f"{slug(row.name)}-{seed}"
        title = f"{row.name}, seed {seed} ({number + 1} of {len(runs)}{left})"
        _train(with_classes(config, frame.task), folder, watcher, say, title)
        if _evaluate(ablation, row, seed, folder, frame):
            spent.append(time.monotonic() - begun)
            _keep_minutes(frame.out / _MINUTES, f"{slug(row.name)}-{seed}", spent[-1] / 60)
    for row in rows:
        if row.reference:
            _make_reference(ablation, row, frame, watcher)
    return ablation_table(ablation, frame.task, frame.out)


def _keep_minutes(place: Path, name: str, minutes: float) -> None:
    """Remember how long a row took, for whoever asks what the others would take."""
    known = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    write_json(place, {**known, name: round(minutes, 2)})


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
    method = build_method(row_config(ablation, trained, frame, 0).model)
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
    asked = sorted({_share(result) for result in ours})
    columns = [(share, metric) for share in asked for metric in ablation.metrics]
    named = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "accuracy": "accuracy"}
    shown = [
        named[m] + ((" zero-shot" if z else f" at {100 * f:g} %") if len(asked) > 1 else "") for (z, f), m in columns
    ]
    rows = []
    for row in ablation.rows:
        of_row = [result for result in ours if result["meta"]["method"] == (row.reference or row.name)]
        cells = [cell([result for result in of_row if _share(result) == share], metric) for share, metric in columns]
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
    missing = [row[0] for row in rows if set(row[1:]) == {NOT_RUN}]
    if missing:
        notes.append(_not_run(missing, out))
    joined = tuple((*row, *more[row[0]]) for row in rows)
    return Table(("", *shown, *header), joined, f"**{ablation.title}** on {task.id}.", tuple(notes))


def _share(result: Result) -> tuple[bool, float]:
    """In which column a result stands: zero-shot or not, and the share of the labels a probe learned from.

    A row that was trained on a share of the labels has that in its name, and stands beside the others.
    """
    meta = result["meta"]
    if meta["protocol"] == "finetune":
        return False, 1.0
    return meta["fraction"] is None, meta["fraction"] or 0.0


def _not_run(missing: Sequence[str], out: Path) -> str:
    """What is left to do, and how long it would take by what was done here."""
    place = out / _MINUTES
    spent: dict[str, float] = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    took = f", by the rows that were run some {fmean(spent.values()):.0f} min for each and seed" if spent else ""
    names = " ".join(f'--row "{name}"' for name in missing)
    return f"Not run: the same command with {names}{took}."


def _compared(ablation: Ablation, task: Task, out: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The columns that are read from predictions: their names, and the cells by row.

    They are of what learned from all labels: classes of trained rows, probes of the others.
    """
    asked: dict[str, BySeed] = {}
    for row in ablation.rows:
        found = (out / _RESULTS).glob(f"*/{task.id.replace('/', '-')}/{row.reference or row.name}/*")
        whole = sorted(f for f in found if f.name.startswith(_WHOLE) and (f / _VALIDATION).exists())
        asked[row.name] = {
            f.parents[2].name: (Predictions.read(f / _TEST), Predictions.read(f / _VALIDATION)) for f in whole
        }
    header: list[str] = []
    cells: dict[str, list[str]] = {row.name: [] for row in ablation.rows}
    measures: list[tuple[str, Called | None, bool]] = [(call.title, call, False) for call in ablation.calls]
    if ablation.compared_with:
        against = f"above {ablation.compared_with}"
        measures += [(f"AUROC {against}", None, True)] + [(f"{c.title} {against}", c, True) for c in ablation.calls]
    for title, call, is_difference in measures:
        header.append(title)
        for row in ablation.rows:
            own, other = asked[row.name], asked.get(ablation.compared_with, {})
            if is_difference and own.keys() & other.keys():  # seed beside seed, as far as both have them
                own, other = ({seed: row_of[seed] for seed in own.keys() & other.keys()} for row_of in (own, other))
            if not own or (is_difference and not other):
                cells[row.name].append(NOT_RUN)
            elif is_difference and row.name == ablation.compared_with:
                cells[row.name].append("–")
            else:
                cells[row.name].append(_measured(_in_order(own), _in_order(other) if is_difference else None, call))
    return header, cells


def _in_order(by_seed: BySeed) -> list[Pair]:
    return [by_seed[seed] for seed in sorted(by_seed)]


def _measured(own: Sequence[Pair], other: Sequence[Pair] | None, call: Called | None) -> str:
    """A cell: a row by itself or above another, each by (test, validation) of every seed."""
    tests = [test for test, _ in own], [test for test, _ in other] if other else None
    if call is None:
        return str(measured(*tests))
    if call.having == "both":
        return str(measured(*tests, partial(_told_apart, call=call)))
    chosen = {id(test): thresholds_at(validation) for test, validation in (*own, *(other or ()))}

    def share(predictions: Predictions, weights: NDArray[np.uint16]) -> NDArray[np.float64]:
        column = predictions.classes.index(call.called)
        if np.isnan(chosen[id(predictions)][column]):  # too few without the class to choose one by
            return np.full(len(weights), np.nan)
        days, truth = predictions.age_days, predictions.truth[:, column]
        counted = (days >= call.low_days) & (days < call.high_days) & (truth == (call.having == "yes"))
        called = counted & (predictions.score[:, column] >= chosen[id(predictions)][column])
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * (weights @ called.astype(float)) / (weights @ counted.astype(float)))

    return str(measured(*tests, share))


def _told_apart(predictions: Predictions, weights: NDArray[np.uint16], call: Called) -> NDArray[np.float64]:
    """(r,) AUROC of a class in per cent among people of some ages."""
    column = predictions.classes.index(call.called)
    counted = (predictions.age_days >= call.low_days) & (predictions.age_days < call.high_days)
    truth = np.where(counted, predictions.truth[:, column], np.nan)
    return np.asarray(100 * auroc(truth[:, None], predictions.score[:, column, None], weights)[:, 0])
