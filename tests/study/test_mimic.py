"""Pre-training on MIMIC-IV-ECG and asking the others, rehearsed on fakes in native layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import write_csn, write_mimic, write_ptb_xl
from running import auricle, refused


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    (root / "ptb_xl").mkdir()
    write_mimic(root / "mimic")
    write_ptb_xl(root / "ptb_xl", 31, per_patient=1)
    (root / "csn").mkdir()
    write_csn(root / "csn")
    return root


def asked(folders: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "study", "mimic", "--mimic", folders / "mimic", "--ptb-xl", folders / "ptb_xl", "--csn", folders / "csn",
        "--out", out, "--preset", "tiny", "--batch-size", 2, "--epochs", 1, "--rate-hz", 250, "--no-references",
        "--method", "lisa", *more,
    )  # fmt: skip


def test_every_stage_is_made_once(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = auricle(*asked(folders, out))
    assert not done.returncode, done.stderr
    hours = json.loads((out / "hours.json").read_text())
    assert {"ingest mimic_iv_ecg", "ingest ptb_xl", "ingest csn", "pretrain lisa"} <= hours.keys()
    assert "ask ptb_xl/super" in hours
    # All records say the same, so that nothing can be told apart, and say so; CPSC2018 is not here; CSN is too small.
    table = (out / "table.md").read_text()
    assert "MELP (Ours)" in table
    asked_for = table.split("(`ptb_xl/super`)")[1].split("\n\n**")[0]
    row = next(line for line in asked_for.splitlines() if line.startswith("| lisa"))
    assert row.count("undefined") == 4
    assert (
        next(line for line in table.split("(`cpsc2018`)")[1].splitlines() if line.startswith("| lisa")).count("not run")
        == 4
    )
    assert "csn was not asked: " in table
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = auricle(*asked(folders, out))
    assert not again.returncode, again.stderr
    assert "pre-training" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == weights
    refused(auricle(*asked(folders, out, "--epochs", 3)), "was made with another train.epochs")


def test_what_is_not_there_is_said(folders: Path, tmp_path: Path) -> None:
    refused(auricle(*asked(folders, tmp_path / "c", "--method", "lissa")), "did you mean 'lisa'")
    (tmp_path / "empty").mkdir()
    refused(auricle(*asked(folders, tmp_path / "d", "--cpsc2018", tmp_path / "empty")), str(tmp_path / "empty"))
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "d").exists(), "before anything is stored"
    refused(auricle("study", "mimic", "--mimic", folders / "mimic", "--out", tmp_path / "a"), "name what is asked")
    refused(
        auricle("study", "mimic", "--mimic", folders / "csn", "--csn", folders / "csn", "--out", tmp_path / "b"),
        "record_list.csv",
    )
