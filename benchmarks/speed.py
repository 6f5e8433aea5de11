"""How fast, how large, and against whom: every number stands beside a named peer that ran in the same minutes.

python benchmarks/speed.py [machine loader ingest training text prediction shell memory]; prints a table and updates
benchmarks/results/speed.json. Ours and the peer take turns, five times each; least, median and most are kept, and the
ratio is that of the medians; text and memory are measured once. All on one core. Machines differ, and one machine by
the hour; ratios less.
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
N, RUNS = 256, 5
RATE_HZ = 500.0
NUMBERS = iter(range(10**9))


def spread(values: list[float]) -> list[float]:
    """Least, median and most."""
    return [min(values), statistics.median(values), max(values)]


def in_turn(*functions: Callable[[], int], seconds: float = 1.0) -> list[list[float]]:
    """How many things a second each function does, processor time, in `RUNS` turns after one call that warms up."""
    found: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(RUNS):
        for taken, function in zip(found, functions, strict=True):
            begun, n = time.process_time(), 0
            while time.process_time() - begun < seconds:
                n += function()
            taken.append(n / (time.process_time() - begun))
    return [spread(taken) for taken in found]


def row(what: str, ours: list[float], peer: str, theirs: list[float], unit: str) -> dict[str, object]:
    ratio = statistics.median(ours) / statistics.median(theirs)
    shown = ["/".join(f"{value:.4g}" for value in values) for values in (ours, theirs)]
    print(f"{what:52s} {shown[0]:>24s} {unit:12s} {peer:40s} {shown[1]:>24s}   {ratio:6.3g} x", flush=True)
    return {"what": what, "ours": ours, "unit": unit, "peer": peer, "theirs": theirs, "ratio": ratio}


def machine(folder: Path) -> list[dict[str, object]]:
    """The bounds of this machine in these minutes: copying memory, and a product of large matrices."""
    source, target = np.ones(8_000_000, dtype=np.int16), np.empty(8_000_000, dtype=np.int16)
    one = torch.ones(1024, 1024)
    half = one.to(torch.bfloat16)

    def copy() -> int:
        np.copyto(target, source)
        return source.nbytes

    def product(matrix: torch.Tensor) -> int:
        torch.mm(matrix, matrix)
        return 2 * 1024**3

    del folder
    copied, full, coarse = in_turn(copy, lambda: product(one), lambda: product(half))
    giga = [[value / 1e9 for value in values] for values in (copied, full, coarse)]
    return [
        row("copying memory", giga[0], "-", giga[0], "GB/s"),
        row("product of matrices, bf16", giga[2], "the same in fp32", giga[1], "GFLOP/s"),
    ]


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
    for form in ("raw", "pcodec"):
        ingest("manifest", folder / "wfdb" / "records.csv", folder / form, form=form)  # type: ignore[arg-type]
    mapped = np.asarray(np.memmap(folder / "raw" / "shards" / "00000.bin", dtype=np.int16, mode="r"))
    whole = mapped[: len(mapped) // 60_000 * 60_000].reshape(-1, 12, 5_000)
    chance = np.random.default_rng(0)

    def plain() -> int:
        return len(torch.from_numpy(whole[chance.integers(0, len(whole), 64)]))

    raw, packed = (
        Steps(View(Store(folder / form), np.arange(N), InputSpec()), 64, seed=0) for form in ("raw", "pcodec")
    )
    peer = "wfdb.rdrecord one by one"
    wfdb, bound, steps, millivolts, unpacked, unpacked_mv = in_turn(
        lambda: by_wfdb(paths[:32]), plain,
        lambda: len(raw[next(NUMBERS)]), lambda: len(raw[next(NUMBERS)].millivolts()),
        lambda: len(packed[next(NUMBERS)]), lambda: len(packed[next(NUMBERS)].millivolts()),
    )  # fmt: skip
    return [
        row("loader, raw, batches of int16", steps, "a plain gather from the memory map", bound, "records/s"),
        row("loader, raw, batches of int16", steps, peer, wfdb, "records/s"),
        row("loader, raw, float32 millivolts on the device", millivolts, peer, wfdb, "records/s"),
        row("loader, pcodec, batches of int16", unpacked, "loader, raw, batches of int16", steps, "records/s"),
        row("loader, pcodec, float32 millivolts on the device", unpacked_mv, peer, wfdb, "records/s"),
    ]


def ingest(folder: Path) -> list[dict[str, object]]:
    from auricle.data.shard import write_shard
    from auricle.data.sources import get_source

    paths = write_records(folder / "wfdb")
    table = folder / "wfdb" / "records.csv"
    rows = get_source("manifest").index(table).to_dict("records")

    def ours() -> int:
        return sum(write_shard("manifest", {}, table, rows[:64], RATE_HZ, folder / f"shard{next(NUMBERS)}"))  # type: ignore[arg-type]

    made, read = in_turn(ours, lambda: by_wfdb(paths[:64]))
    return [row("ingest: read, R peaks, quality, write", made, "wfdb.rdrecord: read only", read, "records/s")]


def training(folder: Path) -> list[dict[str, object]]:
    from auricle.data.corpus import Corpus
    from auricle.data.ingest import ingest
    from auricle.data.loader import Steps, View
    from auricle.data.store import Store
    from auricle.methods import Method, Progress, create_method
    from auricle.train.setup import text_side

    ingest("simulated", Path(), folder / "train", options={"n": N})
    store = Store(folder / "train")
    rows = np.flatnonzero(store.column("report_id") >= 0)

    def stepping(name: str, preset: str, n: int, precision: torch.dtype | None = None) -> Callable[[], int]:
        torch.manual_seed(0)
        method: Method = create_method(name, preset).train()
        optimiser = torch.optim.AdamW(method.parameters())
        corpus = Corpus.from_store(store, rows, *text_side(method))
        batch = Steps(View(store, rows, method.config.input, corpus), n, seed=0)[0]

        def step() -> int:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
                loss = method.step(batch, Progress(0, 10)).loss
            loss.backward()
            optimiser.step()
            return n

        return step

    found = []
    for preset, n in (("nano", 32), ("small", 8)):
        ours, half, theirs = in_turn(
            stepping("lisa", preset, n), stepping("lisa", preset, n, torch.bfloat16), stepping("merl", preset, n)
        )
        peer = f"merl {preset} (ResNet18-1D), fp32"
        found.append(row(f"training lisa {preset}, fp32", ours, peer, theirs, "records/s"))
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
            row(
                f"text side, {share:.0%} distinct reports",
                [ours],
                "the tower on every batch, once each",
                [theirs],
                "reports/s",
            )
        )
    return found


def prediction(folder: Path) -> list[dict[str, object]]:
    import wfdb

    import auricle
    from auricle.io.arrays import from_array

    paths = write_records(folder / "wfdb", 40)
    predictor = auricle.Predictor.from_pretrained()

    def ours(**options: object) -> int:
        return sum(predictor(auricle.read(path, age=auricle.Age(3)), **options) is not None for path in paths)  # type: ignore[arg-type]

    def measured() -> int:
        return sum(auricle.measure_recording(auricle.read(path)) is not None for path in paths)

    def theirs() -> int:
        records = [wfdb.rdrecord(str(path.with_suffix(""))) for path in paths]
        arrays = [from_array(record.p_signal.T, record.fs, record.sig_name) for record in records]
        with torch.inference_mode():
            return len([predictor.method.encode(windows_of(one, predictor.method.config.input)) for one in arrays])

    from auricle.data.collate import windows_of

    alone, all_ages, measuring, peer = in_turn(lambda: ours(other_ages_days=()), ours, measured, theirs)
    name = "wfdb.rdrecord and the network once"
    return [
        row("files answered, with and without their age", alone, name, peer, "files/s"),
        row("files answered, and at ten other ages", all_ages, name, peer, "files/s"),
        row("files measured", measuring, name, peer, "files/s"),
    ]


def shell(folder: Path) -> list[dict[str, object]]:
    """Processor seconds of a fresh process on one thread, beside importing the library it cannot do without."""
    (path, *_) = write_records(folder / "wfdb", 1)
    program = [sys.executable, "-m", "auricle"]

    def taken(command: list[str]) -> list[float]:
        found = []
        for _ in range(RUNS):
            before = os.times()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            after = os.times()
            found.append(after.children_user + after.children_system - before.children_user - before.children_system)
        return spread(found)

    torch_s = taken([sys.executable, "-c", "import torch"])
    wfdb_s = taken([sys.executable, "-c", f"import wfdb; wfdb.rdrecord({str(path.with_suffix(''))!r})"])
    return [
        row("auricle predict FILE", taken([*program, "predict", str(path)]), "python -c 'import torch'", torch_s, "s"),
        row("auricle measure FILE", taken([*program, "measure", str(path)]), "wfdb.rdrecord, one file", wfdb_s, "s"),
        row("auricle --help", taken([*program, "--help"]), "wfdb.rdrecord, one file", wfdb_s, "s"),
    ]


def memory(folder: Path) -> list[dict[str, object]]:
    from auricle.data.ingest import ingest as run

    run("simulated", Path(), folder / "many", options={"n": 20_000, "rate_hz": 50.0, "seconds": 2.0}, rate_hz=50)
    script = Path(__file__).with_name("own_memory.py")
    ours, theirs = (
        float(subprocess.check_output([sys.executable, str(script), what, str(folder / "many")]))
        for what in ("store", "frame")
    )
    what = "own memory of a process with 20,000 records' metadata"
    return [row(what, [ours], "pandas.read_feather of the same file", [theirs], "MiB")]


def write(results: dict[str, object]) -> None:
    results["ran on"] = {
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "torch": torch.__version__, "threads": torch.get_num_threads(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    torch.set_num_threads(1)
    parts = {f.__name__: f for f in (machine, loader, ingest, training, text, prediction, shell, memory)}
    wanted = sys.argv[1:] or list(parts)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = parts[name](Path(folder))
        write(results)


if __name__ == "__main__":
    main()
