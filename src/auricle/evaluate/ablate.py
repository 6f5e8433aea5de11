"""Running an ablation: what is not finished is trained and evaluated, and all rows stand in one table.

A row is trained from its first step or from where it was killed, and evaluated by its own classes, by a linear probe or
zero-shot; a finished row is not repeated. Rows are compared with one of them on the same people
(`auricle.evaluate.paired`).
"""

from __future__ import annotations

import hashlib
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

from auricle.age import AgeBand
from auricle.atomic import write_json
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError
from auricle.evaluate import equal_time
from auricle.evaluate.ablation import (
    Ablation,
    Called,
    Frame,
    Row,
    donor_config,
    donor_folder,
    donor_title,
    row_config,
    slug,
)
from auricle.evaluate.caption import Result
from auricle.evaluate.forecast import Forecast
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.paired import measured
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, finetuned, linear_probe, protocol_folder, zero_shot
from auricle.evaluate.ranking import auroc
from auricle.evaluate.reference import reference_rows
from auricle.evaluate.robustness import FEWER_LEADS, robustness
from auricle.evaluate.robustness import PROTOCOL as ROBUSTNESS
from auricle.evaluate.table import NOT_RUN, Table, cell, collect
from auricle.evaluate.thresholds import thresholds_at
from auricle.methods import AlignsText, Classifies, build_method, is_saved, load_card
from auricle.tasks import Task
from auricle.train.config import RunConfig
from auricle.train.pretrain import train_once
from auricle.train.run_folder import other_than_begun
from auricle.train.setup import with_classes
from auricle.train.watch import Watcher, duration

_RESULTS: Final = "results"
_REFERENCES: Final = "reference"
_MINUTES: Final = "minutes.json"
_ASKED: Final = "asked.json"
_TEST, _VALIDATION = "predictions.parquet", "validation.parquet"
# Folders of results that learned from all labels.
_WHOLE: Final = ("finetune-", "linear_probe-1-")
_CALLED_NOTE: Final = (
    "Calls of a class are from the threshold that lets a tenth of those without it pass in the validation part, of all "
    "ages."
)
_COMPARED_NOTE: Final = (
    "Differences are over the same resampled people, seeds averaged; ± is their standard deviation over seeds, "
    "and p that of a paired t test over seeds (three or more). A row with fewer seeds than the one that it is compared "
    "with stands beside the seeds that both have, so that its difference is not that of the two cells."
)

# What a row says of the test and of the validation part; by the folder of its seed.
Pair = tuple[Predictions, Predictions]
BySeed = dict[str, Pair]


def run_ablation(
    ablation: Ablation, frame: Frame, watcher: Watcher, say: Callable[[str], None] = lambda text: None
) -> Table:
    """Train and evaluate the rows that are not finished, and make the table of all.

    Args:
        ablation: what is compared.
        frame: where it is run.
        watcher: told of each run's progress.
        say: called with a line before each row is trained, and with what all of them will take.

    Raises:
        ConfigError: a row's settings are wrong (all are checked before the first is trained), or the folder holds rows
            of other settings.
    """
    rows = ablation.only(frame.only).rows
    _check_questions(ablation, frame)
    runs = _runs(ablation, rows, frame)  # all settings are looked at before anything is trained
    donors = list(dict.fromkeys(row.donor for row in rows if row.donor))
    for name in donors:
        donor_config(ablation, name, frame)
    _keep_asked(frame)
    if frame.minutes is not None:
        timed = {donor_title(name): donor_config(ablation, name, frame) for name in donors
                 if "train" not in ablation.donors[name]}  # fmt: skip
        frame = _timed(timed | _timeable(ablation, rows, frame, with_donor=False), frame, say)
    if frame.minutes is None:
        watcher = Forecast(watcher, _unfinished(ablation, runs, donors, frame), say)
    for name in donors:
        donor = donor_config(ablation, name, frame)
        over = (frame.over or {}).get("train", {})
        if over and "train" in ablation.donors[name] and not is_saved(donor_folder(frame, name) / "model"):
            kept = ", ".join(f"{key} {value}" for key, value in ablation.donors[name]["train"].items())
            say(f"{donor_title(name)}: {kept}, of its own; what is laid over the rows does not reach it")
        try:
            train_once(donor, donor_folder(frame, name), watcher, partial(say, donor_title(name)))
        except DataError as error:
            where = "; its own settings are those of the ablation's file" if "train" in ablation.donors[name] else ""
            raise DataError(f"{donor_title(name)}: {error}{where}") from None
    if frame.minutes is not None:
        frame = _timed(_timeable(ablation, rows, frame, with_donor=True), frame, say)
        runs = _runs(ablation, rows, frame)
    spent: list[float] = []
    for number, (row, seed, config) in enumerate(runs):
        left = f", about {fmean(spent) * (len(runs) - number) / 60:.0f} min left" if spent else ""
        begun = time.monotonic()
        folder = _run_folder(row, seed, frame)
        title = f"{row.name}, seed {seed} ({number + 1} of {len(runs)}{left})"
        trains = not is_saved(folder / "model")
        if not row.untuned:
            train_once(with_classes(config, frame.task), folder, watcher, partial(say, title))
        if _evaluate(ablation, row, seed, folder, frame):
            spent.append(time.monotonic() - begun)
            if trains:
                _keep_minutes(frame.out / _MINUTES, f"{slug(row.name)}-{seed}", spent[-1] / 60)
    for row in rows:
        if row.reference:
            _make_reference(ablation, row, frame, watcher)
    return ablation_table(ablation, frame.task, frame.out)


def _runs(ablation: Ablation, rows: Sequence[Row], frame: Frame) -> list[tuple[Row, int, RunConfig]]:
    """The runs of rows, one for each seed."""
    trained = [row for row in rows if not row.reference]
    return [
        (row, seed, row_config(ablation, row, frame, seed))
        for row in trained
        for seed in (frame.seeds[:1] if row.untuned else frame.seeds)  # a donor has one
    ]


def _unfinished(
    ablation: Ablation, runs: Sequence[tuple[Row, int, RunConfig]], donors: Sequence[str], frame: Frame
) -> list[RunConfig]:
    """The trainings that are left: donors, then rows and seeds."""
    trainings = [(donor_folder(frame, name), donor_config(ablation, name, frame)) for name in donors]
    trainings += [(_run_folder(row, seed, frame), config) for row, seed, config in runs if not row.untuned]
    return [config for folder, config in trainings if not is_saved(folder / "model")]


def _run_folder(row: Row, seed: int, frame: Frame) -> Path:
    """Where a row is trained with a seed, or its donor where it is that as it is."""
    return donor_folder(frame, row.donor) if row.untuned else frame.out / "runs" / f"{slug(row.name)}-{seed}"


def _timeable(ablation: Ablation, rows: Sequence[Row], frame: Frame, with_donor: bool) -> dict[str, RunConfig]:
    """Rows whose steps follow from the minutes, by name: those that do not say their own, with a donor or without."""
    named = [row for row in rows if not row.reference and not row.untuned and "steps" not in row.run.get("train", {})]
    return {
        row.name: with_classes(row_config(ablation, row, frame, frame.seeds[0]), frame.task)
        for row in named
        if bool(row.donor) == with_donor
    }


def _timed(configs: Mapping[str, RunConfig], frame: Frame, say: Callable[[str], None]) -> Frame:
    """The frame with the steps that some runs make in its minutes."""
    assert frame.minutes is not None
    return replace(frame, steps={**frame.steps, **equal_time.steps_in(frame.minutes, configs, frame.out, say)})


def _check_questions(ablation: Ablation, frame: Frame) -> None:
    """Raise where a column asks for a class that the task has not, or no row is trained at all."""
    for call in ablation.calls:
        if call.called not in frame.task.class_names:
            raise ConfigError(
                f"column {call.title!r} asks for {call.called}, which {frame.task.id} has not: "
                f"{', '.join(frame.task.class_names)}"
            )
    if all(row.reference for row in ablation.rows):
        raise ConfigError("an ablation of reference rows alone: auricle evaluate makes them (--rows)")


def _keep_asked(frame: Frame) -> None:
    """Remember what a folder's rows were asked, and refuse to go on with other records or another task."""
    place = frame.out / _ASKED
    asked = {
        "records": Store(frame.store).fingerprint,
        "classes": frame.task.fingerprint,
        "sentences": hashlib.sha256(json.dumps([entry.prompts for entry in frame.task.classes]).encode()).hexdigest(),
        "pretrain": Store(frame.pretrain).fingerprint if frame.pretrain else "",
        "minutes": frame.minutes,
    }
    differing = other_than_begun(place, asked)
    if differing:
        raise ConfigError(
            f"{frame.out}: its rows were made with other {' and '.join(differing)}: choose another folder for the table"
        )
    frame.out.mkdir(parents=True, exist_ok=True)
    write_json(place, asked)


def _keep_minutes(place: Path, name: str, minutes: float) -> None:
    """Remember how long a row took, for whoever asks what the others would take."""
    known = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    write_json(place, {**known, name: round(minutes, 2)})


def _evaluate(ablation: Ablation, row: Row, seed: int, folder: Path, frame: Frame) -> bool:
    """Predictions and metrics of one trained row, unless they are there; whether anything was done."""
    out = results_at(frame.out, seed)
    setting = replace(setting_of(folder, Store(frame.store), frame.task, out, row.name), preset=slug(row.name))
    done = _evaluate_whole(ablation, setting, seed, folder)
    last = len(FEWER_LEADS) - 1
    if "fewer_leads" in ablation.protocols and not _is_there(setting, f"{ROBUSTNESS}/{last:02d}"):
        robustness(setting, FEWER_LEADS)
        return True
    return done


def _evaluate_whole(ablation: Ablation, setting: Setting, seed: int, folder: Path) -> bool:
    """What a row says of recordings as they are; whether anything was done."""
    if isinstance(setting.method, Classifies):
        about = load_card(folder)[0]["about"]
        share = about["label_share"]
        if _is_there(setting, protocol_folder("finetune", share, seed)):
            return False
        finetuned(setting, share, seed, about["n_records"])
        return True
    probes = [share for share in ablation.fractions if "linear_probe" in ablation.protocols]
    probes = [share for share in probes if not _is_there(setting, protocol_folder("linear_probe", share, seed))]
    if probes:
        linear_probe(setting, probes, [seed])
    answers = "zero_shot" in ablation.protocols and isinstance(setting.method, AlignsText)
    asks = answers and not _is_there(setting, "zero_shot")
    if asks:
        zero_shot(setting)
    return bool(probes) or asks


def results_at(out: Path, seed: int) -> Path:
    """The folder of the results of one seed of an ablation, as `Setting.out`."""
    return out / _RESULTS / f"seed{seed}"


def _is_there(setting: Setting, name: str) -> bool:
    """Whether a result was finished: it is written last; and of what rows are compared by, that all of it is there."""
    files = ("result.json", *((_TEST, _VALIDATION) if name.startswith(_WHOLE) else ()))
    return all((setting.folder / name / file).exists() for file in files)


def _make_reference(ablation: Ablation, row: Row, frame: Frame, watcher: Watcher) -> None:
    """A reference row on all labels, unless it is there; what it reads is what the first trained row reads."""
    trained = next(one for one in ablation.rows if not one.reference and not one.untuned)
    method = build_method(row_config(ablation, trained, frame, 0).model)
    setting = Setting(method, Store(frame.store), frame.task, frame.out / _RESULTS / _REFERENCES, row.reference)
    if not _is_there(setting, protocol_folder("linear_probe")):
        reference_rows(setting, [row.reference], (1.0,), (0,), watcher)


def ablation_table(ablation: Ablation, task: Task, out: Path) -> Table:
    """All rows of an ablation, those that were not run as well.

    One column for each share of labels and metric, in per cent, one for each number of leads if rows were asked with
    fewer, one for each of `Ablation.calls`, and what each row is above `compared_with`: both over the same people,
    seeds averaged.

    Args:
        ablation: what is compared.
        task: that was asked.
        out: folder of the ablation.
    """
    every = [result for result in collect(out / _RESULTS) if result["meta"]["task"] == task.id]
    ours = [result for result in every if not result["meta"]["protocol"].startswith(f"{ROBUSTNESS}/")]
    asked = sorted({_share(result) for result in ours})
    columns = [(share, metric) for share in asked for metric in ablation.metrics]
    named = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "accuracy": "accuracy"}
    shown = [
        named[m] + ((" zero-shot" if z else f" at {100 * f:g} %") if len(asked) > 1 else "") for (z, f), m in columns
    ]
    rows = []
    for row in ablation.rows:
        of_row = [result for result in ours if result["meta"]["method"] == (row.reference or row.name)]
        cells = [_cell(of_row, share, metric) for share, metric in columns]
        rows.append((row.name, *cells))
    fewer, of_fewer = _with_fewer_leads(ablation, every)
    header, more = _compared(ablation, task, out)
    sizes = {f"{r['n_records']} test records of {r['n_patients']} patients" for r in ours}
    seeds = len({result["meta"]["seed"] for result in ours})
    notes = [
        f"Macro means in per cent; {', '.join(sorted(sizes))}; mean ± standard deviation over seeds ({seeds}), and the "
        "95 % interval of a bootstrap over patients; thresholds chosen on validation."
    ]
    notes += [note for note, applies in ((_CALLED_NOTE, ablation.calls), (_COMPARED_NOTE, header)) if applies]
    saw = sorted({r["meta"]["method"] for r in ours if r["meta"].get("overlap")})
    if saw:
        notes.append(f"Pre-training saw, or may have seen, signals of this test part: {', '.join(saw)}.")
    if at_equal_time := equal_time.note(out):
        notes.append(at_equal_time)
    if seeds > 1 and any(row.donor for row in ablation.rows):
        notes.append("All seeds of a row begin from one and the same donor, whose own spread is not in theirs.")
    missing = [row[0] for row in rows if set(row[1:]) == {NOT_RUN}]
    if missing:
        notes.append(_not_run(missing, out))
    joined = tuple((*row, *of_fewer[row[0]], *more[row[0]]) for row in rows)
    return Table(("", *shown, *fewer, *header), joined, f"**{ablation.title}** on {task.id}.", tuple(notes))


def _cell(of_row: Sequence[Result], share: tuple[bool, float], metric: str) -> str:
    """A cell of a row; a dash where a row that was run cannot be asked zero-shot."""
    found = [result for result in of_row if _share(result) == share]
    return "–" if share[0] and of_row and not found else cell(found, metric)


def _with_fewer_leads(ablation: Ablation, results: Sequence[Result]) -> tuple[list[str], dict[str, list[str]]]:
    """The columns of AUROC with fewer leads, and their cells by row; none where no row was asked so."""
    names = [f"{ROBUSTNESS}/{condition.name}" for condition in FEWER_LEADS[1:]]
    found = [result for result in results if result["meta"]["protocol"] in names]
    cells: dict[str, list[str]] = {row.name: [] for row in ablation.rows}
    if not found:
        return [], cells
    for name in names:
        for row in ablation.rows:
            of_row = [r for r in found if r["meta"]["protocol"] == name and r["meta"]["method"] == row.name]
            cells[row.name].append("–" if row.reference else cell(of_row, "auroc"))
    return [f"AUROC, {condition.name}" for condition in FEWER_LEADS[1:]], cells


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
    took = f", by the rows that were run some {duration(60 * fmean(spent.values()))} for each and seed" if spent else ""
    names = " ".join(f'--row "{name}"' for name in missing)
    return f"Not run: the same command with {names}{took}."


def _compared(ablation: Ablation, task: Task, out: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The columns that are read from predictions: their names, and the cells by row.

    They are of what learned from all labels: classes of trained rows, probes of the others.
    """
    asked: dict[str, BySeed] = {}
    for row in ablation.rows:
        asked[row.name] = {}
        for seed in sorted((out / _RESULTS).iterdir()):
            place = seed / task.id.replace("/", "-") / (row.reference or row.name)
            for found in sorted(place.iterdir()) if place.is_dir() else ():
                if found.name.startswith(_WHOLE) and (found / _VALIDATION).exists():
                    asked[row.name][seed.name] = (
                        Predictions.read(found / _TEST), Predictions.read(found / _VALIDATION),
                    )  # fmt: skip
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
        counted = _of_these_ages(predictions, call) & (predictions.truth[:, column] == (call.having == "yes"))
        called = counted & (predictions.score[:, column] >= chosen[id(predictions)][column])
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * (weights @ called.astype(float)) / (weights @ counted.astype(float)))

    return str(measured(*tests, share))


def _of_these_ages(predictions: Predictions, call: Called) -> NDArray[np.bool_]:
    """(n,) the records of the ages of a column; all of them, whoever's age is unknown too, where it has no bounds."""
    if call.low_days <= 0 and call.high_days == np.inf:
        return np.ones(len(predictions), dtype=bool)
    return np.asarray(AgeBand(call.title, call.low_days, call.high_days).holds(predictions.age_days))


def _told_apart(predictions: Predictions, weights: NDArray[np.uint16], call: Called) -> NDArray[np.float64]:
    """(r,) AUROC of a class in per cent among people of some ages."""
    column = predictions.classes.index(call.called)
    truth = np.where(_of_these_ages(predictions, call), predictions.truth[:, column], np.nan)
    return np.asarray(100 * auroc(truth[:, None], predictions.score[:, column, None], weights)[:, 0])
