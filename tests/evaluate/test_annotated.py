"""What is not annotated is neither learned nor scored, and training says what its labels can teach."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from auricle.config import validate
from auricle.data.cells import labels_of
from auricle.data.ingest import ingest
from auricle.data.sources import describe_source, get_source, list_sources
from auricle.data.store import Store
from auricle.errors import DataError
from auricle.evaluate.predictions import Predictions
from auricle.evaluate.protocols import Setting, finetuned, linear_probe
from auricle.evaluate.reference import class_prior
from auricle.evaluate.robustness import CONDITIONS, robustness
from auricle.methods import load_method
from auricle.simulate import cohort
from auricle.tasks import Task, known_codes, load_task
from auricle.tasks.answers import count_answers, resembling
from auricle.tasks.spelling import codes_like
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.watch import ConsoleWatcher

TASK = """id = "mine"
title = "mine"
source = "manifest"
[split]
by = "patient"
train = 0.6
validation = 0.2
test = 0.2
[[classes]]
name = "NORM"
codes = ["NORM"]
[[classes]]
name = "OTHER"
codes = ["RVH", "CRBBB"]
"""
N, N_UNLABELLED = 60, 25


@pytest.mark.parametrize(
    "label",
    [
        "norm",
        "?NORM",
        "V.a. NORM",
        "kein NORM",
        "NORM?",
        "疑似NORM",
        "n o r m",
        "norm?",
        "V.a. NORM?",
        "NORM (?)",
        "?NORM?",
        "no evidence of NORM",
        "nicht NORM",
        "va norm",
    ],
)
def test_a_label_written_like_a_code_is_neither_with_nor_without_it(label: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TASK)
    task = load_task(tmp_path / "mine.toml")
    (alone, beside, coded) = task.targets([[label], [label, "RVH"], [label, "NORM"]]).tolist()
    assert alone == pytest.approx([np.nan, 0.0], nan_ok=True)
    assert beside == pytest.approx([np.nan, 1.0], nan_ok=True)
    assert coded == [1.0, 0.0]
    said = resembling(task, [[label], ["RVH"], [label, "RVH"]])
    assert not said if label == "NORM?" else "2 like NORM" in said[0]
    assert label == "NORM?" or f"{label} (3) like NORM" in resembling(task, [[label]] * 3)[0]


def test_a_code_of_another_task_hides_no_spelling_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        TASK.replace('["NORM"]', '["norm"]').replace('["RVH", "CRBBB"]', '["RV_H", "RV-H"]')
    )
    task = load_task(tmp_path / "mine.toml")
    assert task.targets([["NORM"]]).tolist()[0] == pytest.approx([np.nan, 0.0], nan_ok=True)
    assert task.resembled(["rvh"]) == {"rvh": ("RV-H", "RV_H")}
    assert task.resembled(["STACH"]) == {}


def test_labels_of_other_words_and_codes_resemble_none() -> None:
    for label in ("normal", "RVHX", "STE_", "STE", "426783006", "none", "no finding", "SR"):
        assert not codes_like(label, frozenset({"NORM", "RVH", "STE_"}), known_codes()), label


def store_of(folder: Path, labels: list[str]) -> Store:
    """A store of one short record a label."""
    folder.mkdir()
    drawn = cohort(len(labels), seed=4, rate_hz=100, seconds=4.0)
    lines = ["file,patient_id,age,labels"]
    for number, (recording, label) in enumerate(zip(drawn.recordings(), labels, strict=True)):
        np.savez(
            folder / f"r{number:03}.npz", signal=recording.signal, rate_hz=100, leads=list(recording.leads), unit="mV"
        )
        lines.append(f"r{number:03}.npz,p{number},{number + 1} d,{label}")
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
    ingest("manifest", folder / "records.csv", folder / "store", rate_hz=100, workers=1)
    return Store(folder / "store")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """The same labelled records alone, and with records behind them of which nothing is known."""
    folder = tmp_path_factory.mktemp("annotated")
    labels = [("NORM", "RVH", "none", "NORM;RVH?")[number % 4] for number in range(N)]
    return {
        "labelled": store_of(folder / "labelled", labels),
        "mixed": store_of(folder / "mixed", labels + [""] * N_UNLABELLED),
    }


def task_of(tmp_path: Path, text: str = TASK) -> Task:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_task(path)


def run(store: Store, task: Task, **train: Any) -> RunConfig:
    spec = {"rate_hz": 100, "seconds": 2.0, "band_hz": [0.5, 45]}
    values = {
        "model": {"name": "supervised", "preset": "tiny", "input": spec},
        "data": {"store": str(store.path), "task": task.origin},
        "train": {"steps": 3, "batch_size": 8, **train},
    }
    return validate(RunConfig, values, "test")


def test_targets_tell_no_from_unknown(tmp_path: Path) -> None:
    targets = task_of(tmp_path).targets(
        [["NORM"], [], ["none"], ["NORM", "RVH?"], ["RVH?"], ["CRBBB", "RVH?"], ["ICD:Q21"]]
    )
    unknown = float("nan")
    expected = [[1, 0], [unknown] * 2, [0, 0], [1, unknown], [0, unknown], [0, 1], [unknown] * 2]
    assert np.array_equal(targets, np.array(expected, dtype=np.float32), equal_nan=True)
    assert task_of(tmp_path).targets([]).shape == (0, 2)


def test_a_cell_that_may_mean_two_things_is_refused() -> None:
    assert labels_of("none") == ("none",)
    assert labels_of("nan") == labels_of("") == ()
    with pytest.raises(DataError, match=r"leave the cell empty.*write none in small letters"):
        labels_of("None")


def test_unlabelled_records_change_no_number(stores: dict[str, Store], tmp_path: Path) -> None:
    task = task_of(tmp_path)
    found: dict[str, list[Predictions]] = {}
    weights = {}
    for name, store in stores.items():
        folder = fit(run(store, task), tmp_path / f"run-{name}")
        weights[name] = load_method(folder).state_dict()
        setting = Setting(load_method(folder).eval(), store, task, tmp_path / name, name="supervised")
        where = [finetuned(setting), *linear_probe(setting, [0.5, 1.0], [0]), class_prior(setting)]
        found[name] = [Predictions.read(path / "predictions.parquet") for path in where]
    assert all(torch.equal(weights["labelled"][name], tensor) for name, tensor in weights["mixed"].items())
    for alone, mixed in zip(found["labelled"], found["mixed"], strict=True):
        assert mixed.record_id == alone.record_id
        assert mixed.meta.n_train == alone.meta.n_train
        assert np.array_equal(mixed.score, alone.score)
        assert np.array_equal(mixed.truth, alone.truth, equal_nan=True)


def test_a_part_without_labels_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path / "bare", [""] * 20)
    with pytest.raises(DataError, match=r"no record of the train part has labels.*says `none`"):
        fit(run(store, task_of(tmp_path)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_without_a_positive_is_refused_with_the_nearest_codes(
    stores: dict[str, Store], tmp_path: Path
) -> None:
    misspelt = task_of(tmp_path, TASK.replace('["NORM"]', '["NORMAL"]').replace('["RVH", "CRBBB"]', '["RVHT"]'))
    with pytest.raises(
        DataError, match=r"code of task mine \(NORMAL, RVHT\); the nearest in the store: NORM \(\d+\), RVH"
    ):
        fit(run(stores["labelled"], misspelt), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_labels_can_teach_is_said_before_the_first_step(stores: dict[str, Store], tmp_path: Path) -> None:
    half = task_of(tmp_path, TASK.replace('["RVH", "CRBBB"]', '["RVHT"]'))
    with Console(record=True, width=200) as console:
        fit(run(stores["mixed"], half), tmp_path / "run", watcher=ConsoleWatcher("supervised", console))
    said = console.export_text()
    rows = half.annotated_parts(stores["mixed"])["train"]
    norm, other = count_answers(half, half.store_targets(stores["mixed"])[rows])
    assert (norm.positive + norm.negative, other.positive) == (len(rows), 0)
    assert f"NORM {norm.positive} / {norm.negative}, OTHER 0 / {other.negative}" in said
    assert re.search(r"! OTHER: no training record has it \(the nearest in the store: RVH", said)


def test_what_is_asked_as_recorded_is_what_evaluation_says(stores: dict[str, Store], tmp_path: Path) -> None:
    task = task_of(tmp_path)
    method = load_method(fit(run(stores["labelled"], task), tmp_path / "run")).eval()
    setting = Setting(method, stores["labelled"], task, tmp_path / "out", name="supervised")
    robustness(setting, CONDITIONS[:1])
    (asked,) = (setting.folder / "robustness").rglob("predictions.parquet")
    own = Predictions.read(finetuned(setting) / "predictions.parquet")
    assert np.array_equal(Predictions.read(asked).score, own.score)
    assert len(own) > 3
    results = [json.loads(path.read_text()) for path in setting.folder.rglob("result.json")]
    assert len({result["macro"]["auroc"]["value"] for result in results}) == 1


@pytest.mark.parametrize("name", list_sources())
def test_every_source_says_what_an_absent_label_means(name: str) -> None:
    module = __import__(type(get_source(name)).__module__, fromlist=["_"])
    assert "Absence:" in (module.__doc__ or ""), describe_source(name)


def test_verbs_take_the_runs_own_task_and_a_file_wherever_a_task_is_asked_for(
    stores: dict[str, Store], tmp_path: Path
) -> None:
    from auricle.cli import app

    task, out = task_of(tmp_path), tmp_path / "out"
    fit(run(stores["labelled"], task), tmp_path / "run")

    def typed(*words: object) -> Any:
        return CliRunner().invoke(app, [str(word) for word in words])

    evaluated = typed("evaluate", tmp_path / "run", stores["labelled"].path, out, "--rows", "")
    assert evaluated.exit_code == 0, evaluated.output
    assert "**mine**" in evaluated.output
    by_file, by_id, alone = (typed("table", out, *words) for words in (["--task", task.origin], ["--task", "mine"], []))
    assert by_file.output == by_id.output == alone.output
    assert "run (supervised, fine-tuned)" in alone.output
    other = typed("table", out, "--task", "ptb_xl/super")
    assert isinstance(other.exception, DataError)
    assert "there are results of mine" in str(other.exception)
    typed("table", out, "--metric", "sensitivity", "--format", "csv", "--out", tmp_path / "t.csv")
    assert "100 % low" in (tmp_path / "t.csv").read_text()
