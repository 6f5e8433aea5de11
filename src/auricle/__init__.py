"""auricle: learns from electrocardiograms together with what else a hospital knows, and is right about children.

What the command line does by its verbs, a notebook or a service does by `ingest`, `pretrain`, `finetune`,
`evaluate_run`, `Predictor` and `measure_recording`. No public function has the name of a room (`measure`, `evaluate`):
an imported room would hide it. The public names are imported on first use, so that `import auricle` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Age": "auricle.age",
    "AuricleError": "auricle.errors",
    "ECGBatch": "auricle.batch",
    "InputSpec": "auricle.signal.preprocess",
    "Prediction": "auricle.prediction",
    "Predictor": "auricle.predict",
    "Recording": "auricle.recording",
    "create_method": "auricle.methods",
    "list_methods": "auricle.methods",
    "load_method": "auricle.methods",
    "cohort": "auricle.simulate",
    "evaluate_run": "auricle.evaluate.run",
    "export_onnx": "auricle.export.folder",
    "finetune": "auricle.train.finetune",
    "ingest": "auricle.data.ingest",
    "measure_recording": "auricle.measure.recording",
    "pretrain": "auricle.train.pretrain",
    "read": "auricle.io",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'auricle' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
