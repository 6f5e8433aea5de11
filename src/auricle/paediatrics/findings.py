"""Measurements at an age: centiles with their uncertainty, and findings in words. Research use.

A value is compared with the limits of its age and sex (`auricle.paediatrics.limits`, or curves of a hospital's own by
`auricle.paediatrics.fit`). Its centile has an interval: the widest that results when the value moves by 1.96 standard
errors and the age over the interval it stands for ("5 yr" is any day of a year). A centile that would suggest more
precision than there is, is refused with a reason: QRS at 100 Hz or less, an infant behind a narrow filter, swapped
electrodes, a paced heart, an unknown age, an error as wide as the normal range. An axis from 180 degrees on that lies
above the norm of the age is named superior and has no centile.

Every finding says whether an adult's reading would differ. The rules check plausibility and explain; alone they
diagnose little (`auricle.paediatrics.rules` holds them with their sources).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR, Age
from auricle.birth import corrected
from auricle.leads import EXTRA, wrap_axis_deg
from auricle.measure.measurements import UNITS, Measured, Measurements
from auricle.paediatrics import limits as published
from auricle.paediatrics.assessment import ADULT_READING_DAYS, Assessment, Norms, Position, Row, lead_of, position_of
from auricle.paediatrics.limits import Z_98, Centiles
from auricle.paediatrics.rules import find
from auricle.recording import Sex

Floats = NDArray[np.float64]

COARSE_HZ: Final = 100.0
# Areas of waves lie between their edges, which slower sampling moves: an axis of 13 degrees became 214 at 30 Hz.
_LEAST_AXIS_HZ: Final = 60.0
_INFANT_DAYS: Final = DAYS_PER_YEAR
_Z_95: Final = 1.96
_VALUES_ASKED, _AGES_ASKED = 9, 13
_COARSE: Final = ("qrs", "r_v1", "s_v1", "r_v6", "s_v6", "rs_ratio_v1")
# Durations of the tables are of twelve leads: in few leads the earliest onset and the latest end may be missed.
_GLOBAL: Final = ("qrs", "p_duration")
_NEEDS_BAND: Final = ("q_", "r_", "s_", "rs_ratio")
_AXES: Final = ("p_axis", "qrs_axis", "t_axis")
_INTERVALS: Final = ("p_duration", "pr", "qrs", "qt", "qtc_bazett", "qtc_fridericia")
_SUPERIOR_FROM_DEG: Final = 180.0
# What rests on the intervals between beats, and what rests on which waves are beats.
_NEEDS_RATE: Final = ("heart_rate", "qtc_bazett", "qtc_fridericia")
_NEEDS_BEATS: Final = (*_NEEDS_RATE, "p_duration", "pr", "qt")
_FURTHER: Final = tuple(lead.casefold() for lead in EXTRA)
_SHOWN_OF_FURTHER: Final = ("r", "s")


def assess(
    measurements: Measurements,
    age: Age | None = None,
    sex: Sex | None = None,
    norms: Norms = published,
    gestation_days: float | None = None,
) -> Assessment:
    """Centiles and findings of one recording.

    Args:
        measurements: as `auricle.measure.recording.measure_recording` gives them.
        age: None where unknown: then there is no centile, and no finding that needs one.
        sex: "F", "M" or None.
        norms: whose limits; the published ones by default.
        gestation_days: at birth, where known: a young child born early is compared at its corrected age
            (`auricle.birth.correction_days`), and before term with nobody.

    Raises:
        DataError: an unknown sex.
    """
    at = None if age is None else corrected(age, gestation_days)
    unknown = "age_unknown" if age is None else "before_term"
    rows = tuple(
        _row(name, measured, measurements, at, sex, norms, unknown) for name, measured in measurements.values.items()
    )
    return Assessment(age, sex, measurements.remarks, rows, find(rows, measurements, at, sex), gestation_days)


def recorded_rows(assessment: Assessment, measurements: Measurements) -> list[Row]:
    """All rows but those of leads that were not recorded, which the remark about few leads names."""
    leads = {lead.casefold() for lead in measurements.leads} | {""}
    return [row for row in assessment.rows if row.measured.measurable or lead_of(row.parameter) in leads]


def main_rows(assessment: Assessment, measurements: Measurements) -> list[Row]:
    """Global values, amplitudes with centiles, T in V1, R and S of leads beside the twelve, and what lies outside."""
    return [row for row in recorded_rows(assessment, measurements) if _is_main(row)]


def _is_main(row: Row) -> bool:
    if row.parameter in UNITS or row.parameter == "t_v1" or _has_centiles(row.parameter):
        return True
    further = lead_of(row.parameter) in _FURTHER and row.parameter.partition("_")[0] in _SHOWN_OF_FURTHER
    return further or row.position in {"low", "high"}


@cache
def _has_centiles(parameter: str) -> bool:
    known = parameter in published.parameters()
    return known and bool(np.isfinite(published.limits(parameter, ADULT_READING_DAYS).p98))


def _row(
    name: str, measured: Measured, all_of: Measurements, age: Age | None, sex: Sex | None, norms: Norms, unknown: str
) -> Row:
    """The row of one value: z, interval and limits, or the reason why it has no centile, `unknown` without an age."""
    if not measured.measurable:
        return Row(name, measured, refused="not_measurable")
    if age is None:
        return Row(name, measured, refused=unknown)
    refused = _refusal(name, all_of, age)
    if name not in norms.parameters():
        return Row(name, measured, refused=refused or ("fridericia" if name == "qtc_fridericia" else "no_limits"))
    known = norms.limits(name, age.best_days, sex)
    if not np.isfinite(known.p98):
        return Row(name, measured, limits=known, refused="median_only" if np.isfinite(known.p50) else "too_few")
    z = float(norms.z_score(name, age.best_days, sex, measured.value))
    interval = z_interval(name, measured, age, sex, norms)
    adult = _adult(name, measured, sex)
    if not refused and np.isnan([z, *interval]).any():
        refused = "no_limits"
    if not refused and interval[0] < -Z_98 and interval[1] > Z_98:
        refused = "too_uncertain"
    if not refused and name == "qrs_axis" and wrap_axis_deg(measured.value) >= _SUPERIOR_FROM_DEG and z > Z_98:
        refused = "superior_axis"
    return Row(name, measured, z, interval, known, adult, refused, _warnings(name, measured, known, all_of))


def z_interval(name: str, measured: Measured, age: Age, sex: Sex | None, norms: Norms) -> tuple[float, float]:
    """Smallest and largest z that the value's 95 % interval and the ages meant by `age` allow.

    Args:
        name: of a value that the norms know.
        measured: with its standard error; one of an unknown error counts as exact.
        age: at which it is compared.
        sex: "F", "M" or None.
        norms: whose limits.
    """
    reach = _Z_95 * measured.uncertainty if np.isfinite(measured.uncertainty) else 0.0
    values = measured.value + reach * np.linspace(-1, 1, _VALUES_ASKED)
    if name == "qrs_axis":
        # The cut of the circle lies at -90: an interval does not reappear at its other end.
        values = np.clip(wrap_axis_deg(measured.value) + reach * np.linspace(-1, 1, _VALUES_ASKED), -90, 269.9)
    ages = np.append(np.linspace(age.days, age.days + age.resolution_days, _AGES_ASKED), age.best_days)
    z = norms.z_score(name, ages[:, None], sex, values[None, :])
    # What is known from one side only may lie anywhere on the other.
    low = -np.inf if measured.bound == "below" and not np.isnan(z).any() else z.min()
    high = np.inf if measured.bound == "above" and not np.isnan(z).any() else z.max()
    return float(low), float(high)


def _adult(name: str, measured: Measured, sex: Sex | None) -> Position | None:
    """Where the published adult limits put a value; own curves of a children's hospital may not reach adult ages."""
    if not _has_centiles(name):
        return None
    return position_of(float(published.z_score(name, ADULT_READING_DAYS, sex, measured.value)), measured.bound)


def _refusal(name: str, all_of: Measurements, age: Age) -> str:
    """Code of the reason in the recording why a value gets no centile; empty if there is none."""
    codes = {remark.code for remark in all_of.remarks}
    if name in _COARSE and all_of.recorded_hz <= COARSE_HZ:
        return "rate_too_low"
    if name in _AXES and all_of.recorded_hz < _LEAST_AXIS_HZ:
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
        bad_lead.casefold()
        for remark in all_of.remarks
        if remark.code in {"poor_contact", "saturated"}
        for bad_lead in remark.leads
    }
    return "bad_lead" if lead in bad else ""


def _warnings(name: str, measured: Measured, known: Centiles, all_of: Measurements) -> tuple[str, ...]:
    """Codes of what weakens the centile of a value."""
    codes = {remark.code for remark in all_of.remarks}
    poor = {lead.casefold() for reason in all_of.quality.reasons for lead in reason.leads}
    found = {
        "extrapolated": known.extrapolated,
        "unverified": known.unverified,
        "uncertainty_unknown": not np.isfinite(measured.uncertainty),
        "coarse_sampling": all_of.recorded_hz <= COARSE_HZ and (name in _INTERVALS or lead_of(name) != ""),
        "band_too_narrow": "band_too_narrow" in codes and (name == "qrs" or name.startswith(_NEEDS_BAND)),
        "irregular": "irregular" in codes and name in _NEEDS_RATE,
        "pause": "pause" in codes and name in _NEEDS_RATE,
        "rate_doubtful": "rate_doubtful" in codes and name in _NEEDS_BEATS,
        "poor_trace": lead_of(name) in poor,
    }
    return tuple(code for code, holds in found.items() if holds)
