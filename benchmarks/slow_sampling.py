"""Whether sets of answers hold of recordings that were sampled slowly: the weights that come along, at falling rates.

    python benchmarks/slow_sampling.py STORE TASK [YOUNGEST OLDEST]

Prints a Markdown table: of the test part at each rate (of those of some ages in years its first 700 records), the share
of those with a class who are told yes or open, of those without it no or open, and how many answers are decided, with
intervals of a bootstrap over patients; and of the normal how many have .5 or more of the superclass that most of them
have. What `auricle.shown_in` does not answer is answered here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from reliability import covered

from auricle.age import DAYS_PER_YEAR
from auricle.data.store import Store
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import own_answers, predictions_of
from auricle.evaluate.robustness import at_rate
from auricle.tasks import load_task

RATES_HZ = (80.0, 70.0, 62.5, 50.0, 40.0, 30.0)
SUPERCLASSES = ("MI", "STTC", "CD", "HYP")
MOST = 700


def main(store: str, task: str, *years: str) -> None:
    setting = setting_of(Path("lisa-nano"), Store(store), load_task(task), Path("unused"), "lisa-nano")
    rows = setting.parts("test")["test"]
    if years:
        youngest, oldest = (float(one) * DAYS_PER_YEAR for one in years)
        ages = setting.store.columns.age_days[rows]
        rows = rows[(ages >= youngest) & (ages < oldest)][:MOST]
    print(
        "| samples a second | n | classes | covered, with a class | covered, without it | decided | with it, least "
        "| of the normal |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rate in (setting.store.rate_hz, *RATES_HZ):
        answers = own_answers(setting, rows, lambda batch, rate=rate: at_rate(batch, rate))
        asked = predictions_of(setting, rows, answers, protocol=f"rate/{rate:g}", fraction=1.0)
        print(f"{covered(f'{rate:g}', asked, np.arange(len(rows)))} {of_the_normal(asked)} |", flush=True)


def of_the_normal(asked: Predictions) -> str:
    """The superclass that most of the normal have at .5 or more, how many of how many."""
    normal = asked.truth[:, asked.classes.index("NORM")] == 1
    counts = {
        name: int((asked.score[normal, asked.classes.index(name)] >= 0.5).sum())
        for name in SUPERCLASSES
        if name in asked.classes
    }
    if not counts:
        return "–"
    most = max(counts, key=counts.__getitem__)
    return f"{most} {counts[most]}/{int(normal.sum())}"


if __name__ == "__main__":
    main(*sys.argv[1:])
