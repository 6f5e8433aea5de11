"""What a user copies runs: the script with and without a file, and the notebook in a tenth of its steps."""

from __future__ import annotations

import ast
import json
import re
import runpy
import tempfile
from pathlib import Path

import numpy as np
import pytest

import auricle

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_own_records_takes_a_simulated_newborn_where_there_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_records.py"))["main"]([])
    printed = capsys.readouterr().out
    for said in ("sim7-0000000: 3 d", "heart rate", "fast for an adult, normal at 3 d", "NORM", "not a diagnosis"):
        assert said in printed


def test_own_records_reads_files_whose_age_may_be_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    child = next(auricle.cohort(1, seed=3, ages=[700.0], diagnoses={}).recordings())
    np.savez(tmp_path / "child.npz", signal=child.signal, rate_hz=child.rate_hz, leads=child.leads)
    main = runpy.run_path(str(EXAMPLES / "own_records.py"))["main"]
    main([str(tmp_path / "child.npz"), "--age", "23mo", "--sex", "F"])
    assert "child: 23 mo" in capsys.readouterr().out
    main([str(tmp_path / "child.npz")])
    assert "child: age unknown" in capsys.readouterr().out


def test_every_cell_of_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the notebook makes its folder there
    cells = json.loads((EXAMPLES / "first_hour.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = re.sub(r"(?<=steps=)\d+", lambda steps: str(int(steps[0]) // 10), "".join(cell["source"]))
            exec(compile(source, f"first_hour.ipynb, cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "gate (supervised, fine-tuned)" in printed
    assert "as an adult" in printed
    assert isinstance(names["prediction"], auricle.Prediction)


def test_the_readme_of_the_examples_names_every_file() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix in {".py", ".sh", ".ipynb"}:
            assert f"]({path.name})" in text, path.name


def test_a_script_says_at_its_top_what_it_is() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path.name
