"""A pattern that weights have only seen simulated: Brugada type 1, on the recordings of Brugada-HUCA.

    AURICLE_REAL_DATA=FOLDER python benchmarks/brugada.py [--weights WEIGHTS]

Brugada-HUCA (Costa Cortez and Garcia Iglesias, PhysioNet 2022; CC BY-SA 4.0: asked, never trained on) has recordings
of 12 s at 100 Hz of people with Brugada syndrome (1), with another pattern (2) and of controls (0). The scores of
BRUG and, beside it, of all classes that tell the patients from the controls best or worst: macro would hide which.
AUROC with a 95 % interval of 2,000 bootstrap draws over people (one recording each), seed 0. Prints a table. A trace
with a normal basal pattern is a patient's all the same: who was diagnosed by a drug test is not to be found here.
"""

from __future__ import annotations

import argparse
import csv
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.errors import AuricleError, ReadingNote
from auricle.evaluate.ranking import auroc
from auricle.io import read
from auricle.methods import SHIPPED_WEIGHTS
from auricle.predict import Predictor

DRAWS = 2000


def of(truth: NDArray[np.float64], score: NDArray[np.float64]) -> str:
    """AUROC in per cent with its interval."""
    weights = np.random.default_rng(0).multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=DRAWS)
    value = 100 * auroc(truth[:, None], score[:, None])[0]
    drawn = 100 * auroc(truth[:, None], score[:, None], weights)[:, 0]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def main(weights: str, data: Path) -> None:
    torch.set_num_threads(1)
    predictor = Predictor.from_pretrained(weights)
    files = {path.stem: path for path in (data / "brugada-huca").rglob("*.hea")}
    scores, kind, basal = [], [], []
    with (data / "brugada-huca" / "metadata.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            try:
                answer = predictor([read(files[row["patient_id"]])], other_ages_days=())[0]
            except (KeyError, AuricleError):
                continue
            scores.append(list(answer.scores.values()))
            kind.append(int(row["brugada"]))
            basal.append(int(row["basal_pattern"]))
    found, is_brugada, pattern = np.array(scores), np.array(kind), np.array(basal)
    column = dict(zip(predictor.classes, found.T, strict=True))
    asked = {
        "Brugada syndrome, controls": (is_brugada == 1, is_brugada == 0),
        "Brugada syndrome with a pathological basal ECG, controls": (
            (is_brugada == 1) & (pattern == 1),
            is_brugada == 0,
        ),
    }
    print("| with, without | n | BRUG | of the other classes those that part them most |\n| --- | ---: | ---: | --- |")
    for name, (ill, well) in asked.items():
        chosen = ill | well
        truth = ill[chosen].astype(float)
        others = {
            other: auroc(truth[:, None], values[chosen][:, None])[0]
            for other, values in column.items()
            if other != "BRUG"
        }
        best = sorted(others, key=lambda other: -abs(others[other] - 0.5))[:3]
        told = ", ".join(f"{other} {100 * others[other]:.1f}" for other in best)
        print(f"| {name} | {ill.sum()}, {well.sum()} | {of(truth, column['BRUG'][chosen])} | {told} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=str(SHIPPED_WEIGHTS))
    given = parser.parse_args()
    warnings.simplefilter("ignore", ReadingNote)
    main(given.weights, Path(os.environ["AURICLE_REAL_DATA"]))
