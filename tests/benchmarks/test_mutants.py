"""The parts that `benchmarks/mutants.py` leaves out are still there to be left out."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))["part"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part["what"])
def test_a_part_that_is_left_out_stands_once_in_the_code(part: dict[str, str]) -> None:
    source = (ROOT / part["file"]).read_text(encoding="utf-8")
    assert source.count(part["before"]) == 1
    assert part["after"] != part["before"]
