"""A series encoder and a picture encoder whose tokens meet in one transformer: the encoder of `mirage`.

Source: the MIRAGE document, sections B to D. Each branch is an encoder of its own; a global token `W [z_ts; z_img] + b`
of their class tokens stands in front of the tokens of leads and patches, and its state behind a transformer represents
the record.
Laboratory values modulate every layer of both branches (`labs = "film"`), or are added to the global token
(`labs = "late"`, the ablation). A branch may be left out; fusion may be the two class tokens side by side (`concat`);
with both branches of depth 0 the fusion transformer is all there is (the ablation "All-Shared").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.config import ComponentConfig, component
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Code, Condition, ModulationPoint
from auricle.nn.transformer import Block
from auricle.signal.preprocess import InputSpec


def _preset(size: str, width: int, n_heads: int, **fusion: Any) -> dict[str, Any]:
    """A preset with branches of one width, so that their class tokens can be compared without a projection."""
    both = {"preset": size, "width": width, "n_heads": n_heads}
    branches = {"series": {"name": "lead_graph", **both}, "image": {"name": "vit_image", **both}}
    return {**branches, "width": width, "n_heads": n_heads, **fusion}


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": _preset("tiny", 16, 2, depth=2, feed_forward=32),
    "nano": _preset("nano", 64, 4, depth=2, feed_forward=256),
    "small": _preset("small", 256, 4),
    "base": _preset("base", 512, 8),
}


class SeriesImageConfig(ComponentConfig):
    """Settings of the encoder; width, depth, heads and feed-forward of the fusion are the document's.

    Attributes:
        branches: which of the two are read.
        series: the encoder of the leads.
        image: the encoder of the picture.
        fusion: `transformer`, or `concat` of the two class tokens (the ablation "w/o Shared").
        labs: where laboratory values act: `film` or `late`.
    """

    name: Literal["series_image"] = "series_image"
    branches: tuple[Literal["series", "image"], ...] = ("series", "image")
    series: component(ENCODERS) = Field(default=PRESETS["small"]["series"], validate_default=True)  # type: ignore[valid-type]
    image: component(ENCODERS) = Field(default=PRESETS["small"]["image"], validate_default=True)  # type: ignore[valid-type]
    fusion: Literal["transformer", "concat"] = "transformer"
    width: Annotated[int, Field(gt=0)] = 256
    depth: Annotated[int, Field(gt=0)] = 3
    n_heads: Annotated[int, Field(gt=0)] = 4
    feed_forward: Annotated[int, Field(gt=0)] = 1692
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    labs: Literal["film", "late"] = "film"

    @model_validator(mode="after")
    def _reads_something(self) -> SeriesImageConfig:
        if not self.branches or len(set(self.branches)) != len(self.branches):
            raise ValueError("branches must be series, image, or both")
        return self


class ConcatFusion(nn.Module):
    """The class tokens of the branches side by side: no exchange between modalities."""

    def __init__(self, config: SeriesImageConfig, widths: list[int]) -> None:
        super().__init__()
        del config
        self.width = sum(widths)

    def forward(
        self, branches: list[Tokens], extra: Tensor | None, modulate: nn.ModuleList, condition: Condition | None
    ) -> Tensor:
        """(b, width) class tokens side by side; `extra` (b, width), the late laboratory values, is added to them."""
        del modulate, condition
        together = torch.cat([branch.pooled for branch in branches], dim=-1)
        return together if extra is None else together + extra


class TransformerFusion(nn.Module):
    """A global token in front of all leads and patches, through a transformer; its last state is the record."""

    def __init__(self, config: SeriesImageConfig, widths: list[int]) -> None:
        super().__init__()
        self.width = config.width
        self.global_token = nn.Linear(sum(widths), config.width)
        self.enter = nn.ModuleList(
            nn.Identity() if width == config.width else nn.Linear(width, config.width) for width in widths
        )
        ratio = config.feed_forward / config.width
        self.blocks = nn.ModuleList(
            Block(config.width, config.n_heads, ratio, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, branches: list[Tokens], extra: Tensor | None, modulate: nn.ModuleList, condition: Condition | None
    ) -> Tensor:
        """(b, width) last state of the global token, which attends to the tokens of all branches.

        Args:
            branches: tokens of each branch.
            extra: (b, width) late laboratory values, added to the global token; None without them.
            modulate: modulations behind the blocks.
            condition: what modulates, by source.
        """
        first = self.global_token(torch.cat([branch.pooled for branch in branches], dim=-1))
        first = first if extra is None else first + extra
        entered = [enter(branch.tokens) for enter, branch in zip(self.enter, branches, strict=True)]
        x = torch.cat([first[:, None], *entered], dim=1)  # (b, 1 + l + n, width)
        mask = torch.cat([torch.ones_like(branches[0].mask[:, :1]), *(branch.mask for branch in branches)], dim=1)
        for block, place in zip(self.blocks, modulate, strict=True):
            x = place(block(x, mask), condition)
        fused: Tensor = self.norm(x[:, 0])
        return fused


_FUSIONS: Final[Mapping[str, type[ConcatFusion] | type[TransformerFusion]]] = {
    "concat": ConcatFusion,
    "transformer": TransformerFusion,
}


class SeriesImage(EncoderModule):
    """A series encoder, a picture encoder, and the fusion of their tokens; either branch may be left out."""

    def __init__(self, config: SeriesImageConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        self.branches = nn.ModuleDict({name: build_encoder(getattr(config, name), spec) for name in config.branches})
        self.fusion = _FUSIONS[config.fusion](config, [branch.width for branch in self._branches()])
        self.width = self.fusion.width
        if config.fusion == "transformer":
            for number in range(config.depth):
                self.add_point(ModulationPoint(f"fusion{number}", config.width, -1))
        self.late: nn.Linear | None = None

    def _branches(self) -> list[EncoderModule]:
        return [branch for branch in self.branches.values() if isinstance(branch, EncoderModule)]

    def attach(self, source: str, code: Code, *, one_for_all_groups: bool = False) -> None:
        """Let a code modulate the encoder; laboratory values act on the branches alone, or only behind them.

        Args:
            source: name of the code: `labs` acts as `config.labs` says, any other at every point.
            code: what turns the batch into numbers.
            one_for_all_groups: lead groups and scales share one gamma and beta at each point.
        """
        if source != "labs":
            super().attach(source, code, one_for_all_groups=one_for_all_groups)
            return
        self.codes[source] = code
        if self.config.labs == "late":
            self.late = nn.Linear(code.width, self.width)
            nn.init.zeros_(self.late.weight)
            nn.init.zeros_(self.late.bias)
            return
        for branch in self._branches():
            branch.attach_films(source, code.width)

    def gates(self) -> list[nn.Module]:
        """All gates; the layer that adds late laboratory values counts as one."""
        return [*super().gates(), *([self.late] if self.late is not None else [])]

    def read_branches(self, batch: ECGBatch, condition: Condition | None) -> dict[str, Tokens]:
        """The tokens of each branch for a preprocessed batch, by its name, `series` or `image`."""
        return {
            name: branch.read(batch, condition)
            for name, branch in self.branches.items()
            if isinstance(branch, EncoderModule)
        }

    def fuse(self, branches: Mapping[str, Tokens], condition: Condition | None) -> Tokens:
        """Tokens whose `pooled` (b, width) is the fusion of all branches.

        Token by token they are those of all branches in turn, or of the first one where widths differ.
        """
        extra = None
        if self.late is not None and condition is not None and "labs" in condition:
            extra = self.late(condition["labs"])
        read = list(branches.values())
        pooled = self.fusion(read, extra, self.modulate, condition)
        first = read[0] if len({branch.tokens.shape[-1] for branch in read}) > 1 else _joined(read)
        return Tokens(first.tokens, first.mask, first.group, first.time_ms, first.scale, pooled)

    def read(self, batch: ECGBatch, condition: Condition | None = None) -> Tokens:
        """Encode a preprocessed batch: its signal, and its pictures or those drawn from it."""
        condition = condition or self.condition(batch)
        return self.output(self.fuse(self.read_branches(batch, condition), condition), condition)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """Encode a signal and the picture drawn from it."""
        branches = {name: branch(signal, lead_mask, time_mask, condition) for name, branch in self.branches.items()}
        return self.fuse(branches, condition)


def _joined(read: list[Tokens]) -> Tokens:
    """Tokens of several branches of one width as one sequence."""
    parts = {
        name: torch.cat([getattr(branch, name) for branch in read], dim=int(name in ("tokens", "mask")))
        for name in ("tokens", "mask", "group", "time_ms", "scale")
    }
    return Tokens(**parts, pooled=read[0].pooled)
