"""Cross-validation: folds of patients with equal shares of the classes, and one prediction for every record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.batch import ECGBatch
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError
from auricle.evaluate.cross_validation import cross_validated, cross_validated_rows, stratified_folds
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting
from auricle.leads import LIMB
from auricle.methods import create_method
from auricle.simulate import cohort
from auricle.tasks import load_task

INPUT = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Heads are so small that threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("folds")
    options = {"n": 260, "diagnoses": "core", "ages": "adults", "rate_hz": 100.0, "seconds": 2.0}
    ingest("simulated", Path(), folder / "store", options=options, rate_hz=100)
    torch.manual_seed(0)
    method = create_method("lisa", "tiny", input=INPUT, text={"tower": "ngrams"}).eval()
    task = load_task("simulated/diagnosis")
    few = tuple(entry for entry in task.classes if entry.name in {"CRBBB", "CLBBB"})
    return Setting(method, Store(folder / "store"), task.model_copy(update={"classes": few}), folder / "out", "lisa")


def test_a_patient_is_in_one_fold_and_classes_in_equal_shares() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{number}" for number in rng.integers(0, 300, size=700)]
    ill = {name: rng.random(2) < (0.1, 0.4) for name in sorted(set(patients))}
    truth = np.array([ill[name] for name in patients], dtype=float)
    truth[3, 0] = np.nan
    fold = stratified_folds(truth, patients, 5)
    homes: dict[str, set[int]] = {}
    for name, number in zip(patients, fold.tolist(), strict=True):
        homes.setdefault(name, set()).add(number)
    assert all(len(home) == 1 for home in homes.values())
    for column in (np.nan_to_num(truth[:, 0]), truth[:, 1], np.ones(len(truth))):
        shares = np.bincount(fold, column, 5) / column.sum()
        assert shares.min() > 0.16
        assert shares.max() < 0.24
    assert np.array_equal(fold, stratified_folds(truth, patients, 5))
    assert not np.array_equal(fold, stratified_folds(truth, patients, 5, seed=1))


def test_too_few_patients_are_refused() -> None:
    truth = np.zeros((40, 1))
    truth[:8] = 1
    with pytest.raises(DataError, match="5 folds need 5 patients with every class, and one has 2"):
        stratified_folds(truth, ["a"] * 4 + ["b"] * 4 + [f"c{n}" for n in range(32)])
    with pytest.raises(DataError, match="5 folds need"):
        stratified_folds(np.zeros((0, 1)), [])


def test_every_record_is_predicted_once_above_chance_and_the_same_again(setting: Setting) -> None:
    torch.manual_seed(3)
    where = cross_validated(setting)
    first = Predictions.read(where / "predictions.parquet")
    assert len(first) == len(setting.store)
    assert first.meta.protocol == "cross_validated"
    assert first.meta.notes["folds"] == 5
    result = json.loads((where / "result.json").read_text())
    assert result["macro"]["auroc"]["low"] > 0.55
    torch.manual_seed(4)
    again = Predictions.read(cross_validated(setting) / "predictions.parquet")
    assert np.array_equal(first.score, again.score)


def test_labels_that_mean_nothing_stay_at_chance(setting: Setting) -> None:
    """Nothing of the tested fold reaches its head: features that know the record's number only cannot help."""
    generator = torch.Generator().manual_seed(0)

    def noise(batch: ECGBatch) -> torch.Tensor:
        return torch.randn(len(batch), 16, generator=generator)

    where = cross_validated(replace(setting, name="noise"), features=noise)
    assert json.loads((where / "result.json").read_text())["macro"]["auroc"]["value"] == pytest.approx(0.5, abs=0.12)


def test_six_leads_are_a_row_of_their_own(setting: Setting) -> None:
    seen: list[int] = []

    def features(batch: ECGBatch) -> torch.Tensor:
        seen.append(int(batch.lead_mask.any(0).sum()))
        return setting.method.embed(batch)

    six = Predictions.read(cross_validated(setting, leads=LIMB, features=features) / "predictions.parquet")
    assert set(seen) == {6}
    assert six.meta.preset == "I II III aVR aVL aVF"
    assert six.meta.notes["leads"] == "I, II, III, aVR, aVL, aVF"
    with pytest.raises(DataError, match="3 folds or more"):
        cross_validated(setting, 2)


def test_reference_rows_and_overlap_are_said(setting: Setting) -> None:
    (random,) = cross_validated_rows(setting, ["class_prior", "random_encoder"])
    assert Predictions.read(random / "predictions.parquet").meta.method == "random_encoder"
    seen = replace(setting, pretrained_on=("simulated",), name="seen")
    assert Predictions.read(cross_validated(seen) / "predictions.parquet").meta.overlap


def test_simulated_hypertension_is_one_thing_or_the_other() -> None:
    task = load_task("ph/simulated")
    truth = task.targets(cohort(3000, seed=5, ages="children", diagnoses="child", rate_hz=50, seconds=1.0).labels)
    assert truth.sum(1).max() == 1
    assert truth[:, 0].sum() > 40
    assert truth[:, 1].sum() > 500


def test_leads_go_with_cross_validation() -> None:
    from auricle.evaluate.run import _leads

    assert _leads(["i", " II", "avf"], ["cross_validated"]) == ("I", "II", "aVF")
    assert _leads(None, ()) is None
    with pytest.raises(ConfigError, match="leads go with the protocol cross_validated"):
        _leads(["I"], ["linear_probe"])
