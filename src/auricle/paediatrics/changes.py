"""What changed between two recordings of one person: each value against its error, its place at either age, findings.

A change is told from the errors of the two measurements alone. What a heart does from hour to hour (rate, breathing,
electrodes placed anew) is not in them, so a clear change is one of the traces and not yet one of the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from auricle.paediatrics.assessment import Assessment, Finding, Row
from auricle.paediatrics.rules import would_show

# Of a normal distribution, the standard errors within which 95 % of differences lie where nothing changed.
_WITHIN: Final = 1.96
_TELLING: Final = ("flag", "outside", "borderline")


@dataclass(frozen=True, slots=True)
class Change:
    """One value, before and now.

    Attributes:
        before, now: the value with its place at the age of its recording.
        difference: now less before, in the unit of the value; of an axis the shorter way round, in [-180, 180).
        uncertainty: one standard error of the difference; NaN where that of a value is not known.
    """

    before: Row
    now: Row
    difference: float
    uncertainty: float

    @property
    def parameter(self) -> str:
        """The name of the value, as in `Measurements.values`."""
        return self.now.parameter

    @property
    def is_clear(self) -> bool:
        """Whether the difference is beyond what the errors of the two values allow 19 times of 20."""
        return abs(self.difference) > _WITHIN * self.uncertainty

    @property
    def z_difference(self) -> float:
        """By how many standard deviations of the age the value moved; NaN without a centile at either age.

        A value that grew as it does in health moved by 0.
        """
        return math.nan if self.before.refused or self.now.refused else self.now.z - self.before.z


def changes(before: Assessment, now: Assessment) -> list[Change]:
    """Values that were measured in both recordings, in the order of the later one.

    Args:
        before: of the earlier recording, at the age it was made.
        now: of the later one.
    """
    earlier = {row.parameter: row for row in before.rows if row.measured.measurable}
    both = [(earlier[row.parameter], row) for row in now.rows if row.parameter in earlier and row.measured.measurable]
    # A value that is known from one side only has no difference.
    return [_change(old, new) for old, new in both if not old.measured.bound and not new.measured.bound]


@dataclass(frozen=True, slots=True)
class FindingsChanged:
    """Findings of which two recordings differ, told apart by their code.

    Those of values that lie inside the limits of their age do not count: they come and go with the age.

    Attributes:
        appeared: only the later recording has them, and the earlier one would have shown them.
        gone: only the earlier one has them, and the later one would have shown them.
        not_sought_before: the later one has them, and the earlier one could not show them: a value was not measurable
            there or was not compared with people of that age, or the rule is for another age.
        not_sought_now: the earlier one has them, and the later one could not show them.
        comparable: whether findings were looked for in both at all: both ages are known, and enough was measurable.
    """

    appeared: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    not_sought_before: tuple[Finding, ...]
    not_sought_now: tuple[Finding, ...]
    comparable: bool


def findings_changed(before: Assessment, now: Assessment) -> FindingsChanged:
    """What two recordings of one person differ in, as findings.

    Args:
        before: of the earlier recording, at the age it was made.
        now: of the later one.
    """
    new, old = _lacking(now, before), _lacking(before, now)
    return FindingsChanged(
        tuple(one for one in new if _sought(one, before)),
        tuple(one for one in old if _sought(one, now)),
        tuple(one for one in new if not _sought(one, before)),
        tuple(one for one in old if not _sought(one, now)),
        all(one.summary not in ("age_unknown", "not_compared") for one in (before, now)),
    )


def _lacking(found: Assessment, elsewhere: Assessment) -> list[Finding]:
    known = {finding.code for finding in elsewhere.findings}
    return [finding for finding in found.findings if finding.kind in _TELLING and finding.code not in known]


def _sought(finding: Finding, assessment: Assessment) -> bool:
    """Whether an assessment would have shown a finding."""
    rows = {row.parameter: row for row in assessment.rows}
    return would_show(finding, rows, assessment.compared_age, assessment.sex)


def _change(before: Row, now: Row) -> Change:
    difference = now.measured.value - before.measured.value
    if now.measured.unit == "deg":
        difference = (difference + 180.0) % 360.0 - 180.0
    return Change(before, now, difference, math.hypot(now.measured.uncertainty, before.measured.uncertainty))
