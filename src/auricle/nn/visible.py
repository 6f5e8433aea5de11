"""Dropping the tokens that are not to be read before the first block, and putting the others back at their places.

Source: MAE (He et al. 2022), whose encoder reads what is shown alone, so that masking makes training cheaper.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from auricle.tracing import is_traced


class Visible:
    """Packing of the visible tokens of each record side by side; a batch in which all are visible is left as it is.

    In a graph nothing is packed, since how many are visible depends on the batch: the others are no keys.

    Attributes:
        mask: (b, n) visible tokens.
        order: (b, k) places of the visible tokens, in order; None where nothing is packed.
        keys: (b, k) true where a packed place holds a token, false in its padding; None where all hold one.
    """

    def __init__(self, mask: Bool[Tensor, "b n"]) -> None:
        self.mask, self.order, self.keys = mask, None, None
        # A record without visible tokens attends to one empty token, because a softmax over no key is NaN.
        first = F.pad(~mask.any(1, keepdim=True), (0, mask.shape[1] - 1))
        if is_traced():
            self.keys = mask | first
        elif not bool(mask.all()):
            k = max(1, int(mask.sum(1).max()))
            self.order = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :k]
            keys = mask.gather(1, self.order) | first[:, :k]
            self.keys = None if bool(keys.all()) else keys

    def pack(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b k d"]:
        """(b, k, d) visible tokens of (b, n, d), in order; k is the most that any record has."""
        return x if self.order is None else x.gather(1, self.order[..., None].expand(-1, -1, x.shape[-1]))

    def unpack(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) packed tokens (b, k, d) back at their places, zero where none is visible."""
        if self.order is None:
            return x if self.keys is None else torch.where(self.mask[..., None], x, 0.0)
        places = self.order[..., None].expand_as(x)
        whole = x.new_zeros(*self.mask.shape, x.shape[-1]).scatter(1, places, x)
        return torch.where(self.mask[..., None], whole, 0.0)

    def turn(self, cos: Float[Tensor, "n half"], sin: Float[Tensor, "n half"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the packed tokens, (b, 1, k, half) each, or (n, half) where nothing was packed."""
        return (cos, sin) if self.order is None else (cos[self.order][:, None], sin[self.order][:, None])
