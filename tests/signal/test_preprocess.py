from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from auricle.errors import ConfigError
from auricle.leads import STANDARD
from auricle.signal.preprocess import InputSpec, Preprocess, high_pass, leads_left
from auricle.signal.resample import ratio, resample
from conftest import make_batch


def sine(hz: float, rate_hz: float, seconds: float = 10.0, n_leads: int = 1) -> torch.Tensor:
    t = torch.arange(round(seconds * rate_hz)) / rate_hz
    return torch.sin(2 * torch.pi * hz * t).expand(1, n_leads, -1).clone()


def everywhere(signal: torch.Tensor) -> torch.Tensor:
    return torch.ones(signal.shape[0], signal.shape[-1], dtype=torch.bool)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(500, 250), (250, 500), (100, 500), (1000, 500), (257, 500), (500, 360)]
)
def test_resampling_keeps_a_slow_sine(from_hz: float, to_hz: float) -> None:
    signal = sine(7.0, from_hz)
    changed, mask = resample(signal, everywhere(signal), from_hz, to_hz, min(from_hz, to_hz) / 2)
    expected = sine(7.0, to_hz)[..., : changed.shape[-1]]
    assert mask.all()
    assert abs(changed.shape[-1] - 10 * to_hz) <= 1
    inner = slice(int(0.2 * to_hz), -int(0.2 * to_hz))
    assert (changed[..., inner] - expected[..., : changed.shape[-1]][..., inner]).abs().max() < 0.02


def test_resampling_agrees_with_scipy() -> None:
    from scipy.signal import resample_poly

    generator = np.random.default_rng(0)
    noise = np.cumsum(generator.normal(size=4000)).astype(np.float32)
    noise -= noise.mean()
    mine, _ = resample(torch.from_numpy(noise)[None, None], torch.ones(1, 4000, dtype=torch.bool), 500, 250, 125)
    theirs = resample_poly(noise, 1, 2)
    spread = np.std(theirs)
    assert np.abs(mine[0, 0, 50:-50].numpy() - theirs[50:-50]).max() < 0.05 * spread


@given(st.integers(1, 999), st.integers(1, 999))
def test_ratio_is_exact_for_whole_rates(a: int, b: int) -> None:
    assert ratio(a, b) == pytest.approx(b / a, rel=1e-3)


def test_a_constant_stays_constant_up_to_the_edges() -> None:
    signal = torch.ones(1, 2, 700)
    changed, _ = resample(signal, everywhere(signal), 500, 250, 100)
    assert torch.allclose(changed, torch.ones_like(changed), atol=1e-5)


def test_mains_and_drift_go_and_the_heart_stays() -> None:
    spec = InputSpec(rate_hz=250, leads=("I",), band_hz=(0.5, 40))
    batch = replace(make_batch(1, 10, 500, ("I",)), signal=sine(0.1, 500) * 2 + sine(50, 500) + sine(8, 500))
    out = Preprocess(spec)(batch).signal[0, 0, 250:-250]
    assert (out - sine(8, 250)[0, 0, 250:-250]).abs().max() < 0.15


@settings(deadline=None, max_examples=25)
@given(st.integers(300, 1200), st.integers(0, 700), st.sampled_from([250.0, 500.0]))
def test_padding_never_changes_a_sample(n: int, padding: int, to_hz: float) -> None:
    spec = InputSpec(rate_hz=to_hz, band_hz=(0.5, 100))
    batch = make_batch(2, n / 500, 500)
    padded = replace(
        batch,
        signal=torch.nn.functional.pad(batch.signal, (0, padding), value=torch.nan),
        time_mask=torch.nn.functional.pad(batch.time_mask, (0, padding)),
    )
    plain, longer = Preprocess(spec)(batch), Preprocess(spec)(padded)
    kept = plain.signal.shape[-1]
    assert torch.allclose(plain.signal, longer.signal[..., :kept], atol=1e-5)
    assert (longer.signal[..., kept:] == 0).all()
    assert (longer.time_mask.sum(1) == plain.time_mask.sum(1)).all()


def test_missing_samples_and_leads_leave_no_nan_and_no_trace() -> None:
    batch = make_batch(2, 4, 500)
    holes = batch.signal.clone()
    holes[0, 3, 100:200] = torch.nan
    holes[1, 5, 50:] = torch.nan
    out = Preprocess(InputSpec(rate_hz=500))(replace(batch, signal=holes))
    assert torch.isfinite(out.signal).all()
    assert out.lead_mask[0].all()
    assert not out.lead_mask[1, 5]
    assert (out.signal[1, 5] == 0).all()
    assert torch.allclose(out.signal[0, 4], Preprocess(InputSpec(rate_hz=500))(batch).signal[0, 4])


def test_amplitude_unknown_forgets_the_gain_and_nothing_else() -> None:
    spec = InputSpec(rate_hz=250, scale="amplitude_unknown")
    batch = make_batch(3)
    one = Preprocess(spec)(batch).signal
    other = Preprocess(spec)(replace(batch, signal=batch.signal * 7.3)).signal
    assert torch.allclose(one, other, atol=1e-4)
    millivolts = Preprocess(InputSpec(rate_hz=250))
    assert not torch.allclose(millivolts(batch).signal, millivolts(replace(batch, signal=batch.signal * 2)).signal)


def test_high_pass_is_zero_phase() -> None:
    spike = torch.zeros(1, 1, 4001)
    spike[..., 2000] = 1.0
    out = high_pass(spike, everywhere(spike), 500, 0.5)[0, 0]
    assert torch.allclose(out, out.flip(0), atol=1e-6)


def test_beats_follow_the_rate() -> None:
    batch = replace(make_batch(1, 2, 500), beats=torch.tensor([[100, 500, -1]]))
    assert Preprocess(InputSpec(rate_hz=250))(batch).beats.tolist() == [[50, 250, -1]]


@pytest.mark.parametrize(
    "wrong", [{"band_hz": (5, 1)}, {"band_hz": (0.5, 400)}, {"leads": ("I", "I")}, {"leads": ("X9",)}, {"rate_hz": 0}]
)
def test_contradictions_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        InputSpec(**wrong)


def test_another_lead_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="the model reads"):
        Preprocess(InputSpec(leads=("I", "II")))(make_batch(leads=STANDARD))


def test_fewer_leads_are_read_as_if_the_others_were_not_there() -> None:
    limb = ("I", "II", "III", "aVR", "aVL", "aVF")
    batch = make_batch(4)
    spec = InputSpec(rate_hz=250, seconds=2)
    narrow = spec.narrowed(limb)
    assert (narrow.leads, narrow.read) == (spec.leads, limb)
    assert spec.narrowed(spec.leads) == spec
    absent = torch.tensor([lead in limb for lead in spec.leads]).expand(4, -1)
    wanted = Preprocess(spec)(replace(batch, lead_mask=absent))
    got = Preprocess(narrow)(batch)
    assert torch.equal(got.signal, wanted.signal)
    assert torch.equal(got.lead_mask, wanted.lead_mask)
    with pytest.raises(ConfigError, match="not V3R: choose among theirs"):
        spec.narrowed(("I", "V3R"))
    with pytest.raises(ValueError, match="not on the axis: V7"):
        InputSpec(only=("V7",))


def test_pictures_that_show_leads_that_are_not_read_are_not_read() -> None:
    batch = make_batch(4)
    pictured = replace(batch, image=torch.zeros(4, 8, 8, dtype=torch.uint8), image_mask=torch.ones(4, dtype=torch.bool))
    spec = InputSpec(rate_hz=250, seconds=2)
    assert Preprocess(spec)(pictured).image is not None
    narrow = Preprocess(spec.narrowed(("I", "II")))(pictured)
    assert narrow.image is None
    assert narrow.image_mask is None


def test_the_leads_left_are_told_before_they_are_read() -> None:
    batch = make_batch(4)
    signal, time_mask = batch.signal.clone(), batch.time_mask.clone()
    signal[0, 0, : signal.shape[2] // 2 + 1] = torch.nan
    signal[1] = torch.nan
    time_mask[2] = False
    batch = replace(batch, signal=signal, time_mask=time_mask)
    for spec in (InputSpec(rate_hz=250, seconds=2), InputSpec(rate_hz=250, seconds=2, only=("I", "V1"))):
        left = leads_left(batch, spec)
        assert torch.equal(left, Preprocess(spec)(batch).lead_mask)
        assert left.any(1).tolist() == [True, False, False, True]
        assert not left[0, 0]


def test_millivolts_are_in_full_precision_whatever_the_network_computes_in() -> None:
    batch, spec = make_batch(4, rate_hz=500), InputSpec(rate_hz=250, seconds=2)
    exact = Preprocess(spec)(batch).signal
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Preprocess(spec)(batch).signal, exact)


def test_an_age_that_is_not_to_be_told_is_not() -> None:
    batch = make_batch(4)
    assert torch.isfinite(Preprocess(InputSpec(rate_hz=250, seconds=2))(batch).age_days[:3]).all()
    assert Preprocess(InputSpec(rate_hz=250, seconds=2, age="unknown"))(batch).age_days.isnan().all()
