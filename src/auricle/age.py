"""Age: read as hospitals write it, kept in days with its resolution.

A child's ECG changes within days of birth, so an age is never rounded: `3d` stays three days, and an age written in
whole years keeps the information that it may be off by up to a year.
"""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from auricle.errors import DataError

DAYS_PER_YEAR: Final = 365.25
DAYS_PER_MONTH: Final = DAYS_PER_YEAR / 12
ADULT_DAYS: Final = 18 * DAYS_PER_YEAR
_OLDEST_DAYS: Final = 130 * DAYS_PER_YEAR
# PTB-XL and other anonymised sets write 300 for "older than 89", a privacy code and not an age.
_ANONYMISED_YEARS: Final = 300
_TERM_DAYS, _PRETERM_DAYS = 280.0, 259.0

_YEAR, _MONTH, _WEEK, _DAY, _HOUR = DAYS_PER_YEAR, DAYS_PER_MONTH, 7.0, 1.0, 1 / 24
_SPELLINGS: Final = {
    _HOUR: "h hr hrs hour hours std stunde stunden 小时 时",
    _DAY: "d day days tag tage tagen tg 天 日",
    _WEEK: "w wk wks week weeks woche wochen wo 周 星期",
    _MONTH: "m mo mos month months monat monate monaten mon 月 个月 月龄",
    _YEAR: "y yr yrs year years jahr jahre jahren j 岁 周岁 年",
}
_UNIT_DAYS: Final = {word: days for days, words in _SPELLINGS.items() for word in words.split()}
# Longest first, so that a unit is not read as the beginning of another.
_CHINESE: Final = "|".join(sorted((word for word in _UNIT_DAYS if not word.isascii()), key=len, reverse=True))
_NUMBER: Final = r"\d+(?:[.,]\d+)?"
_BARE: Final = re.compile(_NUMBER)
_PART: Final = re.compile(
    rf"({_NUMBER})\s*([a-z]+|{_CHINESE})\.?\s*(?:old\b|alt\b)?[\s,零又]*(?:and\b|und\b)?\s*", re.I
)
_OVER: Final = re.compile(r"(?:>=?|≥|over\s)\s*(\d+)\s*([a-z]*|岁)|(\d+)\s*\+\s*([a-z]*|岁)", re.I)
_INTERVAL: Final = re.compile(r"(\d+)\s*[-–]\s*(\d+)\s*([a-z]*|岁)", re.I)
_DAY_OF_LIFE: Final = re.compile(r"(?:dol|day of life)\s*(\d+)|(\d+)\s*(?:dol|days? of life)", re.I)
_GESTATION: Final = re.compile(r"(\d{2})\s*(?:\+|w(?:ee)?k?s?\s*)\s*([0-6])\s*d?(?:ays?)?", re.I)
_GESTATION_WEEKS: Final = re.compile(r"(\d{2}(?:[.,]\d)?)\s*(?:w|wk|wks|weeks?|ssw|周)?", re.I)
_UNKNOWN: Final = frozenset({"", "nan", "none", "null", "unknown", "unbekannt", "n/a", "na", "?", "未知", "不详"})
# Above "over 89" lie so many years at most; nobody's heart changes with them as a child's does.
_OVER_UNTIL_DAYS: Final = 105 * DAYS_PER_YEAR


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
    """Read an age as people write it: `3d`, `16 mo`, `2.4 yr`, `5y4m`, `7 岁`, `3 Wochen`; a bare number is years.

    `>89` and `90+` are at least so old, `45-50` is anywhere between; `12 DOL` is the twelfth day of life, which begins
    at 11 or, where the day of birth is called 0, at 12 days. DICOM's `003D` and a decimal comma are read.

    Returns:
        The age, or None where it is unknown: empty, `nan`, `unknown`, the privacy code 300, or a bare year 0, which
        says "younger than one year" and not "newborn" (a warning tells so).

    Raises:
        DataError: a negative or impossible age, a gestational age, or text that is no age.
    """
    if text is None:
        return None
    written = unicodedata.normalize("NFKC", str(text)).strip()  # full-width digits are digits
    if written.casefold() in _UNKNOWN:
        return None
    if written.startswith(("-", "\N{MINUS SIGN}")):
        raise DataError(f"negative age {written!r}: give a number with a unit, such as 3d, 16mo or 2.4yr")
    if _BARE.fullmatch(written):
        number = written.replace(",", ".")
        return _from_bare_years(float(number), len(number.partition(".")[2].rstrip("0")))
    if _GESTATION.fullmatch(written) and "+" in written:
        raise DataError(f"{written!r} is a gestational age, in weeks and days; the age counts from birth, as in 3d")
    for form, read in ((_OVER, _from_over), (_INTERVAL, _from_interval), (_DAY_OF_LIFE, _from_day_of_life)):
        match = form.fullmatch(written)
        if match is not None:
            return read(written, [group or "" for group in match.groups()])
    return _from_parts(written)


def given(text: str | None) -> Age | None:
    """An age that a person gave as an option: None only where none was given.

    Raises:
        DataError: it is no age, or one that says nothing, such as 0 without a unit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says it
        age = parse(text)
    if text is not None and age is None:
        raise DataError(f"--age {text!r} says no age: write 0d, 3wk, 5mo or 2.4yr, or leave it out")
    return age


def _from_bare_years(years: float, decimals: int = 0) -> Age | None:
    if years == _ANONYMISED_YEARS:
        return None
    if years == 0:
        warnings.warn(
            "an age of 0 without a unit can be any day of the first year and is treated as unknown: write 0d or 5mo",
            stacklevel=3,
        )
        return None
    # "2.4" is known to a tenth of a year, as "2.4 yr" is.
    return Age(years * DAYS_PER_YEAR, max(DAYS_PER_YEAR * 10.0**-decimals, 1.0))


def _from_over(written: str, groups: list[str]) -> Age:
    years = _years_only(written, groups[0] or groups[2], groups[1] or groups[3])
    days = years * DAYS_PER_YEAR
    return Age(days, max(DAYS_PER_YEAR, _OVER_UNTIL_DAYS - days))


def _from_interval(written: str, groups: list[str]) -> Age:
    low, high = (_years_only(written, number, groups[2]) for number in groups[:2])
    if low >= high:
        raise DataError(f"{written!r} is no interval of ages: write the lower one first")
    return Age(low * DAYS_PER_YEAR, (high - low) * DAYS_PER_YEAR)


def _years_only(written: str, number: str, unit: str) -> int:
    if unit and _UNIT_DAYS.get(unit.casefold()) != DAYS_PER_YEAR:
        raise DataError(f"{written!r}: only years may be open or an interval; write for example 3d, 6wk or 16mo")
    return int(number)


def _from_day_of_life(written: str, groups: list[str]) -> Age:
    del written
    return Age(max(0.0, float(groups[0] or groups[1]) - 1), 2.0)


def _from_parts(written: str) -> Age | None:
    rest = re.sub(r"^(?:出生后|生后|年龄)\s*", "", written)
    days, finest, finest_unit, position = 0.0, math.inf, math.inf, 0
    while position < len(rest):
        match = _PART.match(rest, position)
        unit = match.group(2).casefold() if match else ""
        # A unit comes once, the longer ones first: "3d 4d" or "4mo 2y" is a slip of the pen.
        if match is None or unit not in _UNIT_DAYS or _UNIT_DAYS[unit] >= finest_unit:
            raise DataError(f"{written!r} is not an age: write for example 3d, 6wk, 16mo, 2.4yr or 5y4m")
        number, finest_unit = match.group(1).replace(",", "."), _UNIT_DAYS[unit]
        days += float(number) * finest_unit
        # "2.4 yr" is known to a tenth of a year, "5y4m" to a month, "3d" to a day.
        decimals = len(number.partition(".")[2])
        finest = min(finest, finest_unit * 10.0**-decimals)
        position = match.end()
    if days == 0 and finest >= DAYS_PER_YEAR:
        return _from_bare_years(0)
    return Age(days, max(finest, 1 / 24))


def parse_gestation(text: str) -> float:
    """Days of gestation at birth from `30+2`, `30w2d`, `30 wk` or a bare number of weeks.

    Raises:
        DataError: it is none, or not of a child that lives (20 to 45 weeks).
    """
    written = unicodedata.normalize("NFKC", text).strip()
    both, weeks = _GESTATION.fullmatch(written), _GESTATION_WEEKS.fullmatch(written)
    if both is not None:
        days = 7.0 * int(both.group(1)) + int(both.group(2))
    elif weeks is not None:
        days = 7.0 * float(weeks.group(1).replace(",", "."))
    else:
        raise DataError(f"{text!r} is no gestational age: write weeks and days, as in 30+2")
    if not 20 * 7 <= days <= 45 * 7:
        raise DataError(f"a gestational age of {days / 7:.3g} weeks is not possible: give weeks and days, as in 30+2")
    return days


def corrected(age: Age, gestation_days: float | None) -> Age | None:
    """The age from term of a child born before 37 weeks, up to its second birthday; the age itself for all others.

    Source: American Academy of Pediatrics, Pediatrics 2004;114:1362 (corrected age: chronological age less the weeks
    born before 40 weeks of gestation; used up to three years, here up to two).

    Returns:
        None before term, where no limits of children born at term apply.
    """
    if gestation_days is None or gestation_days >= _PRETERM_DAYS or age.days >= 2 * DAYS_PER_YEAR:
        return age
    days = age.days - (_TERM_DAYS - gestation_days)
    return Age(days, age.resolution_days) if days >= 0 else None


def between(birth: str | date, recording: str | date) -> Age:
    """The age at a recording, from two dates or times.

    A date is any moment of its day: with a time on the other side the age is known to a day, with two times to an hour,
    and two dates are a whole number of days apart. Times with zones are compared across zones.

    Args:
        birth: date or datetime, or text: `2024-05-31`, `2024-05-31T14:20+02:00`, `2024/05/31`, `20240531` or
            `31.05.2024`.
        recording: of the same forms.

    Raises:
        DataError: a date cannot be read or may mean two days, one time has a zone and the other none, or the recording
            lies before the birth.
    """
    (born, born_exact), (recorded, recorded_exact) = _moment(birth), _moment(recording)
    if born_exact and recorded_exact and (born.tzinfo is None) != (recorded.tzinfo is None):
        raise DataError("one of birth and recording has a time zone and the other none: give both or neither")
    if born.tzinfo is None or recorded.tzinfo is None:
        born, recorded = born.replace(tzinfo=None), recorded.replace(tzinfo=None)
    days = (recorded - born).total_seconds() / 86_400
    # The end of a day on which something was at no known time.
    if days + (0.0 if recorded_exact else 1.0) <= 0 and days < 0:
        raise DataError("the recording is before the birth: negative age")
    if born_exact and recorded_exact:
        return Age(days, 1 / 24)
    if recorded_exact:
        days -= 1.0
    return Age(max(0.0, days), 1.0)


_ISO_LIKE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?|\d{8}(?:T.*)?")


def _moment(value: str | date) -> tuple[datetime, bool]:
    """A moment, and whether its time of day is known; else it is the beginning of its day."""
    if isinstance(value, datetime):
        return value, True
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day), False
    written = value.strip()
    written = re.sub(r"^(\d{4})/(\d{1,2})/(\d{1,2})", r"\1-\2-\3", written)
    written = re.sub(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})", r"\3-\2-\1", written)  # the German order, by its dots
    written = re.sub(r"^(\d{4})-(\d{1,2})-(\d{1,2})", lambda m: f"{m[1]}-{int(m[2]):02}-{int(m[3]):02}", written)
    if re.fullmatch(r"\d{4,6}(?:\.\d+)?", written):
        raise DataError("a date is a bare number, as a spreadsheet counts days: format the column as 2024-05-31")
    if re.match(r"\d{1,2}/\d{1,2}/", written):
        raise DataError("a date with slashes may be day/month or month/day: write it as 2024-05-31")
    try:
        if not _ISO_LIKE.fullmatch(written):
            raise ValueError
        return datetime.fromisoformat(written), len(written) > len("2024-05-31")
    except ValueError:
        raise DataError("a date cannot be read: write it as 2024-05-31 or 2024-05-31T14:20") from None
