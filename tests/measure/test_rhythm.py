"""Rate, QTc and remarks of hearts that pause, drop beats or jump; QRS does not depend on the sampling rate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.signal import resample_poly

from auricle.measure import remarks, rhythm
from auricle.measure.measurements import Measured
from auricle.measure.recording import measure_recording
from auricle.recording import Recording
from auricle.simulate import cohort


def codes(rr_ms: list[float]) -> set[str]:
    return {remark.code for remark in remarks.of_rhythm(np.array(rr_ms), 9)}


def one(age_days: float, rate_hz: float = 500.0) -> Recording:
    return next(iter(cohort(1, 5, ages=[age_days], diagnoses={}, quality="clean", rate_hz=rate_hz).recordings()))


def with_a_pause(recording: Recording, seconds: float) -> Recording:
    """The recording with a stretch without a beat, at the level before a P wave, put in behind its middle."""
    measured = measure_recording(recording)
    beats, hz = measured.beats, recording.rate_hz
    middle = beats[len(beats) // 2]
    # T has ended there and P has begun or not; the pause holds that level.
    cut = int(middle - 0.2 * hz)
    held = np.repeat(recording.signal[:, cut : cut + 1], round(seconds * hz), axis=1)
    held = held + 0.004 * np.random.default_rng(0).standard_normal(held.shape).astype(np.float32)
    signal = np.concatenate([recording.signal[:, :cut], held, recording.signal[:, cut:]], axis=1)
    return replace(recording, signal=signal.astype(np.float32))


@pytest.mark.parametrize("age_days", [3000.0, 12000.0])
def test_qtc_does_not_change_over_a_pause_that_is_named(age_days: float) -> None:
    steady = one(age_days)
    before, after = measure_recording(steady), measure_recording(with_a_pause(steady, 3.0))
    assert after.values["qtc_bazett"].value == pytest.approx(before.values["qtc_bazett"].value, abs=8)
    assert after.values["heart_rate"].value < 0.85 * before.values["heart_rate"].value
    named = {remark.code: remark.detail for remark in after.remarks}
    assert {"pause", "irregular"} <= named.keys()
    assert named["pause"]["longest_rr_ms"] == pytest.approx(3000 + before.values["rr"].value, rel=0.1)
    assert not {remark.code for remark in before.remarks} & {"pause", "irregular", "rate_doubtful"}


def test_pauses_and_dropped_beats_are_named() -> None:
    assert codes([800.0] * 4 + [1600.0] + [800.0] * 5) == {"pause", "irregular"}
    assert codes([430.0] * 9 + [860.0] + [430.0] * 9) == {"pause", "irregular"}  # a newborn's
    assert "irregular" in codes([800.0, 560.0, 1040.0, 800.0, 800.0, 800.0, 560.0, 1040.0])  # early beats
    assert "irregular" in codes([400.0, 650.0] * 6)


def test_breathing_and_slow_hearts_are_neither() -> None:
    breathing = 800 * (1 + 0.2 * np.sin(2 * np.pi * np.arange(14) / 9))
    assert not codes(breathing.tolist())
    assert not codes([2150.0, 2100.0, 2120.0, 2140.0])


def test_qtc_belongs_to_the_intervals_of_its_beats() -> None:
    rr = np.array([800.0, 800.0, 800.0, 4000.0, 800.0, 800.0, 800.0])
    own, error = rhythm.before_ms(rr, np.ones(8, dtype=bool))
    assert own == 800
    assert error < 10
    found = rhythm.corrected(Measured(410.0, 5.0, "ms"), own, error, "")
    assert found["qtc_bazett"].value == pytest.approx(458.4, abs=0.1)
    taking_turns, _ = rhythm.before_ms(np.array([600.0, 1000.0] * 5), np.ones(11, dtype=bool))
    assert taking_turns == pytest.approx(800, abs=1)
    # Where only the beats behind long intervals are in the median beat, the long ones count.
    members = np.arange(11) % 2 == 0
    assert rhythm.before_ms(np.array([600.0, 1000.0] * 5), members)[0] == 1000


def test_an_unknown_interval_is_left_out() -> None:
    rr = np.array([800.0, np.nan, 800.0])
    assert rhythm.rate(rr, True, 0.0)["heart_rate"].value == pytest.approx(75)
    assert rhythm.before_ms(rr, np.ones(4, dtype=bool))[0] == 800


def test_a_doubtful_rate_is_as_uncertain_as_the_places_that_may_be_beats() -> None:
    rate = rhythm.rate(np.full(10, 800.0), True, 1.0)["heart_rate"]
    assert rate.uncertainty == pytest.approx(75)
    assert "rate_doubtful" in {remark.code for remark in remarks.of_rhythm(np.full(10, 800.0), 9, 1.0)}


@pytest.mark.parametrize("age_days", [5.0, 3000.0, 12000.0])
def test_one_trace_is_measured_alike_at_all_sampling_rates(age_days: float) -> None:
    fine = one(age_days, 2000.0)
    values = {}
    for hz in (100, 200, 250, 257, 360, 500, 977, 1000, 2000):
        part = Fraction(hz, 2000)
        signal = resample_poly(fine.signal.astype(np.float64), part.numerator, part.denominator, axis=1, padtype="line")
        values[hz] = measure_recording(replace(fine, signal=signal.astype(np.float32), rate_hz=float(hz))).values
    for hz, found in values.items():
        for name in ("qrs", "qt"):
            if not (found[name].measurable and values[1000][name].measurable):
                assert hz < 200 or name == "qt"
                continue
            error = abs(found[name].value - values[1000][name].value)
            # At 100 Hz a QRS has a handful of samples: its error says so.
            assert error < (3 if hz >= 200 else 2 * found[name].uncertainty), (hz, name, error)
        assert found["heart_rate"].value == pytest.approx(values[1000]["heart_rate"].value, rel=0.003)
