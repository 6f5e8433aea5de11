"""Columns of measurements are in the unit they say; what no heart can have is refused by column, not fitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.errors import DataError
from auricle.paediatrics.normal_records import read_csv


def table(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "normals.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("age,qrs", ("5y,0.0939", "6y,0.0922"), ("'qrs'", "2 of 2", "seconds", "qrs [s]")),
        ("age,r_v6", ("5y,674", "6y,709"), ("'r_v6'", "microvolts", "r_v6 [uV]")),
        ("age,r_v6", ("5y,674", "6y,0.709"), ("1 of 2", "microvolts, mixed")),
        ("age,qtc_bazett", ("5y,0.41",), ("'qtc_bazett'", "seconds")),
        ("age,heart_rate", ("5y,1.4",), ("'heart_rate'", "look at the unit")),
        ("age,QRS [kg]", ("5y,90",), ("its unit should be ms",)),
        ("age,qrs", ("5y,9_0",), ("should be a number",)),
    ],
)
def test_another_unit_is_refused_by_column(
    tmp_path: Path, header: str, rows: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        read_csv(table(tmp_path, header, *rows), None)
    assert all(word in str(caught.value) for word in words)


def test_a_unit_in_the_name_of_a_column_is_obeyed(tmp_path: Path) -> None:
    path = table(tmp_path, "age;HeartRate;QRS [s];r_v6 [uV]", "5y;83,2;0,0939;674", "6y;76,5;0,0834;1330")
    records = read_csv(path, None)
    assert records.values["heart_rate"].tolist() == [83.2, 76.5]
    assert records.values["qrs"] == pytest.approx([93.9, 83.4])
    assert records.values["r_v6"] == pytest.approx([0.674, 1.33])
