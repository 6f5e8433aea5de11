"""Training from Python: what the verbs do, and weights that a Predictor reads."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.batch import TextBatch
from auricle.config import read_toml, validate
from auricle.data.ingest import ingest
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.methods import load_card
from auricle.paediatrics import wording
from auricle.simulate.newborn import newborn
from auricle.tasks import load_task
from auricle.train.config import RECIPES, RunConfig, read_recipe
from auricle.train.setup import load_run
from conftest import make_batch

TOWER = "model.text.tower=ngrams"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    options = {"n": 120, "diagnoses": "core", "rate_hz": 250.0, "seconds": 4.0}
    ingest("simulated", Path(), out, options=options, rate_hz=250, workers=1)
    return out


@pytest.fixture(scope="module")
def pretrained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "lisa"
    return auricle.pretrain(
        store, out, preset="tiny", task="simulated/diagnosis", steps=2, batch_size=8, seed=3,
        settings=[TOWER],
    )  # fmt: skip


def test_weights_trained_in_python_answer_without_labels(pretrained: Path) -> None:
    prediction = auricle.Predictor.from_pretrained(pretrained)(newborn())
    assert prediction.kind == "similarity"
    assert tuple(prediction.scores) == load_task("simulated/diagnosis").class_names


def test_options_settings_and_recipes_meet_in_the_run(pretrained: Path, store: Path, tmp_path: Path) -> None:
    assert load_run(pretrained.parent).train.seed == 3
    gated = auricle.finetune(
        store, tmp_path / "gate", task="simulated/diagnosis", init_from=pretrained, steps=1, batch_size=8,
        config="age_gate_frozen",
    )  # fmt: skip
    run = load_run(gated.parent)
    assert (run.model.backbone, run.model.gate.code, run.train.steps) == ("frozen", "log_month", 1)
    prediction = auricle.Predictor.from_pretrained(gated)(newborn())
    assert prediction.scores_without_age is not None
    assert prediction.disclaimer == RESEARCH_USE


def test_what_a_run_evaluates_to_is_in_its_tables(pretrained: Path, store: Path, tmp_path: Path) -> None:
    given = auricle.evaluate_run(
        pretrained, store, tmp_path / "results", task="simulated/diagnosis", protocols=["linear_probe", "recovery"],
        rows=["class_prior"], fractions=[1.0], name="python",
    )  # fmt: skip
    assert {result["meta"]["method"] for result in given.results} == {"python", "class_prior"}
    assert ["by age" in table for table in given.tables] == [False, True]
    assert all("python" in table for table in given.tables)
    assert np.isfinite(list(given.recovery.values())).all()
    with pytest.raises(ConfigError, match="to-card"):
        auricle.evaluate_run(
            pretrained, store, tmp_path / "results", task="simulated/diagnosis", protocols=["recovery"], rows=[],
            to_card=True,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="unknown protocol"):
        auricle.evaluate_run(pretrained, store, tmp_path / "r", task="simulated/diagnosis", protocols=["nought"])


def test_a_test_is_kept_in_the_card_and_said_by_predict(pretrained: Path, store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    for _ in range(2):
        auricle.evaluate_run(
            run, store, tmp_path / "results", task="simulated/diagnosis", protocols=["zero_shot"], rows=[], to_card=True
        )
    (test,) = load_card(run)[0]["about"]["tests"]
    result = json.loads(next((tmp_path / "results").rglob("result.json")).read_text())
    assert test["n_records"] == result["n_records"]
    assert test["auroc"]["CRBBB"] == result["classes"]["CRBBB"]["auroc"]["value"]
    said = " ".join(auricle.Predictor.from_pretrained(run).knows())
    assert f"Tested on {test['n_records']} records" in said
    assert f"CRBBB {test['auroc']['CRBBB']:.2f}" in said
    assert "not kept" not in said


def test_a_task_without_prompts_is_said_before_training_and_no_error_after_it(store: Path, tmp_path: Path) -> None:
    text = (Path(auricle.__file__).parent / "tasks" / "simulated" / "diagnosis.toml").read_text(encoding="utf-8")
    bare = tmp_path / "bare.toml"
    bare.write_text("\n".join(line for line in text.splitlines() if not line.startswith("prompts")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not any(entry.prompts for entry in load_task(bare).classes), "the test's task has prompts left"
    with pytest.warns(UserWarning, match="no prompt"):
        weights = auricle.pretrain(
            store, tmp_path / "run", preset="tiny", task=str(bare), steps=1, batch_size=8,
            settings=[TOWER],
        )  # fmt: skip
    assert not auricle.load_method(weights).prompt_sets


def test_a_prompt_that_the_tower_cannot_read_is_told_before_training(store: Path, tmp_path: Path) -> None:
    text = (Path(auricle.__file__).parent / "tasks" / "simulated" / "diagnosis.toml").read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("prompts ="))
    (tmp_path / "russian.toml").write_text(text.replace(first, 'prompts = ["нормальная экг"]', 1), encoding="utf-8")
    with pytest.raises(DataError, match="'нормальная экг' is not English"):
        auricle.pretrain(
            store, tmp_path / "run", preset="tiny", task=str(tmp_path / "russian.toml"), steps=10**6, batch_size=8,
            settings=[TOWER],
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_every_recipe_is_a_run_and_says_what_it_is() -> None:
    for name in RECIPES.names():
        assert read_toml(RECIPES.find(name))["title"]
        values = read_recipe(name)
        model = {"name": "lisa", **values.get("model", {})}
        RunConfig.model_validate({**values, "model": model, "data": {"store": "s"}})
    with pytest.raises(UnknownNameError, match="age_gate_frozen"):
        read_recipe("age_gate_frozn")


def test_a_wrong_key_of_a_part_is_told_with_those_there_are() -> None:
    parts = {"adults": {"stream": {"agse": "adults"}}}
    with pytest.raises(ConfigError, match=r"'data\.parts\.adults\.stream\.agse': did you mean 'ages'"):
        validate(RunConfig, {"model": "merl", "data": {"parts": parts}}, "test")
    with pytest.raises(ConfigError, match=r"'data\.parts\.adults\.strm': did you mean 'stream'"):
        validate(RunConfig, {"model": "merl", "data": {"parts": {"adults": {"strm": {}}}}}, "test")


def test_one_sentence_says_what_all_of_it_is_for() -> None:
    assert wording.words("en")["research"] == RESEARCH_USE


def test_slicing_and_gathering_reports_drops_no_field() -> None:
    text = make_batch(6).text
    assert text is not None
    index = torch.tensor([4, 0])
    chosen, everyone = text.select(index), text.gather()
    for field in TextBatch.__dataclass_fields__:
        whole = getattr(text, field)
        assert torch.equal(getattr(chosen, field), whole[index])
        assert torch.equal(getattr(everyone, field), whole)


def test_an_encoder_that_was_never_trained_is_not_kept(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--from"):
        auricle.finetune(store, tmp_path / "run", task="simulated/diagnosis", config="age_gate_frozen")
    assert not (tmp_path / "run").exists()
