"""Drawing what was hidden of a recording from the tokens that stand around it, by one linear map for each lead group.

The finest tokens of an encoder have a place in time; each draws the samples of its stretch in the leads of its group.
Source: masked modelling as in MAE (He et al. 2022), without a decoder of its own: the pass that learns classes is the
pass that learns to fill gaps.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from auricle.encoders import EncoderModule, Tokens
from auricle.signal.preprocess import TYPICAL_MV


class TokenDrawing(nn.Module):
    """Maps from the finest tokens of an encoder to the samples they stand for.

    Args:
        encoder: whose tokens are read.
    """

    def __init__(self, encoder: EncoderModule) -> None:
        super().__init__()
        n_leads, self.n_samples = len(encoder.spec.leads), encoder.spec.n_samples
        with torch.no_grad():  # what tokens there are is known by looking
            was_training = encoder.training
            shown = torch.zeros(1, n_leads, self.n_samples)
            tokens = encoder.eval()(shown, shown[:, :, 0] == 0, shown[:, 0] == 0)
            encoder.train(was_training)
        finest = tokens.scale == 0
        self.groups = sorted(set(tokens.group[finest].tolist()))
        self.n_tokens = int(finest.sum()) // len(self.groups)
        self.patch = -(-self.n_samples // self.n_tokens)
        rows = getattr(encoder, "group_rows", None)
        self.members = [list(range(n_leads)) if group < 0 or rows is None else rows[group] for group in self.groups]
        self.n_leads, width = n_leads, tokens.tokens.shape[-1]
        self.draw = nn.ModuleList(nn.Linear(width, len(members) * self.patch) for members in self.members)

    def forward(self, tokens: Tokens) -> Float[Tensor, "b l t"]:
        """(b, l, t) in millivolts, 0 in a lead of no group."""
        finest = torch.unflatten(
            tokens.tokens[:, tokens.scale == 0], 1, (len(self.groups), self.n_tokens)
        )  # (b, g, n, d)
        drawn = torch.zeros(len(finest), self.n_leads, self.n_tokens * self.patch, device=finest.device)
        for number, (members, draw) in enumerate(zip(self.members, self.draw, strict=True)):
            patches = torch.unflatten(draw(finest[:, number]), -1, (len(members), self.patch))  # (b, n, lead, p)
            drawn[:, members] = patches.transpose(1, 2).flatten(2).float()
        millivolts: Tensor = TYPICAL_MV * drawn[:, :, : self.n_samples]
        return millivolts
