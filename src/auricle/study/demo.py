"""The whole road on simulated people in a few minutes: what `auricle demo` trains, asks and shows on one page."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from auricle.age import DAYS_PER_YEAR
from auricle.age_axis import spaced_ages
from auricle.config import validate
from auricle.data.loader import windows
from auricle.data.store import Store
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.protocols import Setting, linear_probe, linear_recovery, protocol_folder, results_of, zero_shot
from auricle.evaluate.reference import ROWS, reference_rows, untrained
from auricle.evaluate.table import build, collect, per_class
from auricle.explain.figures import age_effect, gates_over_age, group_contributions, training_curve, tsne
from auricle.explain.gates import gate_curves
from auricle.pages.page import Page, Section
from auricle.pages.paper import svg_paper
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.simulate.cohort import cohort
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.pretrain import train_once
from auricle.train.setup import finetune_values
from auricle.train.watch import Watcher

TASK: Final = "simulated/diagnosis"
RATE_HZ: Final = 250.0
_SECONDS: Final = 5.0
_BATCH: Final = 32
# In so few steps the linear stem learns as much and is quicker; the default is ahead after ten passes over the records.
_ENCODER: Final = {"name": "lead_groups", "preset": "nano", "stem": "group", "depth": 2}
# Reference rows of a few minutes' demo; `auricle evaluate` makes them in full.
_KERNELS: Final = 125
_SUPERVISED_EPOCHS: Final = 3
_FRACTIONS, _SEEDS = (0.01, 0.1, 1.0), (0, 1, 2)
# Healthy newborns of a cohort that no training record comes from, and the ages they are asked at.
_NEWBORNS: Final = 24
_NEWBORN_SEED: Final = 11
_ASKED: Final = (("3 days", 3.0), ("1 year", DAYS_PER_YEAR), ("30 years", 30 * DAYS_PER_YEAR))
_CURVE_AGES: Final = 40
_OLDEST: Final = 40 * DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a demo keeps its stages, each of which is done once."""

    out: Path

    @property
    def store(self) -> Path:
        """The simulated people."""
        return self.out / "store"

    @property
    def pretrained(self) -> Path:
        """The run that learned from recordings and reports."""
        return self.out / "pretrained"

    @property
    def finetuned(self) -> Path:
        """The run that learned labels, with an age gate."""
        return self.out / "finetuned"

    @property
    def results(self) -> Path:
        """Predictions and metrics."""
        return self.out / "results"


def _input() -> dict[str, Any]:
    return {"rate_hz": RATE_HZ, "seconds": _SECONDS}


def pretrain(folders: Folders, steps: int, watcher: Watcher) -> None:
    """Train lisa on recordings and reports, unless that is done.

    Args:
        folders: of the demo; the store is there.
        steps: optimiser steps.
        watcher: is told of the training.

    Raises:
        ConfigError: the folder holds another run.
    """
    values = {
        "model": {"name": "lisa", "preset": "nano", "input": _input(), "encoder": _ENCODER},
        "data": {"store": str(folders.store), "task": TASK},
        "train": {"steps": steps, "batch_size": _BATCH},
    }
    train_once(validate(RunConfig, values, "demo"), folders.pretrained, watcher)


def finetune(folders: Folders, steps: int, watcher: Watcher) -> None:
    """Train the classes with a gate driven by age, unless that is done.

    Args:
        folders: of the demo; lisa is pre-trained.
        steps: optimiser steps.
        watcher: is told of the training.

    Raises:
        ConfigError: the folder holds another run.
    """
    values = finetune_values(
        {
            "init_from": str(folders.pretrained / "model"),
            "model": {"name": "supervised", "gate": {}},
            "data": {"store": str(folders.store), "task": TASK},
            "train": {"steps": steps, "batch_size": _BATCH},
        }
    )
    train_once(validate(RunConfig, values, "demo"), folders.finetuned, watcher)


def evaluate(folders: Folders, watcher: Watcher) -> Setting:
    """Zero-shot and linear probes of lisa, with the reference rows beside them, unless they are there.

    Args:
        folders: of the demo; lisa is pre-trained.
        watcher: is told of the training of the supervised row.

    Returns:
        Lisa on its task.
    """
    task = load_task(TASK)
    setting = replace(
        setting_of(folders.pretrained, Store(folders.store), task, folders.results, "lisa"), preset="nano"
    )
    last = results_of(folders.results, task, ROWS[-1]) / protocol_folder("finetune")
    if not (last / "result.json").exists():
        zero_shot(setting)
        linear_probe(setting, _FRACTIONS, _SEEDS)
        reference_rows(setting, ROWS, _FRACTIONS, _SEEDS, watcher, n_kernels=_KERNELS, epochs=_SUPERVISED_EPOCHS)
    return setting


def page_of(folders: Folders, setting: Setting) -> Page:
    """The page of a demo: newborns with and without their age, one of them whole, tables and figures.

    Args:
        folders: of the demo, all stages done.
        setting: of `evaluate`.
    """
    predictor = Predictor.from_pretrained(folders.finetuned)
    page = Page(
        "auricle: one newborn, and how the answer was learned",
        "A cohort was simulated from birth to old age, lisa was pre-trained on its recordings and reports, tested "
        "without and with labels, and fine-tuned with a gate driven by continuous age. Below, healthy newborns are "
        "read with their age, without it, and at other ages. Everything here is simulated: the page shows how the "
        "system works and proves nothing about patients.",
        command="auricle demo",
    )
    asked = _ask_newborns(predictor)
    shown = _shown(asked)
    _age_section(page, asked, shown)
    _newborn_sections(page, predictor, asked[shown].recording)
    _result_sections(page, folders, setting)
    _figure_sections(page, folders, setting, predictor)
    return page


@dataclass(frozen=True)
class _Asked:
    """A healthy newborn, and its scores at the ages of `_ASKED`, by class."""

    recording: Recording
    scores: dict[str, list[float]]

    def normal(self, number: int) -> bool:
        """Whether it is rather read as normal than as right ventricular hypertrophy, told that age."""
        return self.scores["NORM"][number] > self.scores["RVH"][number]


def _ask_newborns(predictor: Predictor) -> list[_Asked]:
    drawn = cohort(_NEWBORNS, _NEWBORN_SEED, ages=np.full(_NEWBORNS, _ASKED[0][1]), diagnoses={})
    ages = [days for _, days in _ASKED]
    return [_Asked(recording, predictor.age_curve(recording, ages)) for recording in drawn.recordings()]


def _shown(asked: list[_Asked]) -> int:
    """The newborn of the page: the middle one, by how far RVH rises, of those whose reading turns with the age.

    Where none turns it is the middle one of all.
    """
    rise = [each.scores["RVH"][-1] - each.scores["RVH"][0] for each in asked]
    turning = [number for number, each in enumerate(asked) if each.normal(0) and not each.normal(-1)]
    ordered = sorted(turning or range(len(asked)), key=lambda number: rise[number])
    return ordered[len(ordered) // 2]


def _age_section(page: Page, asked: list[_Asked], shown: int) -> None:
    """Whether the age matters, told by all newborns and not by the one that is shown."""

    rows = [["told that the age is", "read as normal", "read as RVH", "mean NORM", "mean RVH"]]
    for number, (name, _) in enumerate(_ASKED):
        normal = sum(each.normal(number) for each in asked)
        means = [f"{fmean(each.scores[label][number] for each in asked):.2f}" for label in ("NORM", "RVH")]
        rows.append([name, f"{normal} of {len(asked)}", f"{len(asked) - normal} of {len(asked)}", *means])
    turned = sum(each.normal(0) and not each.normal(-1) for each in asked)
    at_birth = sum(each.normal(0) for each in asked)
    said = (
        f"{at_birth} of {len(asked)} are rather read as normal than as right ventricular hypertrophy at three days, "
        f"and {turned} of these {at_birth} would be called right ventricular hypertrophy were they thirty years old."
    )
    if turned <= at_birth / 2:
        said += " So this short training did not learn what the age means, and the page shows no effect of it."
    page.add(
        Section(
            "The same hearts at other ages",
            f"{len(asked)} healthy newborns of three days, from a cohort that no training record comes from. Their "
            f"right ventricle dominates, as it should at birth and no longer should later. {said}",
            table=rows,
            note=f"The newborn below is number {shown + 1} of them: the middle one, by how far RVH rises, of "
            + ("those whose reading turns with the age." if turned else "all, for no reading turns with the age."),
        )
    )


def _newborn_sections(page: Page, predictor: Predictor, recording: Recording) -> None:
    page.add(
        Section(
            "The recording",
            "Simulated, three days old, nothing wrong: a tall R in V1, the axis to the right, a rate of an infant.",
            figure=svg_paper(recording, seconds=10, title="Healthy newborn, 3 days (simulated)"),
            caption="25 mm/s, 10 mm/mV.",
        )
    )
    prediction = predictor(recording)
    adult = predictor.age_curve(recording, [30 * DAYS_PER_YEAR])
    without = prediction.scores_without_age or {}
    rows = [["class", "at its age, 3 days", "age unknown", "had it been an adult of 30"]]
    rows += [
        [name, f"{score:.2f}", f"{without[name]:.2f}", f"{adult[name][0]:.2f}"]
        for name, score in prediction.scores.items()
    ]
    ages = spaced_ages(0.0, _OLDEST, _CURVE_AGES)
    curve = predictor.age_curve(recording, ages.tolist())
    page.add(
        Section(
            "The answer, with and without the age",
            "Probabilities of the fine-tuned model. The trace is the same in all columns; only the age told differs.",
            table=rows,
            figure=age_effect(ages, np.array(list(curve.values())).T, list(curve), prediction.age_days),
            caption="The same trace asked at every age from birth to 40 years.",
            note="; ".join(prediction.notes),
        )
    )
    shares = prediction.group_contributions
    page.add(
        Section(
            "Where the answer looked",
            "Share of each lead group in the representation of this recording.",
            figure=group_contributions(list(shares), list(shares.values())),
            caption="Lateral, inferior, septal and anterior leads.",
        )
    )


def _result_sections(page: Page, folders: Folders, setting: Setting) -> None:
    results = collect(folders.results)
    table = build(results, TASK)
    page.add(
        Section(
            "How well it was learned",
            "Zero-shot uses no label at all; the linear probe uses labels of 1, 10 and 100 % of the training patients "
            "on frozen features. class_prior reads no ECG, random_encoder is the same network untrained, rocket is "
            "random convolutions, supervised a ResNet18-1D trained from scratch on all labels: a number that does not "
            "beat them means nothing.",
            table=[table.header, *table.rows],
            caption=table.caption,
            note=" ".join(table.notes),
        )
    )
    for result in results:
        meta = result["meta"]
        if meta["method"] == "lisa" and (meta["protocol"] == "zero_shot" or meta["fraction"] == 1.0):
            kind = "zero-shot" if meta["protocol"] == "zero_shot" else "linear probe on all labels"
            page.add(Section(f"Class by class: {kind}", table=per_class(result)))
    trained, fresh = linear_recovery(setting), linear_recovery(replace(setting, method=untrained(setting.method)))
    rows = [["measured of the record", "pre-trained, R²", "untrained, R²"]]
    rows += [[name, str(value), str(fresh[name])] for name, value in trained.items()]
    page.add(
        Section(
            "Is the encoder blind?",
            "What a linear map can read from frozen features, on held-out patients: the quantities a paediatric ECG is "
            "read by.",
            table=rows,
        )
    )


def _figure_sections(page: Page, folders: Folders, setting: Setting, predictor: Predictor) -> None:
    rows = setting.parts("test")["test"]
    _, batch = next(iter(windows(setting.view(rows), batch_size=64)))
    ages = spaced_ages(0.0, _OLDEST, _CURVE_AGES)
    curves = gate_curves(predictor.method, batch, ages.tolist())
    page.add(
        Section(
            "What the age gate learned",
            "On 64 test records asked at every age.",
            figure=gates_over_age(curves),
            caption="Above: the gates' scale and shift. Below: what remains of them in the output.",
        )
    )
    features = setting.each(setting.method.embed, rows)
    page.add(
        Section(
            "The pre-trained space",
            "t-SNE of the test records' features; pre-training never saw an age.",
            figure=tsne(
                features, setting.store.columns.age_days[rows], "Coloured by age", colour_name="age", is_age=True
            ),
            caption="Each point is a record.",
        )
    )
    log = [json.loads(line) for line in (folders.pretrained / "log.jsonl").read_text().splitlines()]
    page.add(
        Section(
            "Pre-training",
            figure=training_curve([entry["step"] for entry in log], [entry["loss"] for entry in log]),
            caption="The DiagSim-weighted loss.",
        )
    )
