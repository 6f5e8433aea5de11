"""The page of an audit: the ages to stay away from, then each class as curves over age with bands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from auricle.age import ADULT_DAYS, AGE_BANDS, describe
from auricle.audit.report import (
    FEW_POSITIVE,
    NAMES,
    Audit,
    bands_table,
    lead,
    not_told,
    overview,
    people,
    sentence,
    threshold_text,
)
from auricle.evaluate.by_age import ByAge, ClassByAge, Rate, Unfit
from auricle.pages.page import Page, Section
from auricle.pages.style import COLOURS, HATCHES, INK, MUTED, TEXT_PT, WIDTH, age_axis, age_place, blank_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Figures of more classes make a page that nobody looks through; all are in the table and in audit.json.
_MOST_FIGURES: Final = 12
_ROW_HEIGHT: Final = 1.9
# Why a record is among those behind a rate.
_WHY: Final[Mapping[Rate, str]] = {
    "sensitivity": "missed", "false_positives": "called, and has it not",
    "covered_with": "has it, and its set has not", "covered_without": "has it not, and its set says it has",
}  # fmt: skip


def audit_page(audit: Audit, command: str = "") -> Page:
    """The page of an audit.

    Args:
        audit: what was found.
        command: the command line that made it.
    """
    page = Page(f"{audit.model} by age", lead(audit), command)
    page.add(_ages_to_avoid(audit))
    page.add(
        Section(
            "All classes",
            "Sensitivity is the share called of those who have a class, false positives that of those who have it "
            "not, calibration the mean probability less the share who have it, covered the share whose set of answers "
            "holds what is so, decided the share whose set is one answer; all over all ages.",
            table=overview(audit.found),
            note="\n\n".join(not_told(audit.found)),
        )
    )
    page.add(_people(audit))
    for one in shown(audit.found.classes):
        prose = (
            f"{one.n_positive} of {one.n} have it; it is called from {threshold_text(one)} on. The dashed line is the "
            "rate over all ages (0 of the calibration, the promise of those covered), the band the 95 % interval of "
            "each age by itself, squares the rates within bands. A "
            "curve dilutes what is narrower than eight days at birth or a quarter of the age later on."
        )
        page.add(
            Section(
                one.name,
                prose,
                table=bands_table(one),
                figure=curves_figure(audit.found, one),
                caption=f"Rates of {one.name} over age. Hatched: ages at which it should not be asked.",
                note=_untested(one),
            )
        )
    return page


def shown(classes: Sequence[ClassByAge]) -> list[ClassByAge]:
    """The classes that get a figure: those with ages to stay away from first, then those most people have."""
    enough = [one for one in classes if one.unfit or one.n_positive >= FEW_POSITIVE]
    return sorted(enough, key=lambda one: (not one.unfit, -one.n_positive))[:_MOST_FIGURES]


def curves_figure(found: ByAge, one: ClassByAge) -> Figure:
    """The rates of a class over age, one above the other."""
    figure = blank_figure(WIDTH, _ROW_HEIGHT * len(one.curves) + 0.4)
    rows = figure.subplots(len(one.curves), 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, rate) in enumerate(zip(rows, one.curves, strict=True)):
        _panel(axes, found, one, rate, COLOURS[number])
        if number < len(rows) - 1:
            axes.set_xlabel("")
    return figure


def _panel(axes: Axes, found: ByAge, one: ClassByAge, rate: Rate, colour: str) -> None:
    curve, ages = one.curves[rate], found.ages_days
    style(axes, NAMES[rate])
    place = age_place(ages)
    for where in one.unfit:
        if where.rate == rate:
            _shade(axes, ages, where)
    axes.fill_between(place, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(place, curve.value, color=colour, linewidth=1.8)
    axes.axhline(one.expected[rate], color=MUTED, linewidth=1, linestyle=(0, (5, 3)))
    for band, cell in zip(AGE_BANDS, one.bands[rate], strict=True):
        if cell.n:
            low, high = max(band.low_days, float(ages[0])), min(band.high_days, float(ages[-1]))
            middle = float(age_place([low, high]).mean())
            axes.vlines(middle, cell.low, cell.high, color=INK, linewidth=0.8)
            axes.plot(middle, cell.value, marker="s", color=INK, markersize=3.5, linestyle="")
    if rate == "calibration":
        reach = 1.1 * np.nanmax(np.abs([curve.low, curve.high, curve.value]), initial=0.2)
        axes.set_ylim(-reach, reach)
    else:
        axes.set_ylim(-0.02, 1.02)
    age_axis(axes, ages)
    axes.xaxis.label.set_fontsize(TEXT_PT)


def _shade(axes: Axes, ages: np.ndarray, where: Unfit) -> None:
    """Hatch a stretch of ages, half a step wider than its outermost ages."""
    place = age_place(ages)
    first, last = (int(np.argmin(np.abs(ages - days))) for days in (where.low_days, where.high_days))
    left = place[0] if first == 0 else (place[first - 1] + place[first]) / 2
    right = place[-1] if last == len(ages) - 1 else (place[last] + place[last + 1]) / 2
    axes.axvspan(left, right, facecolor="#f4e3dc", edgecolor="#c9a493", hatch=HATCHES[1], linewidth=0)


def _ages_to_avoid(audit: Audit) -> Section:
    lines = [sentence(one.name, where) for one in audit.found.classes for where in one.unfit]
    rule = (
        f"An age is one to stay away from where the whole 95 % interval of a rate lies more than {audit.margin:.2f} on "
        "the wrong side of the rate over all ages (of the calibration, of 0; of those covered, of the promise of the "
        "sets). Intervals are of each age by itself: "
        "of many ages and classes a few stand here by chance, those that clear the margin least."
    )
    rows: list[list[str]] = [["record", "age", "class", "score", "why"]]
    for one in audit.found.classes:
        for where in one.unfit:
            why = _WHY.get(where.rate, "calibration")
            rows += [
                [driver.record_id, describe(driver.age_days), one.name, f"{driver.score:.2f}", why]
                for driver in where.drivers[:5]
            ]
    table = rows if len(rows) > 1 else None
    prose = "\n\n".join([rule, *lines]) if lines else f"{rule}\n\nThere is none among the ages that could be tested."
    return Section("Ages to stay away from", prose, table=table, note="\n\n".join(audit.notes))


def _people(audit: Audit) -> Section:
    """Whom was asked, and who got no answer, by age band."""
    days, refused = audit.scored.predictions.age_days, audit.scored.refused_days
    rows = [["age", "records", "refused", "share refused"]]
    rows += [[name, str(n), str(none), f"{none / n:.2f}"] for name, n, none in people(audit.scored)]
    children = int((days < ADULT_DAYS).sum())
    prose = f"{len(days)} records have scores, {children} of them children's; the model answered nothing for "
    prose += f"{len(refused)}, and {audit.scored.n_unread} could not be read."
    return Section("Who was asked", prose, table=rows)


def _untested(one: ClassByAge) -> str:
    if not one.untested:
        return ""
    told = ", ".join(f"{describe(first)} to {describe(last)}" for first, last in one.untested)
    return f"Too few people have it, or have it not, to say anything at {told}: there it is untested."
