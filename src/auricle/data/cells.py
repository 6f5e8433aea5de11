"""What the cells of a hospital's table say: ages and dates, sexes, gestations, labels, numbers.

A message never repeats its cell, which may hold a name by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from auricle import age as ages
from auricle import birth as births
from auricle.age import Age
from auricle.errors import DataError
from auricle.io.header_comments import sex_of
from auricle.numerals import UNKNOWN, UNSAID, Mark, read_number
from auricle.recording import NO_CLASS, Sex

TOO_OLD: Final = "the age is not possible: more than 130 years"
_NO_SEX: Final = UNSAID | {"u", "other", "o", "x"}
_NO_LABELS: Final = frozenset((name,) for name in ("nan", "NaN", "NAN", "null", "NULL", "<NA>"))
# A blank belongs to a label, and so may a slash (LAO/LAE of PTB-XL).
_NO_SEPARATORS: Final = frozenset(",|[]{}'\"，、；｜“”„\\\t\r\n")
# 4.26783E+08 of a spreadsheet, 426783006.0 of a table that knew numbers only.
_ROUNDED: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+|[0-9]+\.0*")


def age_of(cell: Callable[[str], str], mark: Mark = "") -> Age | None:
    """`written_age`, whose messages say how to write an age.

    Raises:
        DataError: not an age or a date, or a negative age.
    """
    try:
        return written_age(cell, mark)
    except DataError as error:
        if "negative age" in str(error):
            raise DataError("negative age: the dates or numbers are wrong") from None
        if "not possible" in str(error):
            raise DataError(TOO_OLD) from None
        if cell("birth_date"):
            raise DataError(f"the age from dates: {error}") from None  # which repeat no cell
        raise DataError("the age cannot be read: write 3d, 6wk, 16mo, 2.4yr or 5y4m") from None


def written_age(cell: Callable[[str], str], mark: Mark = "") -> Age | None:
    """The age of a row, from its age, its days or its two dates; None where none of them is filled in.

    Args:
        cell: the text of a column of the row, by name.
        mark: what the table proves about decimals (`auricle.numerals`).

    Raises:
        DataError: not an age or a date, or a negative age.
    """
    if cell("birth_date") and cell("recording_date"):
        return births.by_dates(cell("birth_date"), cell("recording_date"))
    if cell("age_days").casefold() not in UNKNOWN:
        days = number_of(cell("age_days"), "age_days", mark)
        if days < 0:
            raise DataError(f"negative age {days:g}: age_days counts from birth")
        return Age(days)
    return ages.parse(cell("age") or cell("age_years"))


def is_no_birth(born: str, recorded: str) -> bool:
    """Whether a date of birth is a placeholder that gives no age; False for what is no date or one before the birth."""
    try:
        return bool(born and recorded) and births.by_dates(born, recorded) is None
    except DataError:
        return False


def lies_ahead(written: str) -> bool:
    """Whether a date is later than tomorrow, which has begun elsewhere; False for what is no date."""
    try:
        births.between(written, date.today() + timedelta(days=1))
    except DataError as error:
        return "negative age" in str(error)
    return False


def patient_of(text: str) -> str | None:
    """The patient of a cell; None where it is empty or stands for nobody in particular, who would join strangers."""
    return None if text.casefold() in UNSAID else text


def sex_of_cell(text: str) -> Sex | None:
    """The sex of a cell; None where it says that it is unknown.

    Raises:
        DataError: something else, a code like 1 among it; the message never repeats the cell.
    """
    sex = sex_of(text)
    if sex is None and text.casefold() not in _NO_SEX:
        raise DataError("sex should be F, M or empty; of a code like 1 or 0 write which it means")
    return sex


def gestation_of(text: str) -> float | None:
    """Days of gestation of a cell; None where it is empty.

    Raises:
        DataError: it is none.
    """
    try:
        return births.parse_gestation(text) if text else None
    except DataError:
        raise DataError(
            "the gestational age cannot be read: write weeks and days, as in 30+2 (20 to 45 weeks)"
        ) from None


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of a cell; none where it is empty or says `nan`, which a program writes into an empty cell.

    Raises:
        DataError: `None`, which may mean two things, or labels that are separated otherwise, written as a list of a
            programming language, or rounded numbers.
    """
    labels = tuple(label.strip() for label in text.split(";") if label.strip())
    if labels in _NO_LABELS:
        return ()
    for label in labels:
        if label.casefold() == NO_CLASS and label != NO_CLASS:
            raise DataError(
                "labels say None, which may mean that nothing is known (leave the cell empty) or that none of the "
                f"classes is there (write {NO_CLASS} in small letters)"
            )
        if _ROUNDED.fullmatch(label):
            raise DataError("labels hold a code that a spreadsheet has rounded: format the column as text")
        if set(label) & _NO_SEPARATORS:
            raise DataError("labels are separated by ; alone, without commas, bars, brackets and quotation marks")
    return labels


def number_of(text: str, what: str, mark: Mark = "") -> float:
    """The number of a cell.

    Raises:
        DataError: it is none, or its mark may be of thousands or decimals; the message begins with `what`.
    """
    try:
        return read_number(text, mark)
    except DataError as error:
        raise DataError(f"{what} {error}") from None


def whole_number_of(text: str, what: str, mark: Mark = "") -> int | None:
    """The whole number of a cell; None where it says that there is none.

    Raises:
        DataError: something else; the message begins with `what`.
    """
    if text.casefold() in UNKNOWN:
        return None
    number = number_of(text, what, mark)
    if number != int(number):
        raise DataError(f"{what} should be a whole number")
    return int(number)
