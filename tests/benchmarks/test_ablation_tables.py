"""The tables of ablations on the pages of results are those of the kept rows."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # scripts there import each other by name
ablations = importlib.import_module("ablations")


@pytest.mark.parametrize("page", sorted({shown.page for shown in ablations.TABLES.values()}))
def test_the_page_has_the_rows_that_are_kept(page: str) -> None:
    names = [name for name, shown in ablations.TABLES.items() if shown.page == page]
    text, kept = (ablations.PAGES / page).read_text(), json.loads(ablations.KEPT.read_text())
    assert ablations.written(text, kept, names) == text


def test_every_column_that_is_shown_was_kept() -> None:
    kept = json.loads(ablations.KEPT.read_text())
    for name, shown in ablations.TABLES.items():
        columns = set().union(*(row.keys() for row in kept[shown.name].values()))
        assert {column for _, column in shown.columns} <= columns, name


def test_rows_that_were_not_run_are_left_out() -> None:
    kept = {"mirage": {"Full model": {"AUROC": "1"}}}
    made = ablations.table(kept, "mirage").splitlines()
    assert made[2:] == ["| Full model | not run | not run | 1 | not run | not run |"]


def test_no_page_waits_for_a_number() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert not re.findall(r"@[A-Z0-9]+@", page.read_text(encoding="utf-8")), page
