"""All figures of one or several runs on a task, as files and on one page: what was learned, what the gate does, where.

t-SNE of each run's features by age and by diagnosis; gates and contributions over age; weights of lead groups by
disease; rates and AUROC over age of runs that classify; and the trace behind an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import ADULT_DAYS, describe
from auricle.age_axis import known_ages, spaced_ages
from auricle.atomic import write_with
from auricle.data.loader import windows
from auricle.data.splits import spread_over
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.by_age import by_age
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.metrics import macro_over_age
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, answered, predictions_of
from auricle.evaluate.thresholds import thresholds_at
from auricle.explain.attribution import attribution_figure, occlusion
from auricle.explain.figures import gates_over_age, metric_over_age, rates_over_age, tsne
from auricle.explain.gates import gate_curves, has_gated_groups
from auricle.explain.weights import by_class, features_and_groups, weights_figure
from auricle.methods import Classifies
from auricle.pages.page import Page, Section
from auricle.progress import OnProgress, stage
from auricle.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Classes that get curves and a trace unless others are asked for.
MOST_CLASSES: Final = 4
_GATE_RECORDS: Final = 32
_GATE_AGES: Final = 41
_CURVE_AGES: Final = 40
_FEWEST_POSITIVE: Final = 10
_BOOTSTRAP: Final = 100
_DPI: Final = 144
# Of several diagnoses a record has, the one that is drawn is the rarest; NORM is drawn where there is no other.
_NORMAL: Final = "NORM"
_NONE: Final = "none of them"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure with its file name, what it shows, and for which run."""

    file: str
    heading: str
    prose: str
    caption: str
    figure: Figure


def draw_runs(
    runs: Sequence[tuple[str, Path]],
    store: Store,
    task: Task,
    out: Path,
    *,
    classes: Sequence[str] = (),
    command: str = "",
    on_progress: OnProgress | None = None,
) -> Page:
    """Draw runs on the test part of a task; files lie in `out` (PNG), and `figures.html` has all of them.

    Args:
        runs: (name, folder) of each, by which figures are labelled.
        store: that is asked.
        task: that is asked.
        out: folder of the figures; made if needed.
        classes: whose rates and traces are drawn; by default those that most test records have.
        command: the command line, for the page.
        on_progress: called with (records done, records in all) while records are read.

    Raises:
        ConfigError: two runs of one name, or a class that the task has not.
        DataError: fewer than three test records.
    """
    names = [name or folder.resolve().name for name, folder in runs]
    if len(set(names)) != len(names):
        raise ConfigError(f"two runs are called {max(names, key=names.count)}: name them (NAME=FOLDER)")
    unknown = [name for name in classes if name not in task.class_names]
    if unknown:
        raise ConfigError(f"{task.id} has no class {unknown[0]}: choose among {', '.join(task.class_names)}")
    settings = {
        name: replace(setting_of(folder, store, task, out, name), on_progress=on_progress)
        for name, (_, folder) in zip(names, runs, strict=True)
    }
    rows = next(iter(settings.values())).parts("test")["test"]
    truth = next(iter(settings.values())).targets(rows)
    shown = tuple(classes) or frequent_classes(task, truth)
    page = Page(
        f"{', '.join(names)} on {task.title}",
        f"{len(rows)} test records of {task.id}, {store.info['source']}. Figures are files beside this page.",
        command,
    )
    drawn: list[Drawn] = []
    for name, setting in settings.items():
        read = setting.each(partial(features_and_groups, setting.method), rows)
        setting.method.cpu()  # what follows looks at few records, here
        width = setting.method.encoder.width
        drawn += _space(name, setting, rows, truth, read[:, :width])
        drawn += _gates(name, setting, rows)
        drawn += _weights(name, setting, rows, read[:, width:])
    answers = {name: answered(one, protocol="finetune") for name, one in settings.items() if _answers(one)}
    for setting in settings.values():
        setting.method.cpu()
    drawn += _rates(answers, shown)
    for name, (test, _) in answers.items():
        if settings[name].method.picture_size is None:
            drawn += _traces(name, settings[name], rows, test, shown)
    out.mkdir(parents=True, exist_ok=True)
    for one in drawn:
        write_with(out / one.file, _saves(one.figure))
        # As drawn already: traces of many short lines are large and slow as SVG.
        picture = (out / one.file).read_bytes()
        page.add(Section(one.heading, one.prose, figure=picture, caption=one.caption or one.heading))
    page.write(out / "figures.html")
    return page


def _saves(figure: Figure) -> Callable[[Path], None]:
    return lambda path: figure.savefig(path, format="png", dpi=_DPI, bbox_inches="tight")


def _file(*parts: str) -> str:
    return "-".join(re.sub(r"[^a-z0-9.]+", "_", part.casefold()).strip("_") for part in parts) + ".png"


def frequent_classes(task: Task, truth: NDArray[np.float32], most: int = MOST_CLASSES) -> tuple[str, ...]:
    """The classes that most records of (n, c) truth have, those aside that next to nobody has, and normal."""
    counts = (truth == 1).sum(axis=0)
    order = [column for column in np.argsort(-counts, kind="stable") if counts[column] >= _FEWEST_POSITIVE]
    names = [task.class_names[column] for column in order if task.class_names[column] != _NORMAL]
    return tuple(names[:most])


def _answers(setting: Setting) -> bool:
    method = setting.method
    return isinstance(method, Classifies) and set(setting.task.class_names) <= set(method.class_names)


def _diagnosis(task: Task, truth: NDArray[np.float32]) -> NDArray[np.str_]:
    """(n,) the rarest class of each record, in words of the task."""
    counts = (truth == 1).sum(axis=0).astype(float)
    counts[[name == _NORMAL for name in task.class_names]] = np.inf
    rank = np.where(truth == 1, counts, np.nan)
    has = ~np.isnan(rank).all(axis=1)
    chosen = np.full(len(truth), _NONE, dtype=object)
    chosen[has] = np.array(task.class_names, dtype=object)[np.nanargmin(rank[has], axis=1)]
    return chosen.astype(str)


def _space(
    name: str, setting: Setting, rows: NDArray[np.int64], truth: NDArray[np.float32], features: NDArray[np.float32]
) -> list[Drawn]:
    """The features of a run in the plane, by age and by diagnosis."""
    ages = setting.store.columns.age_days[rows].astype(float)
    titled = f"{name} with its age gate" if setting.method.has_age_gate else name
    prose = "t-SNE of the features of each test record, learned or not. Distances between far-away groups mean nothing."
    drawn = []
    with stage(f"{name}: t-SNE"):
        if known_ages(ages).any():
            figure = tsne(features, ages, f"{titled}: features by age", colour_name="age", is_age=True)
            drawn.append(
                Drawn(_file("tsne", name, "age"), f"{name}: features by age", prose, "A point is a record.", figure)
            )
        labels = _diagnosis(setting.task, truth)
        figure = tsne(features, labels, f"{titled}: features by diagnosis")
        drawn.append(
            Drawn(
                _file("tsne", name, "diagnosis"), f"{name}: features by diagnosis",
                f"{prose} A record with several diagnoses has the colour of the rarest.",
                "A point is a record.", figure,
            )
        )  # fmt: skip
    return drawn


def _gates(name: str, setting: Setting, rows: NDArray[np.int64]) -> list[Drawn]:
    """What an age gate does over age, where there is one on lead groups."""
    if not has_gated_groups(setting.method):
        return []
    few = spread_over(rows, _GATE_RECORDS)
    _, batch = next(iter(windows(setting.view(few), len(few))))
    ages = setting.store.columns.age_days[rows].astype(float)
    oldest = float(ages[known_ages(ages)].max()) if known_ages(ages).any() else ADULT_DAYS
    curves = gate_curves(setting.method, batch, spaced_ages(0.0, oldest, _GATE_AGES).tolist())
    if not np.isfinite(curves.gamma).any():  # one gate for all groups, or age at the output: there is none of a group
        return []
    prose = (
        f"{len(few)} test records, each asked at every age. A group that is only scaled is scaled back by the norm "
        "behind it, so that what is left of it (below) says more than the scale (above)."
    )
    caption = "Above: scale and shift. Below: shares in the representation."
    return [Drawn(_file("gates", name), f"{name}: what the gate does", prose, caption, gates_over_age(curves))]


def _weights(name: str, setting: Setting, rows: NDArray[np.int64], numbers: NDArray[np.float32]) -> list[Drawn]:
    """How lead groups are weighed by disease, where there are any."""
    if not numbers.shape[1]:
        return []
    nothing = np.zeros((len(rows), len(setting.task.class_names)))
    asked = predictions_of(setting, rows, nothing, protocol="weights", scores_are_probabilities=False)
    found = by_class(numbers, setting.method.encoder.group_names, asked)
    if not found.classes:
        return []
    prose = (
        "By how much the weight of a group, and its share in the representation, is higher in records that have a "
        "class; bars are 95 % intervals over patients. Diseases come together and at their ages, so that a difference "
        "is not the disease's alone."
    )
    file, heading = _file("weights", name), f"{name}: lead groups by disease"
    return [Drawn(file, heading, prose, "In brackets: how many have it.", weights_figure(found))]


def _rates(answers: Mapping[str, tuple[Predictions, Predictions | None]], shown: Sequence[str]) -> list[Drawn]:
    """How runs that classify do over age, by what they say of the test and the validation part."""
    ages = np.concatenate([test.age_days[known_ages(test.age_days)] for test, _ in answers.values()] or [np.zeros(0)])
    if not len(ages):
        return []
    found = {
        name: by_age(test, thresholds_at(validation if validation is not None else test))
        for name, (test, validation) in answers.items()
    }
    chosen = "test" if any(validation is None for _, validation in answers.values()) else "validation"
    grid = spaced_ages(float(ages.min()), float(ages.max()), _CURVE_AGES)
    with stage("AUROC over age"):
        curves = {name: macro_over_age(test, grid, n=_BOOTSTRAP) for name, (test, _) in answers.items()}
    drawn = [
        Drawn(
            _file("auroc", "age"), "AUROC over age",
            "Macro AUROC among records of about an age, with the 95 % interval over patients. Which classes somebody "
            "has differs by age, so that a curve is comparable with another one, and not with itself at another age.",
            "", metric_over_age(grid, curves),
        )
    ]  # fmt: skip
    for name in shown:
        drawn.append(
            Drawn(
                _file("rates", name), f"{name} over age",
                f"Thresholds let a tenth of those without the class pass in the {chosen} part, of all ages. Bands are "
                "95 % intervals of each age by itself.",
                "Left: called among those who have it. Right: among those who have it not.",
                rates_over_age(found, name),
            )
        )  # fmt: skip
    return drawn


def _traces(
    name: str, setting: Setting, rows: NDArray[np.int64], test: Predictions, shown: Sequence[str]
) -> list[Drawn]:
    """The trace of the surest right answer of each class, coloured by what the answer owes to it."""
    drawn: list[Drawn] = []
    for class_name in shown:
        column = test.classes.index(class_name)
        have = np.flatnonzero(test.truth[:, column] == 1)
        if not len(have):
            continue
        best = int(have[np.argmax(test.score[have, column])])
        row = rows[best : best + 1]
        batch = setting.view(row).batch(row, np.zeros(1, dtype=np.int64))
        with stage(f"{name}: the trace behind {class_name}", setting.on_progress) as on_progress:
            found = occlusion(setting.method, batch, class_name, on_progress=on_progress)
        days = float(test.age_days[best])
        age = describe(days) if known_ages(days) else "age unknown"
        title = f"{name}: {class_name} {test.score[best, column]:.2f}, {found.record_id}, {age}"
        drawn.append(
            Drawn(
                _file("trace", name, class_name), f"{name}: where {class_name} is seen",
                "The record with the class that the run is surest of, its first window. Each stretch of 200 ms of each "
                "lead was drawn as a straight line: orange where the answer loses by that, violet where it gains. What "
                "a model looks at is no proof of what is ill.",
                found.record_id, attribution_figure(found, title),
            )
        )  # fmt: skip
    return drawn
