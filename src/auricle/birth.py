"""What a birth says of an age: its date beside that of a recording, and the weeks of the pregnancy.

A gestational age corrects the age after birth of children who were born before 37 weeks (American Academy of
Pediatrics, Pediatrics 2004;114:1362).
"""

from __future__ import annotations

import math
from datetime import date
from typing import Final

from auricle.age import DAYS_PER_YEAR, FINEST_DAYS, GESTATION, Age
from auricle.errors import DataError
from auricle.moments import moment, plain_text

TERM_DAYS: Final = 40 * 7.0
# Programs that must write a date of birth and have none write 1900-01-01, the first day of their calendar and the like.
_OLDEST_BY_DATES: Final = 110 * DAYS_PER_YEAR
_PLACEHOLDERS: Final = frozenset(
    date(*parts) for parts in ((1, 1, 1), (1753, 1, 1), (1800, 1, 1), (1899, 12, 30), (1900, 1, 1), (1901, 1, 1))
)
_GESTATION_WEEKS: Final = (20, 45)
_PRETERM_DAYS: Final = 37 * 7
_CORRECTED_UNTIL_DAYS: Final = 2 * DAYS_PER_YEAR


def parse_gestation(text: str) -> float:
    """Days of the pregnancy at birth, from `30+2` (weeks and days), `30 2/7`, `30w2d`, `30 wk`, `30周2天`, `SSW 30+2`.

    Raises:
        DataError: no such text, or outside of 20 to 45 weeks.
    """
    match = GESTATION.fullmatch(plain_text(text))
    days = math.nan
    if match and match["decimal"]:
        days = 7 * float(match["decimal"].replace(",", "."))
    elif match and match["all"]:
        days = float(match["all"])
    elif match and int(match["days"] or 0) < 7:
        days = 7.0 * int(match["weeks"]) + int(match["days"] or 0)
    first, last = _GESTATION_WEEKS
    if not 7 * first <= days <= 7 * last:
        raise DataError(f"no gestational age: write weeks and days such as 30+2, from {first}+0 to {last}+0")
    return days


def given_gestation(text: str | None) -> float | None:
    """Days of the pregnancy at birth that a person gave as an option; None where none was given.

    Raises:
        DataError: it is none.
    """
    return None if text is None else parse_gestation(text)


def describe_gestation(days: float) -> str:
    """Days of gestation as whole weeks and days: `30+2`."""
    weeks, rest = divmod(round(days), 7)
    return f"{weeks}+{rest}"


def correction_days(age: Age, gestation_days: float | None) -> float:
    """Days to take off an age after birth so that it counts from 40 weeks of gestation; 0 where that is not done.

    It is done of children born before 37 weeks who are younger than two years. Source: American Academy of Pediatrics,
    Age terminology during the perinatal period, Pediatrics 2004;114:1362 (which speaks of corrected ages up to three
    years; two is the custom of growth charts and of follow-up).
    """
    if gestation_days is None or gestation_days >= _PRETERM_DAYS or age.days >= _CORRECTED_UNTIL_DAYS:
        return 0.0
    return TERM_DAYS - gestation_days


def corrected(age: Age, gestation_days: float | None) -> Age | None:
    """An age corrected by `correction_days`; None where it lies before term, of which no norms are known."""
    days = age.days - correction_days(age, gestation_days)
    return None if days < 0 else Age(days, age.resolution_days)


def by_dates(birth: str | date, recording: str | date) -> Age | None:
    """`between`, but None where the date of birth is what programs write that must write one and have none.

    Args:
        birth, recording: dates or times, or text of them.

    Raises:
        DataError: a date cannot be read or may mean two days, or the recording lies before the birth.
    """
    is_placeholder = moment(birth)[0].date() in _PLACEHOLDERS
    try:
        age = between(birth, recording)
    except DataError as error:
        if is_placeholder and "not possible" in str(error):  # older than anybody
            return None
        raise
    return None if is_placeholder or age.days > _OLDEST_BY_DATES else age


def between(birth: str | date, recording: str | date) -> Age:
    """The age at a recording, from two dates or times.

    A date is any moment of its day: with a time on the other side the age is known to a day, with two times to an hour,
    and two dates are a whole number of days apart. Midnight is what programs write of dates, and is one. Times with
    zones are compared across zones.

    Args:
        birth: date or datetime, or text: `2024-05-31`, `2024-05-31T14:20+02:00`, `2024/05/31`, `20240531`,
            `31.05.2024` or `2024年5月31日`.
        recording: of the same forms.

    Raises:
        DataError: a date cannot be read or may mean two days, one time has a zone and the other none, or the recording
            lies before the birth.
    """
    (born, born_exact), (recorded, recorded_exact) = moment(birth), moment(recording)
    exact = born_exact and recorded_exact
    if exact and (born.tzinfo is None) != (recorded.tzinfo is None):
        raise DataError("one of birth and recording has a time zone and the other none: give both or neither")
    if born.tzinfo is None or recorded.tzinfo is None:  # a date is that of the place where it was written
        born, recorded = born.replace(tzinfo=None), recorded.replace(tzinfo=None)
    days = (recorded - born).total_seconds() / 86_400
    # The end of a day on which something was at no known time.
    if days < 0 and days + (0.0 if recorded_exact else 1.0) <= 0:
        raise DataError("the recording is before the birth: negative age")
    if recorded_exact and not born_exact:
        days -= 1.0
    return Age(max(0.0, days), FINEST_DAYS if exact else 1.0)
