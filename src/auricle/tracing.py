"""While a network is traced into a graph: a graph serves every batch, so no branch may depend on what one holds.

Shapes of a batch are symbols then: `x.shape[0]` stays one, `len(x)` would become the number of the example.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def is_traced() -> bool:
    """Whether what runs now is being traced into a graph."""
    return bool(torch.compiler.is_compiling())


def all_true(mask: Bool[Tensor, "*b"]) -> bool:
    """Whether a mask can be left out because all of it is true: never in a graph, where another batch may differ."""
    return not is_traced() and bool(mask.all())
