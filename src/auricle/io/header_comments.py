"""What the comments of a WFDB header say of the person: age, sex, diagnoses, and of the cart: its filter.

Every data set writes them its own way: `# Age: 7.5 yr`, `#<age>: 51`, `# <age>: 65 <sex>: F <diagnoses> ...` on one
line (INCART), `# 69 M 1085 1629 x1` (MIT-BIH), `# Alter: 3 Tage`. What makes no sense, or says two things at once, is
unknown, and a note says so; it is never the loss of the ECG.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Final

from auricle import age as ages
from auricle.age import Age
from auricle.birth import parse_gestation
from auricle.errors import DataError
from auricle.numerals import UNSAID
from auricle.recording import Sex

_KEYS: Final = {
    "age": "age", "alter": "age", "年龄": "age",
    "sex": "sex", "gender": "sex", "geschlecht": "sex", "性别": "sex",
    "dx": "labels", "labels": "labels", "label": "labels",
    "gestational age": "gestation", "gestation": "gestation", "ga": "gestation",
    "filter": "band", "bandwidth": "band", "band": "band", "filter band": "band",
    "low pass": "low_pass", "lowpass": "low_pass", "high pass": "high_pass", "highpass": "high_pass",
}  # fmt: skip
_KEY: Final = re.compile(
    rf"<?\b({'|'.join(sorted(map(re.escape, _KEYS), key=len, reverse=True))})(?![^\W_])"
    r"(?:(?:\s*[(\[]\s*|\s*[_/,]\s*|\s+in\s+)([^\W\d_]+)\s*[)\]]?)?\s*>?\s*[:：]",
    re.I,
)
# Another key of a line, known or not, ends a value: `<diagnoses>` of INCART has no colon.
_NEXT: Final = re.compile(r"\s<[a-z ]+>", re.I)
_MIT: Final = re.compile(r"(\d{1,3}|-1)\s+([MF])\s+\d+\s+\d+\b")
_WITH_UNIT: Final = frozenset({"age", "gestation", "band", "low_pass", "high_pass"})
_FREQUENCY: Final = r"(?<![\d.,])(\d+(?:[.,]\d+)?)"
_BAND: Final = re.compile(rf"{_FREQUENCY}\s*(?:hz)?\s*(?:-|to|\.\.|–|bis|至)\s*{_FREQUENCY}\s*hz", re.I)
_HZ: Final = re.compile(rf"{_FREQUENCY}\s*hz", re.I)
# A filter against the mains leaves out what lies between its two frequencies.
_NOTCH: Final = re.compile(r"notch|stop|sperr|mains|陷波", re.I)
_NOTHING: Final = UNSAID | {"u"}
_FEMALE: Final = frozenset({"f", "female", "w", "weiblich", "女", "女性"})
_MALE: Final = frozenset({"m", "male", "männlich", "maennlich", "男", "男性"})


def known_of(lines: Iterable[str]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Fields of `Recording` that comment lines give, and notes on what of them could not be used.

    Args:
        lines: lines of a header that begin with #.
    """
    said: dict[str, list[str]] = {}
    for line in lines:
        for field, value in _pairs(line.lstrip("# \t")):
            if value.casefold() not in _NOTHING:
                said.setdefault(field, []).append(value)
    notes: list[str] = []
    known: dict[str, object] = {
        "age": _age(said.get("age", []), notes),
        "sex": _sex(said.get("sex", []), notes),
        "gestation_days": _gestation(said.get("gestation", []), notes),
        "labels": _labels(said.get("labels", [])) or None,
        "cart_band_hz": _band(said),
    }
    return {field: value for field, value in known.items() if value is not None}, tuple(notes)


def sex_of(text: str | None) -> Sex | None:
    """F or M from what files write; None for anything else, codes like 0 and 1 among it."""
    word = (text or "").strip().rstrip(".").casefold()
    if word in _FEMALE:
        return "F"
    return "M" if word in _MALE else None


def given_sex(text: str | None, name: str) -> Sex | None:
    """F or M from what people type, in the words that files have; None for nothing.

    Args:
        text: as it was typed.
        name: of the option or field, for the message.

    Raises:
        DataError: neither: "Mädchen" begins with an M and is none.
    """
    known = sex_of(text)
    if text is not None and known is None:
        raise DataError(f"{name} {text!r}: give F or M, or leave it out")
    return known


def _pairs(line: str) -> list[tuple[str, str]]:
    """Fields and values of one line, if it begins with a key that is known."""
    mit = _MIT.match(line)
    if mit is not None:
        return [("age", mit[1]), ("sex", mit[2])]
    keys = list(_KEY.finditer(line))
    if not keys or keys[0].start() != 0:
        return []
    pairs = []
    for number, key in enumerate(keys):
        end = keys[number + 1].start() if number + 1 < len(keys) else len(line)
        value = line[key.end() : end]
        other = _NEXT.search(value)
        value = (value[: other.start()] if other else value).strip(" \t,;")
        field = _KEYS[key[1].casefold()]
        # The unit of the key is that of bare numbers; `Age (days): 3 wk` says its own.
        bare = key[2] is not None and field in _WITH_UNIT and re.fullmatch(r"[\d.,\s–-]+", value)
        pairs.append((field, f"{value} {key[2]}" if bare else value))
    return pairs


def _age(values: Sequence[str], notes: list[str]) -> Age | None:
    found: list[Age] = []
    with warnings.catch_warnings(record=True) as zero:
        warnings.simplefilter("always")
        for value in values:
            try:
                age = ages.parse(value)
            except DataError:
                what = "is that of a gestation" if _is_gestation(value) else "makes no sense"
                notes.append(f"the age in its header {what} and is treated as unknown")
                return None
            found += [age] if age is not None else []
    if not found and any(re.match(r"300\b", value) for value in values):
        notes.append("the age in its header is a code for more than 89 years and is treated as unknown")
    if zero:
        notes.append("an age of 0 without a unit can be any day of the first year and is treated as unknown")
    if not found:
        return None
    if len(set(found)) > 1 and max(age.days for age in found) >= min(age.days + age.resolution_days for age in found):
        notes.append("its header gives more than one age, which is treated as unknown")
        return None
    return min(found, key=lambda age: age.resolution_days)  # `5` and `5y4m` are one age, known the better by the second


def _is_gestation(value: str) -> bool:
    """Whether a value that is no age is one of a gestation."""
    try:
        parse_gestation(value)
    except DataError:
        return False
    return True


def _sex(values: Sequence[str], notes: list[str]) -> Sex | None:
    found = {sex_of(value) for value in values}
    if None in found:
        notes.append("the sex in its header is not F or M and is treated as unknown: a code like 1 may mean either")
        return None
    if len(found) > 1:
        notes.append("its header gives both sexes: the sex is treated as unknown")
        return None
    return found.pop() if found else None


def _gestation(values: Sequence[str], notes: list[str]) -> float | None:
    try:
        found = {parse_gestation(value) for value in values}
    except DataError:
        found = set()
        notes.append("the gestational age in its header makes no sense and is treated as unknown")
    if len(found) > 1:
        notes.append("its header gives more than one gestational age, which is treated as unknown")
    return found.pop() if len(found) == 1 else None


def _labels(values: Sequence[str]) -> tuple[str, ...]:
    """All codes once, in order; blanks separate codes of digits, commas and semicolons all."""
    codes: list[str] = []
    for value in values:
        digits = re.fullmatch(r"[\d\s,;]+", value) is not None
        codes += [part.strip() for part in re.split(r"[\s,;]+" if digits else r"[,;]", value)]
    return tuple(dict.fromkeys(code for code in codes if code and code.casefold() not in _NOTHING))


def _band(said: dict[str, list[str]]) -> tuple[float, float] | None:
    """High-pass and low-pass of the cart in Hz, where the header names both or the low-pass."""
    for value in said.get("band", []):
        match = _BAND.search(_NOTCH.split(value)[0])
        if match is not None:
            return _rising(_hertz(match[1]), _hertz(match[2]))
    single = {field: _HZ.search(value) for field in ("high_pass", "low_pass") for value in said.get(field, [])}
    low, high = single.get("low_pass"), single.get("high_pass")
    return _rising(_hertz(high[1]) if high else 0.0, _hertz(low[1])) if low else None


def _hertz(text: str) -> float:
    return float(text.replace(",", "."))


def _rising(high_pass: float, low_pass: float) -> tuple[float, float] | None:
    return (high_pass, low_pass) if high_pass < low_pass else None
