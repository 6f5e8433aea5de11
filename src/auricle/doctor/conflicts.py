"""Errors between lines: what cannot be true, or would put a patient on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from auricle.doctor.case import Case, grouped, lines_of
from auricle.doctor.model import Finding

# Days by which two ages of one child may disagree before one of them counts as wrong: an age written as 2.4 years is
# rounded to 18 days, and ages are often rounded by a fraction of themselves.
_LEAST_SLACK_DAYS: Final = 2.0
_SLACK: Final = 0.1
_MOST_SLACK_DAYS: Final = 40.0


def find_conflicts(cases: Sequence[Case]) -> list[Finding]:
    """All errors between lines; those about signals need traces."""
    return [finding for finding in (*_within_patients(cases), *_between_patients(cases)) if finding.lines]


def _within_patients(cases: Sequence[Case]) -> Iterator[Finding]:
    patients = list(grouped(cases, lambda case: case.row.patient_id).values())
    folds = "a patient in two folds: what was learned of a person would be tested on the same person"
    yield _error("patient_in_two_folds", folds, _contradicting(patients, lambda case: case.row.fold))
    sexes = "one patient with two sexes: is the patient_id shared by two people?"
    yield _error("contradictory_sex", sexes, _contradicting(patients, lambda case: case.sex))
    births = "one patient with two birth dates: is the patient_id shared by two people?"
    born = _contradicting(patients, lambda case: case.born.date() if case.born else None)
    yield _error("contradictory_birth", births, born)
    ages = "one patient whose ages do not fit the recording dates: nobody grows faster than the calendar"
    yield _error("contradictory_age", ages, [lines_of(group) for group in patients if _grows_wrongly(group)])


def _between_patients(cases: Sequence[Case]) -> Iterator[Finding]:
    signals = _shared_by_patients(cases, lambda case: case.trace.digest if case.trace else None)
    yield _error("same_signal_two_patients", "the same signal, sample by sample, under two patients", signals)


def _error(code: str, message: str, places: Iterable[tuple[int, ...]]) -> Finding:
    return Finding("error", code, message, tuple(places))


def _contradicting(
    patients: Iterable[Sequence[Case]], value: Callable[[Case], Hashable | None]
) -> list[tuple[int, ...]]:
    """For each patient with more than one value, the first line of each value; an unknown value does not count."""
    firsts = ([group[0] for group in grouped(cases, value).values()] for cases in patients)
    return [lines_of(sorted(group, key=lambda case: case.line)) for group in firsts if len(group) > 1]


def _shared_by_patients(cases: Iterable[Case], key: Callable[[Case], Hashable | None]) -> list[tuple[int, ...]]:
    """Lines of the cases of each key that more than one patient has."""
    groups = grouped(cases, key).values()
    return [lines_of(group) for group in groups if len({case.patient for case in group}) > 1]


def _grows_wrongly(cases: Sequence[Case]) -> bool:
    """Whether no birth date fits all of a patient's ages and recording dates."""
    spans = [span for case in cases if case.born is None and (span := _born_between(case)) is not None]
    return bool(spans) and max(first for first, _ in spans) > min(last for _, last in spans)


def _born_between(case: Case) -> tuple[datetime, datetime] | None:
    """The earliest and latest birth that the age at a recording allows."""
    if case.recorded is None or case.age is None:
        return None
    slack = min(_MOST_SLACK_DAYS, max(_LEAST_SLACK_DAYS, _SLACK * case.age.days))
    try:
        return (
            case.recorded - timedelta(days=case.age.days + case.age.resolution_days + slack),
            case.recorded - timedelta(days=case.age.days - slack),
        )
    except OverflowError:  # a recording in the year 1
        return None
