"""Small networks between a pooled representation and what is asked of it."""

from __future__ import annotations

from torch import nn


def projection(width: int, out: int) -> nn.Sequential:
    """Two layers, (.., width) to (.., out), into a space where vectors are compared.

    The hidden layer is as wide as the input, as in SimCLR (Chen et al. 2020).
    """
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))


def classifier(width: int, n_classes: int, dropout: float) -> nn.Sequential:
    """Layer norm, dropout and one linear layer, (.., width) to logits (.., n_classes).

    The head has one layer, so that the encoder and not the head is what learns the classes.
    """
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, n_classes))
