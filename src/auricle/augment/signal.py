"""What may differ between two recordings of one heart: which leads are on, the gain, the noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from auricle.batch import ECGBatch
from auricle.config import Config

Share = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Config):
    """How far training records are changed; 0 turns each off.

    Attributes:
        lead_drop_records: share of records that lose leads, so that any subset is a familiar input.
        lead_drop: share of their leads that these records lose; one always stays.
        gain: standard deviation of a common factor on all leads (body and electrode), as a fraction.
        noise_mv: standard deviation of white noise added to every lead, in mV.
    """

    lead_drop_records: Share = 0.3
    lead_drop: Share = 0.4
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.05
    noise_mv: Annotated[float, Field(ge=0)] = 0.01


def augment(batch: ECGBatch, config: AugmentConfig) -> ECGBatch:
    """A copy of a preprocessed batch with random gain, noise and lost leads; 0 where a mask is false.

    Args:
        batch: (b, l, t) in millivolts.
        config: how far each change goes.
    """
    signal = batch.signal
    if config.gain:
        factor = 1 + config.gain * torch.randn(len(batch), 1, 1, device=signal.device)
        signal = signal * factor.clamp_min(0.1)
    if config.noise_mv:
        signal = signal + config.noise_mv * torch.randn_like(signal)
    lead_mask = batch.lead_mask
    if config.lead_drop_records and config.lead_drop:
        lead_mask = drop_leads(lead_mask, config.lead_drop_records, config.lead_drop)
    valid = lead_mask[:, :, None] & batch.time_mask[:, None]
    return replace(batch, signal=torch.where(valid, signal, 0.0), lead_mask=lead_mask)


def drop_leads(lead_mask: Tensor, share_of_records: float, share_of_leads: float) -> Tensor:
    """(b, l) lead mask without random leads of random records; a record keeps at least one of the leads it has.

    Args:
        lead_mask: (b, l) leads that are present.
        share_of_records: probability that a record loses leads.
        share_of_leads: probability with which each lead of such a record is lost.
    """
    score = torch.rand(lead_mask.shape, device=lead_mask.device).masked_fill(~lead_mask, -1.0)
    keep = score >= share_of_leads
    keep[torch.arange(len(score), device=score.device), score.argmax(1)] = True
    loses_leads = torch.rand(len(score), 1, device=score.device) < share_of_records
    return lead_mask & (keep | ~loses_leads)
