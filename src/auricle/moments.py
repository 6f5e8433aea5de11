"""Dates and times as hospitals write them: read where they can mean one day alone."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta, timezone
from typing import Final

from auricle.errors import DataError

_CLOCK: Final = r"(?P<hour>[0-9]{2}|[0-9](?=:))(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,][0-9]+)?)?)?"
_DATE: Final = re.compile(
    r"(?:(?P<y1>[0-9]{4})(?P<m1>[0-9]{2})(?P<d1>[0-9]{2})(?:(?=[0-9]{4,6}(?![0-9]))|(?![0-9]))"
    r"|(?P<y2>[0-9]{4})(?P<mark>[-/.])(?P<m2>[0-9]{1,2})(?P=mark)(?P<d2>[0-9]{1,2})(?![0-9])"
    r"|(?P<y3>[0-9]{4})年(?P<m3>[0-9]{1,2})月(?P<d3>[0-9]{1,2})日"
    r"|(?P<d4>[0-9]{1,2})\.(?P<m4>[0-9]{1,2})\.(?P<y4>[0-9]{4})(?![0-9]))"
    rf"(?:(?:T|,?\s+)?{_CLOCK}\s*(?P<zone>Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?)?",
    re.IGNORECASE,
)
_SERIAL: Final = re.compile(r"[0-9]{5}(?:[.,][0-9]+)?")
# Full-width forms, and every dash that stands for a minus or "to". No wider normalising: it would read 3² as 32.
_PLAIN: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: " ", **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212, 0xFF0D), "-"),
}  # fmt: skip


def plain_text(text: str | float | None) -> str:
    """Text with plain digits, blanks and signs; a number in digits, without the exponent that Python may write."""
    if isinstance(text, float) and math.isfinite(text):
        text = f"{text:.9f}".rstrip("0").rstrip(".") if abs(text) < 1e6 else "an impossible number"
    return "" if text is None else str(text).translate(_PLAIN).strip()


def local_moment(text: str) -> str | None:
    """A date, or a moment in local time, as `2024-05-31` or `2024-05-31T14:20:05`; None where a text is none.

    Args:
        text: of the forms of `moment`; a zone is left out.
    """
    try:
        at, exact = moment(text)
    except DataError:
        return None
    return at.replace(tzinfo=None).isoformat(timespec="seconds") if exact else at.date().isoformat()


def moment(value: str | date) -> tuple[datetime, bool]:
    """A moment, and whether its time of day is known; else it is the beginning of its day.

    Args:
        value: date or datetime, or text: `2024-05-31`, `2024-05-31T14:20+02:00`, `2024/05/31`, `20240531`,
            `31.05.2024` or `2024年5月31日`. Midnight is what programs write of dates, and is one.

    Raises:
        DataError: a text that is no date, or that may mean two days.
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day), False
    at = value if isinstance(value, datetime) else _written_moment(plain_text(value))
    return at, (at.hour, at.minute, at.second) != (0, 0, 0)


def _written_moment(text: str) -> datetime:
    match = _DATE.fullmatch(text)
    if match is None:
        if _SERIAL.fullmatch(text):
            raise DataError(
                "a date is a bare number, as a spreadsheet counts days (Excel): format the column as 2024-05-31"
            )
        if re.match(r"[0-9]{1,2}/[0-9]{1,2}/", text):
            raise DataError("a date with slashes may be day/month or month/day: write it as 2024-05-31")
        raise DataError("a date cannot be read: write it as 2024-05-31 or 2024-05-31T14:20")
    year, month, day = (next(match[f"{part}{form}"] for form in "1234" if match[f"{part}{form}"]) for part in "ymd")
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    try:
        at = datetime(int(year), int(month), int(day), hour, minute, second)
    except ValueError:
        raise DataError("a date cannot be read, the calendar has none such: write it as 2024-05-31") from None
    zone = (match["zone"] or "").upper()
    if not zone:
        return at
    digits = zone.replace(":", "")
    east = timedelta() if zone == "Z" else timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5] or 0))
    if east >= timedelta(days=1):
        raise DataError("a date cannot be read: its zone is none")
    return at.replace(tzinfo=timezone(-east if zone.startswith("-") else east))
