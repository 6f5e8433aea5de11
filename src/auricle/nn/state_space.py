"""Diagonal state spaces: layers in which every position hears the whole record, or its past alone, by Fourier maps.

Source: S4D (Gu et al. 2022, "On the parameterization and initialization of diagonal state space models", section 3):
the initialisation S4D-Lin, zero-order hold, the kernel as a sum of damped oscillations. Ours: one direction or both,
and time scales in milliseconds and not in samples, so that a record sounds alike at every rate.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class DiagonalStates(nn.Module):
    """A linear state space of each channel in one or both directions of time, as a convolution over the whole record.

    The state of channel h obeys x' = A x + u with A diagonal, y = Re(C x) + D u; under zero-order hold with the step dt
    its kernel is K[l] = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(l dt A_n) (S4D, equations 5 and 6). At the start
    A_n = -1/2 + i pi n, in units of the time scale of the channel.

    Args:
        width: channels.
        n_states: damped oscillations in the kernel of a channel and direction.
        step_ms: time from one position to the next.
        scales_ms: shortest and longest of the range from which the time scale of a channel is drawn at the start.
        n_directions: 1 hears the past alone, 2 also the future.
    """

    def __init__(
        self, width: int, n_states: int, step_ms: float, scales_ms: tuple[float, float], n_directions: int
    ) -> None:
        super().__init__()
        shortest_ms, longest_ms = scales_ms
        low, high = math.log(step_ms / longest_ms), math.log(step_ms / shortest_ms)
        rows = n_directions * width
        # One dimension each, so that weight decay leaves the time scales alone.
        self.log_dt = nn.Parameter(torch.empty(rows).uniform_(low, high))
        self.log_damping = nn.Parameter(torch.full((rows * n_states,), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(n_states).float().repeat(rows))
        self.readout = nn.Parameter(torch.randn(rows * n_states, 2) / 2**0.5)
        self.skip = nn.Parameter(torch.randn(width))
        self.shape = (n_directions, width, n_states)

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
            there, *back = (torch.fft.rfft(one, n=size) for one in kernel)
            # Backwards in time is the complex conjugate; its own impulse is counted with the forward one.
            answer = there + back[0].conj() if back else there
            heard = torch.fft.irfft(torch.fft.rfft(wave, n=size) * answer, n=size)[..., :n]
            out: Tensor = heard + self.skip[:, None] * wave
        return out.transpose(1, 2).to(x.dtype)


class StateLayer(nn.Module):
    """Norm, state space, gelu, and a gated linear map, around which a residual goes (S4D, section 5).

    Args:
        states: the state space.
        dropout: of whole channels.
    """

    def __init__(self, states: DiagonalStates, dropout: float) -> None:
        super().__init__()
        width = states.shape[1]
        self.norm = nn.LayerNorm(width)
        self.states = states
        self.out = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """(b, n, d) to the same; what lies under a false mask is neither heard nor changed."""
        normal = torch.where(mask[..., None], self.norm(x), 0.0)
        new = functional.glu(self.out(functional.gelu(self.states(normal))), dim=-1)
        dropped = self.dropout(new.transpose(1, 2)).transpose(1, 2)
        return x + torch.where(mask[..., None], dropped, 0.0)
