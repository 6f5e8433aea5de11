"""Laboratory tests: names as hospitals write them, units, plausible values, and reference ranges by age.

A value is stored in its test's canonical unit, which is part of the canonical name (`troponin_ng_l`). An unknown test
or unit, and a value that no patient has, are refused: a troponin in the wrong unit is a thousandfold error that no
model would notice. Reference ranges are continuous in age; they are round textbook figures (see `source`).
"""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError, UnknownNameError
from auricle.numerals import Mark, read_number

Sex = Literal["F", "M"]
SEXES: Final[tuple[Sex, ...]] = ("F", "M")
# Of a value that is only known to lie below or above the limit of a method.
Bound = Literal["below", "above"]

_NOT_IN_A_NAME: Final = re.compile(r"[\W_]+")
_NOT_IN_A_UNIT: Final = re.compile(r"[\s^*×·]+")
_COUNT: Final = re.compile(r"^x?10e?(\d)")
# Of so many values at least it is told that they are rather of another unit: hardly any usual, half more in the other.
_FEWEST_VALUES: Final = 5
_HARDLY_USUAL, _FAR_MORE_USUAL = 0.2, 0.5
_ADULT_YEARS: Final = 40.0
# What a laboratory writes before the limit of its method.
_BOUND: Final[Mapping[str, Bound]] = {
    "<": "below",
    "≤": "below",
    ">": "above",
    "≥": "above",
    "≦": "below",
    "≧": "above",
}
_WRITTEN: Final = re.compile(
    r"^\s*(?P<name>[^=<>≤≥]+?)\s*(?P<value>(?:[<>]\s*=?|[≤≥=])\s*(?:[<>]\s*=?|[≤≥])?\s*[-+]?[\d.,]+(?:[eE][-+]?\d+)?)"
    r"\s*(?P<unit>[^@]*?)\s*(?:@\s*(?P<minutes>[-+]?[\d.,]+)\s*(?:min)?\s*)?$"
)

# What laboratories write where a sample gave no number. "High" and "positive" are results and not among them.
_REMARKS: Final = (
    "hemoly",
    "haemoly",
    "hämoly",
    "溶血",
    "clotted",
    "coagulated",
    "geronnen",
    "koaguliert",
    "凝固",
    "lipemic",
    "lipaemic",
    "lipäm",
    "脂血",
    "icteric",
    "ikterisch",
    "黄疸",
    "insufficient",
    "qns",
    "zu wenig",
    "量不足",
    "not done",
    "not measured",
    "not performed",
    "not available",
    "not determined",
    "no sample",
    "kein material",
    "nicht bestimm",
    "nicht messbar",
    "nicht gemessen",
    "未查",
    "未测",
    "未做",
    "pending",
    "to follow",
    "folgt",
    "cancelled",
    "canceled",
    "storniert",
    "取消",
    "contaminated",
    "kontaminiert",
    "invalid",
    "ungültig",
    "无效",
)


@dataclass(frozen=True, slots=True)
class Knots:
    """A reference range at some ages, joined by straight lines over log(1 + days) and level beyond the ends."""

    years: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, age_days: float) -> tuple[float, float]:
        """(low, high) of the reference range at an age in days."""
        place = [math.log1p(year * DAYS_PER_YEAR) for year in self.years]
        age = min(max(math.log1p(age_days), place[0]), place[-1])
        after = next(number for number in range(1, len(place)) if age <= place[number])
        share = (age - place[after - 1]) / (place[after] - place[after - 1])
        low, high = (side[after - 1] + share * (side[after] - side[after - 1]) for side in (self.low, self.high))
        return low, high


@dataclass(frozen=True, slots=True)
class LabTest:
    """One laboratory test.

    Attributes:
        name: canonical, with its unit in it.
        title: in plain words.
        unit: canonical unit.
        aliases: other names it goes by; capitals, blanks and punctuation do not matter.
        conversions: unit -> factor that turns its values into the canonical unit, which is among them.
        plausible: (least, most) in the canonical unit; beyond it the unit is probably wrong.
        log: whether values are skewed and best compared as logarithms; such a test may read 0, below its least value.
        knots: reference range by sex.
    """

    name: str
    title: str
    unit: str
    aliases: tuple[str, ...]
    conversions: Mapping[str, float]
    plausible: tuple[float, float]
    log: bool
    knots: Mapping[Sex, Knots]

    @property
    def has_other_sizes(self) -> bool:
        """Whether laboratories write it in units of another size, so that a bare number may mean two things."""
        return any(factor != 1.0 for factor in self.conversions.values())

    def reference(self, age_days: float, sex: Sex | None = None) -> tuple[float, float]:
        """(low, high) of the reference range at an age in the canonical unit; of either sex where it is unknown.

        Raises:
            DataError: the age is not a number from 0 on.
        """
        if not age_days >= 0:
            raise DataError(f"{self.name}: a reference range needs an age of 0 days or more")
        limits = [self.knots[each_sex].at(age_days) for each_sex in (SEXES if sex is None else (sex,))]
        return min(low for low, _ in limits), max(high for _, high in limits)

    def check(self, value: float, unit: str | None = None) -> float:
        """The value itself, if a patient may have it.

        Args:
            value: in the canonical unit.
            unit: the unit it was written in, for the message.

        Raises:
            DataError: the value is not plausible, probably because of a wrong unit; the message never repeats it.
        """
        least, most = self.plausible
        if least <= value <= most or (self.log and value == 0):
            return value
        other_units = [known for known in self.conversions if known != (unit or self.unit)]
        hint = f"; it may be in {' or '.join(other_units[:4])}" if other_units else ""
        raise DataError(
            f"{self.name} is not possible in {unit or self.unit} (plausible: {least:g} to {most:g} {self.unit}){hint}"
        )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("auricle") / "labs.toml").read_text(encoding="utf-8"))


@cache
def _tests() -> Mapping[str, LabTest]:
    return {name: _test(name, entry) for name, entry in _table()["tests"].items()}


def _test(name: str, entry: Mapping[str, Any]) -> LabTest:
    def knots(which: str) -> Knots:
        table = entry.get(which) or entry["reference"]
        return Knots(*(tuple(map(float, table[side])) for side in ("years", "low", "high")))

    same = dict.fromkeys([entry["unit"], *entry.get("also", ())], 1.0)
    least, most = entry["plausible"]
    return LabTest(
        name,
        entry["title"],
        entry["unit"],
        tuple(entry["aliases"]),
        {**same, **{unit: float(factor) for unit, factor in entry["units"].items()}},
        (float(least), float(most)),
        entry["log"],
        {"F": knots("female"), "M": knots("male")},
    )


def source() -> str:
    """A sentence on where the reference ranges come from and how far they can be trusted."""
    return str(_table()["source"])


def list_labs() -> list[str]:
    """Canonical names of all tests, in the order of the table."""
    return list(_tests())


def _folded(name: str) -> str:
    return _NOT_IN_A_NAME.sub("", unicodedata.normalize("NFKC", name).casefold())


@cache
def _by_folded_name() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, test in _tests().items():
        for spelling in (name, *test.aliases):
            owner = found.setdefault(_folded(spelling), name)
            assert owner == name, f"labs.toml: {spelling!r} names {owner} and {name}"
    return found


def lab_test(name: str) -> LabTest:
    """The test of a name as hospitals write it: `hs-cTnT`, `Troponin`, `K`, `Hb`, `troponin_ng_l`.

    Raises:
        UnknownNameError: no such test; the message suggests the nearest.
    """
    canonical = _by_folded_name().get(_folded(name))
    if canonical is None:
        raise UnknownNameError(
            "laboratory test", name, [*_tests(), *(alias for test in _tests().values() for alias in test.aliases)]
        )
    return _tests()[canonical]


def _folded_unit(unit: str) -> str:
    folded = unicodedata.normalize("NFKC", unit).casefold().replace("μ", "u").replace("mcg", "ug")
    return _COUNT.sub(r"10\1", _NOT_IN_A_UNIT.sub("", folded))


def unit_factor(name: str, unit: str | None) -> float:
    """What a value of this test in `unit` is multiplied by to be in the canonical unit, which None stands for.

    Raises:
        UnknownNameError: no such test.
        DataError: a unit this test is not known in; the message lists those it is.
    """
    test = lab_test(name)
    if not unit:
        return 1.0
    for known, factor in test.conversions.items():
        if _folded_unit(known) == _folded_unit(unit):
            return factor
    raise DataError(f"{test.name} in {unit!r}: unknown unit; known: {', '.join(test.conversions)}")


def in_canonical_unit(name: str, value: float, unit: str | None = None) -> float:
    """A value in its test's canonical unit, checked to be one that a patient may have.

    Args:
        name: the test, in any spelling.
        value: as written.
        unit: the unit it was written in; by default the canonical one.

    Raises:
        UnknownNameError: no such test.
        DataError: an unknown unit, or a value that is not possible in this unit; the message never repeats the value.
    """
    return lab_test(name).check(value * unit_factor(name, unit), unit)


def likelier_unit(
    name: str, values: Sequence[float], ages_days: Sequence[float | None]
) -> tuple[str, float, float] | None:
    """The unit that values without one were rather written in than in the canonical one, in which they are read.

    Args:
        name: the test, in any spelling.
        values: as written.
        ages_days: of each; None for unknown, which is compared as an adult.

    Returns:
        The unit, the share of the values that are usual in it, and the share that are usual in the canonical one; None
        of few values, and where no other unit makes far more of them usual.
    """
    test = lab_test(name)
    if len(values) < _FEWEST_VALUES:
        return None
    ranges = [test.reference(_ADULT_YEARS * DAYS_PER_YEAR if days is None else days) for days in ages_days]

    def usual(factor: float) -> float:
        pairs = zip(values, ranges, strict=True)
        return sum(low <= value * factor <= high for value, (low, high) in pairs) / len(values)

    own = usual(1.0)
    unit, factor = max(test.conversions.items(), key=lambda item: usual(item[1]))
    best = usual(factor)
    return (unit, best, own) if own <= _HARDLY_USUAL and best - own >= _FAR_MORE_USUAL else None


def parse_value(text: str, mark: Mark = "") -> tuple[float, Bound | None]:
    """A result as a laboratory writes it: `5,0`, or `<5` and `> 1000`, the limit of a method.

    Args:
        text: as written, in whatever unit.
        mark: what the table around it proves about decimals (`auricle.numerals`).

    Returns:
        The number, and on which side of it the true value lies; None where it is the value itself.

    Raises:
        DataError: it is none, or its mark may stand for thousands or for decimals; the message, which is to follow the
            name of the test, never repeats it.
    """
    written = unicodedata.normalize("NFKC", text).strip()
    bound = _BOUND.get(written[:1])
    return read_number(written[1:].removeprefix("=") if bound else written, mark), bound


def is_remark(text: str) -> bool:
    """Whether a cell is a laboratory's remark that there is no number (`haemolysed`, `pending`, 溶血)."""
    folded = text.casefold()
    return any(word in folded for word in _REMARKS) and not any(letter.isnumeric() for letter in folded)


@dataclass(frozen=True, slots=True)
class LabValue:
    """One value: canonical name, value in the canonical unit, and when it was drawn in minutes after the ECG.

    Where it is the limit of a method, `bound` says on which side of it the true value lies.
    """

    name: str
    value: float
    minutes: float | None = None
    bound: Bound | None = None


def parse_lab(text: str) -> LabValue:
    """Read a value as it is typed: `troponin=35 ng/L`, `Hb=13,1 g/dL`, `CRP<5`, `troponin=0.04 ng/mL @ -30`.

    What follows `@` is when it was drawn, in minutes after the ECG (negative before).

    Raises:
        UnknownNameError: no such test.
        DataError: not of this form, a comma that may part thousands, an unknown unit, or a value that is not possible.
    """
    match = _WRITTEN.match(text)
    if match is None:
        raise DataError(f"{text!r} is no laboratory value: write for example 'troponin=35 ng/L'")
    try:
        number, bound = parse_value(match["value"].strip().removeprefix("="))
        minutes = read_number(match["minutes"]) if match["minutes"] else None
    except DataError as error:
        raise DataError(f"{text!r} is no laboratory value: it {error}, as in 'troponin=35 ng/L'") from None
    value = in_canonical_unit(match["name"], number, match["unit"])
    return LabValue(lab_test(match["name"]).name, value, minutes, bound)


def given_labs(texts: Sequence[str]) -> dict[str, Mapping[str, object] | None]:
    """Laboratory values that a person gave as options (`troponin=35 ng/L`), as context of a recording.

    Raises:
        DataError: a value that is none, in an unknown unit or not possible, or a test given twice.
        UnknownNameError: no such test.
    """
    given = [parse_lab(text) for text in texts]
    names = [value.name for value in given]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{twice[0]} is given twice: give one value")
    minutes = {value.name: value.minutes for value in given if value.minutes is not None}
    bounds = {value.name: value.bound for value in given if value.bound is not None}
    return {
        "labs": {value.name: value.value for value in given} or None,
        "lab_minutes": minutes or None,
        "lab_bounds": bounds or None,
    }
