"""Diagonal state spaces over all leads at once: every position hears the whole record through two Fourier maps.

Source: S4D (Gu et al. 2022, "On the parameterization and initialization of diagonal state space models", section 3):
the initialisation S4D-Lin, zero-order hold, the kernel as a sum of damped oscillations. For electrocardiograms: Mehari
and Strodthoff 2022. Ours: both directions, a strided convolution in front, times in milliseconds and not in samples, so
that a record sounds alike at every rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from auricle.config import ComponentConfig
from auricle.encoders._base import EncoderModule, Tokens
from auricle.nn.film import Condition, ModulationPoint
from auricle.nn.patch import patch_centres_ms, patch_mask, patchify
from auricle.nn.pooling import masked_mean
from auricle.signal.preprocess import TYPICAL_MV, InputSpec

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {"width": 16, "depth": 2, "n_states": 4},
    "nano": {"width": 128, "depth": 4, "n_states": 8, "step_ms": 40.0},
    "small": {"width": 384, "depth": 6, "n_states": 32},
    "base": {"width": 512, "depth": 8, "n_states": 32},
}
_DIRECTIONS: Final = 2


class S4Config(ComponentConfig):
    """Settings of the encoder.

    Attributes:
        width: channels.
        depth: layers.
        n_states: damped oscillations in the kernel of a channel and direction.
        step_ms: time from one position to the next; never finer than the samples are.
        shortest_ms, longest_ms: of the range from which the time scale of a channel is drawn at the start.
        dropout: of whole channels in a layer.
    """

    name: Literal["s4"] = "s4"
    width: Annotated[int, Field(gt=0)] = 384
    depth: Annotated[int, Field(gt=0)] = 6
    n_states: Annotated[int, Field(gt=0)] = 32
    step_ms: Annotated[float, Field(gt=0)] = 20.0
    shortest_ms: Annotated[float, Field(gt=0)] = 100.0
    longest_ms: Annotated[float, Field(gt=0)] = 10_000.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class DiagonalStates(nn.Module):
    """A linear state space of each channel in both directions of time, as a convolution over the whole record.

    The state of channel h obeys x' = A x + u with A diagonal, y = Re(C x) + D u; under zero-order hold with the step dt
    its kernel is K[l] = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(l dt A_n) (S4D, equations 5 and 6). At the start
    A_n = -1/2 + i pi n, in units of the time scale of the channel.
    """

    def __init__(self, config: S4Config, step_ms: float) -> None:
        super().__init__()
        width, states = config.width, config.n_states
        low, high = math.log(step_ms / config.longest_ms), math.log(step_ms / config.shortest_ms)
        # One dimension each, so that weight decay leaves the time scales alone.
        self.log_dt = nn.Parameter(torch.empty(_DIRECTIONS * width).uniform_(low, high))
        self.log_damping = nn.Parameter(torch.full((_DIRECTIONS * width * states,), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(states).float().repeat(_DIRECTIONS * width))
        self.readout = nn.Parameter(torch.randn(_DIRECTIONS * width * states, 2) / 2**0.5)
        self.skip = nn.Parameter(torch.randn(width))
        self.shape = (_DIRECTIONS, width, states)

    def kernel(self, length: int) -> Float[Tensor, "direction width length"]:
        """(direction, width, length) what an impulse leaves behind, position by position."""
        # A = -damping + i frequency, in real numbers throughout: they are faster, and exported graphs have no others.
        damping, frequency = self.log_damping.exp().view(self.shape), self.frequency.view(self.shape)
        dt = self.log_dt.exp().view(self.shape[:2])[..., None]
        decay, turn = -dt * damping, dt * frequency
        # exp(dt A) - 1, whose real part must not be a difference of two numbers near 1 where the step is short.
        real, imaginary = torch.expm1(decay) * turn.cos() - 2 * (turn / 2).sin().square(), decay.exp() * turn.sin()
        # Divided by A, and times C.
        square = damping.square() + frequency.square()
        real, imaginary = (
            (frequency * imaginary - damping * real) / square,
            -(damping * imaginary + frequency * real) / square,
        )
        c_real, c_imaginary = self.readout.view(*self.shape, 2).unbind(-1)
        real, imaginary = c_real * real - c_imaginary * imaginary, c_real * imaginary + c_imaginary * real
        # Times exp(l dt A): of the product the real part alone.
        place = torch.arange(length, device=dt.device)
        angle = turn[..., None] * place
        wave = real[..., None] * angle.cos() - imaginary[..., None] * angle.sin()
        kernel: Tensor = 2 * ((decay[..., None] * place).exp() * wave).sum(2)
        return kernel

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) features to the same shape; positions that do not count must be 0."""
        n = x.shape[1]
        # Fourier maps are in single precision, whatever precision the rest runs in.
        with torch.autocast(x.device.type, enabled=False):
            wave, kernel = x.float().transpose(1, 2), self.kernel(n)
            # Twice as long, so that the end of a record does not reach its beginning, and then to a power of two, where
            # a Fourier map is fastest.
            size = 1 << (2 * n - 1).bit_length()
            there, back = (torch.fft.rfft(kernel[direction], n=size) for direction in range(_DIRECTIONS))
            heard = torch.fft.rfft(wave, n=size)
            # Backwards in time is the complex conjugate; its own impulse is counted with the forward one.
            both = torch.fft.irfft(heard * (there + back.conj()), n=size)[..., :n]
            out: Tensor = both + self.skip[:, None] * wave
        return out.transpose(1, 2).to(x.dtype)


class _Layer(nn.Module):
    """Norm, state space, gelu, and a gated linear map, around which a residual goes (S4D, section 5)."""

    def __init__(self, config: S4Config, step_ms: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.states = DiagonalStates(config, step_ms)
        self.out = nn.Linear(config.width, 2 * config.width)
        self.dropout = nn.Dropout1d(config.dropout)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) to the same; what lies under a false mask is neither heard nor changed."""
        normal = torch.where(mask[..., None], self.norm(x), 0.0)
        new = functional.glu(self.out(functional.gelu(self.states(normal))), dim=-1)
        dropped = self.dropout(new.transpose(1, 2)).transpose(1, 2)
        return x + torch.where(mask[..., None], dropped, 0.0)


class S4(EncoderModule):
    """A strided convolution over all leads, layers of diagonal state spaces, masked mean over time."""

    def __init__(self, config: S4Config, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config, self.width = config, config.width
        self.patch = max(1, round(config.step_ms * spec.rate_hz / 1000))
        self.reach = self.patch
        taps = len(spec.leads) * (self.patch + 2 * self.reach)
        self.embed = nn.Parameter(torch.randn(taps, config.width) / (TYPICAL_MV * taps**0.5))
        step_ms = 1000 * self.patch / spec.rate_hz
        self.layers = nn.ModuleList(_Layer(config, step_ms) for _ in range(config.depth))
        for number in range(config.depth):
            self.add_point(ModulationPoint(f"layer{number}", config.width, -1))
        self.norm = nn.LayerNorm(config.width)

    def encode(self, signal: Tensor, lead_mask: Tensor, time_mask: Tensor, condition: Condition | None) -> Tokens:
        """(b, n, d) one token per step of all leads, and (b, d) their mean as `pooled`.

        The first convolution reads zeros in place of an absent lead.
        """
        mask = patch_mask(time_mask, self.patch)
        patches = patchify(signal, self.patch, self.reach)  # (b, l, n, p)
        x = torch.where(mask[..., None], patches.transpose(1, 2).flatten(2) @ self.embed, 0.0)
        for layer, modulate in zip(self.layers, self.modulate, strict=True):
            x = torch.where(mask[..., None], modulate(layer(x, mask), condition), 0.0)
        tokens = torch.where(mask[..., None], self.norm(x), 0.0)
        times = patch_centres_ms(x.shape[1], self.patch, self.spec.rate_hz)
        return Tokens.ungrouped(tokens, mask, times, masked_mean(tokens, mask))
