"""ONNX graphs, run by onnxruntime on the processor: from a file, or from the bytes of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from auricle.errors import require

# The extra that brings onnx and onnxruntime.
EXTRA: Final = "export"
# Of the severities that onnxruntime prints, the last.
_FATAL: Final = 4


def session(graph: Path | bytes, threads: int | None = None) -> Any:
    """An `onnxruntime.InferenceSession` of a graph, on the processor.

    Args:
        graph: the file, or what would be in it.
        threads: that compute; by default as many as PyTorch takes.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    runtime = require("onnxruntime", EXTRA)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = _FATAL  # errors are raised as well
    given = graph if isinstance(graph, bytes) else str(graph)
    return runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
