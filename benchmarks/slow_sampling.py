"""Whether sets of answers hold of recordings that were sampled slowly: the weights that come along, at falling rates.

    python benchmarks/slow_sampling.py STORE TASK

Prints a Markdown table: of the test part at each rate, the share of those with a class who are told yes or open, of
those without it no or open, and how many answers are decided, with intervals of a bootstrap over patients. What
`auricle.shown_in` then leaves open is not left open here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from reliability import covered

from auricle.data.store import Store
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.protocols import own_answers, predictions_of
from auricle.evaluate.robustness import at_rate
from auricle.tasks import load_task

RATES_HZ = (62.5, 50.0, 40.0, 30.0)


def main(store: str, task: str) -> None:
    setting = setting_of(Path("lisa-nano"), Store(store), load_task(task), Path("unused"), "lisa-nano")
    rows = setting.parts("test")["test"]
    print("| samples a second | n | classes | covered, with a class | covered, without it | decided | with it, least |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rate in (setting.store.rate_hz, *RATES_HZ):
        answers = own_answers(setting, rows, lambda batch, rate=rate: at_rate(batch, rate))
        asked = predictions_of(setting, rows, answers, protocol=f"rate/{rate:g}", fraction=1.0)
        print(covered(f"{rate:g}", asked, np.arange(len(rows))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
