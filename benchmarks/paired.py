"""Whether one row of a table is ahead of another: the difference over the same resampled patients.

python benchmarks/paired.py RESULTS ONE[,ONE ...] OTHER[,OTHER ...], with RESULTS the folder of one task below what
`auricle evaluate` wrote to, and rows by the names of their folders; several are seeds of one method. Rows are compared
under every protocol both were asked by; `ROW:PROTOCOL` on both sides compares one protocol with another, such as
lisa-nano:finetune-1- with rocket:linear_probe-1-. Macro AUROC is averaged over them and over the draws of training
patients; prints a Markdown table and writes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.evaluate.metrics import patient_weights
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.ranking import auroc, macro

REPLICATES = 1000
PROTOCOLS = ("zero_shot", "linear_probe-0.01-", "linear_probe-0.1-", "linear_probe-1-", "finetune-1-")


def of_protocol(results: Path, rows: list[str], protocol: str) -> list[Predictions]:
    """The predictions of every row and seed that were asked by one protocol."""
    found = [sorted((results / row).glob(f"{protocol}*/predictions.parquet")) for row in rows]
    if len({len(paths) for paths in found}) > 1:
        sys.exit(f"{results}: {protocol}: {', '.join(rows)} were not asked equally often: evaluate all of them")
    return [Predictions.read(path) for paths in found for path in paths]


def replicates(asked: list[Predictions], weights: NDArray[np.uint16]) -> NDArray[np.float64]:
    """(r,) macro AUROC in per cent, averaged over predictions, in each row of (r, record) weights."""
    return np.mean([100 * macro(auroc(one.truth, one.score, weights)) for one in asked], axis=0)


def cell(values: NDArray[np.float64]) -> str:
    """The first value, which is that of the records themselves, and the 95 % interval of the others."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return f"{values[0]:.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    results = Path(sys.argv[1])
    (ones, own), (others, their) = (side.partition(":")[::2] for side in sys.argv[2:])
    print(f"| | {ones.replace(',', ' ')} | {others.replace(',', ' ')} | difference |\n| --- | ---: | ---: | ---: |")
    for protocol, opposite in [(own, their)] if own and their else [(name, name) for name in PROTOCOLS]:
        one = of_protocol(results, ones.split(","), protocol)
        other = of_protocol(results, others.split(","), opposite)
        if not one or not other:
            continue
        if len({part.record_id for part in (*one, *other)}) > 1:
            sys.exit(f"{results}: {protocol} {opposite}: not the same records in the same order")
        drawn = patient_weights(one[0], REPLICATES, seed=0)
        weights = np.concatenate([np.ones_like(drawn[:1]), drawn])
        a, b = replicates(one, weights), replicates(other, weights)
        print(f"| {protocol.strip('-')} | {cell(a)} | {cell(b)} | {cell(a - b)} |", flush=True)


if __name__ == "__main__":
    main()
