"""Rates over age: recomputed slowly; ages to stay away from where a model was made wrong, none where it is right."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError
from auricle.evaluate.by_age import RATES, by_age
from auricle.evaluate.predictions import PredictionMeta, Predictions
from auricle.evaluate.thresholds import halves_of_people, thresholds_at
from auricle.over_age import KNOTS_DAYS, AnswerSets

META = PredictionMeta(protocol="audit", task="t", method="m")


def people(n=1500, seed=0, ill_newborns=0.0, missed_newborns=0.0, records_each=1):
    """Predictions of a fair model, but for newborns: a share of the healthy called ill, of the ill called healthy."""
    draw = np.random.default_rng(seed)
    days = 30 * np.expm1(draw.uniform(0, math.log1p(60 * DAYS_PER_YEAR / 30), n))
    truth = (draw.random(n) < 0.4).astype(float)
    score = np.where(truth == 1, draw.uniform(0.5, 1.0, n), draw.uniform(0.0, 0.5, n))
    newborn, wrong = days < 30, draw.random(n)
    score = np.where(newborn & (truth == 0) & (wrong < ill_newborns), 0.9, score)
    score = np.where(newborn & (truth == 1) & (wrong < missed_newborns), 0.1, score)
    ids = tuple(f"r{number}" for number in range(n))
    patients = tuple(f"p{number // records_each}" for number in range(n))
    return Predictions(ids, patients, days, ("A",), truth[:, None], score[:, None], META)


def test_rates_are_those_of_a_loop():
    case = people(n=200, ill_newborns=0.5)
    # Up to the second knot those above .2 may have it and those below .6 may not; nothing is said of older ones.
    older = len(KNOTS_DAYS) - 2
    sets = AnswerSets(has={"A": (1, 0.2, 0.2, *(0,) * older)}, lacks={"A": (0, 0.6, 0.6, *(1,) * older)})
    found = by_age(case, 0.5, sets=sets, n_bootstrap=20)
    (one,) = found.classes
    for row in (0, 40, 120):
        age = found.ages_days[row]
        sums = dict.fromkeys(RATES, (0.0, 0.0))
        for days, (true,), (score,) in zip(case.age_days, case.truth, case.score, strict=True):
            distance = math.log(1 + days / 30) - math.log(1 + age / 30)
            near, called = math.exp(-(distance**2) / (2 * 0.25**2)), float(score >= 0.5)
            # Between the second and the third knot the more cautious of both knots holds.
            may_have, may_lack = (float(days > KNOTS_DAYS[1] or one) for one in (score >= 0.2, score <= 0.6))
            added = {
                "sensitivity": (near * called * true, near * true),
                "false_positives": (near * called * (1 - true), near * (1 - true)),
                "calibration": (near * (score - true), near),
                "covered_with": (near * may_have * true, near * true),
                "covered_without": (near * may_lack * (1 - true), near * (1 - true)),
                "decided": (near * (may_have != may_lack), near),
            }
            sums = {name: (a + added[name][0], b + added[name][1]) for name, (a, b) in sums.items()}
        for name, (above, below) in sums.items():
            assert one.curves[name].n[row] == pytest.approx(below, rel=1e-4)
            if below >= 5:
                assert one.curves[name].value[row] == pytest.approx(above / below, rel=1e-5, abs=1e-6)
    newborn = case.age_days < 3
    healthy = newborn & (case.truth[:, 0] == 0)
    band = one.bands["false_positives"][0]
    assert band.n == healthy.sum()
    assert band.value == pytest.approx(np.mean(case.score[healthy, 0] >= 0.5))


def test_a_model_that_calls_newborns_ill_is_kept_away_from_them():
    case = people(ill_newborns=0.6)
    (one,) = by_age(case, 0.5).classes
    (where,) = [where for where in one.unfit if where.rate == "false_positives"]
    assert where.low_days == pytest.approx(case.age_days.min())
    assert 10 < where.high_days < 60  # the kernel blurs the edge at thirty days
    assert where.low > where.expected + 0.1
    wrong = {row for row in range(len(case)) if case.truth[row, 0] == 0 and case.score[row, 0] >= 0.5}
    assert {driver.record_id for driver in where.drivers} <= {f"r{row}" for row in wrong}
    assert where.n_drivers == where.n_patients
    # From half the way to the ages beside it.
    assert sum(case.age_days[row] <= where.high_days for row in wrong) <= where.n_drivers <= len(wrong)
    assert not [where for where in one.unfit if where.rate == "sensitivity"]


def test_a_model_that_misses_newborns_is_kept_away_from_them():
    (one,) = by_age(people(missed_newborns=0.7), 0.5).classes
    (where,) = [where for where in one.unfit if where.rate == "sensitivity"]
    assert where.high_days < 120
    assert where.high < where.expected - 0.1
    assert all(driver.score < 0.5 for driver in where.drivers)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_fair_model_no_age_is_kept_away_from(seed):
    (one,) = by_age(people(seed=seed), 0.5).classes
    rates = {where.rate for where in one.unfit}
    assert not rates & {"sensitivity", "false_positives"}
    assert not one.untested


def test_of_ages_at_which_few_people_are_nothing_is_said():
    case = people(n=1500)
    adults = case.select(np.flatnonzero((case.age_days > 20 * DAYS_PER_YEAR) | (case.age_days < 1)))
    (one,) = by_age(adults, 0.5).classes
    assert one.untested
    between = [pair for pair in one.untested if pair[0] < 5 * DAYS_PER_YEAR < pair[1]]
    assert between


def width(case):
    curve = by_age(case, 0.5).classes[0].curves["false_positives"]
    return float(np.nanmean(curve.high - curve.low))


def test_intervals_are_over_patients():
    case = people(n=600, ill_newborns=0.5)
    four = np.repeat(np.arange(600), 4)
    columns = {
        "record_id": tuple(map(str, range(2400))), "age_days": case.age_days[four], "truth": case.truth[four],
        "score": case.score[four],
    }  # fmt: skip
    of_one = replace(case, patient_id=tuple(case.patient_id[row] for row in four), **columns)
    of_four = replace(case, patient_id=(None,) * 2400, **columns)
    # The same person four times says no more; four people do.
    assert width(of_one) == pytest.approx(width(case), rel=0.15)
    assert width(of_four) < 0.6 * width(case)


def test_what_has_no_age_no_label_or_no_contrast_is_left_out():
    case = people(n=100)
    days = case.age_days.copy()
    days[:30] = np.nan
    both = replace(
        case, age_days=days, classes=("A", "B"), truth=np.hstack([case.truth, np.zeros((100, 1))]),
        score=np.hstack([case.score, case.score]),
    )  # fmt: skip
    found = by_age(both, 0.5, n_bootstrap=20)
    assert found.n_ageless == 30
    assert found.n_records == 70
    assert found.left_out == ("B",)
    with pytest.raises(DataError, match="age"):
        by_age(replace(case, age_days=np.full(100, np.nan)), 0.5)
    with pytest.raises(DataError, match="label"):
        by_age(replace(case, truth=np.full((100, 1), np.nan)), 0.5)


def test_scores_that_are_no_probabilities_have_no_calibration():
    case = people(n=100)
    cosines = replace(case, meta=META.model_copy(update={"scores_are_probabilities": False}))
    (one,) = by_age(cosines, 0.5, n_bootstrap=20).classes
    assert set(one.curves) == {"sensitivity", "false_positives"}


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_a_threshold_keeps_its_specificity_whatever_ties(pairs, specificity):
    score = np.array([[value / 8] for value, _ in pairs])
    truth = np.array([[float(true)] for _, true in pairs])
    n = len(pairs)
    case = Predictions(tuple(map(str, range(n))), (None,) * n, np.ones(n), ("A",), truth, score, META)
    (threshold,) = thresholds_at(case, specificity)
    without = score[truth == 0]
    if np.isnan(threshold):
        # Too few without it, or nobody could be called.
        allowed = math.floor((1 - specificity) * len(without) + 1e-9)
        assert len(without) < 10 or np.sort(without)[::-1][allowed] == score.max()
        return
    assert np.mean(without >= threshold) <= 1 - specificity + 1e-9
    # One tie lower would be too many.
    lower = without[without < threshold]
    if len(lower):
        assert np.mean(without >= lower.max()) > 1 - specificity - 1e-9


def test_halves_share_no_patient_and_do_not_change():
    case = people(n=400, records_each=3)
    first, second = halves_of_people(case)
    assert not set(first.patient_id) & set(second.patient_id)
    assert len(first) + len(second) == 400
    assert 100 < len(first) < 300
    assert halves_of_people(case.select(np.arange(400)[::-1]))[0].record_id == first.record_id[::-1]


@pytest.mark.parametrize(("low", "high", "rate"), [(0.0, 3.0, 0.6), (10 * 365.25, 12 * 365.25, 0.95)])
def test_what_is_narrower_than_the_kernel_is_told_by_its_band_or_diluted(low, high, rate):
    case = people(n=6000)
    draw = np.random.default_rng(1).random(6000)
    wrong = (case.age_days >= low) & (case.age_days < high) & (case.truth[:, 0] == 0) & (draw < rate)
    (one,) = by_age(replace(case, score=np.where(wrong[:, None], 0.9, case.score)), 0.5).classes
    told = [where for where in one.unfit if where.rate == "false_positives"]
    assert told
    assert min(where.low_days for where in told) <= (low + high) / 2 <= max(where.high_days for where in told)


def test_a_true_probability_is_not_held_against_few_people():
    """Of a handful of newborns nobody has it by chance, and a bootstrap of them has no width."""
    draw, flagged = np.random.default_rng(0), 0
    for seed in range(40):
        days = np.r_[np.full(6, 2.0), np.linspace(7000, 20000, 300)]
        truth = (draw.random(306) < 0.2).astype(float)
        ids = tuple(map(str, range(306)))
        case = Predictions(ids, (None,) * 306, days, ("A",), truth[:, None], np.full((306, 1), 0.2), META)
        (one,) = by_age(case, 0.5, seed=seed, n_bootstrap=100).classes
        flagged += any(where.rate == "calibration" and where.low_days < 100 for where in one.unfit)
        curve = one.curves["sensitivity"]
        known = np.isfinite(curve.value)
        assert (curve.high[known] > curve.low[known]).all()
    assert flagged <= 1


def test_a_model_that_says_yes_or_no_has_no_threshold_and_says_so():
    case = people(n=400)
    said = np.where(np.random.default_rng(0).random((400, 1)) < 0.4, 1.0, 0.0)
    case = replace(case, score=said)
    assert np.isnan(thresholds_at(case)).all()
    (one,) = by_age(case, thresholds_at(case)).classes
    assert set(one.curves) == {"calibration"}
    cosines = replace(case, meta=META.model_copy(update={"scores_are_probabilities": False}))
    assert by_age(cosines, thresholds_at(cosines)).left_out == ("A",)


def test_an_age_that_nobody_has_is_unknown():
    case = people(n=200)
    days = case.age_days.copy()
    days[:3] = (-999.0, 109575.0, np.inf)
    found = by_age(replace(case, age_days=days), 0.5, n_bootstrap=20)
    assert found.n_ageless == 3
    assert found.ages_days.max() < 61 * DAYS_PER_YEAR


def test_records_of_few_people_say_nothing_of_an_age():
    crowd = people(records_each=1)
    two = people(n=60, records_each=30)
    assert np.isnan(thresholds_at(two)).all()
    assert np.isfinite(thresholds_at(crowd)).all()
    (one,) = by_age(two, 0.5, n_bootstrap=20).classes
    assert len(one.untested) == 1
    assert one.untested[0][0] == pytest.approx(two.age_days.min())
    assert one.untested[0][1] == pytest.approx(two.age_days.max())
    # One newborn who was recorded twelve times and called ill each time tells nothing of newborns.
    babies = {"record_id": tuple(f"b{i}" for i in range(12)), "patient_id": ("baby",) * 12}
    older = people()
    mixed = replace(
        older, record_id=older.record_id + babies["record_id"], patient_id=older.patient_id + babies["patient_id"],
        age_days=np.append(np.maximum(older.age_days, 3000.0), [5.0] * 12),
        truth=np.vstack([older.truth, np.zeros((12, 1))]), score=np.vstack([older.score, np.full((12, 1), 0.97)]),
    )  # fmt: skip
    (beside,) = by_age(mixed, 0.5, n_bootstrap=20).classes
    assert [where for where in beside.unfit if where.low_days < 100] == []
    assert (
        max(cell.n_people for cell in one.bands["sensitivity"]) <= 2 < max(cell.n for cell in one.bands["sensitivity"])
    )
