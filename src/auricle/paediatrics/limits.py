"""Normal limits of the ECG as continuous functions of age and sex, from birth to adulthood.

The published tables are steps: one row per age bin. Here each centile is a curve through the bin centres on the axis
log(1 + days), drawn by PCHIP, which is monotone wherever the table is and never overshoots it.

Source precedence by age, each with its warning carried along in `Centiles`:
    0-7 days     Davignon 1979, where it has the parameter (values not checked against the paper: `unverified`)
    7-20 days    blend from Davignon to Rijnbeek
    20 d-14 yr   Rijnbeek 2001
    14-20 years  join to the adult values
    20 years on  adult values, constant (limits as in clinical use, medians provisional: `unverified`)
Below day 11 a parameter that Davignon lacks keeps Rijnbeek's first value, marked `extrapolated`. So does QRS duration
on purpose: Davignon measured it in V5, which is 10-15 ms shorter than Rijnbeek's twelve-lead duration.

Distributions (`method` in `Centiles`):
    two-piece normal      intervals, rate and axis: half a normal below the median, another above
    log two-piece normal  the R/S ratio, which is positive and skewed
    square-root normal    amplitudes, cut at zero: the tables print two of three centiles, and the square root makes
                          both ends printed for newborns (0 and p98) and both printed for children (p50 and p98) fit
                          one symmetric curve that never goes below "no wave"

Sources: Rijnbeek et al., Eur Heart J 2001;22:702 (Dutch children, 11 days to 16 years). Davignon et al., Pediatr
Cardiol 1979/80;1:123 (first month). Adult p2 and p98 of rate, PR, QRS, QTc, axis and R in V1 are the usual clinical
limits; the adult medians and amplitudes are round figures near those measured (`auricle.measure`) on the 152 normal
adults of folds 1-8 of the PTB-XL excerpt at hand (Wagner et al. 2020, CC BY 4.0), few enough to stay provisional; QRS
and QTc medians are not taken from it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError, UnknownNameError
from auricle.leads import wrap_axis_deg
from auricle.recording import Sex

Floats = NDArray[np.float64]
SexLike = Sex | None | Sequence[Sex | None] | NDArray[np.str_]

# The standard normal quantile of .98, so that p2 and p98 lie at z = -2.054 and +2.054.
Z_98: Final = 2.054
_BLEND_DAYS: Final = (7.0, 20.0)
_RIJNBEEK_FROM_DAYS: Final = 11.0
_ADULT_FROM_DAYS: Final = 20 * DAYS_PER_YEAR
# A second adult knot makes the curve arrive level at 20 years instead of with a kink.
_ADULT_AGAIN_DAYS: Final = 40 * DAYS_PER_YEAR
# Centre of the oldest bin, 12-16 years: beyond it adult values begin to enter.
_LAST_CHILD_DAYS: Final = (4384 + 5844) / 2
_BOYS_BINS_DAYS: Final[Mapping[str, tuple[float, float]]] = {
    "11-30 d": (11, 30),
    "6-12 mo": (183, 365),
    "5-8 y": (1827, 2922),
    "12-16 y": (4384, 5844),
}
_SMALLEST_RATIO: Final = 1e-3
_UNKNOWN_SEX: Final = "sex must be 'F', 'M' or None where unknown"

Scale = Literal["linear", "log", "sqrt"]
_METHODS: Final[Mapping[Scale, str]] = {
    "linear": "two-piece normal",
    "log": "log two-piece normal",
    "sqrt": "square-root normal cut at zero",
}


@dataclass(frozen=True, slots=True)
class Centiles:
    """Normal limits of one parameter at one age, with what must be printed beside them.

    Attributes:
        parameter: as in the tables (`heart_rate`, `pr`, `qrs`, `qtc_bazett`, `qrs_axis`, `r_v1` ...).
        p2, p50, p98: centiles in `unit`; p2 and p98 are NaN for parameters of which only a median was published.
        unit: "1/min", "ms", "deg", "mV" or "1".
        source: the table or tables the values come from at this age.
        population: who was measured.
        method: the distribution assumed between and beyond the centiles.
        extrapolated: the age lies outside the ages measured; the nearest value is held.
        unverified: a value entered that was not checked against its source, or is provisional.
    """

    parameter: str
    p2: float
    p50: float
    p98: float
    unit: str
    source: str
    population: str
    method: str
    extrapolated: bool
    unverified: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a published table: p2, p50 and p98 of a parameter at the centre of an age bin; sex None is both."""

    parameter: str
    unit: str
    sex: Sex | None
    centre_days: float
    centiles: tuple[float, float, float]


@cache
def parameters() -> tuple[str, ...]:
    """Every parameter with limits, in alphabetical order."""
    return tuple(sorted({row.parameter for row in _rijnbeek()}))


def limits(parameter: str, age_days: float, sex: Sex | None = None) -> Centiles:
    """The normal limits at one age, with source, population and warnings; sex unknown gives the mean of both.

    Raises:
        UnknownNameError: no such parameter.
        DataError: an age that is negative or not finite, or an unknown sex.
    """
    p2, p50, p98 = centiles(parameter, age_days, sex).tolist()
    newborn, adult = _davignon_share(parameter, age_days), age_days > _LAST_CHILD_DAYS
    names = [
        *(["Davignon 1979 (unverified)"] if newborn > 0 else []),
        *(["Rijnbeek 2001"] if newborn < 1 and age_days < _ADULT_FROM_DAYS else []),
        *(["clinical adult limits (medians provisional)"] if adult else []),
    ]
    people = [
        *(["Canadian newborns"] if newborn > 0 else []),
        *(["Dutch boys" if _median_only(parameter) else "Dutch children"] if "Rijnbeek 2001" in names else []),
        *(["adults"] if adult else []),
    ]
    return Centiles(
        parameter, p2, p50, p98, _unit(parameter), ", ".join(names), ", ".join(people),
        "median only" if _median_only(parameter) else _METHODS[_scale(parameter)],
        extrapolated=bool(newborn == 0 and age_days < _RIJNBEEK_FROM_DAYS),
        unverified=bool(newborn > 0 or adult),
    )  # fmt: skip


def centiles(parameter: str, age_days: ArrayLike, sex: SexLike = None) -> Floats:
    """p2, p50 and p98 for many records at once.

    Args:
        parameter: as in the tables.
        age_days: ages, any shape.
        sex: one value for all, or one per age; None is the mean of both.

    Returns:
        (*ages, 3) in the parameter's unit; p2 and p98 are NaN where only a median was published.

    Raises:
        UnknownNameError: no such parameter.
        DataError: a negative or non-finite age, or an unknown sex.
    """
    if isinstance(age_days, (int, float)) and (sex is None or isinstance(sex, str)):
        return _at_one_age(parameter, float(age_days), sex).copy()
    return _centiles(parameter, np.asarray(age_days, dtype=np.float64), sex)


@lru_cache(maxsize=4096)
def _at_one_age(parameter: str, age_days: float, sex: Sex | None) -> Floats:
    """(3,) centiles; one record is asked for the same several times, and every record for those of adults."""
    return _centiles(parameter, np.asarray(age_days), sex)


def _centiles(parameter: str, ages: Floats, sex: SexLike) -> Floats:
    if not np.isfinite(ages).all() or (ages < 0).any():
        raise DataError(f"limits of {parameter}: ages must be known and not negative; leave out records without an age")
    male = _male_share(sex)[..., None]
    girls, boys = _curve(parameter, "F"), _curve(parameter, "M")
    if girls is boys:
        return np.broadcast_to(boys(ages), (*np.broadcast_shapes(ages.shape, male.shape[:-1]), 3)).copy()
    return (1 - male) * girls(ages) + male * boys(ages)


def median(parameter: str, age_days: ArrayLike, sex: SexLike = None) -> Floats:
    """The median at each age, also of parameters of which nothing else was published.

    Args:
        parameter: as in the tables.
        age_days: ages, any shape.
        sex: one value for all, or one per age; None is the mean of both.

    Raises:
        UnknownNameError: no such parameter.
        DataError: a negative or non-finite age, or an unknown sex.
    """
    return centiles(parameter, age_days, sex)[..., 1]


def quantile(parameter: str, age_days: ArrayLike, sex: SexLike, z: ArrayLike) -> Floats:
    """The value that lies `z` standard deviations from the norm of this age and sex.

    Args:
        parameter: as in the tables.
        age_days: ages; broadcast with `z`.
        sex: one for all or one per age.
        z: standard normal deviates; 0 is the median, +-2.054 are p98 and p2.

    Returns:
        Values in the parameter's unit. An axis is in [-90, 270) degrees, an amplitude is never negative.

    Raises:
        UnknownNameError: no such parameter.
        DataError: only a median was published, a negative or non-finite age, or an unknown sex.
    """
    scale, (middle, below, above) = _scale(parameter), _pieces(parameter, age_days, sex)
    deviate = np.asarray(z, dtype=np.float64)
    value = _from_scale(middle + deviate * np.where(deviate < 0, below, above), scale)
    return wrap_axis_deg(value) if parameter == "qrs_axis" else value


def z_score(parameter: str, age_days: ArrayLike, sex: SexLike, value: ArrayLike) -> Floats:
    """How many standard deviations a value lies from the norm of its age and sex: the inverse of `quantile`.

    Args:
        parameter: as in the tables.
        age_days: ages; broadcast with `value`.
        sex: one for all or one per age.
        value: in the parameter's unit.

    Raises:
        UnknownNameError: no such parameter.
        DataError: only a median was published, a negative or non-finite age, or an unknown sex.
    """
    scale, (middle, below, above) = _scale(parameter), _pieces(parameter, age_days, sex)
    measured = np.asarray(value, dtype=np.float64)
    if parameter == "qrs_axis":
        measured = wrap_axis_deg(measured)
    distance = _to_scale(measured, scale) - middle
    return distance / np.where(distance < 0, below, above)


def _pieces(parameter: str, age_days: ArrayLike, sex: SexLike) -> tuple[Floats, Floats, Floats]:
    """Median and the two standard deviations, below and above it, on the parameter's scale."""
    if _median_only(parameter):
        raise DataError(f"{parameter}: only a median was published; use median()")
    p2, p50, p98 = np.moveaxis(_to_scale(centiles(parameter, age_days, sex), _scale(parameter)), -1, 0)
    return p50, (p50 - p2) / Z_98, (p98 - p50) / Z_98


def _male_share(sex: SexLike) -> Floats:
    """1 for "M", 0 for "F", one half for None, in the shape of `sex`."""
    if sex is None or isinstance(sex, str):
        known_share = {"M": 1.0, "F": 0.0, None: 0.5}.get(sex)
        if known_share is None:
            raise DataError(_UNKNOWN_SEX)
        return np.asarray(known_share)
    known = np.asarray(sex, dtype=object)
    share = np.full(known.shape, 0.5)
    share[known == "M"] = 1.0
    share[known == "F"] = 0.0
    unknown = np.vectorize(lambda value: value is None, otypes=[bool])(known)
    if not ((share != 0.5) | unknown).all():
        raise DataError(_UNKNOWN_SEX)
    return share


def _davignon_share(parameter: str, age_days: ArrayLike) -> Floats:
    """Weight of Davignon's values: 1 up to day 7, 0 from day 20, smooth on the log axis; 0 without such a table."""
    ages = np.asarray(age_days, dtype=np.float64)
    if parameter not in _of_newborns():
        return np.zeros_like(ages)
    start, end = np.log1p(_BLEND_DAYS)
    part = np.clip((np.log1p(ages) - start) / (end - start), 0, 1)
    return np.asarray(1 - part**2 * (3 - 2 * part))


@cache
def _curve(parameter: str, sex: Sex) -> Callable[[Floats], Floats]:
    """The function ages -> (*ages, 3) centiles of one sex. Both sexes share one function where one was measured."""
    children = [row for row in _rijnbeek() if row.parameter == parameter]
    if not children:
        raise UnknownNameError("ECG parameter", parameter, parameters())
    if sex not in {row.sex for row in children}:
        return _curve(parameter, "M")
    grown = next(row for row in _adult() if row.parameter == parameter and row.sex == sex)
    child = _interpolate([*(row for row in children if row.sex == sex), grown])
    newborns = [row for row in _davignon() if row.parameter == parameter]
    if not newborns:
        return child
    newborn = _interpolate(newborns)

    def blended(ages: Floats) -> Floats:
        share = _davignon_share(parameter, ages)[..., None]
        return share * newborn(ages) + (1 - share) * child(ages)

    return blended


def _interpolate(rows: Sequence[_Row]) -> Callable[[Floats], Floats]:
    """PCHIP through the bin centres on log(1 + days), level before the first knot and after the last."""
    rows = sorted(rows, key=lambda row: row.centre_days)
    days = np.array([0.0, *(row.centre_days for row in rows), max(_ADULT_AGAIN_DAYS, rows[-1].centre_days + 1)])
    values = np.array([rows[0].centiles, *(row.centiles for row in rows), rows[-1].centiles])
    measured = np.isfinite(values).all(axis=0)
    spline = PchipInterpolator(np.log1p(days), values[:, measured], axis=0)

    def curve(ages: Floats) -> Floats:
        result = np.full((*ages.shape, 3), np.nan)
        result[..., measured] = spline(np.log1p(np.minimum(ages, days[-1])))
        return result

    return curve


def _scale(parameter: str) -> Scale:
    if parameter == "rs_ratio_v1":
        return "log"
    return "sqrt" if _unit(parameter) == "mV" else "linear"


def _to_scale(value: Floats, scale: Scale) -> Floats:
    if scale == "log":
        return np.log(np.maximum(value, _SMALLEST_RATIO))
    return np.sqrt(np.maximum(value, 0)) if scale == "sqrt" else value


def _from_scale(value: Floats, scale: Scale) -> Floats:
    if scale == "log":
        return np.exp(value)
    return np.maximum(value, 0) ** 2 if scale == "sqrt" else value


@cache
def _unit(parameter: str) -> str:
    for row in _rijnbeek():
        if row.parameter == parameter:
            return row.unit
    raise UnknownNameError("ECG parameter", parameter, parameters())


@cache
def _median_only(parameter: str) -> bool:
    _unit(parameter)
    return not any(np.isfinite(row.centiles[2]) for row in _rijnbeek() if row.parameter == parameter)


@cache
def _rijnbeek() -> tuple[_Row, ...]:
    rows = [_row(line, line["sex"], _centre_days(line), line["p50"]) for line in _read("rijnbeek2001.csv")]
    for line in _read("rijnbeek2001_lead_medians_boys.csv"):
        for age_bin, (first, last) in _BOYS_BINS_DAYS.items():
            p50 = float(line[age_bin])
            centre = (first + last) / 2
            rows.append(_Row(line["parameter"], line["unit"], "M", centre, (np.nan, p50, np.nan)))
    return tuple(rows)


@cache
def _davignon() -> tuple[_Row, ...]:
    """Davignon's rows except QRS in V5, which must not be mixed with a twelve-lead duration."""
    table = _read("davignon1979_first_month_unverified.csv")
    return tuple(
        _row(line, "", _centre_days(line), line["p50_or_mean"]) for line in table if line["parameter"] != "qrs_v5"
    )


@cache
def _of_newborns() -> frozenset[str]:
    return frozenset(row.parameter for row in _davignon())


@cache
def _adult() -> tuple[_Row, ...]:
    return tuple(_row(line, line["sex"], _ADULT_FROM_DAYS, line["p50"]) for line in _read("adult.csv"))


def _row(line: Mapping[str, str], sex: str, centre_days: float, p50: str) -> _Row:
    known: Sex | None = "F" if sex == "F" else "M" if sex == "M" else None
    unit = line["unit"]
    values = tuple(float(text) if text else np.nan for text in (line["p2"], p50, line["p98"]))
    return _Row(
        line["parameter"],
        unit,
        known,
        centre_days,
        _fill(*values) if unit == "mV" else (values[0], values[1], values[2]),
    )


def _fill(p2: float, p50: float, p98: float) -> tuple[float, float, float]:
    """Complete an amplitude's centiles by symmetry of its square root: p50 from both ends, or p2 from the others."""
    if np.isnan(p98):
        return p2, p50, p98
    if np.isnan(p50):
        p50 = ((np.sqrt(p2) + np.sqrt(p98)) / 2) ** 2
    if np.isnan(p2):
        p2 = max(0.0, 2 * np.sqrt(p50) - np.sqrt(p98)) ** 2
    return float(p2), float(p50), float(p98)


def _centre_days(line: Mapping[str, str]) -> float:
    return (float(line["age_from_days"]) + float(line["age_to_days"])) / 2


def _read(name: str) -> Iterator[dict[str, str]]:
    text = (files("auricle.paediatrics") / "norms" / name).read_text(encoding="utf-8")
    return iter(csv.DictReader(text.splitlines()))
