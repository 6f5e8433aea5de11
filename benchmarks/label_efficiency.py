"""How many labels pre-training saves: a pre-trained encoder fine-tuned on few labels, beside the same one from scratch.

    python benchmarks/label_efficiency.py RUN --store STORE --task TASK --work WORK [--shares 1 5 10 20 100] [--seeds 3]

Both rows are `supervised` with the same encoder, input, steps and batches (smaller where there are fewer records), and
see the same patients (shares are nested for a seed); they differ in where the encoder starts, and in its rate if
`--backbone slow`. No early stopping: the last step is tested. At each share, the factor of labels saved is the share at
which the scratch curve, linear in the logarithm of labels, reaches what fine-tuning reached, over that share; where the
curve never does, or always did, there is only a bound, and it is printed as one; where the two rows' seeds overlap, it
says so. Finished cells in WORK are kept: start it again and it goes on.
Prints a table, writes benchmarks/results/label_efficiency.json and a figure.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.atomic import write_json
from auricle.config import validate
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.protocols import finetuned
from auricle.methods import load_card
from auricle.pages.style import COLOURS, INK, TEXT_PT, canvas, legend
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import finetune_values, load_run, same_run, training_rows, with_classes
from auricle.train.watch import Estimate, Watcher, duration

RESULTS = Path(__file__).parent / "results" / "label_efficiency.json"
ROWS = ("fine-tuned", "from scratch")
METRICS = ("auroc", "auprc")
# Scoring a record costs about a third of training on it.
FORWARD_SHARE = 1 / 3


@dataclass(frozen=True)
class Cell:
    """One training: which start, how many labels, which seed."""

    row: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.row.replace(' ', '_')}-{self.share:g}-{self.seed}"


@dataclass(frozen=True)
class Factor:
    """How many times fewer labels: a number, or a bound where the scratch curve has no crossing."""

    share: float
    reached: float
    scratch_share: float
    bound: str

    def __str__(self) -> str:
        times = self.scratch_share / self.share
        if self.bound == ">" and times <= 1:
            return "scratch does not get there with as many"
        if not self.bound and times < 1:
            return f"none: scratch is there with {1 / times:.1f} x fewer"
        return {
            "": f"{times:.1f} x fewer labels",
            ">": f"more than {times:.1f} x fewer labels (scratch does not get there)",
            "<": f"cannot be read: less than {times:.2g} x (scratch is there with the fewest labels tried)",
        }[self.bound]


def labels_saved(shares: Sequence[float], scratch: Sequence[float], share: float, reached: float) -> Factor:
    """Where the scratch curve first reaches `reached`, which fine-tuning got with `share`."""
    order = np.argsort(shares)
    x, y = np.log(np.asarray(shares)[order]), np.asarray(scratch)[order]
    if y[0] >= reached:
        return Factor(share, reached, float(np.exp(x[0])), "<")
    there = np.flatnonzero(y >= reached)
    if not len(there):
        return Factor(share, reached, float(np.exp(x[-1])), ">")
    k = there[0]
    place = x[k - 1] + (reached - y[k - 1]) / (y[k] - y[k - 1]) * (x[k] - x[k - 1])
    return Factor(share, reached, float(np.exp(place)), "")


class Announce(Watcher):
    """Says before the first training how long all that are left will take."""

    def __init__(self, n_left: int, n_scored: int, batch_size: int) -> None:
        self.n_left, self.n_scored, self.batch_size, self.said = n_left, n_scored, batch_size, False

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        if self.said:
            return
        self.said = True
        train = config.train.steps * self.batch_size / estimate.records_per_second
        score = self.n_scored * FORWARD_SHARE / estimate.records_per_second
        print(
            f"{self.n_left} trainings left, each of {config.train.steps} steps of at most {self.batch_size} at "
            f"{estimate.records_per_second:.0f} records/s: about {duration(self.n_left * (train + score))}",
            flush=True,
        )


def config_of(cell: Cell, options: argparse.Namespace, store: Store) -> RunConfig:
    """The run of a cell, completed, so that it equals what a finished run folder holds.

    A batch cannot be larger than the records there are: with the fewest labels every step sees them all.
    """
    values: dict[str, Any] = finetune_values(
        {
            "init_from": str(options.run),
            "model": {"backbone": options.backbone if cell.row == ROWS[0] else "full"},
            "data": {"store": str(options.store), "task": options.task, "label_share": cell.share},
            "train": {"steps": options.steps, "batch_size": options.batch_size, "seed": cell.seed},
        }
    )
    if cell.row != ROWS[0]:
        del values["init_from"]
    config = validate(RunConfig, values, "label efficiency")
    task = config.data.load_task()
    batch_size = min(options.batch_size, len(training_rows(store, config, task)))
    smaller = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": batch_size})})
    return with_classes(smaller, task)


def score(cell: Cell, options: argparse.Namespace, store: Store, watcher: Watcher) -> tuple[dict[str, Any], bool]:
    """Train, test, and read one cell, and whether that had to be done; a finished one is only read."""
    folder, config = options.work / cell.name, config_of(cell, options, store)
    result = folder / "score.json"
    if result.exists():
        differing = same_run(load_run(folder), config)
        if differing:
            raise ConfigError(f"{folder}: was made with another {', '.join(differing)}: choose another --work")
        return json.loads(result.read_text()), False
    weights = folder / "model"
    if not (weights / "auricle.json").exists():
        fit(config, folder, resume=True, watcher=watcher)
    n_train = load_card(weights)[0]["about"]["n_records"]
    setting = setting_of(weights, store, load_task(options.task), folder, "supervised")
    where = finetuned(setting, cell.share, cell.seed, n_train)
    macro = json.loads((where / "result.json").read_text())["macro"]
    found = {"n_train": n_train, "saw_the_test": setting.overlap, **{name: macro[name]["value"] for name in METRICS}}
    write_json(result, found)
    return found, True


def curve(cells: Mapping[Cell, Mapping[str, float]], row: str, metric: str) -> dict[float, list[float]]:
    """share -> one value per seed."""
    found: dict[float, list[float]] = {}
    for cell, values in cells.items():
        if cell.row == row:
            found.setdefault(cell.share, []).append(float(values[metric]))
    return dict(sorted(found.items()))


def factors(cells: Mapping[Cell, Mapping[str, float]], metric: str) -> list[Factor]:
    """Labels saved at each share, from the means over seeds."""
    tuned, scratch = (curve(cells, row, metric) for row in ROWS)
    means = [float(np.mean(values)) for values in scratch.values()]
    return [labels_saved(list(scratch), means, share, float(np.mean(values))) for share, values in tuned.items()]


def table(cells: Mapping[Cell, Mapping[str, float]], metric: str) -> str:
    """Markdown: mean over seeds and, in brackets, least and most."""
    lines = [f"| labels | records | {' | '.join(f'{row}, {metric.upper()}' for row in ROWS)} | labels saved |"]
    lines.append("|---:|---:|" + "---:|" * len(ROWS) + "---|")
    for factor in factors(cells, metric):
        at = [curve(cells, row, metric)[factor.share] for row in ROWS]
        n = round(np.mean([values["n_train"] for cell, values in cells.items() if cell.share == factor.share]))
        shown = " | ".join(f"{100 * np.mean(v):.1f} ({100 * min(v):.1f} to {100 * max(v):.1f})" for v in at)
        overlap = "; seeds of the two overlap" if min(at[0]) <= max(at[1]) and min(at[1]) <= max(at[0]) else ""
        lines.append(f"| {100 * factor.share:g} % | {n} | {shown} | {factor}{overlap} |")
    return "\n".join(lines)


def figure(cells: Mapping[Cell, Mapping[str, float]], metric: str, at: float, title: str) -> Any:
    """Both curves over labels, with the labels saved at one share as the line between them."""
    drawn, axes = canvas(title)
    every = sorted({cell.share for cell in cells})
    for number, row in enumerate(ROWS):
        found = curve(cells, row, metric)
        shares = 100 * np.array(list(found))
        axes.plot(shares, [100 * np.mean(v) for v in found.values()], color=COLOURS[number], lw=1.8, marker="o",
                  ms=5, ls=("-", (0, (6, 2)))[number], label=row)  # fmt: skip
        for share, values in found.items():
            axes.plot([100 * share] * len(values), 100 * np.array(values), ".", color=COLOURS[number], ms=4, alpha=0.5)
    axes.set_xscale("log")
    axes.set_xticks([100 * share for share in every], [f"{100 * share:g} %" for share in every])
    axes.minorticks_off()
    axes.set(xlabel="training patients whose labels are used", ylabel=f"macro {metric.upper()}, per cent")
    [factor] = [factor for factor in factors(cells, metric) if factor.share == at]
    height = 100 * factor.reached
    if factor.scratch_share > factor.share and factor.bound != "<":
        ends = (100 * factor.share, 100 * factor.scratch_share)
        axes.annotate("", (ends[1], height), (ends[0], height),
                      arrowprops={"arrowstyle": "->" if factor.bound else "<->", "color": INK, "lw": 1})  # fmt: skip
        sign = "more than " if factor.bound else ""
        text = f"{sign}{factor.scratch_share / factor.share:.1f} x fewer labels"
        # Up and to the left of a point of a rising curve nothing is drawn.
        axes.annotate(text, (ends[0], height), (-6, 4), textcoords="offset points", ha="right", fontsize=TEXT_PT,
                      color=INK)  # fmt: skip
    legend(axes)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="pre-trained run")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--shares", type=float, nargs="+", default=[1, 5, 10, 20, 100], help="per cent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--backbone", choices=("slow", "full"), default="slow", help="of the fine-tuned row")
    parser.add_argument("--figure", type=Path, help="PNG; by default label_efficiency.png in WORK")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()

    store, task = Store(options.store), load_task(options.task)
    shares = sorted({share / 100 for share in options.shares})
    cells = [Cell(row, share, seed) for share in shares for seed in range(options.seeds) for row in ROWS]
    n_left = sum(not (options.work / cell.name / "score.json").exists() for cell in cells)
    parts = task.parts(store)
    watcher = Announce(n_left, len(parts["test"]) + len(parts["validation"]), options.batch_size)
    found = {}
    for number, cell in enumerate(cells):
        found[cell], is_new = score(cell, options, store, watcher)
        if is_new:
            shown = "  ".join(f"{name} {100 * found[cell][name]:.1f}" for name in METRICS)
            print(
                f"{number + 1}/{len(cells)} {cell.row}, {100 * cell.share:g} %, seed {cell.seed}: {shown}", flush=True
            )
    for metric in METRICS:
        print(f"\n{table(found, metric)}")
    if any(values.get("saw_the_test") for values in found.values()):
        print(f"\n{options.run}: was pre-trained on recordings of the test part: pre-train with --task {options.task}")

    about = load_card(options.run)[0]
    name = f"{about['method']} on {options.task}"
    at = min(shares, key=lambda share: abs(np.log(share / 0.1)))
    path = options.figure or options.work / "label_efficiency.png"
    figure(found, "auroc", at, f"Labels and what they buy: {name}").savefig(path, dpi=120)
    entry = {
        "method": about["method"], "run": options.run.resolve().name, "task": options.task,
        "source": store.info["source"], "steps": options.steps, "batch_size": options.batch_size,
        "backbone": options.backbone, "pretrained": about["about"].get("steps"),
        "cells": [{"row": c.row, "share": c.share, "seed": c.seed, **values} for c, values in found.items()],
        "labels_saved": {metric: {f"{f.share:g}": str(f) for f in factors(found, metric)} for metric in METRICS},
        "machine": platform.processor() or platform.machine(),
    }  # fmt: skip
    key = ("method", "run", "task", "source", "steps", "backbone")
    older = json.loads(options.results.read_text()) if options.results.exists() else []
    kept = [old for old in older if any(old.get(name) != entry[name] for name in key)]
    write_json(options.results, [*kept, entry])
    print(f"\nfigure: {path}")


if __name__ == "__main__":
    main()
