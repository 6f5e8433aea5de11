"""ResNet18 in one dimension: the common backbone on which objectives are compared like for like.

Source: He et al. 2016, basic blocks; as a 1-D net over leads it is the encoder of most published ECG baselines. Stem
of kernel 7 and stride 2, four stages of two blocks, no max-pool; 3.85 M parameters at width 64 with kernel 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.pooling import masked_mean
from auricle.signal.preprocess import InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 8},
    "nano": {"width": 24},
    "small": {"width": 64},
    "base": {"width": 128},
}


class Resnet1dConfig(ComponentConfig):
    """Settings of the encoder: `width` is the first stage's number of channels; each later stage doubles it."""

    name: Literal["resnet1d"] = "resnet1d"
    width: Annotated[int, Field(gt=0)] = 64
    kernel: Annotated[int, Field(gt=0)] = 3
    n_stages: Annotated[int, Field(gt=0)] = 4
    blocks_per_stage: Annotated[int, Field(gt=0)] = 2


def _convolve(in_width: int, out_width: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution that keeps the length (divided by the stride), and batch norm."""
    convolution = nn.Conv1d(in_width, out_width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(out_width))


class _BasicBlock(nn.Module):
    """Two convolutions and a shortcut around them (He et al. 2016, basic block)."""

    def __init__(self, in_width: int, out_width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = _convolve(in_width, out_width, kernel, stride)
        self.second = _convolve(out_width, out_width, kernel, 1)
        same = stride == 1 and in_width == out_width
        self.shortcut = nn.Identity() if same else _convolve(in_width, out_width, 1, stride)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(b, c, n) features and (b, n) mask of recorded positions, both at the block's stride."""
        new_mask = mask[:, :: self.stride]
        # Padding is set to zero again after every layer, or batch norm's shift would reach recorded positions.
        hidden = torch.where(new_mask[:, None], self.first(x).relu(), 0.0)
        out = (self.second(hidden) + self.shortcut(x)).relu()
        return torch.where(new_mask[:, None], out, 0.0), new_mask


class Resnet1d(EncoderModule):
    """Residual convolutions over all leads, masked mean over time."""

    def __init__(self, config: Resnet1dConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        self.stem = _convolve(len(spec.leads), config.width, 7, 2)
        self.blocks = nn.ModuleList()
        width = config.width
        for stage in range(config.n_stages):
            for number in range(config.blocks_per_stage):
                out = config.width * 2**stage
                self.blocks.append(_BasicBlock(width, out, config.kernel, 2 if stage and not number else 1))
                self.add_point(ModulationPoint(f"stage{stage}.block{number}", out, 1))
                width = out
        self.width = width

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per position of the last stage, and (b, d) their mean as `pooled`.

        The first convolution reads zeros in place of an absent lead.
        """
        mask = time_mask[:, ::2]
        x = torch.where(mask[:, None], self.stem(signal).relu(), 0.0)
        for block, modulate in zip(self.blocks, self.modulate, strict=True):
            x, mask = block(x, mask)
            x = torch.where(mask[:, None], modulate(x, condition), 0.0)
        tokens = x.transpose(1, 2)  # (b, d, n) to (b, n, d)
        n = tokens.shape[1]
        step_ms = 1000 * 2**self.config.n_stages / self.spec.rate_hz
        time_ms = torch.arange(n, device=x.device) * step_ms
        return Tokens.ungrouped(tokens, mask, time_ms, masked_mean(tokens, mask))
