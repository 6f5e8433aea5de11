"""Sets of answers: nine in ten are covered at each age whatever the model is worth, and few records decide nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.config import validate
from auricle.errors import ConfigError
from auricle.evaluate.conformal import Answered, fit_sets, lasting, sets_of
from auricle.evaluate.predictions import PredictionMeta, Predictions
from auricle.over_age import KNOTS_DAYS, AnswerSets, CalibrationOverAge, shares

OLDEST = 60 * DAYS_PER_YEAR


def people(n: int, seed: int, newborns_alike: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, truth and ages; a model that knows much of adults and little, or nothing, of newborns."""
    draw = np.random.default_rng(seed)
    days = 30 * np.expm1(draw.uniform(0, math.log1p(OLDEST / 30), n))
    truth = (draw.random(n) < 0.3).astype(float)
    know = np.where(days < 60, 0.0 if newborns_alike else 1.0, 4.0)
    logit = know * (truth - 0.5) + draw.normal(0, 1, n)
    return 1 / (1 + np.exp(-logit)), truth, days


def said(p: np.ndarray, truth: np.ndarray, days: np.ndarray, person: np.ndarray | None = None) -> Answered:
    """Answers that do not depend on whether the age is told, each of a person of its own."""
    return Answered(p, p, truth, days, np.arange(len(p)) if person is None else person)


def covered(sets: AnswerSets, p: np.ndarray, truth: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) whether what is so is in the set, and whether the set is one answer."""
    lowest, highest = (one.numpy() for one in sets.thresholds("A", torch.from_numpy(days)))
    has, lacks = p >= lowest, p <= highest
    return np.where(truth == 1, has, lacks), has ^ lacks


class TestCoverage:
    @pytest.mark.parametrize("newborns_alike", [False, True])
    @pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
    def test_it_is_kept_at_every_age_and_for_either_answer(self, coverage: float, newborns_alike: bool) -> None:
        sets = fit_sets({"A": [said(*people(20000, 0, newborns_alike))]}, coverage)
        p, truth, days = people(40000, 1, newborns_alike)
        held, decided = covered(sets, p, truth, days)
        for low, high in ((0, 15), (15, 60), (200, 1000), (5000, OLDEST)):
            for answer in (0, 1):
                rows = (days >= low) & (days < high) & (truth == answer)
                # Between two knots the more cautious one holds; a bandwidth mixes ages.
                assert coverage - 0.04 < held[rows].mean(), (low, answer)
        assert decided[days > 5000].mean() > decided[days < 15].mean()

    def test_an_average_over_ages_would_not_keep_it(self) -> None:
        p, truth, _ = people(20000, 0)
        sets = fit_sets({"A": [said(p, truth, np.full(len(p), np.nan))]})
        assert sets.has["A"][1:] == (0.0,) * len(KNOTS_DAYS)  # of no age is anything known
        q, answers, ages = people(20000, 1)
        held = np.where(answers == 1, q >= sets.has["A"][0], q <= sets.lacks["A"][0])
        young = (ages < 15) & (answers == 1)
        assert held.mean() == pytest.approx(0.9, abs=0.02)
        assert held[young].mean() < 0.8

    @given(st.integers(0, 8), st.integers(0, 1000))
    def test_nine_who_have_it_decide_nothing(self, positive: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        truth = (np.arange(200) < positive).astype(float)
        sets = fit_sets({"A": [said(draw.random(200), truth, np.full(200, 30.0))]})
        assert set(sets.has["A"]) == {0.0}
        for days in (None, 0.0, 30.0, 9000.0):
            assert sets.answer("A", 0.0, days) in ("no", "either")

    def test_the_quantile_is_that_of_a_loop(self) -> None:
        draw = np.random.default_rng(4)
        p, n = draw.random(57), 57
        sets = fit_sets({"A": [said(p, np.ones(n), np.full(n, np.nan))]})
        # The smallest number of them, of n and one more, that is nine in ten.
        wanted = sorted(p, reverse=True)[math.ceil(0.9 * (n + 1)) - 1]
        assert sets.has["A"][0] == wanted

    def test_a_score_at_the_threshold_is_covered_however_few_scores_there_are(self) -> None:
        truth = (np.arange(600) < 10).astype(float)
        p = np.where(np.random.default_rng(0).random(600) < 0.05, 0.9, 0.1)
        sets = fit_sets({"A": [said(p, truth, np.full(600, 30.0))]})
        assert sets.answer("A", 0.1, 30.0) in ("no", "either")
        tiny = fit_sets({"A": [said(np.full(600, 1e-18), truth, np.full(600, 30.0))]})
        assert tiny.answer("A", 1e-18, 30.0) in ("no", "either")

    def test_recordings_of_one_person_count_as_one(self) -> None:
        draw = np.random.default_rng(0)
        person = np.repeat(np.arange(3), 6)
        sets = fit_sets({"A": [said(draw.random(18), np.ones(18), np.full(18, 30.0), person)]})
        assert set(sets.has["A"]) == {0.0}

    def test_what_is_asked_without_an_age_has_a_threshold_of_its_own(self) -> None:
        draw = np.random.default_rng(0)
        told, untold = draw.uniform(0.35, 1, 500), draw.uniform(0.2, 1, 500)
        sets = fit_sets({"A": [Answered(told, untold, np.ones(500), np.full(500, 30.0), np.arange(500))]})
        assert sets.has["A"][0] == pytest.approx(0.28, abs=0.03)
        assert sets.thresholds("A", torch.tensor([30.0]))[0].item() == pytest.approx(0.415, abs=0.03)

    def test_no_answer_goes_against_its_probability(self) -> None:
        sets = AnswerSets(
            knots_days=(0.0, 6000.0), has={"A": (0.02,) * 3, "B": (0.9,) * 3}, lacks={"A": (0.01,) * 3, "B": (0.8,) * 3}
        )
        said = {p: (sets.answer("A", p, 100.0), sets.answer("B", p, 100.0)) for p in (0.01, 0.08, 0.6, 0.95)}
        assert said == {
            0.01: ("no", "no"), 0.08: ("either", "no"), 0.6: ("yes", "either"), 0.95: ("yes", "yes"),
        }  # fmt: skip

    def test_an_age_that_nobody_can_have_is_an_unknown_one(self) -> None:
        p, truth, days = people(3000, 0)
        ids = tuple(map(str, range(3000)))
        meta = PredictionMeta(protocol="audit", task="t", method="m")
        some = np.arange(3000) < 4
        found = [
            sets_of(Predictions(ids, ids, np.where(some, wrong, days), ("A",), truth[:, None], p[:, None], meta))
            for wrong in (np.nan, -999.0, 1e6)
        ]
        assert found[0] == found[1] == found[2]

    def test_no_age_lies_between_two_knots_that_do_not_see_it(self) -> None:
        # A score that turns round in a narrow stretch of ages, where it was of use before.
        p, truth, days = people(60000, 0)
        turned = (days > 130) & (days < 260)
        p = np.where(turned, 1 - p, p)
        sets = fit_sets({"A": [said(p[:30000], truth[:30000], days[:30000])]})
        held, _ = covered(sets, p[30000:], truth[30000:], days[30000:])
        inside = turned[30000:] & (days[30000:] > 170) & (days[30000:] < 220)
        assert held[inside].mean() > 0.75

    def test_the_last_data_set_that_knows_an_age_holds_there(self) -> None:
        whole = said(*people(20000, 0))
        p, truth, days = people(40000, 5)
        grown = days > 20 * DAYS_PER_YEAR
        adults = said(p[grown], truth[grown], days[grown])
        first, second, both = (fit_sets({"A": stores}) for stores in ([whole], [adults], [whole, adults]))
        assert both.has["A"][1] == first.has["A"][1]
        assert both.has["A"][-2] == second.has["A"][-2] != first.has["A"][-2]


def test_what_lasts_is_the_last_number_that_is_one() -> None:
    rows = np.array([[1.0, 2.0, np.nan], [np.nan, 5.0, np.nan]])
    assert lasting(rows, 0.0).tolist() == [1.0, 5.0, 0.0]


class TestShares:
    @given(st.floats(-10, 60000))
    def test_they_sum_to_one_over_two_neighbours(self, days: float) -> None:
        (row,) = shares(torch.tensor([days], dtype=torch.float64), KNOTS_DAYS).tolist()
        assert row[0] == 0
        assert sum(row) == pytest.approx(1)
        used = [place for place, share in enumerate(row) if share > 0]
        assert used[-1] - used[0] <= 1

    def test_a_knot_has_itself_and_an_unknown_age_its_own(self) -> None:
        ages = torch.tensor([*KNOTS_DAYS, math.nan], dtype=torch.float64)
        torch.testing.assert_close(shares(ages, KNOTS_DAYS)[:, 1:][:-1], torch.eye(len(KNOTS_DAYS)).double())
        assert shares(ages, KNOTS_DAYS)[-1].tolist() == [1.0] + [0.0] * len(KNOTS_DAYS)


def test_three_answers() -> None:
    n = len(KNOTS_DAYS) + 1
    sets = AnswerSets(has={"A": (0.6,) * n, "B": (0.2,) * n}, lacks={"A": (0.4,) * n, "B": (0.7,) * n})
    assert [sets.answer("A", p, 10.0) for p in (0.1, 0.45, 0.55, 0.9)] == ["no", "no", "yes", "yes"]
    assert [sets.answer("B", p, None) for p in (0.1, 0.5, 0.9)] == ["no", "either", "yes"]
    assert sets.answer("C", 0.99, 10.0) == "either"


def test_a_set_that_does_not_fit_its_knots_is_refused() -> None:
    n = len(KNOTS_DAYS) + 1
    good = {"has": {"A": [0.5] * n}, "lacks": {"A": [0.5] * n}}
    validate(AnswerSets, good, "test")
    for wrong, why in (
        ({"has": {"A": [0.5]}, "lacks": {"A": [0.5]}}, "one for each knot"),
        ({"lacks": {}}, "for the same classes"),
        ({"has": {"A": [7.0] * n}}, "less than or equal to 1"),
        ({"knots_days": []}, "at least 1 item"),
        ({"knots_days": [-40.0]}, "greater than or equal to 0"),
    ):
        with pytest.raises(ConfigError, match=why) as refused:
            validate(AnswerSets, {**good, **wrong}, "test")
        assert len(str(refused.value)) < 400
    with pytest.raises(ConfigError, match="greater than 0"):
        validate(CalibrationOverAge, {"factor": {"A": [-1.0] * n}, "shift": {"A": [0.0] * n}}, "test")
