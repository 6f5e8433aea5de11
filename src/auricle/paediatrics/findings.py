"""What measurements mean at an age: centiles with their uncertainty, and findings in words. Research use.

A value meets the limits of its age and sex (`auricle.paediatrics.limits`, or curves of a hospital's own by
`auricle.paediatrics.fit`). Its centile carries an interval: the value moves by 1.96 standard errors and the age over
all it may be ("5 yr" is any day of a year), and the interval is the widest that results. Where a centile would only
look exact it is refused with a reason: QRS at 100 Hz or less, an infant behind a narrow filter, swapped electrodes, a
paced heart, an unknown age, a value less certain than all that is normal. An axis beyond the right that no norm of the
age reaches is named superior and has no centile.

Every finding says whether an adult's reading would differ. The rules check plausibility and explain; alone they
diagnose little (`auricle.paediatrics.rules` holds them with their sources).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from auricle.age import DAYS_PER_YEAR, Age
from auricle.leads import wrap_axis_deg
from auricle.measure.measurements import UNITS, Measured, Measurements, Remark
from auricle.paediatrics import limits as published
from auricle.paediatrics.limits import Z_98, Centiles, SexLike
from auricle.recording import Sex

Floats = NDArray[np.float64]
Position = Literal["low", "normal", "high"]
Kind = Literal["flag", "outside", "borderline", "normal_for_age", "note"]

# The age at which "an adult's reading" is asked.
ADULT_DAYS: Final = 35 * DAYS_PER_YEAR
COARSE_HZ: Final = 100.0
_INFANT_DAYS: Final = DAYS_PER_YEAR
_Z_95: Final = 1.96
_VALUES_ASKED, _AGES_ASKED = 9, 13
_COARSE: Final = ("qrs", "r_v1", "s_v1", "r_v6", "s_v6", "rs_ratio_v1")
# Durations of the tables are of twelve leads: one lead begins later and ends sooner.
_GLOBAL: Final = ("qrs", "p_duration")
_NEEDS_BAND: Final = ("q_", "r_", "s_", "rs_ratio")
_AXES: Final = ("p_axis", "qrs_axis", "t_axis")
_INTERVALS: Final = ("p_duration", "pr", "qrs", "qt", "qtc_bazett", "qtc_fridericia")
_SUPERIOR_FROM_DEG: Final = 180.0
# Without a place for at least two of these nobody may be told that nothing lies outside.
_MAIN: Final = ("heart_rate", "pr", "qrs", "qtc_bazett")
_ENOUGH_MAIN: Final = 2


class Norms(Protocol):
    """What centiles are read from: the module `limits`, or `fit.OwnNorms`."""

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
    """One value with its place among people of that age.

    Attributes:
        parameter: as in `Measurements.values`.
        measured: value, standard error and unit.
        z: standard deviations from the norm; NaN without a centile.
        z_interval: the widest that the value's error and the age's resolution allow.
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
        """0 to 100."""
        return None if self.refused else float(100 * norm.cdf(self.z))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the centile, 0 to 100."""
        return (
            None
            if self.refused
            else (float(100 * norm.cdf(self.z_interval[0])), float(100 * norm.cdf(self.z_interval[1])))
        )

    @property
    def position(self) -> Position | None:
        """Where the value itself lies: outside p2 to p98 or inside."""
        return None if self.refused else position_of(self.z)

    @property
    def crossing(self) -> Position | None:
        """Which limit lies inside the interval: the value could as well be on its other side."""
        low, high = self.z_interval
        if self.refused:
            return None
        return "high" if low <= Z_98 < high else "low" if low < -Z_98 <= high else None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say. `auricle.paediatrics.wording` says it in a language.

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
    """What a cardiologist sees: remarks about the recording first, then values, then findings.

    Attributes:
        age: as it was known; None gives values only.
        sex: None uses the mean of both.
        remarks: about the recording, the gravest first.
        rows: one per value, in the order of `Measurements.values`.
        findings: flags, what is outside, what is borderline, what only an adult's reading would call abnormal, notes.
    """

    age: Age | None
    sex: Sex | None
    remarks: tuple[Remark, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]

    @property
    def all_normal(self) -> bool | None:
        """Whether what could be compared lies inside the limits; None where too little could be compared to say so."""
        if any(finding.kind in {"flag", "outside"} for finding in self.findings):
            return False
        compared = [row for row in self.rows if row.parameter in _MAIN and row.centile is not None]
        return True if len(compared) >= _ENOUGH_MAIN else None

    def row(self, parameter: str) -> Row | None:
        """The row of a parameter, if it is there."""
        return next((row for row in self.rows if row.parameter == parameter), None)


def assess(
    measurements: Measurements, age: Age | None = None, sex: Sex | None = None, norms: Norms = published
) -> Assessment:
    """Centiles and findings of one recording.

    Args:
        measurements: as `auricle.measure.recording.measure_recording` gives them.
        age: None where unknown: then there is no centile, and no finding that needs one.
        sex: "F", "M" or None.
        norms: whose limits; the published ones by default.

    Raises:
        DataError: an unknown sex.
    """
    from auricle.paediatrics.rules import find

    rows = tuple(_row(name, measured, measurements, age, sex, norms) for name, measured in measurements.values.items())
    return Assessment(age, sex, measurements.remarks, rows, find(rows, measurements, age, sex))


def recorded_rows(assessment: Assessment, measurements: Measurements) -> list[Row]:
    """All rows but those of leads that were not recorded, of which the remark about few leads speaks."""
    leads = {lead.casefold() for lead in measurements.leads} | {""}
    return [row for row in assessment.rows if row.measured.measurable or lead_of(row.parameter) in leads]


def main_rows(assessment: Assessment, measurements: Measurements) -> list[Row]:
    """Global values, amplitudes with centiles, and T in V1, of the leads that were recorded."""
    return [
        row
        for row in recorded_rows(assessment, measurements)
        if row.parameter in UNITS or row.parameter == "t_v1" or _has_centiles(row.parameter)
    ]


def _has_centiles(parameter: str) -> bool:
    known = parameter in published.parameters()
    return known and bool(np.isfinite(published.limits(parameter, ADULT_DAYS).p98))


def position_of(z: float) -> Position:
    """Outside the published range (p2, p98) or inside it."""
    return "low" if z < -Z_98 else "high" if z > Z_98 else "normal"


def _row(name: str, measured: Measured, all_of: Measurements, age: Age | None, sex: Sex | None, norms: Norms) -> Row:
    if not measured.measurable:
        return Row(name, measured, refused="not_measurable")
    if age is None:
        return Row(name, measured, refused="age_unknown")
    refused = _refusal(name, all_of, age)
    if name not in norms.parameters():
        return Row(name, measured, refused=refused or ("fridericia" if name == "qtc_fridericia" else "no_limits"))
    known = norms.limits(name, age.best_days, sex)
    if not np.isfinite(known.p98):
        return Row(name, measured, limits=known, refused="median_only" if np.isfinite(known.p50) else "too_few")
    z = float(norms.z_score(name, age.best_days, sex, measured.value))
    interval = _z_interval(name, measured, age, sex, norms)
    adult = _adult(name, measured.value, sex)
    if not refused and name == "qrs_axis" and wrap_axis_deg(measured.value) >= _SUPERIOR_FROM_DEG and z > Z_98:
        refused = "superior_axis"
    if not refused and not np.isfinite([z, *interval]).all():
        refused = "no_limits"
    if not refused and interval[0] < -Z_98 and interval[1] > Z_98:
        refused = "too_uncertain"
    return Row(name, measured, z, interval, known, adult, refused, _warnings(name, measured, known, all_of))


def _z_interval(name: str, measured: Measured, age: Age, sex: Sex | None, norms: Norms) -> tuple[float, float]:
    """Smallest and largest z that the value's 95 % interval and the ages meant by `age` allow."""
    reach = _Z_95 * measured.uncertainty if np.isfinite(measured.uncertainty) else 0.0
    values = measured.value + reach * np.linspace(-1, 1, _VALUES_ASKED)
    if name == "qrs_axis":
        # The cut of the circle lies at -90: an interval does not reappear at its other end.
        values = np.clip(wrap_axis_deg(measured.value) + reach * np.linspace(-1, 1, _VALUES_ASKED), -90, 269.9)
    ages = np.append(np.linspace(age.days, age.days + age.resolution_days, _AGES_ASKED), age.best_days)
    z = norms.z_score(name, ages[:, None], sex, values[None, :])
    return float(z.min()), float(z.max())


def _adult(name: str, value: float, sex: Sex | None) -> Position | None:
    """Always by the published adult limits: a children's hospital's own curves know no adults."""
    if not _has_centiles(name):
        return None
    return position_of(float(published.z_score(name, ADULT_DAYS, sex, value)))


def _refusal(name: str, all_of: Measurements, age: Age) -> str:
    codes = {remark.code for remark in all_of.remarks}
    if name in _COARSE and all_of.recorded_hz <= COARSE_HZ:
        return "rate_too_low"
    if name in _GLOBAL and "few_leads" in codes:
        return "few_leads"
    if (name == "qrs" or name.startswith(_NEEDS_BAND)) and "band_too_narrow" in codes and age.days < _INFANT_DAYS:
        return "band_too_narrow"
    if "paced" in codes and (name in _INTERVALS or name.startswith(("qrs", "r_", "s_", "rs_", "t_"))):
        return "paced"
    if name in _AXES and codes & {"arms_swapped", "leg_electrode_swapped", "dextrocardia"}:
        return "electrodes"
    lead = lead_of(name)
    if lead and lead.startswith("v") and "dextrocardia" in codes:
        return "electrodes"
    bad = {
        one.casefold()
        for remark in all_of.remarks
        if remark.code in {"poor_contact", "saturated"}
        for one in remark.leads
    }
    return "bad_lead" if lead in bad else ""


def lead_of(parameter: str) -> str:
    """The lead of an amplitude, in small letters (`r_v1` -> `v1`); empty for global measurements."""
    wave, _, lead = parameter.removeprefix("rs_ratio_").rpartition("_")
    if parameter.startswith("rs_ratio_"):
        return lead
    return lead if wave in {"q", "r", "s", "st", "t", "p"} and lead not in {"axis", "duration"} else ""


def _warnings(name: str, measured: Measured, known: Centiles, all_of: Measurements) -> tuple[str, ...]:
    codes = {remark.code for remark in all_of.remarks}
    found = {
        "extrapolated": known.extrapolated,
        "unverified": known.unverified,
        "uncertainty_unknown": not np.isfinite(measured.uncertainty),
        "coarse_sampling": all_of.recorded_hz <= COARSE_HZ and (name in _INTERVALS or lead_of(name) != ""),
        "band_too_narrow": "band_too_narrow" in codes and (name == "qrs" or name.startswith(_NEEDS_BAND)),
        "irregular": "irregular" in codes and name in {"heart_rate", "qtc_bazett", "qtc_fridericia"},
    }
    return tuple(code for code, holds in found.items() if holds)
