"""Ablations: rows as data, trained once, asked alike, in one table; every one that comes along is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.errors import AuricleError, ConfigError, UnknownNameError
from auricle.evaluate.ablation import Ablation, Frame, Row, list_ablations, load_ablation, row_values, run_ablation
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.watch import Watcher


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation") / "store"
    options = {"n": 120, "diagnoses": "core", "rate_hz": 100, "seconds": 4}
    ingest("simulated", Path(), folder, options=options, rate_hz=100, workers=1)
    return folder


@pytest.mark.parametrize("name", list_ablations())
def test_every_row_of_every_ablation_is_a_valid_run(name: str, tmp_path: Path) -> None:
    ablation = load_ablation(name)
    frame = Frame(tmp_path, load_task("simulated/diagnosis"), tmp_path)
    resolved = [validate(RunConfig, row_values(ablation, row, frame, 0), row.name) for row in ablation.rows]
    models = [config.model_dump_json() for config in resolved]
    assert len(set(models)) == len(models), "two rows are the same run"
    assert len({row.name for row in ablation.rows}) == len(ablation.rows)


def test_the_seven_of_the_document_are_there() -> None:
    names = {row.name for row in load_ablation("mirage").rows}
    assert names >= {
        "Full model", "w/o Laboratory", "w/o IMG", "w/o TS", "w/o Contrast", "w/o Shared", "Late-Concat", "All-Shared",
    }  # fmt: skip


def test_rows_are_trained_once_and_stand_in_one_table(store: Path, tmp_path: Path) -> None:
    encoder = {"name": "resnet1d", "preset": "tiny"}
    model = {"name": "supervised", "input": {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}, "encoder": encoder}
    ablation = Ablation(
        title="gate",
        metrics=("accuracy", "auroc"),
        base={"model": {**model, "gate": {}}, "train": {"steps": 2, "batch_size": 8}},
        rows=(Row(name="with gate"), Row(name="without", drop=("model.gate",))),
    )
    frame = Frame(store, load_task("simulated/diagnosis"), tmp_path, seeds=(0, 1))
    said: list[str] = []
    table = run_ablation(ablation, frame, Watcher(), said.append)
    assert len(said) == 4
    assert [row[0] for row in table.rows] == ["with gate", "without"]
    assert all("±" in cell for row in table.rows for cell in row[1:])
    again = run_ablation(ablation, frame, Watcher(), said.append)
    assert again == table
    assert len(said) == 4, "nothing is trained twice"
    longer = ablation.model_copy(update={"base": {**ablation.base, "train": {"steps": 3, "batch_size": 8}}})
    with pytest.raises(ConfigError, match=r"was made with another train\.steps"):
        run_ablation(longer, frame, Watcher())


def test_a_wrong_row_is_refused_before_anything_is_trained(store: Path, tmp_path: Path) -> None:
    ablation = Ablation(
        title="wrong", base={"model": {"name": "supervised", "preset": "tiny"}},
        rows=(Row(name="right"), Row(name="wrong", run={"model": {"wdith": 3}})),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="row 'wrong': "):
        run_ablation(ablation, Frame(store, load_task("simulated/diagnosis"), tmp_path), Watcher())
    assert not any(tmp_path.iterdir())


def test_some_rows_may_be_asked_for() -> None:
    ablation = load_ablation("cg_dmer")
    assert ablation.only(()) == ablation
    wanted = ("no alignment", "cg_dmer")
    assert [row.name for row in ablation.only(wanted).rows] == ["cg_dmer", "no alignment"]
    with pytest.raises(UnknownNameError, match="did you mean 'no alignment'"):
        ablation.only(["no alignmnt"])


def test_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mirage'"):
        load_ablation("mirrage")
    with pytest.raises(AuricleError, match="no such configuration file"):
        load_ablation("nowhere.toml")
