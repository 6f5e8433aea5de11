"""Every command of the README runs as it stands in a folder of samples, with what makes it long made short."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.io import read
from auricle.io.wfdb_writer import write_wfdb
from auricle.simulate import cohort
from running import auricle as run
from running import refused

README = Path(__file__).parents[2] / "README.md"
# What is laid over commands that would take minutes, by their first words.
SHORT = {
    "auricle sample try": "auricle sample . -n 60",
    "auricle norms fit": "--parameter qrs --bootstrap 2",
    "auricle pretrain": "--steps 1",
    "auricle finetune": "--steps 1",
    "auricle evaluate": "--rows class_prior",
    "auricle serve": "--help",  # it would not end; tests/serve run it
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The command lines of the README, in order; of a line with `&&` the first."""
    lines = [line.partition("#")[0].partition("&&")[0].strip() for line in "".join(blocks("sh")).splitlines()]
    prose = re.findall(r"`(auricle measure \S+\.hea [^`]*)`", README.read_text(encoding="utf-8"))
    return [line for line in lines if line.startswith("auricle ")] + prose


def shortened(command: str) -> list[str]:
    for begins, short in SHORT.items():
        if command.startswith(begins):
            command = short if short.startswith("auricle") else f"{command} {short}"
    return shlex.split(command)[1:]


def test_every_command_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands()
    assert len(found) >= 12
    for command in found:
        done = run(*shortened(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    for made in (
        "ecg.html",
        "results.csv",
        "ours.json",
        "compare.html",
        "check.html",
        "p.html",
        "scores.csv",
        "ages.png",
    ):
        assert (tmp_path / made).is_file(), made
    for block in blocks("python"):
        exec(compile(block, README.name, "exec"), {})


def test_samples_are_the_same_every_time_and_replace_nothing(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for folder in (first, second):
        assert run("sample", folder, "-n", "3").returncode == 0
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert [path.relative_to(second) for path in sorted(second.rglob("*")) if path.is_file()] == sorted(names)
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    before = (first / "records.csv").read_bytes()
    refused(run("sample", first, "-n", "2"), "already", "new folder")
    assert (first / "records.csv").read_bytes() == before
    for name, days, sex in (("newborn", 3, "F"), ("child", 1826, "M"), ("adult", 14610, "F")):
        person = read(first / f"{name}.hea")
        assert person.age is not None
        assert (person.age.days, person.sex, len(person.leads), person.notes) == (days, sex, 12, ())
    checked = run("check", first / "records.csv")
    assert checked.returncode == 0, checked.stdout


def test_what_is_written_as_wfdb_is_read_back(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    (person,) = cohort(1, 3, ages=[100.0], diagnoses={}, rate_hz=250, seconds=3, quality="clean").recordings()
    signal = person.signal.copy()
    signal[:, :25] = np.nan
    person = auricle.Recording(signal, 250, person.leads, "x", age=auricle.Age(100), sex="F", labels=("NORM",))
    header = write_wfdb(tmp_path / "x1", person)
    again = read(header)
    np.testing.assert_allclose(again.signal, person.signal, atol=6e-4, equal_nan=True)
    assert (again.leads, again.rate_hz, again.sex, again.labels) == (person.leads, 250, "F", ("NORM",))
    assert again.age == person.age
    theirs = wfdb.rdrecord(str(tmp_path / "x1"), physical=False)
    assert [int(one) % 65536 for one in theirs.checksum] == [int(one) % 65536 for one in theirs.calc_checksum()]
    assert theirs.init_value == theirs.d_signal[0].tolist()
    with pytest.raises(auricle.AuricleError, match="33 mV"):
        write_wfdb(tmp_path / "y", auricle.Recording(signal * 1000, 250, person.leads, "y"))
    assert not list(tmp_path.glob("y*"))


def test_the_module_is_the_command_line_and_completes() -> None:
    shown = subprocess.run([sys.executable, "-m", "auricle", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"auricle {auricle.__version__}\n"
    asked = {**os.environ, "_AURICLE_COMPLETE": "complete_bash", "COMP_WORDS": "auricle mea", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['auricle']; from auricle.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=asked, check=False)
    assert done.stdout.split() == ["measure"]
