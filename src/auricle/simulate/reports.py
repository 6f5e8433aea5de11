"""Reports as five writers write them, in English, German and Chinese, without numbers; the wordings are data.

Over any cohort a language has fewer than 20,000 distinct reports, as in a hospital, where most are repeats: a report
is one of a finite list (`every`) in which each finding more leaves less room for wording.

* No finding, or only such as leave the heart healthy: any writer, the axis, words of normality, a denial, the age.
* One finding: any writer, and either its degree, alone or beside the axis, or a denial, or that there is nothing else.
* Two: one of `_PAIR_WRITERS` writers, whom the pair decides, and nothing beside.
* Three: one writer, and only the commonest triples, until `_TRIPLE_TEXTS` texts are used up. Of rarer triples, and of
  more findings, the report names a common triple around the most important one, or else the two most important.

Stages, territories and ventricular rates count as findings of their own. A report may leave findings out, as reports in
hospitals do, while the labels are complete; a rhythm other than sinus is never left out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations, product
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auricle.age import ADULT_DAYS
from auricle.errors import UnknownNameError
from auricle.paediatrics import limits as norms
from auricle.simulate.conditions import STAGES, TERRITORIES, Diagnoses, conditions, groups, mixes
from auricle.simulate.streams import Floats, Stream, Streams

Language = Literal["en", "de", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "de", "zh")
AXES: Final = ("normal", "left", "right", "superior")

_PAIR_WRITERS: Final = 2
_TRIPLE_TEXTS: Final = 7000
_SUPERIOR_FROM_DEG: Final = 180.0
_CHANCES: Final = 4
# Degrees: mild, moderate, marked (thirds of the severity), unsaid.
_DEGREE_BOUNDS: Final = (1 / 3, 2 / 3)
_N_DEGREES: Final = 4
_UNSAID: Final = _N_DEGREES - 1
_SILENT: Final = -1
_NORMAL_AXIS: Final = AXES.index("normal")
_SILENT_AXIS_SHARE: Final = 0.3
_DENIAL_SHARE: Final = 0.4
_NORMAL_HABITS: Final = 2
# Beside one finding stands nothing, or the axis, or a denial, or that there is nothing else.
_BESIDE_BOUNDS: Final = (0.25, 0.60, 0.80)
_NOTHING, _AXIS, _DENIAL, _REST = range(4)
# Conditions in which the axis has no meaning, or is part of the wording.
_AXIS_UNSAID: Final = ("VT", "PACE", "AVSD", "TA")
# Conditions in which the sinus node does not lead the ventricles, so that their rate is not its rate.
_BEATS_LOST: Final = ("2AVB1", "2AVB2", "3AVB", "CCAVB")
_FIRST: Final = ("rhythm", "av", "ectopy")

# [writer][degree][adult, child]
_Phrases = tuple[tuple[tuple[str, str], ...], ...]


class _Content(NamedTuple):
    """All that decides on a text.

    Attributes:
        findings: (place in the speaking order, variant) of what is named.
        writer: who writes.
        degree: 0 to 2, or `_UNSAID`.
        child: whether the age may be mentioned.
        axis: index into AXES, or `_SILENT`.
        closing: what is said last, a name in the book, or "".
        normal: name of the words of normality before it, or "".
    """

    findings: tuple[tuple[int, int], ...]
    writer: int
    degree: int = _UNSAID
    child: bool = False
    axis: int = _SILENT
    closing: str = ""
    normal: str = ""


@dataclass(frozen=True, slots=True)
class _Book:
    """The wordings of one language: of findings by place and variant, and of what surrounds them by name."""

    findings: tuple[tuple[_Phrases, ...], ...]
    around: Mapping[str, _Phrases]
    join: tuple[str, ...]
    end: tuple[str, ...]


def write(
    streams: Streams,
    diagnoses: Diagnoses,
    measurements: Mapping[str, Floats],
    age_days: Floats,
    norm_age_days: Floats,
    sex: NDArray[np.str_],
    language: Language = "en",
) -> list[str]:
    """One report per record.

    Args:
        streams: chance, which chooses the writer and what stands beside the findings.
        diagnoses: what the records have.
        measurements: `heart_rate` in 1/min and `qrs_axis_deg` of the noise-free record, (record,) each.
        age_days: the patient's age, which the wording may mention.
        norm_age_days: the age whose norms the trace was made after, against which rate and axis are judged.
        sex: "F" or "M" per record.
        language: "en", "de" or "zh".

    Raises:
        UnknownNameError: another language.
    """
    if language not in LANGUAGES:
        raise UnknownNameError("language of reports", language, LANGUAGES)
    chances = streams.uniforms(Stream.REPORT, _CHANCES).tolist()
    seen, variants = _seen(diagnoses, measurements["heart_rate"], norm_age_days, sex)
    named = [_named(row.tobytes()) for row in np.packbits(seen, axis=1)]
    degrees = np.searchsorted(_DEGREE_BOUNDS, _stack(diagnoses.severity))
    axes = _axis(measurements["qrs_axis_deg"], norm_age_days, sex).tolist()
    children = (age_days < ADULT_DAYS).tolist()
    deniable = _deniable(diagnoses).tolist()
    reports = []
    for row, places in enumerate(named):
        findings = tuple((place, int(variants[row, place])) for place in places)
        if all(_order().healthy[place] for place in places):
            content = _well(findings, chances[row], axes[row], children[row])
        elif len(places) == 1:
            degree = int(degrees[row, places[0]])
            content = _one(findings, chances[row], degree, axes[row], children[row], deniable[row])
        else:
            content = _Content(findings, _writers(places)[int(chances[row][0] * len(_writers(places)))])
        reports.append(_text(language, content))
    return reports


def every(language: Language) -> Iterator[str]:
    """Every report that can be written in a language, some of them more than once."""
    order, sizes = _order(), [len(phrases) for phrases in _book(language).findings]
    everyone, ages = range(_n_writers()), (False, True)
    contents: list[_Content] = []
    for writer, child in product(everyone, ages):
        contents += _every_normal(writer, child)
        for place, size in enumerate(sizes):
            for variant in range(size):
                contents += _every_single((place, variant), writer, child)
    pairs = [pair for pair in combinations(range(len(sizes)), 2) if _together()[pair]]
    for places in (*pairs, *sorted(_triples())):
        healthy = all(order.healthy[place] for place in places)
        for chosen in product(*(range(sizes[place]) for place in places)):
            findings = tuple(zip(places, chosen, strict=True))
            for writer, child in product(_writers(places), ages if healthy else (False,)):
                contents.append(_Content(findings, writer, child=child, closing="otherwise" if healthy else ""))
    return (_text(language, content) for content in contents)


def _every_normal(writer: int, child: bool) -> Iterator[_Content]:
    for axis, habit, denial in product((_SILENT, _NORMAL_AXIS), range(_NORMAL_HABITS), ("", *_denials())):
        yield _Content((), writer, _UNSAID, child, axis, denial, f"normal {habit}")
    for axis in range(_NORMAL_AXIS + 1, len(AXES)):
        yield _Content((), writer, _UNSAID, child, axis, "otherwise")


def _every_single(finding: tuple[int, int], writer: int, child: bool) -> Iterator[_Content]:
    axes = (_SILENT, *range(len(AXES)))
    if _order().healthy[finding[0]]:
        for axis in axes:
            yield _Content((finding,), writer, _UNSAID, child, axis, "otherwise")
        return
    for degree, axis in product(range(_UNSAID), axes):
        yield _Content((finding,), writer, degree, child, axis)
    for closing in (*_denials(), "rest"):
        yield _Content((finding,), writer, _UNSAID, child, _SILENT, closing)


# ---- what a report names ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """Conditions in speaking order, and by place: whether healthy hearts have them, how important they are (the least
    is the most), whether they say what the rhythm is, and whether they are spoken of before the axis."""

    codes: tuple[str, ...]
    healthy: tuple[bool, ...]
    importance: tuple[tuple[int, float], ...]
    rhythm: tuple[bool, ...]
    before_axis: tuple[bool, ...]


@cache
def _order() -> _Order:
    codes = tuple(dict.fromkeys(name.partition(":")[0] for name in _table()["findings"]))
    known = [conditions()[code] for code in codes]
    ectopic = [condition.group == "rhythm" and not condition.normal for condition in known]
    return _Order(
        codes,
        tuple(condition.normal for condition in known),
        tuple(
            (0 if foreign else 2 if condition.normal else 1, condition.share[mixes()[0]])
            for condition, foreign in zip(known, ectopic, strict=True)
        ),
        tuple(condition.group == "rhythm" for condition in known),
        tuple(condition.group in _FIRST for condition in known),
    )


def _stack(by_code: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """(record, place) values by code as columns, in speaking order."""
    return np.stack([by_code[code] for code in _order().codes], axis=1)


def _seen(
    diagnoses: Diagnoses, rate: Floats, age_days: Floats, sex: NDArray[np.str_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(record, place) findings that a reader sees and names on their own, and (record, place) their variants.

    A heart that nothing but the sinus node drives is called fast or slow by its rate, whatever the cause. A pattern of
    which another condition hides a part (no P wave in fibrillation) is not recognised; its other parts are.
    """
    p2, _, p98 = norms.centiles("heart_rate", age_days, sex).T
    seen = dict(diagnoses.present)
    for code, condition in conditions().items():
        seen[code] = np.all([seen[code], *(diagnoses.present[implied] for implied in condition.implies)], axis=0)
        for implied in condition.implies:
            seen[implied] = seen[implied] & ~seen[code]
    sinus = ~diagnoses.any(*groups()["rhythm"], *_BEATS_LOST)
    seen["STACH"] = seen["STACH"] | (sinus & (rate > p98))
    seen["SBRAD"] = seen["SBRAD"] | (sinus & (rate < p2))
    variants = {code: np.zeros(len(rate), dtype=np.int64) for code in _order().codes}
    variants |= {code: diagnoses.stage(code) for code in _table()["walls"]}
    variants |= {"STE_": diagnoses.territory(), "AFIB": (rate > p98).astype(np.int64)}
    return _stack(seen), _stack(variants)


@lru_cache(maxsize=2**16)
def _named(packed: bytes) -> tuple[int, ...]:
    """The places that a report names, of those seen (as packed bits)."""
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=len(_order().codes))
    seen: list[int] = np.flatnonzero(bits).tolist()
    if len(seen) <= 2:
        return tuple(seen)
    first, *others = sorted(seen, key=lambda place: _order().importance[place])
    for pair in combinations(others, 2):
        triple = tuple(sorted((first, *pair)))
        if triple in _triples():
            return triple
    return tuple(sorted((first, others[0])))


@cache
def _together() -> NDArray[np.bool_]:
    """(place, place) whether two findings can be seen at once and are said apart."""
    codes = _order().codes
    known = conditions()
    together = ~np.eye(len(codes), dtype=bool)
    for i, j in product(range(len(codes)), repeat=2):
        first, second = known[codes[i]], known[codes[j]]
        displaced = {known[implied].group for implied in first.implies}
        hidden = {first.group, *displaced, *first.excludes, *first.implies} & {second.group, second.code}
        together[i, j] &= not hidden
    return together & together.T


@cache
def _triples() -> frozenset[tuple[int, ...]]:
    """The triples that are named in full: the commonest if findings were independent."""
    together, share = _together(), [share for _, share in _order().importance]
    sizes = [len(phrases) for phrases in _book("en").findings]
    possible = (
        triple
        for triple in combinations(range(len(share)), 3)
        if all(together[pair] for pair in combinations(triple, 2))
    )
    kept: list[tuple[int, ...]] = []
    texts = 0
    for triple in sorted(possible, key=lambda triple: -np.prod([share[place] for place in triple])):
        texts += int(np.prod([sizes[place] for place in triple]))
        if texts > _TRIPLE_TEXTS:
            break
        kept.append(triple)
    return frozenset(kept)


def _axis(axis_deg: Floats, age_days: Floats, sex: NDArray[np.str_]) -> NDArray[np.int64]:
    """(record,) index into AXES relative to the norm of the age; a superior axis outside it is called by name."""
    p2, _, p98 = norms.centiles("qrs_axis", age_days, sex).T
    normal, left, right, superior = range(len(AXES))
    outside = np.where(axis_deg > _SUPERIOR_FROM_DEG, superior, np.where(axis_deg > p98, right, left))
    words = np.where((axis_deg >= p2) & (axis_deg <= p98), normal, outside)
    return np.where(np.isfinite(axis_deg), words, _SILENT)


@cache
def _denials() -> tuple[str, ...]:
    return tuple(f"denial {name}" for name in _table()["around"]["denial"])


def _deniable(diagnoses: Diagnoses) -> NDArray[np.bool_]:
    """(record, denial) what can be denied in truth."""
    return np.stack([~diagnoses.any(*entry["unless"]) for entry in _table()["around"]["denial"].values()], axis=1)


# ---- who writes, and what stands beside ------------------------------------------------------------------------------


def _writers(places: Sequence[int]) -> tuple[int, ...]:
    """Writers of a report with several findings; the findings decide, so that each combination has few writers."""
    first = sum(places)
    chosen = (first,) if len(places) > 2 else tuple(first + 2 * k for k in range(_PAIR_WRITERS))
    return tuple(writer % _n_writers() for writer in chosen)


def _well(findings: tuple[tuple[int, int], ...], chance: Sequence[float], axis: int, child: bool) -> _Content:
    """The content of a report on a healthy heart."""
    writers = _writers([place for place, _ in findings]) if len(findings) > 1 else range(_n_writers())
    writer = writers[int(chance[0] * len(writers))]
    if len(findings) > 1 or (axis == _NORMAL_AXIS and chance[1] < _SILENT_AXIS_SHARE):
        axis = _SILENT
    if findings or axis > _NORMAL_AXIS:
        return _Content(findings, writer, _UNSAID, child, axis, "otherwise")
    denial = _denials()[int(chance[3] / _DENIAL_SHARE * len(_denials()))] if chance[3] < _DENIAL_SHARE else ""
    return _Content(findings, writer, _UNSAID, child, axis, denial, f"normal {int(chance[2] * _NORMAL_HABITS)}")


def _one(
    findings: tuple[tuple[int, int], ...],
    chance: Sequence[float],
    degree: int,
    axis: int,
    child: bool,
    deniable: Sequence[bool],
) -> _Content:
    """The content of a report on an ill heart with one finding."""
    writer = int(chance[0] * _n_writers())
    beside = int(np.searchsorted(_BESIDE_BOUNDS, chance[1]))
    axis = _SILENT if _order().codes[findings[0][0]] in _AXIS_UNSAID else axis
    denials = [name for name, true in zip(_denials(), deniable, strict=True) if true]
    if beside == _DENIAL and denials:
        return _Content(findings, writer, _UNSAID, child, _SILENT, denials[int(chance[2] * len(denials))])
    if beside == _REST and axis <= _NORMAL_AXIS:
        return _Content(findings, writer, _UNSAID, child, _SILENT, "rest")
    return _Content(findings, writer, degree, child, _SILENT if beside == _NOTHING else axis)


# ---- words -----------------------------------------------------------------------------------------------------------


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("auricle.simulate") / "reports.toml").read_text(encoding="utf-8"))


def _n_writers() -> int:
    return len(_table()["writers"]["names"])


@cache
def _book(language: Language) -> _Book:
    table = _table()
    around = table["around"]
    named = {name: around[name][language] for name in ("sinus", "healthy_sinus", "otherwise", "rest")}
    named |= {f"axis {name}": around["axis"][name][language] for name in AXES}
    named |= {f"denial {name}": entry[language] for name, entry in around["denial"].items()}
    for habit in range(_NORMAL_HABITS):
        named[f"normal {habit}"] = [habits[habit] for habits in around["normal"][language]]
    return _Book(
        tuple(tuple(_variants(code, language)) for code in _order().codes),
        {name: _filled(wordings, language) for name, wordings in named.items()},
        tuple(table["writers"]["join"][language]),
        tuple(table["writers"]["end"][language]),
    )


def _variants(code: str, language: Language) -> Iterator[_Phrases]:
    """The wordings of one finding, by stage, territory or rate."""
    table = _table()
    if code in table["walls"]:
        for stage in STAGES:
            yield _filled(table["infarction"][stage][language], language, table["walls"][code][language])
    elif code == "STE_":
        for territory in TERRITORIES:
            yield _filled(table["findings"][code][language], language, table["places"][territory][language])
    else:
        for name, entry in table["findings"].items():
            if name.partition(":")[0] == code:
                yield _filled(entry[language], language)


def _filled(wordings: Sequence[str], language: Language, names: Mapping[str, str] | None = None) -> _Phrases:
    forms: Mapping[str, Sequence[str]] = _table()["forms"][language]

    def fill(wording: str, degree: int, child: int) -> str:
        chosen = {name: words[child if name == "age" else degree] for name, words in forms.items()}
        return wording.format_map(chosen | dict(names or {}))

    return tuple(
        tuple((fill(wording, degree, 0), fill(wording, degree, 1)) for degree in range(_N_DEGREES))
        for wording in wordings
    )


@cache
def _text(language: Language, content: _Content) -> str:
    book, order = _book(language), _order()

    def words(phrases: _Phrases) -> str:
        """The wording of this writer, for this degree and age."""
        return phrases[content.writer][content.degree][content.child]

    before = [words(book.findings[place][variant]) for place, variant in content.findings if order.before_axis[place]]
    after = [
        words(book.findings[place][variant]) for place, variant in content.findings if not order.before_axis[place]
    ]
    if not any(order.rhythm[place] for place, _ in content.findings):
        before.insert(0, words(book.around["healthy_sinus" if content.normal else "sinus"]))
    if content.axis != _SILENT:
        before.append(words(book.around[f"axis {AXES[content.axis]}"]))
    closing = [words(book.around[name]) for name in (content.normal, content.closing) if name]
    return _joined([*before, *after, *closing], book.join[content.writer], book.end[content.writer])


def _joined(parts: Sequence[str], join: str, end: str) -> str:
    """Parts of a report joined: sentences begin with a capital, parts joined by commas do not.

    Words with an own mixture of capitals (`rS`, `pH`) keep it.
    """
    starts = len(parts) if join.startswith(".") else 1 if join.startswith(";") else 0
    written = [
        part[0].upper() + part[1:] if number < starts and part.split()[0].islower() else part
        for number, part in enumerate(parts)
    ]
    return join.join(written) + end
