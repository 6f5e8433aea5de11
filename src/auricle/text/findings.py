"""Reports as findings: what is stated, on which side, to what degree, where, how surely, or denied.

Two reports A+B+C and A+D+E share a diagnosis and should not repel each other; "LBBB" and "RBBB" share all words but one
and should. Sentence embeddings get both wrong (see `similarity`). With parsed statements the similarity S of the LISA
proposal (section 3.3) is the weighted Jaccard of the diagnoses that reports affirm, rare ones weighing more. A concept
on which two reports contradict each other (side, degree, territory, denial) adds nothing to what they share, and what
else they share still counts. Sinus rhythm, a normal axis and "normal" or "abnormal ECG" name no diagnosis.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from auricle.text.reports import sentences

_NEGATION: Final = re.compile(
    r"\b(?:no|not|without|absence of|absent|denies|never|no (?:ecg )?evidence (?:of|to suggest)|negative for)\b"
)
_UNCERTAIN_BEFORE: Final = re.compile(
    r"\b(?:(?<!is )possibl[ey]|probabl[ey]|likely|suggest(?:s|ing|ive)?(?: of)?|consider|borderline|may be(?: due to)?|"
    r"suspect(?:ed)?|consistent with|cannot exclude|as in|"
    r"(?:commonly|often|usually) (?:due to|caused by|seen (?:in|with)))\b"
)
# Within the words of a finding: what a voltage alone suggests is not affirmed, nor is what is normal at the border.
_UNCERTAIN_WITHIN: Final = re.compile(r"^(?:voltage criteria for|borderline)\b")
_UNCERTAIN_AFTER: Final = re.compile(
    r"^\W*(?:age undetermined\W*)?(?:cannot be excluded|can not be excluded|possible|is possible|probable|"
    r"should be considered|likely|is likely|is a likely cause|probably (?:old|normal)|by voltage)"
)
# Words after which an earlier denial no longer holds.
_SCOPE_END: Final = re.compile(r"\b(?:but|however|otherwise|although|except|with|now)\b")
# Findings joined so share a denial or a doubt, and where neither is said either may be what is meant.
_ALTERNATIVE: Final = re.compile(r"^\W*(?:or|nor)\W*$")
# What stands behind an "or" may not be what is meant ("right or left bundle branch block").
_EITHER: Final = re.compile(r"\bor\W*$")
# A denial or a doubt reaches this many words ahead; carts write without punctuation.
_REACH_WORDS: Final = 6
_DEGREES: Final = {
    "1st": "first", "2nd": "second", "3rd": "third", "fast": "rapid", "long": "prolonged", "partial": "incomplete",
    "severe": "marked", "extreme": "marked",
}  # fmt: skip
_SIDES: Final = {
    "lv": "left", "rv": "right", "within normal limits": "normal", "northwest": "superior", "extreme": "superior",
}  # fmt: skip
_NORMAL: Final = "normal_ecg"
ABSENT: Final = "absent"
"""The value of a concept that a report denies."""
# Degrees of severity do not contradict each other: mild and marked hypertrophy of one side agree.
_SEVERITIES: Final = frozenset({"mild", "moderate", "marked", "borderline"})
_TERRITORY: Final = re.compile(
    r"\b(?:high )?(anteroseptal|anterolateral|inferolateral|inferoposterior|posterolateral|anterior|septal|inferior|"
    r"lateral|posterior|widespread|limb leads|chest leads)\b"
)
_PARTS: Final = {
    "anteroseptal": ("anterior", "septal"), "anterolateral": ("anterior", "lateral"),
    "inferolateral": ("inferior", "lateral"), "inferoposterior": ("inferior", "posterior"),
    "posterolateral": ("posterior", "lateral"), "limb leads": ("limb",), "chest leads": ("chest",),
}  # fmt: skip
_LEAD: Final = re.compile(r"\b(i{1,3}|av[rlf]|v[1-9](?:\s?[-,]\s?v?[1-9])*)(?=[\s,.;)]|$)")
_LEAD_TERRITORY: Final = {
    "i": "lateral", "avl": "lateral", "v5": "lateral", "v6": "lateral", "ii": "inferior", "iii": "inferior",
    "avf": "inferior", "v1": "septal", "v2": "septal", "v3": "anterior", "v4": "anterior",
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """One thing a report says.

    Attributes:
        concept: key of the vocabulary, such as `bundle_branch_block`.
        side: left, right, normal ..., "" where it does not apply.
        degree: first, incomplete, marked ..., or "".
        territory: joined by "+", such as `anterior+septal`, or "".
        negated: the report denies it.
        possible: stated with doubt, which does not change the value.
    """

    concept: str
    side: str = ""
    degree: str = ""
    territory: str = ""
    negated: bool = False
    possible: bool = False

    @property
    def value(self) -> str:
        """Text that is equal for two statements that agree on the concept: "absent", or side, degree and territory."""
        degree = "" if self.degree in _SEVERITIES else self.degree
        return ABSENT if self.negated else "/".join((self.side, degree, self.territory))


@dataclass(frozen=True, slots=True)
class _Concept:
    """One concept of the vocabulary: what its mentions look like, and its codes in other systems."""

    name: str
    patterns: tuple[re.Pattern[str], ...]
    has_territory: bool
    degrees: Mapping[str, str]
    scp: tuple[str, ...]
    snomed: tuple[str, ...]
    codes: Mapping[str, Mapping[str, list[str]]]
    trivial: bool
    trivial_sides: frozenset[str]

    def tells(self, value: str) -> bool:
        """Whether a value (`Statement.value`, several of them joined by `|`) names a diagnosis."""
        sides = {part.split("/")[0] for part in value.split("|")}
        return not self.trivial and value != ABSENT and not sides <= self.trivial_sides


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, _Concept]:
    """All concepts that `parse` finds, by name."""
    table = tomllib.loads(files("auricle.text").joinpath("findings.toml").read_text(encoding="utf-8"))
    return {
        name: _Concept(
            name,
            tuple(re.compile(rf"(?<![a-z]){pattern}(?![a-z])") for pattern in entry["patterns"]),
            entry.get("territory", False),
            _DEGREES | entry.get("degrees", {}),
            tuple(entry.get("scp", ())),
            tuple(entry.get("snomed", ())),
            entry.get("codes", {}),
            entry.get("trivial", False),
            frozenset(entry.get("trivial_sides", ())),
        )
        for name, entry in table["concepts"].items()
    }


def codes(statement: Statement, system: str) -> tuple[str, ...]:
    """SCP or SNOMED CT codes (`system` "scp" or "snomed") of an affirmed statement; none where there are none."""
    if statement.negated:
        return ()
    concept = vocabulary()[statement.concept]
    for attribute in (f"{statement.degree} {statement.side}", statement.side, statement.degree):
        if attribute in concept.codes:
            return tuple(concept.codes[attribute].get(system, ()))
    return concept.scp if system == "scp" else concept.snomed


def parse(text: str) -> tuple[Statement, ...]:
    """The statements of a cleaned English report, in a fixed order, each once.

    A normal ECG ("otherwise normal ECG") beside a diagnosis is stated with doubt.
    """
    found: set[Statement] = set()
    for sentence in sentences(text):
        found |= set(_statements(sentence))
    if any(not one.negated and vocabulary()[one.concept].tells(one.value) for one in found):
        found = {replace(one, possible=True) if one.concept == _NORMAL and not one.negated else one for one in found}
    return tuple(sorted(found))


def _statements(sentence: str) -> Iterable[Statement]:
    matches = [
        (match.start(), -(match.end() - match.start()), match, concept)
        for concept in vocabulary().values()
        for pattern in concept.patterns
        for match in pattern.finditer(sentence)
    ]
    taken_until = 0
    kept = []
    for start, _, match, concept in sorted(matches, key=lambda item: item[:2]):
        if start >= taken_until:  # at one place the longest pattern speaks
            kept.append((match, concept))
            taken_until = match.end()
    before: Statement | None = None
    for number, (match, concept) in enumerate(kept):
        between = sentence[kept[number - 1][0].end() if number else 0 : match.start()]
        behind = sentence[match.end() : kept[number + 1][0].start() if number + 1 < len(kept) else len(sentence)]
        joined = before if before is not None and _ALTERNATIVE.match(between) else None
        before = _statement(match, concept, between, behind, joined)
        either = _EITHER.search(between) is not None or (
            number + 1 < len(kept) and _ALTERNATIVE.match(behind) is not None
        )
        yield replace(before, possible=True) if either and not before.negated else before


def _statement(
    match: re.Match[str], concept: _Concept, between: str, behind: str, joined: Statement | None
) -> Statement:
    """One statement from its match, the words since the last one, the words up to the next, and the one it is an
    alternative to (`no st elevation or depression`, `strain or ischaemia`), whose denial or doubt it shares."""
    groups = match.groupdict()
    degree = groups.get("degree") or groups.get("degree2") or ""
    side = groups.get("side") or ""
    affirms_by_denying = match.group().startswith(("no ", "with"))
    negated = not affirms_by_denying and (_denied(between) or (joined is not None and joined.negated))
    words_before = " ".join(between.split()[-_REACH_WORDS:])
    possible = bool(_UNCERTAIN_BEFORE.search(words_before) or _UNCERTAIN_AFTER.match(behind))
    possible = possible or bool(_UNCERTAIN_WITHIN.match(match.group())) or (joined is not None and joined.possible)
    territory = ""
    if concept.has_territory and not negated:
        territory = _territory(between) or _territory(behind)
    return Statement(
        concept.name, _SIDES.get(side, side), concept.degrees.get(degree, degree), territory, negated, possible
    )


def _denied(between: str) -> bool:
    """Whether the words before a finding deny it: a denial in reach, with nothing after it that ends its scope."""
    denials = list(_NEGATION.finditer(between))
    if not denials:
        return False
    reach = between[denials[-1].end() :]
    return len(reach.split()) <= _REACH_WORDS and not _SCOPE_END.search(reach)


def _territory(text: str) -> str:
    parts: set[str] = set()
    for match in _TERRITORY.finditer(text):
        parts |= set(_PARTS.get(match.group(1), (match.group(1),)))
    if not parts:
        for match in _LEAD.finditer(text):
            for lead in _leads(match.group(1)):
                parts |= {_LEAD_TERRITORY[lead]} if lead in _LEAD_TERRITORY else set()
    return "+".join(sorted(parts))


def _leads(text: str) -> list[str]:
    """`v4,5,6` and `v2-5` as lead names."""
    if not text.startswith("v"):
        return [text]
    numbers = [int(number) for number in re.findall(r"\d", text)]
    if "-" in text and len(numbers) == 2:
        numbers = list(range(min(numbers), max(numbers) + 1))
    return [f"v{number}" for number in numbers]


def similarity(rows: Float[Tensor, "r f"], columns: Float[Tensor, "c f"]) -> Float[Tensor, "r c"]:
    """(r, c) S of encoded reports: the weight of the diagnoses they share over that of all they name, 0 to 1.

    A concept has one column for each value, so that two reports that contradict each other on it share nothing there.

    Args:
        rows, columns: (r, f) and (c, f) diagnoses, as square roots of weights (see `FindingsSpace.encode`).
    """
    shared = rows @ columns.T
    total = rows.square().sum(-1)[:, None] + columns.square().sum(-1)[None] - shared
    return torch.where(total > 0, shared / total.clamp_min(1e-9), 0.0).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class FindingsSpace:
    """Columns for the (concept, value) pairs of a corpus, with weights; fitted once and reused.

    A value at encoding time that the corpus never had gets no column, so it equals no other value.

    Attributes:
        columns: number of each (concept, value).
        weights: (f,) smoothed inverse document frequency, 1 for a finding in every report.
    """

    columns: dict[tuple[str, str], int]
    weights: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> FindingsSpace:
        """Columns and weights from the distinct reports of a corpus, in English."""
        counts = Counter(pair for text in texts for pair in _values(text).items())
        columns = {pair: number for number, pair in enumerate(sorted(counts))}
        n = len(texts)
        weights = np.array([1 + np.log((1 + n) / (1 + counts[pair])) for pair in columns], dtype=np.float32)
        return cls(columns, weights)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Findings and diagnoses of n English reports.

        Returns:
            (n, f) the square root of a finding's weight where a report states it, affirmed or denied; and the same with
            only the findings that name a diagnosis.
        """
        findings = np.zeros((len(texts), len(self.columns)), dtype=np.float32)
        for row, text in enumerate(texts):
            for pair in _values(text).items():
                column = self.columns.get(pair)
                if column is not None:
                    findings[row, column] = np.sqrt(self.weights[column])
        tells = np.array([vocabulary()[concept].tells(value) for concept, value in self.columns], dtype=bool)
        return findings, np.where(tells, findings, np.float32(0))

    def to_dict(self) -> dict[str, Any]:
        """Columns and weights as plain data for JSON."""
        return {"columns": [list(pair) for pair in self.columns], "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FindingsSpace:
        """The space whose columns and weights `to_dict` wrote."""
        columns = {(concept, value): number for number, (concept, value) in enumerate(values["columns"])}
        weights = np.array(values["weights"], dtype=np.float32)
        return cls(columns, weights)


def _values(text: str) -> dict[str, str]:
    """The values of each concept a report mentions, joined; a denial beside an affirmation is left out."""
    by_concept: dict[str, set[str]] = {}
    for statement in parse(text):
        by_concept.setdefault(statement.concept, set()).add(statement.value)
    return {
        concept: "|".join(sorted(values - {ABSENT} if len(values) > 1 else values))
        for concept, values in by_concept.items()
    }
