"""A CSV manifest: how a hospital hands over its own recordings, whatever format the files have.

Columns: `file` (relative to the manifest), and as known: `image`, a picture of the ECG beside it or, where `file` is
empty, instead of it; `record_id` (default: the file's name), `patient_id`, one form of age (`age` as text such as 3d or
5y4m; `age_days`; `age_years`; or `birth_date` with `recording_date`), `sex`, `report`, `labels` (separated by `;`),
`fold`; laboratory values as `lab:NAME` or `lab:NAME [unit]`, by any name and in any unit of `auricle list labs`, and
when they were drawn as `lab_minutes:NAME`, in minutes after the ECG (negative before). Other columns are errors,
because a misspelt one would be lost in silence; a column that is to be ignored starts with `#`.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from auricle import age as ages
from auricle.age import Age
from auricle.errors import DataError, UnknownNameError
from auricle.io.header_comments import sex_of
from auricle.io.names import record_name
from auricle.labs import in_canonical_unit, lab_test, unit_factor
from auricle.recording import Sex

COLUMNS: Final = (
    "file", "image", "record_id", "patient_id", "age", "age_days", "age_years", "birth_date", "recording_date", "sex",
    "report", "labels", "fold",
)  # fmt: skip
LAB_PREFIX: Final = "lab:"
MINUTES_PREFIX: Final = "lab_minutes:"
LAB_PREFIXES: Final = (LAB_PREFIX, MINUTES_PREFIX)
_UNIT: Final = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<unit>[^\[\]]*)\])?\s*$")
_AGE_FORMS: Final = (("age",), ("age_days",), ("age_years",), ("birth_date", "recording_date"))


@dataclass(frozen=True, slots=True)
class LabColumn:
    """A column of laboratory values or of their times: its prefix, the canonical name of its test, and its unit."""

    prefix: str
    test: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of a manifest, checked; one of `file` and `image` may be empty, and laboratory values are canonical."""

    line: int
    file: str
    record_id: str
    image: str = ""
    patient_id: str | None = None
    age: Age | None = None
    sex: Sex | None = None
    report: str | None = None
    labels: tuple[str, ...] = ()
    fold: int | None = None
    labs: Mapping[str, float] = field(default_factory=dict)
    lab_minutes: Mapping[str, float] = field(default_factory=dict)


def read_manifest(path: Path) -> list[ManifestRow]:
    """All rows of a manifest.

    Raises:
        DataError: the first thing wrong, with file and line; never a value that could identify a patient.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8; save it as CSV UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the CSV file itself") from None
    # The delimiter is the one most frequent in the first line.
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        check_header(path, header)
        rows = [parse_row(path, reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: damaged CSV ({error})") from None
    if not rows:
        raise DataError(f"{path}: lists no recording")
    # A record_id names one record of the store.
    lines: dict[str, int] = {}
    for row in rows:
        if row.record_id in lines:
            raise DataError(f"{path}:{row.line}: the same record_id as line {lines[row.record_id]}: make it unique")
        lines[row.record_id] = row.line
    return rows


def check_header(path: Path, header: list[str]) -> None:
    """Refuse a header that cannot be read.

    Args:
        path: the manifest, for messages.
        header: names of the columns.

    Raises:
        DataError: neither `file` nor `image`, a column twice, an unknown name, an unknown laboratory test or unit, or
            the age in more than one form.
    """
    if "file" not in header and "image" not in header:
        # The line is not repeated: where the header was forgotten, it is a patient's.
        raise DataError(f"{path}: has no column `file`; its first line should name the columns: {', '.join(COLUMNS)}")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise DataError(f"{path}: column {sorted(doubled)[0]!r} occurs twice")
    for name in header:
        if name not in COLUMNS and not name.startswith((*LAB_PREFIXES, "#")):
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "start its name with # to have it ignored"
            raise DataError(f"{path}: unknown column {name!r}: {hint}")
    try:
        lab_columns(header)
    except (DataError, UnknownNameError) as error:
        raise DataError(f"{path}:1: {error}") from None
    given = [form for form in _AGE_FORMS if set(form) & set(header)]
    if len(given) > 1:
        raise DataError(f"{path}: gives the age in {len(given)} forms; keep one of {', '.join(map('+'.join, given))}")
    if given and not set(given[0]) <= set(header):
        raise DataError(f"{path}: an age from dates needs both birth_date and recording_date")


def lab_columns(header: Iterable[str | None]) -> dict[str, LabColumn]:
    """The columns of laboratory values and of their times, by column.

    Raises:
        UnknownNameError: no such test.
        DataError: an unknown unit, a test in two columns, or a time without a value.
    """
    found: dict[str, LabColumn] = {}
    owner: dict[tuple[str, str], str] = {}
    for column in header:
        prefix = next((known for known in LAB_PREFIXES if column and column.startswith(known)), None)
        if column is None or prefix is None:
            continue
        match = _UNIT.match(column.removeprefix(prefix).strip())
        name, unit = (match["name"], match["unit"]) if match else ("", None)
        test = lab_test(name).name
        if prefix == MINUTES_PREFIX:
            if unit not in (None, "min"):
                raise DataError(f"{column!r} counts minutes: leave [{unit}] out")
        else:
            unit_factor(name, unit)
        first_column = owner.setdefault((prefix, test), column)
        if first_column != column:
            raise DataError(f"columns {first_column!r} and {column!r} are both {test}: keep one of them")
        found[column] = LabColumn(prefix, test, unit)
    for (prefix, test), column in owner.items():
        if prefix == MINUTES_PREFIX and (LAB_PREFIX, test) not in owner:
            raise DataError(f"column {column!r} has no column `{LAB_PREFIX}{test}` beside it")
    return found


def parse_row(path: Path, line: int, cells: Mapping[str | None, str | None]) -> ManifestRow:
    """One line of a manifest.

    Args:
        path: the manifest, for messages.
        line: where it begins.
        cells: by column; a key or a value of None stands for a cell too many or too few.

    Raises:
        DataError: the first thing wrong with the line, by file and line; never a value that could identify a patient.
    """

    def cell(name: str) -> str:
        return (cells.get(name) or "").strip()

    try:
        if None in cells or None in cells.values():
            raise DataError("has another number of cells than the header")
        if not cell("file") and not cell("image"):
            raise DataError("names no file")
        sex = sex_of(cell("sex"))
        if sex is None and cell("sex").casefold() not in {"", "unknown", "nan", "u", "?", "other", "o", "x", "未知"}:
            raise DataError("sex should be F, M or empty")
        fold = cell("fold")
        labs, lab_minutes = _labs(cells)
        return ManifestRow(
            line=line,
            file=cell("file"),
            image=cell("image"),
            record_id=cell("record_id") or record_name(cell("file") or cell("image")),
            patient_id=cell("patient_id") or None,
            age=_age(cell),
            sex=sex,
            report=cell("report") or None,
            labels=tuple(label.strip() for label in cell("labels").split(";") if label.strip()),
            fold=_whole(fold) if fold else None,
            labs=labs,
            lab_minutes=lab_minutes,
        )
    except DataError as error:
        raise DataError(f"{path}:{line}: {error}") from None


def _age(cell: Callable[[str], str]) -> Age | None:
    """The age of a row; the message never repeats the cell, which may hold a name by mistake."""
    try:
        return written_age(cell)
    except DataError as error:
        negative = "negative age" in str(error)
        raise DataError(
            "negative age: the dates or numbers are wrong"
            if negative
            else "the age cannot be read: write 3d, 6wk, 16mo, 2.4yr or 5y4m, and dates as 2024-05-31"
        ) from None


def written_age(cell: Callable[[str], str]) -> Age | None:
    """The age of a row, from its age, its days or its two dates; None where none of them is filled in.

    Args:
        cell: the text of a column of the row, by name.

    Raises:
        DataError: not an age or a date, or a negative age.
    """
    if cell("birth_date") and cell("recording_date"):
        return ages.between(cell("birth_date"), cell("recording_date"))
    if cell("age_days"):
        days = _number(cell("age_days"), "age_days")
        if days < 0:
            raise DataError(f"negative age {days:g}: age_days counts from birth")
        return Age(days)
    return ages.parse(cell("age") or cell("age_years"))


def _labs(cells: Mapping[str | None, str | None]) -> tuple[dict[str, float], dict[str, float]]:
    """Values in canonical units, and when they were drawn, by canonical name; messages begin with their column."""
    labs: dict[str, float] = {}
    minutes: dict[str, float] = {}
    for name, column in _columns_of(tuple(cells)).items():
        text = (cells[name] or "").strip()
        if not text:
            continue
        number = _number(text, name)
        if column.prefix == MINUTES_PREFIX:
            minutes[column.test] = number
            continue
        try:
            labs[column.test] = in_canonical_unit(column.test, number, column.unit)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    return labs, {test: drawn for test, drawn in minutes.items() if test in labs}


@lru_cache(maxsize=8)
def _columns_of(header: tuple[str | None, ...]) -> Mapping[str, LabColumn]:
    """`lab_columns` of a header that has been checked, resolved once and not for every line."""
    return lab_columns(header)


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{what} should be a number")
    return number


def _whole(text: str) -> int:
    number = _number(text, "fold")
    if number != int(number):
        raise DataError("fold should be a whole number")
    return int(number)
