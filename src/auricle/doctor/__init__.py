"""The doctor of manifests: errors and doubts in a CSV of recordings, and which labels have enough patients.

What `ingest` would reject is an error here, for the same reason. `examine` also compares lines with each other, and
measures whether technical properties of the recordings tell age or label (they "betray" it). Nothing it returns names a
person: places are line numbers.
"""

from __future__ import annotations

from pathlib import Path

from auricle.doctor.betrayal import betrayal_findings, find_betrayals
from auricle.doctor.case import BANDS, nameable_labels
from auricle.doctor.conflicts import find_conflicts
from auricle.doctor.doubts import find_doubts
from auricle.doctor.facts import find_facts, half_width
from auricle.doctor.files import read_traces
from auricle.doctor.model import BandCount, Betrayal, Endpoint, Facts, Finding, Report
from auricle.doctor.scan import scan
from auricle.progress import OnProgress

__all__ = [
    "BANDS",
    "BandCount",
    "Betrayal",
    "Endpoint",
    "Facts",
    "Finding",
    "Report",
    "examine",
    "half_width",
]


def examine(manifest: Path, read_files: bool = True, on_progress: OnProgress | None = None) -> Report:
    """Examine a manifest and, unless told otherwise, every recording it lists.

    Args:
        manifest: the CSV file; paths in it start from its folder.
        read_files: whether to read the recordings; without them nothing is said about signals.
        on_progress: called with (files done, files in all).

    Raises:
        DataError: there is no such manifest, or it cannot be opened. What is wrong inside is in the report.
    """
    seen = scan(manifest)
    cases, findings = seen.cases, list(seen.findings)
    if read_files:
        findings += read_traces(manifest.parent, cases, on_progress)
    usable = [case for case in cases if not case.rejected]
    whole = [case for case in cases if not case.salvaged]
    labels = nameable_labels(usable)
    betrayals = find_betrayals(usable, labels)
    findings += [*find_conflicts(cases), *find_doubts(whole, labels), *betrayal_findings(betrayals)]
    return Report(
        manifest=manifest.name,
        n_lines=seen.n_lines,
        n_records=0 if seen.refused else len(usable),
        n_patients=len({case.patient for case in usable}),
        files_read=sum(case.trace is not None for case in cases) if read_files else None,
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != "error")),
        betrayals=tuple(betrayals),
        facts=find_facts(usable, labels),
    )
