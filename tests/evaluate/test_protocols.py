"""Protocols: predictions first, metrics from files; abilities are asked for; figures of gates read what they say."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.data.ingest import ingest
from auricle.data.loader import View
from auricle.data.sources import list_sources
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.evaluate.embed import over_records
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, finetuned, linear_probe, linear_recovery, zero_shot
from auricle.evaluate.ranking import auroc
from auricle.evaluate.reference import class_prior, reference_rows, untrained
from auricle.evaluate.robustness import only_leads
from auricle.explain.gates import gate_curves
from auricle.methods import create_method
from auricle.nn.film import FiLM
from auricle.simulate import cohort
from auricle.tasks import Task, list_tasks, load_task
from auricle.tasks.prompts import embed_prompts
from auricle.text.towers import load_tower
from auricle.train.watch import Watcher
from conftest import make_batch

INPUT = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)}


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("protocols")
    ingest(
        "simulated",
        Path(),
        folder / "store",
        options={"n": 240, "diagnoses": "core", "rate_hz": 100.0, "seconds": 5.0},
        rate_hz=100,
    )
    torch.manual_seed(0)
    method = create_method("lisa", "tiny", input=INPUT, text={"tower": "ngrams"}).eval()
    task = load_task("simulated/diagnosis")
    return Setting(method, Store(folder / "store"), task, folder / "out", name="lisa", preset="tiny")


def test_windows_are_pooled_by_their_mean(setting: Setting) -> None:
    view = setting.view(np.arange(7))
    pooled = over_records(setting.method.embed, view, batch_size=4)
    with torch.no_grad():
        by_hand = setting.method.embed(view.batch(np.array([3, 3, 3]), np.array([0, 200, 300]))).mean(0)
    assert np.allclose(pooled[3], by_hand, atol=1e-5)


def test_windows_with_nothing_to_read_have_no_say(setting: Setting, tmp_path: Path) -> None:
    """Two windows of two seconds, of which the second lacks what is left: by itself, or by what is done to it."""
    drawn = next(cohort(1, seed=4, rate_hz=100, seconds=4.0).recordings())
    signal = drawn.signal.copy()
    signal[1:, 200:] = np.nan
    signal[0, 200:300] = np.nan
    lines = ["file,patient_id"]
    for name, part in (("whole", signal), ("begun", signal[:, :200])):
        np.savez(tmp_path / f"{name}.npz", signal=part, rate_hz=100, leads=list(drawn.leads), unit="mV")
        lines.append(f"{name}.npz,{name}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    ingest("manifest", tmp_path / "m.csv", tmp_path / "s", rate_hz=100, workers=1)
    view = View(Store(tmp_path / "s"), np.arange(2), setting.method.config.input)
    change = partial(only_leads, leads=["II", "V1"])
    whole, begun = over_records(setting.method.embed, view, change=change)
    assert np.allclose(whole, begun, atol=1e-5)
    whole, begun = over_records(setting.method.embed, view)
    assert not np.allclose(whole, begun, atol=1e-3), "lead I is there all the time"


def test_zero_shot_writes_predictions_then_metrics(setting: Setting) -> None:
    where = zero_shot(setting)
    test, validation = (Predictions.read(where / f"{name}.parquet") for name in ("predictions", "validation"))
    assert not set(test.patient_id) & set(validation.patient_id)
    assert test.meta.protocol == "zero_shot"
    assert not test.meta.scores_are_probabilities
    assert np.abs(test.score).max() <= 1 + 1e-6
    result = json.loads((where / "result.json").read_text())
    assert result["classes"]["CRBBB"]["auroc"]["value"] == pytest.approx(auroc(test.truth, test.score)[1])
    assert setting.task.id in setting.method.prompt_sets


def test_the_probe_uses_shares_of_patients_and_seeds(setting: Setting) -> None:
    saved = linear_probe(setting, fractions=(0.1, 1.0), seeds=(0, 1))
    metas = [Predictions.read(where / "predictions.parquet").meta for where in saved]
    assert [(meta.fraction, meta.seed) for meta in metas] == [(0.1, 0), (0.1, 1), (1.0, 0)]
    assert metas[0].n_train < metas[2].n_train


def test_the_prior_knows_nothing_and_says_so(setting: Setting) -> None:
    result = json.loads((class_prior(setting) / "result.json").read_text())
    assert result["macro"]["auroc"]["value"] == 0.5


def test_an_untrained_encoder_is_another_one(setting: Setting) -> None:
    fresh = untrained(setting.method, seed=3)
    assert fresh.config == setting.method.config
    batch = make_batch(4, 2.0, 100)
    with torch.no_grad():
        assert not torch.allclose(fresh.embed(batch), setting.method.embed(batch))
    with pytest.raises(UnknownNameError, match="did you mean 'supervised'"):
        reference_rows(setting, ["supervise"], [1.0], [0], Watcher())


def test_recovery_reads_what_was_measured(setting: Setting) -> None:
    scores = linear_recovery(setting, ["heart_rate", "qrs_axis_deg"])
    assert set(scores) == {"heart_rate", "qrs_axis_deg"}
    assert all(score.low <= score.value <= score.high <= 1 for score in scores.values())
    with pytest.raises(ConfigError, match="no measurements height"):
        linear_recovery(setting, ["height"])


def test_abilities_are_asked_for(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="fine-tune it first"):
        finetuned(setting)
    from dataclasses import replace

    classifier = create_method("supervised", "tiny", input=INPUT, classes=("x",)).eval()
    with pytest.raises(ConfigError, match="not aligned with text"):
        zero_shot(replace(setting, method=classifier, name="supervised"))


def test_prompts_are_means_of_unit_vectors(setting: Setting) -> None:
    prompts = embed_prompts(setting.task, load_tower("ngrams"))
    assert prompts.shape == (8, 384)
    assert torch.allclose(prompts.norm(dim=1), torch.ones(8), atol=1e-5)
    bare = setting.task.model_copy(update={"classes": (setting.task.classes[0].model_copy(update={"prompts": {}}),)})
    with pytest.raises(DataError, match=r"no prompts \(en\) for NORM"):
        embed_prompts(bare, load_tower("ngrams"))


def test_prompts_of_another_language_pass_the_phrase_book_or_are_refused_or_warned_of(setting: Setting) -> None:
    def asked(prompt: str) -> torch.Tensor:
        entry = setting.task.classes[0].model_copy(update={"prompts": {"en": (prompt,)}})
        return embed_prompts(setting.task.model_copy(update={"classes": (entry,)}), load_tower("ngrams"))

    assert torch.equal(asked("Vorhofflimmern"), asked("atrial fibrillation"))
    assert torch.equal(asked("心房颤动"), asked("atrial fibrillation"))
    assert asked("st elevation of 200 µV").isfinite().all()
    for unread in ("фибрилляция предсердий", "心房颤动很怪"):
        with pytest.raises(DataError, match="is not English, and the tower ngrams"):
            asked(unread)
    for latin in ("infarctus du myocarde antérieur", "bloqueo de rama derecha", "blocco di branca destra",
                  "bloco de ramo esquerdo", "fibrilación auricular", "fibrillazione atriale"):  # fmt: skip
        with pytest.warns(UserWarning, match=f"the prompt '{latin}' may not be English"):
            asked(latin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for english in ("torsade de pointes, polymorphic ventricular tachycardia", "Takotsubo cardiomyopathy",
                        "anomalous left coronary artery"):  # fmt: skip
            asked(english)


def test_every_task_that_comes_along_is_whole() -> None:
    for name in list_tasks():
        task = load_task(name)
        assert task.id == name
        assert all(entry.codes for entry in task.classes)
        languages = {"en"} if task.source == "simulated" else {"en", "de", "zh"}
        assert all(set(entry.prompts) == languages and all(entry.prompts.values()) for entry in task.classes)
        assert task.source in list_sources()


def test_labels_match_by_exact_code(tmp_path: Path) -> None:
    task: Task = load_task("ptb_xl/super")
    targets = task.targets([["NORM"], ["IMI", "LVH"], ["XIMI"], []])
    names = task.class_names
    assert targets[0, names.index("NORM")] == 1
    assert targets[1, names.index("MI")] == targets[1, names.index("HYP")] == 1
    assert targets[2].sum() == 0
    assert np.isnan(targets[3]).all()
    own = (tmp_path / "own.toml").resolve()
    own.write_text(
        'id="own"\ntitle="t"\nsource="manifest"\n[split]\nby="patient"\ntrain=0.8\nvalidation=0.1\ntest=0.1\n[[classes]]\nname="a"\ncodes=["A"]\n'
    )
    assert load_task(own).class_names == ("a",)
    own.write_text(own.read_text() + '[[classes]]\nname="a"\ncodes=["B"]\n')
    with pytest.raises(DataError, match="same name"):
        load_task(own)


def test_gate_curves_start_at_one_and_follow_the_gates() -> None:
    method, batch = create_method("supervised", "tiny", gate={}).eval(), make_batch()
    fresh = gate_curves(method, batch, [0.0, 100.0, 9000.0])
    assert fresh.gamma.shape == (3, 10, 4)
    assert (fresh.gamma[np.isfinite(fresh.gamma)] == 1).all()
    assert np.isnan(fresh.gamma[:, -1]).all(), "the gains of scales have no groups"
    assert (fresh.beta[np.isfinite(fresh.beta)] == 0).all()
    assert np.allclose(fresh.contribution.sum(1), 1)
    assert fresh.scale_names == ("100 ms", "250 ms", "500 ms")
    assert np.allclose(fresh.scale_contribution.sum(1), 1)
    for module in method.modules():
        if isinstance(module, FiLM):
            torch.nn.init.normal_(module.net[-1].weight, std=0.5)
    trained = gate_curves(method, batch, [0.0, 9000.0])
    assert not np.allclose(trained.gamma[0, :-1], trained.gamma[1, :-1])
    assert not np.allclose(trained.beta[0, :-1], trained.beta[1, :-1])
    assert not np.allclose(trained.contribution[0], trained.contribution[1])
    assert not np.allclose(trained.scale_contribution[0], trained.scale_contribution[1])
    with pytest.raises(ConfigError, match="need an age gate"):
        gate_curves(create_method("supervised", "resnet_nano"), batch, [0.0])
