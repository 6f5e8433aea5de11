"""The tolerant pass over a manifest: every line that cannot be read is collected, and the others are kept.

A line with one bad cell is compared with the others without that cell, so that one misspelt sex does not hide what else
is wrong in it; ingest rejects it, so it is no record. `auricle.data.manifest` alone decides what makes a line good.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from auricle.data.cells import TOO_OLD, lies_ahead
from auricle.data.manifest import (
    COLUMNS,
    LAB_PREFIX,
    LAB_PREFIXES,
    MINUTES_PREFIX,
    NO_BIRTH,
    WITHOUT_UNIT,
    ManifestRow,
    Repeated,
    Taken,
    bare_ages,
    canonical_header,
    check_header,
    decimals_of,
    lab_columns,
    lines_without_birth,
    parse_row,
)
from auricle.data.table import cells_of, read_table
from auricle.doctor.case import Case
from auricle.doctor.model import Finding
from auricle.errors import AuricleError, DataError
from auricle.labs import lab_test, likelier_unit
from auricle.numerals import Mark

Cells = Mapping[str | None, str | None]

_AGE_COLUMNS: Final = ("age", "age_days", "age_years", "birth_date", "recording_date")
_FUTURE: Final = "the recording date lies in the future"
_YEAR_ZERO: Final = "an age of 0 years can be any day of the first year and is treated as unknown: write 0d, 3wk or 5mo"


@dataclass(frozen=True, slots=True)
class Scan:
    """What can be compared of the lines, what is wrong, how many there are, and whether ingest refuses them all."""

    cases: list[Case]
    findings: list[Finding]
    n_lines: int
    refused: bool = False


def scan(manifest: Path) -> Scan:
    """Read a manifest without stopping at what is wrong.

    Raises:
        DataError: there is no such file, or it cannot be opened.
    """
    # The header, and what is wrong with it.
    table = read_table(manifest)
    findings: list[Finding] = []
    if table.garbled:
        places = tuple((line,) for line in table.garbled)
        findings.append(Finding("error", "encoding", f"the file {table.garbled_reason}", places))
    header = list(canonical_header(table.header))
    findings += _header_findings(manifest, header)
    if not {"file", "image"} & set(header):
        return Scan([], findings, 0, refused=True)
    header, strange = _without_strange_labs(header)
    findings += [Finding("error", "header", reason, ((1,),)) for reason in strange]
    refused = bool(findings)
    # Every line: its case, and its problems by kind. A warning is the parser's about an age of 0 years.
    problems: dict[tuple[str, str], list[tuple[int, ...]]] = defaultdict(list)
    cases: list[Case] = []
    zeros: list[int] = []
    ahead: list[int] = []
    n_lines, taken, mark = 0, Taken(), decimals_of(table, header)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for line, values in table.records:
            n_lines, n_caught = n_lines + 1, len(caught)
            reasons, case = _line(manifest, line, header, values, mark)
            repeated = taken.take(case.row) if case and not case.rejected else None
            if case and repeated:
                problems[_code_of(repeated, case, cases), repeated.in_general()].append((repeated.line, line))
                case.rejected = True
            for reason in reasons:
                problems[reason].append((line,))
            cases += [case] if case else []
            ahead += [line] if case and lies_ahead(_cell(header, values, "#recording_date")) else []
            zeros += [line] if len(caught) > n_caught else []
    # One finding for each kind of problem.
    for (code, message), where in problems.items():
        findings.append(Finding("error", code, message, tuple(where)))
    bare, is_mixed = bare_ages(table, header)
    if bare:
        code, message = ("age_without_unit", WITHOUT_UNIT) if is_mixed else ("age_in_years", _in_years(bare.values()))
        findings.append(Finding("warning", code, message, tuple((line,) for line in bare)))
    findings += _unit_findings(header, cases)
    if ahead:
        findings.append(Finding("warning", "date_ahead", _FUTURE, tuple((line,) for line in ahead)))
    unborn = lines_without_birth(table, header)
    if unborn:
        findings.append(Finding("warning", "birth_placeholder", NO_BIRTH, tuple((line,) for line in unborn)))
    if zeros:
        findings.append(Finding("warning", "age_year_zero", _YEAR_ZERO, tuple((line,) for line in zeros)))
    if not n_lines:
        findings.append(Finding("error", "empty", "the manifest lists no recording"))
    return Scan(cases, findings, n_lines, refused)


def _in_years(ages: Iterable[str]) -> str:
    """What is asked about ages none of which names its unit."""
    years = [float(age.replace(",", ".")) for age in ages]
    return (
        f"no age names its unit, and all count years ({min(years):g} to {max(years):g}): name the column age_years if "
        "they do, else age_days, or write such as 31mo"
    )


def _unit_findings(header: Sequence[str], cases: Sequence[Case]) -> Iterator[Finding]:
    """Warnings of laboratory columns without a unit: of values that are usual in another, and what others count as."""
    silent = []
    for column, lab in lab_columns(header).items():
        if lab.prefix != LAB_PREFIX or lab.unit is not None or column.removeprefix(LAB_PREFIX).strip() == lab.test:
            continue
        given = [case for case in cases if lab.test in case.row.labs]
        values = [case.row.labs[lab.test] for case in given]
        likelier = likelier_unit(lab.test, values, [None if case.age is None else case.age.days for case in given])
        if likelier is not None:
            (unit, there, here), own = likelier, lab_test(lab.test).unit
            yield Finding(
                "warning", "lab_unit",
                f"column {column}: no unit is given, so values count as {own}, in which {here:.0%} are usual; "
                f"as {unit} {there:.0%} would be: name it {column} [{unit}] if that is meant",
            )  # fmt: skip
        elif given and lab_test(lab.test).has_other_sizes:
            silent.append(f"{column} as {lab_test(lab.test).unit}")
    if silent:
        yield Finding(
            "warning", "lab_without_unit",
            f"laboratory columns that name no unit: {', '.join(silent)}; name another as in lab:CRP [mg/dL]",
        )  # fmt: skip


def _header_findings(manifest: Path, header: list[str]) -> list[Finding]:
    """All that is wrong with the header; `check_header` stops at the first, so it is asked column by column."""
    if not {"file", "image"} & set(header):
        # Its cells are not repeated: where the header was forgotten they are the first patient's.
        message = "the first line has no column `file`: is it the header, and are the cells separated by , ; or tab?"
        return [Finding("error", "header", message, ((1,),))]
    known = [name for name in dict.fromkeys(header) if name in COLUMNS]
    labs = [name for name in header if name.startswith(LAB_PREFIXES)]
    strange = [name for name in dict.fromkeys(header) if name not in (*COLUMNS, *labs) and not name.startswith("#")]
    doubled = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    messages = []
    # A column without a name is told by its number.
    alone = [header[: header.index("") + 1] if not name else ["file", name] for name in strange]
    for columns in [known, *alone, *(["file", name, name] for name in doubled if name)]:
        try:
            check_header(manifest, columns)
        except DataError as error:
            messages.append(str(error).removeprefix(f"{manifest}: "))
    return [Finding("error", "header", message, ((1,),)) for message in dict.fromkeys(messages)]


def _without_strange_labs(header: list[str]) -> tuple[list[str], list[str]]:
    """The header with the laboratory columns that cannot be read set aside by a #, and why they cannot."""
    labs = sorted((name for name in header if name.startswith(LAB_PREFIXES)), key=_is_time)
    kept: list[str] = []
    reasons: list[str] = []
    for column in dict.fromkeys(labs):
        try:
            lab_columns([*kept, column])
        except AuricleError as error:
            reasons.append(str(error))
        else:
            kept.append(column)
    return [f"#{name}" if name in labs and name not in kept else name for name in header], reasons


def _is_time(column: str) -> bool:
    return column.startswith(MINUTES_PREFIX)


def _line(
    manifest: Path, line: int, header: list[str], values: Sequence[str] | None, mark: Mark
) -> tuple[list[tuple[str, str]], Case | None]:
    """What is wrong with a line, as (code, message), and the case that can be made of it, if any."""
    try:
        cells = cells_of(header, values)
    except DataError as error:
        return [("line", str(error))], None
    problems: list[tuple[str, str]] = []
    row = _salvaged(manifest, line, cells, mark, problems)
    if row is None:
        return problems, None
    recorded = _moment(cells, "recording_date") or _moment(cells, "#recording_date")
    site = (cells.get("#site") or "").strip() or _first_folder(row.file or row.image)
    return problems, Case(
        row, site, _moment(cells, "birth_date"), recorded, salvaged=bool(problems), rejected=bool(problems)
    )


def _salvaged(
    manifest: Path, line: int, cells: Cells, mark: Mark, problems: list[tuple[str, str]]
) -> ManifestRow | None:
    """The row without the cells that are to blame; None if the line as a whole is."""
    while True:
        try:
            return parse_row(manifest, line, cells, mark)
        except DataError as error:
            reason = str(error).removeprefix(f"{manifest}:{line}: ")
        code, message, blamed = _blamed(reason, cells)
        problems.append((code, message))
        if not any(cells.get(name) for name in blamed):
            return None
        cells = {**cells, **dict.fromkeys(blamed, "")}


def _blamed(reason: str, cells: Cells) -> tuple[str, str, tuple[str, ...]]:
    """Code, message and columns of a reason that `parse_row` gives."""
    if reason.startswith("sex "):
        return "sex", reason, ("sex",)
    if reason.startswith("fold "):
        return "fold", reason, ("fold",)
    if reason.startswith(LAB_PREFIXES):
        return "lab", reason, tuple(name for name in cells if name and reason.startswith((f"{name} ", f"{name}:")))
    if reason.startswith("labels "):
        return "labels", reason, ("labels",)
    if reason.startswith("the gestational age "):
        return "age", reason, ("gestational_age",)
    if reason.startswith(("negative age", _FUTURE, TOO_OLD)):
        return "age_impossible", reason, _AGE_COLUMNS
    if reason.startswith("the age "):
        return "age", reason, _AGE_COLUMNS
    return "line", reason, ()


def _code_of(repeated: Repeated, case: Case, earlier: Sequence[Case]) -> str:
    if repeated.what == "record_id":
        return "duplicate_record_id"
    owner = next(one.patient for one in earlier if one.line == repeated.line)
    return "same_file" if owner == case.patient else "same_file_two_patients"


def _cell(header: Sequence[str], values: Sequence[str] | None, name: str) -> str:
    """The cell of a column, empty where there is none."""
    return dict(zip(header, values or (), strict=False)).get(name, "")


def _moment(cells: Cells, name: str) -> datetime | None:
    try:
        return datetime.fromisoformat((cells.get(name) or "").strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _first_folder(file: str) -> str:
    """The first folder of a path, where hospitals put the site, the ward or the diagnosis; empty if there is none."""
    parts = [part for part in Path(file.replace("\\", "/")).parts if part not in {"/", ".", ".."}]
    return parts[0] if len(parts) > 1 else ""
