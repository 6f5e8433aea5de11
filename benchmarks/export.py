"""ONNX beside PyTorch: every encoder at `nano` and the weights that come along, size, latency and difference.

    AURICLE_REAL_DATA=FOLDER python benchmarks/export.py

Prints Markdown tables and writes benchmarks/results/export.json. Both take turns in the same minutes, one thread each,
preprocessing included, on simulated recordings of 10 s; a ratio is that of the medians. Encoders are untrained, with an
age gate and a head of five classes, at 100 Hz as the weights that come along. Where AURICLE_REAL_DATA names the folder
of real recordings, the weights are also compared with `Predictor` on some of them, at the rate the recordings have.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from auricle.data.collate import windows_of
from auricle.data.sources import get_source
from auricle.encoders import ENCODERS
from auricle.errors import UnreadableError
from auricle.export.graph import Graph
from auricle.export.onnx import OPSET, differences, simulated, write_onnx
from auricle.methods import SHIPPED_WEIGHTS, create_method, save_method
from auricle.nn.runtime import session
from auricle.predict import Predictor
from auricle.recording import Recording

RESULTS = Path(__file__).parent / "results" / "export.json"
BATCHES, TURNS, SECONDS = (1, 8), 7, 0.5
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
# Data sets at hand, the rate they are read at, and how many recordings of each are compared.
REAL = (("ptb-xl", "ptb_xl", {"rate_hz": 100}, 100.0), ("csn", "csn", {}, 500.0))
N_REAL = 40


def milliseconds(function: Callable[[], object]) -> float:
    """Of one call, over half a second of them."""
    begun, n = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        function()
        n += 1
    return 1000 * (time.perf_counter() - begun) / n


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The median milliseconds of each, measured in turn after a call that warms up."""
    one(), other()
    taken = [(milliseconds(one), milliseconds(other)) for _ in range(TURNS)]
    ours, theirs = zip(*taken, strict=True)
    return statistics.median(ours), statistics.median(theirs)


def measured(name: str, graph: Graph, saved_bytes: int, path: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    write_onnx(graph, path)
    took = time.perf_counter() - begun
    batch, running = simulated(graph), session(path, threads=1)
    row: dict[str, Any] = {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in graph.method.parameters()),
        "onnx_bytes": path.stat().st_size,
        "saved_bytes": saved_bytes,
        "export_seconds": took,
        "difference": differences(graph, path, [batch]),
    }
    for n in BATCHES:
        tensors = graph.tensors(batch.select(torch.arange(n)))
        feed = graph.feed(tensors)
        with torch.inference_mode():
            ours, theirs = in_turn(lambda: running.run(None, feed), lambda: graph(*tensors))  # noqa: B023
        row[f"ms_{n}"] = {"onnxruntime": ours, "torch": theirs, "ratio": ours / theirs}
    print(line(row), flush=True)
    return row


def line(row: dict[str, Any]) -> str:
    largest = [f"{row['difference'][name]:.0e}" for name in ("probabilities", "embedding")]
    cells = [
        row["name"],
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['onnx_bytes'] / 1e6:.2f}",
        f"{row['onnx_bytes'] / row['saved_bytes']:.2f}",
        *(f"{row[f'ms_{n}']['onnxruntime']:.1f}, {row[f'ms_{n}']['ratio']:.2f}" for n in BATCHES),
        *largest,
    ]
    return f"| {' | '.join(cells)} |"


def encoders(folder: Path) -> Iterator[dict[str, Any]]:
    spec = {"rate_hz": 100.0, "band_hz": (0.5, 40.0)}
    for name in (name for name in ENCODERS.names() if name != "foreign"):  # which is whatever a user names
        torch.manual_seed(0)
        encoder = {"name": name, "preset": "nano"}
        method = create_method("supervised", encoder=encoder, input=spec, gate={}, classes=CLASSES).eval()
        save_method(method, folder / name)
        size = (folder / name / "model.safetensors").stat().st_size
        yield measured(f"`{name}`", Graph(method, Predictor(method)), size, folder / f"{name}.onnx")


def answered(predictor: Predictor, folder: Path, source: str, options: dict[str, Any]) -> Iterator[Recording]:
    """Real recordings that the weights answer for."""
    reader = get_source(source, **options)
    for row in reader.index(folder).to_dict("records")[:N_REAL]:
        recording = reader.read(folder, row)
        try:
            predictor(recording, ())
        except UnreadableError:
            continue
        yield recording


def real(folder: Path, data: Path) -> Iterator[dict[str, Any]]:
    """The largest difference between a graph and the predictor, with the age and without it."""
    predictor = Predictor.from_pretrained()
    for directory, source, options, rate_hz in REAL:
        graph, path = Graph(predictor.method, predictor, rate_hz), folder / f"{source}.onnx"
        write_onnx(graph, path)
        running, largest, n = session(path), 0.0, 0
        places = [port.name for port in graph.outputs]
        for recording in answered(predictor, data / directory, source, options):
            prediction, windows = predictor(recording, ()), windows_of(recording, graph.spec)
            assert prediction.scores_without_age is not None
            for batch, scores in (
                (windows, prediction.scores),
                (windows.without_age(), prediction.scores_without_age),
            ):
                given = running.run(None, graph.feed(graph.tensors(batch)))
                ours = 1 / (1 + np.exp(-given[places.index("logits")].mean(0)))
                largest = max(largest, float(np.abs(ours - np.array(list(scores.values()))).max()))
            n += 1
        print(f"{source} at {rate_hz:g} Hz: {n} recordings, largest difference of a probability {largest:.1e}")
        yield {"source": source, "rate_hz": rate_hz, "n_recordings": n, "difference": largest}


def main() -> None:
    torch.set_num_threads(1)
    heads = ["", "M parameters", "MB", "of the saved weights", "ms, of torch's", "ms of 8, of torch's"]
    print(f"| {' | '.join([*heads, 'probabilities', 'embedding'])} |")
    print("| --- |" + " ---: |" * 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        predictor = Predictor.from_pretrained()
        size = (SHIPPED_WEIGHTS / "model.safetensors").stat().st_size
        graph = Graph(predictor.method, predictor)
        rows = [measured("the weights, `lisa-nano`", graph, size, folder / "weights.onnx"), *encoders(folder)]
        data = os.environ.get("AURICLE_REAL_DATA")
        compared = list(real(folder, Path(data))) if data else []
    machine = {"cpu": platform.processor() or platform.machine(), "threads": 1, "turns": TURNS}
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "opset": OPSET}
    found = {"machine": machine, "versions": versions, "rows": rows, "real": compared}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
