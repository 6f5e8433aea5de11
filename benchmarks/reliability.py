"""Are the probabilities of the weights true? Before and after calibration, on PTB-XL and over age in simulation.

    python benchmarks/reliability.py RESULTS [docs/images] > benchmarks/results/reliability.md

RESULTS is what `examples/weights.sh` evaluated into. The pictures: the five superclasses on folds 9 and 10 of PTB-XL,
before (left) and after; and the answers to simulated people of four ages, all classes together. The first table:
expected calibration error (15 bins of equal width, mean over the classes with ten positives or more), with 95 %
intervals over 300 resamplings of the patients; of simulated people by age. The error of few records is never 0: a
perfect forecast of as many records is given beside it (its answers drawn from its own probabilities, seed 0). The
second table: of how many the set of answers holds what is so, in per cent over all classes together, and the two
classes of which the smallest share of those with it is covered; of real adults also with fewer leads, where `auricle
robustness STORE RESULTS lisa-nano --task TASK` was asked into RESULTS as well.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from auricle.age import AGE_BANDS, DAYS_PER_YEAR
from auricle.evaluate.bootstrap import patient_weights
from auricle.evaluate.metrics import expected_calibration_error
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.robustness import FEWER_LEADS, PROTOCOL
from auricle.explain.figures import reliability
from auricle.leads import STANDARD
from auricle.methods import SHIPPED_WEIGHTS, load_card
from auricle.over_age import AnswerSets, CalibrationOverAge
from auricle.shown_in import rests_on_absent

Floats = NDArray[np.float64]
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
TESTS = {
    "PTB-XL, folds 9 and 10": "ptb_xl-findings", "CSN, a quarter": "csn-findings", "elsewhere": "elsewhere-findings",
    "simulated": "ecg-findings",
}  # fmt: skip
REAL = tuple(TESTS)[:2]
FEWEST, DRAWS, DPI = 10, 300, 80
# From this age on, in days, up to the next.
AGES = {
    "first month": 0.0,
    "one month to one year": 30.0,
    "one to sixteen years": DAYS_PER_YEAR,
    "from sixteen years on": 16 * DAYS_PER_YEAR,
}
_WORST = 2


def as_trained(asked: Predictions) -> Floats:
    """(n, c) the probabilities without their calibration: each logit less the shift of its age, over the factor."""
    over_age = CalibrationOverAge(**load_card(SHIPPED_WEIGHTS)[0]["config"]["over_age"])
    factor, shift = (one.numpy() for one in over_age.at(torch.tensor(asked.age_days), asked.classes))
    score = np.clip(asked.score, 1e-9, 1 - 1e-9)
    plain: Floats = expit((np.log(score / (1 - score)) - shift) / factor)
    return plain


def error(truth: Floats, probability: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float:
    """Mean calibration error of some records and classes."""
    return float(
        np.nanmean(expected_calibration_error(truth[np.ix_(rows, columns)], probability[np.ix_(rows, columns)]))
    )


def told(asked: Predictions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that ten or more of some records have, and ten or more have not."""
    truth = asked.truth[rows]
    return np.flatnonzero(((truth == 1).sum(0) >= FEWEST) & ((truth == 0).sum(0) >= FEWEST))


def line(name: str, asked: Predictions, rows: NDArray[np.int64]) -> str:
    """Errors as trained, calibrated, and of a perfect forecast, of the records at `rows`."""
    truth, columns = asked.truth, told(asked, rows)
    if not len(columns):
        return f"| {name} | {len(rows)} | 0 | | | |"
    drawn = (np.random.default_rng(0).random(truth.shape) < asked.score).astype(float)
    cells = []
    for answers, probability in ((truth, as_trained(asked)), (truth, asked.score), (drawn, asked.score)):
        weights = patient_weights(asked.select(rows), DRAWS, seed=0)
        draws = [error(answers, probability, np.repeat(rows, weight), columns) for weight in weights]
        low, high = np.quantile(draws, (0.025, 0.975))
        cells.append(f"{error(answers, probability, rows, columns):.3f} [{low:.3f}, {high:.3f}]")
    return f"| {name} | {len(rows)} | {len(columns)} | {' | '.join(cells)} |"


def covered(name: str, asked: Predictions, rows: NDArray[np.int64], leads: tuple[str, ...] = STANDARD) -> str:
    """Shares of the records at `rows` that sets of answers are right about, over all classes together.

    Of fewer `leads` what they cannot show is open, as in `auricle predict`.
    """
    sets = AnswerSets(**load_card(SHIPPED_WEIGHTS)[0]["config"]["sets"])
    columns = [int(column) for column in told(asked, rows) if asked.classes[column] in sets.has]
    if not columns:
        return f"| {name} | {len(rows)} | 0 | | | | |"
    truth, ages = asked.truth[np.ix_(rows, columns)], torch.from_numpy(asked.age_days[rows])
    bounds = [sets.thresholds(asked.classes[column], ages) for column in columns]
    lowest, highest = (np.stack([pair[end].numpy() for pair in bounds], axis=1) for end in (0, 1))
    score = asked.score[np.ix_(rows, columns)]
    names = [asked.classes[column] for column in columns]
    may_have = (score >= lowest) | [rests_on_absent(one, "no", leads) for one in names]
    may_lack = (score <= highest) | [rests_on_absent(one, "yes", leads) for one in names]
    positive, negative = truth == 1, truth == 0
    weights = patient_weights(asked.select(rows), DRAWS, seed=0)
    cells = []
    shares = ((may_have & positive, positive), (may_lack & negative, negative))
    for above, below in (*shares, ((may_have ^ may_lack) & (positive | negative), positive | negative)):
        upper, lower = above.sum(1), below.sum(1)
        low, high = np.quantile((weights @ upper) / (weights @ lower), (0.025, 0.975))
        cells.append(f"{100 * upper.sum() / lower.sum():.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    found = (may_have & positive).sum(0)
    worst = np.argsort(found / positive.sum(0), kind="stable")[:_WORST]
    least = ", ".join(f"{asked.classes[columns[k]]} {found[k]}/{positive[:, k].sum()}" for k in worst)
    return f"| {name} | {len(rows)} | {len(columns)} | {' | '.join(cells)} | {least} |"


def before_and_after(asked: Predictions) -> list[Figure]:
    """The superclasses as trained and calibrated."""
    columns = [asked.classes.index(name) for name in SUPERCLASSES]
    return [
        reliability(asked.truth[:, columns], probability[:, columns], SUPERCLASSES, title=title)
        for title, probability in (("as trained", as_trained(asked)), ("calibrated", asked.score))
    ]


def over_age(asked: Predictions) -> list[Figure]:
    """All answers to the people of each of `AGES`, as trained and calibrated."""
    plain, pages = as_trained(asked), []
    for (title, low), high in zip(AGES.items(), (*list(AGES.values())[1:], np.inf), strict=True):
        rows = (asked.age_days >= low) & (asked.age_days < high)
        known = np.isfinite(asked.truth[rows])
        truth = asked.truth[rows][known]
        both = np.stack([answers[rows][known] for answers in (plain, asked.score)], axis=1)
        pages.append(reliability(np.stack([truth, truth], axis=1), both, ("as trained", "calibrated"), title=title))
    return pages


def save(pages: Sequence[Figure], path: Path) -> None:
    """Pictures in rows of two."""
    drawn = []
    for figure in pages:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
        drawn.append(Image.open(buffer).convert("RGB"))
    width, height = (max(sizes) for sizes in zip(*(page.size for page in drawn), strict=True))
    whole = Image.new("RGB", (2 * width, height * -(-len(drawn) // 2)), "white")
    for number, page in enumerate(drawn):
        whole.paste(page, (number % 2 * width, number // 2 * height))
    whole.save(path, optimize=True)


def main(results: Path, images: Path) -> None:
    tests, fewer = {}, {}
    for name, folder in TESTS.items():
        (found,) = sorted((results / folder).glob("*/finetune*/predictions.parquet"))
        tests[name] = Predictions.read(found)
        for number, condition in enumerate(FEWER_LEADS):
            place = found.parents[1] / PROTOCOL / f"{number:02d}" / found.name
            if name in REAL and number and place.exists():
                fewer[f"{name}, {condition.name}"] = (Predictions.read(place), condition.leads)
    save(before_and_after(next(iter(tests.values()))), images / "reliability.png")
    save(over_age(tests["simulated"]), images / "reliability_over_age.png")
    errors = "| records | n | classes | as trained | calibrated by age | a perfect forecast |"
    shares = "| records | n | classes | covered, with a class | covered, without it | decided | with it, least |"
    for head, row in ((errors, line), (shares, covered)):
        print(head, "| --- | ---: | ---: |" + " ---: |" * (head.count("|") - 4), sep="\n")
        for name, asked in tests.items():
            print(row(name, asked, np.arange(len(asked))), flush=True)
            for band in AGE_BANDS if name == "simulated" else ():
                rows = np.flatnonzero(band.holds(asked.age_days))
                if len(rows):
                    print(row(f"{name}, {band.name}", asked, rows), flush=True)
        for name, (asked, leads) in fewer.items() if row is covered else ():
            print(covered(name, asked, np.arange(len(asked)), leads), flush=True)
        print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images"))
