"""Reports as five writers write them, in English, German and Chinese, without numbers; the wordings are data.

The texts are bounded, as in a hospital, where most reports are repeats: over any cohort a language has fewer than
20,000 distinct ones, because a report is chosen from a finite list (`every`) that shrinks as findings grow:

* none, or only such as leave the heart healthy: any writer, the axis, a word of normality, a denial, the age;
* one: any writer, and either its degree, alone or beside the axis, or a denial, or that there is nothing else;
* two: one of `_PAIR_WRITERS` writers, whom the pair decides, and nothing beside;
* three: one writer, and only the commonest triples, until `_TRIPLE_TEXTS` texts are used up. Of other triples, and of
  more, the report names the commonest-triple subset with the most important finding, or the two most important.

A finding counts once per stage, territory or ventricular rate. What is left out is left out, as in life: labels have
everything. What is never left out is a rhythm other than sinus.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
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
LANGUAGES: Final = ("en", "de", "zh")
AXES: Final = ("normal", "left", "right", "superior")
RESPONSES: Final = ("controlled", "rapid")

_PAIR_WRITERS: Final = 2
_TRIPLE_TEXTS: Final = 5000
_SUPERIOR_FROM_DEG: Final = 180.0
# Degrees: mild, moderate, marked, unsaid; thirds of the severity.
_DEGREE_BOUNDS: Final = (1 / 3, 2 / 3)
_UNSAID: Final = 3
_SILENT: Final = -1
_SILENT_AXIS_SHARE: Final = 0.3
_DENIAL_SHARE: Final = 0.4
# Of reports with one finding: nothing beside it, the axis, a denial, "nothing else".
_BESIDE_BOUNDS: Final = (0.25, 0.60, 0.80)
_ALONE, _WITH_AXIS, _WITH_DENIAL, _NOTHING_ELSE = range(4)
# Beside these the axis means nothing, or the wording has it already.
_AXIS_IS_SAID: Final = ("VT", "PACE", "AVSD", "TA")
# The sinus node's rate says nothing where it does not lead the ventricles.
_LOST_BEATS: Final = ("2AVB1", "2AVB2", "3AVB", "CCAVB")
_NO_DENIAL, _OTHERWISE, _REST = "", "otherwise", "rest"


class _Content(NamedTuple):
    """All that decides on a text.

    Attributes:
        findings: (place in the speaking order, variant) of what is named.
        writer: number of the writer.
        degree: 0-2, or `_UNSAID`.
        child: whether age may be mentioned.
        axis: index into AXES, or `_SILENT`.
        normal: habit of saying that all is normal, or `_SILENT`.
        closing: key of a denial, `_OTHERWISE`, `_REST` or nothing.
    """

    findings: tuple[tuple[int, int], ...]
    writer: int
    degree: int = _UNSAID
    child: bool = False
    axis: int = _SILENT
    normal: int = _SILENT
    closing: str = _NO_DENIAL


@dataclass(frozen=True, slots=True)
class _Book:
    """The wordings of one language: [writer][degree][child] of everything that can be said."""

    findings: tuple[tuple[_Phrases, ...], ...]
    around: Mapping[str, _Phrases]
    join: tuple[str, ...]
    end: tuple[str, ...]


_Phrases = tuple[tuple[tuple[str, ...], ...], ...]


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
        streams: chance, which chooses the writer.
        diagnoses: what the records have.
        measurements: `heart_rate` (1/min) and `qrs_axis_deg` of the noise-free record, (record,) each.
        age_days: the patient's age, which the wording may mention.
        norm_age_days: the age whose norms the trace was made after, against which rate and axis are judged.
        sex: "F" or "M" per record.
        language: "en", "de" or "zh".

    Raises:
        UnknownNameError: another language.
    """
    if language not in LANGUAGES:
        raise UnknownNameError("language of reports", language, LANGUAGES)
    chance = streams.uniforms(Stream.REPORT, 4).tolist()
    seen, variants = _seen(diagnoses, measurements["heart_rate"], norm_age_days, sex)
    named = [_named(row.tobytes()) for row in np.packbits(seen, axis=1)]
    axis = _axis(measurements["qrs_axis_deg"], norm_age_days, sex).tolist()
    degree = np.searchsorted(_DEGREE_BOUNDS, [diagnoses.severity[code] for code in order()]).T
    child = (np.nan_to_num(age_days, nan=ADULT_DAYS) < ADULT_DAYS).tolist()
    denials = _may_deny(diagnoses)
    reports = []
    for row, (places, everything) in enumerate(named):
        findings = tuple((place, int(variants[row, place])) for place in places)
        if not everything or len(places) > 1:
            content = _several(findings, chance[row])
        elif _healthy()[places]:
            content = _well(findings, chance[row], axis[row], child[row])
        else:
            said = int(degree[row, places[0]])
            content = _one(findings, chance[row], said, axis[row], child[row], denials[row])
        reports.append(_text(language, content))
    return reports


def order() -> tuple[str, ...]:
    """Codes of all conditions in the order in which a report says them."""
    return tuple(_table()["findings_order"])


def every(language: Language) -> Iterator[str]:
    """Every report that can be written in a language, with repeats."""
    for content in _every():
        yield _text(language, content)
