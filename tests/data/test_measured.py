"""Columns of measurements are in the unit they say; what no heart can have is refused by column, not fitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.age import DAYS_PER_YEAR
from auricle.data.measured import read_measured
from auricle.errors import DataError
from auricle.measure.measurements import UNITS
from auricle.paediatrics.normal_records import parameter_of, unit_in


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
        ("age,heart_rate", ("5y,1.4",), ("'heart_rate'", "beats per second")),
        ("age,QRS [kg]", ("5y,90",), ("its unit should be ms",)),
        ("age,qrs", ("5y,9_0",), ("should be a number",)),
    ],
)
def test_another_unit_is_refused_by_column(
    tmp_path: Path, header: str, rows: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        read_measured(table(tmp_path, header, *rows), None)
    assert all(word in str(caught.value) for word in words)


def test_a_unit_in_the_name_of_a_column_is_obeyed(tmp_path: Path) -> None:
    path = table(tmp_path, "age;HeartRate;QRS [s];r_v6 [uV]", "5y;83,2;0,0939;674", "6y;76,5;0,0834;1330")
    records = read_measured(path, None)
    assert records.values["heart_rate"].tolist() == [83.2, 76.5]
    assert records.values["qrs"] == pytest.approx([93.9, 83.4])
    assert records.values["r_v6"] == pytest.approx([0.674, 1.33])


@pytest.mark.parametrize(
    ("name", "parameter", "unit"),
    [
        ("HeartRate", "heart_rate", ""), ("heart rate (bpm)", "heart_rate", "bpm"), ("QRS duration", "qrs", ""),
        ("QRSd [s]", "qrs", "s"), ("qrs_ms", "qrs", "ms"), ("PR (s)", "pr", "s"), ("QTc (Bazett)", "qtc_bazett", ""),
        ("QTc (Bazett) [ms]", "qtc_bazett", "ms"), ("QTcF", "qtc_fridericia", ""), ("QRS-Axis", "qrs_axis", ""),
        ("RV6", "r_v6", ""), ("R in V6 [mV]", "r_v6", "mV"), ("r_v6_uv", "r_v6", "uv"), ("ST_II", "st_ii", ""),
        ("T_V4R", "t_v4r", ""), ("rs_ratio_v1", "rs_ratio_v1", ""), ("weight", None, ""), ("R_V9X", None, ""),
    ],
)  # fmt: skip
def test_names_of_columns_as_programs_write_them(name: str, parameter: str | None, unit: str) -> None:
    assert parameter_of(name) == parameter
    if parameter is not None:
        assert unit_in(name) == unit


@pytest.mark.parametrize("parameter", [*UNITS, "r_v6", "st_avf", "q_iii"])
def test_a_parameter_is_called_by_its_own_name(parameter: str) -> None:
    assert parameter_of(parameter) == parameter
    assert unit_in(parameter) == ""


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nage_years;QRS\n5,5;80,5\n",
        "Age_Years,qrs,,\n5.5,80.5,,\n,,,\n",
        "\ufeffAGE_YEARS;qrs;Sex\n5,5;80,5;weiblich\n",
        "age_years\tqrs\n5.5\t80.5\n".encode("utf-16"),
    ],
)
def test_every_way_a_spreadsheet_writes_it(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "normals.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    records = read_measured(path, None)
    assert records.values["qrs"].tolist() == [80.5]
    assert records.age_days == pytest.approx([5.5 * DAYS_PER_YEAR], abs=20)


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("age,sex,qrs", "5y,1,80", ":2: sex should be F, M or empty"),
        ("age,sex,qrs", "5y,Secret Name,80", ":2: sex should be F, M or empty"),
        ("age,labels,qrs", '5y,"NORM,SR",80', ":2: labels are separated by ;"),
        ("age_days,qrs", "1_0,80", ":2: the age cannot be read"),
        ("age_days,qrs", '"1,234",80', ":2: the age cannot be read"),
        ("age,qrs", '5y,"1,234"', ":2: qrs may mean thousands"),
        ("age,qrs", "5y,80 ms", "a unit goes into the name of the column"),
    ],
)
def test_a_cell_that_may_mean_two_things_is_refused(tmp_path: Path, header: str, row: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_measured(table(tmp_path, header, row), None)
    assert words in str(caught.value)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "cells", "words"),
    [
        ("r_v6", [0.0009] * 20, "volts"),
        ("r_v6", [0.9, 0.0009] * 10, "volts, mixed"),
        ("r_v6 [uV]", [0.9] * 20, "not possible in uV"),
        ("qrs", [80_000.0] * 20, "microseconds"),
        ("qrs", [80.0] * 19 + [0.08], "1 of 20"),
        ("qrs_axis", [1.05] * 20, "radians"),
        ("heart_rate", [800.0] * 20, "look at the unit"),
    ],
)
def test_units_that_only_the_whole_column_tells(tmp_path: Path, header: str, cells: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_measured(table(tmp_path, f"age,{header}", *(f"5y,{cell}" for cell in cells)), None)


def test_small_waves_are_no_other_unit(tmp_path: Path) -> None:
    """What is measured on real traces dwindles without a gap, and a lead without an S is a lead without an S."""
    waves = [0.0, 0.0, 0.002, 0.004, 0.008, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6] * 3
    path = table(tmp_path, "age,s_v6,st_v6", *(f"5y,{wave},{wave / 100}" for wave in waves))
    assert read_measured(path, None).values["s_v6"].tolist() == waves


def test_a_child_born_early_counts_at_its_corrected_age(tmp_path: Path) -> None:
    path = table(tmp_path, "age,gestational_age,qrs", "12wk,30+0,60", "4wk,30+0,61", "12wk,,62", "12wk,39+0,63")
    records = read_measured(path, None)
    assert records.age_days.tolist() == [14, 84, 84]
    assert records.left_out == {"before term": 1}


@pytest.mark.parametrize(("column", "value"), [("pr", 900.0), ("qrs", 25.0), ("heart_rate", 12.0)])
def test_a_median_that_no_group_of_people_has_is_refused(tmp_path: Path, column: str, value: float) -> None:
    rows = "\n".join(f"{5 + n % 5}y,{value * (1 + n / 100):.6f}" for n in range(30))
    path = tmp_path / "normals.csv"
    path.write_text(f"age,{column}\n{rows}\n")
    with pytest.raises(DataError, match="a median of"):
        read_measured(path, None)


def test_points_beside_decimal_commas_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "normals.csv"
    path.write_text("age;r_v5\n5y;0,95\n6y;1.236\n")
    with pytest.raises(DataError, match=r":3: r_v5 .*thousands"):
        read_measured(path, None)
