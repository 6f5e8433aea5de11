"""How well a technical property of a recording tells the age or a label: what a model could learn instead of the ECG.

Patients are counted, not recordings, because the recordings of a person resemble each other. Significance comes from
tables with the same margins drawn at random, so that sparse tables need no large-sample theory.
Source of the corrected Cramér's V: Bergsma, Journal of the Korean Statistical Society 42 (2013) 323-328.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import random_table

from auricle.doctor.case import BANDS, UNKNOWN_BAND, Case, most_frequent
from auricle.doctor.model import Betrayal, Finding
from auricle.leads import STANDARD

Counts = NDArray[np.int64]

_DRAWS: Final = 999
_SEED: Final = 0
# A level or a label of fewer patients is not tested; such levels are taken together.
_FEWEST: Final = 5
_OTHERS: Final = "others"
_AGE_PRESENT: Final = "presence of an age"
_STRONG_V: Final = 0.3
_STRONG_BAND_AUROC: Final = 0.75
_STRONG_AUROC: Final = 0.65
_ALPHA: Final = 0.05
_MOST_LABELS: Final = 60
# Lengths are compared to a tenth of a second where recorders have few of them, else by these bounds.
_MOST_LENGTHS: Final = 8
_LENGTH_BOUNDS_S: Final = (5.0, 9.5, 10.5, 30.5, 120.0)
_LENGTH_NAMES: Final = ("< 5 s", "5-9.5 s", "9.5-10.5 s", "10.5-30 s", "30-120 s", "> 120 s")


def find_betrayals(cases: Sequence[Case], labels: Sequence[str]) -> list[Betrayal]:
    """Every property against the age band and against every label of enough patients; those that betray come first.

    Args:
        cases: usable lines; without traces only the site and what is missing can be compared.
        labels: the labels that may be named.
    """
    # What is compared, and the significance level, shared among all comparisons (Bonferroni).
    rng = np.random.default_rng(_SEED)
    bands = [str(case.band) for case in cases]
    found: list[Betrayal] = []
    categories = _categories(cases)
    positives = {label: {case.patient for case in cases if label in case.labels} for label in labels[:_MOST_LABELS]}
    tested = {label: patients for label, patients in positives.items() if len(patients) >= _FEWEST}
    limit = max(1 / (_DRAWS + 1), _ALPHA / max(1, len(categories) * (1 + len(tested))))
    # Every property against the age band, then against each label; a recording without labels counts for no label.
    labelled = [case for case in cases if case.labels]
    by_age = {label: _label_auroc(labelled, _of(cases, bands), patients) for label, patients in tested.items()}
    for name, values in categories.items():
        of = _of(cases, values)
        age = _age_betrayal(name, cases, of, limit, rng) if name != _AGE_PRESENT else None
        found += [age] if age else []
        for label, patients in tested.items():
            betrayal = _label_betrayal(name, label, labelled, of, patients, by_age[label], limit, rng)
            found += [betrayal] if betrayal else []
    return sorted(found, key=lambda each: (not each.betrays, each.measure != "Cramér's V", -each.value, each.category))


def betrayal_findings(betrayals: Sequence[Betrayal]) -> list[Finding]:
    """A warning for each property that betrays the age or a label."""
    return [
        Finding(
            "warning",
            "betrays_age" if each.age_alone is None else "betrays_label",
            f"the {each.category} betrays the {'age' if each.age_alone is None else f'label “{each.target}”'}: "
            f"{each.measure} {each.value:.2f} ({each.detail})",
        )
        for each in betrayals
        if each.betrays
    ]


def lead_set(leads: Sequence[str]) -> str:
    """A lead set in words: its names and how many there are, or "the twelve standard leads"."""
    if tuple(leads) == STANDARD:
        return "the twelve standard leads"
    return f"{' '.join(leads)} ({len(leads)} lead{'s' if len(leads) > 1 else ''})"


def _of(cases: Sequence[Case], values: Sequence[str]) -> Mapping[int, str]:
    """Values of a property by the line of their case."""
    return {case.line: value for case, value in zip(cases, values, strict=True)}


def _categories(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The value of every property for each case, for the properties that vary; no value names a person or a place."""
    traces = [case.trace for case in cases]
    lengths = Counter(round(trace.seconds, 1) for trace in traces if trace)
    few = len(lengths) <= _MOST_LENGTHS
    sites: dict[str, str] = {}
    for case in cases:
        # A folder may be called after a patient: sites are numbered, and a line shows which is meant.
        sites.setdefault(case.site, f"site {len(sites) + 1} (line {case.line})")
    categories = {
        "lead set": [lead_set(trace.leads) if trace else "" for trace in traces],
        "sampling rate": [f"{trace.rate_hz:g} Hz" if trace else "" for trace in traces],
        "file format": [trace.format if trace else "" for trace in traces],
        "length": [_length(trace.seconds, few) if trace else "" for trace in traces],
        "site": [sites[case.site] for case in cases],
        "presence of a report": ["given" if case.row.report else "missing" for case in cases],
        "presence of a sex": ["given" if case.sex else "missing" for case in cases],
        _AGE_PRESENT: ["given" if case.age else "missing" for case in cases],
    }
    return {name: values for name, values in categories.items() if len(set(values) - {""}) > 1}


def _length(seconds: float, few: bool) -> str:
    if few:
        return f"{round(seconds, 1):g} s"
    return _LENGTH_NAMES[int(np.searchsorted(_LENGTH_BOUNDS_S, seconds))]


def _patient_values(cases: Sequence[Case], of: Mapping[int, str], unit: Callable[[Case], str]) -> dict[str, str]:
    """The value of a property for each unit (a patient, or a patient in an age band): its most frequent one.

    Args:
        cases: whose units.
        of: values of the property, by line; empty where unknown.
        unit: names the unit of a case.

    Returns:
        Values by unit; those of fewer than five units are taken together.
    """
    values: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if of[case.line]:
            values[unit(case)].append(of[case.line])
    chosen = {name: most_frequent(given) for name, given in values.items()}
    count = Counter(chosen.values())
    return {name: value if count[value] >= _FEWEST else _OTHERS for name, value in chosen.items()}


def _age_betrayal(
    name: str, cases: Sequence[Case], of: Mapping[int, str], limit: float, rng: np.random.Generator
) -> Betrayal | None:
    """Cramér's V of a property and the age band over patients; None where either does not vary."""
    # (level, band) how many patients.
    aged = [case for case in cases if case.band != UNKNOWN_BAND]
    bands = {f"{case.band}/{case.patient}": case.band for case in aged}
    values = _patient_values(aged, of, lambda case: f"{case.band}/{case.patient}")
    levels, columns = sorted(set(values.values())), sorted({bands[unit] for unit in values})
    if len(levels) < 2 or len(columns) < 2:
        return None
    table = np.zeros((len(levels), len(columns)), dtype=np.int64)
    for unit, value in values.items():
        table[levels.index(value), columns.index(bands[unit])] += 1
    # Its strength, and how often a random table with the same margins is as strong.
    v, chi2 = _cramers_v(table), _chi2(table)
    draws = random_table(table.sum(axis=1), table.sum(axis=0)).rvs(_DRAWS, random_state=rng).astype(np.int64)
    p = (1 + int((_chi2(draws) >= chi2 - 1e-9).sum())) / (_DRAWS + 1)
    # How well each band of enough patients is told from all others.
    told = [
        (float(_auroc(table[:, i], table.sum(axis=1) - table[:, i])), band)
        for i, band in enumerate(columns)
        if table[:, i].sum() >= _FEWEST
    ]
    # Of bands told equally well the youngest is named, because errors of a model do most harm there.
    best, band = max(told, key=lambda pair: (round(pair[0], 9), -pair[1]), default=(math.nan, columns[0]))
    return Betrayal(
        name, "age band", "Cramér's V", v, p, p <= limit and (v >= _STRONG_V or best >= _STRONG_BAND_AUROC),
        int(table.sum()), f"{BANDS[band]} is told best, AUROC {best:.2f}" if told else "", None, tuple(levels),
        tuple(BANDS[column] for column in columns), tuple(map(tuple, table.tolist())),
    )  # fmt: skip


def _label_betrayal(
    name: str, label: str, cases: Sequence[Case], of: Mapping[int, str], patients: set[str], by_age: float | None,
    limit: float, rng: np.random.Generator,
) -> Betrayal | None:  # fmt: skip
    """AUROC of a property for a label over patients; None with one level, or too few patients with or without it."""
    values = _patient_values(cases, of, lambda case: case.patient)
    levels = sorted(set(values.values()))
    positive, negative = _by_level(values, levels, patients)
    if len(levels) < 2 or min(positive.sum(), negative.sum()) < _FEWEST:
        return None
    value = float(_auroc(positive, negative))
    # How often labels dealt at random to the patients are told as well.
    total = positive + negative
    draws = rng.multivariate_hypergeometric(total, int(positive.sum()), size=_DRAWS)
    p = (1 + int((_auroc(draws, total - draws) >= value - 1e-9).sum())) / (_DRAWS + 1)
    top = int(np.argmax(positive / total))
    return Betrayal(
        name, label, "AUROC", value, p, p <= limit and value >= _STRONG_AUROC, int(total.sum()),
        f"{positive[top]} of {total[top]} patients with “{levels[top]}” have it", by_age, tuple(levels),
        ("with the label", "without"), tuple(zip(positive.tolist(), negative.tolist(), strict=True)),
    )  # fmt: skip


def _label_auroc(cases: Sequence[Case], of: Mapping[int, str], patients: set[str]) -> float:
    values = _patient_values(cases, of, lambda case: case.patient)
    return float(_auroc(*_by_level(values, sorted(set(values.values())), patients)))


def _by_level(values: Mapping[str, str], levels: Sequence[str], patients: set[str]) -> tuple[Counts, Counts]:
    """(level,) patients of each level that are among `patients`, and (level,) those that are not."""
    place = {level: number for number, level in enumerate(levels)}
    rows = np.array([place[value] for value in values.values()], dtype=np.int64)
    has = np.array([patient in patients for patient in values], dtype=bool)
    return np.bincount(rows[has], minlength=len(levels)), np.bincount(rows[~has], minlength=len(levels))


def _auroc(positive: Counts, negative: Counts) -> NDArray[np.float64]:
    """AUROC (...) of a property's levels (..., level), each scored by its own share of positives; NaN without both."""
    total = np.maximum(positive + negative, 1)
    order = np.argsort(positive / total, axis=-1)
    up, down = np.take_along_axis(positive, order, -1), np.take_along_axis(negative, order, -1)
    below = np.cumsum(down, axis=-1) - down
    pairs = up.sum(axis=-1) * down.sum(axis=-1)
    won = (up * (below + 0.5 * down)).sum(axis=-1)
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def _chi2(table: Counts) -> NDArray[np.float64]:
    """Pearson's statistic of tables (..., row, column) without empty rows or columns."""
    counts = table.astype(np.float64)
    n = counts.sum(axis=(-2, -1), keepdims=True)
    expected = counts.sum(axis=-1, keepdims=True) * counts.sum(axis=-2, keepdims=True) / n
    statistic: NDArray[np.float64] = ((counts - expected) ** 2 / expected).sum(axis=(-2, -1))
    return statistic


def _cramers_v(table: Counts) -> float:
    """Cramér's V of a (row, column) table, corrected for the value that chance alone would give (Bergsma 2013)."""
    n, (rows, columns) = int(table.sum()), table.shape
    phi2 = max(0.0, float(_chi2(table)) / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi2 / least)) if least > 0 else 0.0
