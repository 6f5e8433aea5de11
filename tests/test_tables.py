"""Tables as files: the same cells in one piece or in parts, whatever a column holds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auricle.tables import write_parts, write_rows

parquet = pytest.importorskip("pyarrow.parquet")

CELLS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["", "a", "ä; b"]))
ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), CELLS, max_size=3), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 6))
def test_parts_make_the_table_that_one_piece_makes(tmp_path: Path, rows: list[dict[str, Any]], cut: int) -> None:
    for suffix in (".csv", ".parquet"):
        one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
        write_rows(one, rows)
        write_parts(two, lambda: [rows[:cut], rows[cut:]])
        if suffix == ".csv":
            assert one.read_bytes() == two.read_bytes()
        else:
            assert parquet.read_table(one).equals(parquet.read_table(two))


def test_a_column_has_one_kind(tmp_path: Path) -> None:
    rows = [
        {"n": 1, "x": 1, "t": "a", "m": 2, "e": None},
        {"n": 2, "x": 0.5, "t": "", "m": "b", "e": None},
        {"n": None},
    ]
    write_rows(tmp_path / "a.parquet", rows)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "n": "int64", "x": "double", "t": "string", "m": "string", "e": "double",
    }  # fmt: skip
    assert table.column("m").to_pylist() == ["2", "b", None]
    numpys = [{"i": np.int64(2**60 + 1), "b": np.bool_(True), "t": np.str_("a"), "f": np.float32(0.5)}]
    write_rows(tmp_path / "b.parquet", numpys)
    assert parquet.read_table(tmp_path / "b.parquet").to_pylist() == [{"i": 2**60 + 1, "b": True, "t": "a", "f": 0.5}]
    write_rows(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file))[2] == {"n": "", "x": "", "t": "", "m": "", "e": ""}
