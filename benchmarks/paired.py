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

from auricle.errors import DataError
from auricle.evaluate.paired import Estimate, measured
from auricle.evaluate.predictions import Predictions

PROTOCOLS = ("zero_shot", "linear_probe-0.01-", "linear_probe-0.1-", "linear_probe-1-", "finetune-1-")


def of_protocol(results: Path, rows: list[str], protocol: str) -> list[Predictions]:
    """The predictions of every row and seed that were asked by one protocol."""
    found = [sorted((results / row).glob(f"{protocol}*/predictions.parquet")) for row in rows]
    if len({len(paths) for paths in found}) > 1:
        sys.exit(f"{results}: {protocol}: {', '.join(rows)} were not asked equally often: evaluate all of them")
    return [Predictions.read(path) for paths in found for path in paths]


def cell(found: Estimate) -> str:
    """The value of the records themselves, and its 95 % interval."""
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


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
        try:
            cells = [cell(one_of) for one_of in (measured(one), measured(other), measured(one, other))]
        except DataError as error:
            sys.exit(f"{results}: {protocol} {opposite}: {error}")
        print(f"| {protocol.strip('-')} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
