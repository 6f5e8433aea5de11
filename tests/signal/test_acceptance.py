"""The quality gate: noise and flat lines are refused, a bad lead is named, rhythm does not count."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import AuricleError
from auricle.leads import STANDARD
from auricle.recording import Recording, make_recording
from auricle.signal.acceptance import judge
from auricle.simulate import cohort
from fakes import heart

RATE = 500.0
TIME = np.arange(5000) / RATE


def recording(signal: np.ndarray, rate_hz: float = RATE) -> Recording:
    return Recording(signal.astype(np.float32), rate_hz, STANDARD[: len(signal)], "r")


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (12, 5000))


@pytest.mark.parametrize(
    ("signal", "code"),
    [
        (noise(), "no_qrs"),
        (0.01 * noise(), "no_qrs"),
        (np.cumsum(noise() / 15, axis=1), "no_qrs"),
        (np.sin(2 * np.pi * 50 * TIME) * np.ones((12, 1)) * 0.3 + noise() / 10, "no_qrs"),
        (heart(900), "too_short"),
    ],
    ids=["white", "faint", "walk", "mains", "short"],
)
def test_what_is_no_ecg_is_not_readable(signal: np.ndarray, code: str) -> None:
    judged = judge(recording(signal))
    assert not judged.readable
    assert not judged.acceptable
    assert [reason.code for reason in judged.reasons] == [code]


def test_waves_that_do_not_repeat_are_not_acceptable() -> None:
    slow = np.random.default_rng(0).normal(size=(12, 5100))
    for _ in range(3):
        slow = np.apply_along_axis(lambda row: np.convolve(row, np.ones(35) / 35, "same"), 1, slow)
    judged = judge(recording(5 * slow[:, 50:-50]))
    assert judged.readable
    assert [reason.code for reason in judged.reasons] == ["noisy"]


def test_a_good_trace_of_any_rate_and_leads_is_acceptable() -> None:
    for rate_hz in (100.0, 250.0, 500.0, 1000.0):
        judged = judge(recording(heart(round(10 * rate_hz), rate_hz=rate_hz), rate_hz))
        assert judged.acceptable
        assert judged.readable
        assert not judged.reasons
    assert judge(recording(heart(5000, 1))).acceptable


def test_the_rhythm_does_not_count() -> None:
    records = list(cohort(60, 5, rate_hz=250).recordings())
    judged = [judge(record) for record in records]
    assert all(each.readable for each in judged)
    assert sum(not each.acceptable for each in judged) <= 2


def test_one_bad_lead_is_named_with_its_fault() -> None:
    loose = heart()
    loose[8] += 3 * np.sign(np.sin(2 * np.pi * 0.7 * TIME))
    (reason,) = judge(recording(loose)).reasons
    assert (reason.code, reason.leads) == ("moving", ("V3",))
    noisy = heart()
    noisy[8] = noise()[0]
    (reason,) = judge(recording(noisy)).reasons
    assert (reason.code, reason.leads) == ("noisy", ("V3",))
    gone = heart()
    gone[8] = 0.0
    judged = judge(make_recording(gone, RATE, list(STANDARD), "r"))
    assert [(reason.code, reason.leads) for reason in judged.reasons] == [("missing", ("V3",))]
    assert judged.readable


def test_columns_of_a_sheet_are_no_holes() -> None:
    true = heart()
    sheet = np.full_like(true, np.nan)
    for column in range(4):
        part = slice(1250 * column, 1250 * (column + 1))
        sheet[3 * column : 3 * column + 3, part] = true[3 * column : 3 * column + 3, part]
    assert judge(recording(sheet)).acceptable
    holes = true.copy()
    holes[8, 1000:4000] = np.nan
    assert judge(recording(holes)).reasons[0].leads == ("V3",)


def test_without_a_unit_it_is_judged_all_the_same() -> None:
    scaled = replace(recording(37.0 * heart()), amplitude_known=False)
    assert judge(scaled).acceptable
    assert not judge(replace(scaled, signal=37 * noise().astype(np.float32))).readable


@pytest.mark.skipif("AURICLE_REAL_DATA" not in os.environ, reason="AURICLE_REAL_DATA names no folder of recordings")
def test_it_agrees_with_the_judges_of_2011() -> None:
    path = Path(os.environ["AURICLE_REAL_DATA"]) / "cinc-2011" / "set-a.npz"
    rows = ("I", "II", "III", "aVR", "aVF", "aVL", *STANDARD[6:])
    with np.load(path, allow_pickle=False) as stored:
        signals, truth = stored["signal"][::3], stored["acceptable"][::3] == 1

    def accepted(steps: np.ndarray) -> bool:
        try:
            return judge(make_recording(steps * np.float32(0.005), RATE, list(rows), "r")).acceptable
        except AuricleError:
            return False

    said = np.array([accepted(steps) for steps in signals])
    assert (said == truth).mean() > 0.9
    assert (~said[~truth]).mean() > 0.8
    assert said[truth].mean() > 0.93
