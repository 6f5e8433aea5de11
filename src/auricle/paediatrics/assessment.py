"""The parts of an assessment: rows of values with their centiles, findings, and the norms they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from auricle.age import DAYS_PER_YEAR, Age
from auricle.birth import corrected, correction_days
from auricle.measure.measurements import Measured, Remark
from auricle.paediatrics.limits import Z_98, Centiles, SexLike
from auricle.recording import Sex

Floats = NDArray[np.float64]
Position = Literal["low", "normal", "high"]
Kind = Literal["flag", "outside", "borderline", "normal_for_age", "note"]
AgeBasis = Literal["postnatal", "corrected"]
Summary = Literal["age_unknown", "outside", "within", "within_as_measured", "not_compared"]

# The age at which "an adult's reading" is asked.
ADULT_READING_DAYS: Final = 35 * DAYS_PER_YEAR
# "All within the limits" is said only if at least two of these have a centile.
_MAIN: Final = ("heart_rate", "pr", "qrs", "qtc_bazett")
_ENOUGH_MAIN: Final = 2
# A value at a limit lies inside of it, whatever rounding makes of its z: an amplitude of 0 where p2 is 0.
_ROUNDING: Final = 1e-9


class Norms(Protocol):
    """What centiles are read from: the module `limits`, or `own_norms.OwnNorms`."""

    def parameters(self) -> tuple[str, ...]:
        """Every parameter with limits."""
        ...

    def limits(self, parameter: str, age_days: float, sex: Sex | None = None) -> Centiles:
        """The limits at one age."""
        ...

    def z_score(self, parameter: str, age_days: ArrayLike, sex: SexLike, value: ArrayLike) -> Floats:
        """Standard deviations from the norm of age and sex; NaN where there is no norm."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One value with its centile among people of the patient's age and sex.

    Attributes:
        parameter: as in `Measurements.values`.
        measured: value, standard error and unit.
        z: standard deviations from the norm; NaN without a centile.
        z_interval: the widest that the value's error and the age's resolution allow; without an end on the open side of
            a value that is known from one side only.
        limits: p2, p50, p98 with source, population and method; None where there are none.
        adult: where an adult's reading would put the value; None without limits.
        refused: stable code of the reason why there is no centile; empty where there is one.
        warnings: stable codes of what weakens it.
    """

    parameter: str
    measured: Measured
    z: float = float("nan")
    z_interval: tuple[float, float] = (float("nan"), float("nan"))
    limits: Centiles | None = None
    adult: Position | None = None
    refused: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def centile(self) -> float | None:
        """The centile, 0 to 100; None where it was refused."""
        return None if self.refused else float(100 * ndtr(self.z))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper bound of the centile, 0 to 100; None where it was refused."""
        return None if self.refused else (float(100 * ndtr(self.z_interval[0])), float(100 * ndtr(self.z_interval[1])))

    @property
    def position(self) -> Position | None:
        """Whether the value lies below p2, above p98, or between them.

        None where its centile was refused, and where it is known from one side only and may lie on either.
        """
        return None if self.refused else position_of(self.z, self.measured.bound)

    @property
    def crossing(self) -> Position | None:
        """Which limit lies inside the interval, so that the value may be on either side of it; None without one."""
        low, high = self.z_interval
        if self.refused:
            return None
        if low <= Z_98 + _ROUNDING < high:
            return "high"
        return "low" if low < -Z_98 - _ROUNDING <= high else None

    @property
    def beyond(self) -> bool:
        """Whether a value without a centile stands outside the limits that are shown beside it."""
        if not self.refused or self.limits is None or not self.measured.measurable:
            return False
        return bool(self.measured.value < self.limits.p2 or self.measured.value > self.limits.p98)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, as a code with facts; `auricle.paediatrics.wording` turns it into a sentence.

    Attributes:
        code: stable name, such as `pr.high`, `qrs_axis.high_for_adult_only`, `flag.pure_r_v1`.
        kind: "flag" (a published rule of hypertrophy), "outside", "borderline", "normal_for_age" or "note".
        rests_on: the parameters it was read from.
        adult_differs: an adult's reading of the same trace would say something else.
        facts: numbers and codes for the sentence.
    """

    code: str
    kind: Kind
    rests_on: tuple[str, ...]
    adult_differs: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The assessment of one recording: remarks about the recording, then values, then findings.

    Attributes:
        age: as it was known, since birth; None gives values only.
        sex: None uses the mean of both.
        remarks: about the recording, the gravest first.
        rows: one per value, in the order of `Measurements.values`.
        findings: flags, what is outside, what is borderline, what only an adult's reading would call abnormal, notes.
        gestation_days: at birth; None where unknown.
    """

    age: Age | None
    sex: Sex | None
    remarks: tuple[Remark, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    gestation_days: float | None = None

    @property
    def age_basis(self) -> AgeBasis:
        """From when the age is counted at which values were compared: "postnatal" from birth, "corrected" from term."""
        known = self.age is not None and correction_days(self.age, self.gestation_days) > 0
        return "corrected" if known else "postnatal"

    @property
    def compared_age(self) -> Age | None:
        """The age at which values were compared; None where it is unknown, or before term."""
        return None if self.age is None else corrected(self.age, self.gestation_days)

    @property
    def summary(self) -> Summary:
        """What the rows and findings say together; a page, a terminal and JSON say it in the same words.

        "outside": some value lies outside p2 to p98, or a flag was raised. "within_as_measured": none does, but the
        interval of some value reaches beyond a limit. "not_compared": too little has a centile to say that all is
        within, or a value without one stands outside the limits shown beside it.
        """
        if self.age is None:
            return "age_unknown"
        if any(finding.kind in {"flag", "outside"} for finding in self.findings):
            return "outside"
        if any(row.position in {"low", "high"} for row in self.rows):
            return "outside"
        main = [row for row in self.rows if row.parameter in _MAIN and row.centile is not None]
        compared = [row for row in main if "rate_doubtful" not in row.warnings]
        if len(compared) < _ENOUGH_MAIN or any(row.beyond for row in self.rows):
            return "not_compared"
        return "within_as_measured" if any(row.crossing for row in self.rows) else "within"

    def row(self, parameter: str) -> Row | None:
        """The row of a parameter, if it is there."""
        return next((row for row in self.rows if row.parameter == parameter), None)


def position_of(z: float, bound: Literal["", "above", "below"] = "") -> Position | None:
    """Whether a standard normal deviate lies below p2, above p98, or between them.

    Args:
        z: standard deviations from the norm.
        bound: whether the value may lie anywhere above or below `z`; None is the answer where that leaves it open.
    """
    if z < -Z_98 - _ROUNDING:
        return None if bound == "above" else "low"
    if z > Z_98 + _ROUNDING:
        return None if bound == "below" else "high"
    return None if bound else "normal"


def lead_of(parameter: str) -> str:
    """The lead of an amplitude, in small letters (`r_v1` -> `v1`); empty for global measurements."""
    wave, _, lead = parameter.removeprefix("rs_ratio_").rpartition("_")
    if parameter.startswith("rs_ratio_"):
        return lead
    return lead if wave in {"q", "r", "s", "st", "t", "p"} and lead not in {"axis", "duration"} else ""
