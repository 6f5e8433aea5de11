"""A hospital's own children: check, ingest, adapt with and without the age, ask before and after, draw, write.

Every stage keeps what it made, and is not done again; whoever is stopped goes on with the same command. What adapts is
an ablation of five rows on the manifest's own training part (`auricle.evaluate.ablate`), so that the age stands beside
what could refute it: the same weights told no age, or another child's; age and sex without an ECG; random convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.age_axis import known_ages
from auricle.atomic import write_bytes, write_json
from auricle.config import Config, dump, read_toml, validate, write_toml
from auricle.data.ingest import ingest
from auricle.data.store import Store, is_store
from auricle.doctor import examine
from auricle.errors import ConfigError, DataError
from auricle.evaluate.ablate import ablation_table, results_at, run_ablation
from auricle.evaluate.ablation import Ablation, Called, Frame, Row, slug
from auricle.evaluate.by_age import ByAge, by_age
from auricle.evaluate.calibration import calibrate
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.metrics import finite_or_none
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import answered, protocol_folder, results_of
from auricle.evaluate.table import Table
from auricle.evaluate.thresholds import thresholds_at
from auricle.explain.runs import draw_runs, frequent_classes
from auricle.methods import SHIPPED, Classifies, is_saved, load_card
from auricle.pages.check import check_page
from auricle.progress import OnProgress
from auricle.tasks import Task, load_task
from auricle.train.watch import Watcher

BEFORE: Final = "before"
WITHOUT, GATED, SHUFFLED = "without the age", "with the age gate", "age shuffled"
CALIBRATED, WEIGHTS = "with the age gate, calibrated", "weights"
_PLAN: Final = "study.toml"
# Settings that what was stored depends on.
_STORED: Final = frozenset({"data", "task", "init_from", "rate_hz"})
_FEWEST_YOUNG: Final = 20
_MOST_CLASSES: Final = 6


class StudyConfig(Config):
    """What a study of a hospital's own children is made of.

    Attributes:
        data: manifest (CSV), or the folder of a store that was ingested before.
        task: id or TOML file of the task: classes and split.
        init_from: weights that are adapted: `lisa-nano`, a run folder or saved weights.
        epochs: passes over the training children of each row.
        batch_size: records per step.
        seeds: runs of each row.
        backbone: what of the encoder is trained: `full`, `slow` or `frozen`.
        rate_hz: of the store that is made; the weights' own where None.
        classes: whose rates are shown; by default those that most test records have.
    """

    data: Path
    task: str
    init_from: str = "lisa-nano"
    epochs: Annotated[float, Field(gt=0)] = 10.0
    batch_size: Annotated[int, Field(gt=0)] = 32
    seeds: Annotated[int, Field(gt=0)] = 3
    backbone: Literal["full", "slow", "frozen"] = "full"
    rate_hz: Annotated[float, Field(gt=0)] | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Studied:
    """What a study found.

    Attributes:
        config: of the study.
        task: that was asked.
        store: the records.
        counts: records, patients and refused lines by name, for the text.
        table: all rows beside each other.
        rates: by row (before, without, with), the rates over age of the first seed.
        classes: those that are shown.
        n_gate, n_weights: parameters of the gate and of the whole gated model.
        weights: name of the weights that were adapted.
        covered: rates of the gated weights after calibration, with the coverage of their sets; None without.
        calibrated: what became of calibrating them, in a sentence.
        overlap: whether their training saw, or may have seen, these recordings.
        brings_gate: whether the weights came with a gate that knows ages: then ages of others are wrong ones from the
            first step on, and say nothing of what the gate's weights are worth.
    """

    config: StudyConfig
    task: Task
    store: Store
    counts: Mapping[str, int]
    table: Table
    rates: Mapping[str, ByAge]
    classes: tuple[str, ...]
    n_gate: int
    n_weights: int
    weights: str
    covered: ByAge | None
    calibrated: str
    overlap: bool
    brings_gate: bool


def study(
    config: StudyConfig,
    out: Path,
    *,
    watcher: Watcher | None = None,
    say: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress | None = None,
) -> Studied:
    """Make a study, or go on with one; pages and texts are written by `auricle.study.report`.

    Args:
        config: the study.
        out: folder of everything it makes: check.html, store/, runs, results/ and figures/.
        watcher: told of each training.
        say: called with a line before each stage.
        on_progress: called with (done, total) while files are read.

    Raises:
        ConfigError: the folder holds another study, or one that was moved; or the task has no such class.
        DataError: the manifest has errors, or nobody of a known age to be asked.
    """
    config = config.model_copy(update={"data": config.data.resolve()})
    task = load_task(config.task)
    card, folder = load_card(config.init_from)
    weights = folder if folder in SHIPPED.values() else Path(config.init_from)
    unknown = [name for name in config.classes if name not in task.class_names]
    if unknown:
        raise ConfigError(f"{task.id} has no class {unknown[0]}: choose among {', '.join(task.class_names)}")
    _open(config, out)
    store, counts = _records(config, out, float(card["config"]["input"]["rate_hz"]), say, on_progress)
    test = task.annotated_parts(store)["test"]
    ages = store.columns.age_days[test]
    if not known_ages(ages).any():
        raise DataError(f"{config.data}: no test record has an age, and a study of what the age is worth needs one")
    classes = config.classes or frequent_classes(task, task.store_targets(store)[test], _MOST_CLASSES)
    ablation = _rows(config, weights, task, classes, ages)
    frame = Frame(store.path, task, out, range(config.seeds))
    say("adapting: five rows, so that the age gate stands beside what could refute it")
    run_ablation(ablation, frame, watcher or Watcher(), say)
    table = ablation_table(ablation, task, out)
    write_bytes(out / "table.md", table.to_markdown().encode())
    say("rates over age, before and after")
    rates = _rates(weights, store, task, out)
    write_json(out / "rates.json", {name: _plain(found) for name, found in rates.items()})
    say("figures")
    shown = [(name, out / "runs" / f"{slug(name)}-0") for name in (WITHOUT, GATED)]
    draw_runs(shown, store, task, out / "figures", classes=classes, command="auricle study paediatric")
    say("calibrating the gated weights by age, on the validation part")
    covered, calibrated = _calibrated(config, store, task, out)
    if covered is not None:
        write_json(out / "rates.json", {name: _plain(one) for name, one in {**rates, CALIBRATED: covered}.items()})
    gate, whole = _sizes(out / "runs" / f"{slug(GATED)}-0", store, task, out)
    name = Path(config.init_from).resolve().name
    before = setting_of(weights, store, task, out)
    return Studied(
        config, task, store, counts, table, rates, tuple(classes), gate, whole, name, covered, calibrated,
        before.overlap, before.method.reads_age,
    )  # fmt: skip


def _open(config: StudyConfig, out: Path) -> None:
    """Begin a study in a folder, or make sure that it is the one that lies there."""
    place = out / _PLAN
    if place.exists():
        begun = read_toml(place)
        where = begun.pop("folder", "")
        if where != str(out.resolve()):
            raise ConfigError(
                f"{out}: this study was made in {where}, which its runs name: move it back, or choose an empty folder"
            )
        differing = [key for key, value in dump(config).items() if begun.get(key) != value]
        differing += [key for key in begun if key not in dump(config)]
        trained = any(out.glob("runs/*/run.toml")) or (out / "results").exists() or (out / WEIGHTS).exists()
        if differing and (trained or _STORED.intersection(differing)):
            raise ConfigError(
                f"{out}: holds a study with another {', '.join(dict.fromkeys(differing))}: choose another folder"
            )
        if not differing:
            validate(StudyConfig, begun, str(place))
            return
        # As long as nothing is trained, how it is to be trained may be said anew.
        write_toml(_Placed(**config.model_dump(), folder=str(out.resolve())), place)
        return
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty and holds no study ({_PLAN}): choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_toml(_Placed(**config.model_dump(), folder=str(out.resolve())), place)


class _Placed(StudyConfig):
    """A study and where it was made."""

    folder: str


def _records(
    config: StudyConfig, out: Path, rate_hz: float, say: Callable[[str], None], on_progress: OnProgress | None
) -> tuple[Store, dict[str, int]]:
    """The children: of a store as they are, of a manifest examined and stored."""
    if is_store(config.data):
        store = Store(config.data)
        return store, {"records": len(store), "patients": len(set(map(str, store.patients))), "refused": 0}
    say("examining the manifest")
    report = examine(config.data, True, on_progress)
    check_page(report, f"auricle check {config.data.name}").write(out / "check.html")
    if report.errors:
        raise DataError(
            f"{config.data}: {len(report.errors)} kinds of errors, the first: {report.errors[0].message} "
            f"(all of them: {out / 'check.html'}); repair the manifest and run the same command"
        )
    say("storing the recordings")
    done = ingest(
        "manifest", config.data, out / "store", rate_hz=config.rate_hz or max(100.0, rate_hz), on_progress=on_progress
    )
    counts = {"records": done.n_stored, "patients": report.n_patients, "refused": report.n_lines - done.n_stored}
    return Store(out / "store"), counts


def _rows(config: StudyConfig, weights: Path, task: Task, classes: tuple[str, ...], ages: Any) -> Ablation:
    """The five rows, with a column of false calls among the youngest for each class."""
    young, words = next(
        ((days, words) for days, words in ((DAYS_PER_MONTH, "first month"), (DAYS_PER_YEAR, "first year"))
         if (ages < days).sum() >= _FEWEST_YOUNG), (float("inf"), "all ages"),
    )  # fmt: skip
    calls = [Called(title=f"{name} falsely called, {words}", called=name, high_days=young) for name in classes[:2]]
    base = {
        "init_from": str(weights), "model": {"backbone": config.backbone},
        "train": {"epochs": config.epochs, "batch_size": config.batch_size},
    }  # fmt: skip
    return Ablation(
        title=f"What the age is worth: {task.title}", metrics=("auroc", "auprc"), calls=tuple(calls),
        compared_with=WITHOUT, base=base,
        rows=(
            Row(name="age and sex alone", reference="age_and_sex"),
            Row(name="random convolutions", reference="rocket"),
            Row(name=WITHOUT, run={"model": {"gate": {}, "input": {"age": "unknown"}}}),
            Row(name=GATED, run={"model": {"gate": {}}}),
            Row(name=SHUFFLED, run={"model": {"gate": {}, "input": {"age": "shuffled"}}}),
        ),
    )  # fmt: skip


def _rates(weights: Path, store: Store, task: Task, out: Path) -> dict[str, ByAge]:
    """Rates over age: of the weights as they came, where they know classes of the task, and of the first seed."""
    found: dict[str, ByAge] = {}
    setting = setting_of(weights, store, task, out, BEFORE)
    if isinstance(setting.method, Classifies):
        known = tuple(entry for entry in task.classes if entry.name in setting.method.class_names)
        if known:
            asked = replace(setting, task=task.model_copy(update={"classes": known}))
            test, validation = answered(asked, protocol="finetune")
            if validation is not None:  # nothing is chosen on the test part
                found[BEFORE] = by_age(test, thresholds_at(validation))
    for name in (WITHOUT, GATED):
        folder = results_of(results_at(out, 0), task, name) / protocol_folder("finetune")
        test, validation = (Predictions.read(folder / f"{part}.parquet") for part in ("predictions", "validation"))
        found[name] = by_age(test, thresholds_at(validation))
    return found


def _calibrated(config: StudyConfig, store: Store, task: Task, out: Path) -> tuple[ByAge | None, str]:
    """The gated weights of the first seed, calibrated in a folder of their own, asked about the test children.

    Returns:
        The rates over age, with the coverage of their sets (None where they could not be calibrated); and what became
        of it, in a sentence.
    """
    run, weights = out / "runs" / f"{slug(GATED)}-0", out / WEIGHTS
    if not is_saved(weights):
        rmtree(weights, ignore_errors=True)
        with TemporaryDirectory(dir=out) as place:
            # Whole or not there: a calibration that was stopped is made again.
            copy = copytree(load_card(run)[1], Path(place) / WEIGHTS)
            try:
                calibrate(copy, [(store.path, config.task)])
            except ConfigError as error:
                reason = str(error).removeprefix(f"{copy}: ")
                return None, f"The weights could not be calibrated: {reason}."
            copy.rename(weights)
    setting = setting_of(weights, store, task, out, "calibrated")
    test, validation = answered(setting, protocol="finetune")
    assert validation is not None  # they were calibrated on it
    found = by_age(test, thresholds_at(validation), sets=setting.method.config.sets)
    return (
        found,
        f"They lie in {WEIGHTS}/ beside this text and answer with it: auricle predict FILE --weights {WEIGHTS}.",
    )


def _plain(found: ByAge) -> dict[str, Any]:
    """Rates of each class within age bands, for a program."""
    return {
        one.name: {
            rate: {
                cell.band: [finite_or_none(cell.value), finite_or_none(cell.low), finite_or_none(cell.high), cell.n]
                for cell in one.bands[rate]
                if cell.n
            }
            for rate in one.bands
        }
        for one in found.classes
    }


def _sizes(run: Path, store: Store, task: Task, out: Path) -> tuple[int, int]:
    """Parameters of the gate, and of the whole model."""
    method = setting_of(run, store, task, out).method
    of_age = method.encoder.gate_tensors("age")
    gate = sum(one.numel() for name, one in method.encoder.named_parameters() if name in of_age)
    return gate, sum(parameter.numel() for parameter in method.parameters())
