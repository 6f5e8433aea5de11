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
    """The parameter a column or measurement means (`qrs_ms` -> `qrs`), or None."""
    folded = name.strip().casefold()
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
    table = _Table(label if "labels" in header else None)
    try:
        for cells in reader:
            line = reader.line_num
            if None in cells or None in cells.values():
                raise DataError(f"{path}:{line}: has another number of cells than the header")
            given = {str(name): str(cell).strip() for name, cell in cells.items()}
            numbers = {parameter: _number(path, line, name, given[name]) for name, parameter in columns.items()}
            labels = tuple(one.strip() for one in given.get("labels", "").split(";"))
            patient = given.get("patient_id") or f"line:{line}"
            table.add(_age(path, line, given), sex_of(given.get("sex", "")), patient, labels, numbers)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: damaged CSV ({error})") from None
    return table.done()


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
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}:{line}: {name} should be a number") from None


def _age(path: Path, line: int, given: Mapping[str, str]) -> Age | None:
    try:
        if given.get("age_days"):
            return Age(float(given["age_days"]))
        return ages.parse(given.get("age") or given.get("age_years"))
    except (DataError, ValueError):
        raise DataError(f"{path}:{line}: the age cannot be read: write 3d, 6wk, 16mo, 2.4yr or 5y4m") from None
