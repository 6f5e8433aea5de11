"""Where the time goes, part by part, as tables for docs/speed.md: ingest, prediction, a step of training.

    python benchmarks/profiles.py [ingest prediction training]

Of ingest and prediction the functions of the house that make up a record's way, in milliseconds of one core for each
record, with what they call; parts of parts are indented. Of training the operations of a step by the torch profiler.
A profiler costs something for every call of a function: shares, not speeds; for those see benchmarks/speed.py.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from speed import RATE_HZ, write_records

N = 64
# (how deep, what it is, file, function) of a record's way.
INGEST = (
    (0, "all of it", "data/shard.py", "write_samples"),
    (1, "reading the file", "io/__init__.py", "read"),
    (1, "judging", "data/shard.py", "judged"),
    (2, "R peaks", "signal/beats.py", "read_beats"),
    (2, "acceptable or not", "signal/acceptance.py", "judge"),
    (1, "quality", "signal/quality.py", "quality"),
    (1, "the recording (order of leads, gaps, units)", "recording.py", "make_recording"),
    (1, "resampling", "signal/resample.py", "resample"),
    (1, "millivolts to steps", "data/format.py", "quantise"),
)
PREDICTION = (
    (0, "all of it", "predict.py", "__call__"),
    (1, "measuring, for the notes", "measure/recording.py", "measure_recording"),
    (2, "R peaks", "signal/beats.py", "read_beats"),
    (2, "median beats", "measure/median_beat.py", "align"),
    (2, "onsets and ends", "measure/delineate.py", "delineate"),
    (1, "the network at twelve ages", "predict.py", "_at_ages"),
    (2, "its stems", "encoders/lead_groups.py", "forward"),
    (2, "its transformers", "nn/transformer.py", "forward"),
    (1, "windows and preprocessing", "predict.py", "_ready"),
)


def table(profile: cProfile.Profile, parts: tuple[tuple[int, str, str, str], ...], n: int) -> None:
    """Print the cumulative milliseconds a record of some functions."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    taken = {
        (file, function): max(
            (
                entry[3]
                for (path, _, name), entry in stats.items()
                if path.endswith("auricle/" + file) and name == function
            ),
            default=0.0,
        )
        for _, _, file, function in parts
    }
    whole = taken[parts[0][2:]]
    print("| part | ms a record | share |\n|---|---:|---:|")
    for depth, what, *where in parts:
        seconds = taken[where[0], where[1]]
        print(f"| {'&emsp;' * depth}{what} | {1000 * seconds / n:.1f} | {seconds / whole:.0%} |")


def profiled(function: Callable[[], object]) -> cProfile.Profile:
    function()
    profile = cProfile.Profile()
    profile.enable()
    function()
    profile.disable()
    return profile


def ingest(folder: Path) -> None:
    from auricle.data.shard import write_shard
    from auricle.data.sources import get_source

    write_records(folder / "wfdb", N)
    manifest, numbers = folder / "wfdb" / "records.csv", iter(range(10))
    rows = get_source("manifest").index(manifest).to_dict("records")
    made = profiled(lambda: write_shard("manifest", {}, manifest, rows, RATE_HZ, folder / f"{next(numbers)}"))
    table(made, INGEST, N)


def prediction(folder: Path) -> None:
    import auricle

    paths, predictor = write_records(folder / "wfdb", N), auricle.Predictor.from_pretrained()
    table(profiled(lambda: [predictor(auricle.read(path, age=auricle.Age(3))) for path in paths]), PREDICTION, N)


def training(folder: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    from auricle.data.corpus import Corpus
    from auricle.data.ingest import ingest as run
    from auricle.data.loader import Steps, View
    from auricle.data.store import Store
    from auricle.methods import Progress, create_method
    from auricle.train.setup import text_side

    run("simulated", Path(), folder / "store", options={"n": 200})
    store = Store(folder / "store")
    rows = np.flatnonzero(store.column("report_id") >= 0)
    for name in ("lisa", "merl"):
        method = create_method(name, "nano").train()
        batch = Steps(
            View(store, rows, method.config.input, Corpus.from_store(store, rows, *text_side(method))), 64, 0
        )[0]

        def step(method: object = method, batch: object = batch) -> None:
            method.step(batch, Progress(0, 10)).loss.backward()  # type: ignore[attr-defined]

        step()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step()
        events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
        whole = sum(event.self_cpu_time_total for event in events)
        print(f"\n{name} nano, {1e-3 * whole / 64:.1f} ms a record\n")
        print("| operation | ms a record | share |\n|---|---:|---:|")
        for event in events[:12]:
            shown = event.key.removeprefix("aten::")
            print(
                f"| `{shown}` | {1e-3 * event.self_cpu_time_total / 64:.2f} | {event.self_cpu_time_total / whole:.0%} |"
            )


def main() -> None:
    torch.set_num_threads(1)
    parts = {f.__name__: f for f in (ingest, prediction, training)}
    for name in sys.argv[1:] or list(parts):
        print(f"\n{name}\n")
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
