"""Age: read as hospitals write it, kept in days with its resolution.

A child's ECG changes within days of birth, so an age is never rounded: `3d` stays three days, and an age written in
whole years keeps the information that it may be off by up to a year. What can be read in two ways is refused.

A gestational age (`38+4`, weeks and days of the pregnancy) is no age after birth; `auricle.birth` reads those.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import Any, Final

from auricle.errors import DataError
from auricle.moments import plain_text
from auricle.numerals import UNSAID

DAYS_PER_YEAR: Final = 365.25
DAYS_PER_MONTH: Final = DAYS_PER_YEAR / 12
ADULT_DAYS: Final = 18 * DAYS_PER_YEAR
OLDEST_DAYS: Final = 130 * DAYS_PER_YEAR
# So much earlier than mean months and years those of the calendar may end, in days.
_OF_MONTHS, _OF_YEARS = 2.5, 0.8
_SHORTEST_MONTH: Final = 28.0
# Above "over 89" lie so many years at most; nobody's heart changes with them as a child's does.
_OVER_UNTIL_DAYS: Final = 105 * DAYS_PER_YEAR
FINEST_DAYS: Final = 1 / 24
# PTB-XL and other anonymised sets write 300 for "older than 89", a privacy code and not an age.
_ANONYMISED_YEARS: Final = 300


_UNITS: Final = {
    1 / 1440: ("min", "mins", "minute", "minutes", "minuten", "分钟", "分鐘"),
    1 / 24: ("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden", "小时", "小時", "时"),
    1.0: ("d", "day", "days", "tg", "tag", "tage", "tagen", "天", "日", "日龄", "天龄"),
    7.0: ("w", "wk", "wks", "week", "weeks", "wo", "woche", "wochen", "周", "周龄", "星期"),
    DAYS_PER_MONTH: (
        "m",
        "mo",
        "mos",
        "mon",
        "month",
        "months",
        "monat",
        "monate",
        "monaten",
        "月",
        "个月",
        "個月",
        "月龄",
    ),
    DAYS_PER_YEAR: ("y", "yr", "yrs", "yo", "year", "years", "j", "jahr", "jahre", "jahren", "岁", "歲", "周岁", "年"),
}
_UNIT_DAYS: Final = {unit: days for days, units in _UNITS.items() for unit in units}
# A comma is the decimal mark of one or two digits: "1,000" may be a thousand.
_NUMBER: Final = r"(?:[0-9]+(?:\.[0-9]+|,[0-9]{1,2}(?![0-9]))?|\.[0-9]+)"
# Longest first, or "周岁" (a year) would begin as "周" (a week); "y/o" and "d.o." say the unit and "old".
_UNIT: Final = "|".join(sorted(_UNIT_DAYS, key=len, reverse=True))
_PART: Final = re.compile(
    rf"(?P<number>{_NUMBER})[\s-]*(?P<unit>{_UNIT})(?:(?:/o|\.o\.?)(?![^\W\d_]))?(?![a-zäöüß])(?P<half>半)?"
    r"\.?(?:[\s-]*(?:old|alt|of\s+age)\b\.?)?[\s,]*(?:(?:and|und|零|又)\s*)?",
    re.IGNORECASE,
)
# 01.05 is rather a day of a month.
_BARE: Final = re.compile(rf"(?!0[0-9]+[.,])(?P<number>{_NUMBER})\.?")
_AT_LEAST: Final = re.compile(
    rf"(?:>=?|≥|over|older\s+than|über|älter\s+als)\s*(?P<first>{_NUMBER}.*)"
    rf"|(?P<second>{_NUMBER}[^+]*?)\s*(?:\+|以上|(?:and|or|und)\s+(?:over|older|above|älter))",
    re.IGNORECASE,
)
# Without zeros in front, which dates have.
_INTERVAL: Final = re.compile(
    rf"(?P<low>(?!0[0-9]){_NUMBER})\s*(?:-|to|bis|至)\s*(?P<high>(?!0[0-9]){_NUMBER})(?P<unit>\s*[^\W\d_]*\.?)",
    re.IGNORECASE,
)
_DAY_OF_LIFE: Final = re.compile(
    r"(?:dol|day\s+of\s+life|lebenstag|lt|(?:生后|出生后?)?第)\s*(?P<first>[0-9]+)(?:\s*[天日])?"
    r"|day\s*(?P<second>[0-9]+)\s+of\s+life|(?P<third>[0-9]+)\.?\s*(?:dol|day\s+of\s+life|lebenstag|lt)",
    re.IGNORECASE,
)
# As programs write a length of time (ISO 8601): P3M, P1Y6M.
_ISO: Final = re.compile(
    r"P(?=[0-9])(?:(?P<y>[0-9]+)Y)?(?:(?P<mo>[0-9]+)M)?(?:(?P<w>[0-9]+)W)?(?:(?P<d>[0-9]+)D)?", re.IGNORECASE
)
# "1.500 d" is one day and a half, or German for 1500; nobody writes the zeros of "1.5".
_THOUSAND: Final = re.compile(r"[1-9][0-9]{0,2}\.[0-9]00")
_AFTER_BIRTH: Final = re.compile(r"(?:生后|出生后?)\s*")
_MONTH_AND_DAY: Final = re.compile(r"[0-9]+月[0-9]+日")
GESTATION: Final = re.compile(
    r"(?:(?:ga|ssw|gestation(?:al\s+age)?|孕)\s*:?\s*)?"
    r"(?:(?P<weeks>[0-9]{2})(?:\s*(?:\+|周\s*\+?|w(?:(?:ee)?ks?)?\s*\+?|wochen\s*\+?|\s)\s*"
    r"(?P<days>[0-9])(?:\s*/\s*7)?\s*(?:d|days?|tage?|天)?)?|(?P<decimal>[0-9]{2}[.,][0-9]+)|(?P<all>[0-9]{3})\s*(?:d|days?|tage?|天))"
    r"\s*(?:w|wks?|weeks?|wochen|周)?\s*(?:ga|ssw|(?:of\s+)?gestation|pregnancy)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AgeBand:
    """Ages in [low_days, high_days)."""

    name: str
    low_days: float
    high_days: float

    def holds(self, days: Any) -> Any:
        """Whether an age in days, or each of an array of them, lies in the band; an unknown one (NaN) does not."""
        return (days >= self.low_days) & (days < self.high_days)


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


@dataclass(frozen=True, slots=True, init=False)
class Age:
    """An age in days and how finely it was known: the true age lies in [days, days + resolution_days).

    Args:
        days: a number of days, or text as people write it: `Age("3d")`, `Age("5y4m")`. A bare number in text is years.
        resolution_days: by default a day, or what the text says.

    Raises:
        DataError: fewer than 0 days, more than 130 years, not a finite number, a resolution that is none, or text that
            is or says no age.
    """

    days: float
    resolution_days: float

    def __init__(self, days: float | str, resolution_days: float | None = None) -> None:
        given = days
        if isinstance(days, str):
            written = _said(days)
            if written is None:
                raise DataError(f"{days!r} says no age: write 0d, 3wk, 5mo or 2.4yr, or leave the age out")
            days, resolution = written.days, written.resolution_days
        else:
            resolution = 1.0
        object.__setattr__(self, "days", days)
        object.__setattr__(self, "resolution_days", resolution if resolution_days is None else resolution_days)
        if not math.isfinite(self.days) or not 0 <= self.days <= OLDEST_DAYS:
            said = f"{given!r}" if isinstance(given, str) else f"{self.days:g} days"
            raise DataError(f"an age of {said} is not possible: give 0 days to 130 years")
        if not math.isfinite(self.resolution_days) or self.resolution_days < 0:
            raise DataError(
                f"an age known to {self.resolution_days:g} days is not possible: give a length of time, or 0"
            )

    @property
    def best_days(self) -> float:
        """Days to give to a model: the middle of the interval where it is longer than two months, else `days`."""
        return float(best_days(self.days, self.resolution_days))

    def agrees_with(self, other: Age) -> bool:
        """Whether both may stand for one and the same day."""
        # An age that is known exactly is a moment, and no empty interval.
        own, their = (max(one.resolution_days, FINEST_DAYS) for one in (self, other))
        slack = _calendar_days(max(own, their), min(own, their))
        return self.days < other.days + their + slack and other.days < self.days + own + slack

    def __str__(self) -> str:
        return describe(self.days)


def _calendar_days(coarse: float, fine: float) -> float:
    """So many days may months or years of the calendar differ from mean ones, where one age is known to a day.

    February ends 2.4 days before a mean month does; on a birthday a child of five has lived 1826 days, and five mean
    years are 1826.25, which only an age known to less than a day can tell.
    """
    if coarse >= DAYS_PER_YEAR / 2:
        return _OF_YEARS if fine < 1 else 0.0
    return _OF_MONTHS if coarse >= _SHORTEST_MONTH and fine <= 1 else 0.0


def best_days(days: Any, resolution_days: Any) -> Any:
    """`Age.best_days` of one age or of arrays of them, NaN where an age is unknown."""
    return days + resolution_days / 2 * (resolution_days > 2 * DAYS_PER_MONTH)


def describe(days: float) -> str:
    """An age in days as text in the unit usual at that age: `3 d`, `6 wk`, `16 mo`, `7.5 yr`."""
    if days < 14:
        return f"{round(days, 2):g} d"
    if days < 90:
        return f"{days / 7:.2g} wk"
    if days < 2 * DAYS_PER_YEAR:
        return f"{days / DAYS_PER_MONTH:.0f} mo"
    return f"{days / DAYS_PER_YEAR:.3g} yr"


def written(age: Age) -> str:
    """An age as text that says its resolution too: `parse` makes the same age of it, to a tenth of a second."""
    if age.resolution_days <= FINEST_DAYS:
        return f"{age.days:.6f} d"
    years = age.days / DAYS_PER_YEAR
    if years == round(years) and age.days >= ADULT_DAYS and age.resolution_days == _over(age.days) > DAYS_PER_YEAR:
        return f"{years:.0f}+"
    for unit, days in (("yr", DAYS_PER_YEAR), ("mo", DAYS_PER_MONTH), ("wk", 7.0), ("d", 1.0), ("h", 1 / 24)):
        for decimals in (0, 1, 2):
            number = f"{age.days / days:.{decimals}f}"
            exact = math.isclose(float(number) * days, age.days, rel_tol=1e-9, abs_tol=1e-6)
            # "0 yr" says nothing but that somebody is younger than one.
            says = float(number) > 0 or days < DAYS_PER_MONTH
            if exact and says and math.isclose(days / 10**decimals, age.resolution_days):
                return f"{number} {unit}"
    return f"{_plain_number(age.days)}-{_plain_number(age.days + age.resolution_days)} d"


def _plain_number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def parse(text: str | float | None) -> Age | None:
    """Read an age as people write it: `3d`, `16 mo`, `2.4 yr`, `5y4m`, `3 Jahre`, `3岁零6月`; a bare number is years.

    `45-50` is an interval; `>89` and `90+` (privacy codes) are at least that old. `DOL 12` and `12. Lebenstag` are the
    twelfth day of life, where the day of birth is day 1: 11 days; some call it day 0, so it may be 12, and the
    resolution is two days. `生后3天` counts days that have passed.

    Returns:
        The age, or None where it is unknown: empty, `nan`, `unknown`, the privacy code 300, or a bare year 0, which
        says "younger than one year" and not "newborn" (a warning tells so).

    Raises:
        DataError: a negative or impossible age, or text that is no age, such as a gestational age (`38+4`).
    """
    if is_unknown(text):
        return None
    age = _read(plain_text(text))
    if age is None:
        warnings.warn(
            "an age of 0 without a unit can be any day of the first year and is treated as unknown: write 0d or 5mo",
            stacklevel=2,
        )
    return age


def given(text: str | None) -> Age | None:
    """An age that a person gave as an option: None only where none was given.

    Raises:
        DataError: it is no age, or one that says nothing, such as 0 without a unit.
    """
    if text is None:
        return None
    age = _said(text)
    if age is None:
        raise DataError(f"--age {text!r} says no age: write 0d, 3wk, 5mo or 2.4yr, or leave it out")
    return age


def _said(text: str) -> Age | None:
    """The age in a text; None where it says none."""
    return None if is_unknown(text) else _read(plain_text(text))


def is_unknown(text: str | float | None) -> bool:
    """Whether a text says that the age is not known: empty, `nan`, `unknown` and the like, or the privacy code 300."""
    written = plain_text(text).casefold()
    return written in UNSAID or re.fullmatch(rf"{_ANONYMISED_YEARS}(?:\.0*)?", written) is not None


def _read(written: str) -> Age | None:
    """The age in a text that is not unknown; None for a year 0.

    Raises:
        DataError: it is none.
    """
    if re.match(r"-\s*[0-9.]", written):
        raise DataError(f"negative age {written!r}: give a number with a unit, such as 3d, 16mo or 2.4yr")
    if "+" in written and GESTATION.fullmatch(written):
        raise DataError(f"{written!r} is a gestational age and says nothing of the age after birth: write such as 3d")
    if match := _AT_LEAST.fullmatch(written):
        return _at_least(match["first"] or match["second"], written)
    if match := _INTERVAL.fullmatch(written):
        return _interval(match, written)
    if match := _DAY_OF_LIFE.fullmatch(written):
        day = int((match["first"] or match["second"] or match["third"])[:9])
        return Age(max(0.0, day - 1.0), 2.0)
    if match := _ISO.fullmatch(written):
        return _from_parts("".join(f"{number}{unit}" for unit, number in match.groupdict().items() if number))
    return _from_parts(written)


def _at_least(text: str, written: str) -> Age:
    age = _from_parts(text.strip())
    if age is None or age.days < ADULT_DAYS:
        raise DataError(
            f"{written!r} gives only the least age, which says too little of a child: write such as 3d or 5y4m"
        )
    return Age(age.days, _over(age.days))


def _over(days: float) -> float:
    """How many days the age of somebody may be above the least that is known."""
    return max(DAYS_PER_YEAR, _OVER_UNTIL_DAYS - days)


def _interval(match: re.Match[str], written: str) -> Age | None:
    unit = match["unit"].strip()
    low, high = (_from_parts(f"{match[end]} {unit}".strip()) for end in ("low", "high"))
    if high is None or (low is not None and high.days <= low.days):
        raise DataError(f"{written!r} is no interval of ages: write the younger age first, such as 45-50")
    return None if low is None else Age(low.days, high.days - low.days)


def _from_parts(written: str) -> Age | None:
    """An age of numbers with units from years down, or of one number of years; None for a year 0."""
    days, finest, position = 0.0, math.inf, 0
    number = ""
    if _MONTH_AND_DAY.fullmatch(written):
        raise DataError("the age may be a date: write for example 3d, 6wk, 16mo, 2.4yr or 5y4m")
    bare = _BARE.fullmatch(written)
    after_birth = _AFTER_BIRTH.match(written)
    if bare:
        written, position, number = "", 0, bare["number"].replace(",", ".")
        days, finest = float(number) * DAYS_PER_YEAR, DAYS_PER_YEAR * 10.0 ** -len(number.partition(".")[2].rstrip("0"))
        # "2.4" is known to a tenth of a year, as "2.4 yr" is; "62.0" is what programs make of 62.
        return Age(days, max(finest, 1.0)) if days else None
    position = after_birth.end() if after_birth else 0
    if position == len(written):
        raise _no_age(written)
    while position < len(written):
        match = _PART.match(written, position)
        size = _UNIT_DAYS[match["unit"].casefold()] if match else 0.0
        # Units fall, and only the last number has decimals: "4mo5y" and "2.5y3m" may be slips.
        if match is None or size >= finest or "." in number:
            raise _no_age(written)
        if size <= 1.0 and _THOUSAND.fullmatch(match["number"]):
            raise DataError(f"{written!r} may be a number of thousands: write such as 1500 d or 1.5 d")
        number = match["number"].replace(",", ".") + (".5" if match["half"] else "")
        if number.count(".") > 1:
            raise _no_age(written)
        days += float(number) * size
        # "2.4 yr" is known to a tenth of a year, "5y4m" to a month, "3d" to a day.
        finest = size * (0.5 if match["half"] else 10.0 ** -len(number.partition(".")[2]))
        position = match.end()
    if days == 0 and finest >= DAYS_PER_YEAR / 2:
        return None
    return Age(days, max(finest, FINEST_DAYS))


def _no_age(written: str) -> DataError:
    return DataError(f"{written!r} is not an age: write for example 3d, 6wk, 16mo, 2.4yr or 5y4m")
