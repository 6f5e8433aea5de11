"""Calibration: probabilities become true, ranks stay, few positives change little; the scope refuses what is unlike."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import Age
from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.errors import CheckpointError, ConfigError, UnreadableError
from auricle.evaluate.calibration import calibrate, platt, temperature
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.metrics import expected_calibration_error
from auricle.evaluate.protocols import answered
from auricle.methods import load_card, load_method
from auricle.predict import Predictor
from auricle.scope import FILE, Scope, age_scale, days_of
from auricle.simulate import cohort
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.fit import fit


def drawn(factor: float, shift: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and answers that are true at `factor * logit + shift`."""
    generator = np.random.default_rng(0)
    logit = generator.normal(0, 2, n)
    truth = generator.random(n) < 1 / (1 + np.exp(-(factor * logit + shift)))
    return logit, truth.astype(float)


def probability(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


class TestPlatt:
    @pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (0.4, 0.0), (2.5, -1.0), (0.7, 2.0)])
    def test_it_finds_how_the_answers_were_drawn(self, factor: float, shift: float) -> None:
        found = platt(*drawn(factor, shift))
        assert found == pytest.approx((factor, shift), abs=0.2)

    def test_error_falls_on_records_it_was_not_fitted_on(self) -> None:
        logit, truth = drawn(0.4, 1.0)
        factor, shift = platt(logit[:2000], truth[:2000])
        held, answers = logit[2000:], truth[2000:, None]
        before = expected_calibration_error(answers, probability(held)[:, None])[0]
        after = expected_calibration_error(answers, probability(factor * held + shift)[:, None])[0]
        assert after < 0.03 < 0.1 < before

    @given(st.integers(0, 3), st.integers(20, 60), st.integers(0, 1000))
    def test_few_positives_change_little_and_nothing_turns_round(self, positive: int, n: int, seed: int) -> None:
        logit = np.random.default_rng(seed).normal(-2, 1, n)
        truth = np.zeros(n)
        truth[np.argsort(logit)[:positive]] = 1  # the least likely ones have it: the worst that can be
        factor, shift = platt(logit, truth)
        assert factor > 0
        assert abs(shift) < 12
        assert np.isfinite([factor, shift]).all()


class TestTemperature:
    @pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
    def test_it_finds_how_one_of_all_was_drawn(self, factor: float) -> None:
        generator = np.random.default_rng(1)
        logits = generator.normal(0, 2, (4000, 4))
        shares = np.exp(factor * logits) / np.exp(factor * logits).sum(1, keepdims=True)
        truth = np.eye(4)[[generator.choice(4, p=row) for row in shares]]
        assert temperature(logits, truth) == (pytest.approx(factor, rel=0.1), 0.0)
        # Records without a class, with two, or not annotated with all say nothing.
        partly = np.tile([1.0, np.nan, np.nan, np.nan], (500, 1))
        with_others = np.concatenate([truth, np.zeros((500, 4)), np.ones((500, 4)), partly])
        again = temperature(np.concatenate([logits, generator.normal(0, 9, (1500, 4))]), with_others)
        assert again[0] == pytest.approx(temperature(logits, truth)[0])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    options = {"n": 300, "rate_hz": 100.0, "seconds": 4.0, "seed": 50, "diagnoses": "core"}
    ingest("simulated", Path(), out, options=options, rate_hz=100, workers=1)
    return out


@pytest.fixture
def weights(store: Path, tmp_path: Path) -> Path:
    values: dict[str, Any] = {
        "model": {
            "name": "supervised",
            "preset": "tiny",
            "input": {"rate_hz": 100, "band_hz": [0.5, 45], "seconds": 4},
        },
        "data": {"store": str(store), "task": "simulated/diagnosis"},
        "train": {"steps": 8, "batch_size": 16},
    }
    return fit(validate(RunConfig, values, "test"), tmp_path / "run")


def hospital(folder: Path, seed: int) -> tuple[Path, str]:
    """A store of real people, as a manifest has them, of whom a few are healthy; and what is asked of them."""
    made = cohort(45, seed, ages="adults", diagnoses={"CRBBB": 0.8}, rate_hz=100, seconds=4, quality="clean")
    folder.mkdir()
    lines = ["file,patient_id,age,labels"]
    for number, one in enumerate(made.recordings()):
        np.savez(folder / f"{number}.npz", signal=one.signal, rate_hz=100, leads=one.leads)
        lines.append(f"{number}.npz,{seed}-{number},{one.age.days:.0f}d,{'NORM' if 'NORM' in one.labels else 'CRBBB'}")
    (folder / "records.csv").write_text("\n".join(lines))
    ingest("manifest", folder / "records.csv", folder / "store", rate_hz=100, workers=1)
    question = (
        'id = "h"\ntitle = "h"\nsource = "manifest"\nclasses_of = "simulated/diagnosis"\n[split]\nby = "patient"\n'
    )
    (folder / "task.toml").write_text(question + "train = 0.1\nvalidation = 0.8\ntest = 0.1\n")
    return folder / "store", str(folder / "task.toml")


class TestCalibrate:
    def test_real_people_of_several_stores_count_together_and_before_simulated_ones(
        self, store: Path, weights: Path, tmp_path: Path
    ) -> None:
        one, other = (hospital(tmp_path / name, seed) for name, seed in (("one", 1), ("other", 2)))
        simulated = store, "simulated/diagnosis"
        alone = {found.name: found for found in calibrate(weights, [one, simulated])}
        assert (alone["NORM"].source, "CRBBB" in alone) == ("simulated", False)  # one hospital has too few
        both = {found.name: found for found in calibrate(weights, [one, simulated, other])}
        assert both["NORM"].source == both["CRBBB"].source == "manifest + manifest"
        assert both["NORM"].positive >= 10
        assert both["NORM"].negative == both["CRBBB"].positive
        # Asked twice, the same people count once.
        again = {found.name: found for found in calibrate(weights, [one, one, simulated])}
        assert again["NORM"].source == "simulated"

    def test_probabilities_change_as_the_card_says_and_ranks_do_not(self, store: Path, weights: Path) -> None:
        before = load_method(weights)
        fitted = calibrate(weights, [(store, "simulated/diagnosis")])
        after = load_method(weights)
        logits = torch.randn(50, len(before.class_names))
        old, new = before.probabilities(logits), after.probabilities(logits)
        named = {one.name: one for one in fitted}
        assert named
        for column, name in enumerate(after.class_names):
            if name not in named:
                assert torch.equal(old[:, column], new[:, column])
                continue
            wanted = torch.sigmoid(named[name].factor * logits[:, column] + named[name].shift)
            torch.testing.assert_close(new[:, column], wanted)
            assert torch.equal(old[:, column].argsort(), new[:, column].argsort())
        # At an age the pairs of the knots beside it are shared.
        over_age = after.config.over_age
        days = torch.tensor([math.nan, 0.0, 3.0, 365.25 * 95]).repeat(13)[:50]
        by_age = after.probabilities(logits, days)
        assert torch.equal(by_age[0], after.probabilities(logits)[0])
        for name, shifts in over_age.shift.items():
            column = after.class_names.index(name)
            for row, knot in ((1, 1), (3, -1)):
                wanted = torch.sigmoid(over_age.factor[name][knot] * logits[row, column] + shifts[knot])
                torch.testing.assert_close(by_age[row, column], wanted)
            between = over_age.at(torch.tensor([3.0]), [name])[1].item()
            assert min(shifts[1:3]) - 1e-6 <= between <= max(shifts[1:3]) + 1e-6
        said = load_card(weights)[0]["about"]["calibrated"]
        assert {one["class"] for one in said} == named.keys()
        assert all(one["positive"] >= 10 for one in said)

    def test_one_of_all_keeps_its_order_and_answers_with_its_sets(self, store: Path, tmp_path: Path) -> None:
        values: dict[str, Any] = {
            "model": {"name": "supervised", "preset": "tiny", "answers": "single_label",
                      "input": {"rate_hz": 100, "band_hz": [0.5, 45], "seconds": 4}},
            "data": {"store": str(store), "task": "simulated/diagnosis"},
            "train": {"steps": 8, "batch_size": 16},
        }  # fmt: skip
        run = fit(validate(RunConfig, values, "test"), tmp_path / "run")
        assert Predictor.from_pretrained(run).sets is None
        fitted = calibrate(run, [(store, "simulated/diagnosis")])
        assert len({(one.factor, one.shift) for one in fitted}) == 1
        method = load_method(run)
        logits = torch.randn(20, len(method.class_names))
        given = method.probabilities(logits, torch.full((20,), 400.0))
        torch.testing.assert_close(given.sum(1), torch.ones(20))
        assert torch.equal(given.argsort(1), logits.argsort(1))
        recording = next(iter(cohort(1, 3, rate_hz=100).recordings()))
        predictor = Predictor.from_pretrained(run)
        predictor.scope = None
        answer = predictor(recording)
        assert answer.sets.keys() == answer.scores.keys()
        assert answer.coverage == 0.9
        assert answer.scores_without_age is not None  # these weights read no age, and their calibration does

    def test_weights_that_are_told_no_age_are_calibrated_as_for_an_unknown_one(
        self, store: Path, weights: Path, tmp_path: Path
    ) -> None:
        calibrate(weights, [(store, "simulated/diagnosis")])
        card, folder = load_card(weights)
        # An age that is not told must not matter, whatever the pairs of the ages.
        for name, shifts in card["config"]["over_age"]["shift"].items():
            card["config"]["over_age"]["shift"][name] = [shifts[0], *(shift + 3 for shift in shifts[1:])]
        card["config"]["input"]["age"] = "unknown"
        (folder / "auricle.json").write_text(json.dumps(card))
        predictor = Predictor.from_pretrained(weights)
        predictor.scope = None
        (folder / FILE).rename(tmp_path / FILE)
        with pytest.raises(CheckpointError, match=f"{FILE} is missing"):
            Predictor.from_pretrained(weights)
        (tmp_path / FILE).rename(folder / FILE)
        made = cohort(1, 3, ages="children", rate_hz=100)
        recording = next(iter(made.recordings()))
        answer = predictor(recording)
        assert answer.scores_without_age is None
        assert answer.scores == pytest.approx(predictor(replace(recording, age=None)).scores)
        setting = setting_of(weights, Store(store), load_task("simulated/diagnosis"), tmp_path)
        test, _ = answered(setting, protocol="finetune")
        logits = torch.from_numpy(setting.each(setting.method.logits, setting.parts("test")["test"])).double()
        np.testing.assert_allclose(test.score, setting.method.probabilities(logits).numpy())

    def test_an_age_in_years_is_one_age_to_the_weights_their_evaluation_and_the_predictor(
        self, store: Path, weights: Path, tmp_path: Path
    ) -> None:
        calibrate(weights, [(store, "simulated/diagnosis")])
        folder = tmp_path / "years"
        folder.mkdir()
        ages, lines = ["1 yr", "2 yr", "40 yr"], ["file,patient_id,age,labels"]
        for number, one in enumerate(cohort(3, 5, rate_hz=100, seconds=4, quality="clean").recordings()):
            np.savez(folder / f"{number}.npz", signal=one.signal, rate_hz=100, leads=one.leads)
            lines.append(f"{number}.npz,p{number},{ages[number]},NORM")
        (folder / "records.csv").write_text("\n".join(lines))
        ingest("manifest", folder / "records.csv", folder / "store", rate_hz=100, workers=1)
        (folder / "task.toml").write_text(
            'id = "h"\ntitle = "h"\nsource = "manifest"\nclasses_of = "simulated/diagnosis"\n[split]\nby = "patient"\n'
            "train = 0\nvalidation = 0\ntest = 1\n"
        )
        asked = Store(folder / "store")
        setting = setting_of(weights, asked, load_task(folder / "task.toml"), tmp_path / "out")
        test, _ = answered(setting, protocol="finetune")
        assert test.age_days == pytest.approx(365.25 * np.array([1.5, 2.5, 40.5]))
        told = Predictor.from_pretrained(weights)([asked.recording(row) for row in range(3)])
        for row, one in enumerate(told):
            assert test.score[row] == pytest.approx([one.scores[name] for name in test.classes], abs=1e-5)

    def test_a_calibration_of_a_class_that_is_none_is_refused(self, store: Path, weights: Path) -> None:
        calibrate(weights, [(store, "simulated/diagnosis")])
        card, folder = load_card(weights)
        for key in ("has", "lacks"):
            card["config"]["sets"][key]["NROM"] = next(iter(card["config"]["sets"][key].values()))
        (folder / "auricle.json").write_text(json.dumps(card))
        with pytest.raises(CheckpointError, match="sets of NROM, which is none of the classes"):
            load_method(weights)

    def test_what_training_saw_does_not_calibrate(self, store: Path, weights: Path) -> None:
        with pytest.raises(ConfigError, match="training saw"):
            calibrate(weights, [(store, "ecg/findings")])

    def test_classes_of_another_question_are_refused(self, store: Path, weights: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.toml"
        shares = "train = 0.7\nvalidation = 0.1\ntest = 0.2\n"
        head = 'id = "o"\ntitle = "o"\nsource = "simulated"\n[split]\nby = "patient"\n'
        other.write_text(head + shares + '[[classes]]\nname = "Q"\ncodes = ["NORM"]\n')
        with pytest.raises(ConfigError, match="none of the classes"):
            calibrate(weights, [(store, str(other))])


def known(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of width 6 that follow the age, and the ages."""
    generator = np.random.default_rng(seed)
    days = days_of(generator.uniform(0, 6, n))
    features = generator.normal(0, 1, (n, 6)) * [5, 1, 1, 1, 0.1, 0.01]
    features[:, 1] += 4 * age_scale(days)
    return features, days


def scope() -> Scope:
    return Scope.fit(*known(), [known(seed=1)])


class TestScope:
    def test_nearly_all_of_what_was_held_back_is_inside(self) -> None:
        features, days = known(seed=2)
        outside = [bool(scope().against(row, Age(float(age)))) for row, age in zip(features, days, strict=True)]
        assert np.mean(outside) < 0.06  # 3 of 100 by their distance, 1 by their age, and as many again by chance

    def test_a_recording_far_from_all_is_outside_in_any_direction(self) -> None:
        middle = scope().mean
        for axis, far in ((0, 100.0), (4, 5.0)):
            features = middle.copy()
            features[axis] += far
            assert "unlike" in scope().against(features, None)[0]
        assert not scope().against(middle, None)

    def test_an_age_that_does_not_fit_is_named_with_what_it_looks_like(self) -> None:
        features, days = known(seed=3)
        oldest = int(np.argmax(days))
        (reason,) = scope().against(features[oldest], Age(3.0))
        assert "3 d does not fit" in reason
        assert "check the age" in reason
        assert not scope().against(features[oldest], None)

    def test_an_age_that_is_known_coarsely_is_given_the_benefit(self) -> None:
        features, days = known(seed=3)
        oldest = int(np.argmax(days))
        assert not scope().against(features[oldest], Age(3.0, float(days[oldest])))

    def test_ages_that_training_did_not_see_are_outside(self) -> None:
        features, days = known()
        adults = days > 1000
        (reason,) = Scope.fit(features[adults], days[adults], []).against(features[adults][0], Age(10.0))[-1:]
        assert "know ages from" in reason

    def test_ages_of_all_that_training_saw_count_where_features_are_of_a_part(self) -> None:
        features, days = known()
        few = np.argsort(days)[: len(days) // 2]
        oldest = Age(float(days.max()))
        part = Scope.fit(features[few], days[few], [])
        whole = Scope.fit(features[few], days[few], [], days)
        assert any("know ages" in reason for reason in part.against(features[few[0]], oldest))
        assert not any("know ages" in reason for reason in whole.against(features[few[0]], oldest))

    def test_it_is_saved_and_read_back(self, tmp_path: Path) -> None:
        one = scope()
        one.save(tmp_path)
        again = Scope.load(tmp_path, 6)
        np.testing.assert_allclose(again.distance(known()[0]), one.distance(known()[0]), rtol=1e-3)
        assert Scope.load(tmp_path / "nowhere", 6) is None
        with pytest.raises(CheckpointError, match="other weights"):
            Scope.load(tmp_path, 7)
        (tmp_path / FILE).write_bytes(b"no tensors")
        with pytest.raises(CheckpointError, match="calibrate again"):
            Scope.load(tmp_path, 6)

    def test_ages_without_a_known_one_leave_the_line_out(self) -> None:
        features, _ = known()
        one = Scope.fit(features, np.full(len(features), np.nan), [(features, np.full(len(features), np.nan))])
        assert not one.against(features[0], Age(9000.0))


def test_a_predictor_refuses_what_is_outside_and_answers_the_rest(store: Path, weights: Path) -> None:
    calibrate(weights, [(store, "simulated/diagnosis")])
    predictor = Predictor.from_pretrained(weights)
    recordings = list(cohort(3, 8, ages=[12000.0] * 3, quality="clean", rate_hz=100).recordings())
    assert len(predictor(recordings)) == 3
    predictor.scope = replace(predictor.scope, mean=predictor.scope.mean + 1e3)
    with pytest.raises(UnreadableError, match="no answer: the trace is unlike"):
        predictor(recordings[0])


def test_a_card_tells_on_whom_each_class_was_tested(weights: Path) -> None:
    card = json.loads((weights / "auricle.json").read_text())
    test = {"protocol": "finetune", "task": "t", "n_records": 90, "auroc": {"NORM": 0.9}}
    card["about"]["tests"] = [
        {**test, "source": "simulated", "positive": {"NORM": 50, "LVH": 12}},
        {**test, "source": "ptb_xl", "positive": {"NORM": 30, "LVH": 3}, "age_days": [7000.0, 30000.0]},
        {**test, "source": "ward", "positive": {"LVH": 11}, "age_days": [0.0, 6000.0]},
        {**test, "source": "x", "protocol": "zero_shot", "positive": {"RVH": 99}},
    ]
    (weights / "auricle.json").write_text(json.dumps(card))
    tested = Predictor.from_pretrained(weights).tested
    assert tested["NORM"] == ("simulated", "real_adults")
    assert tested["LVH"] == ("simulated", "real_children")
    assert tested["RVH"] == ()
