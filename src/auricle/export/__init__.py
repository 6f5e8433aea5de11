"""Export: weights as a graph for onnxruntime, in a folder with a card that the hub reads."""

from __future__ import annotations

from auricle.export.folder import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
