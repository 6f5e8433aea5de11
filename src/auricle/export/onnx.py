"""ONNX: a graph traced by PyTorch, written down, run by onnxruntime and compared with what it was made of."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from auricle import __version__
from auricle.atomic import write_with
from auricle.batch import ECGBatch, joined
from auricle.data.collate import windows_of
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import CheckpointError, require
from auricle.export.graph import Graph
from auricle.nn.runtime import EXTRA, session
from auricle.recording import Recording
from auricle.simulate import cohort

OPSET: Final = 20
# The largest difference between onnxruntime and PyTorch that counts as none, of probabilities and of embeddings.
TOLERANCE: Final = 1e-4
# Windows that are traced: a prime, which is the size of nothing else.
_EXAMPLES: Final = 17
# Simulated recordings that every graph is asked before it is handed over.
_ASKED: Final = 4
_SEED: Final = 20260


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX, for batches of any size.

    Args:
        graph: what is written; left as it is.
        path: the file, written whole or not at all.

    Raises:
        CheckpointError: the method does something that a graph cannot hold.
        MissingExtraError: the exporter is not installed.
    """
    onnx = require("onnx", EXTRA)
    require("onnxscript", EXTRA)
    # Parameters that could learn would choose another attention, which does not become ONNX.
    frozen = copy.deepcopy(graph).eval().requires_grad_(False)
    example = frozen.tensors(_example(frozen))
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), _quiet():
        # Tables that are kept between calls (filters, sheets) are made by this call: made while tracing, they would
        # stay behind without their numbers.
        frozen(*example)
        try:
            program = torch.export.export(
                frozen, example, dynamic_shapes=(tuple({0: batch} for _ in example),), strict=False
            )
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[port.name for port in frozen.inputs],
                output_names=[port.name for port in frozen.outputs],
                verbose=False,
            )
        except Exception as error:  # whatever tracing somebody's encoder comes upon
            name = graph.method.encoder.config.name
            raise CheckpointError(f"{name}: cannot be written as a graph ({_reason(error)})") from error
    assert made is not None
    model = made.model_proto
    _named(model)
    for key, value in {"auricle": __version__, "use": RESEARCH_USE}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model, full_check=True)
    write_with(path, lambda temporary: onnx.save(model, str(temporary)))
    path.chmod(0o644)


def differences(graph: Graph, path: Path, batches: Sequence[ECGBatch]) -> dict[str, float]:
    """The largest absolute difference of each output between onnxruntime and PyTorch.

    Args:
        graph: what was written.
        path: the file.
        batches: windows at the rate of the graph; all of each at once, and its first one alone.
    """
    running, largest = session(path), dict.fromkeys((port.name for port in graph.outputs), 0.0)
    for batch in (*batches, *(batch.select(torch.tensor([0])) for batch in batches)):
        tensors = graph.tensors(batch)
        with torch.no_grad():
            wanted = graph(*tensors)
        for name, ours, theirs in zip(largest, wanted, running.run(None, graph.feed(tensors)), strict=True):
            # A NaN on either side is a difference; NumPy's maximum keeps it.
            largest[name] = float(np.maximum(largest[name], np.abs(ours.numpy() - theirs).max(initial=0.0)))
    return largest


def check(graph: Graph, path: Path) -> dict[str, float]:
    """Ask a written graph for simulated recordings, whole and with much missing, and compare the answers.

    Returns:
        By output, the largest difference.

    Raises:
        CheckpointError: it cannot be run, or probabilities, similarities or embedding are not those of PyTorch.
    """
    try:
        found = differences(graph, path, [simulated(graph)])
    except Exception as error:  # onnxruntime raises classes of its own
        raise CheckpointError(f"the graph cannot be run ({str(error).splitlines()[0]}); nothing was written") from error
    wrong = {name: value for name, value in found.items() if name != "logits" and not value <= TOLERANCE}
    if wrong:
        told = ", ".join(f"{name} by {value:.2g}" for name, value in wrong.items())
        raise CheckpointError(f"the graph does not answer as its weights do: {told}; nothing was written")
    return found


def simulated(graph: Graph) -> ECGBatch:
    """Windows of simulated recordings at the rate of a graph, and of the same with much missing."""
    spec = graph.spec
    whole = list(cohort(_ASKED, _SEED, rate_hz=graph.rate_hz, seconds=spec.seconds).recordings())
    windows = [windows_of(recording, spec, graph.method.config.labs) for recording in [*whole, *map(_lacking, whole)]]
    return joined(windows)


def _lacking(recording: Recording) -> Recording:
    """A recording of unknown age that has lost its chest leads, its last third and some samples."""
    limb = [row for row, lead in enumerate(recording.leads) if not lead.startswith("V")]
    signal = recording.signal[limb][:, : recording.signal.shape[1] * 2 // 3].copy()
    signal[0, signal.shape[1] // 4 : signal.shape[1] // 3] = np.nan
    return replace(recording, signal=signal, leads=tuple(recording.leads[row] for row in limb), age=None)


def _example(graph: Graph) -> ECGBatch:
    """A few windows. Equal to another axis, their number would be taken for that axis and become a constant."""
    n, n_leads = _EXAMPLES, len(graph.spec.leads)
    return ECGBatch(
        signal=torch.zeros(n, n_leads, graph.n_samples),
        lead_mask=torch.ones(n, n_leads, dtype=torch.bool),
        time_mask=torch.ones(n, graph.n_samples, dtype=torch.bool),
        leads=graph.spec.leads,
        rate_hz=graph.rate_hz,
        # Two tensors: one that goes in twice would be one input of the graph.
        age_days=torch.full((n,), torch.nan),
        male=torch.full((n,), torch.nan),
        patient_id=torch.zeros(n, dtype=torch.long),
        record_id=("",) * n,
    )


def _reason(error: BaseException) -> str:
    """What began it: the exporter tells of its own step first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _named(model: Any) -> None:
    """Call the first axis `batch`, and take out where in the source each node comes from: paths of one machine."""
    model.graph.ClearField("value_info")  # shapes in between, which a session finds by itself
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            node.doc_string = ""
            node.ClearField("metadata_props")
    for part in (model, model.graph, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of the exporter on its own parts."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
