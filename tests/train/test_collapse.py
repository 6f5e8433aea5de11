"""The watch for collapse: what the rank counts, that every method's features are seen, and what a log says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.loader import Steps
from auricle.data.order import Shuffle
from auricle.errors import ConfigError
from auricle.methods import Progress, create_method, list_methods
from auricle.train.collapse import FeatureWatch, effective_rank
from auricle.train.config import RunConfig, TrainConfig
from auricle.train.fit import fit
from auricle.train.setup import build
from conftest import make_batch


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    ingest("simulated", Path(), out, options={"n": 40, "rate_hz": 100.0, "seconds": 4.0}, rate_hz=100, workers=1)
    return out


def config(store: Path, method: str, **model: object) -> RunConfig:
    made = {
        "model": {"name": method, "preset": "tiny", "input": {"rate_hz": 100, "band_hz": [0.5, 45]}, **model},
        "data": {"store": str(store), "task": "simulated/diagnosis"},
        "train": {"steps": 4, "batch_size": 8, "log_every": 2},
    }
    return validate(RunConfig, made, "test")


def test_rank_counts_directions() -> None:
    line = torch.randn(32, 1) @ torch.randn(1, 16)
    assert float(effective_rank(line + 3)) == pytest.approx(1, abs=0.01)
    assert float(effective_rank(torch.ones(32, 16))) < 1.01
    assert 12 < float(effective_rank(torch.randn(512, 16))) <= 16.01


@pytest.mark.parametrize("name", list_methods())
def test_the_features_of_every_method_are_seen(name: str) -> None:
    torch.manual_seed(0)
    method = create_method(name, "tiny").train()
    watch = FeatureWatch(method)
    assert watch.rank() is None
    method.step(make_batch(), Progress(0, 1))
    rank = watch.rank()
    assert rank is not None
    assert 1 <= rank <= 32  # some look at each record twice, or at three copies of it as well


def test_what_is_not_finite_has_no_rank() -> None:
    method = create_method("supervised", "tiny").eval()
    watch = FeatureWatch(method)
    method.encoder.modulate_output(torch.full((4, method.encoder.width), torch.nan), None)
    assert watch.rank() is None


def test_one_record_alone_says_nothing_of_collapse() -> None:
    method = create_method("supervised", "tiny").eval()
    watch = FeatureWatch(method)
    method.encoder.modulate_output(torch.randn(1, method.encoder.width), None)
    assert watch.rank() is None


def test_the_log_of_a_run_has_the_rank_whatever_is_trained(store: Path, tmp_path: Path) -> None:
    fit(config(store, "supervised"), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert all(1 <= line["rank"] <= 8 for line in lines)


@pytest.mark.parametrize(("method", "together"), [("clocs", True), ("simclr", False)])
def test_batches_hold_one_patients_records_where_the_method_asks(store: Path, method: str, together: bool) -> None:
    _, _, steps = build(config(store, method))
    assert isinstance(steps, Steps)
    assert steps.shuffle.same_patient is together
    said = config(store, method).model_copy(
        update={"train": TrainConfig(batch_size=8, shuffle=Shuffle(same_patient=not together))}
    )
    _, _, steps = build(said)
    assert isinstance(steps, Steps)
    assert steps.shuffle.same_patient is not together


def test_a_run_is_not_resumed_with_another_target_momentum(store: Path, tmp_path: Path) -> None:
    fit(config(store, "byol"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"begun with another model\.target_momentum"):
        fit(config(store, "byol", target_momentum=0.5), tmp_path / "run", resume=True)
