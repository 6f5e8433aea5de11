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
from auricle.errors import ConfigError
from auricle.signal.preprocess import TYPICAL_MV


class TokenDrawing(nn.Module):
    """Maps from the finest tokens of an encoder to the samples they stand for.

    Args:
        encoder: whose tokens are read.

    Raises:
        ConfigError: its tokens have no fixed place in time.
    """

    def __init__(self, encoder: EncoderModule) -> None:
        super().__init__()
        n_leads, n_samples = len(encoder.spec.leads), encoder.spec.n_samples
        with torch.no_grad():  # what tokens there are is known by looking
            was_training = encoder.training
            shown = torch.zeros(1, n_leads, n_samples)
            tokens = encoder.eval()(shown, shown[:, :, 0] == 0, shown[:, 0] == 0)
            encoder.train(was_training)
        finest = tokens.scale == 0
        self.groups = sorted(set(tokens.group[finest].tolist()))
        times = tokens.time_ms[finest & (tokens.group == self.groups[0])]
        if not torch.isfinite(times).all():
            raise ConfigError(
                f"nothing can be drawn from the tokens of {encoder.config.name}, which have no fixed place in time: "
                "take another model.encoder.name"
            )
        # From one token to the next; a single token stands for the whole window.
        step_s = float(times[1] - times[0]) / 1000 if len(times) > 1 else encoder.spec.seconds
        self.patch = round(step_s * encoder.spec.rate_hz)
        rows = getattr(encoder, "group_rows", None)
        self.members = [list(range(n_leads)) if group < 0 or rows is None else rows[group] for group in self.groups]
        self.n_leads, width = n_leads, tokens.tokens.shape[-1]
        self.draw = nn.ModuleList(nn.Linear(width, len(members) * self.patch) for members in self.members)

    def forward(self, tokens: Tokens, n_samples: int) -> Float[Tensor, "b l t"]:
        """(b, l, t) in millivolts, 0 in a lead of no group and behind the last token.

        Args:
            tokens: of the encoder.
            n_samples: t, which a change of rate may have made one more or less than the window has.
        """
        finest = torch.unflatten(tokens.tokens[:, tokens.scale == 0], 1, (len(self.groups), -1))  # (b, g, n, d)
        n_drawn = max(n_samples, finest.shape[2] * self.patch)
        drawn = torch.zeros(len(finest), self.n_leads, n_drawn, device=finest.device)
        for number, (members, draw) in enumerate(zip(self.members, self.draw, strict=True)):
            patches = torch.unflatten(draw(finest[:, number]), -1, (len(members), self.patch))  # (b, n, lead, p)
            drawn[:, members, : finest.shape[2] * self.patch] = patches.transpose(1, 2).flatten(2).float()
        millivolts: Tensor = TYPICAL_MV * drawn[:, :, :n_samples]
        return millivolts
