"""auricle demo: the whole road in a few minutes, from a simulated cohort to a page about one newborn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from auricle.cli.ingest import ingest_with_progress
from auricle.cli.options import say_where
from auricle.cli.stop import keeps
from auricle.progress import stage
from auricle.train.watch import ConsoleWatcher, duration

if TYPE_CHECKING:
    from auricle.evaluate.protocols import Setting
    from auricle.pages.page import Page
    from auricle.predict import Predictor
    from auricle.recording import Recording

TASK: Final = "simulated/diagnosis"
# Sizes that two cores finish in under five minutes, measured; a larger machine changes nothing but the waiting.
_RECORDS: Final = 1500
_RATE_HZ: Final = 250.0
_SECONDS: Final = 5.0
_PRETRAIN_STEPS: Final = 250
_FINETUNE_STEPS: Final = 350
_BATCH: Final = 32
# In so few steps the linear stem learns as much and is quicker; the default is ahead after ten passes over the records.
_ENCODER: Final = {"name": "lead_groups", "preset": "nano", "stem": "group", "depth": 2}
# Reference rows of a few minutes' demo; `auricle evaluate` makes them in full.
_KERNELS: Final = 125
_SUPERVISED_EPOCHS: Final = 3
# Healthy newborns of a cohort that no training record comes from, and the ages they are asked at.
_NEWBORNS: Final = 24
_NEWBORN_SEED: Final = 11
_ASKED: Final = (("3 days", 3.0), ("1 year", 365.25), ("30 years", 30 * 365.25))
_CURVE_AGES: Final = 40


@dataclass(frozen=True)
class _Folders:
    out: Path

    @property
    def store(self) -> Path:
        return self.out / "store"

    @property
    def pretrained(self) -> Path:
        return self.out / "pretrained"

    @property
    def finetuned(self) -> Path:
        return self.out / "finetuned"

    @property
    def results(self) -> Path:
        return self.out / "results"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything the demo makes.")] = Path("auricle-demo"),
    records: Annotated[int, typer.Option(help="Simulated records.", min=200)] = _RECORDS,
    pretrain_steps: Annotated[int, typer.Option(min=1)] = _PRETRAIN_STEPS,
    finetune_steps: Annotated[int, typer.Option(min=1)] = _FINETUNE_STEPS,
) -> None:
    """Simulate, pre-train, evaluate, fine-tune with age, predict a newborn; ends with one page. Goes on if stopped."""
    console, begun = Console(stderr=True), time.monotonic()
    folders = _Folders(out)
    going_on = f"what was finished is kept in {out}; the same command goes on"
    keeps(going_on)
    console.print("1/5 a simulated cohort from birth to old age", highlight=False)
    options = {"n": records, "diagnoses": "core", "rate_hz": _RATE_HZ}
    ingest_with_progress("simulated", Path(), folders.store, options, _RATE_HZ, None)
    keeps(going_on)
    console.print("2/5 pre-training lisa on recordings and reports", highlight=False)
    _pretrain(folders, pretrain_steps)
    console.print("3/5 zero-shot and linear probes, beside the rows that keep them honest", highlight=False)
    setting = _evaluate(folders)
    console.print("4/5 fine-tuning with the age gate", highlight=False)
    _finetune(folders, finetune_steps)
    console.print("5/5 one newborn, and the page", highlight=False)
    with stage("the page"):
        page = _page(folders, setting)
    path = out / "index.html"
    page.write(path)
    console.print(
        f"done in {duration(time.monotonic() - begun)}; the page: {path.resolve()}", highlight=False, markup=False
    )


def _input() -> dict[str, Any]:
    return {"rate_hz": _RATE_HZ, "seconds": _SECONDS}


def _train_once(values: dict[str, Any], folder: Path, title: str) -> None:
    """Train unless it is done; go on if it was stopped."""
    from auricle.methods import is_saved

    if not is_saved(folder / "model"):
        with stage("starting"):
            from auricle.train.pretrain import train

        say_where(train(values, folder, resume=(folder / "run.toml").exists(), watcher=ConsoleWatcher(title)))


def _pretrain(folders: _Folders, steps: int) -> None:
    values = {
        "model": {"name": "lisa", "preset": "nano", "input": _input(), "encoder": _ENCODER},
        "data": {"store": str(folders.store), "task": TASK},
        "train": {"steps": steps, "batch_size": _BATCH},
    }
    _train_once(values, folders.pretrained, "pretrain")


def _finetune(folders: _Folders, steps: int) -> None:
    from auricle.train.setup import finetune_values

    values = finetune_values(
        {
            "init_from": str(folders.pretrained / "model"),
            "model": {"name": "supervised", "gate": {}},
            "data": {"store": str(folders.store), "task": TASK},
            "train": {"steps": steps, "batch_size": _BATCH},
        }
    )
    _train_once(values, folders.finetuned, "finetune")


def _evaluate(folders: _Folders) -> Setting:
    with stage("starting"):
        from auricle.data.store import Store
        from auricle.evaluate.protocols import Setting, linear_probe, zero_shot
        from auricle.evaluate.reference import ROWS, reference_rows
        from auricle.methods import load_method
        from auricle.tasks import load_task

    setting = Setting(
        method=load_method(folders.pretrained / "model"),
        store=Store(folders.store),
        task=load_task(TASK),
        out=folders.results,
        name="lisa",
        preset="nano",
        pretrained_on=("simulated",),
    )
    fractions, seeds = (0.01, 0.1, 1.0), (0, 1, 2)
    if not (folders.results / "simulated-diagnosis" / "supervised" / "finetune-1-0" / "result.json").exists():
        zero_shot(setting)
        linear_probe(setting, fractions, seeds)
        reference_rows(
            setting, ROWS, fractions, seeds, ConsoleWatcher("supervised"), n_kernels=_KERNELS, epochs=_SUPERVISED_EPOCHS
        )
    return setting


def _page(folders: _Folders, setting: Setting) -> Page:
    from auricle.pages.page import Page
    from auricle.predict import Predictor

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
    import numpy as np

    from auricle.simulate.cohort import cohort

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
    from statistics import fmean

    from auricle.pages.page import Section

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
    import numpy as np

    from auricle.explain.figures import age_effect, group_contributions
    from auricle.pages.page import Section
    from auricle.pages.paper import svg_paper

    page.add(
        Section(
            "The recording",
            "Simulated, three days old, nothing wrong: a tall R in V1, the axis to the right, a rate of an infant.",
            figure=svg_paper(recording, seconds=10, title="Healthy newborn, 3 days (simulated)"),
            caption="25 mm/s, 10 mm/mV.",
        )
    )
    prediction = predictor(recording)
    adult = predictor.age_curve(recording, [30 * 365.25])
    without = prediction.scores_without_age or {}
    rows = [["class", "at its age, 3 days", "age unknown", "had it been an adult of 30"]]
    rows += [
        [name, f"{score:.2f}", f"{without[name]:.2f}", f"{adult[name][0]:.2f}"]
        for name, score in prediction.scores.items()
    ]
    ages = np.expm1(np.linspace(0, np.log1p(40 * 365.25), _CURVE_AGES))
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


def _result_sections(page: Page, folders: _Folders, setting: Setting) -> None:
    from dataclasses import replace

    from auricle.evaluate.protocols import linear_recovery
    from auricle.evaluate.reference import untrained
    from auricle.evaluate.table import build, collect, per_class
    from auricle.pages.page import Section

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


def _figure_sections(page: Page, folders: _Folders, setting: Setting, predictor: Predictor) -> None:
    import json

    import numpy as np

    from auricle.data.loader import windows
    from auricle.explain.figures import gates_over_age, training_curve, tsne
    from auricle.explain.gates import gate_curves
    from auricle.pages.page import Section

    rows = setting.parts("test")["test"]
    _, batch = next(iter(windows(setting.view(rows), batch_size=64)))
    ages = np.expm1(np.linspace(0, np.log1p(40 * 365.25), _CURVE_AGES))
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
