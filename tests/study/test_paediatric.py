"""A study of one's own children: every stage once, from a manifest to a page and a text, and what ends it early."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from auricle.age import DAYS_PER_YEAR
from auricle.config import read_toml, validate
from auricle.data.ingest import ingest
from auricle.leads import STANDARD
from auricle.methods import load_card
from auricle.predict import Predictor
from auricle.simulate.cohort import cohort
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from running import auricle, refused

INPUT = {"rate_hz": 100, "seconds": 4, "band_hz": (0.5, 40)}
TASK = """id = "mine"
title = "Our children"
source = "manifest"
[split]
by = "patient"
train = 0.5
validation = 0.2
test = 0.3
[[classes]]
name = "RVH"
codes = ["RVH"]
[[classes]]
name = "CRBBB"
codes = ["CRBBB"]
"""


def write_manifest(folder: Path, n: int = 200) -> Path:
    made = cohort(n, 5, ages="children", diagnoses={"RVH": 0.35, "CRBBB": 0.3}, rate_hz=100, seconds=4, quality="clean")
    lines = ["file,record_id,patient_id,age_days,sex,labels"]
    for number in range(n):
        np.savez(folder / f"{number}.npz", signal=made.signal[number].numpy(), rate_hz=100, leads=STANDARD)
        own = ";".join(label for label in made.labels[number] if label in ("RVH", "CRBBB")) or "none"
        lines.append(f"{number}.npz,r{number},p{number},{made.age_days[number]:.2f},{made.sex[number]},{own}")
    (folder / "children.csv").write_text("\n".join(lines) + "\n")
    return folder / "children.csv"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of children, its task, and weights of adults that know one of its classes."""
    folder = tmp_path_factory.mktemp("hospital")
    write_manifest(folder)
    (folder / "mine.toml").write_text(TASK)
    options = {"n": 80, "ages": "adults", "diagnoses": "core", "rate_hz": 100, "seconds": 4}
    ingest("simulated", Path(), folder / "adults", options=options, rate_hz=100, workers=1)
    encoder = {"name": "lead_groups", "preset": "tiny"}
    values = {
        "model": {"name": "supervised", "gate": {}, "input": INPUT, "encoder": encoder},
        "data": {"store": folder / "adults", "task": "simulated/diagnosis"}, "train": {"steps": 2, "batch_size": 8},
    }  # fmt: skip
    fit(validate(RunConfig, values, "weights"), folder / "weights")
    return folder


def asked(hospital: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "study", "paediatric", "--data", hospital / "children.csv", "--out", out, "--task", hospital / "mine.toml",
        "--from", hospital / "weights", "--epochs", "0.3", "--batch-size", 8, "--seeds", 1, *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    done = auricle(*asked(hospital, out, "--class", "RVH"))
    assert not done.returncode, done.stderr
    return out


def test_it_ends_with_a_page_and_a_text(made: Path) -> None:
    files = {path.name for path in made.iterdir()}
    assert files >= {
        "check.html",
        "store",
        "runs",
        "results",
        "figures",
        "study.html",
        "study.md",
        "table.md",
        "rates.json",
    }
    text = (made / "study.md").read_text()
    for row in ("age and sex alone", "random convolutions", "without the age", "with the age gate", "age shuffled"):
        line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
        assert "not run" not in line
    assert "| falsely called, before |" in text.split("### RVH")[1], "the weights as they came know this class"
    assert "recordings are tested: a rehearsal" in text
    covered = text.split("### Answers that hold")[1].split("## TRIPOD+AI")[0]
    assert "| RVH | 3-30 d |" in covered
    assert "They lie in weights/" in covered
    assert load_card(made / "runs" / "with-the-age-gate-0")[0]["config"].get("sets") is None
    sets = Predictor.from_pretrained(made / "weights").sets
    assert sets is not None
    assert "RVH" in sets.has
    assert "Research use, not a diagnosis." in text
    page = (made / "study.html").read_text()
    assert "200 recordings of 200 children" in page
    assert "Research use" in page
    assert (made / "figures" / "figures.html").exists()


def test_run_again_it_does_nothing_twice_and_what_is_missing_is_made_again(hospital: Path, made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("model.safetensors")}
    assert len(before) == 4  # three rows that were trained, and the calibrated copy of one
    text = (made / "study.md").read_text()
    (made / "study.md").unlink()
    lost = next((made / "results").rglob("validation.parquet"))
    lost.unlink()
    (made / "weights" / "auricle.json").unlink()
    shutil.rmtree(made / "figures")
    shutil.rmtree(made / "store")
    done = auricle(*asked(hospital, made, "--class", "RVH"))
    assert not done.returncode, done.stderr
    assert "seed 0 (" not in done.stderr, "nothing is trained again"
    assert {path: path.stat().st_mtime_ns for path in made.rglob("model.safetensors")} == before
    assert Predictor.from_pretrained(made / "weights").sets is not None, "calibrated again"
    assert (made / "study.md").read_text() == text
    assert (made / "figures" / "figures.html").exists()
    assert lost.exists()
    low, high = load_card(made / "runs" / "with-the-age-gate-0")[0]["about"]["age_days"]
    assert 0 <= low < 30
    assert 10 * DAYS_PER_YEAR < high <= 18 * DAYS_PER_YEAR


def test_until_something_is_trained_the_training_may_be_said_anew(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(auricle(*asked(hospital, out, "--batch-size", 1000)), "use a smaller one (--batch-size")
    refused(auricle(*asked(hospital, out, "--batch-size", 8, "--rate-hz", 50)), "holds a study with another")
    again = auricle(*asked(hospital, out, "--batch-size", 2000))
    refused(again, "use a smaller one (--batch-size")
    assert read_toml(out / "study.toml")["batch_size"] == 2000
    (out / "results").mkdir()  # of rows whose runs were deleted
    refused(auricle(*asked(hospital, out, "--batch-size", 8)), "holds a study with another batch_size")


def test_another_study_or_a_moved_one_is_not_gone_on_with(hospital: Path, made: Path, tmp_path: Path) -> None:
    refused(
        auricle(*asked(hospital, made, "--class", "RVH", "--backbone", "slow")), "holds a study with another backbone"
    )
    moved = tmp_path / "moved"
    shutil.copytree(made, moved)
    refused(auricle(*asked(hospital, moved, "--class", "RVH")), "move it back, or choose an empty folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    refused(auricle(*asked(hospital, tmp_path / "full")), "is not empty and holds no study")


def test_what_a_study_cannot_be_made_of(hospital: Path, tmp_path: Path) -> None:
    refused(auricle(*asked(hospital, tmp_path / "a", "--class", "XYZ")), "mine has no class XYZ")
    folder = tmp_path / "ageless"
    folder.mkdir()
    rows = (hospital / "children.csv").read_text().splitlines()
    for number in range(200):
        (folder / f"{number}.npz").symlink_to(hospital / f"{number}.npz")
    bare = [",".join(part for place, part in enumerate(row.split(",")) if place != 3) for row in rows]
    (folder / "children.csv").write_text("\n".join(bare) + "\n")
    (folder / "mine.toml").write_text(TASK)
    shutil.copytree(hospital / "weights", folder / "weights")
    refused(auricle(*asked(folder, tmp_path / "b")), "no test record has an age")
    twice = tmp_path / "twice"
    twice.mkdir()
    (twice / "children.csv").write_text("\n".join([*rows[:3], rows[2]]) + "\n")
    (twice / "mine.toml").write_text(TASK)
    shutil.copytree(hospital / "weights", twice / "weights")
    refused(auricle(*asked(twice, tmp_path / "c")), "repair the manifest and run the same command")
    assert (tmp_path / "c" / "check.html").exists()
