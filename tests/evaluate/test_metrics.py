"""Metrics against scikit-learn, a slow bootstrap, and the traps: ties, missing truth, classes without a positive."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from auricle.age import AGE_BANDS, DAYS_PER_YEAR
from auricle.atomic import write_json
from auricle.errors import DataError
from auricle.evaluate import bootstrap, metrics, ranking
from auricle.evaluate.metrics import summarise, top_accuracy
from auricle.evaluate.predictions import PredictionMeta, Predictions, patient_codes

META = PredictionMeta(protocol="linear_probe", task="ptb_xl/super", method="lisa", fraction=0.1)


def make(n=300, classes=3, patients=120, seed=0, ties=False, **changes):
    random = np.random.default_rng(seed)
    truth = (random.random((n, classes)) < 0.3).astype(float)
    score = 1 / (1 + np.exp(-(truth + random.normal(size=truth.shape))))
    given = {
        "record_id": tuple(f"r{row}" for row in range(n)),
        "patient_id": tuple(f"p{code}" for code in random.integers(patients, size=n)),
        "age_days": random.uniform(0, 80 * DAYS_PER_YEAR, n),
        "classes": tuple(f"class {column}" for column in range(classes)),
        "truth": truth,
        "score": np.round(score, 1) if ties else score,
        "meta": META,
    }
    return Predictions(**(given | changes))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_ranking_metrics_agree_with_sklearn(ties, weighted):
    case = make(ties=ties)
    weights = np.random.default_rng(1).integers(0, 4, (2, len(case))).astype(float) if weighted else None
    for ours, theirs in ((ranking.auroc, roc_auc_score), (ranking.average_precision, average_precision_score)):
        for row in range(2):
            got = (
                ours(case.truth, case.score, weights) if weights is None else ours(case.truth, case.score, weights)[row]
            )
            sample_weight = None if weights is None else weights[row]
            expected = [theirs(case.truth[:, c], case.score[:, c], sample_weight=sample_weight) for c in range(3)]
            np.testing.assert_allclose(got, expected, rtol=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_auroc_is_the_share_of_pairs_won(pairs):
    truth, score = np.array([[float(t)] for t, _ in pairs]), np.array([[float(s)] for _, s in pairs])
    positive, negative = score[truth == 1], score[truth == 0]
    got = ranking.auroc(truth, score)[0]
    if len(positive) == 0 or len(negative) == 0:
        assert np.isnan(got)
    else:
        won = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        assert got == pytest.approx(won.mean())
        assert ranking.auroc(truth, -score)[0] == pytest.approx(1 - got)


def test_missing_truth_is_masked_per_class():
    case = make()
    truth = case.truth.copy()
    truth[:100, 1] = np.nan
    expected = roc_auc_score(case.truth[100:, 1], case.score[100:, 1])
    assert ranking.auroc(truth, case.score)[1] == pytest.approx(expected)
    assert ranking.auroc(truth, case.score)[0] == ranking.auroc(case.truth, case.score)[0]
    assert metrics.accuracy(truth, case.score, np.full(3, 0.5))[1] == pytest.approx(
        accuracy_score(case.truth[100:, 1], case.score[100:, 1] >= 0.5)
    )


def test_classes_without_positives_or_negatives_are_skipped_and_counted():
    case = make(classes=4)
    truth = case.truth.copy()
    truth[:, 1], truth[:, 2] = 0, 1
    result = summarise(make(classes=4, truth=truth), n_bootstrap=20)
    assert result["n_skipped"] == 2
    assert result["skipped"] == ["class 1", "class 2"]
    assert result["classes"]["class 1"]["auroc"] == {"value": None, "low": None, "high": None}
    both = [roc_auc_score(truth[:, c], case.score[:, c]) for c in (0, 3)]
    assert result["macro"]["auroc"]["value"] == pytest.approx(np.mean(both))


def slow_bootstrap(case, metric, n, seed):
    """Rows repeated as often as their patient was drawn, one replicate at a time, macro means only."""
    random, codes = np.random.default_rng(seed), patient_codes(case.patient_id)
    n_patients = codes.max() + 1
    values = []
    for draw in random.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=n):
        rows = np.repeat(np.arange(len(case)), draw[codes])
        values.append(np.mean([metric(case.truth[rows, c], case.score[rows, c]) for c in range(len(case.classes))]))
    return np.quantile(values, (0.025, 0.975))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ranking.auroc, roc_auc_score), (ranking.average_precision, average_precision_score)]
)
def test_bootstrap_agrees_with_a_slow_loop(ours, theirs, monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", 7 * 300)  # several blocks, the last one short
    case = make(ties=True)
    interval = bootstrap.bootstrap_over_patients(case, ours, n=60, seed=3)
    np.testing.assert_allclose(
        (interval.macro_low, interval.macro_high), slow_bootstrap(case, theirs, 60, 3), rtol=1e-9
    )


def test_intervals_draw_patients_and_not_records():
    case = make(n=100)
    ten_each = np.repeat(np.arange(100), 10)
    copies = Predictions(
        tuple(f"r{row}" for row in range(1000)), tuple(f"p{row}" for row in ten_each), case.age_days[ten_each],
        case.classes, case.truth[ten_each], case.score[ten_each], META,
    )  # fmt: skip
    strangers = Predictions(
        copies.record_id, (None,) * 1000, copies.age_days, copies.classes, copies.truth, copies.score, META
    )
    honest = bootstrap.bootstrap_over_patients(copies, ranking.auroc, n=300)
    naive = bootstrap.bootstrap_over_patients(strangers, ranking.auroc, n=300)
    assert honest.macro_high - honest.macro_low > 2 * (naive.macro_high - naive.macro_low)


def test_thresholds_maximise_f1_and_may_not_come_from_the_test_part():
    validation, test = make(seed=1, ties=True), make(seed=2)
    thresholds = metrics.best_thresholds(validation.truth, validation.score)
    for column, threshold in enumerate(thresholds):
        truth, score = validation.truth[:, column], validation.score[:, column]
        best = max(f1_score(truth, score >= candidate) for candidate in np.unique(score))
        assert f1_score(truth, score >= threshold) == pytest.approx(best)
    got = metrics.f1(test.truth, test.score, thresholds)
    expected = [f1_score(test.truth[:, c], test.score[:, c] >= thresholds[c]) for c in range(3)]
    np.testing.assert_allclose(got, expected)
    assert summarise(test, n_bootstrap=5)["macro"]["f1"] is None
    assert summarise(test, validation, n_bootstrap=5)["macro"]["f1"]["value"] == pytest.approx(np.mean(expected))


def test_a_class_without_validation_positive_has_no_threshold_and_no_part_in_the_mean():
    test, validation = make(seed=2), make(seed=1)
    truth = validation.truth.copy()
    truth[:, 1] = 0
    unchosen = replace(validation, truth=truth)
    assert np.isnan(metrics.best_thresholds(unchosen.truth, unchosen.score)[1])
    all_told = summarise(test, validation, n_bootstrap=5)
    told = summarise(test, unchosen, n_bootstrap=5)
    assert told["unchosen"] == [test.classes[1]]
    assert all_told["unchosen"] == []
    for metric in ("f1", "accuracy"):
        kept = [all_told["classes"][name][metric]["value"] for name in (test.classes[0], test.classes[2])]
        assert told["macro"][metric]["value"] == pytest.approx(np.mean(kept))
        assert told["classes"][test.classes[1]][metric]["value"] is None


def test_calibration_error_of_calibrated_and_of_overconfident_scores():
    random = np.random.default_rng(0)
    probability = random.random((20_000, 1))
    truth = (random.random((20_000, 1)) < probability).astype(float)
    assert metrics.expected_calibration_error(truth, probability)[0] < 0.02
    half = np.zeros((1000, 1))
    half[:500] = 1
    assert metrics.expected_calibration_error(half, np.full((1000, 1), 0.9))[0] == pytest.approx(0.4)


def test_bands_hold_the_records_of_their_ages():
    ages = np.r_[np.full(100, 3.0), np.full(150, 30 * DAYS_PER_YEAR), np.full(50, np.nan)]
    result = summarise(make(age_days=ages), n_bootstrap=20)
    counts = {band["name"]: band["n_records"] for band in result["bands"] if band["n_records"]}
    assert counts == {"3-30 d": 100, "16-40 yr": 150}
    newborns = result["bands"][1]["macro"]["auroc"]
    case = make(age_days=ages)
    assert newborns["value"] == pytest.approx(ranking.auroc(case.truth[:100], case.score[:100]).mean())
    assert newborns["low"] < newborns["value"] < newborns["high"]


def test_default_bands_leave_no_age_out():
    edges = [(band.low_days, band.high_days) for band in AGE_BANDS]
    assert edges[0][0] == 0
    assert edges[-1][1] == np.inf
    assert all(high == low for (_, high), (low, _) in pairwise(edges))


def test_curve_over_age_sees_where_scores_are_useless():
    case = make(n=2000)
    score, child = case.score.copy(), case.age_days < 10 * DAYS_PER_YEAR
    score[child] = np.random.default_rng(5).random((child.sum(), 3))
    case = make(n=2000, score=score)
    ages = np.array([4.0, 60.0]) * DAYS_PER_YEAR
    value, low, high = metrics.macro_over_age(case, ages, n=50)
    assert value[0] < 0.6 < 0.7 < value[1]
    assert (low < value).all()
    assert (value < high).all()
    nowhere, _, _ = metrics.macro_over_age(make(age_days=np.full(300, 60 * DAYS_PER_YEAR)), np.array([1.0]))
    assert np.isnan(nowhere[0])


def test_a_curve_over_age_says_nothing_where_nobody_near_has_a_class():
    healthy, ill = np.full(100, 3.0), np.full(100, 60 * DAYS_PER_YEAR)
    truth = np.repeat([0.0, 1.0], 100)[:, None]
    case = make(n=200, classes=1, age_days=np.concatenate([healthy, ill]), truth=truth, score=truth)
    value, low, high = metrics.macro_over_age(case, np.array([3.0]), n=20)
    assert np.isnan([value[0], low[0], high[0]]).all()


def test_one_patient_has_no_interval():
    alone = make(n=40, patients=1)
    interval = bootstrap.bootstrap_over_patients(alone, ranking.auroc, n=20)
    assert np.isnan([*interval.low, *interval.high, interval.macro_low, interval.macro_high]).all()


def test_somebody_with_many_records_is_one_person_near_an_age():
    codes = np.array([0, 0, 0, 1])
    kernel = np.array([[1.0, 1.0, 1.0, 0.5], [0.2, 0.2, 0.0, 0.0]])
    near = bootstrap.people_near(kernel, np.array([True, True, True, True]), bootstrap.by_person(codes))
    assert near == pytest.approx([1.5, 0.4])


def test_the_result_is_strict_json(tmp_path):
    truth = np.full((300, 3), np.nan)
    write_json(tmp_path / "new" / "result.json", summarise(make(truth=truth), n_bootstrap=5))
    read = json.loads((tmp_path / "new" / "result.json").read_text(), parse_constant=pytest.fail)
    assert read["n_skipped"] == 3
    assert read["macro"]["auroc"] == {"value": None, "low": None, "high": None}
    assert read["meta"]["task"] == "ptb_xl/super"


def test_no_calibration_error_of_cosines():
    cosine = META.model_copy(update={"scores_are_probabilities": False, "protocol": "zero_shot"})
    result = summarise(make(meta=cosine, score=make().score - 0.5), n_bootstrap=5)
    assert result["macro"]["ece"] is None


def test_predictions_survive_their_file(tmp_path):
    truth = make().truth.copy()
    truth[0, 0] = np.nan
    ages = make().age_days.copy()
    ages[3] = np.nan
    case = make(truth=truth, age_days=ages, patient_id=(None, *make().patient_id[1:]))
    case.write(tmp_path / "predictions.parquet")
    read = Predictions.read(tmp_path / "predictions.parquet")
    assert (read.record_id, read.patient_id, read.classes, read.meta) == (
        case.record_id, case.patient_id, case.classes, case.meta,
    )  # fmt: skip
    for name in ("truth", "score", "age_days"):
        np.testing.assert_array_equal(getattr(read, name), getattr(case, name))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "predictions.parquet"
    make().write(path)
    before = path.read_bytes()

    def broken(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        make(seed=1).write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_unusable_predictions_are_refused(tmp_path):
    with pytest.raises(DataError, match="not finite"):
        make(score=np.full((300, 3), np.nan))
    with pytest.raises(DataError, match="0, 1 or NaN"):
        make(truth=np.full((300, 3), 2.0))
    with pytest.raises(DataError, match="occurs twice"):
        make(record_id=("same",) * 300)
    with pytest.raises(DataError, match="no such predictions file"):
        Predictions.read(tmp_path / "absent.parquet")
    (tmp_path / "other.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="not a predictions file"):
        Predictions.read(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="other classes"):
        summarise(make(), make(classes=4))


def test_unknown_patients_are_persons_of_their_own():
    assert patient_codes(["a", None, "a", None, "b"]).tolist() == [0, 1, 0, 2, 3]


def test_every_metric_has_the_interval_of_a_bootstrap_over_patients():
    case = make(n=150, patients=60)
    case.truth[5, 1] = np.nan
    result = summarise(case, case, n_bootstrap=100)
    weights = bootstrap.patient_weights(case, 100, 0)
    thresholds = metrics.best_thresholds(case.truth, case.score)
    for name in metrics.METRICS:
        overall = result["macro"][name]
        assert overall["low"] < overall["value"] < overall["high"], name
    # Drawn again record by record instead of by weights.
    for name in ("f1", "accuracy"):
        metric = getattr(metrics, name)
        drawn = [[np.repeat(part, times, axis=0) for part in (case.truth, case.score)] for times in weights]
        slow = np.array([metric(truth, score, thresholds) for truth, score in drawn])
        low, high = np.quantile(slow[:, 1], (0.025, 0.975))
        entry = result["classes"]["class 1"][name]
        assert (entry["low"], entry["high"]) == pytest.approx((low, high))


def test_sensitivity_is_read_where_the_specificity_is_ninety_per_cent():
    random = np.random.default_rng(4)
    truth = (random.random(300) < 0.3).astype(float)
    score = np.round(truth * 0.4 + random.random(300), 2)  # with ties
    positive, negative = truth == 1, truth == 0
    cuts = [score >= cut for cut in np.unique(score)]
    slow = max(called[positive].mean() for called in cuts if (~called)[negative].mean() >= 0.9)
    (found,) = ranking.sensitivity(truth[:, None], score[:, None])
    assert found == pytest.approx(slow)
    assert ranking.sensitivity(truth[:, None], score[:, None], np.full((1, 300), 2.0))[0, 0] == pytest.approx(slow)
    assert np.isnan(ranking.sensitivity(np.ones((4, 1)), np.arange(4.0)[:, None]))[0]
    assert ranking.sensitivity(np.array([[1.0], [0.0], [0.0]]), np.ones((3, 1)))[0] == 0


def test_one_answer_of_all_is_right_where_its_class_has_the_highest_score() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [np.nan, 1, 0], [1, 0, 0]])
    score = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [1, 0, 0], [0, 1, 0], [0.4, 0.4, 0.2]])
    assert top_accuracy(truth, score).tolist() == [0.75] * 3, "two records have no one class; the first of equals wins"
    weights = np.array([[1, 3, 0, 5, 5, 0], [0, 0, 0, 1, 1, 0]])
    assert top_accuracy(truth, score, weights)[0].tolist() == [0.25] * 3
    assert np.isnan(top_accuracy(truth, score, weights)[1]).all()


def test_accuracy_of_a_single_label_is_that_of_the_highest_score() -> None:
    generator = np.random.default_rng(0)
    truth = np.eye(3)[generator.integers(0, 3, 200)]
    score = truth * 0.4 + generator.random((200, 3))
    meta = PredictionMeta(protocol="finetune", task="t", method="m", answers="single_label")
    names = tuple(f"r{i}" for i in range(200))
    made = Predictions(names, names, np.full(200, np.nan), ("a", "b", "c"), truth, score / 2, meta)
    single = summarise(made, made, n_bootstrap=20)["macro"]["accuracy"]
    assert single["value"] == pytest.approx((truth.argmax(1) == score.argmax(1)).mean())
    assert single["low"] < single["value"] < single["high"]
    each = replace(made, meta=meta.model_copy(update={"answers": "multi_label"}))
    assert summarise(each, each, n_bootstrap=20)["macro"]["accuracy"]["value"] != single["value"]
