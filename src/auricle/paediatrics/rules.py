"""Rules that turn centiles into findings. They check plausibility and explain; alone they diagnose little.

Sources: p2 and p98 of the limits used. The flags of hypertrophy in the first month are those that paediatric textbooks
and Davignon's limits (Pediatr Cardiol 1979/80;1:123) share: a pure R in V1 above 1.0 mV, R in V1 above 2.5 mV with an
S, an axis beyond 195 degrees, and an upright T in V1 after day 7 (right ventricle); R in V6 above 1.7 mV in week 1 or
2.5 mV in month 1, S in V1 above 2.0 mV (left ventricle). The share of people whose T in V1 is inverted is Lepeschkin's,
taken from a secondary table and not checked against the paper; its first week is an assumption (`unverified`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from scipy.interpolate import PchipInterpolator

from auricle.age import Age
from auricle.leads import wrap_axis_deg
from auricle.measure.measurements import Measurements
from auricle.paediatrics.assessment import ADULT_READING_DAYS, Finding, Kind, Row
from auricle.recording import Sex

_ORDER: Final[Sequence[Kind]] = ("flag", "outside", "borderline", "normal_for_age", "note")
_WEEK_DAYS, _MONTH_DAYS = 7.0, 30.5
_PURE_R_V1_MV, _R_V1_MV, _S_V1_MV = 1.0, 2.5, 2.0
_R_V6_MV: Final = ((_WEEK_DAYS, 1.7), (_MONTH_DAYS, 2.5))
_AXIS_DEG: Final = 195.0
# Parameters whose low values count as abnormal in adults; a narrow QRS or a small R does not.
_LOW_MATTERS: Final = ("heart_rate", "pr", "qtc_bazett", "qrs_axis")
# An S below this counts as absent: it is within the noise of a good recording.
_NO_WAVE_MV: Final = 0.05
_UNUSUAL_SHARE: Final = 0.10
_FAST_FOR_BAZETT: Final = 120.0
_Z_95: Final = 1.96


# A value is called borderline only if it lies in the outer tenth itself, not because its error is wide.
_NEAR_Z: Final = 1.28
# Refusals of a centile that also forbid a flag on the same value.
_NO_FLAG: Final = {"electrodes", "bad_lead", "not_measurable", "paced", "band_too_narrow"}


def find(rows: Sequence[Row], measurements: Measurements, age: Age | None, sex: Sex | None) -> tuple[Finding, ...]:
    """All findings, flags first; without an age there are none that need a centile."""
    named = {row.parameter: row for row in rows if row.measured.measurable}
    found = [finding for row in rows for finding in _place(row)]
    found += _superior(named)
    if age is not None:
        found += _flags(named, age)
        found += _t_v1(named, age, sex)
    found += _bazett(named)
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.kind)))


def would_show(finding: Finding, rows: Mapping[str, Row], age: Age | None, sex: Sex | None) -> bool:
    """Whether a finding would have been made of another recording too, had its values been such.

    Args:
        finding: of one recording.
        rows: of the other, by parameter.
        age: at which the other was compared; None for an unknown one.
        sex: of the person.
    """
    # What says that an S is absent is not there where there is one.
    needed = [rows.get(name) for name in finding.rests_on if name != "rs_ratio_v1" or finding.kind != "flag"]
    known = [row for row in needed if row is not None and row.measured.measurable]
    if age is None or len(known) < len(needed):
        return False
    if finding.kind != "flag":
        # A superior axis was looked at and lies beyond the norm.
        return all(row.refused in {"", "superior_axis"} for row in known)
    if any(row.refused in _NO_FLAG for row in known):
        return False
    if finding.code == "flag.t_v1_upright":
        return age.days > _WEEK_DAYS and 1 - t_v1_inverted_share(age.best_days, sex) < _UNUSUAL_SHARE
    return age.best_days <= _MONTH_DAYS


def doubts(row: Row) -> tuple[str, ...]:
    """Warnings about how a value was measured, which a finding must not leave out; those of its limits are others."""
    return tuple(code for code in row.warnings if code not in {"extrapolated", "unverified"})


def t_v1_inverted_share(age_days: float, sex: Sex | None = None) -> float:
    """The share of healthy people of an age whose T in V1 is inverted; sex unknown is the mean. Unverified."""
    if sex is None:
        return (t_v1_inverted_share(age_days, "F") + t_v1_inverted_share(age_days, "M")) / 2
    days, shares = _t_v1_table(sex)
    return float(PchipInterpolator(np.log1p(days), shares)(np.log1p(np.clip(age_days, days[0], days[-1]))))


@cache
def _t_v1_table(sex: Sex) -> tuple[tuple[float, ...], tuple[float, ...]]:
    text = (files("auricle.paediatrics") / "norms" / "t_v1_inverted_unverified.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["sex"] in {"", sex}]
    days = tuple((float(row["age_from_days"]) + float(row["age_to_days"])) / 2 for row in rows)
    return days, tuple(float(row["inverted"]) for row in rows)


def _place(row: Row) -> Iterator[Finding]:
    """The finding that follows from a value's centile, if any, and whether an adult's reading agrees."""
    if row.centile is None or row.limits is None:
        return
    adult = row.adult
    facts: dict[str, Any] = {
        "parameter": row.parameter, "value": row.measured.value, "unit": row.measured.unit, "centile": row.centile,
        "p2": row.limits.p2, "p98": row.limits.p98, "adult": adult, "crosses": row.crossing is not None,
        "bound": row.measured.bound, "doubts": doubts(row),
    }  # fmt: skip
    rests = (row.parameter,)
    derived_low = row.measured.unit == "mV" and row.parameter not in _LOW_MATTERS
    if derived_low and (row.position == "low" or row.crossing == "low"):
        # p2 of an amplitude is derived, not printed, and a missing wave is common in health: said, and no more.
        if row.position == "low":
            facts |= {"direction": "low", "crosses": False}
            yield Finding(f"{row.parameter}.low", "note", rests, False, facts)
        return
    if row.position in {"low", "high"}:
        facts["direction"] = row.position
        yield Finding(f"{row.parameter}.{row.position}", "outside", rests, adult not in {None, row.position}, facts)
    elif row.crossing is not None and abs(row.z) > _NEAR_Z:
        facts["direction"] = row.crossing
        yield Finding(
            f"{row.parameter}.borderline_{row.crossing}", "borderline", rests, adult not in {None, "normal"}, facts
        )
    elif row.position == "normal" and (adult == "high" or (adult == "low" and row.parameter in _LOW_MATTERS)):
        facts["direction"] = adult
        yield Finding(f"{row.parameter}.{adult}_for_adult_only", "normal_for_age", rests, True, facts)


def _superior(named: Mapping[str, Row]) -> list[Finding]:
    """An axis from 180 to 270 degrees is neither right nor left; a newborn's may still be the end of a normal right."""
    row = named.get("qrs_axis")
    # An error that reaches from left to right says no direction at all.
    if row is None or row.refused in {"electrodes", "paced", "too_uncertain", "rate_too_low"}:
        return []
    if not 180 <= wrap_axis_deg(row.measured.value) < 270:
        return []
    if row.centile is not None and row.position == "normal":
        return []
    facts = {"parameter": "qrs_axis", "value": row.measured.value, "unit": "deg"}
    # Where the norm of the age does not say that it lies beyond, the direction is named and nothing more.
    kind: Kind = "outside" if row.refused == "superior_axis" else "note"
    return [Finding("qrs_axis.superior", kind, ("qrs_axis",), False, facts)]


def _flags(named: Mapping[str, Row], age: Age) -> list[Finding]:
    """Published flags of the first month, each with whether its value's error crosses the threshold."""
    found: list[Finding] = []

    def usable(name: str) -> bool:
        return name in named and named[name].refused not in _NO_FLAG

    def flag(code: str, name: str, threshold: float, *also: str) -> None:
        row = named[name]
        value = float(wrap_axis_deg(row.measured.value)) if name == "qrs_axis" else row.measured.value
        if value <= threshold:
            return
        error = row.measured.uncertainty if np.isfinite(row.measured.uncertainty) else 0.0
        facts = {
            "parameter": name, "value": value, "unit": row.measured.unit, "threshold": threshold,
            "crosses": value - _Z_95 * error <= threshold, "doubts": doubts(row),
        }  # fmt: skip
        # The flag holds for this age alone; an adult's reading has lower limits and finds more values abnormal.
        found.append(Finding(f"flag.{code}", "flag", (name, *also), row.adult in {None, "normal"}, facts))

    if age.best_days > _MONTH_DAYS:
        return found
    if usable("r_v1") and usable("s_v1"):
        pure = named["s_v1"].measured.value < _NO_WAVE_MV
        ratio = ("rs_ratio_v1",) if "rs_ratio_v1" in named and named["rs_ratio_v1"].measured.bound == "above" else ()
        flag(*("pure_r_v1", "r_v1", _PURE_R_V1_MV) if pure else ("r_v1", "r_v1", _R_V1_MV), "s_v1", *ratio)
    if usable("qrs_axis"):
        flag("axis_beyond_195", "qrs_axis", _AXIS_DEG)
    if usable("r_v6"):
        flag("r_v6", "r_v6", next(limit for until, limit in _R_V6_MV if age.best_days <= until))
    if usable("s_v1"):
        flag("s_v1", "s_v1", _S_V1_MV)
    return found


def _t_v1(named: Mapping[str, Row], age: Age, sex: Sex | None) -> list[Finding]:
    """T in V1 as a share of healthy people of the age, and the flag where upright is rare after day 7."""
    row = named.get("t_v1")
    if row is None or row.refused in _NO_FLAG:
        return []
    value, error = row.measured.value, row.measured.uncertainty
    sure = abs(value) > _Z_95 * (error if np.isfinite(error) else 0.0)
    upright = value > 0
    shares = [t_v1_inverted_share(days, sex) for days in (age.best_days, ADULT_READING_DAYS)]
    here, adult = (1 - share if upright else share for share in shares)
    facts = {"parameter": "t_v1", "value": value, "unit": row.measured.unit, "share": here, "crosses": not sure,
             "doubts": doubts(row)}  # fmt: skip
    if not sure:
        return [Finding("t_v1.flat", "note", ("t_v1",), False, facts)]
    differs = (here < _UNUSUAL_SHARE) != (adult < _UNUSUAL_SHARE)
    if upright and age.days > _WEEK_DAYS and here < _UNUSUAL_SHARE:
        return [Finding("flag.t_v1_upright", "flag", ("t_v1",), True, facts)]
    return [Finding(f"t_v1.{'upright' if upright else 'inverted'}", "note", ("t_v1",), differs, facts)]


def _bazett(named: Mapping[str, Row]) -> list[Finding]:
    """Bazett overcorrects a fast heart: a long QTc at a high rate is to be read with Fridericia's beside it."""
    rate, qtc = named.get("heart_rate"), named.get("qtc_bazett")
    if rate is None or qtc is None or rate.measured.value < _FAST_FOR_BAZETT or qtc.position != "high":
        return []
    fridericia = named.get("qtc_fridericia")
    facts = {
        "parameter": "qtc_bazett", "value": qtc.measured.value, "unit": "ms", "rate": rate.measured.value,
        "fridericia": None if fridericia is None else fridericia.measured.value, "doubts": doubts(qtc),
    }  # fmt: skip
    return [Finding("qtc_bazett.fast_rate", "note", ("qtc_bazett", "heart_rate"), False, facts)]
