"""Pre-training on MIMIC-IV-ECG and asking the others, rehearsed on fakes in native layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import write_cpsc2018, write_csn, write_mimic, write_ptb_xl
from running import auricle, refused


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    (root / "ptb_xl").mkdir()
    write_mimic(root / "mimic")
    write_ptb_xl(root / "ptb_xl", 31, per_patient=1)
    for name, write in (("csn", write_csn), ("cpsc2018", write_cpsc2018)):
        (root / name).mkdir()
        write(root / name, 57)
    return root


def asked(folders: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "study", "mimic", "--mimic", folders / "mimic", "--ptb-xl", folders / "ptb_xl", "--out", out,
        "--preset", "tiny", "--batch-size", 2, "--epochs", 1, "--rate-hz", 100, "--no-references", *more,
    )  # fmt: skip


def test_every_stage_is_made_once(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sets = ("--csn", folders / "csn", "--cpsc2018", folders / "cpsc2018")
    done = auricle(*asked(folders, out, *sets))
    assert not done.returncode, done.stderr
    hours = json.loads((out / "hours.json").read_text())
    assert {"ingest mimic_iv_ecg", "ingest ptb_xl", "ingest csn", "pretrain lisa", "ask ptb_xl/super"} <= hours.keys()
    table = (out / "table.md").read_text()
    assert "MELP (Ours)" in table
    assert "csn was not asked" not in table
    for method in ("lisa", "merl"):
        rows = {
            task: next(
                line
                for line in table.split(f"(`{task}`)")[1].split("\n\n**")[0].splitlines()
                if line.startswith(f"| {method} ({method}) |")
            )
            for task in ("cpsc2018", "csn", "ptb_xl/super", "ptb_xl/form")
        }
        for task in ("cpsc2018", "csn"):
            assert not any(word in rows[task] for word in ("not run", "undefined")), rows[task]
        # All records of this PTB-XL are normal, so that nothing can be told apart; forms are not annotated at all.
        assert rows["ptb_xl/super"].count("undefined") == 4
        assert rows["ptb_xl/form"].count("not run") == 4
    assert "ptb_xl/form was not asked: " in table
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = auricle(*asked(folders, out, *sets))
    assert not again.returncode, again.stderr
    assert "pre-training" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == weights
    refused(auricle(*asked(folders, out, *sets, "--epochs", 3)), "was made with another train.epochs")


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
