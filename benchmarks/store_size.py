"""What a store's size costs its reader: opening, memory and records a second, from a thousand to a million records.

    python benchmarks/store_size.py [--most 1000000] [--repeat 5]

The stores are made of one shard of a thousand simulated records (12 leads, 10 s, 500 Hz) that stands in the folder
again and again as a link, so that a million records need no disk and the samples lie in memory as those of a store
that fits it. Each is read in a process of its own; beside it, in the same process, the plain gather that is the bound:
as many whole records copied by numpy from the same mapped file. Writes benchmarks/results/store_size.json and
docs/images/store_size.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS, FIGURE = ROOT / "benchmarks" / "results" / "store_size.json", ROOT / "docs" / "images" / "store_size.png"
SHARD, BATCH, BATCHES = 1000, 64, 40


def make(one: Path, out: Path, n_shards: int) -> None:
    """A store of `n_shards` times the records of another, which has a single shard."""
    import pyarrow as pa

    (out / "shards").mkdir(parents=True)
    info = json.loads((one / "store.json").read_text())
    (out / "store.json").write_text(json.dumps({**info, "n_records": info["n_records"] * n_shards}))
    (out / "reports.parquet").symlink_to(one / "reports.parquet")
    table = pa.ipc.open_file(pa.memory_map(str(one / "records.arrow"))).read_all().combine_chunks()
    with pa.OSFile(str(out / "records.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        for number in range(n_shards):
            (out / "shards" / f"{number:05d}.bin").symlink_to(one / "shards" / "00000.bin")
            changed = {
                "shard": pa.array([number] * len(table), pa.int32()),
                "record_id": pa.array([f"{number}-{name}" for name in table["record_id"].to_pylist()]),
            }
            columns = [changed.get(name, table[name]) for name in table.column_names]
            writer.write_table(pa.table(columns, schema=table.schema).combine_chunks())


def measure(folder: Path, repeat: int) -> dict[str, object]:
    """Seconds to the first batch, own memory, records a second of batches and of a plain gather, in this process."""
    import pyarrow.ipc
    import torch
    from own_memory import own_mib

    from auricle.data.loader import Steps, View
    from auricle.data.store import Store
    from auricle.signal.preprocess import InputSpec

    torch.set_num_threads(1)
    assert pyarrow.ipc  # both sides of the memory have imported the same
    held, begun = own_mib(), time.perf_counter()
    store = Store(folder)
    steps = Steps(View(store, np.arange(len(store)), InputSpec()), BATCH, seed=0)
    assert len(steps[0]) == BATCH
    first_s = time.perf_counter() - begun
    memory = own_mib() - held
    mapped = np.asarray(np.memmap(folder / "shards" / "00000.bin", dtype=np.int16, mode="r"))
    n_whole = len(mapped) // 60_000
    whole = mapped[: n_whole * 60_000].reshape(n_whole, 12, 5_000)
    generator = np.random.default_rng(0)
    numbers = iter(range(1, 10**9))

    def per_second(once: object) -> float:
        begun = time.perf_counter()
        for _ in range(BATCHES):
            once()  # type: ignore[operator]
        return BATCHES * BATCH / (time.perf_counter() - begun)

    def plain() -> None:
        torch.from_numpy(whole[generator.integers(0, n_whole, BATCH)])

    ours, theirs = [], []
    for _ in range(repeat):  # in turn, so that a busy moment of the machine falls on both
        ours.append(per_second(lambda: steps[next(numbers)]))
        theirs.append(per_second(plain))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "records": len(store), "first_batch_s": first_s, "own_mib": memory,
        "records_per_second": spread(ours), "gather_per_second": spread(theirs), "ratio": spread(ratios),
    }  # fmt: skip


def spread(values: list[float]) -> list[float]:
    """Least, median and most."""
    return [round(value, 4) for value in (min(values), statistics.median(values), max(values))]


def draw(results: list[dict[str, object]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    n = [row["records"] for row in results]
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, title in (
        ("records_per_second", "batches of the loader"),
        ("gather_per_second", "plain gather, the bound"),
    ):
        least, middle, most = np.array([row[name] for row in results]).T
        speed.plot(n, middle, "o-", label=title)
        speed.fill_between(n, least, most, alpha=0.2)
    memory.plot(n, [row["own_mib"] for row in results], "o-", label="memory of the process, MiB")
    memory.plot(n, [row["first_batch_s"] for row in results], "s-", label="seconds to the first batch")
    speed.set(xscale="log", ylim=0, xlabel="records in the store", ylabel="records a second, one core")
    memory.set(xscale="log", yscale="log", xlabel="records in the store")
    for axes in (speed, memory):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=144)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.repeat)))
        return
    from auricle.data.ingest import ingest

    results = []
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one"
        ingest("simulated", Path(), one, options={"n": SHARD}, shard_records=SHARD)
        for n_shards in (10**power for power in range(4) if 10**power * SHARD <= options.most):
            many = Path(folder) / f"store{n_shards}"
            make(one, many, n_shards)
            command = [sys.executable, __file__, "--measure", str(many), "--repeat", str(options.repeat)]
            results.append(json.loads(subprocess.check_output(command)))
            print(json.dumps(results[-1]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    draw(results)


if __name__ == "__main__":
    main()
