"""What a training step of every method costs: records per second beside the supervised network, and memory.

    python benchmarks/methods.py [NAME ...]

Prints a Markdown table and writes benchmarks/results/methods.json. Every method is built by its `nano` preset at 100 Hz
on simulated recordings of ten seconds with reports, batches of 64, one thread, in a process of its own. There it takes
turns with `supervised` on the common backbone; a ratio is that of the medians. Memory is what the process held at most
during the steps of the method, above what it held before the first.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import typer

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.methods import METHODS, Progress, build_method, list_methods, save_method
from auricle.train.config import RunConfig
from auricle.train.setup import build

RESULTS = Path(__file__).parent / "results" / "methods.json"
FIRST_STAGES = {"heartlang": "vq_hbr"}
PEER, PEER_PRESET = "supervised", "resnet_nano"
TURNS, BATCH = 5, 64
ONE = "--one"


def run(store: Path, name: str, preset: str) -> RunConfig:
    """The run of a method that is never begun; a second stage follows a first one as it was drawn."""
    values: dict[str, Any] = {
        "model": {"name": name, "preset": preset, "input": {"rate_hz": 100, "band_hz": [0.5, 40]}},
        "data": {"store": str(store), "task": "simulated/diagnosis"},
        "train": {"steps": 100, "batch_size": BATCH},
    }
    if name in FIRST_STAGES:
        first = store.parent / f"{name}-first"
        save_method(build_method(run(store, FIRST_STAGES[name], preset).model), first)
        values["init_from"] = str(first)
    return validate(RunConfig, values, name)


class Stepper:
    """Steps of one method on one batch, with an optimiser as in training."""

    def __init__(self, config: RunConfig) -> None:
        _, self.method, steps = build(config)
        self.method.train()
        self.batch = steps[0]
        self.optimiser = torch.optim.AdamW(self.method.param_groups(), lr=1e-6)

    def seconds(self) -> float:
        """Of one step, forward, backward and update."""
        begun = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        self.method.step(self.batch, Progress(50, 100)).loss.backward()
        self.optimiser.step()
        self.method.after_step(Progress(50, 100))
        return time.perf_counter() - begun


def peak_mb() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held_mb() -> float:
    """The memory this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def one(store: Path, name: str, preset: str) -> dict[str, Any]:
    """Of one method, beside the peer, in this process."""
    torch.set_num_threads(1)
    own = Stepper(run(store, name, preset))
    before = held_mb()
    own.seconds()
    memory = peak_mb() - before
    peer = Stepper(run(store, PEER, PEER_PRESET))
    peer.seconds()
    taken = [(own.seconds(), peer.seconds()) for _ in range(TURNS)]
    ours, theirs = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "method": name,
        "preset": preset,
        "encoder_m": sum(p.numel() for p in own.method.encoder.parameters()) / 1e6,
        "method_m": sum(p.numel() for p in own.method.parameters()) / 1e6,
        "records_per_second": BATCH / ours,
        "of_supervised": theirs / ours,
        "memory_mb": memory,
    }


def presets_of(name: str) -> list[str]:
    """The presets of the size at which methods are compared."""
    if name == PEER:
        return [PEER_PRESET]
    return [preset for preset in METHODS.get(name).presets if preset.startswith("nano")]


def main() -> None:
    """All methods, or those that are named, each in a process of its own."""
    if sys.argv[1:2] == [ONE]:
        print(json.dumps(one(Path(sys.argv[2]), sys.argv[3], sys.argv[4])))
        return
    names = sys.argv[1:] or list_methods()
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        ingest(
            "simulated", Path(), store, options={"n": 160, "rate_hz": 100.0, "seconds": 10.0}, rate_hz=100, workers=1
        )
        for name in names:
            for preset in presets_of(name):
                command = [sys.executable, __file__, ONE, str(store), name, preset]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    typer.echo(f"{name} {preset}: {done.stderr.strip().splitlines()[-1]}", err=True)
                    failed.append(name)
                    continue
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                typer.echo(f"{name} {preset}: {rows[-1]['records_per_second']:.0f} records/s", err=True)
    if sys.argv[1:]:  # methods that are named take the place of their own rows alone
        named = {(row["method"], row["preset"]) for row in rows}
        rows += [row for row in kept if (row["method"], row["preset"]) not in named]
        rows.sort(key=lambda row: (row["method"], row["preset"]))
    if not failed:
        RESULTS.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    print("| method | encoder | in all | records/s, of `supervised` | MB |\n| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        preset = "" if row["preset"] in ("nano", PEER_PRESET) else f" ({row['preset']})"
        print(
            f"| `{row['method']}`{preset} | {row['encoder_m']:.2f} M | {row['method_m']:.2f} M | "
            f"{row['records_per_second']:.0f}, {row['of_supervised']:.2f} | {row['memory_mb']:.0f} |"
        )
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
