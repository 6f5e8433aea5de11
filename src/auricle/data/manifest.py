"""A CSV manifest: how a hospital hands over its own recordings, whatever format the files have.

Columns: `file` (relative to the manifest), and as known: `image`, a picture of the ECG beside it or, where `file` is
empty, instead of it; `record_id` (default: the file's name), `patient_id` (empty, `-` or `unknown`: a person of its
own), one form of age (`age` as text such as 3d or 5y4m; `age_days`; `age_years`; or `birth_date` with
`recording_date`), `sex`, `report`, `labels` (separated by `;`), `fold`, `gestational_age` (30+2); laboratory values as
`lab:NAME` or `lab:NAME [unit]`, by any name and in any unit of `auricle list labs`, and when they were drawn as
`lab_minutes:NAME`, in minutes after the ECG (negative before). Other columns are errors, because a misspelt one would
be lost in silence; a column that is to be ignored starts with `#`.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from posixpath import normpath
from typing import Final

from auricle.age import Age, is_unknown
from auricle.data.cells import (
    age_of,
    gestation_of,
    is_no_birth,
    labels_of,
    lies_ahead,
    number_of,
    patient_of,
    sex_of_cell,
    whole_number_of,
)
from auricle.data.table import Table, cells_of, read_table
from auricle.errors import DataError, UnknownNameError
from auricle.io.names import holds_signals, record_name, suffix_of
from auricle.labs import Bound, in_canonical_unit, is_remark, lab_test, parse_value, unit_factor
from auricle.numerals import UNKNOWN, Mark
from auricle.recording import Sex

COLUMNS: Final = (
    "file", "image", "record_id", "patient_id", "age", "age_days", "age_years", "birth_date", "recording_date", "sex",
    "report", "labels", "fold", "gestational_age",
)  # fmt: skip
LAB_PREFIX: Final = "lab:"
MINUTES_PREFIX: Final = "lab_minutes:"
LAB_PREFIXES: Final = (LAB_PREFIX, MINUTES_PREFIX)
_UNIT: Final = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<unit>[^\[\]]*)\])?\s*$")
_NUMBERS: Final = frozenset({"age_days", "age_years", "fold"})
# A number that counts years; a bare 0 is an unknown age.
_BARE_YEARS: Final = re.compile(r"(?!0+(?:[.,]0+)?$)[0-9]+(?:[.,][0-9]+)?")
WITHOUT_UNIT: Final = "ages without a unit beside others that name theirs count years: write 3yr or 3d"
NO_BIRTH: Final = (
    "a date of birth that programs write of none (1900-01-01), or of somebody older than 110 years: the age is unknown"
)
BIRTH_AND_RECORDING: Final = ("birth_date", "recording_date")
_AGE_FORMS: Final = (("age",), ("age_days",), ("age_years",), BIRTH_AND_RECORDING)


@dataclass(frozen=True, slots=True)
class LabColumn:
    """A column of laboratory values or of their times: its prefix, the canonical name of its test, and its unit."""

    prefix: str
    test: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of a manifest, checked; one of `file` and `image` may be empty, and laboratory values are canonical.

    A line that cannot be used has the reason as its `problem`, and of the rest only what names it.
    """

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
    lab_bounds: Mapping[str, Bound] = field(default_factory=dict)
    gestation_days: float | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""


def read_manifest(path: Path) -> list[ManifestRow]:
    """All rows of a manifest; one that cannot be used has its `problem`, and the others are kept.

    Raises:
        DataError: the table as a whole cannot be read, with the file and the remedy; never a value that could identify
            a patient.
    """
    table = read_table(path)
    if table.garbled:
        raise DataError(f"{path}:{table.garbled[0]}: {table.garbled_reason}")
    header = canonical_header(table.header)
    check_header(path, list(header))
    bare, is_mixed = bare_ages(table, header)
    if bare and is_mixed:
        warnings.warn(f"{path.name}: {WITHOUT_UNIT} ({len(bare)}, the first in line {min(bare)})", stacklevel=2)
    unborn = lines_without_birth(table, header)
    if unborn:
        warnings.warn(f"{path.name}: {NO_BIRTH} ({len(unborn)}, the first in line {unborn[0]})", stacklevel=2)
    mark = decimals_of(table, header)
    rows = [_row_or_problem(path, line, header, cells, mark) for line, cells in table.records]
    if not rows:
        raise DataError(f"{path}: lists no recording")
    taken = Taken()
    for number, row in enumerate(rows):
        repeated = None if row.problem else taken.take(row)
        if repeated is not None:
            rows[number] = replace(row, record_id=f"{row.record_id} (line {row.line})", problem=str(repeated))
    return rows


@dataclass(frozen=True, slots=True)
class Repeated:
    """A line that lists what an earlier one has listed: what, on which line, and the remedy."""

    what: str
    line: int
    remedy: str

    def __str__(self) -> str:
        return f"the same {self.what} as line {self.line}: {self.remedy}"

    def in_general(self) -> str:
        """The sentence without the number of the line."""
        return f"the same {self.what} as an earlier line: {self.remedy}"


@dataclass(slots=True)
class Taken:
    """What the lines so far have listed: a record_id names one record of the store, and a file is one recording."""

    ids: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def take(self, row: ManifestRow) -> Repeated | None:
        """Note a good line, or tell what it repeats."""
        file = _file_key(row.file or row.image)
        if row.record_id in self.ids:
            return Repeated("record_id", self.ids[row.record_id], "make it unique (by default it is the file's name)")
        if file in self.files:
            return Repeated("file", self.files[file], "list each recording once")
        self.ids[row.record_id] = self.files[file] = row.line
        return None


def _file_key(named: str) -> str:
    """What two spellings of one file have in common."""
    path = normpath(named.replace("\\", "/"))
    return path[: -len(suffix_of(path))] if holds_signals(path) or suffix_of(path) == ".hea" else path


def canonical_header(header: Sequence[str]) -> tuple[str, ...]:
    """Names of columns in small letters, as far as they are known: spreadsheets capitalise them."""
    return tuple(_canonical_name(name) for name in header)


def lines_without_birth(table: Table, header: Sequence[str]) -> list[int]:
    """Lines whose date of birth is a placeholder."""
    if not set(BIRTH_AND_RECORDING) <= set(header):
        return []
    born, recorded = (list(header).index(name) for name in BIRTH_AND_RECORDING)
    return [
        line
        for line, cells in table.records
        if cells is not None and len(cells) == len(header) and is_no_birth(cells[born].strip(), cells[recorded].strip())
    ]


def bare_ages(table: Table, header: Sequence[str]) -> tuple[dict[int, str], bool]:
    """By line the ages that are bare numbers of years, and whether others name their unit: days may have been meant."""
    if "age" not in header:
        return {}, False
    column = list(header).index("age")
    written = {line: cells[column].strip() for line, cells in table.records if cells and len(cells) > column}
    written = {line: age for line, age in written.items() if not is_unknown(age)}
    bare = {line: age for line, age in written.items() if _BARE_YEARS.fullmatch(age)}
    return bare, any(any(letter.isalpha() for letter in age) for age in written.values())


def decimals_of(table: Table, header: Sequence[str]) -> Mark:
    """What the columns of numbers prove about decimals: beside `0,95` even `1,234` is no thousand."""
    places = [place for place, name in enumerate(header) if name in _NUMBERS or name.startswith(LAB_PREFIXES)]
    return table.decimal_mark(places)


def _canonical_name(name: str) -> str:
    small = name.casefold()
    if small in COLUMNS:
        return small
    prefix = next((known for known in LAB_PREFIXES if small.startswith(known)), "")
    return prefix + name[len(prefix) :]


def _row_or_problem(
    path: Path, line: int, header: Sequence[str], values: Sequence[str] | None, mark: Mark
) -> ManifestRow:
    try:
        return parse_row(path, line, cells_of(header, values), mark)
    except DataError as error:
        named = dict(zip(header, values or (), strict=False))
        file, own = named.get("file", "").strip(), named.get("record_id", "").strip()
        return ManifestRow(
            line=line, file=file, record_id=own or _record_name(file) or f"line {line}",
            problem=str(error).removeprefix(f"{path}:{line}: "),
        )  # fmt: skip


def found(folder: Path, named: str) -> Path | None:
    """The file that a row names, beside the manifest; None if it is not there.

    A record may go by its header's name without the suffix, and a path may be written the Windows way.
    """
    for written in dict.fromkeys((named, named.replace("\\", "/"))):
        path = folder / written
        if named and (path.exists() or path.with_name(path.name + ".hea").exists()):
            return path
    return None


def missing(named: str) -> str:
    """Why the file of a row is not there; its name, which may be a patient's, is not repeated."""
    if PurePosixPath(named).is_absolute() or PureWindowsPath(named).is_absolute():
        return "the file does not exist: its path is that of another computer; write it from the manifest's folder on"
    return "the file does not exist"


def _record_name(named: str) -> str:
    return record_name(named.replace("\\", "/"))


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
    if "" in header:
        number = header.index("") + 1
        raise DataError(f"{path}: column {number} has no name: give it one; one that begins with # is ignored")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise DataError(f"{path}: column {sorted(doubled)[0]!r} occurs twice")
    for name in header:
        if name not in COLUMNS and not name.startswith((*LAB_PREFIXES, "#")):
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "start its name with # to have it ignored; labels go into the column `labels`, separated by ;"
            )
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


def parse_row(path: Path, line: int, cells: Mapping[str | None, str | None], mark: Mark = "") -> ManifestRow:
    """One line of a manifest.

    Args:
        path: the manifest, for messages.
        line: where it begins.
        cells: by column; a key or a value of None stands for a cell too many or too few.
        mark: what the table proves about decimals (`auricle.numerals`).

    Raises:
        DataError: the first thing wrong with the line, by file and line; never a value that could identify a patient.
    """

    def cell(name: str) -> str:
        return (cells.get(name) or "").strip()

    try:
        if None in cells or None in cells.values():
            raise DataError(
                "has another number of cells than the header: a cell with the delimiter in it needs quotation marks"
            )
        if not cell("file") and not cell("image"):
            raise DataError("names no file")
        if lies_ahead(cell("recording_date")):
            raise DataError("the recording date lies in the future")
        labs, lab_minutes, lab_bounds, notes = _labs(cells, mark)
        return ManifestRow(
            line=line,
            file=cell("file"),
            image=cell("image"),
            record_id=cell("record_id") or _record_name(cell("file") or cell("image")),
            patient_id=patient_of(cell("patient_id")),
            age=age_of(cell, mark),
            sex=sex_of_cell(cell("sex")),
            report=cell("report") or None,
            labels=labels_of(cell("labels")),
            fold=whole_number_of(cell("fold"), "fold", mark),
            labs=labs,
            lab_minutes=lab_minutes,
            lab_bounds=lab_bounds,
            notes=notes,
            gestation_days=gestation_of(cell("gestational_age")),
        )
    except DataError as error:
        raise DataError(f"{path}:{line}: {error}") from None


_Labs = tuple[dict[str, float], dict[str, float], dict[str, Bound], tuple[str, ...]]


def _labs(cells: Mapping[str | None, str | None], mark: Mark) -> _Labs:
    """Values in canonical units, when they were drawn, which are bounds, and notes on values that are not there.

    `<5` is kept as 5 and "below". A remark such as "haemolysed" in place of a number says that there is no value; any
    other word may be a result, or a cell of another column. Messages begin with their column.
    """
    labs: dict[str, float] = {}
    minutes: dict[str, float] = {}
    bounds: dict[str, Bound] = {}
    notes: list[str] = []
    for name, column in _columns_of(tuple(cells)).items():
        text = (cells[name] or "").strip()
        if text.casefold() in UNKNOWN:
            continue
        if column.prefix == MINUTES_PREFIX:
            minutes[column.test] = number_of(text, name, mark)
            continue
        if is_remark(text):
            notes.append(f"{column.test}: a remark of the laboratory stands in place of a number; the value is missing")
            continue
        try:
            number, bound = parse_value(text, mark)
        except DataError as error:
            raise DataError(f"{name} {error}") from None
        try:
            labs[column.test] = in_canonical_unit(column.test, number, column.unit)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        bounds |= {column.test: bound} if bound else {}
    return labs, {test: drawn for test, drawn in minutes.items() if test in labs}, bounds, tuple(notes)


@lru_cache(maxsize=8)
def _columns_of(header: tuple[str | None, ...]) -> Mapping[str, LabColumn]:
    """`lab_columns` of a header that has been checked, resolved once and not for every line."""
    return lab_columns(header)
