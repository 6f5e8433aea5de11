"""auricle: learns from electrocardiograms together with what else a hospital knows, and is right about children.

The public names are imported on first use, so that `import auricle` costs nothing.
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
    "Prediction": "auricle.predict",
    "Predictor": "auricle.predict",
    "Recording": "auricle.recording",
    "create_method": "auricle.methods",
    "list_methods": "auricle.methods",
    "load_method": "auricle.methods",
    "read": "auricle.io",
    "cohort": "auricle.simulate",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'auricle' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
