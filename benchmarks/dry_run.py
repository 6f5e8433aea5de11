"""A data set of MIMIC-IV-ECG's size, simulated in small, through index, ingest, sampler and text cache.

python benchmarks/dry_run.py [RECORDS] [FOLDER]; by default 800,000 records of 2 s at 50 Hz. Each part says how long it
took and how much memory its process held at most; benchmarks/results/dry_run.json keeps it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "dry_run.json"
RATE_HZ = 50.0


def _peak_mib(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def _alone(part: Callable[..., dict[str, object]], arguments: tuple[object, ...], out: object) -> None:
    begun = time.perf_counter()
    found = part(*arguments)
    found["seconds"] = round(time.perf_counter() - begun, 1)
    found["peak_mib"] = round(_peak_mib(resource.RUSAGE_SELF))
    workers = _peak_mib(resource.RUSAGE_CHILDREN)
    if workers:
        found["peak_mib_of_a_worker"] = round(workers)
    out.put(found)  # type: ignore[attr-defined]


def alone(part: Callable[..., dict[str, object]], *arguments: object) -> dict[str, object]:
    """A part in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_alone, args=(part, arguments, out))
    process.start()
    while process.is_alive() and out.empty():
        time.sleep(0.05)
    if out.empty():
        sys.exit(f"{part.__name__} ended with {process.exitcode}")
    found: dict[str, object] = out.get()
    process.join()
    print(part.__name__, found, flush=True)
    return found


def ingest(folder: Path, n: int) -> dict[str, object]:
    from auricle.data.ingest import ingest as run

    shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"  {done}/{total}, {_peak_mib(resource.RUSAGE_SELF):.0f} MiB", flush=True)

    options = {"n": n, "rate_hz": RATE_HZ, "seconds": 2.0}
    done = run("simulated", Path(), folder, options=options, rate_hz=RATE_HZ, shard_records=4096, on_progress=progress)
    return {"stored": done.n_stored, "rejected": done.n_rejected, "distinct_reports": done.n_reports}


def index(folder: Path, n: int) -> dict[str, object]:
    del folder
    from auricle.data.ingest import _fingerprint
    from auricle.data.sources import get_source

    table = get_source("simulated", n=n).index(Path())
    return {"rows": len(table), "fingerprint": _fingerprint(table)[:12]}


def again(folder: Path, n: int) -> dict[str, object]:
    """A finished ingest run again: nothing is made twice."""
    return ingest(folder, n)


def sampler(folder: Path, n: int) -> dict[str, object]:
    import numpy as np

    from auricle.data.order import Order, Shuffle
    from auricle.data.store import Store

    store = Store(folder)
    order = Order(n, 256, 0, Shuffle(same_patient=True), patients=store.patients)
    begun = time.perf_counter()
    touched = [len(np.unique(order[step] // 128)) for step in range(50)]
    first = time.perf_counter() - begun
    for row in range(0, n, n // 1000):
        store.record(row)
    return {"steps_per_epoch": order.steps_per_epoch, "epoch_order_s": round(first, 2), "blocks_a_batch": max(touched)}


def text(folder: Path, n: int) -> dict[str, object]:
    del n
    import numpy as np

    from auricle.data.corpus import Corpus
    from auricle.data.store import Store

    store = Store(folder)
    corpus = Corpus.from_store(store, np.arange(len(store)), "ngrams", {"embedding", "findings"})
    return {"distinct_reports": len(corpus.english), "findings": corpus.findings.shape[1]}


def text_from_cache(folder: Path, n: int) -> dict[str, object]:
    return text(folder, n)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 800_000
    with tempfile.TemporaryDirectory() as folder:
        place = Path(sys.argv[2] if len(sys.argv) > 2 else folder) / "store"
        parts = (index, ingest, again, sampler, text, text_from_cache)
        results: dict[str, object] = {part.__name__: alone(part, place, n) for part in parts}
    results["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    results["records"] = n
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
