"""A hospital's normal records as a table: ages, sexes, patients and values, from a CSV or from recordings measured.

CSV columns: one of `age` (3d, 5y4m ...), `age_days`, `age_years`; and as known `sex`, `patient_id`, `record_id`,
`labels` (separated by `;`); every other column is a parameter by its name in the limits (`heart_rate`, `pr`, `r_v1`
...; units may follow, as in `qrs_ms` or `r_v1_mv`). Empty cells are missing. A column that starts with `#` is ignored.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle import age as ages
from auricle.age import Age
from auricle.errors import AuricleError, DataError
from auricle.io.header_comments import sex_of
from auricle.io.units import millivolts_per
from auricle.leads import CANONICAL
from auricle.measure.measurements import UNITS, Measured
from auricle.measure.recording import measure_recording
from auricle.paediatrics.assessment import lead_of
from auricle.recording import Recording, Sex

Floats = NDArray[np.float64]

AGE_COLUMNS: Final = ("age", "age_days", "age_years")
_OTHER_COLUMNS: Final = ("sex", "patient_id", "record_id", "labels")
# Names under which carts and the simulator hand over the same values.
_ALIASES: Final = {"rate": "heart_rate", "hr": "heart_rate", "qtc": "qtc_bazett", "axis": "qrs_axis"}
_UNIT_SUFFIXES: Final = ("_ms", "_mv", "_deg")
_UNIT: Final = re.compile(r"\s*\[(?P<unit>[^\[\]]*)\]\s*$")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:[.,]\d*)?(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
# What a living heart can have, far beyond any disease: what lies outside is in another unit.
_POSSIBLE_OF: Final[Mapping[str, tuple[float, float]]] = {
    "ms": (8.0, 6000.0),
    "1/min": (8.0, 500.0),
    "mV": (-20.0, 20.0),
}
_POSSIBLE: Final[Mapping[str, tuple[float, float]]] = {"qt": (60.0, 1500.0), "rr": (100.0, 10_000.0)}
_LEADS: Final = frozenset(name.casefold() for name in CANONICAL)


@dataclass(frozen=True, slots=True)
class NormalRecords:
    """Values of normal people.

    Attributes:
        age_days: (record,).
        sex: (record,) "F", "M" or "".
        patient: (record,) names; a record without a patient stands for itself.
        values: parameter -> (record,), NaN where missing, in the units of the limits.
        left_out: reason -> how many records were not used.
    """

    age_days: Floats
    sex: NDArray[np.str_]
    patient: NDArray[np.str_]
    values: Mapping[str, Floats]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.age_days)


def parameter_of(name: str) -> str | None:
    """The parameter a column or measurement means (`qrs_ms`, `QRS [ms]`, `HeartRate`), or None."""
    folded = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _UNIT.sub("", name.strip())).casefold()  # HeartRate -> heart_rate
    for suffix in _UNIT_SUFFIXES:
        folded = folded.removesuffix(suffix)
    folded = _ALIASES.get(folded, folded)
    return folded if folded in UNITS or lead_of(folded) in _LEADS else None


def gather(rows: Iterable[tuple[Recording, Mapping[str, float]]], label: str | None) -> NormalRecords:
    """A table from recordings and their values, by any names `parameter_of` knows.

    Args:
        rows: recordings (their signals are not read) with values; NaN where missing.
        label: only records with this label; None takes all.
    """
    table = _Table(label)
    for recording, values in rows:
        known = {parameter_of(name): value for name, value in values.items()}
        table.add(
            recording.age, recording.sex, recording.patient_id or f"record:{recording.record_id}", recording.labels,
            {name: value for name, value in known.items() if name is not None},
        )  # fmt: skip
    return table.done()


def with_values(recordings: Iterable[Recording], given: bool) -> Iterator[tuple[Recording, Mapping[str, float]]]:
    """Each recording with its values: those that came with it, or those measured on it.

    What cannot be measured has no value, and its curves are fitted without it.

    Args:
        recordings: of normal people.
        given: take the measurements that came with them.
    """
    for recording in recordings:
        if given:
            yield recording, recording.measurements
            continue
        try:
            values = values_of(measure_recording(recording).values)
        except AuricleError:
            values = {}
        yield recording, values


def values_of(measured: Mapping[str, Measured]) -> dict[str, float]:
    """Plain numbers of measurements, NaN where not measurable."""
    return {name: one.value if one.measurable else math.nan for name, one in measured.items()}


def read_csv(path: Path, label: str | None = "NORM") -> NormalRecords:
    """The records of a CSV.

    Args:
        path: the file.
        label: only rows with this label, where there is a column `labels`; None takes all.

    Raises:
        DataError: the first thing wrong, with file and line; never a value that could identify a patient.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8; save it as CSV UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise DataError(f"{path}: cannot be read ({reason})") from None
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    header = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = header
    columns = _columns(path, header)
    factors = {name: _factor(path, name, parameter) for name, parameter in columns.items()}
    table = _Table(label if "labels" in header else None)
    try:
        for cells in reader:
            line = reader.line_num
            if None in cells or None in cells.values():
                raise DataError(f"{path}:{line}: has another number of cells than the header")
            given = {str(name): str(cell).strip() for name, cell in cells.items()}
            numbers = {
                parameter: factors[name] * _number(path, line, name, given[name]) for name, parameter in columns.items()
            }
            labels = tuple(one.strip() for one in given.get("labels", "").split(";"))
            patient = given.get("patient_id") or f"line:{line}"
            table.add(_age(path, line, given), sex_of(given.get("sex", "")), patient, labels, numbers)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: damaged CSV ({error})") from None
    records = table.done()
    for name, parameter in columns.items():
        _check_unit(path, name, parameter, records.values.get(parameter, np.zeros(0)))
    return records


class _Table:
    """Rows as they come; what has no age or another label is counted and left out."""

    def __init__(self, label: str | None) -> None:
        self.label = label
        self.rows: list[tuple[float, str, str, Mapping[str, float]]] = []
        self.left_out: dict[str, int] = {}

    def add(
        self, age: Age | None, sex: Sex | None, patient: str, labels: Iterable[str], values: Mapping[str, float]
    ) -> None:
        reason = "age unknown" if age is None else ""
        if self.label is not None and self.label not in labels:
            reason = f"not {self.label}"
        if reason or age is None:
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
            return
        self.rows.append((age.best_days, sex or "", patient, values))

    def done(self) -> NormalRecords:
        names = list(dict.fromkeys(name for *_, values in self.rows for name in values))
        columns = {
            name: np.array([row[3].get(name, math.nan) for row in self.rows], dtype=np.float64) for name in names
        }
        return NormalRecords(
            np.array([row[0] for row in self.rows], dtype=np.float64),
            np.array([row[1] for row in self.rows], dtype=np.str_),
            np.array([row[2] for row in self.rows], dtype=np.str_),
            columns,
            self.left_out,
        )


def _columns(path: Path, header: list[str]) -> dict[str, str]:
    """Column -> parameter."""
    if not set(header) & set(AGE_COLUMNS):
        raise DataError(f"{path}: no column with ages; add age (3d, 5y4m), age_days or age_years")
    if len(set(header) & set(AGE_COLUMNS)) > 1:
        raise DataError(f"{path}: gives the age in several columns; keep one of {', '.join(AGE_COLUMNS)}")
    found: dict[str, str] = {}
    for name in header:
        if name in AGE_COLUMNS or name in _OTHER_COLUMNS or name.startswith("#"):
            continue
        parameter = parameter_of(name)
        if parameter is None:
            near = difflib.get_close_matches(
                name.casefold(), [*UNITS, *_OTHER_COLUMNS, *AGE_COLUMNS, "r_v1", "s_v1"], n=1
            )
            hint = f"did you mean {near[0]!r}?" if near else "start its name with # to have it ignored"
            raise DataError(f"{path}: unknown column {name!r}: {hint}")
        if parameter in found.values():
            raise DataError(f"{path}: two columns are {parameter}; keep one")
        found[name] = parameter
    if not found:
        raise DataError(f"{path}: no column with measurements, such as heart_rate, pr, qrs or r_v1")
    return found


def _number(path: Path, line: int, name: str, text: str) -> float:
    if text.casefold() in {"", "nan", "na", "n/a", "none", "null"}:
        return math.nan
    if not _NUMBER.fullmatch(text):
        raise DataError(f"{path}:{line}: {name} should be a number")
    return float(text.replace(",", "."))


def _factor(path: Path, name: str, parameter: str) -> float:
    """What a value of a column is multiplied by, for the unit in its name (`QRS [s]`); 1 where it names none.

    Raises:
        DataError: a unit that its values cannot have.
    """
    match = _UNIT.search(name)
    if match is None:
        return 1.0
    written, wanted = match["unit"].strip(), UNITS.get(parameter, "mV")
    if wanted == "mV":
        try:
            return millivolts_per(written)
        except DataError as error:
            raise DataError(f"{path}: column {name!r}: {error}") from None
    known = {"ms": {"ms": 1.0, "s": 1000.0}, "1/min": {"1/min": 1.0, "/min": 1.0, "bpm": 1.0}}.get(wanted, {})
    known |= {wanted: 1.0, "°": 1.0} if wanted == "deg" else {wanted: 1.0}
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
    wrong = int(((known < low) | (known > high)).sum())
    if not wrong:
        return
    seem, other = {"ms": ("seconds", "s"), "mV": ("microvolts", "uV")}.get(unit, ("", unit))
    also = "" if wrong == len(known) else ", mixed with others that are not"
    hint = f"they look like {seem}{also}" if seem else "look at the unit"
    raise DataError(
        f"{path}: column {name!r}: {wrong} of {len(known)} values are not possible in {unit}: {hint}; "
        f"give all in {unit}, or name the unit, as in {parameter} [{other}]"
    )


def _age(path: Path, line: int, given: Mapping[str, str]) -> Age | None:
    try:
        if given.get("age_days"):
            return Age(float(given["age_days"]))
        return ages.parse(given.get("age") or given.get("age_years"))
    except (DataError, ValueError):
        raise DataError(f"{path}:{line}: the age cannot be read: write 3d, 6wk, 16mo, 2.4yr or 5y4m") from None
