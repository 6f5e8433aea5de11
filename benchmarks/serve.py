"""Load on `auricle serve`, by wrk: requests a second, latency, memory over many requests, and jobs through a kill.

Usage: python benchmarks/serve.py [--seconds 20] [--many 10000] [--jobs 200]

wrk (Debian: apt-get install wrk) sends one simulated recording of ten seconds again and again over loopback, with 1, 8
and 64 connections. Beside it, in the same run, the library reads, measures and answers the same file in one process:
the share tells what the service takes for itself. Prints Markdown and writes benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import auricle
from auricle.atomic import write_json
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.paediatrics.report import to_dict
from auricle.predict import Predictor
from auricle.simulate.samples import write_samples

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from serving import Service, form, recording_files, service

RESULT = Path(__file__).parent / "results" / "serve.json"
CONNECTIONS = (1, 8, 64)
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="of each load")
    parser.add_argument("--many", type=int, default=10_000, help="requests over which memory is watched")
    parser.add_argument("--jobs", type=int, default=200, help="recordings of the job that is killed in the middle")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "samples", 1)
        found: dict[str, Any] = {"cores": os.cpu_count(), "library": library(folder / "samples", asked.seconds / 2)}
        with service(folder / "log", "--workers", os.cpu_count()) as running:
            found["load"] = [
                load(running, folder, verb, connections, asked.seconds)
                for verb in ("measure", "predict")
                for connections in CONNECTIONS
            ]
            found["memory"] = memory(running, folder, asked.many)
        found["jobs"] = jobs(folder, asked.jobs)
    write_json(RESULT, found)
    print(markdown(found))


def library(samples: Path, seconds: float) -> dict[str, float]:
    """Recordings a second of one process that uses the library, one thread."""
    torch.set_num_threads(1)
    predictor, path = Predictor.from_pretrained(), samples / "newborn.hea"

    def measured() -> None:
        recording = auricle.read(path)
        values = measure_recording(recording)
        json.dumps(to_dict(assess(values, recording.age, recording.sex), values))

    def predicted() -> None:
        json.dumps(predictor(auricle.read(path)).to_dict())

    return {"measure": rate_of(measured, seconds), "predict": rate_of(predicted, seconds)}


def rate_of(act: Callable[[], None], seconds: float) -> float:
    act()
    begin, n = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        act()
        n += 1
    return n / (time.perf_counter() - begin)


def load(running: Service, folder: Path, verb: str, connections: int, seconds: int) -> dict[str, Any]:
    """What wrk says of some connections that ask as fast as they are answered."""
    said = wrk(running, folder, verb, connections, seconds)
    latency = {part: milliseconds(re.search(rf"(?m)^ +{part}% +(\S+)", said)[1]) for part in ("50", "99")}  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    return {
        "verb": verb, "connections": connections, "per_second": per_second, "p50_ms": latency["50"],
        "p99_ms": latency["99"], "failed": int(failed[1]) if failed else 0,
    }  # fmt: skip


def wrk(running: Service, folder: Path, verb: str, connections: int, seconds: int) -> str:
    body, kind = form({}, recording_files(folder / "samples", "newborn"))
    (folder / "body").write_bytes(body)
    script = folder / "post.lua"
    script.write_text(
        f'local file = io.open("{folder / "body"}", "rb")\n'
        f'wrk.method = "POST"\nwrk.body = file:read("*a")\nwrk.headers["Content-Type"] = "{kind}"\n',
        encoding="utf-8",
    )
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", str(script),
        f"http://127.0.0.1:{running.port}/api/{verb}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def memory(running: Service, folder: Path, many: int) -> dict[str, Any]:
    """Memory of all processes of the service over many requests, 8 connections, measure and predict in turn."""
    told, n = [(0, own_mb(running))], 0
    while n < many:
        for verb in ("measure", "predict"):
            said = wrk(running, folder, verb, 8, 15)
            n += int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
        told.append((n, own_mb(running)))
    return {"requests": n, "mb": told}


def own_mb(running: Service) -> float:
    """Memory that is these processes' own (PSS), in MB."""
    total = 0
    for process in (running.process.pid, *running.children()):
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    return round(total / 1024, 1)


def jobs(folder: Path, n: int) -> dict[str, Any]:
    """A job of some recordings, the service killed when half of them are done, and started again."""
    files = [
        ("file", f"{number:04d}/{name}", content)
        for number in range(n)
        for _, name, content in recording_files(folder / "samples", "newborn")
    ]
    options = ("--weights", "none", "--jobs", folder / "jobs")
    with service(folder / "log", *options) as first:
        job = first.ask("/api/jobs", {}, files).json["id"]
        before = first.until(f"/api/jobs/{job}", lambda answer: answer.json["done"] >= n // 2, 600).json["done"]
        first.kill()
    with service(folder / "log", *options) as again:
        again.until(f"/api/jobs/{job}", lambda answer: answer.json["finished"], 600)
        lines = [json.loads(line) for line in again.ask(f"/api/jobs/{job}/results").content.splitlines()]
    return {
        "n": n, "done_before_the_kill": before, "answers": len(lines),
        "distinct": len({line["file"] for line in lines}), "errors": sum("error" in line for line in lines),
    }  # fmt: skip


def markdown(found: dict[str, Any]) -> str:
    lines = ["| verb | connections | requests/s | of the library on all cores | p50 ms | p99 ms | failed |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for one in found["load"]:
        share = one["per_second"] / (found["library"][one["verb"]] * found["cores"])
        lines.append(
            f"| {one['verb']} | {one['connections']} | {one['per_second']:.1f} | {share:.2f} | {one['p50_ms']:.0f} | "
            f"{one['p99_ms']:.0f} | {one['failed']} |"
        )
    told = ", ".join(f"{mb:.0f} MB after {n}" for n, mb in found["memory"]["mb"])
    library = ", ".join(f"{verb} {rate:.1f}/s" for verb, rate in found["library"].items())
    job = found["jobs"]
    return "\n".join([
        *lines, "", f"The library alone, one process: {library}. Memory: {told}.",
        f"Job: {job['n']} recordings, killed when {job['done_before_the_kill']} were done; {job['answers']} answers of "
        f"{job['distinct']} recordings, {job['errors']} errors.",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
