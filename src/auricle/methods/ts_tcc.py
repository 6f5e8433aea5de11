"""ts_tcc: a weak and a strong view of a record, each of which foretells the other, and whose contexts belong together.

Source: Eldele et al. 2021, "Time-series representation learning via temporal and contextual contrasting". Idea: (1) a
weak view of each record (gain) and a strong one (pieces in random order, noise); (2) one network encodes both; (3) a
transformer sums the tokens up to a random moment up into a context; (4) linear maps predict from it the next tokens of
the other view, told from those of other records; (5) the contexts of both views are pulled together and records apart.
Inputs: signal. Differences from the paper: the order of the pieces is the same in all leads; some views miss leads;
predictions are compared as unit vectors at the temperature of the contexts; the encoder is the common backbone, a token
of which has heard some seven tokens on either side, so that of what is foretold the first have been heard, in another
view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.augment.views import permuted
from auricle.batch import ECGBatch
from auricle.encoders import Tokens
from auricle.errors import DataError
from auricle.losses.contrastive import nt_xent
from auricle.losses.predictive import across_records_info_nce
from auricle.methods._base import Method, Progress, Recipe, Step
from auricle.methods._two_views import BackboneConfig, along_time, check_several, without_views
from auricle.nn.heads import projection
from auricle.nn.transformer import Block, Rotary
from auricle.processes import anywhere

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**without_views("tiny"), "n_ahead": 3, "context_width": 16, "projection": 16, "recipe": {"lr": 3e-3}},
    "nano": {**without_views("nano"), "recipe": {"lr": 2e-3}},
    "shared": without_views("shared"),
    # No leads are lost, as published.
    "paper": {
        **without_views("shared"),
        "weak": {"gain": 0.2, "noise_mv": 0.0, "lead_drop_records": 0.0},
        "strong": {"gain": 0.0, "noise_mv": 0.05, "lead_drop_records": 0.0},
        "recipe": {"lr": 3e-4, "weight_decay": 3e-4, "betas": (0.9, 0.99)},
    },
}
_WEAK: Final = AugmentConfig(gain=0.2, noise_mv=0.0)
_STRONG: Final = AugmentConfig(gain=0.0, noise_mv=0.05)


class TsTccConfig(BackboneConfig):
    """Settings of ts_tcc.

    Attributes:
        weak: how the weak view differs from the record.
        strong: how the strong one does, beside the order of its pieces.
        pieces: most pieces of the strong view.
        n_ahead: tokens that are predicted.
        context_width: features of the context.
        context_depth: blocks of its transformer.
        projection: width of the space in which contexts are compared.
        temperature: of both contrasts; fixed.
        contextual: weight of the contrast of contexts beside the two predictions.
    """

    name: Literal["ts_tcc"] = "ts_tcc"
    recipe: Recipe = Recipe(lr=1e-3)
    weak: AugmentConfig = _WEAK
    strong: AugmentConfig = _STRONG
    pieces: Annotated[int, Field(gt=0)] = 8
    n_ahead: Annotated[int, Field(gt=0)] = 8
    context_width: Annotated[int, Field(gt=0, multiple_of=8)] = 64
    context_depth: Annotated[int, Field(gt=0)] = 4
    projection: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(gt=0)] = 0.2
    contextual: Annotated[float, Field(ge=0)] = 0.7


class _Context(nn.Module):
    """A transformer that sums tokens up to a moment up into one vector (TS-TCC, section 3.2)."""

    def __init__(self, width: int, out: int, depth: int) -> None:
        super().__init__()
        heads = 4
        self.enter = nn.Linear(width, out)
        self.summary = nn.Parameter(torch.randn(out) * 0.02)
        self.rotary = Rotary(out // heads)
        self.blocks = nn.ModuleList(Block(out, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(out)

    def forward(self, tokens: Float[Tensor, "b n d"], last: Int[Tensor, " b"], mask: Tensor) -> Float[Tensor, "b out"]:
        """(b, out) what is known at token `last` (b,) of those up to it that the mask (b, n) counts."""
        x = torch.cat([self.summary.expand(len(tokens), 1, -1), self.enter(tokens)], dim=1)
        heard = mask & (torch.arange(tokens.shape[1], device=tokens.device) <= last[:, None])
        seen = torch.cat([torch.ones_like(heard[:, :1]), heard], dim=1)
        turn = self.rotary(x.shape[1])
        for block in self.blocks:
            x = block(x, seen, turn)
        summed: Tensor = self.norm(x[:, 0])
        return summed


class TsTcc(Method):
    """An encoder, a context, a linear map for each token ahead, and a projection of the context."""

    name: ClassVar[str] = "ts_tcc"

    def __init__(self, config: TsTccConfig) -> None:
        super().__init__(config)
        width = self.encoder.width
        self.context = _Context(width, config.context_width, config.context_depth)
        self.ahead = nn.Linear(config.context_width, config.n_ahead * width)
        self.project = projection(config.context_width, config.projection)

    def views(self, batch: ECGBatch) -> tuple[ECGBatch, ECGBatch]:
        """The weak and the strong view of each record of a preprocessed batch."""
        bare = replace(batch, image=None, image_mask=None)
        return augment(bare, self.config.weak), augment(permuted(bare, self.config.pieces), self.config.strong)

    def step(self, batch: ECGBatch, progress: Progress) -> Step:
        """Cross-view prediction both ways and contrast of the contexts (equations 1 to 4).

        Terms: `loss`, `weak` and `strong` (what each view foretells), `contextual`.

        Raises:
            ConfigError: the tokens of the encoder do not follow each other in time.
            DataError: a single record, or none that has more tokens than are predicted.
        """
        del progress
        check_several(batch, self.name)
        weak, strong = (along_time(self.encoder.read(one), self.name) for one in self.views(self.preprocess(batch)))
        last, there = self._moment(weak.mask & strong.mask)
        if not anywhere(there):
            raise DataError(
                f"ts_tcc: no record of the batch has more than the {self.config.n_ahead} tokens that are predicted: "
                "take longer windows (model.input.seconds) or lower model.n_ahead"
            )
        contexts = [self.context(view.tokens, last, view.mask) for view in (weak, strong)]
        aim = last[:, None] + 1 + torch.arange(self.config.n_ahead, device=last.device)
        foretold = [self._foretold(c, view, aim, there) for c, view in zip(contexts, (strong, weak), strict=True)]
        first, second = (F.normalize(self.project(one), dim=-1) for one in contexts)
        with torch.autocast(last.device.type, enabled=False):
            contextual = nt_xent(first.float(), second.float(), 1 / self.config.temperature, there)
        loss = sum(foretold, torch.zeros_like(contextual)) + self.config.contextual * contextual
        terms = {"loss": loss, "weak": foretold[0], "strong": foretold[1], "contextual": contextual}
        return Step(loss, {name: term.detach() for name, term in terms.items()})

    def _moment(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(b,) a random token with as many behind it as are predicted, and (b,) which records have one."""
        n, ahead = mask.shape[1], self.config.n_ahead
        behind = F.pad(mask.long().cumsum(1), (1, 0))
        inside = torch.arange(n, device=mask.device)
        end = (inside + 1 + ahead).clamp_max(n)
        # Of a place the next `ahead` tokens all count.
        can = mask & (behind[:, end] - behind[:, inside + 1] == ahead)
        return torch.rand(mask.shape, device=mask.device).masked_fill(~can, -1.0).argmax(1), can.any(1)

    def _foretold(self, context: Tensor, other: Tokens, aim: Tensor, there: Tensor) -> Tensor:
        """Scalar: the tokens (b, k) `aim` of the other view, predicted from the contexts (b, d) of this one."""
        predicted = self.ahead(context).unflatten(-1, (self.config.n_ahead, -1))
        aim = aim.clamp_max(other.tokens.shape[1] - 1)[..., None].expand(-1, -1, other.tokens.shape[-1])
        wanted = other.tokens.gather(1, aim)
        with torch.autocast(context.device.type, enabled=False):
            first, second = (F.normalize(one.float(), dim=-1) for one in (predicted, wanted))
            return across_records_info_nce(first, second, there, 1 / self.config.temperature)
