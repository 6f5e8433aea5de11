"""What the doctor hands back: findings, measured betrayals, facts. Lines are named, people are not.

Nothing here holds a patient id, a file name, a report or a date: everything may be printed, mailed and put on a page.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from auricle.disclaimer import RESEARCH_USE

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of mistake or doubt, wherever it occurs.

    Attributes:
        severity: an error makes training or evaluation wrong, a warning has to be looked at by a person.
        code: a short stable name, for programs.
        message: one sentence for a person; no content of a cell.
        lines: the places; lines that only together are the mistake (the two of a duplicate) are one place.
    """

    severity: Severity
    code: str
    message: str
    lines: tuple[tuple[int, ...], ...] = ()

    def places(self, most: int = 12) -> str:
        """The first places in words, `lines 4, 9`; those that belong together as `2+5`; the rest is counted."""
        if not self.lines:
            return ""
        shown = ("+".join(map(str, lines[:6])) + ("+…" if len(lines) > 6 else "") for lines in self.lines[:most])
        rest = f", … ({len(self.lines)} in all)" if len(self.lines) > most else ""
        return ("line " if sum(map(len, self.lines)) == 1 else "lines ") + ", ".join(shown) + rest


@dataclass(frozen=True, slots=True)
class Betrayal:
    """How well a technical property of a recording alone tells the age band or a label.

    Attributes:
        category: the property, such as "lead set".
        target: "age band", or a label.
        measure: "Cramér's V" (0 to 1, corrected for chance as by Bergsma 2013) for the age band, "AUROC" for a label.
        value: the measure.
        p: share of random assignments of the property to patients that tell as much, counted by 999 draws.
        betrays: whether this is strong and statistically significant.
        n: patients counted; for the age band, patients in each band they were recorded in.
        detail: what it tells best.
        age_alone: AUROC of the age band for the same label, to compare with; None for the age band.
        levels: rows of the table, the values of the property.
        columns: columns of the table.
        counts: (level, column) patients.
    """

    category: str
    target: str
    measure: str
    value: float
    p: float
    betrays: bool
    n: int
    detail: str
    age_alone: float | None
    levels: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class BandCount:
    """Records and patients of one age band, patients also by sex."""

    name: str
    records: int
    patients: int
    female: int
    male: int
    sex_unknown: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whether a label can be evaluated with these patients.

    Attributes:
        label: as written.
        records: recordings that carry it.
        patients: patients that carry it.
        parts: positive patients in each part.
        test_negatives: patients of the test part with labels, this one not among them.
        half_width: of the 95 % interval to be expected around an AUROC of .85 on the test part; None if undefined.
        verdict: "fine", "weak" or "not feasible".
    """

    label: str
    records: int
    patients: int
    parts: dict[str, int]
    test_negatives: int
    half_width: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest holds.

    Attributes:
        bands: records and patients (by sex) in each age band, "unknown" last.
        labels: the labels that can be named, most patients first.
        labels_by_band: (label, band) patients.
        n_labels_unnamed: further labels, of so few patients that the label could point at a person.
        missing: share of recordings without patient_id, age, sex, report or labels.
        lead_sets: recordings by lead set, most frequent first; empty if no file was read.
        rates_hz: recordings by sampling rate, most frequent first; empty if no file was read.
        seconds: recordings by length, most frequent first; empty if no file was read.
        formats: recordings by file format, most frequent first; empty if no file was read.
        age_edges_days: bounds of the histogram's bins, uniform in log(1 + days).
        age_histogram: recordings in each bin by sex: F, M, unknown.
        split: how the parts of the endpoints were made, in words.
        endpoints: one for each label that can be named.
    """

    bands: tuple[BandCount, ...]
    labels: tuple[str, ...]
    labels_by_band: tuple[tuple[int, ...], ...]
    n_labels_unnamed: int
    missing: dict[str, float]
    lead_sets: tuple[tuple[str, int], ...]
    rates_hz: tuple[tuple[str, int], ...]
    seconds: tuple[tuple[str, int], ...]
    formats: tuple[tuple[str, int], ...]
    age_edges_days: tuple[float, ...]
    age_histogram: dict[str, tuple[int, ...]]
    split: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The examination of one manifest.

    Attributes:
        manifest: its file name, without folder.
        n_lines: recordings listed, readable or not.
        n_records: lines that ingest would store, as far as the files were read; 0 where it refuses the manifest.
        n_patients: persons in them; a record without a patient_id is a person of its own.
        files_read: recordings whose files could be read; None if no file was asked.
        findings: errors first.
        betrayals: all that were measured, those that betray first.
        facts: what the manifest holds.
    """

    manifest: str
    n_lines: int
    n_records: int
    n_patients: int
    files_read: int | None
    findings: tuple[Finding, ...]
    betrayals: tuple[Betrayal, ...]
    facts: Facts

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that have to be repaired before ingest."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a person has to look at."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def summary(self) -> str:
        """What was examined, in a sentence."""
        read = "files were not read" if self.files_read is None else f"{self.files_read} files could be read"
        return f"{self.n_lines} recordings listed, {self.n_records} lines usable, {self.n_patients} patients; {read}."

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; what is not finite is None."""
        content: dict[str, Any] = _plain(asdict(self))
        return {"ok": not self.errors, **content, "disclaimer": RESEARCH_USE}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
