"""Small networks between a pooled representation and what is asked of it."""

from __future__ import annotations

from torch import nn


def projection(width: int, out: int) -> nn.Sequential:
    """Two layers into the space where ECG and text meet (as in SimCLR, the hidden layer as wide as the input)."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))


def classifier(width: int, n_classes: int, dropout: float) -> nn.Sequential:
    """A normalised linear classifier: what is fine-tuned is the encoder, not a deep head."""
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, n_classes))
