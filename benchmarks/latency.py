"""How long one answer takes in a process that is warm, from a file to probabilities and sets, on one core.

    python benchmarks/latency.py [FOLDER] [--n 200]

FOLDER holds WFDB records (below it, too); without one, the simulated people of `auricle sample` are asked (twelve
leads, 500 Hz, ten seconds). Each answer reads the file, checks its quality, prepares it, asks the shipped weights at
the age of the file, and at no other age. `auricle predict` asks eleven more ages and measures the trace beside that.
Prints median and 95th percentile of processor time, which other work on the machine changes little, and of the clock.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from auricle.errors import AuricleError
from auricle.io import read
from auricle.predict import Predictor
from auricle.simulate.samples import write_samples

WARM = 20


def timed(predictor: Predictor, files: list[Path], n: int) -> np.ndarray:
    """(n, 2) milliseconds of processor and clock for one answer each, after `WARM` answers that are not counted."""
    found = []
    for path in itertools.islice(itertools.cycle(files), WARM + n):
        processor, clock = time.process_time(), time.perf_counter()
        predictor(read(path), other_ages_days=())
        found.append((time.process_time() - processor, time.perf_counter() - clock))
    return 1000 * np.array(found[WARM:])


def answered(predictor: Predictor, files: list[Path]) -> list[Path]:
    """The files that get an answer."""
    kept = []
    for path in files:
        try:
            predictor(read(path), other_ages_days=())
        except AuricleError:
            continue
        kept.append(path)
    return kept


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--n", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.from_pretrained()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(given.folder or folder)
        if not given.folder:
            write_samples(place)
        files = answered(predictor, sorted(place.rglob("*.hea"))[: given.n])
        table = timed(predictor, files, given.n)
    print("| | median, ms | 95th percentile, ms |", "| --- | ---: | ---: |", sep="\n")
    for name, column in zip(("processor", "clock"), table.T, strict=True):
        print(f"| {name} | {np.median(column):.1f} | {np.quantile(column, 0.95):.1f} |")
    print(f"\n{given.n} answers to {len(files)} files.")


if __name__ == "__main__":
    main()
