"""A CSV of measurements of normal people, as a hospital's own program writes it.

Columns: one of `age` (3d, 5y4m ...), `age_days`, `age_years`; and as known `sex`, `patient_id`, `record_id`,
`labels` (separated by `;`), `gestational_age` (30+2); every other column is a parameter by its name in the limits
(`heart_rate`, `pr`, `r_v1` ...) or as carts call it (`HeartRate`, `QRS duration`, `RV6`). A unit may follow, `QRS [s]`,
`PR (ms)` or `r_v6_uv`, and is obeyed; a column in another unit than it says is refused. Empty cells are missing. A
column that starts with `#` is ignored.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.data.cells import age_of, gestation_of, labels_of, patient_of, sex_of_cell
from auricle.data.table import Table, cells_of, read_table
from auricle.errors import DataError
from auricle.io.units import millivolts_per
from auricle.measure.measurements import UNITS
from auricle.numerals import UNKNOWN, Mark, read_number
from auricle.paediatrics.normal_records import Gathered, NormalRecords, parameter_of, unit_in

Floats = NDArray[np.float64]

AGE_COLUMNS: Final = ("age", "age_days", "age_years")
_OTHER_COLUMNS: Final = ("sex", "patient_id", "record_id", "labels", "gestational_age")
_KNOWN_COLUMNS: Final = (*AGE_COLUMNS, *_OTHER_COLUMNS)
# Factors to the units of the limits.
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "ms": {"ms": 1.0, "msec": 1.0, "s": 1000.0, "sec": 1000.0, "us": 0.001, "µs": 0.001},
    "1/min": {"1/min": 1.0, "/min": 1.0, "min-1": 1.0, "bpm": 1.0, "hz": 60.0},
    "deg": {"deg": 1.0, "°": 1.0, "rad": math.degrees(1.0)},
    "1": {"1": 1.0},
}
# What a living heart can have, far beyond any disease: what lies outside is in another unit.
_POSSIBLE_OF: Final[Mapping[str, tuple[float, float]]] = {
    "ms": (8.0, 6000.0),
    "1/min": (8.0, 500.0),
    "mV": (-20.0, 20.0),
    "deg": (-360.0, 360.0),
}
_POSSIBLE: Final[Mapping[str, tuple[float, float]]] = {
    "rr": (100.0, 10_000.0),
    "qrs": (15.0, 500.0),
    "qt": (60.0, 1500.0),
    "qtc_bazett": (100.0, 1500.0),
    "qtc_fridericia": (100.0, 1500.0),
}
# Medians of any group of people, from newborns to the old.
_USUAL: Final[Mapping[str, tuple[float, float]]] = {
    "heart_rate": (40.0, 220.0),
    "rr": (270.0, 1500.0),
    "p_duration": (25.0, 160.0),
    "pr": (60.0, 260.0),
    "qrs": (30.0, 160.0),
    "qt": (180.0, 520.0),
    "qtc_bazett": (300.0, 520.0),
    "qtc_fridericia": (240.0, 520.0),
}
# R and S of half of all people are larger than this in every lead, and what is smaller is below a converter's step.
_LEAST_MEDIAN_MV, _STEP_MV = 0.01, 0.003
_FEWEST_TOLD: Final = 10
_SMALL_SHARE: Final = 0.05


def read_measured(path: Path, label: str | None = "NORM") -> NormalRecords:
    """The records of a CSV of measurements.

    Args:
        path: the file.
        label: only rows with this label, where there is a column `labels`; None takes all.

    Raises:
        DataError: the first thing wrong, with file and line or column; never a value that could identify a patient.
    """
    table = read_table(path)
    if table.garbled:
        raise DataError(f"{path}:{table.garbled[0]}: {table.garbled_reason}")
    header = [_canonical(name) for name in table.header]
    columns = _columns(path, header)
    factors = {name: _factor(path, name, parameter) for name, parameter in columns.items()}
    gathered = Gathered(label if "labels" in header else None)
    mark = _decimals_of(table, header, columns)
    for line, values in table.records:
        try:
            _add(gathered, mark, cells_of(header, values), line, columns, factors)
        except DataError as error:
            raise DataError(f"{path}:{line}: {error}") from None
    records = gathered.done()
    for name, parameter in columns.items():
        _check_unit(path, name, parameter, records.values.get(parameter, np.zeros(0)))
    return records


def _canonical(name: str) -> str:
    small = name.casefold().replace(" ", "_")
    return small if small in _KNOWN_COLUMNS else name


def _columns(path: Path, header: list[str]) -> dict[str, str]:
    """Column -> parameter."""
    if not set(header) & set(AGE_COLUMNS):
        raise DataError(f"{path}: no column with ages; add age (3d, 5y4m), age_days or age_years")
    if len(set(header) & set(AGE_COLUMNS)) > 1:
        raise DataError(f"{path}: gives the age in several columns; keep one of {', '.join(AGE_COLUMNS)}")
    found: dict[str, str] = {}
    for name in header:
        if name in _KNOWN_COLUMNS or name.startswith("#"):
            continue
        parameter = parameter_of(name)
        if parameter is None:
            near = difflib.get_close_matches(name.casefold(), [*UNITS, *_KNOWN_COLUMNS, "r_v1", "s_v1"], n=1)
            hint = f"did you mean {near[0]!r}?" if near else "start its name with # to have it ignored"
            raise DataError(f"{path}: unknown column {name!r}: {hint}")
        if parameter in found.values():
            raise DataError(f"{path}: two columns are {parameter}; keep one")
        found[name] = parameter
    if not found:
        raise DataError(f"{path}: no column with measurements, such as heart_rate, pr, qrs or r_v1")
    return found


def _decimals_of(table: Table, header: list[str], columns: Mapping[str, str]) -> Mark:
    """What the columns of numbers prove about decimals."""
    numbers = {*columns, "age_days", "age_years"}
    return table.decimal_mark([place for place, name in enumerate(header) if name in numbers])


def _add(
    gathered: Gathered,
    mark: Mark,
    cells: Mapping[str | None, str | None],
    line: int,
    columns: Mapping[str, str],
    factors: Mapping[str, float],
) -> None:
    """One record.

    Raises:
        DataError: the first thing wrong with it, without its place.
    """

    def cell(name: str) -> str:
        return (cells.get(name) or "").strip()

    if None in cells or None in cells.values():
        raise DataError("has another number of cells than the header")
    numbers = {parameter: factors[name] * _number(cell(name), name, mark) for name, parameter in columns.items()}
    age = age_of(cell, mark)
    patient = patient_of(cell("patient_id")) or f"line:{line}"
    gathered.add(
        age,
        gestation_of(cell("gestational_age")),
        sex_of_cell(cell("sex")),
        patient,
        labels_of(cell("labels")),
        numbers,
    )


def _number(text: str, name: str, mark: Mark) -> float:
    if text.casefold() in UNKNOWN:
        return math.nan
    try:
        return read_number(text, mark)
    except DataError as error:
        raise DataError(f"{name} {error}; a unit goes into the name of the column, as in qrs [ms]") from None


def _factor(path: Path, name: str, parameter: str) -> float:
    """What a value of a column is multiplied by, for the unit in its name (`QRS [s]`); 1 where it names none.

    Raises:
        DataError: a unit that its values cannot have.
    """
    written, wanted = unit_in(name), UNITS.get(parameter, "mV")
    if not written:
        return 1.0
    if wanted == "mV":
        try:
            return millivolts_per(written)
        except DataError as error:
            raise DataError(f"{path}: column {name!r}: {error}") from None
    known = _FACTORS[wanted]
    if written.casefold() not in known:
        raise DataError(f"{path}: column {name!r}: its unit should be {wanted}")
    return known[written.casefold()]


def _check_unit(path: Path, name: str, parameter: str, values: Floats) -> None:
    """Refuse a column whose values no heart has in its unit: seconds for milliseconds, microvolts, or both mixed.

    Raises:
        DataError: with the column, how many of its values are impossible, and the unit they seem to be in.
    """
    known = values[np.isfinite(values)]
    unit = UNITS.get(parameter, "mV")
    low, high = _POSSIBLE.get(parameter, _POSSIBLE_OF.get(unit, (-np.inf, np.inf)))
    below, above = known < low, known > high
    if unit == "mV":
        above, below = np.abs(known) > high, _too_small(parameter, known)
    elif unit == "deg" and len(known) >= _FEWEST_TOLD and np.abs(known).max() <= 2 * math.pi:
        below = np.ones(len(known), dtype=bool)
    wrong = int((below | above).sum())
    if not wrong:
        _check_middle(path, name, parameter, unit, known)
        return
    all_of_it = "" if wrong == len(known) else ", mixed with others that are not"
    written = unit_in(name)
    if written:
        said, remedy = written, "the unit in its name is not theirs: name the true one"
    else:
        seem, other = _SEEMS.get((unit, bool(below.any())), ("", unit))
        said = f"{unit}: they look like {seem}{all_of_it}" if seem else f"{unit}: look at the unit{all_of_it}"
        remedy = f"give all in {unit}, or name the unit, as in {parameter} [{other}]"
    raise DataError(f"{path}: column {name!r}: {wrong} of {len(known)} values are not possible in {said}; {remedy}")


def _check_middle(path: Path, name: str, parameter: str, unit: str, known: Floats) -> None:
    """Refuse a column of possible values whose median no group of people has: another quantity under this name.

    Raises:
        DataError: with the column, its median and what it should be.
    """
    low, high = _USUAL.get(parameter, (-np.inf, np.inf))
    if len(known) >= _FEWEST_TOLD and not low <= (middle := float(np.median(known))) <= high:
        raise DataError(
            f"{path}: column {name!r}: a median of {middle:.3g} {unit} is that of no group of people "
            f"({low:g} to {high:g} {unit}): look at the unit and at the name of the column"
        )


# What values below (True) or above what is possible look like, and how that unit is written.
_SEEMS: Final[Mapping[tuple[str, bool], tuple[str, str]]] = {
    ("ms", True): ("seconds", "s"),
    ("ms", False): ("microseconds", "us"),
    ("mV", True): ("volts", "V"),
    ("mV", False): ("microvolts", "uV"),
    ("1/min", True): ("beats per second", "Hz"),
    ("deg", True): ("radians", "rad"),
}


def _too_small(parameter: str, known: Floats) -> NDArray[np.bool_]:
    """Which R and S are a thousandth of a wave: all of a column in volts, or a part of it beside one in millivolts."""
    size = np.abs(known)
    waves = size[size > 0]
    none = np.zeros(len(known), dtype=bool)
    if not parameter.startswith(("r_", "s_")) or len(waves) < _FEWEST_TOLD:
        return none
    if np.median(waves) < _LEAST_MEDIAN_MV:
        return size > 0
    # Waves dwindle without a gap; two units lie a thousandfold apart.
    small = (size > 0) & (size < _STEP_MV)
    between = ((size >= _STEP_MV) & (size < 10 * _STEP_MV)).sum()
    return small if small.sum() > max(_SMALL_SHARE * len(waves), between) else none
