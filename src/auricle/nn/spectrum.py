"""The spectrum of a window, of whatever part of it was recorded; in single precision, whatever the rest runs in."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Power that is added to every line, and the amplitude at which the phase of a line counts half; in the units of a
# signal whose typical amplitude is 1.
_NOTHING: Final = 1e-12
_FAINT: Final = 0.3


def amplitudes(
    signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"], n_samples: int
) -> Float[Tensor, "b l k"]:
    """(b, l, k) amplitudes from 0 Hz to half the rate, in the unit of the signal times the root of a sample.

    What is shorter than the window is filled up with zeros, which makes its lines wider and moves none; what is longer
    is read up to the window's end. Amplitudes are divided by the root of the samples that were recorded, so that noise
    is as strong in a short record as in a long one.

    Args:
        signal: 0 wherever nothing was recorded.
        time_mask: true inside the record.
        n_samples: of the window.
    """
    with torch.autocast(signal.device.type, enabled=False):
        lines: Tensor = _lines(signal, n_samples).abs() / _root_of_samples(time_mask, n_samples)
    return lines


def amplitudes_and_phases(
    signal: Float[Tensor, "b l t"], time_mask: Bool[Tensor, "b t"], n_samples: int
) -> tuple[Float[Tensor, "b l k"], Float[Tensor, "b 2*l k"]]:
    """(b, l, k) amplitudes as `amplitudes` gives them, and (b, 2 l, k) cosines and sines of the phases.

    An angle would jump by a turn where a line barely moves; cosine and sine do not, and both go to 0 with the line.

    Args:
        signal: 0 wherever nothing was recorded.
        time_mask: true inside the record.
        n_samples: of the window.
    """
    with torch.autocast(signal.device.type, enabled=False):
        lines = torch.view_as_real(_lines(signal, n_samples)) / _root_of_samples(time_mask, n_samples)[..., None]
        # A root has no gradient at 0: the little that is added is far below the rounding of any line.
        amplitude = (lines.square().sum(-1) + _NOTHING).sqrt()
        phase = lines / (amplitude + _FAINT)[..., None]
    return amplitude, torch.cat(phase.unbind(-1), dim=1)


def _lines(signal: Tensor, n_samples: int) -> Tensor:
    lines: Tensor = torch.fft.rfft(signal[..., :n_samples].float(), n=n_samples)
    return lines


def _root_of_samples(time_mask: Tensor, n_samples: int) -> Tensor:
    root: Tensor = time_mask[:, :n_samples].sum(1).clamp_min(1)[:, None, None].sqrt()
    return root
