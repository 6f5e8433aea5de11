"""Views that differ in frequency: lines of a spectrum removed or raised, exchanged with another record's, or damped.

Fourier maps are in single precision, whatever precision the rest runs in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from auricle.augment.signal import Share
from auricle.batch import ECGBatch
from auricle.config import Config


class LinesConfig(Config):
    """How a view of a spectrum differs from it.

    Attributes:
        removed: share of the lines that are set to 0.
        added: share that is raised, up to a random part of the strongest line of the lead.
        strength: largest such part.
    """

    removed: Share = 0.1
    added: Share = 0.1
    strength: Annotated[float, Field(ge=0, le=1)] = 0.1


def changed_lines(
    spectrum: Float[Tensor, "b l k"], lead_mask: Bool[Tensor, "b l"], config: LinesConfig
) -> Float[Tensor, "b l k"]:
    """(b, l, k) spectra with random lines removed and others raised; 0 in absent leads.

    Source: Zhang et al. 2022, section 4.2.
    """
    draw = torch.rand(spectrum.shape, device=spectrum.device)
    most = config.strength * spectrum.amax(-1, keepdim=True)
    raised = (draw > 1 - config.added) * most * torch.rand(spectrum.shape, device=spectrum.device)
    kept = torch.where(draw < config.removed, 0.0, spectrum) + raised
    return torch.where(lead_mask[..., None], kept, 0.0)


def mixed_lines(batch: ECGBatch, share: float) -> ECGBatch:
    """Each record with some lines of its spectrum, amplitude and phase, taken from another record of the batch.

    Source: Liu and Chen 2024 (TimesURL), section 3.2, "FreqMix". The same lines in all leads; how many is drawn for
    each record, from none to `share` of them; a lead that the other record has not keeps its own.

    Args:
        batch: preprocessed, (b, l, t).
        share: most of the lines that are exchanged, 0 to 1.
    """
    n, t = len(batch), batch.signal.shape[-1]
    with torch.autocast(batch.signal.device.type, enabled=False):
        lines = torch.fft.rfft(batch.signal.float())
        turn = int(torch.randint(1, max(2, n), ()))
        partner, there = lines.roll(turn, dims=0), batch.lead_mask.roll(turn, dims=0)
        draw = torch.rand(n, 1, lines.shape[-1], device=lines.device)
        taken = draw < share * torch.rand(n, 1, 1, device=lines.device)
        signal = torch.fft.irfft(torch.where(taken & there[..., None], partner, lines), n=t)
    return _shown(batch, signal)


def smoothed(batch: ECGBatch, cutoff_hz: float) -> ECGBatch:
    """Each record without what is faster than a cut-off: noise removed, as its opposite is noise added.

    The factor on a line of frequency f is exp(-ln 2 / 2 (f / cutoff)^2): half the power is left at the cut-off, nothing
    rings, and no wave is moved.

    Args:
        batch: preprocessed, (b, l, t).
        cutoff_hz: where half the power is left.
    """
    t = batch.signal.shape[-1]
    with torch.autocast(batch.signal.device.type, enabled=False):
        frequency = torch.fft.rfftfreq(t, 1 / batch.rate_hz, device=batch.signal.device)
        kept = torch.exp2(-0.5 * (frequency / cutoff_hz).square())
        signal = torch.fft.irfft(torch.fft.rfft(batch.signal.float()) * kept, n=t)
    return _shown(batch, signal)


def _shown(batch: ECGBatch, signal: Tensor) -> ECGBatch:
    """The batch with another signal, which is 0 wherever nothing was recorded."""
    valid = batch.lead_mask[:, :, None] & batch.time_mask[:, None]
    return replace(batch, signal=torch.where(valid, signal, 0.0))
