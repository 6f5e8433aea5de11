"""The linear probe against scikit-learn, and what must not influence it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from auricle.errors import DataError
from auricle.evaluate.probe import PENALTIES, fit_probe, fit_ridge, recovery
from auricle.evaluate.ranking import auroc


@pytest.fixture(autouse=True)
def one_thread():
    """Problems this small are solved faster by one thread than by two that wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(n=200, d=12, classes=3, seed=0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, d)) * np.logspace(-3, 3, d) + 5  # scales of a real encoder are as uneven
    weight = random.normal(size=(d, classes)) / np.logspace(-3, 3, d)[:, None]
    logits = (features - 5) @ weight - np.array([0.0, 1.5, 3.0])[:classes]
    return features, (random.random((n, classes)) < 1 / (1 + np.exp(-logits))).astype(float)


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("n", [40, 200])
def test_probe_is_the_optimum_sklearn_finds(penalty, n):
    features, targets = problem(n=n, d=60 if n == 40 else 12)  # fewer records than features, and more
    probe = fit_probe(features, targets, features, targets, penalties=[penalty])
    scaled = StandardScaler().fit_transform(features)
    got = probe.predict(features)
    for column in range(3):
        reference = LogisticRegression(C=1 / (penalty * n), tol=1e-10, max_iter=20_000).fit(scaled, targets[:, column])
        np.testing.assert_allclose(got[:, column], reference.predict_proba(scaled)[:, 1], atol=2e-4)


def test_all_penalties_at_once_are_each_on_its_own():
    features, targets = problem()
    together = fit_probe(features, targets, features, targets)
    alone = fit_probe(features, targets, features, targets, penalties=[together.penalty])
    np.testing.assert_allclose(together.predict(features), alone.predict(features), atol=1e-5)


def test_the_penalty_is_the_best_on_validation():
    features, targets = problem(n=60, d=40)
    other, truth = problem(n=400, d=40, seed=0)
    probe = fit_probe(features, targets, other, truth)
    assert set(probe.validation_auroc) == set(PENALTIES)
    assert probe.validation_auroc[probe.penalty] == max(probe.validation_auroc.values())
    assert probe.validation_auroc[probe.penalty] == pytest.approx(auroc(truth, probe.predict(other)).mean())


def test_validation_decides_the_penalty_and_nothing_else():
    features, targets = problem()
    one = fit_probe(features, targets, features, targets, penalties=[0.01])
    other = fit_probe(features, targets, features * 50 - 3, 1 - targets, penalties=[0.01])
    for name in ("mean", "scale", "weight", "bias"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)


def test_without_a_usable_validation_the_strongest_penalty_wins():
    features, targets = problem()
    probe = fit_probe(features, targets, features, np.zeros_like(targets))
    assert probe.penalty == max(PENALTIES)


def test_classes_that_cannot_be_learned_get_their_prior():
    features, targets = problem()
    targets[:, 1], targets[:, 2] = 0, np.nan
    targets[0, 2] = 1
    got = fit_probe(features, targets, features, targets).predict(features)
    np.testing.assert_allclose(got[:, 1], 0.5 / 201)
    np.testing.assert_allclose(got[:, 2], 1.5 / 2)
    assert np.ptp(got[:, 0]) > 0.5


def test_unannotated_records_count_for_the_other_classes_only():
    features, targets = problem()
    masked = targets.copy()
    masked[150:, 0] = np.nan
    # Equal standardisation is part of equality: give both fits the same mean and scale.
    scaled = StandardScaler().fit_transform(features)
    got = fit_probe(scaled, masked, scaled, targets, penalties=[0.01]).predict(scaled)
    reference = LogisticRegression(C=1 / (0.01 * 150), tol=1e-10, max_iter=5000).fit(scaled[:150], targets[:150, 0])
    np.testing.assert_allclose(got[:, 0], reference.predict_proba(scaled)[:, 1], atol=2e-4)
    full = fit_probe(scaled, targets, scaled, targets, penalties=[0.01]).predict(scaled)
    np.testing.assert_allclose(got[:, 1:], full[:, 1:], atol=1e-5)


def test_constant_features_are_harmless():
    features, targets = problem()
    with_constants = np.concatenate([features, np.ones((200, 2))], axis=1)
    one, other = (fit_probe(x, targets, x, targets).predict(x) for x in (features, with_constants))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_unusable_features_are_refused():
    features, targets = problem()
    with pytest.raises(DataError, match="not finite"):
        fit_probe(features * np.nan, targets, features, targets)
    with pytest.raises(DataError, match="a probe needs"):
        fit_probe(features[:10], targets, features, targets)


def test_recovery_finds_what_is_linear_and_not_what_is_absent():
    random = np.random.default_rng(0)
    axis = random.uniform(-180, 180, 400)
    rate, noise = random.normal(120, 30, 400), random.normal(size=400)
    features = np.stack([np.cos(np.deg2rad(axis)), np.sin(np.deg2rad(axis)), rate / 100], axis=1)
    features = features @ random.normal(size=(3, 20)) + 0.01 * random.normal(size=(400, 20))
    rate[:50] = np.nan
    found = recovery(
        features, {"axis": axis, "rate": rate, "noise": noise}, [str(row // 2) for row in range(400)], angles=["axis"]
    )
    assert found["axis"].value > 0.95
    assert found["rate"].value > 0.95
    assert found["noise"].value < 0.05
    assert (
        recovery(features, {"axis": axis}, [None] * 400)["axis"].value < found["axis"].value
    )  # degrees wrap, circles do not


def test_ridge_keeps_a_patient_in_one_fold():
    """Features that only name the patient say nothing about a patient never seen."""
    random = np.random.default_rng(0)
    value = np.repeat(random.normal(size=40), 10)
    features = np.repeat(np.eye(40), 10, axis=0)
    assert fit_ridge(features, value[:, None], [None] * 400).value > 0.9
    assert fit_ridge(features, value[:, None], [str(row // 10) for row in range(400)]).value < 0.1


def test_ridge_without_enough_groups_is_undefined():
    assert np.isnan(fit_ridge(np.eye(4), np.ones((4, 1)), ["a", "a", "b", "b"]).value)
    assert np.isnan(fit_ridge(np.eye(4), np.ones((4, 1)), [None] * 4).value)


def test_the_interval_of_r_squared_is_over_patients():
    random = np.random.default_rng(1)
    features = random.normal(size=(300, 4))
    value = features @ random.normal(size=4) + random.normal(size=300)
    alone = fit_ridge(features, value[:, None], [None] * 300)
    assert alone.low < alone.value < alone.high
    # Ten equal records of each of 300 people are no more people.
    groups = [str(row // 10) for row in range(3000)]
    tenfold = fit_ridge(np.repeat(features, 10, 0), np.repeat(value, 10)[:, None], groups)
    assert tenfold.high - tenfold.low == pytest.approx(alone.high - alone.low, rel=0.25)


def test_r_squared_says_when_it_is_not_defined():
    assert str(fit_ridge(np.eye(6), np.ones((6, 1)), [None] * 6)) == "not defined"
