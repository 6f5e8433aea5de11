"""The tables of methods beside each other are those of the kept rows, and rows are kept from an ablation's folder."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts there import each other by name
self_supervised = importlib.import_module("self_supervised")

HEADER = (
    "|  | AUROC at 1 % | AUROC at 10 % | AUROC at 100 % | AUROC zero-shot | AUROC, 9 leads | AUROC, 6 limb leads | "
    "AUROC, 3 leads (I, II, V2) | AUROC, 1 lead (I) | AUROC above random convolutions |"
)


def test_the_page_has_the_rows_that_are_kept() -> None:
    page, kept = self_supervised.PAGE.read_text(), json.loads(self_supervised.KEPT.read_text())
    assert self_supervised.written(page, kept, self_supervised.row_names()) == page


def test_rows_that_were_run_are_kept_and_others_stay(tmp_path: Path) -> None:
    rows = [HEADER, "| --- |" + " ---: |" * 9]
    rows += ["| simclr | 1 | 2 | 3 | – | 4 | 5 | 6 | 7 | 8 |", "| byol |" + " not run |" * 9]
    (tmp_path / "table.md").write_text("**t** on x.\n\n" + "\n".join(rows) + "\n\nA note.\n")
    kept = {"steps": {"byol": {"AUROC at 1 %": "kept"}}}
    self_supervised.keep(kept, *self_supervised.read(tmp_path))
    assert kept["steps"]["byol"] == {"AUROC at 1 %": "kept"}
    assert kept["steps"]["simclr"]["AUROC, 1 lead (I)"] == "7"
    made = self_supervised.table(kept, "equal steps", {"simclr": False, "byol": True, "lisa": True})
    assert "| simclr | 1 | 2 | 3 | – | 8 |" in made
    assert "| byol | kept | not run | not run | not run | not run |" in made
    assert "| lisa | not run | not run | not run | not run | not run |" in made
    assert "| simclr | 3 | 4 | 5 | 6 | 7 |" in self_supervised.table(
        kept, "fewer leads", {"simclr": False, "byol": True}
    )

    reads = self_supervised.table({"steps": {"simclr": {}, "lisa": {}}}, "equal steps", {"simclr": False, "lisa": True})
    assert "| simclr | not run | not run | not run | – | not run |" in reads
    assert "| lisa | not run | not run | not run | not run | not run |" in reads

    (tmp_path / "equal_time.json").write_text('{"minutes": 3, "steps": {"simclr": 250}}')
    kind, timed = self_supervised.read(tmp_path)
    assert (kind, timed["simclr"]["steps"]) == ("minutes", "250")


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(SystemExit, match="no markers of 'equal steps'"):
        self_supervised.written("nothing", {}, {})
