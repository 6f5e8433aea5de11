"""Augmentation of signals: off is off, each change does what it says, and what is masked stays empty."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.augment.signal import AugmentConfig, augment
from auricle.batch import ECGBatch
from conftest import make_batch

OFF = AugmentConfig(lead_drop_records=0.0, gain=0.0, noise_mv=0.0)


def changed(batch: ECGBatch, **config: float) -> torch.Tensor:
    torch.manual_seed(0)
    return augment(batch, OFF.model_copy(update=config)).signal


@pytest.fixture
def batch() -> ECGBatch:
    made = make_batch()
    lead_mask, time_mask = made.lead_mask.clone(), made.time_mask.clone()
    lead_mask[:, 4], time_mask[:, 400:] = False, False
    valid = lead_mask[:, :, None] & time_mask[:, None]
    return replace(made, signal=torch.where(valid, made.signal, 0.0), lead_mask=lead_mask, time_mask=time_mask)


def test_with_everything_off_nothing_changes(batch: ECGBatch) -> None:
    assert torch.equal(changed(batch), batch.signal)


@pytest.mark.parametrize(
    "config",
    [
        {"gain": 0.2},
        {"lead_gain": 0.3},
        {"mix": 0.1},
        {"noise_mv": 0.05},
        {"wander_mv": 0.1},
        {"lead_drop_records": 1.0},
    ],
)
def test_each_change_acts_and_what_is_masked_stays_empty(batch: ECGBatch, config: dict[str, float]) -> None:
    after = changed(batch, **config, spread=0.5)
    assert not torch.allclose(after, batch.signal, atol=1e-3)
    assert not after[:, 4].any()
    assert not after[:, :, 400:].any()


def test_a_gain_by_lead_is_one_positive_factor_for_each_lead(batch: ECGBatch) -> None:
    after = changed(batch, lead_gain=0.3)
    factor = after[:, :4, :400] / batch.signal[:, :4, :400]
    middle = factor.nanmedian(-1, keepdim=True).values
    assert torch.allclose(factor.nan_to_num(1.0), torch.where(factor.isnan(), 1.0, middle), rtol=1e-3)
    assert (middle > 0).all()
    assert middle.log().std() == pytest.approx(0.3, rel=0.5)


def test_mixing_stays_in_the_span_of_the_leads_that_are_there(batch: ECGBatch) -> None:
    after = changed(batch, mix=0.1)
    for own, new in zip(batch.signal, after, strict=True):
        known = own[batch.lead_mask[0], :400].T
        rest = new[batch.lead_mask[0], :400].T
        error = rest - known @ torch.linalg.lstsq(known, rest).solution
        assert error.norm() < 1e-3 * rest.norm()


def test_spread_makes_some_leads_noisier_than_others(batch: ECGBatch) -> None:
    quiet = replace(batch, signal=torch.zeros_like(batch.signal))
    alike, unlike = (changed(quiet, noise_mv=0.05, spread=spread)[:, :4, :400].std(-1) for spread in (0.0, 1.0))
    assert alike.std() / alike.mean() < 0.1
    assert unlike.std() / unlike.mean() > 0.4


def test_a_slow_wave_is_slow(batch: ECGBatch) -> None:
    quiet = replace(batch, signal=torch.zeros_like(batch.signal))
    wave = changed(quiet, wander_mv=0.2)[:, :4, :400]
    power = torch.fft.rfft(wave, n=4096).abs() ** 2
    hertz = torch.fft.rfftfreq(4096, 1 / batch.rate_hz)
    assert power[..., hertz < 2].sum() / power.sum() > 0.95
    assert wave.abs().max() == pytest.approx(0.2, rel=0.05)
