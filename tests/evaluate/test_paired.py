"""Differences between rows: over the same people, against a slow bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auricle.errors import DataError
from auricle.evaluate.paired import Estimate, measured
from auricle.evaluate.predictions import PredictionMeta, Predictions


def asked(seed: int, skill: float, n: int = 120) -> Predictions:
    truth = (np.random.default_rng(0).random((n, 2)) < 0.4).astype(float)
    score = skill * truth + np.random.default_rng(seed).normal(size=(n, 2))
    return Predictions(
        tuple(f"r{i}" for i in range(n)), tuple(f"p{i // 2}" for i in range(n)), np.full(n, np.nan), ("a", "b"), truth,
        score, PredictionMeta(protocol="finetune", task="t", method="m", scores_are_probabilities=False),
    )  # fmt: skip


def right(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    """(r,) the share of records of class a that lie on the right side of .5."""
    hit = (predictions.score[:, 0] > 0.5) == (predictions.truth[:, 0] == 1)
    return weights @ hit / weights.sum(1)


def test_the_value_is_the_mean_over_seeds_of_the_records_themselves() -> None:
    ones = [asked(seed, 1.5) for seed in (1, 2, 3)]
    by_seed = [right(one, np.ones((1, 120)))[0] for one in ones]
    got = measured(ones, measure=right)
    assert got.value == pytest.approx(np.mean(by_seed))
    assert got.over_seeds == pytest.approx(np.std(by_seed, ddof=1))
    assert got.low < got.value < got.high


def test_a_difference_is_of_the_same_people_and_narrower_than_two_intervals() -> None:
    one = asked(1, 1.5)
    # The same scores but for a tenth of the records: luck with people is shared.
    other = replace(one, score=np.where(np.arange(120)[:, None] % 10 == 0, asked(9, 0).score, one.score))
    alone, against, difference = measured([one]), measured([other]), measured([one], [other])
    assert difference.value == pytest.approx(alone.value - against.value)
    widths = [one.high - one.low for one in (alone, against)]
    assert difference.high - difference.low < 0.8 * np.hypot(*widths)
    nothing = measured([one], [one])
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_its_interval_is_that_of_people_drawn_again() -> None:
    one, other = asked(1, 1.5), asked(2, 1.0)
    generator = np.random.default_rng(5)
    drawn = []
    for _ in range(800):
        people = generator.integers(0, 60, 60)
        often = np.bincount(people, minlength=60).repeat(2)[None]
        drawn.append(float((right(one, often) - right(other, often))[0]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    got = measured([one], [other], right)
    assert got.low == pytest.approx(low, abs=0.02)
    assert got.high == pytest.approx(high, abs=0.02)


def test_other_records_are_refused() -> None:
    with pytest.raises(DataError, match="same records"):
        measured([asked(1, 1)], [asked(1, 1).select(np.arange(119))])
    one = asked(1, 1)
    with pytest.raises(DataError, match="same labels"):
        measured([one], [replace(one, truth=1 - one.truth)])


def test_it_reads_as_a_cell() -> None:
    assert str(Estimate(81.23, 79.9, 83.04, float("nan"))) == "81.2 [79.9, 83.0]"
    assert str(Estimate(-1.0, -2.0, 0.5, 0.31)) == "-1.0 ± 0.3 [-2.0, 0.5]"
    assert str(Estimate(-1.0, -2.0, 0.5, 0.31, 0.034)) == "-1.0 ± 0.3 [-2.0, 0.5], p 0.034"
    assert str(Estimate(-1.0, -2.0, 0.5, 0.31, 0.0002)) == "-1.0 ± 0.3 [-2.0, 0.5], p < 0.001"
    assert str(Estimate(-1.0, -2.0, 0.5, 0.31, 0.15)) == "-1.0 ± 0.3 [-2.0, 0.5], p 0.15"


def test_a_difference_is_tested_over_seeds_from_three_on() -> None:
    ones, others = [[asked(seed, skill) for seed in seeds] for seeds, skill in (((1, 2, 3), 1.5), ((4, 5, 6), 1.0))]
    once = np.ones((1, 120))
    by_seed = [right(one, once)[0] - right(other, once)[0] for one, other in zip(ones, others, strict=True)]
    t = np.mean(by_seed) / (np.std(by_seed, ddof=1) / np.sqrt(3))
    # The t distribution on two degrees of freedom has its tails in closed form.
    assert measured(ones, others, right).p == pytest.approx(1 - abs(t) / np.sqrt(2 + t**2))
    assert np.isnan(measured(ones[:2], others[:2], right).p)
    assert np.isnan(measured(ones, others[:1], right).p), "seeds that are not beside each other"
    assert np.isnan(measured(ones, ones, right).p)
    assert np.isnan(measured(ones, measure=right).p)


def test_what_no_seed_can_be_asked_is_undefined() -> None:
    nothing = [replace(asked(seed, 1.0), truth=np.zeros((120, 2))) for seed in (1, 2, 3)]
    assert str(measured(nothing)) == "undefined"
    assert str(measured(nothing, nothing)) == "undefined"
