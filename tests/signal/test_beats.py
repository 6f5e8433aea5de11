"""Beats are found at every rate, in every order, and at every sampling rate; what may be no beat is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.signal.beats import _detect, _traces, find_beats, read_beats
from auricle.signal.detector import detector
from auricle.signal.steepness import RATE_HZ
from auricle.simulate import cohort

# Amplitudes (P, Q, R, S, T) in mV.
HEART = {
    "I": (0.06, -0.05, 0.6, -0.1, 0.2), "II": (0.12, -0.08, 1.0, -0.15, 0.3), "V2": (0.06, 0.0, 0.5, -1.2, 0.3),
    "V5": (0.06, -0.1, 1.3, -0.2, 0.35),
}  # fmt: skip
SECONDS = 10.0


def wave(time: np.ndarray, centre: float, half: float) -> np.ndarray:
    return np.where(np.abs(time - centre) < half, (1 + np.cos(np.pi * (time - centre) / half)) / 2, 0)


def trace(
    onsets: np.ndarray, rate_hz: float = 500.0, height: np.ndarray | None = None, ventricular: np.ndarray | None = None
) -> np.ndarray:
    """(lead, time) P, QRS of 76 ms and T at QRS onsets in s; ventricular beats are broad and have T the other way."""
    random, time = np.random.default_rng(1), np.arange(round(SECONDS * rate_hz)) / rate_hz
    height = np.ones(len(onsets)) if height is None else height
    ventricular = np.zeros(len(onsets), dtype=bool) if ventricular is None else ventricular
    usual = float(np.median(np.diff(onsets)))
    after, before = np.append(np.diff(onsets), usual), np.append(usual, np.diff(onsets))
    qt = np.minimum(0.4 * np.sqrt(np.minimum(before, 1.2)), 0.82 * after)
    rows = []
    for p, q, r, s, t in HEART.values():
        row = 0.01 * random.standard_normal(len(time)) + 0.05 * np.sin(2 * np.pi * 0.3 * time)
        for onset, own_qt, gain, broad in zip(onsets, qt, height, ventricular, strict=True):
            at = time - onset
            if broad:
                row += wave(at, 0.06, 0.06) * (1.1 * r + 0.3) - wave(at, 0.105, 0.045) * 0.4 * r
                row -= 0.5 * r * wave(at, 0.06 + own_qt / 2, max(0.4 * (own_qt - 0.12), 0.04))
                continue
            half, pr = min(0.09, 0.36 * (own_qt - 0.076)), min(0.15, 0.36 * usual)
            row += gain * (q * wave(at, 0.01, 0.01) + r * wave(at, 0.034, 0.025) + s * wave(at, 0.059, 0.017))
            row += gain * t * wave(at, own_qt - half, half) + p * wave(at, -0.7 * pr, 0.3 * pr)
        rows.append(row)
    return np.array(rows, dtype=np.float32)


def regular(per_minute: float) -> np.ndarray:
    return np.arange(0.25 * 60 / per_minute, SECONDS - 0.05, 60 / per_minute)


def assert_found(onsets: np.ndarray, signal: np.ndarray, rate_hz: float = 500.0) -> None:
    found = find_beats(signal, tuple(HEART), rate_hz) / rate_hz
    inside = onsets[(onsets > 0.1) & (onsets < SECONDS - 0.2)]
    missed = [at for at in inside if np.abs(found - at - 0.035).min() > 0.07]
    extra = [at for at in found if np.abs(onsets + 0.035 - at).min() > 0.07]
    assert (missed, extra) == ([], [])


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 257.0, 500.0, 977.0, 4000.0])
@pytest.mark.parametrize("per_minute", [40, 75, 150, 220, 270, 300, 320])
def test_every_rate_at_every_sampling_rate(per_minute: float, rate_hz: float) -> None:
    onsets = regular(per_minute)
    assert_found(onsets, trace(onsets, rate_hz), rate_hz)


@pytest.mark.parametrize("per_minute", [60, 102, 150, 200])
def test_early_atrial_beats_are_found_and_p_waves_are_not(per_minute: float) -> None:
    onsets = regular(per_minute)
    early = max(0.72, 0.21 * per_minute / 60)
    onsets[1::2] -= (1 - early) * 60 / per_minute
    assert_found(onsets, trace(onsets))


@pytest.mark.parametrize("per_minute", [60, 102, 150])
@pytest.mark.parametrize("every", [2, 3])
def test_early_ventricular_beats_are_found(per_minute: float, every: int) -> None:
    onsets = regular(per_minute)
    ventricular = np.arange(len(onsets)) % every == every - 1
    onsets[ventricular] -= 0.3 * 60 / per_minute
    assert_found(onsets, trace(onsets, ventricular=ventricular))


@pytest.mark.parametrize("per_minute", [80, 180, 300])
def test_beats_of_alternating_height_are_all_found(per_minute: float) -> None:
    onsets = regular(per_minute)
    assert_found(onsets, trace(onsets, height=np.where(np.arange(len(onsets)) % 2, 0.6, 1.0)))


@pytest.mark.parametrize("missing_s", [1.6, 4.0])
def test_nothing_is_found_in_a_pause(missing_s: float) -> None:
    onsets = regular(75)
    onsets = np.concatenate([onsets[onsets < 4], onsets[onsets > 4 + missing_s - 0.8]])
    assert_found(onsets, trace(onsets))


def test_p_waves_without_a_beat_are_not_beats() -> None:
    onsets = regular(75)
    dropped = np.arange(len(onsets)) % 4 == 3
    signal = trace(onsets[~dropped]) + np.array(
        [sum(p * wave(np.arange(5000) / 500, at - 0.105, 0.045) for at in onsets[dropped]) for p, *_ in HEART.values()],
        dtype=np.float32,
    )
    assert_found(onsets[~dropped], signal)


def test_an_electrode_that_pops_in_one_lead_is_no_beat() -> None:
    onsets = regular(75)
    signal, time = trace(onsets), np.arange(5000) / 500
    for at in (2.35, 5.6, 8.0):
        signal[0] += (2 * np.exp(-(time - at) / 0.05) * (time >= at)).astype(np.float32)
    assert_found(onsets, signal)


def test_a_clear_trace_is_not_in_doubt() -> None:
    onsets = regular(75)
    assert read_beats(trace(onsets), tuple(HEART), 500.0).unclear == 0


def test_waves_that_may_be_beats_are_said() -> None:
    onsets = regular(75)
    signal, time = trace(onsets), np.arange(5000) / 500
    for at in onsets + 0.33:
        signal += 0.6 * wave(time, at, 0.035).astype(np.float32) * np.array([[1], [-1], [-0.9], [1]], dtype=np.float32)
    assert read_beats(signal, tuple(HEART), 500.0).unclear > 0


def test_beats_as_close_as_the_detector_can_count_do_not_leave_its_memory() -> None:
    """Peaks 51 samples apart: one more than its list of intervals is long (an abort of the process, sometimes)."""
    trace = np.sin(2 * np.pi * (np.arange(505) - 48) / 51) ** 9
    with pytest.raises(IndexError):
        detector()(trace, RATE_HZ, "python")
    found = _detect(trace)
    assert len(found) >= 5
    assert (np.diff(found) >= 50).all()
    assert found.max() < len(trace)


@given(st.integers(400, 2600), st.integers(0, 2600), st.integers(0, 2**32 - 1), st.sampled_from(["noise", "teeth"]))
@settings(max_examples=60, deadline=None)
def test_short_traces_and_late_beginnings_are_read_or_left(n: int, still: int, seed: int, kind: str) -> None:
    chance = np.random.default_rng(seed)
    trace = chance.normal(size=n)
    if kind == "teeth":
        time = np.arange(n)
        trace = np.sin(2 * np.pi * time / chance.uniform(45, 130)) ** 9 * np.exp(-time * chance.uniform(0, 0.01))
    trace[:still] = 0.0
    found = _detect(trace)
    assert (np.diff(found) > 0).all()
    assert ((found >= 0) & (found < n)).all()
    assert np.array_equal(found, _detect(trace)), "nothing that happened to lie in memory"
    if n - still < 2 * RATE_HZ - 2:
        assert not len(found)


def test_the_detector_says_the_same_in_both_of_its_languages() -> None:
    for one in cohort(12, 3, rate_hz=250, seconds=10).recordings():
        for trace in _traces(one.signal, one.leads):
            assert np.array_equal(detector()(trace, RATE_HZ), detector()(trace, RATE_HZ, "python"))
