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

Key = TypeVar("Key", bound=Hashable)

# Names of the age bands, and of those whose age is not known.
BANDS: Final = (*(band.name for band in AGE_BANDS), "unknown")
UNKNOWN_BAND: Final = len(BANDS) - 1
_BOUNDS_DAYS: Final = tuple(band.low_days for band in AGE_BANDS[1:])


@dataclass(frozen=True, slots=True)
class Trace:
    """What a file says.

    Attributes:
        rate_hz: samples per second.
        leads: canonical names, the derived ones included.
        seconds: duration.
        format: "WFDB 16", "npz" ...
        amplitude_mv: median over leads of the median over windows of 1.5 s of the range in each: a QRS complex.
        digest: of the samples; None for a signal that never moves, which many broken recordings share.
        age: of the file's own header.
        sex: of the file's own header.
        labels: of the file's own header.
        odd_age: whether its header has an age that makes no sense.
    """

    rate_hz: float
    leads: tuple[str, ...]
    seconds: float
    format: str
    amplitude_mv: float
    digest: bytes | None
    age: Age | None = None
    sex: Sex | None = None
    labels: tuple[str, ...] = ()
    odd_age: bool = False


@dataclass(slots=True)
class Case:
    """A line of the manifest; the manifest knows better than the file, as at ingest."""

    row: ManifestRow
    site: str
    born: datetime | None = None
    recorded: datetime | None = None
    trace: Trace | None = None

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.row.line

    @property
    def patient(self) -> str:
        """The person, as a store names them: a record without a patient stands for itself."""
        return self.row.patient_id if self.row.patient_id is not None else f"record:{self.row.record_id}"

    @property
    def age(self) -> Age | None:
        """Age at the recording."""
        return self.row.age or (self.trace.age if self.trace else None)

    @property
    def sex(self) -> Sex | None:
        """Sex."""
        return self.row.sex or (self.trace.sex if self.trace else None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels, each once."""
        return tuple(dict.fromkeys(self.row.labels or (self.trace.labels if self.trace else ())))

    @property
    def middle_days(self) -> float | None:
        """The middle of what the age says: `0mo` is any day of the first month and no day 0."""
        return None if self.age is None else self.age.days + self.age.resolution_days / 2

    @property
    def band(self) -> int:
        """Position in BANDS."""
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
    """Their lines."""
    return tuple(case.line for case in cases)


def each_line(cases: Iterable[Case]) -> tuple[tuple[int, ...], ...]:
    """Their lines, every one a place of its own."""
    return tuple((case.line,) for case in cases)


def most_frequent(values: Sequence[Key]) -> Key:
    """The most frequent value, the earliest of equals."""
    return Counter(values).most_common(1)[0][0]


# A label of fewer patients, or as long as a sentence, may be a name in the wrong column.
_FEWEST_PATIENTS: Final = 3
_LONGEST_LABEL: Final = 40


def family(label: str) -> str:
    """What spellings of one label share: no case, no space, no hyphen or underscore."""
    return "".join(letter for letter in label.casefold() if letter not in " \t\u00a0-_")


def nameable_labels(cases: Sequence[Case]) -> list[str]:
    """The labels that may be shown, those of most patients first: none that could point at a person."""
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
