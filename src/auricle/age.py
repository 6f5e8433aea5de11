"""Age: read as hospitals write it, kept in days with its resolution, coded as a number in [0, 1] for models.

A child's ECG changes within days of birth, so an age is never rounded: `3d` stays three days, and an age written in
whole years keeps the information that it may be off by up to a year.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from auricle.errors import DataError

DAYS_PER_YEAR: Final = 365.25
DAYS_PER_MONTH: Final = DAYS_PER_YEAR / 12
ADULT_DAYS: Final = 18 * DAYS_PER_YEAR
_OLDEST_DAYS: Final = 130 * DAYS_PER_YEAR
# PTB-XL and other anonymised sets write 300 for "older than 89", a privacy code and not an age.
_ANONYMISED_YEARS: Final = 300

AgeCode = Literal["linear", "log", "log_month"]

_UNIT_DAYS: Final = {
    "h": 1 / 24, "hr": 1 / 24, "hrs": 1 / 24, "hour": 1 / 24, "hours": 1 / 24,
    "d": 1.0, "day": 1.0, "days": 1.0,
    "w": 7.0, "wk": 7.0, "wks": 7.0, "week": 7.0, "weeks": 7.0,
    "m": DAYS_PER_MONTH, "mo": DAYS_PER_MONTH, "mos": DAYS_PER_MONTH, "month": DAYS_PER_MONTH,
    "months": DAYS_PER_MONTH,
    "y": DAYS_PER_YEAR, "yr": DAYS_PER_YEAR, "yrs": DAYS_PER_YEAR, "year": DAYS_PER_YEAR, "years": DAYS_PER_YEAR,
    "岁": DAYS_PER_YEAR, "月": DAYS_PER_MONTH, "个月": DAYS_PER_MONTH, "周": 7.0, "天": 1.0,
}  # fmt: skip
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+|个月|[岁月周天])\s*(?:old\b)?[\s,]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AgeBand:
    """Ages in [low_days, high_days)."""

    name: str
    low_days: float
    high_days: float


# The heart changes within days of birth, then within months, then over years: no band of childhood mixes two of these.
# Bounds are those of the tables of limits (Davignon 1979, Rijnbeek 2001), which end at 16 years.
AGE_BANDS: Final = (
    AgeBand("0-3 d", 0.0, 3.0),
    AgeBand("3-30 d", 3.0, DAYS_PER_MONTH),
    AgeBand("1-3 mo", DAYS_PER_MONTH, 3 * DAYS_PER_MONTH),
    AgeBand("3-12 mo", 3 * DAYS_PER_MONTH, DAYS_PER_YEAR),
    AgeBand("1-3 yr", DAYS_PER_YEAR, 3 * DAYS_PER_YEAR),
    AgeBand("3-8 yr", 3 * DAYS_PER_YEAR, 8 * DAYS_PER_YEAR),
    AgeBand("8-16 yr", 8 * DAYS_PER_YEAR, 16 * DAYS_PER_YEAR),
    AgeBand("16-40 yr", 16 * DAYS_PER_YEAR, 40 * DAYS_PER_YEAR),
    AgeBand("40-65 yr", 40 * DAYS_PER_YEAR, 65 * DAYS_PER_YEAR),
    AgeBand("65+ yr", 65 * DAYS_PER_YEAR, math.inf),
)


@dataclass(frozen=True, slots=True)
class Age:
    """An age in days and how finely it was known: the true age lies in [days, days + resolution_days).

    Raises:
        DataError: fewer than 0 days, more than 130 years, or not a finite number.
    """

    days: float
    resolution_days: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.days) or not 0 <= self.days <= _OLDEST_DAYS:
            raise DataError(f"an age of {self.days:g} days is not possible: give 0 days to 130 years")

    @property
    def best_days(self) -> float:
        """Days to give to a model: the middle of the interval where it is longer than two months, else `days`."""
        return self.days + (self.resolution_days / 2 if self.resolution_days > 2 * DAYS_PER_MONTH else 0.0)

    def __str__(self) -> str:
        return describe(self.days)


def describe(days: float) -> str:
    """An age in days as text in the unit usual at that age: `3 d`, `6 wk`, `16 mo`, `7.5 yr`."""
    if days < 14:
        return f"{round(days, 2):g} d"
    if days < 90:
        return f"{days / 7:.2g} wk"
    if days < 2 * DAYS_PER_YEAR:
        return f"{days / DAYS_PER_MONTH:.0f} mo"
    return f"{days / DAYS_PER_YEAR:.3g} yr"


def parse(text: str | float | None) -> Age | None:
    """Read an age as people write it: `3d`, `16 mo`, `2.4 yr`, `5y4m`, `7 岁`; a bare number is years.

    Returns:
        The age, or None where it is unknown: empty, `nan`, `unknown`, the privacy code 300, or a bare year 0, which
        says "younger than one year" and not "newborn" (a warning tells so).

    Raises:
        DataError: a negative or impossible age, or text that is no age.
    """
    if text is None:
        return None
    written = str(text).strip()
    if written.casefold() in {"", "nan", "none", "null", "unknown", "n/a", "na", "?"}:
        return None
    if written.startswith("-"):
        raise DataError(f"negative age {written!r}: give a number with a unit, such as 3d, 16mo or 2.4yr")
    try:
        return _from_bare_years(float(written), len(written.partition(".")[2].rstrip("0")))
    except ValueError:
        pass
    return _from_parts(written)


def _from_bare_years(years: float, decimals: int = 0) -> Age | None:
    if math.isnan(years) or years == _ANONYMISED_YEARS:
        return None
    if years == 0:
        warnings.warn(
            "an age of 0 without a unit can be any day of the first year and is treated as unknown: write 0d or 5mo",
            stacklevel=3,
        )
        return None
    # "2.4" is known to a tenth of a year, as "2.4 yr" is.
    return Age(years * DAYS_PER_YEAR, max(DAYS_PER_YEAR * 10.0**-decimals, 1.0))


def _from_parts(written: str) -> Age | None:
    days, finest, position = 0.0, math.inf, 0
    while position < len(written):
        match = _PART.match(written, position)
        unit = match.group(2).casefold() if match else ""
        if match is None or unit not in _UNIT_DAYS:
            raise DataError(f"{written!r} is not an age: write for example 3d, 6wk, 16mo, 2.4yr or 5y4m")
        number = match.group(1)
        days += float(number) * _UNIT_DAYS[unit]
        # "2.4 yr" is known to a tenth of a year, "5y4m" to a month, "3d" to a day.
        decimals = len(number.partition(".")[2])
        finest = min(finest, _UNIT_DAYS[unit] * 10.0**-decimals)
        position = match.end()
    if days == 0 and finest >= DAYS_PER_YEAR:
        return _from_bare_years(0)
    return Age(days, max(finest, 1 / 24))


def between(birth: str | date, recording: str | date) -> Age:
    """The age at a recording, from two dates (ISO text or date objects; times of day are used where both have them).

    Raises:
        DataError: a date cannot be read, or the recording lies before the birth.
    """
    born, recorded = _moment(birth), _moment(recording)
    days = (recorded - born).total_seconds() / 86_400
    if days < 0:
        raise DataError(f"the recording ({recorded.date()}) is before the birth ({born.date()}): negative age")
    return Age(days, 1.0)


def _moment(value: str | date) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(value.strip()).replace(tzinfo=None)
    except ValueError as error:
        raise DataError(f"{value!r} is not a date: write it as 2024-05-31 or 2024-05-31T14:20") from error


def code(days: Float[Tensor, "*batch"], kind: AgeCode = "log_month") -> Float[Tensor, "*batch"]:
    """Age in days as a number in [0, 1], which the age gate reads (LISA proposal 3.4). NaN (unknown) stays NaN.

    Args:
        days: of any shape; ages from 18 years on all give 1.
        kind: `linear`, the proposal's days over 18 years; `log`, from log(1 + d), two fifths of whose range are the
            first month; `log_month`, from log(1 + d / 30), whose range is spread over weeks, months and years.

    Raises:
        DataError: an unknown kind.
    """
    if kind == "linear":
        coded = days / ADULT_DAYS
    elif kind == "log":
        coded = torch.log1p(days) / math.log1p(ADULT_DAYS)
    elif kind == "log_month":
        coded = torch.log1p(days / 30) / math.log1p(ADULT_DAYS / 30)
    else:
        raise DataError(f"unknown age code {kind!r}: linear, log or log_month")
    return coded.clamp(0, 1)
