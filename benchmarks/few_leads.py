"""What few leads do to intervals, and to the age that a trace seems to have: against twelve of the same recordings.

    python benchmarks/few_leads.py PTB_XL [N]

PTB_XL is a folder in the original layout with `records500/`. Of N recordings (60), drawn by seed 0, each is read with
few of its leads. Prints two Markdown tables. Of intervals: how far the value lies from that of twelve leads (median and
90th centile of the distance), the median standard error that is stated, and the share of recordings in which twelve
leads lie outside of the 95 % interval of few. Of ages: the distance of the age told by the features of `lisa-nano` from
the true one, as a share of what is allowed of twelve leads, and how many would be refused by it.
"""

from __future__ import annotations

import csv
import random
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from auricle.age import DAYS_PER_YEAR, Age
from auricle.io import read
from auricle.leads import LIMB
from auricle.measure.recording import measure_recording
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.scope import age_scale

SETS = {
    "12": (), "I": ("I",), "II": ("II",), "V2": ("V2",), "V5": ("V5",), "6, of the limbs": LIMB, "3": ("I", "II", "V2"),
    "4": ("I", "II", "V1", "V5"),
}  # fmt: skip
INTERVALS = ("p_duration", "pr", "qrs", "qt", "qtc_bazett")
OLDEST_YEARS = 120


def few(whole: Recording, leads: tuple[str, ...]) -> Recording:
    """The recording with some of its leads; all of them where none are named."""
    rows = [whole.leads.index(name) for name in leads]
    return replace(whole, leads=leads, signal=whole.signal[rows]) if leads else whole


def drawn(folder: Path, n: int) -> list[Recording]:
    """Recordings with their ages, known to a year."""
    with (folder / "ptbxl_database.csv").open(encoding="utf-8") as file:
        years = {int(row["ecg_id"]): float(row["age"]) for row in csv.DictReader(file) if row["age"]}
    paths = sorted((folder / "records500").glob("*/*.hea"))
    random.Random(0).shuffle(paths)
    recordings = []
    for path in paths[:n]:
        age = years.get(int(path.name[:5]), np.inf)
        known = Age(age * DAYS_PER_YEAR, DAYS_PER_YEAR) if age < OLDEST_YEARS else None
        recordings.append(replace(read(path), age=known))
    return recordings


def intervals(recordings: list[Recording]) -> None:
    """Print how far intervals of few leads lie from those of twelve."""
    print("| leads | interval | n | median | 90 % | stated error | outside |\n|" + " --- |" * 2 + " ---: |" * 5)
    whole = [measure_recording(one).values for one in recordings]
    for name, leads in SETS.items():
        if not leads:
            continue
        part = [measure_recording(few(one, leads)).values for one in recordings]
        for interval in INTERVALS:
            pairs = [(a[interval], b[interval]) for a, b in zip(part, whole, strict=True)]
            known = [(a, b) for a, b in pairs if a.measurable and b.measurable]
            off = np.array([abs(a.value - b.value) for a, b in known])
            error = np.array([a.uncertainty for a, _ in known])
            print(
                f"| {name} | {interval} | {len(known)} | {np.median(off):.1f} | {np.quantile(off, 0.9):.1f} | "
                f"{np.median(error):.1f} | {100 * np.mean(off > 1.96 * error):.0f} % |",
                flush=True,
            )


def ages(recordings: list[Recording]) -> None:
    """Print how far the age that features tell lies from the true one."""
    predictor = Predictor.from_pretrained()
    scope = predictor.scope
    assert scope is not None
    predictor.scope = None
    print("\n| leads | n | median | 97 % | largest | beyond 1 |\n| --- |" + " ---: |" * 5)
    for name, leads in SETS.items():
        off = []
        for one in recordings:
            if one.age is None:
                continue
            ready = predictor.prepare(few(one, leads)).windows.without_age()
            with torch.no_grad():
                features = predictor.method.encoder.read(ready).pooled.double().mean(0).numpy()
            days = one.age.best_days
            near = age_scale(np.array([max(0.0, days - one.age.resolution_days), days + one.age.resolution_days]))
            looks = scope.age_line(features[None])[0]
            off.append(abs(looks - np.clip(looks, *near)) / scope.age_error[0])
        middle, most = np.quantile(off, (0.5, 0.97))
        print(
            f"| {name} | {len(off)} | {middle:.2f} | {most:.2f} | {max(off):.2f} | {np.sum(np.array(off) > 1)} |",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = drawn(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
    intervals(chosen)
    ages(chosen)
