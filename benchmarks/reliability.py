"""Are the probabilities of the weights true? Before and after calibration, on PTB-XL and over age in simulation.

    python benchmarks/reliability.py RESULTS [docs/images/reliability.png] > benchmarks/results/reliability.md

RESULTS is what `examples/weights.sh` evaluated into. The picture: the five superclasses on folds 9 and 10 of PTB-XL,
before (left) and after. The table: expected calibration error (15 bins of equal width, mean over the classes with ten
positives or more), with 95 % intervals over 300 resamplings of the patients; of simulated people by age. A calibration
that is told apart from none by its interval is one that did something. The error of few records is never 0: a perfect
forecast of as many records is given beside it (its answers drawn from its own probabilities, seed 0).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auricle.age import AGE_BANDS
from auricle.evaluate.metrics import expected_calibration_error, patient_weights
from auricle.evaluate.predictions import Predictions
from auricle.explain.figures import reliability
from auricle.methods import load_card
from auricle.predict import SHIPPED_WEIGHTS

Floats = NDArray[np.float64]
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
TESTS = {"PTB-XL, folds 9 and 10": "ptb_xl-findings", "elsewhere": "elsewhere-findings", "simulated": "ecg-findings"}
FEWEST, DRAWS, DPI = 10, 300, 80


def before(asked: Predictions) -> Floats:
    """The probabilities without their calibration: each logit less its shift, over its factor."""
    pairs = load_card(SHIPPED_WEIGHTS)[0]["config"]["calibration"]
    factor, shift = np.array([pairs.get(name, (1.0, 0.0)) for name in asked.classes]).T
    score = np.clip(asked.score, 1e-9, 1 - 1e-9)
    plain: Floats = 1 / (1 + np.exp(-(np.log(score / (1 - score)) - shift) / factor))
    return plain


def error(truth: Floats, probability: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float:
    """Mean calibration error of some records and classes."""
    return float(
        np.nanmean(expected_calibration_error(truth[np.ix_(rows, columns)], probability[np.ix_(rows, columns)]))
    )


def line(name: str, asked: Predictions, rows: NDArray[np.int64]) -> str:
    """Errors before, after, and of a perfect forecast, of the records at `rows`."""
    truth = asked.truth
    enough = (truth[rows] == 1).sum(0) >= FEWEST
    columns = np.flatnonzero(enough & ((truth[rows] == 0).sum(0) >= FEWEST))
    if not len(columns):
        return f"| {name} | {len(rows)} | 0 | | | |"
    drawn = (np.random.default_rng(0).random(truth.shape) < asked.score).astype(float)
    cells = []
    for answers, probability in ((truth, before(asked)), (truth, asked.score), (drawn, asked.score)):
        part = asked.select(rows)
        weights = patient_weights(part, DRAWS, seed=0)
        draws = [error(answers, probability, np.repeat(rows, weight), columns) for weight in weights]
        low, high = np.quantile(draws, (0.025, 0.975))
        cells.append(f"{error(answers, probability, rows, columns):.3f} [{low:.3f}, {high:.3f}]")
    return f"| {name} | {len(rows)} | {len(columns)} | {' | '.join(cells)} |"


def picture(asked: Predictions, path: str) -> None:
    """The superclasses before and after, side by side."""
    columns = [asked.classes.index(name) for name in SUPERCLASSES]
    pages = []
    for title, probability in (("as trained", before(asked)), ("calibrated", asked.score)):
        buffer = io.BytesIO()
        figure = reliability(asked.truth[:, columns], probability[:, columns], SUPERCLASSES, title=title)
        figure.savefig(buffer, format="png", dpi=DPI)
        pages.append(Image.open(buffer).convert("RGB"))
    whole = Image.new("RGB", (sum(page.width for page in pages), max(page.height for page in pages)), "white")
    left = 0
    for page in pages:
        whole.paste(page, (left, 0))
        left += page.width
    whole.save(path, optimize=True)


def main(results: Path, path: str) -> None:
    print("| records | n | classes | before | after | a perfect forecast |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, folder in TESTS.items():
        (found,) = sorted((results / folder).glob("*/finetune*/predictions.parquet"))
        asked = Predictions.read(found)
        print(line(name, asked, np.arange(len(asked))), flush=True)
        if folder == "ptb_xl-findings":
            picture(asked, path)
        if folder == "ecg-findings":
            for band in AGE_BANDS:
                rows = np.flatnonzero((asked.age_days >= band.low_days) & (asked.age_days < band.high_days))
                if len(rows):
                    print(line(f"{name}, {band.name}", asked, rows), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "docs/images/reliability.png")
