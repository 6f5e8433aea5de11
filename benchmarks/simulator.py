"""Simulated twelve-lead records per second, 10 s at 500 Hz: one process, two processes, and neurokit2 beside them.

    python benchmarks/simulator.py [--peer SITE_PACKAGES] [--device cuda]

neurokit2 (`ecg_simulate(method="multileads")`) is no dependency of the project: SITE_PACKAGES names a folder that has
it. Its records are healthy adults without reports, values or truth. Writes benchmarks/results/simulator.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from auricle.simulate import cohort

RESULTS = Path(__file__).parent / "results" / "simulator.json"
N, REPEATS, PEER_N = 512, 5, 4


def best(function: Callable[[], object], n: int) -> float:
    """Records per second of the fastest of some runs: the machine is shared."""
    fastest = 0.0
    for _ in range(REPEATS):
        began = time.perf_counter()
        function()
        fastest = max(fastest, n / (time.perf_counter() - began))
    return round(fastest, 2)


def part(start: int) -> int:
    torch.set_num_threads(1)
    return len(cohort(N // 2, 1, start=start))


def peer() -> None:
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(PEER_N):
            neurokit2.ecg_simulate(duration=10, sampling_rate=500, method="multileads", random_state=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    result: dict[str, object] = {"machine": platform.machine(), "cores": os.cpu_count(), "device": options.device}
    cohort(64, 0, device=options.device)
    result["one process"] = best(lambda: cohort(N, 1, device=options.device), N)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(part, [0, N]))
        result["two processes of one thread"] = best(lambda: list(pool.map(part, [0, N])), N)
    if options.peer:
        sys.path.append(str(options.peer))
        result["neurokit2"] = best(peer, PEER_N)
        result["ratio"] = round(float(str(result["one process"])) / float(str(result["neurokit2"])))
    else:
        print("neurokit2 was not named (--peer): its row is left out")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
