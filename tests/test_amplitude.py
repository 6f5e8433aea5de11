"""The one rule that tells millivolts from what is taken for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auricle.amplitude import beat_mv, doubt_of
from auricle.data.sources import get_source
from auricle.io import read
from auricle.leads import STANDARD
from auricle.measure.recording import measure_recording
from auricle.recording import make_recording
from auricle.simulate import cohort


def person(seed: int = 0, age_days: float = 15_000.0) -> np.ndarray:
    return next(cohort(1, seed, ages=np.array([age_days]), diagnoses={}).recordings()).signal


def standardised(signal: np.ndarray) -> np.ndarray:
    return (signal - signal.mean(1, keepdims=True)) / signal.std(1, keepdims=True)


def scaled(signal: np.ndarray) -> np.ndarray:
    low, high = signal.min(1, keepdims=True), signal.max(1, keepdims=True)
    return (signal - low) / (high - low)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("large", lambda x: x * 1000), ("large", lambda x: np.rint(x * 200)), ("large", lambda x: x * 1e6),
        ("small", lambda x: x / 1000), ("small", lambda x: x / 1e6), ("scaled", standardised),
        ("scaled", lambda x: standardised(x)[:8]), ("scaled", lambda x: np.rint(standardised(x) * 1000) / 1000),
        ("scaled", lambda x: standardised(x)[:1]), ("scaled", scaled), ("scaled", lambda x: 2 * scaled(x) - 1),
        ("scaled", lambda x: x / np.abs(x).max(1, keepdims=True)),
    ],
)  # fmt: skip
def test_what_is_no_millivolt_has_an_unknown_amplitude_and_a_reason(kind: str, change: object) -> None:
    signal = change(person()).astype(np.float32)  # type: ignore[operator]
    doubt = doubt_of(signal, 500)
    assert doubt is not None
    assert doubt.kind == kind
    recording = make_recording(signal, 500, STANDARD[: len(signal)], "r")
    assert not recording.amplitude_known
    assert recording.notes == (doubt.reason,)
    measured = measure_recording(recording).values["r_v5" if len(signal) > 1 else "r_i"]
    assert "amplitude is not known" in measured.reason or not measured.measurable


@pytest.mark.parametrize("age_days", [1.0, 200.0, 3000.0, 20_000.0])
def test_true_millivolts_are_never_doubted(age_days: float) -> None:
    for seed in range(5):
        for factor in (0.3, 1.0, 2.5):  # low voltage and hypertrophy
            assert doubt_of(factor * person(seed, age_days), 500) is None


def test_a_loose_electrode_an_empty_and_a_flat_lead_say_nothing_about_the_unit() -> None:
    signal = person()
    signal[3] = 150 * np.sin(np.arange(signal.shape[1]) / 40)
    signal[7], signal[8] = 0.0, np.nan
    assert doubt_of(signal, 500) is None
    assert doubt_of(np.zeros((2, 1000), np.float32), 500) is None
    assert doubt_of(np.zeros((2, 0), np.float32), 500) is None
    assert np.isnan(beat_mv(np.full((1, 100), np.nan, np.float32), 500))


def test_what_the_caller_says_is_lost_needs_no_second_reason() -> None:
    recording = make_recording(standardised(person()), 500, STANDARD, "r", amplitude_known=False)
    assert recording.notes == ()


def test_no_real_recording_in_millivolts_is_doubted(real_data: Path) -> None:
    for path in sorted(real_data.rglob("*.hea"))[::40]:
        recording = read(path)
        assert doubt_of(recording.signal, recording.rate_hz) is None
        assert not any("give the true unit" in note or "scaled copy" in note for note in recording.notes)


def test_every_real_standardised_copy_is(real_data: Path) -> None:
    source = get_source("ptb_xl_mini")
    for row in source.index(real_data / "ptb-xl-mini").to_dict("records")[::50]:
        assert doubt_of(source.read(real_data / "ptb-xl-mini", row).signal, 100) is not None
