"""What an audit found: in sentences, as JSON, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from auricle.age import AGE_BANDS, describe
from auricle.audit.scores import Scored
from auricle.disclaimer import RESEARCH_USE
from auricle.evaluate.by_age import RATES, ByAge, ClassByAge, Curve, InBand, Rate, Unfit
from auricle.origin import origin

NAMES: Final[dict[Rate, str]] = {
    "sensitivity": "sensitivity", "false_positives": "false positives", "calibration": "calibration",
    "covered_with": "covered of those with it", "covered_without": "covered of those without", "decided": "decided",
}  # fmt: skip
# Of a terminal; the page has all.
_MOST_LINES: Final = 20
# Fewer people who have a class say little about it at any age.
FEW_POSITIVE: Final = 10


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit of one model.

    Attributes:
        model: its name.
        task: what it was asked.
        found: by age.
        scored: what it was read from, whole.
        thresholds_from: where the scores come from at which classes are called, in words.
        sets_from: where the sets of answers come from whose coverage is told, in words; empty where none is.
        margin: beyond which a rate is held against it.
        n_bootstrap: replicates of the intervals.
        notes: what a reader should know.
    """

    model: str
    task: str
    found: ByAge
    scored: Scored
    thresholds_from: str
    sets_from: str
    margin: float
    n_bootstrap: int
    notes: tuple[str, ...] = ()


def lead(audit: Audit) -> str:
    """What was found, in a few sentences."""
    found = audit.found
    bad = [one for one in found.classes if one.unfit]
    tested = [one for one in found.classes if any(np.isfinite(curve.value).any() for curve in one.curves.values())]
    said = (
        f"{audit.model} was asked for {len(found.classes)} classes of {audit.task} on {found.n_records} records of "
        f"{found.n_patients} people of {describe(float(found.ages_days[0]))} to "
        f"{describe(float(found.ages_days[-1]))}. Thresholds: {audit.thresholds_from}. "
    )
    if audit.sets_from:
        said += f"Sets of answers: {audit.sets_from}. "
    if not tested:
        return said + "Nothing could be tested: at no age are there enough people with a class and without it."
    if not bad:
        return said + (
            f"Of {len(tested)} classes that could be tested at some age, no rate is surely more than "
            f"{audit.margin:.2f} on the wrong side."
        )
    names = ", ".join(one.name for one in bad)
    return said + f"At some ages {len(bad)} of them should not be asked: {names}."


def printed(audit: Audit) -> list[str]:
    """What a terminal says: what was found, the ages to stay away from, and what could not be told."""
    found = audit.found
    lines = [f"  {sentence(one.name, where)}" for one in found.classes for where in one.unfit]
    said = [lead(audit), *lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        said.append(f"  and {len(lines) - _MOST_LINES} more, on the page")
    untested = [one.name for one in found.classes if one.untested]
    if untested:
        ages = f"{describe(float(found.ages_days[0]))} to {describe(float(found.ages_days[-1]))}"
        told = ", ".join(untested)
        said.append(f"Untested at some ages between {ages}, because too few have them, or have them not: {told}.")
    return [*said, *not_told(found), *audit.notes]


def not_told(found: ByAge) -> list[str]:
    """Of which classes and records nothing, or not all, is said, and why."""
    said = []
    if found.left_out:
        told = ", ".join(found.left_out)
        said.append(f"Not shown, because nobody of those reported has them, or everybody: {told}.")
    bare = [one.name for one in found.classes if math.isnan(one.threshold)]
    if bare:
        said.append(
            "No threshold leaves the wanted share of false positives (too few people, or a model that says yes or no): "
            f"{', '.join(bare)}. Give one (--threshold)."
        )
    if found.n_ageless:
        said.append(f"{found.n_ageless} records are left out because their age is unknown, or none a person can have.")
    return said


def sentence(name: str, unfit: Unfit) -> str:
    """One reason to stay away from an age, with its interval."""
    ages = f"{describe(unfit.low_days)} to {describe(unfit.high_days)}"
    if unfit.low_days == unfit.high_days:
        ages = describe(unfit.low_days)
    if unfit.rate == "calibration":
        more = "more" if unfit.value > 0 else "less"
        by = f"{abs(unfit.value):.2f} [{min(abs(unfit.low), abs(unfit.high)):.2f} to "
        by += f"{max(abs(unfit.low), abs(unfit.high)):.2f}]"
        return f"{name}, {ages}: its probabilities say {by} {more} than people had."
    behind = f"{unfit.n_drivers} records of {unfit.n_patients} people are behind it"
    share = f"{100 * unfit.value:.0f} % [{100 * unfit.low:.0f} to {100 * unfit.high:.0f}]"
    if unfit.rate in ("covered_with", "covered_without"):
        whom = "with it" if unfit.rate == "covered_with" else "without it"
        return (
            f"{name}, {ages}: the sets hold what is so for {share} of those {whom}, and "
            f"{100 * unfit.expected:.0f} % were promised; {behind}."
        )
    what = "of those without it are called" if unfit.rate == "false_positives" else "of those with it are found"
    return f"{name}, {ages}: {share} {what}, and {100 * unfit.expected:.0f} % over all ages; {behind}."


def overview(found: ByAge) -> list[list[str]]:
    """Rows of all classes, the header first: how many, the threshold, and each rate over all ages."""
    known = [rate for rate in RATES if any(rate in one.overall for one in found.classes)]
    rows = [["class", "n", "have it", "threshold", *(NAMES[rate] for rate in known), "stretches of age to avoid"]]
    for one in found.classes:
        rates = [f"{one.overall[rate]:.2f}" if rate in one.overall else "–" for rate in known]
        avoid = str(len(one.unfit)) if one.unfit else "–"
        rows.append([one.name, str(one.n), str(one.n_positive), threshold_text(one), *rates, avoid])
    return rows


def threshold_text(one: ClassByAge) -> str:
    """From which score on a class is called."""
    return f"{one.threshold:.3f}" if math.isfinite(one.threshold) else "–"


def bands_table(one: ClassByAge) -> list[list[str]]:
    """A class within age bands, the header first; with the number of records of each rate."""
    rows = [["age", *(text for rate in one.bands for text in (f"{NAMES[rate]} (95 %)", "n"))]]
    for number, band in enumerate(AGE_BANDS):
        cells = [bands[number] for bands in one.bands.values()]
        if any(cell.n for cell in cells):
            told = [text for cell in cells for text in (_with_interval(cell), str(cell.n))]
            rows.append([band.name, *told])
    return rows


def people(scored: Scored) -> list[tuple[str, int, int]]:
    """Of each age band with anybody in it: its name, how many were asked and read, and how many got no answer."""
    days, refused = scored.predictions.age_days, scored.refused_days
    rows = []
    for band in AGE_BANDS:
        n, none = (int(band.holds(one).sum()) for one in (days, refused))
        rows.append((band.name, n + none, none))
    rows.append(("unknown", int(np.isnan(days).sum() + np.isnan(refused).sum()), int(np.isnan(refused).sum())))
    return [row for row in rows if row[1]]


def to_dict(audit: Audit) -> dict[str, Any]:
    """The audit as plain data for JSON; what does not exist is None."""
    found, scored = audit.found, audit.scored
    return {
        **origin(),
        "model": audit.model,
        "task": audit.task,
        "thresholds_from": audit.thresholds_from,
        "sets_from": audit.sets_from,
        "margin": audit.margin,
        "bootstrap": {"n": audit.n_bootstrap, "unit": "patient", "confidence": 0.95},
        # Of all that were asked.
        "n_asked": len(scored.predictions) + len(scored.refused_days) + scored.n_unread,
        "n_refused": len(scored.refused_days),
        "n_unread": scored.n_unread,
        "people": [{"band": name, "n": n, "refused": refused} for name, n, refused in people(scored)],
        # Of those that are reported, and did not choose thresholds.
        "n_records": found.n_records,
        "n_patients": found.n_patients,
        "n_without_age": found.n_ageless,
        "sources": list(scored.sources),
        "left_out": list(found.left_out),
        "notes": list(audit.notes),
        "ages_days": _plain(found.ages_days),
        "classes": {one.name: _class(one) for one in found.classes},
        "disclaimer": RESEARCH_USE,
    }


def _class(one: ClassByAge) -> dict[str, Any]:
    return {
        "threshold": _finite(one.threshold),
        "n": one.n,
        "n_positive": one.n_positive,
        "overall": {rate: _finite(value) for rate, value in one.overall.items()},
        "curves": {rate: _curve(curve) for rate, curve in one.curves.items()},
        "bands": {
            rate: [
                {"band": cell.band, "n": cell.n}
                | {key: _finite(getattr(cell, key)) for key in ("value", "low", "high")}
                for cell in cells
            ]
            for rate, cells in one.bands.items()
        },
        "unfit": [
            {
                "rate": where.rate, "from_days": where.low_days, "to_days": where.high_days,
                "value": where.value, "low": where.low, "high": where.high, "expected": where.expected,
                "n_records": where.n_drivers, "n_patients": where.n_patients, "sentence": sentence(one.name, where),
                "records": [
                    {"record_id": driver.record_id, "age_days": driver.age_days, "score": driver.score}
                    for driver in where.drivers
                ],
            }
            for where in one.unfit
        ],
        "untested_days": [list(pair) for pair in one.untested],
    }  # fmt: skip


def _curve(curve: Curve) -> dict[str, list[float | None]]:
    return {name: _plain(getattr(curve, name)) for name in ("value", "low", "high", "n")}


def _plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [_finite(float(value)) for value in values]


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _with_interval(cell: InBand) -> str:
    if not math.isfinite(cell.value):
        return "–"
    return f"{cell.value:.2f} ({cell.low:.2f} to {cell.high:.2f})"
