"""What a machine makes of a run: the arithmetic behind the sentence, and that timing trains nothing."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from auricle.cli import app
from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.methods import create_method
from auricle.train.config import RunConfig
from auricle.train.throughput import Throughput, throughput

FOUND = Throughput("a device", "32-true", 1000, 0.5, 100.0, 200.0, 400.0, read_together=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    ingest("simulated", Path(), out, options={"n": 60, "rate_hz": 100.0, "seconds": 4.0}, rate_hz=100, workers=1)
    return out


def test_shares() -> None:
    assert FOUND.share_of_peak == pytest.approx(0.25)
    assert FOUND.share_waiting == 0, "workers read four times as fast as the device computes"
    assert replace(FOUND, read_per_second=50.0).share_waiting == pytest.approx(0.5)
    assert replace(FOUND, read_together=True).share_waiting == pytest.approx(0.2)


def test_products_are_counted_as_by_hand(store: Path) -> None:
    """The products of a supervised tiny ResNet: two for each weight and place, forward, and at most twice that back."""
    model = {"name": "supervised", "preset": "tiny", "input": {"rate_hz": 100, "seconds": 4.0, "band_hz": [0.5, 45]},
             "encoder": {"name": "resnet1d", "preset": "tiny"}}  # fmt: skip
    values = {"model": model, "data": {"store": str(store), "task": "simulated/diagnosis"}, "train": {"batch_size": 8}}
    found = throughput(validate(RunConfig, values, "test"))
    method = create_method("supervised", "tiny", input=model["input"], encoder=model["encoder"])
    places: list[int] = []
    for layer in method.encoder.modules():
        if isinstance(layer, torch.nn.Conv1d):
            layer.register_forward_hook(lambda layer, _, out: places.append(layer.weight.numel() * out.shape[-1]))
    with torch.no_grad():
        method.encoder(
            torch.zeros(1, 12, 400), torch.ones(1, 12, dtype=torch.bool), torch.ones(1, 400, dtype=torch.bool)
        )
    forward = 2 * sum(places) / 1e9
    assert 2.5 * forward < found.gflop < 3.1 * forward
    assert found.records_per_second > 0
    assert 0 < found.share_of_peak < 1
    assert found.read_together


def test_the_command_says_it_and_writes_it(store: Path, tmp_path: Path) -> None:
    given = ["throughput", "--store", str(store), "--task", "simulated/diagnosis", "--method", "supervised"]
    small = ["--preset", "tiny", "--batch-size", "8", "model.input.rate_hz=100", "model.input.band_hz=[0.5,45]"]
    done = CliRunner().invoke(app, [*given, *small, "--out", str(tmp_path / "t.csv")])
    assert done.exit_code == 0, done.output
    assert "records/s" in done.output
    assert "GFLOP/s" in done.output
    (row,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert float(row["records_per_second"]) > 0
    assert row["precision"] in ("32-true", "bf16-mixed")
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"]
