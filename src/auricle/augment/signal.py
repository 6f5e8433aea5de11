"""What may differ between two recordings of one heart: which leads are on, where, the gain, the noise.

Gain and mixture by lead break Einthoven's law on purpose: what is learned from simulated records alone may not rest on
proportions between leads that no simulator has right.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.config import Config

_WANDER_HZ: Final = (0.1, 0.8)

Share = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Config):
    """How far training records are changed; 0 turns each off.

    Attributes:
        lead_drop_records: share of records that lose leads, so that any subset is a familiar input.
        lead_drop: share of their leads that these records lose; one always stays.
        gain: standard deviation of a common factor on all leads (body and electrode), as a fraction.
        noise_mv: standard deviation of white noise added to every lead, in mV.
        lead_gain: standard deviation of the logarithm of a factor on each lead by itself.
        mix: standard deviation of the share with which each lead sees every other one that is there.
        wander_mv: amplitude of a slow wave under every lead, in mV.
        spread: standard deviation of the logarithm of the strength of noise and wander in each lead.
    """

    lead_drop_records: Share = 0.3
    lead_drop: Share = 0.4
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.05
    noise_mv: Annotated[float, Field(ge=0)] = 0.01
    lead_gain: Annotated[float, Field(ge=0, lt=2)] = 0.0
    mix: Annotated[float, Field(ge=0, lt=1)] = 0.0
    wander_mv: Annotated[float, Field(ge=0)] = 0.0
    spread: Annotated[float, Field(ge=0)] = 0.0


def augment(batch: ECGBatch, config: AugmentConfig) -> ECGBatch:
    """A copy of a preprocessed batch with random gain, noise and lost leads; 0 where a mask is false.

    Args:
        batch: (b, l, t) in millivolts.
        config: how far each change goes.
    """
    signal = batch.signal
    n, n_leads, _ = signal.shape
    if config.mix:
        # Absent leads are zero, so that nothing is mixed in from them.
        share = config.mix * torch.randn(n, n_leads, n_leads, device=signal.device)
        with torch.autocast(signal.device.type, enabled=False):  # millivolts stay as exact as they were read
            signal = signal + torch.bmm(share.to(signal), signal)
    if config.lead_gain:
        signal = signal * torch.exp(config.lead_gain * torch.randn(n, n_leads, 1, device=signal.device))
    if config.gain:
        factor = 1 + config.gain * torch.randn(len(batch), 1, 1, device=signal.device)
        signal = signal * factor.clamp_min(0.1)
    if config.noise_mv:
        signal = signal + config.noise_mv * _strength(batch, config) * torch.randn_like(signal)
    if config.wander_mv:
        signal = signal + config.wander_mv * _strength(batch, config) * _slow_waves(batch)
    lead_mask = batch.lead_mask
    if config.lead_drop_records and config.lead_drop:
        lead_mask = drop_leads(lead_mask, config.lead_drop_records, config.lead_drop)
    valid = lead_mask[:, :, None] & batch.time_mask[:, None]
    return replace(batch, signal=torch.where(valid, signal, 0.0), lead_mask=lead_mask)


def _strength(batch: ECGBatch, config: AugmentConfig) -> Tensor | float:
    """(b, l, 1) how strong a disturbance is in each lead, its median being 1."""
    if not config.spread:
        return 1.0
    return torch.exp(config.spread * torch.randn(*batch.signal.shape[:2], 1, device=batch.signal.device))


def _slow_waves(batch: ECGBatch) -> Tensor:
    """(b, l, t) a sine of one frequency in each record and of a phase of its own in each lead."""
    n, n_leads, length = batch.signal.shape
    device, (low, high) = batch.signal.device, _WANDER_HZ
    time = torch.arange(length, device=device) / batch.rate_hz
    frequency = low + (high - low) * torch.rand(n, 1, 1, device=device)
    phase = torch.rand(n, n_leads, 1, device=device)
    return torch.sin(2 * math.pi * (frequency * time + phase))


def drop_leads(lead_mask: Tensor, share_of_records: float, share_of_leads: float | Tensor) -> Tensor:
    """(b, l) lead mask without random leads of random records; a record keeps at least one of the leads it has.

    Args:
        lead_mask: (b, l) leads that are present.
        share_of_records: probability that a record loses leads.
        share_of_leads: probability with which each lead of such a record is lost, or (b, 1) that of each record.
    """
    score = torch.rand(lead_mask.shape, device=lead_mask.device).masked_fill(~lead_mask, -1.0)
    keep = score >= share_of_leads
    keep[torch.arange(len(score), device=score.device), score.argmax(1)] = True
    loses_leads = torch.rand(len(score), 1, device=score.device) < share_of_records
    return lead_mask & (keep | ~loses_leads)
