"""Warnings: what may be true and has to be looked at by a person."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR
from auricle.doctor.case import Case, each_line, grouped, lines_of
from auricle.doctor.model import Finding
from auricle.recording import NO_CLASS
from auricle.tasks import joined_codes, known_codes
from auricle.tasks.spelling import codes_like, family

_YOUNG_DAYS: Final = 3 * DAYS_PER_YEAR
_WHOLE_YEAR_DAYS: Final = 365.0
# What `auricle.amplitude` doubts, and what a reader did not find in the file.
_AMPLITUDES: Final = {
    "small": "beats too small for millivolts: is the unit or the gain wrong (V or mV taken for uV)?",
    "large": "beats too large for millivolts: are these uV or counts of the converter taken for mV?",
    "scaled": "a scaled copy (mean 0 and standard deviation 1, or a range of round figures): its amplitudes are lost",
    "unknown": "the file gives no unit or gain, or a scaled copy: its amplitudes are unknown",
}
_MOST_NAMED: Final = 8
_SHORT_REPORT_WORDS: Final = 4
# A default of a form, not chance: this share of patients with exactly one age, or of reports with one text.
_STUCK_AGES: Final = 0.25
_SAME_REPORTS: Final = 0.2
_FEWEST_STUCK: Final = 10
# One patient_id on so many lines is "unknown" or "test", not a person.
_PLACEHOLDER: Final = 0.05
_FEWEST_PLACEHOLDER: Final = 20
_MISSING: Final = 0.05
_ROUNDED_ID: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+")


def find_doubts(cases: Sequence[Case], labels: Sequence[str]) -> list[Finding]:
    """All warnings but those about betrayal.

    Args:
        cases: usable lines; those about signals need traces.
        labels: the labels that may be named.
    """
    return [
        *_about_missing(cases),
        *_about_ages(cases),
        *_about_signals(cases),
        *_about_identity(cases),
        *_about_labels(cases, labels),
        *_about_reports(cases),
    ]


def missing_shares(cases: Sequence[Case]) -> dict[str, float]:
    """Share of recordings without patient_id, age, sex, report and labels, by name."""
    absent = {
        "patient_id": [case.row.patient_id is None for case in cases],
        "age": [case.age is None for case in cases],
        "sex": [case.sex is None for case in cases],
        "report": [case.row.report is None for case in cases],
        "labels": [not case.labels for case in cases],
    }
    return {name: sum(values) / max(1, len(values)) for name, values in absent.items()}


def _warning(code: str, message: str, places: Sequence[tuple[int, ...]]) -> Iterator[Finding]:
    if places:
        yield Finding("warning", code, message, tuple(places))


def _about_missing(cases: Sequence[Case]) -> Iterator[Finding]:
    without = {
        "patient_id": "each of them counts as a person of its own, and no split can keep a person together",
        "age": "nothing that is learned about age sees them",
        "sex": "normal limits differ by sex",
        "report": "they cannot be learned from text",
        "labels": "they count as unknown and not as negative",
    }
    for name, share in missing_shares(cases).items():
        if share >= _MISSING:
            yield Finding(
                "warning", f"missing_{name}", f"{share:.0%} of the recordings have no {name}: {without[name]}"
            )


def _about_ages(cases: Sequence[Case]) -> Iterator[Finding]:
    aged = [(case, case.age) for case in cases if case.age is not None]
    coarse = [
        case
        for case, age in aged
        if (age.resolution_days >= _WHOLE_YEAR_DAYS and age.days < _YOUNG_DAYS)
        or (age.resolution_days >= DAYS_PER_MONTH and age.days < DAYS_PER_MONTH)
    ]
    message = "a young child's age only to whole years or a newborn's to whole months: useless where days count"
    yield from _warning("coarse_age", message, each_line(coarse))
    n_patients = len({case.patient for case, _ in aged})
    for group in grouped(cases, lambda case: None if case.age is None else case.age.days).values():
        share = len({case.patient for case in group}) / n_patients
        if share >= _STUCK_AGES and len({case.patient for case in group}) >= _FEWEST_STUCK:
            message = f"{share:.0%} of the patients have exactly one and the same age: is it the default of a form?"
            yield from _warning("stuck_age", message, each_line(group))
    odd = [case for case in cases if case.trace and case.trace.odd_age and case.row.age is None]
    yield from _warning(
        "odd_age_in_file", "the age in the file makes no sense and is treated as unknown", each_line(odd)
    )
    differing = [case for case in cases if _ages_differ(case)]
    yield from _warning("age_against_file", "the file gives another age than the manifest", each_line(differing))


def _ages_differ(case: Case) -> bool:
    """Whether the ages of the manifest and of the file exclude each other."""
    listed, in_file = case.row.age, case.trace.age if case.trace else None
    return listed is not None and in_file is not None and not listed.agrees_with(in_file)


def _about_signals(cases: Sequence[Case]) -> Iterator[Finding]:
    traced = [(case, case.trace) for case in cases if case.trace is not None]
    for doubt, message in _AMPLITUDES.items():
        doubted = [case for case, trace in traced if trace.doubt == doubt]
        yield from _warning(f"unit_{doubt}", message, each_line(doubted))
    for note in dict.fromkeys(note for case in cases for note in case.row.notes):
        yield from _warning("lab_remark", note, each_line(case for case in cases if note in case.row.notes))
    rates = grouped([case for case, _ in traced], lambda case: case.trace.rate_hz if case.trace else None)
    if len(rates) > 1:
        names = ", ".join(f"{rate:g}" for rate in sorted(rates))
        message = f"sampling rates are mixed ({names} Hz): ingest brings them to one, their bandwidths still differ"
        yield Finding("warning", "mixed_rates", message)
    sexes = [case for case, trace in traced if None not in (case.row.sex, trace.sex) and case.row.sex != trace.sex]
    yield from _warning("sex_against_file", "the file gives another sex than the manifest", each_line(sexes))


def _about_identity(cases: Sequence[Case]) -> Iterator[Finding]:
    copies = [
        lines_of(group)
        for group in grouped(cases, lambda case: case.trace.digest if case.trace else None).values()
        if len(group) > 1 and len({case.patient for case in group}) == 1
    ]
    yield from _warning("duplicate_recording", "the same recording of one patient more than once", copies)
    alike = [
        tuple(case.line for case in group)
        for group in grouped(cases, lambda case: _bare(case.row.patient_id)).values()
        if len({case.row.patient_id for case in group}) > 1
    ]
    message = (
        "patient_ids that differ in leading zeros, capitals, blanks or marks alone: each counts as a person of its own "
        "and may be trained on and tested; if they are one, write it in one way"
    )
    yield from _warning("patient_alike", message, alike)
    rounded = [case for case in cases if _ROUNDED_ID.fullmatch(case.row.patient_id or "")]
    message = "patient_ids that a spreadsheet has rounded (1.2E+05), so that several people may share one"
    yield from _warning("patient_rounded", message, each_line(rounded))
    for group in grouped(cases, lambda case: case.row.patient_id).values():
        if len(group) > max(_FEWEST_PLACEHOLDER, _PLACEHOLDER * len(cases)):
            message = f"one patient_id on {len(group)} lines: does it stand for “unknown”?"
            yield from _warning("placeholder_patient", message, [(case.line,) for case in group])


def _bare(patient: str | None) -> tuple[str, ...] | None:
    """The runs of letters and digits of a patient_id without what a spreadsheet or a hand changes: leading zeros, `.0`,
    capitals, blanks and marks."""
    if patient is None:
        return None
    text = re.sub(r"[.,]0+$", "", unicodedata.normalize("NFKC", patient).casefold())
    return tuple(run.lstrip("0") or run[:1] for run in re.findall(r"[0-9]+|[^\W\d_]+", text)) or (text,)


def _about_labels(cases: Sequence[Case], labels: Sequence[str]) -> Iterator[Finding]:
    spellings: dict[str, list[str]] = {}
    for label in labels:
        spellings.setdefault(family(label), []).append(label)
    for names in spellings.values():
        if len(names) > 1:
            rare = [case for case in cases if set(case.labels) & set(names[1:])]
            written = ", ".join(f"“{name}”" for name in names)
            yield from _warning("label_spelling", f"one label in {len(names)} spellings: {written}", each_line(rare))
    joined = {label for case in cases for label in case.labels if joined_codes(label)}
    if joined:  # of known codes alone, so they name nobody
        written = ", ".join(f"“{name}”" for name in sorted(joined)[:_MOST_NAMED])
        message = f"labels that join codes of tasks and count as one: {written}: separate them by ;"
        yield from _warning("label_joined", message, _with_any(cases, joined))
    every = {label for case in cases for label in case.labels}
    asked = known_codes() - {NO_CLASS}
    like = {label: codes for label in every if (codes := codes_like(label, asked, known_codes()))}
    if like:
        written_like = {f"“{label}” like {codes[0]}" if label in labels else codes[0] for label, codes in like.items()}
        written = ", ".join(sorted(written_like)[:_MOST_NAMED])
        message = (
            f"labels that are written like a code and are none, so that the class is not known there ({written}): "
            "write the code or what is meant"
        )
        yield from _warning("label_like_code", message, _with_any(cases, like))
    # A slip of the pen, or a class of the hospital's own, which needs a task of its own.
    unknown = every - known_codes() - joined - like.keys()
    if unknown:
        shown = [name for name in labels if name in unknown][:_MOST_NAMED]
        named = [f"“{name}” ({sum(name in case.labels for case in cases)})" for name in shown]
        rest = len(unknown) - len(named)
        written = ", ".join([*named, *([f"{rest} that cannot be named" if named else str(rest)] if rest else [])])
        message = f"labels that no task knows; classes of your own need a task of your own: {written}"
        yield from _warning("label_unknown", message, _with_any(cases, unknown))


def _with_any(cases: Sequence[Case], labels: Collection[str]) -> tuple[tuple[int, ...], ...]:
    return each_line([case for case in cases if not set(labels).isdisjoint(case.labels)])


def _about_reports(cases: Sequence[Case]) -> Iterator[Finding]:
    reported = [case for case in cases if case.row.report is not None]
    short = [case for case in reported if _is_short(case.row.report or "")]
    message = f"a report of fewer than {_SHORT_REPORT_WORDS} words: little to learn from"
    yield from _warning("short_report", message, each_line(short))
    for group in grouped(reported, lambda case: " ".join((case.row.report or "").split()).casefold()).values():
        share = len(group) / len(reported)
        if share >= _SAME_REPORTS and len({case.patient for case in group}) >= _FEWEST_STUCK:
            message = f"{share:.0%} of the reports have one and the same text: is it a template?"
            yield from _warning("identical_reports", message, each_line(group))


def _is_short(report: str) -> bool:
    """Whether a report has fewer than four words."""
    # Chinese and Japanese are written without spaces: a letter there is about a word's worth.
    n_words = sum(
        1 if word.isascii() else max(1, sum(letter >= "\u3040" for letter in word)) for word in report.split()
    )
    return n_words < _SHORT_REPORT_WORDS
