"""A CSV manifest: how a hospital hands over its own recordings, whatever format the files have.

Columns: `file` (relative to the manifest), and as known: `record_id` (default: the file's name), `patient_id`, one form
of age (`age` as text such as 3d or 5y4m; `age_days`; `age_years`; or `birth_date` with `recording_date`), `sex`,
`report`, `labels` (separated by `;`), `fold`, and laboratory values as `lab:NAME`. Other columns are errors, because a
misspelt one would be lost in silence; a column that is to be ignored starts with `#`.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from auricle import age as ages
from auricle.age import Age
from auricle.errors import DataError
from auricle.io.wfdb import sex_of
from auricle.recording import Sex

COLUMNS: Final = (
    "file", "record_id", "patient_id", "age", "age_days", "age_years", "birth_date", "recording_date", "sex", "report",
    "labels", "fold",
)  # fmt: skip
LAB_PREFIX: Final = "lab:"
_AGE_FORMS: Final = (("age",), ("age_days",), ("age_years",), ("birth_date", "recording_date"))


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of a manifest, checked."""

    line: int
    file: str
    record_id: str
    patient_id: str | None = None
    age: Age | None = None
    sex: Sex | None = None
    report: str | None = None
    labels: tuple[str, ...] = ()
    fold: int | None = None
    labs: Mapping[str, float] = field(default_factory=dict)


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
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        check_header(path, header)
        rows = [_row(path, reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: damaged CSV ({error})") from None
    if not rows:
        raise DataError(f"{path}: lists no recording")
    lines: dict[str, int] = {}
    for row in rows:
        if row.record_id in lines:
            raise DataError(f"{path}:{row.line}: the same record_id as line {lines[row.record_id]}: make it unique")
        lines[row.record_id] = row.line
    return rows


def check_header(path: Path, header: list[str]) -> None:
    """Refuse a header without `file`, with a column twice, or with a name nobody knows."""
    if "file" not in header:
        # The line is not repeated: where the header was forgotten, it is a patient's.
        raise DataError(f"{path}: has no column `file`; its first line should name the columns: {', '.join(COLUMNS)}")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise DataError(f"{path}: column {sorted(doubled)[0]!r} occurs twice")
    for name in header:
        if name not in COLUMNS and not name.startswith((LAB_PREFIX, "#")):
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "start its name with # to have it ignored"
            raise DataError(f"{path}: unknown column {name!r}: {hint}")
    given = [form for form in _AGE_FORMS if set(form) & set(header)]
    if len(given) > 1:
        raise DataError(f"{path}: gives the age in {len(given)} forms; keep one of {', '.join(map('+'.join, given))}")
    if given and not set(given[0]) <= set(header):
        raise DataError(f"{path}: an age from dates needs both birth_date and recording_date")


def _row(path: Path, line: int, cells: Mapping[str | None, str | None]) -> ManifestRow:
    def cell(name: str) -> str:
        return (cells.get(name) or "").strip()

    try:
        if None in cells or None in cells.values():
            raise DataError("has another number of cells than the header")
        if not cell("file"):
            raise DataError("names no file")
        sex = sex_of(cell("sex"))
        if sex is None and cell("sex").casefold() not in {"", "unknown", "nan", "u", "?", "other", "o", "x", "未知"}:
            raise DataError("sex should be F, M or empty")
        fold = cell("fold")
        return ManifestRow(
            line=line,
            file=cell("file"),
            record_id=cell("record_id") or Path(cell("file")).stem,
            patient_id=cell("patient_id") or None,
            age=_age(cell),
            sex=sex,
            report=cell("report") or None,
            labels=tuple(label.strip() for label in cell("labels").split(";") if label.strip()),
            fold=_whole(fold) if fold else None,
            labs=_labs(cells),
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
    """The age a row says, from its age, its days or its two dates."""
    if cell("birth_date") and cell("recording_date"):
        return ages.between(cell("birth_date"), cell("recording_date"))
    if cell("age_days"):
        days = _number(cell("age_days"), "age_days")
        if days < 0:
            raise DataError(f"negative age {days:g}: age_days counts from birth")
        return Age(days)
    return ages.parse(cell("age") or cell("age_years"))


def _labs(cells: Mapping[str | None, str | None]) -> dict[str, float]:
    given = {name: (value or "").strip() for name, value in cells.items() if name and name.startswith(LAB_PREFIX)}
    return {name.removeprefix(LAB_PREFIX): _number(value, name) for name, value in given.items() if value}


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
