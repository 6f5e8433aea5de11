"""The command line: wrong input is one line and exit status 2, and leaves nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auricle.methods import create_method, save_method
from fakes import heart
from running import auricle, auricle_alone, refused


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_method(create_method("supervised", "tiny", classes=("A", "B"), gate={}), folder)
    return folder


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ecg") / "ecg.npz"
    np.savez(path, signal=heart(1500, 3).astype(np.float32), rate_hz=500, leads=["I", "II", "V1"])
    return path


def test_predict_for_a_person_and_for_a_program(npz: Path, weights: Path) -> None:
    shown = auricle_alone("predict", npz, "--weights", weights, "--age", "3d", "--sex", "F")
    assert shown.returncode == 0, shown.stderr
    assert "age 3 d" in shown.stdout
    assert "Research use, not a diagnosis." in shown.stdout
    plain = auricle("predict", npz, npz, "--weights", weights, "--age", "5y4m", "--json")
    first, second = (json.loads(line) for line in plain.stdout.splitlines())
    assert first == second
    assert first["age_days"] == pytest.approx(5 * 365.25 + 4 * 365.25 / 12)
    assert first["disclaimer"]


def test_wrong_input_to_predict_is_one_line(npz: Path, weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused(auricle_alone("predict", tmp_path / "absent.hea", "--weights", weights), "absent.hea", "no such file")
    (tmp_path / "note.txt").write_text("Dear colleague")
    refused(auricle("predict", tmp_path / "note.txt", "--weights", weights), "note.txt", "no ECG")
    refused(auricle("predict", npz, "--weights", weights, "--age", "-3d"), "negative age")
    refused(auricle("predict", npz, "--weights", weights, "--age", "three"), "not an age")
    refused(auricle("predict", npz, "--weights", weights, "--sex", "x"), "give F or M")
    np.savez(tmp_path / "nan.npz", signal=np.full((1, 500), np.nan), rate_hz=250, leads=["I"])
    refused(auricle("predict", tmp_path / "nan.npz", "--weights", weights), "nan.npz", "no lead has a usable sample")
    np.savez(tmp_path / "lead.npz", signal=rng.normal(size=(1, 500)), rate_hz=250, leads=["avx"])
    refused(auricle("predict", tmp_path / "lead.npz", "--weights", weights), "is an ECG lead", "avx")
    np.savez(tmp_path / "v4r.npz", signal=heart(750, 1, rate_hz=250), rate_hz=250, leads=["V4R"])
    refused(auricle("predict", tmp_path / "v4r.npz", "--weights", weights), "none of the leads")


def test_a_truncated_record_is_one_line(weights: Path, tmp_path: Path) -> None:
    header = "r 2 500 1000\nr.dat 16 1000/mV 16 0 0 0 0 I\nr.dat 16 1000/mV 16 0 0 0 0 II\n"
    (tmp_path / "r.hea").write_text(header)
    (tmp_path / "r.dat").write_bytes(b"\x01\x00" * 500)
    refused(auricle("predict", tmp_path / "r.hea", "--weights", weights), "r.dat", "truncated")
    (tmp_path / "r.dat").write_bytes(b"\x01\x00" * 9000)
    refused(auricle("predict", tmp_path / "r.hea", "--weights", weights), "header is wrong")


def test_weights_of_another_version_are_one_line(npz: Path, weights: Path, tmp_path: Path) -> None:
    card = json.loads((weights / "auricle.json").read_text())
    (tmp_path / "auricle.json").write_text(json.dumps({**card, "weights_version": 7}))
    refused(auricle("predict", npz, "--weights", tmp_path), "version 7")


def test_unknown_options_and_names_are_suggested(tmp_path: Path) -> None:
    result = auricle("predict", "x.hea", "--weigths", "w")
    assert result.returncode == 2
    assert "--weights" in result.stderr
    refused(auricle("list", "method"), "did you mean 'methods'")
    refused(auricle("ingest", "ptbxl", tmp_path, tmp_path / "out"), "did you mean 'ptb_xl'")
    refused(auricle("ingest", "ptb_xl", tmp_path / "absent", tmp_path / "out"), "no such file or folder")
    refused(auricle("pretrain", tmp_path, tmp_path / "run", "--method", "lissa"), "did you mean 'lisa'")
    refused(auricle("pretrain", tmp_path, tmp_path / "run", "train.stepz=3"), "did you mean 'steps'")
    refused(auricle("pretrain", tmp_path, tmp_path / "run", "--task", "ptb_xl/supper"), "did you mean 'ptb_xl/super'")
    refused(auricle("pretrain", tmp_path, tmp_path / "run", "--task", "ptb_xl/super"), "not a store")
    assert not list(tmp_path.rglob("store.json"))
    assert not (tmp_path / "run").exists(), "nothing half-written"


def test_a_manifest_with_a_mistake_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file,agee\na.hea,3d\n")
    refused(auricle("ingest", "manifest", tmp_path / "m.csv", tmp_path / "out"), "agee", "did you mean 'age'")
    assert not (tmp_path / "out").exists()


def test_the_lists_list() -> None:
    assert "lisa" in auricle("list").stdout
    assert "lead_groups" in auricle("list", "encoders").stdout
    assert "ptb_xl/super" in auricle("list", "tasks").stdout
    assert "manifest" in auricle("list", "sources").stdout
    assert auricle("--version").stdout.startswith("auricle ")


def test_the_whole_road_in_small(tmp_path: Path) -> None:
    """simulate, pretrain, evaluate, finetune, predict: each its own command, reading what the one before wrote."""
    tiny = ["--preset", "tiny", "--task", "simulated/diagnosis", "--steps", "4", "--batch-size", "8"]
    at_100 = ["model.input.rate_hz=100", "model.input.band_hz=[0.5, 45]"]
    for arguments in (
        ["simulate", "store", "-n", "240", "--rate-hz", "100", "--seconds", "4", "--workers", "1"],
        ["pretrain", "store", "lisa", *tiny, *at_100],
        [
            "evaluate",
            "lisa",
            "store",
            "results",
            "--task",
            "simulated/diagnosis",
            "--seeds",
            "1",
            "--rows",
            "class_prior,random_encoder",
        ],
        [
            "finetune",
            "store",
            "gate",
            "--from",
            "lisa",
            "--task",
            "simulated/diagnosis",
            "--steps",
            "3",
            "--batch-size",
            "8",
        ],
        [
            "evaluate",
            "gate",
            "store",
            "results",
            "--task",
            "simulated/diagnosis",
            "--protocol",
            "finetune",
            "--rows",
            "",
        ],
    ):
        result = auricle(*arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    table = auricle("table", "results", "--task", "simulated/diagnosis", cwd=tmp_path).stdout
    for row in ("class_prior", "random_encoder", "lisa"):
        assert f"| {row}" in table
    assert "| gate (supervised" in table
    again = auricle("pretrain", "store", "lisa", *tiny, *at_100, cwd=tmp_path)
    refused(again, "already holds a run")
    resumed = auricle_alone("pretrain", "store", "lisa", *tiny, *at_100, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr


def test_another_edition_of_the_test_recordings_counts_as_seen() -> None:
    from auricle.evaluate import lineage
    from auricle.tasks import load_task

    def entry(source: str, task: str | None = None, left_out: bool = False) -> dict:
        return {"source": source, "task": task, "part": "train", "others_left_out": left_out}

    def saw_the_test(entry: dict, source: str, task: str, *collections: str) -> bool:
        return lineage.saw_the_test(entry, {"source": source, "options": {}}, load_task(task), collections)

    assert saw_the_test(entry("challenge2021"), "ptb_xl", "ptb_xl/super")
    assert saw_the_test(entry("csn"), "challenge2021", "challenge2021/ningbo")
    assert saw_the_test(entry("ptb_xl"), "ptb_xl", "ptb_xl/super")
    assert not saw_the_test(entry("ptb_xl", "ptb_xl/super"), "ptb_xl", "ptb_xl/super")
    assert not saw_the_test(entry("simulated"), "ptb_xl", "ptb_xl/super")
    assert saw_the_test(entry("ptb_xl"), "ptb_xl_mini", "ptb_xl_mini/super")
    assert not saw_the_test(entry("ptb_xl", left_out=True), "ptb_xl_mini", "ptb_xl_mini/super")
    # Of a store of several collections those count that are in it.
    some = "challenge2021/chapman", "challenge2021/georgia"
    assert not saw_the_test(entry("ptb_xl"), "challenge2021", "challenge2021/chapman", *some)
    assert saw_the_test(entry("csn"), "challenge2021", "challenge2021/chapman", *some)
    assert saw_the_test(entry("ptb_xl"), "challenge2021", "challenge2021/chapman", *some, "challenge2021/ptb_xl")
    # A mixture: streams are people of their seed, and two questions of one split see the same recordings.
    stream = {**entry("simulated"), "settings": {"seed": 7}}
    ecg = load_task("simulated/diagnosis")
    assert lineage.saw_the_test(stream, {"source": "simulated", "options": {"seed": 7}}, ecg)
    assert not lineage.saw_the_test(stream, {"source": "simulated", "options": {"seed": 8}}, ecg)
    assert not lineage.saw_the_test(stream, {"source": "ptb_xl", "options": {}}, load_task("ptb_xl/super"))
    split = load_task("ptb_xl/super").split.model_dump(mode="json")
    assert not saw_the_test({**entry("ptb_xl", "another"), "split": split}, "ptb_xl", "ptb_xl/super")
    assert saw_the_test({**entry("ptb_xl", "another"), "split": {**split, "train": [10]}}, "ptb_xl", "ptb_xl/super")
