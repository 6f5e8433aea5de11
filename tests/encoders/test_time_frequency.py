"""The spectrum: a wave is a line where it belongs, in short and long records, and padding adds nothing."""

from __future__ import annotations

import math

import pytest
import torch

from auricle.config import configure
from auricle.encoders import ENCODERS, build_encoder
from auricle.encoders.time_frequency import TimeFrequency
from auricle.signal.preprocess import InputSpec


def encoder(rate_hz: float = 100.0, seconds: float = 10.0) -> TimeFrequency:
    torch.manual_seed(0)
    spec = InputSpec(rate_hz=rate_hz, seconds=seconds, band_hz=(0.5, 40))
    made = build_encoder(configure(ENCODERS, {"name": "time_frequency", "preset": "tiny"}), spec)
    assert isinstance(made, TimeFrequency)
    return made.eval()


def wave(frequency: float, n: int, rate_hz: float = 100.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    signal = torch.sin(2 * math.pi * frequency * torch.arange(n) / rate_hz).expand(1, 12, n)
    return signal, torch.ones(1, 12, dtype=torch.bool), torch.ones(1, n, dtype=torch.bool)


@pytest.mark.parametrize("n", [1000, 600, 1300])
def test_a_wave_is_a_line_at_its_frequency(n: int) -> None:
    spectrum = encoder().spectrum(*wave(8.0, n))
    assert spectrum.shape == (1, 12, 501)
    assert spectrum[0, 0].argmax() == 80  # lines are a tenth of a hertz apart


def test_noise_is_as_strong_in_a_short_record_as_in_a_long_one() -> None:
    made = encoder()
    torch.manual_seed(1)
    long = torch.randn(8, 12, 1000)
    leads, all_of_it = torch.ones(8, 12, dtype=torch.bool), torch.ones(8, 1000, dtype=torch.bool)
    half = all_of_it & (torch.arange(1000) < 500)
    one, other = (made.spectrum(long, leads, mask).square().mean() for mask in (all_of_it, half))
    assert float(other / one) == pytest.approx(1, abs=0.05)


def test_padding_and_what_lies_under_a_mask_change_nothing() -> None:
    made = encoder()
    signal, leads, time = wave(5.0, 700)
    leads = leads.clone()
    leads[:, 3] = False
    poisoned = signal.clone()
    poisoned[:, 3] = torch.nan
    padded = (
        torch.nn.functional.pad(poisoned, (0, 200), value=torch.nan),
        leads,
        torch.nn.functional.pad(time, (0, 200)),
    )
    assert torch.allclose(made.spectrum(signal, leads, time), made.spectrum(*padded), atol=1e-6)


def test_both_branches_are_in_what_is_said_of_a_record() -> None:
    made = encoder()
    signal, leads, time = wave(5.0, 1000)
    with torch.no_grad():
        whole = made(signal, leads, time).pooled
        assert torch.equal(whole[:, : made.time.width], made.time(signal, leads, time).pooled)
        lines = made.read_spectrum(made.spectrum(signal, leads, time), leads, time, None).pooled
        assert torch.equal(whole[:, made.time.width :], lines)
        other = made(*wave(9.0, 1000)).pooled
        assert not torch.allclose(whole[:, made.time.width :], other[:, made.time.width :], atol=1e-3)
    assert whole.shape[1] == made.time.width + made.frequency.width
