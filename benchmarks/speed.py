"""How fast, how large, and against whom: every number stands beside a named peer that ran in the same minutes.

python benchmarks/speed.py [loader ingest training text prediction memory]; prints a table and updates
benchmarks/results/speed.json with the machine it ran on. Ratios are ours over the peer's; machines differ, ratios less.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results" / "speed.json"
N = 256
RATE_HZ = 500.0
NUMBERS = iter(range(10**9))


def per_second(function: Callable[[], int], seconds: float = 4.0) -> float:
    """How many things a second, the best of three stretches after one call that warms up."""
    function()
    best = 0.0
    for _ in range(3):
        begun, n = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds / 3:
            n += function()
        best = max(best, n / (time.perf_counter() - begun))
    return best


def row(what: str, ours: float, peer: str, theirs: float, unit: str) -> dict[str, object]:
    ratio = ours / theirs
    print(f"{what:58s} {ours:10.1f} {unit:12s} {peer:44s} {theirs:10.1f}   {ratio:6.2f} x", flush=True)
    return {"what": what, "ours": ours, "unit": unit, "peer": peer, "theirs": theirs, "ratio": ratio}


def write_records(folder: Path, n: int = N) -> list[Path]:
    """Simulated records as WFDB files, as a hospital's export would lie there."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from auricle.simulate import cohort
    from fakes import write_wfdb

    recordings = list(cohort(n, 0, rate_hz=RATE_HZ).recordings())
    folder.mkdir(parents=True, exist_ok=True)
    paths = [write_wfdb(folder / r.record_id, r.signal, r.leads, RATE_HZ) for r in recordings]
    lines = [f"{path.name},{r.record_id},{r.age.days}" for path, r in zip(paths, recordings, strict=True) if r.age]
    (folder / "records.csv").write_text("file,patient_id,age_days\n" + "\n".join(lines) + "\n")
    return paths


def by_wfdb(paths: Iterable[Path]) -> int:
    import wfdb

    return sum(len(wfdb.rdrecord(str(path.with_suffix(""))).p_signal) > 0 for path in paths)


def loader(folder: Path) -> list[dict[str, object]]:
    from auricle.data.ingest import ingest
    from auricle.data.loader import Steps, View
    from auricle.data.store import Store
    from auricle.signal.preprocess import InputSpec

    paths = write_records(folder / "wfdb")
    theirs = per_second(lambda: by_wfdb(paths[:32]))
    found = []
    for form in ("raw", "pcodec"):
        ingest("manifest", folder / "wfdb" / "records.csv", folder / form, form=form)  # type: ignore[arg-type]
        steps = Steps(View(Store(folder / form), np.arange(N), InputSpec()), 32, seed=0)
        found.append(
            row(f"loader, {form}, batches of int16", per_second(lambda s=steps: len(s[next(NUMBERS)])),
                "wfdb.rdrecord one by one", theirs, "records/s")
        )  # fmt: skip
        found.append(
            row(f"loader, {form}, float32 millivolts on the device",
                per_second(lambda s=steps: len(s[next(NUMBERS)].millivolts())), "wfdb.rdrecord one by one", theirs,
                "records/s")
        )  # fmt: skip
    return found


def ingest(folder: Path) -> list[dict[str, object]]:
    from auricle.data.shard import write_shard
    from auricle.data.sources import get_source

    paths = write_records(folder / "wfdb")
    table = folder / "wfdb" / "records.csv"
    rows = get_source("manifest").index(table).to_dict("records")

    def ours() -> int:
        return sum(write_shard("manifest", {}, table, rows[:64], RATE_HZ, folder / f"shard{next(NUMBERS)}"))  # type: ignore[arg-type]

    threads = torch.get_num_threads()
    found = row("ingest on one core: read, R peaks, quality, write", per_second(ours), "wfdb.rdrecord: read only",
                per_second(lambda: by_wfdb(paths[:32])), "records/s")  # fmt: skip
    torch.set_num_threads(threads)
    return [found]


def training(folder: Path) -> list[dict[str, object]]:
    from auricle.methods import Progress, create_method

    del folder
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from conftest import make_batch

    def speed(name: str, preset: str, precision: torch.dtype | None, n: int, seconds: float) -> float:
        torch.manual_seed(0)
        method = create_method(name, preset).train()
        optimiser = torch.optim.AdamW(method.parameters())
        batch = make_batch(n, seconds=10.0, rate_hz=RATE_HZ)

        def step() -> int:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
                loss = method.step(batch, Progress(0, 10)).loss
            loss.backward()
            optimiser.step()
            return n

        return per_second(step, seconds)

    found = []
    for preset, n, seconds in (("nano", 32, 6.0), ("small", 8, 12.0)):
        theirs = speed("merl", preset, None, n, seconds)
        peer = f"merl {preset} (ResNet18-1D), fp32"
        found.append(
            row(f"training lisa {preset}, fp32", speed("lisa", preset, None, n, seconds), peer, theirs, "records/s")
        )
        half = speed("lisa", preset, torch.bfloat16, n, seconds)
        found.append(row(f"training lisa {preset}, bf16", half, peer, theirs, "records/s"))
    return found


def text(folder: Path) -> list[dict[str, object]]:
    from auricle.text.towers import embed_reports, load_tower

    tower, n = load_tower("minilm"), 400
    found = []
    for share in (0.01, 0.25, 0.5):
        distinct = [f"sinus rhythm, rate {60 + i}, abnormal ecg number {i}" for i in range(max(1, round(share * n)))]
        reports = [distinct[i % len(distinct)] for i in range(n)]
        begun = time.perf_counter()
        embed_reports(list(dict.fromkeys(reports)), tower, folder / f"cache{share}")
        ours = n / (time.perf_counter() - begun)
        begun = time.perf_counter()
        for first in range(0, n, 32):
            tower.embed(reports[first : first + 32])
        theirs = n / (time.perf_counter() - begun)
        found.append(
            row(f"text side, {share:.0%} distinct reports", ours, "the tower on every batch", theirs, "reports/s")
        )
    return found


def prediction(folder: Path) -> list[dict[str, object]]:
    import auricle

    paths = write_records(folder / "wfdb", 40)
    predictor = auricle.Predictor.from_pretrained()

    def median(read: Callable[[Path], object], **options: object) -> float:
        taken = []
        for path in paths:
            begun = time.perf_counter()
            predictor(read(path), **options)  # type: ignore[arg-type]
            taken.append(1000 * (time.perf_counter() - begun))
        return statistics.median(taken[5:])

    def through_wfdb(path: Path) -> object:
        import wfdb

        from auricle.io.arrays import from_array

        record = wfdb.rdrecord(str(path.with_suffix("")))
        return from_array(record.p_signal.T, record.fs, record.sig_name, age=auricle.Age(3))

    ages: dict[str, dict[str, object]] = {"with and without its age": {"other_ages_days": ()}, "and at ten others": {}}
    return [
        row(f"from file to answer, {what}, median", median(lambda p: auricle.read(p, age=auricle.Age(3)), **options),
            "wfdb.rdrecord and the same network", median(through_wfdb, **options), "ms")
        for what, options in ages.items()
    ]  # fmt: skip


def memory(folder: Path) -> list[dict[str, object]]:
    from auricle.data.ingest import ingest as run

    run("simulated", Path(), folder / "many", options={"n": 20_000, "rate_hz": 50.0, "seconds": 2.0}, rate_hz=50)
    script = Path(__file__).with_name("own_memory.py")
    ours, theirs = (
        float(subprocess.check_output([sys.executable, str(script), what, str(folder / "many")]))
        for what in ("store", "frame")
    )
    what = "own memory of a process with 20,000 records' metadata"
    return [row(what, ours, "pandas.read_feather of the same file", theirs, "MiB")]


def main() -> None:
    parts = {f.__name__: f for f in (loader, ingest, training, text, prediction, memory)}
    wanted = sys.argv[1:] or list(parts)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = parts[name](Path(folder))
    results["machine"] = {
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "torch": torch.__version__, "threads": torch.get_num_threads(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
