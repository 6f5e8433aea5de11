"""All figures of runs: what is drawn is what the runs have, and the command line says what it cannot draw."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.evaluate.predictions import PredictionMeta, Predictions
from auricle.explain.weights import by_class, weights_figure
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from running import auricle, refused

INPUT = {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of children and three runs that learned next to nothing: with a gate, without, and without labels."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"n": 160, "ages": "children", "diagnoses": "core", "rate_hz": 100, "seconds": 4}
    ingest("simulated", Path(), folder / "store", options=options, rate_hz=100, workers=1)
    groups = {"name": "lead_groups", "preset": "tiny"}
    for name, model in {
        "gated": {"name": "supervised", "gate": {}, "encoder": groups},
        "plain": {"name": "supervised", "encoder": {"name": "resnet1d", "preset": "tiny"}},
        "lisa": {"name": "lisa", "encoder": groups, "text": {"tower": "ngrams"}},
    }.items():
        values = {
            "model": {**model, "input": INPUT}, "train": {"steps": 2, "batch_size": 8},
            "data": {"store": folder / "store", "task": "simulated/diagnosis"},
        }  # fmt: skip
        fit(validate(RunConfig, values, name), folder / name)
    return folder


def test_every_figure_that_the_runs_have(runs: Path, tmp_path: Path) -> None:
    asked = ("figures", "B4=" + str(runs / "gated"), runs / "plain", runs / "lisa", "--store", runs / "store")
    done = auricle(*asked, "--task", "simulated/diagnosis", "--out", tmp_path / "out", "--class", "RVH")
    assert not done.returncode, done.stderr
    files = {path.name for path in (tmp_path / "out").glob("*.png")}
    spaces = {f"tsne-{name}-{by}.png" for name in ("b4", "plain", "lisa") for by in ("age", "diagnosis")}
    assert files == spaces | {
        "gates-b4.png", "weights-b4.png", "weights-lisa.png", "auroc-age.png", "rates-rvh.png", "trace-b4-rvh.png",
        "trace-plain-rvh.png",
    }  # fmt: skip
    page = (tmp_path / "out" / "figures.html").read_text()
    assert len(re.findall(r"<img[^>]*alt=\"[^\"]+\"", page)) == len(files), "each on the page, with words for the blind"
    assert "Research use" in page


def test_what_cannot_be_drawn_is_said(runs: Path, tmp_path: Path) -> None:
    asked = ("figures", runs / "gated", "--store", runs / "store", "--out", tmp_path / "out")
    refused(auricle(*asked, "--class", "XYZ"), "has no class XYZ")
    refused(auricle(*asked[:2], runs / "gated", *asked[2:]), "two runs are called gated")
    refused(auricle("figures", tmp_path / "nothing", *asked[2:], "--task", "simulated/diagnosis"), "no such folder")
    assert not (tmp_path / "out").exists()


def test_a_class_raises_a_group_by_the_difference_of_means() -> None:
    generator, n = np.random.default_rng(0), 90
    truth = np.zeros((n, 3))
    truth[:40, 0], truth[:3, 1] = 1, 1  # the second class too few have, the third nobody
    numbers = generator.random((n, 4))
    numbers[:40, 1] += 0.5
    names = tuple(f"r{row}" for row in range(n))
    meta = PredictionMeta(protocol="weights", task="t", method="m", scores_are_probabilities=False)
    asked = Predictions(names, names, np.full(n, np.nan), ("a", "b", "c"), truth, np.zeros((n, 3)), meta)
    found = by_class(numbers, ("limb", "chest"), asked)
    assert (found.classes, found.n_positive) == (("a",), (40,))
    expected = numbers[:40].mean(0) - numbers[40:].mean(0)
    assert np.allclose(found.weight[0, :, 0], expected[:2])
    assert np.allclose(found.contribution[0, :, 0], expected[2:])
    assert found.weight[0, 1, 1] > 0.3, "this group is surely raised"
    assert found.contribution[0, 0, 1] < 0 < found.contribution[0, 0, 2]
    left, right = weights_figure(found).axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["a (40)"]
    assert right.get_title(loc="left") == "Share in the representation"
