"""Drawing patches of a recording from the tokens of those that were seen: a masked autoencoder's decoder.

Source: MAE (He et al. 2022), with one token per lead and patch of time. A place that was not seen starts from one
learned token plus the mean of the tokens seen at its time: attention alone would learn to look at the same moment of
other leads, but only after long training. Every place has its lead's embedding; time is rotary. Beside the shape of a
patch (mean 0, spread 1) the decoder gives its mean and spread, so that the drawing can be put back into millivolts,
and the standard deviation of its error, called doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from auricle.nn.pooling import masked_mean
from auricle.nn.transformer import Block, Rotary
from auricle.signal.preprocess import TYPICAL_MV

# A patch is never divided by less than this spread, else the noise of a flat stretch would weigh as much as a QRS.
_LEAST_SPREAD_MV: Final = 0.05


@dataclass(frozen=True, slots=True)
class Drawing:
    """Patches of every lead and time, taken apart into shape, mean and spread; targets carry no doubt.

    Attributes:
        shape: (b, l, n, p) with mean 0 and spread 1.
        mean: (b, l, n) in TYPICAL_MV.
        log_spread: (b, l, n) logarithm of the spread in TYPICAL_MV.
        log_doubt: (b, l, n) logarithm of the standard deviation of the truth around what is drawn, in TYPICAL_MV.
    """

    shape: Float[Tensor, "b l n p"]
    mean: Float[Tensor, "b l n"]
    log_spread: Float[Tensor, "b l n"]
    log_doubt: Float[Tensor, "b l n"] | None = None

    def of_leads(self, n_leads: int) -> Drawing:
        """A drawing whose rows are single leads, (b * l, 1, ..), as one of records, (b, l, ..).

        Args:
            n_leads: l, whose rows follow each other.
        """
        parts = {
            field.name: getattr(self, field.name).unflatten(0, (-1, n_leads)).flatten(1, 2)
            for field in fields(self)
            if getattr(self, field.name) is not None
        }
        return replace(self, **parts)

    def millivolts(self) -> Float[Tensor, "b l n p"]:
        """(b, l, n, p) the patches in millivolts."""
        return TYPICAL_MV * (self.mean[..., None] + self.log_spread.exp()[..., None] * self.shape)


def drawing_of(patches: Float[Tensor, "b l n p"], valid: Bool[Tensor, "b n p"]) -> Drawing:
    """The drawing that a decoder should make: patches in mV taken apart into shape, mean and spread.

    Args:
        patches: (b, l, n, p) in millivolts.
        valid: (b, n, p) samples that count; the others get shape 0.
    """
    inside = valid[:, None]  # (b, 1, n, p), for all leads
    count = inside.sum(-1).clamp_min(1)
    mean = torch.where(inside, patches, 0.0).sum(-1) / count
    centred = torch.where(inside, patches - mean[..., None], 0.0)
    spread = (centred.square().sum(-1) / count + _LEAST_SPREAD_MV**2).sqrt()
    return Drawing(centred / spread[..., None], mean / TYPICAL_MV, (spread / TYPICAL_MV).log())


class PlaceFiller(nn.Module):
    """Tokens of the places that were seen to features of every place.

    Args:
        n_leads: length of the lead axis.
        width_in: width of the encoder's tokens.
        width: width of the features.
        depth: transformer blocks.
        n_heads: attention heads of each block.
    """

    def __init__(self, n_leads: int, width_in: int, width: int, depth: int, n_heads: int) -> None:
        super().__init__()
        self.n_leads = n_leads
        self.narrow = nn.Linear(width_in, width)
        self.unseen = nn.Parameter(torch.randn(width) * 0.5)
        self.identity = nn.Parameter(torch.randn(n_leads, width) * 0.5)
        self.rotary = Rotary(width // n_heads)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def fill(
        self, tokens: Float[Tensor, "b ln d"], seen: Bool[Tensor, "b ln"], columns: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b l n w"]:
        """(b, l, n, width) features of every lead at every time.

        Args:
            tokens: (b, l * n, d) all times of the first lead, then of the next; not read where `seen` is false.
            seen: (b, l * n) places the encoder saw.
            columns: (b, n) times that lie inside the record.
        """
        # Every place starts from its token, or from the learned one plus what other leads showed at its time.
        n = columns.shape[1]
        narrow = self.narrow(tokens).reshape(len(tokens), self.n_leads, n, -1)  # (b, l, n, d)
        place_seen = seen.reshape(len(seen), self.n_leads, n)
        moment = masked_mean(narrow.transpose(1, 2), place_seen.transpose(1, 2))  # (b, n, d): mean over the leads
        start = (moment + self.unseen)[:, None]
        x = torch.where(place_seen[..., None], narrow, start) + self.identity[:, None]
        # Attention over lead and time together.
        x = x.flatten(1, 2)  # (b, l * n, d)
        inside = columns.repeat(1, self.n_leads)
        keys = None if bool(inside.all()) else inside
        cos, sin = self.rotary(n)
        turn = (cos.repeat(self.n_leads, 1), sin.repeat(self.n_leads, 1))
        for block in self.blocks:
            x = block(x, keys, turn)
        filled: Tensor = self.norm(x).reshape(narrow.shape)
        return filled


class FeatureFiller(PlaceFiller):
    """Tokens of the places that were seen to what an encoder would say of every place (as in I-JEPA).

    Args:
        n_leads: length of the lead axis.
        width_in: width of the encoder's tokens, and of what is predicted.
        width: width of the features between.
        depth: transformer blocks.
        n_heads: attention heads of each block.
    """

    def __init__(self, n_leads: int, width_in: int, width: int, depth: int, n_heads: int) -> None:
        super().__init__(n_leads, width_in, width, depth, n_heads)
        self.widen = nn.Linear(width, width_in)

    def forward(
        self, tokens: Float[Tensor, "b ln d"], seen: Bool[Tensor, "b ln"], columns: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b ln d"]:
        """(b, l * n, d) tokens of every lead and time, in the order of those that come in.

        Args:
            tokens: (b, l * n, d) all times of the first lead, then of the next; not read where `seen` is false.
            seen: (b, l * n) places the encoder saw.
            columns: (b, n) times that lie inside the record.
        """
        said: Tensor = self.widen(self.fill(tokens, seen, columns)).flatten(1, 2)
        return said


class PatchDecoder(PlaceFiller):
    """Tokens of the places that were seen to a drawing of every place.

    Args:
        n_leads: length of the lead axis.
        width_in: width of the encoder's tokens.
        patch: samples of a patch.
        width: width of the decoder's tokens.
        depth: transformer blocks of the decoder.
        n_heads: attention heads of each block.
    """

    def __init__(self, n_leads: int, width_in: int, patch: int, width: int, depth: int, n_heads: int) -> None:
        super().__init__(n_leads, width_in, width, depth, n_heads)
        self.draw = nn.Linear(width, patch + 2)
        self.doubt = nn.Linear(width, 1)
        nn.init.zeros_(self.doubt.weight)
        nn.init.zeros_(self.doubt.bias)

    def forward(
        self, tokens: Float[Tensor, "b ln d"], seen: Bool[Tensor, "b ln"], columns: Bool[Tensor, "b n"]
    ) -> Drawing:
        """Draw every lead at every time.

        Args:
            tokens: (b, l * n, d) all times of the first lead, then of the next; not read where `seen` is false.
            seen: (b, l * n) places the encoder saw.
            columns: (b, n) times that lie inside the record.
        """
        # The drawing: p samples of shape, then mean and log spread.
        x = self.fill(tokens, seen, columns)  # (b, l, n, d)
        out = self.draw(x)
        # Detached, so that the doubt learns from the features without changing them.
        doubt = self.doubt(x.detach()).squeeze(-1)
        return Drawing(out[..., :-2], out[..., -2], out[..., -1], doubt)
