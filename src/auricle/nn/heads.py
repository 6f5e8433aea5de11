"""Small networks between a pooled representation and what is asked of it."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from auricle.nn.masked_norm import MaskedNorm


class NormedHead(nn.Module):
    """Linear layers with batch norm and ReLU between them, the last one bare: projectors and predictors of two views.

    The norm is over the batch of all processes. Source: Grill et al. 2020 (BYOL), Zbontar et al. 2021 (Barlow Twins).

    Args:
        widths: of the input, the hidden layers and the output.
        ends_normed: whether the output is normalised too, without a scale and a shift of its own (SimSiam, MoCo v3).
    """

    def __init__(self, widths: tuple[int, ...], *, ends_normed: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(one, other) for one, other in pairwise(widths))
        self.norms = nn.ModuleList(MaskedNorm(width) for width in widths[1:-1])
        self.last_norm = MaskedNorm(widths[-1]).requires_grad_(False) if ends_normed else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, widths[0]) to (b, widths[-1])."""
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = norm(layer(x), None, axis=1).relu()
        x = self.layers[-1](x)
        return x if self.last_norm is None else self.last_norm(x, None, axis=1)


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
