"""Numbers as people and spreadsheets write them: decimal commas and points, and marks of thousands.

A German or French spreadsheet writes 4,1 where an English one writes 4.1, and 1,234 is a number in both, a thousand
times larger in one. What a table proves about its mark of decimals is used; what stays open is refused, not guessed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

from auricle.errors import DataError

Mark = Literal[",", ".", ""]

_PLAIN: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMA: Final = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
# One mark before exactly three digits: of thousands as well as of decimals. A leading zero has no thousands.
_OPEN: Final = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
# Both marks, or one of them twice, say which is which.
_THOUSANDS: Final = {
    ",": re.compile(r"[-+]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})"),
    ".": re.compile(r"[-+]?\d{1,3}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,})"),
}
_SIGNS: Final = " <>=≤≥≦≧"
UNKNOWN: Final = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "--", "."})
"""What stands for "no value" where a number should be, in small letters."""
UNSAID: Final = UNKNOWN | {
    "?", "unk", "unknown", "unbekannt", "missing", "k.a.", "k. a.", "n.a.", "n. a.", "keine angabe", "未知", "不详",
}  # fmt: skip
"""What stands for "not known" where words may stand, in small letters."""


def decimal_mark(cells: Iterable[str]) -> Mark:
    """The mark of decimals that the numbers of a table prove, empty where they prove none or contradict each other."""
    marks: set[Mark] = set()
    for cell in cells:
        text = _tidy(cell).lstrip(_SIGNS)
        if _OPEN.fullmatch(text):
            continue
        if _COMMA.fullmatch(text):
            marks.add(",")
        elif "." in text and _PLAIN.fullmatch(text):
            marks.add(".")
    return marks.pop() if len(marks) == 1 else ""


def read_number(text: str, mark: Mark = "") -> float:
    """A number, finite.

    Args:
        text: as written.
        mark: what the table proves about decimals (`decimal_mark`).

    Raises:
        DataError: no number, or one whose mark may stand for thousands or for decimals; the message, which is to follow
            the name of the column, never repeats it.
    """
    text = _tidy(text)
    if _OPEN.fullmatch(text) and (("," in text and mark != ",") or ("." in text and mark == ",")):
        raise DataError(
            f"may mean thousands or decimals by its {'comma' if ',' in text else 'point'}: write 1234 for thousands, "
            "1.2340 for decimals"
        )
    if _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    for thousands, pattern in _THOUSANDS.items():
        if pattern.fullmatch(text):
            text = text.replace(thousands, "").replace(",", ".")
    number = float(text) if _PLAIN.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise DataError("should be a number")
    return number


def _tidy(text: str) -> str:
    """Without blanks around it, full-width digits and the typographic minus as on a keyboard."""
    return unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-")
