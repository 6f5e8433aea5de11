"""What the age gate costs: its share of the weights, of a training step, and of an answer.

    python benchmarks/gate.py

The encoder of lead groups (`nano`) with twelve classes at 100 Hz, with a gate and without, as in rows B3 and B4 of
`auricle ablate age_gate`. The two take turns on the same simulated children in one thread; shares are medians of
ratios, in brackets their quartiles. Prints a Markdown table and writes benchmarks/results/gate.json.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch
import typer

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.train.config import RunConfig
from methods import Stepper

RESULTS: Final = Path(__file__).parent / "results" / "gate.json"
TURNS: Final = 21
BATCH: Final = 32


def run(store: Path, gate: dict[str, Any] | None) -> RunConfig:
    """A run of children's classes that is never begun."""
    model: dict[str, Any] = {
        "name": "supervised", "encoder": {"name": "lead_groups", "preset": "nano"},
        "input": {"rate_hz": 100, "band_hz": [0.5, 40]},
    }  # fmt: skip
    values = {
        "model": model if gate is None else {**model, "gate": gate},
        "data": {"store": str(store), "task": "simulated/children"},
        "train": {"steps": 100, "batch_size": BATCH},
    }
    return validate(RunConfig, values, "gate")


def answer_s(stepper: Stepper) -> float:
    """Seconds of an answer to one record."""
    stepper.method.eval()
    one = stepper.batch.select(torch.tensor([0]))
    begun = time.perf_counter()
    with torch.inference_mode():
        stepper.method.classify(stepper.method.encoder.read(one))
    taken = time.perf_counter() - begun
    stepper.method.train()
    return taken


def quartiles(ratios: list[float]) -> str:
    """The median of some ratios less one in per cent, and their quartiles."""
    low, middle, high = (100 * (one - 1) for one in statistics.quantiles(ratios, n=4))
    return f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        options = {"n": 200, "ages": "children", "diagnoses": "child", "rate_hz": 100.0, "seconds": 10.0}
        ingest("simulated", Path(), store, options=options, rate_hz=100, workers=1)
        bare, gated = Stepper(run(store, None)), Stepper(run(store, {}))
    sizes = [sum(weight.numel() for weight in one.method.parameters()) for one in (bare, gated)]
    for one in (bare, gated):
        one.seconds(), answer_s(one)
    steps = [gated.seconds() / bare.seconds() for _ in range(TURNS)]
    answers = [answer_s(gated) / answer_s(bare) for _ in range(5 * TURNS)]
    found = {
        "weights": sizes[1], "gate": sizes[1] - sizes[0], "step": quartiles(steps), "answer": quartiles(answers),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    typer.echo("| weights | of them the gate's | a training step takes longer by | an answer by |")
    typer.echo("| ---: | ---: | ---: | ---: |")
    share = 100 * found["gate"] / found["weights"]
    typer.echo(f"| {sizes[1]:,} | {found['gate']:,} ({share:.0f} %) | {found['step']} | {found['answer']} |")


if __name__ == "__main__":
    main()
