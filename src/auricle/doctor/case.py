"""A case: one usable line with what its file adds. Internal to the doctor, because it knows who the patient is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import numpy as np

from auricle.age import AGE_BANDS, Age
from auricle.data.manifest import ManifestRow
from auricle.recording import Sex
from auricle.tasks.spelling import family

Key = TypeVar("Key", bound=Hashable)
# Code and sentence of what is wrong with a file.
Remark = tuple[str, str]

# Names of the age bands, and of those whose age is not known.
BANDS: Final = (*(band.name for band in AGE_BANDS), "unknown")
UNKNOWN_BAND: Final = len(BANDS) - 1
_BOUNDS_DAYS: Final = tuple(band.low_days for band in AGE_BANDS[1:])


@dataclass(frozen=True, slots=True)
class Trace:
    """What the doctor keeps of a file.

    Attributes:
        rate_hz: samples per second.
        leads: canonical names, the derived ones included.
        seconds: duration.
        format: "WFDB 16", "npz" ...
        doubt: why its numbers are no millivolts, by the kinds of `auricle.amplitude` or "unknown"; None if they are.
        digest: of the samples.
        age: of the file's own header.
        sex: of the file's own header.
        labels: of the file's own header.
        odd_age: whether its header has an age that makes no sense.
        remarks: kinds of what its reader or the quality gate found wrong.
    """

    rate_hz: float
    leads: tuple[str, ...]
    seconds: float
    format: str
    doubt: str | None
    digest: bytes
    age: Age | None = None
    sex: Sex | None = None
    labels: tuple[str, ...] = ()
    odd_age: bool = False
    remarks: tuple[Remark, ...] = ()


@dataclass(slots=True)
class Case:
    """A line of the manifest with what its file says; where both say something, the manifest counts, as at ingest.

    A case is salvaged where cells that cannot be read were left out of it, and rejected where ingest would not take
    it: for its cells, for its file, or because it repeats another.
    """

    row: ManifestRow
    site: str
    born: datetime | None = None
    recorded: datetime | None = None
    trace: Trace | None = None
    salvaged: bool = False
    rejected: bool = False

    @property
    def line(self) -> int:
        """Number of the line on which the record begins."""
        return self.row.line

    @property
    def patient(self) -> str:
        """The person, as a store names them: a record without a patient counts as a person of its own."""
        return self.row.patient_id if self.row.patient_id is not None else f"record:{self.row.record_id}"

    @property
    def age(self) -> Age | None:
        """Age at the recording, of the manifest or else of the file; None where neither has one."""
        return self.row.age or (self.trace.age if self.trace else None)

    @property
    def sex(self) -> Sex | None:
        """Sex, of the manifest or else of the file; None where neither has one."""
        return self.row.sex or (self.trace.sex if self.trace else None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the manifest or else of the file, each once."""
        return tuple(dict.fromkeys(self.row.labels or (self.trace.labels if self.trace else ())))

    @property
    def middle_days(self) -> float | None:
        """The middle of the interval that the age stands for, in days: `0mo` is any day of the first month."""
        return None if self.age is None else self.age.days + self.age.resolution_days / 2

    @property
    def band(self) -> int:
        """Position of the age band in BANDS."""
        days = self.middle_days
        return UNKNOWN_BAND if days is None else int(np.searchsorted(_BOUNDS_DAYS, days, side="right"))


def grouped(cases: Iterable[Case], key: Callable[[Case], Key | None]) -> dict[Key, list[Case]]:
    """Cases by a key, in their order; a case whose key is None is left out."""
    groups: dict[Key, list[Case]] = defaultdict(list)
    for case in cases:
        value = key(case)
        if value is not None:
            groups[value].append(case)
    return groups


def lines_of(cases: Iterable[Case]) -> tuple[int, ...]:
    """The line numbers of cases."""
    return tuple(case.line for case in cases)


def each_line(cases: Iterable[Case]) -> tuple[tuple[int, ...], ...]:
    """The line number of each case as a place of its own, as `Finding.lines` has them."""
    return tuple((case.line,) for case in cases)


def most_frequent(values: Sequence[Key]) -> Key:
    """The most frequent value; of equally frequent ones the earliest."""
    return Counter(values).most_common(1)[0][0]


# A label of fewer patients, or as long as a sentence, may be a name in the wrong column.
_FEWEST_PATIENTS: Final = 3
_LONGEST_LABEL: Final = 40


def nameable_labels(cases: Sequence[Case]) -> list[str]:
    """The labels that may be shown, those of most patients first.

    Left out, because they could point at a person, are labels of fewer than three patients, longer than 40 letters, or
    equal to a patient or record id.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    patients: dict[str, set[str]] = defaultdict(set)
    private: set[str] = set()
    for case in cases:
        private |= {family(text) for text in (case.row.patient_id or "", case.row.record_id)}
        for label in case.labels:
            owners[family(label)].add(case.patient)
            patients[label].add(case.patient)
    shown = [
        label
        for label in patients
        if len(owners[family(label)]) >= _FEWEST_PATIENTS
        and len(label) <= _LONGEST_LABEL
        and family(label) not in private
    ]
    return sorted(shown, key=lambda label: (-len(patients[label]), label))
