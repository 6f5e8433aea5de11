"""What measuring costs: one file in a process of its own, and many in one process, in seconds of processor time.

python benchmarks/startup.py [--repeat 5]; prints a table and writes benchmarks/results/startup.json. The peer is wfdb,
which the project depends on: it reads the same file and finds the R peaks of one lead (`xqrs_detect`), a small part of
what is measured. Processor time and not wall time, and ratios first, so that a busy machine says the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import wfdb
from wfdb.processing import xqrs_detect

import auricle
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.recording import Recording
from auricle.simulate import cohort

RESULTS = Path(__file__).parent / "results" / "startup.json"
RATE_HZ, SECONDS = 500, 10
IMPORTS = {
    "python": "pass",
    "numpy": "import numpy",
    "scipy.signal": "import scipy.signal",
    "auricle.measure.recording": "import auricle.measure.recording",
    "auricle measure": "import sys; sys.argv.insert(1, 'measure'); from auricle.cli import main; main()",
    "wfdb, R peaks of one lead": (
        "import sys, wfdb; from wfdb.processing import xqrs_detect; r = wfdb.rdrecord(sys.argv[1][:-4]);"
        "xqrs_detect(r.p_signal[:, 1], r.fs, verbose=False)"
    ),
}


def in_a_process(code: str, path: Path, repeat: int) -> float:
    """Least processor seconds, user and system, of a fresh interpreter with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(auricle.__file__).parents[1])}
    taken = []
    for _ in range(repeat):
        before = os.times()
        subprocess.run([sys.executable, "-c", code, str(path), *(["--age", "5yr"] if "auricle.cli" in code else [])],
                       check=True, capture_output=True, env=environment)  # fmt: skip
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(taken)


def per_record(function: Callable[[Recording], object], recordings: list[Recording]) -> float:
    """Median processor seconds per record, after one call that warms up."""
    function(recordings[0])
    taken = []
    for recording in recordings:
        begun = time.process_time()
        function(recording)
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description="processor time of measuring")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--records", type=int, default=40)
    options = parser.parse_args()
    recordings = list(cohort(options.records, 7, rate_hz=RATE_HZ, seconds=SECONDS).recordings())
    with tempfile.TemporaryDirectory() as folder:
        first = next(one for one in recordings if len(one.leads) == 12)
        signal = np.nan_to_num(first.signal.T).astype(np.float64)
        wfdb.wrsamp("r", RATE_HZ, ["mV"] * 12, list(first.leads), signal, fmt=["16"] * 12, write_dir=folder)
        path = Path(folder) / "r.hea"
        process = {name: in_a_process(code, path, options.repeat) for name, code in IMPORTS.items()}
    batch = {
        "measure": per_record(measure_recording, recordings),
        "measure and assess": per_record(lambda r: assess(measure_recording(r), r.age, r.sex), recordings),
        "wfdb, R peaks of one lead": per_record(
            lambda r: xqrs_detect(np.nan_to_num(r.signal[1].astype(np.float64)), r.rate_hz, verbose=False), recordings
        ),
    }
    peer = "wfdb, R peaks of one lead"
    ratios = {"one file": process["auricle measure"] / process[peer],
              "a record of many": batch["measure and assess"] / batch[peer]}  # fmt: skip
    for title, rows in (("a process of its own", process), ("a record of many", batch)):
        for name, seconds in rows.items():
            print(f"{title:22s} {name:28s} {seconds:.3f} s")
    print("auricle measure over wfdb:", ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    machine = platform.processor() or platform.machine()
    result = {
        "process_s": process,
        "record_s": batch,
        "over_wfdb": ratios,
        "wfdb": wfdb.__version__,
        "machine": machine,
    }
    RESULTS.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
