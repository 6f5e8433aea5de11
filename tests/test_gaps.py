"""Stretches that hold numbers and no measurement are missing; what a heart or a quiet amplifier does is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle import gaps
from auricle.errors import DataError
from auricle.leads import STANDARD
from auricle.recording import make_recording
from auricle.simulate import cohort
from fakes import heart

RATE = 500.0


def share_lost(signal: np.ndarray, rate_hz: float = RATE) -> np.ndarray:
    return gaps.lost(signal, rate_hz).mean(axis=1)


@pytest.mark.parametrize("value", [0.0, 0.3, -26.0])
def test_a_lead_that_keeps_one_value_while_others_move_is_missing_there(value: float) -> None:
    signal = heart()
    signal[11, 2000:] = value
    share = share_lost(signal)
    assert share[11] == pytest.approx(0.6, abs=0.01)
    assert not share[:11].any()


def test_a_lead_at_its_limit_and_then_at_zero_is_left_out() -> None:
    signal = heart()
    signal[11] = 0.0
    signal[11, 500:1000] = 26.0
    recording = make_recording(signal, RATE, list(STANDARD), "r")
    assert "V6" not in recording.leads
    assert recording.lost == {"V6": 1.0}
    assert any("V6 throughout" in note for note in recording.notes)


def test_what_flaps_between_two_limits_is_missing_as_a_whole() -> None:
    signal = heart()
    for begin in range(1000, 2000, 60):
        signal[6, begin : begin + 30], signal[6, begin + 30 : begin + 60] = 26.0, -26.0
    lost = gaps.lost(signal, RATE)
    assert lost[6, 1000:2000].all()
    assert not lost[6, :900].any()
    assert not lost[6, 2100:].any()


def test_a_filling_of_zeros_is_found_by_its_jump() -> None:
    signal = heart() + 0.4
    signal[:, 4500:4700] = 0.0
    assert gaps.lost(signal, RATE)[:, 4500:4700].all()
    assert share_lost(signal) == pytest.approx(0.04, abs=0.001)


def test_a_silent_pause_without_noise_is_no_gap() -> None:
    clean = 0.5 * heart()
    clean[:, 800:3000] = clean[:, 799:800]
    clean[:, 3000:] -= clean[:, 3000:3001] - clean[:, 2999:3000]
    clean = np.round(clean, 4)
    assert not gaps.lost(clean, RATE).any()


def test_a_recording_of_constants_is_refused_with_the_reason() -> None:
    for value in (0.0, 0.3):
        with pytest.raises(DataError, match="every lead is constant"):
            make_recording(np.full((12, 5000), value), RATE, list(STANDARD), "r")


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([100.0, 250.0, 360.0, 500.0, 1000.0]), st.integers(0, 10_000))
def test_simulated_hearts_have_no_gap_at_any_rate(rate_hz: float, seed: int) -> None:
    for record in cohort(1, seed, rate_hz=rate_hz, quality="clean").recordings():
        steps = np.rint(record.signal / 0.005) * 0.005  # as coarse as carts write
        assert not gaps.lost(steps, rate_hz).any()


def test_missing_samples_stay_missing_and_are_not_called_lost() -> None:
    signal = heart()
    signal[3, 100:2000] = np.nan
    assert not gaps.lost(signal, RATE).any()
