"""Rows of an Arrow table, read one by one from its parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auricle.data.rows import Rows

TABLE = pa.concat_tables(
    pa.table(
        {
            "name": pa.array(names, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "age": pa.array(ages, pa.float64()),
            "beats": pa.array(beats, pa.list_(pa.int32())),
            "leads": pa.array([["I", "II"]] * len(names), pa.list_(pa.string())),
        }
    )
    for names, sizes, ages, beats in (
        (["a", None], [3, 5], [1.5, None], [[1, 2], []]),
        ([], [], [], []),
        (["b"], [7], [2.5], [[4]]),
        (["c", "d"], [9, None], [float("nan"), 4.0], [None, [6, 7, 8]]),
    )
)


def test_every_row_is_what_arrow_says_over_all_parts_of_the_table() -> None:
    rows = Rows(TABLE, ("beats", "size", "age", "name", "leads"))
    for number, wanted in enumerate(TABLE.to_pylist()):
        found = rows[number]
        assert list(found) == ["beats", "size", "age", "name", "leads"]
        assert (None if found["beats"] is None else list(found["beats"])) == wanted["beats"]
        assert (found["name"], found["size"], found["leads"]) == (wanted["name"], wanted["size"], wanted["leads"])
        np.testing.assert_equal(found["age"], wanted["age"])


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(IndexError, match="a table of 5"):
        Rows(TABLE, ("name",))[row]


def test_a_part_that_was_sliced_keeps_its_own_beats() -> None:
    part = TABLE.slice(1, 3)
    found = [Rows(part, ("beats",))[row]["beats"] for row in range(2)]
    assert [beats.tolist() for beats in found] == [[], [4]]
