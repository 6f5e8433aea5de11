"""Change of sampling rate and low-pass in one step: a masked, zero-phase, windowed-sinc polyphase filter in torch.

Each output sample is a weighted mean of the *valid* input samples around it, the weights renormalised over them. So
the ends of a record do not droop, padding cannot leak in, and the amount of padding cannot change a valid sample.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

# Width of the sinc in zero crossings on either side: 8 keeps the pass band flat within 1 % up to 85 % of the cut-off.
_CROSSINGS: Final = 8
# A weight sum below this share of a full kernel would divide by noise; such samples are at least half a kernel outside.
_LEAST_WEIGHT: Final = 0.2
# Output samples computed by one row of a matrix product, which is faster than a convolution of one channel.
_TOGETHER: Final = 32


def ratio(from_hz: float, to_hz: float) -> Fraction:
    """to/from as a fraction whose denominator is at most 2000, also for odd rates (257 Hz, 999.6 Hz)."""
    return (Fraction(to_hz).limit_denominator(1000) / Fraction(from_hz).limit_denominator(1000)).limit_denominator(2000)


@lru_cache(maxsize=64)
def _kernel(up: int, down: int, cutoff: float) -> tuple[Tensor, int]:
    """Filters (up, taps) for each output phase, and how far they reach to the left, in input samples.

    `cutoff` is in cycles per input sample.
    """
    reach = int(-(-_CROSSINGS // (2 * cutoff)))
    offset = torch.arange(-reach, down + reach, dtype=torch.float64)
    phase = torch.arange(up, dtype=torch.float64)[:, None] * down / up
    distance = offset - phase
    window = torch.where(distance.abs() < reach, torch.cos(distance * torch.pi / (2 * reach)) ** 2, 0.0)
    weights = 2 * cutoff * torch.sinc(2 * cutoff * distance) * window
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights.float(), reach


@lru_cache(maxsize=64)
def _blocks(up: int, down: int, cutoff: float) -> tuple[Tensor, int, int]:
    """The filters side by side for several frames: (input samples, frames x up), the reach, and the frames.

    A frame is `down` input samples, for which there are `up` output samples.
    """
    weights, reach = _kernel(up, down, cutoff)
    frames, taps = max(1, _TOGETHER // up), weights.shape[1]
    matrix = torch.zeros((frames - 1) * down + taps, frames * up)
    for frame in range(frames):
        matrix[frame * down : frame * down + taps, frame * up : (frame + 1) * up] = weights.T
    return matrix, reach, frames


def at_rate(mask: Bool[Tensor, "*b t"], from_hz: float, to_hz: float) -> Bool[Tensor, "*b s"]:
    """A mask of samples at another rate: of each new sample what is true of the last old one up to it.

    Args:
        mask: (..., t) at `from_hz`.
        from_hz: the rate of the mask.
        to_hz: the wanted rate.
    """
    step, n = ratio(from_hz, to_hz), mask.shape[-1]
    up, down = step.numerator, step.denominator
    nearest = (torch.arange(-(-n * up // down), device=mask.device) * down // up).clamp_max(n - 1)
    return mask[..., nearest]


def resample(
    signal: Float[Tensor, "b l t"], mask: Bool[Tensor, "b t"], from_hz: float, to_hz: float, low_pass_hz: float
) -> tuple[Float[Tensor, "b l s"], Bool[Tensor, "b s"]]:
    """Bring a batch to another rate, keeping frequencies up to `low_pass_hz`.

    Args:
        signal: (b, l, t) finite everywhere; not read where the mask is false.
        mask: (b, t) true where a sample is inside its record.
        from_hz: the signal's rate.
        to_hz: the wanted rate; may equal `from_hz`, then this is a low-pass only.
        low_pass_hz: the cut-off; limited to 90 % of either Nyquist frequency.

    Returns:
        The signal (b, l, s) at `to_hz`, zero where its new mask is false, and that mask (b, s).
    """
    # The filters for this pair of rates.
    step = ratio(from_hz, to_hz)
    up, down = step.numerator, step.denominator
    cutoff = min(low_pass_hz, 0.45 * from_hz, 0.45 * to_hz) / from_hz
    if up == down and low_pass_hz >= 0.45 * from_hz:
        return torch.where(mask[:, None], signal, 0.0), mask  # nothing to remove
    matrix, reach, frames = _blocks(up, down, round(cutoff, 6))
    matrix = matrix.to(signal)
    n_out = -(-signal.shape[-1] * up // down)
    n_blocks = -(-n_out // (frames * up))
    tail = max(0, (n_blocks - 1) * frames * down + len(matrix) - reach - signal.shape[-1])

    def filtered(rows: Tensor) -> Tensor:
        windows = F.pad(rows, (reach, tail)).unfold(-1, len(matrix), frames * down)[:, :n_blocks]
        return (windows @ matrix).flatten(1)[:, :n_out]

    # Filtered values over the filtered mask: a mean over the valid samples, (b, l, s).
    b, n_leads, _ = signal.shape
    inside = mask.to(signal)
    weight_sum = filtered(inside).clamp_min(_LEAST_WEIGHT)
    values = filtered((signal * inside[:, None]).reshape(b * n_leads, -1)).reshape(b, n_leads, n_out)
    new_mask = at_rate(mask, from_hz, to_hz)
    return torch.where(new_mask[:, None], values / weight_sum[:, None], 0.0), new_mask
