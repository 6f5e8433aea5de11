"""Limb leads that contradict the others are derived from them; where no majority can be had, nothing is guessed."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auricle.einthoven import filled, settle
from auricle.errors import DataError
from auricle.leads import IN_I_AND_II, LIMB, STANDARD, derive_limb
from auricle.recording import make_recording
from auricle.simulate import cohort
from fakes import heart

RATE = 500.0
ROW = {name: row for row, name in enumerate(STANDARD)}


@lru_cache
def simulated() -> np.ndarray:
    """A clean adult, whose limb leads are not multiples of each other."""
    (record,) = cohort(1, 3, ages=np.array([40 * 365.25]), diagnoses={}, quality="clean", rate_hz=RATE).recordings()
    return np.asarray(record.signal)


def spoilt(**change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A heart, and the same with some rows changed."""
    true = simulated()
    wrong = true.copy()
    for name, row in change.items():
        wrong[ROW[name]] = row
    return true, wrong


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"aVR": "aVL", "aVL": "aVR"}, ("aVR", "aVL")),
        ({"III": "-III"}, ("III",)),
        ({"I": "-I"}, ("I",)),
        ({"aVR": "-aVR"}, ("aVR",)),
        ({"aVR": "1.5 aVR", "aVL": "1.5 aVL", "aVF": "1.5 aVF"}, ("aVR", "aVL", "aVF")),
        ({"II": "V3"}, ("II",)),
    ],
)
def test_what_most_leads_contradict_is_derived_from_them(changes: dict[str, str], named: tuple[str, ...]) -> None:
    true = simulated()
    factors = {"-": -1.0, "1.5 ": 1.5}
    rows = {}
    for name, said in changes.items():
        sign = next((mark for mark in factors if said.startswith(mark)), "")
        rows[name] = factors.get(sign, 1.0) * true[ROW[said.removeprefix(sign)]]
    _, wrong = spoilt(**rows)
    settled = settle(wrong, STANDARD, RATE)
    assert np.abs(settled.signal - true).max() < 1e-4
    (note,) = settled.notes
    assert all(name in note for name in named)
    assert settled.comparable


def test_a_single_wrong_sample_is_mended_and_said() -> None:
    true, wrong = spoilt()
    wrong[ROW["II"], 2000] += 1.75
    settled = settle(wrong, STANDARD, RATE)
    assert np.abs(settled.signal - true).max() < 1e-4
    assert "II contradicts" in settled.notes[0]
    assert "for 0.0" in settled.notes[0]


def test_of_three_leads_it_cannot_be_told_which_is_wrong() -> None:
    true = simulated()
    three = np.concatenate([true[:3], true[6:]])
    three[2] *= -1
    recording = make_recording(three, RATE, ["I", "II", "III", *STANDARD[6:]], "r")
    assert recording.leads == STANDARD[6:]
    assert any("cannot be told" in note for note in recording.notes)
    with pytest.raises(DataError):
        make_recording(three[:3], RATE, ["I", "II", "III"], "r")


def test_a_gain_of_its_own_for_every_lead_makes_amplitudes_unknown() -> None:
    true = simulated().copy()
    true[:6] *= np.array([1.0, 0.6, 1.7, 2.5, 0.4, 1.4])[:, None]
    recording = make_recording(true, RATE, list(STANDARD), "r")
    assert not recording.amplitude_known
    assert recording.leads == STANDARD


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.001, 0.005, 0.02]), st.permutations(LIMB), st.integers(2, 6))
@example(96, 0.02, ["I", "aVR", "aVL", "II", "III", "aVF"], 3)
def test_lawful_leads_are_left_alone(seed: int, step: float, order: list[str], n: int) -> None:
    true = np.rint(heart(seed=seed) / step) * step
    names = order[:n]
    rows = true[[ROW[name] for name in names]].astype(np.float32)
    settled = settle(rows, names, RATE)
    assert settled.signal is rows
    assert not settled.notes


@settings(deadline=None, max_examples=30)
@given(st.permutations(LIMB), st.integers(0, 1000))
def test_gaps_of_limb_leads_follow_from_any_two_others(order: list[str], seed: int) -> None:
    true = heart(seed=seed)[:6]
    limb = true.copy()
    for number, name in enumerate(order[2:]):
        limb[ROW[name], 500 * number : 500 * number + 900] = np.nan
    assert np.abs(filled(limb, STANDARD[:6]) - true).max() < 1e-4


def test_the_laws_are_those_of_einthoven_and_goldberger() -> None:
    one, two = 0.7, 1.3
    said = {name: a * one + b * two for name, (a, b) in IN_I_AND_II.items()}
    assert said["I"] + said["III"] == pytest.approx(said["II"])
    assert said["aVR"] + said["aVL"] + said["aVF"] == pytest.approx(0)
    assert said["aVR"] == pytest.approx(-(one + two) / 2)
    assert said["aVF"] == pytest.approx((two + said["III"]) / 2)


def test_two_samples_that_contradict_each_other_are_no_plane() -> None:
    signal = np.array([[1.0, 0.0], [0.3, 0.9], [5.0, -4.0], [3.0, 1.0], [0.0, 2.0], [7.0, -1.0]], dtype=np.float32)
    settled = settle(signal, ("I", "II", "III", "aVR", "aVL", "aVF"), 500.0)
    assert settled.comparable
    assert len(settled.notes) == 1


@pytest.mark.parametrize("two", list(itertools.combinations(LIMB, 2)))
def test_any_two_limb_leads_give_the_other_four(two: tuple[str, str]) -> None:
    lead_i, lead_ii = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    whole = {name: a * lead_i + b * lead_ii for name, (a, b) in IN_I_AND_II.items()}
    signal, names = derive_limb(np.stack([whole[name] for name in two]), two)
    assert names == LIMB
    np.testing.assert_allclose(signal, np.stack([whole[name] for name in LIMB]), atol=1e-5)
