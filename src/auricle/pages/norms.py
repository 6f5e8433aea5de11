"""Own centile curves beside the published limits: a table of both at the ages clinicians ask, and a figure for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR, describe
from auricle.paediatrics import limits as published
from auricle.paediatrics.own_norms import METHODS, Fitted, OwnNorms, unit_of
from auricle.paediatrics.wording import number, parameter_name
from auricle.pages.page import Page, Section
from auricle.pages.style import COLOURS, LINE_PT, age_axis, age_place, canvas, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from auricle.paediatrics.normal_records import NormalRecords
    from auricle.recording import Sex

AGES_DAYS: Final = (
    1.0, 3.0, 7.0, 14.0, DAYS_PER_MONTH, 3 * DAYS_PER_MONTH, 6 * DAYS_PER_MONTH,
    *(years * DAYS_PER_YEAR for years in (1, 2, 5, 8, 12, 16, 25, 45, 65, 80)),
)  # fmt: skip
_SEX_NAMES: Final = {"F": "girls and women", "M": "boys and men", "both": "both sexes"}
# Medians count as different if they are farther apart than this share of the range from p2 to p98.
_MATTERS: Final = 0.1
_MOST_POINTS: Final = 4000
_POINTS: Final = "#b9b7bf"


@dataclass(frozen=True, slots=True)
class Compared:
    """One parameter at one age, by the own curves and by the published limits.

    Attributes:
        parameter: its name.
        sex: "F", "M" or "both".
        age_days: the age.
        own, theirs: p2, p50, p98 of the fit and of the published limits; NaN where there are none.
        band: 95 % interval of the own p50, NaN without a bootstrap.
    """

    parameter: str
    sex: str
    age_days: float
    own: tuple[float, float, float]
    theirs: tuple[float, float, float]
    band: tuple[float, float]

    @property
    def differs(self) -> bool:
        """Whether the medians differ by more than chance and by more than a tenth of the own range."""
        beyond_chance = self.theirs[1] < self.band[0] or self.theirs[1] > self.band[1]
        return bool(beyond_chance and abs(self.own[1] - self.theirs[1]) > _MATTERS * (self.own[2] - self.own[0]))


def compare(own: OwnNorms, ages_days: Sequence[float] = AGES_DAYS) -> list[Compared]:
    """Own and published limits at the ages where there are own curves, in the order of the curves.

    Args:
        own: the curves of a hospital.
        ages_days: ages in days.
    """
    rows = []
    for (parameter, sex), fitted in own.curves.items():
        if parameter not in published.parameters():
            continue
        asked: Sex | None = None if sex == "both" else sex
        for days in ages_days:
            if not fitted.inside(np.array(days)):
                continue
            mine = own.centiles(parameter, days, asked).tolist()
            theirs = published.centiles(parameter, days, asked).tolist()
            rows.append(Compared(parameter, sex, days, (*mine,), (*theirs,), _band(fitted, days)))
    return rows


def norms_page(own: OwnNorms, records: NormalRecords | None = None, command: str = "") -> Page:
    """The page of `auricle norms fit`.

    Args:
        own: the curves.
        records: what they were fitted to, drawn as points; None draws none.
        command: the command line.
    """
    lead = (
        f"Centile curves of {own.name}, fitted by {METHODS[own.method]}, beside the published limits (Rijnbeek 2001, "
        "Davignon 1979, clinical adult limits). A difference can come from the people, from the machine and its "
        f"filters, or from the way of measuring. Ages with fewer than {own.least} patients around them have no curve."
    )
    page = Page(f"Normal limits of {own.name}", lead, command)
    rows = compare(own)
    page.add(_overview(own, rows))
    for parameter in own.parameters():
        page.add(_section(own, parameter, [row for row in rows if row.parameter == parameter], records))
    return page


def norms_figure(own: OwnNorms, parameter: str, sex: Sex | None = None, records: NormalRecords | None = None) -> Figure:
    """Own and published p2, p50 and p98 over age, with the bootstrap bands and the records as points.

    Args:
        own: the curves of a hospital.
        parameter: one with curves.
        sex: "F", "M", or None for both together.
        records: drawn as points; None draws none.
    """
    fitted = own.fitted(parameter, sex)
    name = f"{parameter_name(parameter, 'en')}, {_SEX_NAMES[fitted.sex]}"
    figure, axes = canvas(name)
    grid = fitted.grid_days
    if records is not None and parameter in records.values:
        _points(axes, records, fitted, grid)
    # Own curves with their bands; the median is drawn first and is the one in the legend.
    broken = _with_gaps(grid, fitted)
    curves = own.centiles(parameter, broken, sex)
    if len(fitted.bands):
        for number_of in range(3):
            low, high = fitted.bands[:, number_of].T
            axes.fill_between(age_place(grid), low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    for number_of, label in enumerate(("own p50, p2, p98", "", "")):
        which = (1, 0, 2)[number_of]
        width = LINE_PT if which == 1 else 0.7 * LINE_PT
        axes.plot(age_place(broken), curves[:, which], color=COLOURS[0], linewidth=width, label=label or None)
    # Published curves, dashed.
    if parameter in published.parameters():
        theirs = published.centiles(parameter, broken, sex)
        for number_of, which in enumerate((1, 0, 2)):
            axes.plot(
                age_place(broken), theirs[:, which], color=COLOURS[1], linestyle=(0, (5, 2)), linewidth=LINE_PT * 0.8,
                label="published" if number_of == 0 else None,
            )  # fmt: skip
    age_axis(axes, grid)
    axes.set_ylabel(unit_of(parameter) if unit_of(parameter) != "1" else "ratio")
    legend(axes)
    return figure


def _points(axes: object, records: NormalRecords, fitted: Fitted, grid: np.ndarray) -> None:
    from auricle.leads import wrap_axis_deg

    values = np.asarray(records.values[fitted.parameter])
    values = wrap_axis_deg(np.nan_to_num(values)) if fitted.parameter.endswith("_axis") else values
    chosen = np.isfinite(records.values[fitted.parameter])
    chosen &= (records.age_days >= grid.min()) & (records.age_days <= grid.max())
    if fitted.sex != "both":
        chosen &= records.sex == fitted.sex
    rows = np.flatnonzero(chosen)
    if len(rows) > _MOST_POINTS:
        rows = np.random.default_rng(0).choice(rows, _MOST_POINTS, replace=False)
    axes.scatter(  # type: ignore[attr-defined]
        age_place(records.age_days[rows]), values[rows], s=4, color=_POINTS, linewidths=0, alpha=0.6, rasterized=True
    )


def _with_gaps(grid: np.ndarray, fitted: Fitted) -> np.ndarray:
    """The grid with an age without a curve between two spans, so that no line joins them."""
    between = [(a[1] + b[0]) / 2 for a, b in zip(fitted.spans_days, fitted.spans_days[1:], strict=False)]
    return np.sort(np.concatenate([grid, between])) if between else grid


def _band(fitted: Fitted, days: float) -> tuple[float, float]:
    if not len(fitted.bands):
        return float("nan"), float("nan")
    low, high = (float(np.interp(days, fitted.grid_days, fitted.bands[:, 1, end])) for end in (0, 1))
    return low, high


def _overview(own: OwnNorms, rows: Sequence[Compared]) -> Section:
    table: list[tuple[object, ...]] = [
        ("parameter", "sex", "patients", "records", "outliers", "ages", "freedom", "medians that differ")
    ]
    for (parameter, sex), fitted in own.curves.items():
        mine = [row for row in rows if (row.parameter, row.sex) == (parameter, sex)]
        told = f"{sum(row.differs for row in mine)} of {len(mine)}" if mine and len(fitted.bands) else "–"
        freedom = " · ".join(f"{value:g}" for value in fitted.freedom.values())
        table.append(
            (
                parameter_name(parameter, "en"), sex, fitted.n_patients, fitted.n_records,
                fitted.n_outliers, spans_text(fitted), freedom, told,
            )
        )  # fmt: skip
    skipped = "; ".join(f"{parameter_name(name, 'en')}: {why}" for name, why in own.skipped.items())
    prose = (
        "Outliers lie farther than 5 standard deviations and were left out. Freedom was chosen by cross-validation "
        "over patients: effective degrees of freedom of median, spread and power (LMS), or the number of splines. "
        "Medians differ where the published one lies outside the own 95 % bootstrap interval (chance, not smoothing) "
        "and farther than a tenth of the own p2 to p98."
    )
    return Section("What was fitted", prose, table, note=f"No curve: {skipped}." if skipped else "")


def spans_text(fitted: Fitted) -> str:
    """The ages with curves as text, such as `1 d to 15.9 yr`."""
    return ", ".join(f"{describe(first)} to {describe(last)}" for first, last in fitted.spans_days)


def _section(own: OwnNorms, parameter: str, rows: Sequence[Compared], records: NormalRecords | None) -> Section:
    unit = unit_of(parameter)

    def three(values: Sequence[float]) -> str:
        return " · ".join(number(value, unit) if np.isfinite(value) else "–" for value in values)

    table: list[tuple[object, ...]] = [("age", "sex", "own p2 · p50 · p98", "95 % of p50", "published p2 · p50 · p98")]
    for row in rows:
        band = f"{number(row.band[0], unit)} to {number(row.band[1], unit)}" if np.isfinite(row.band[0]) else "–"
        theirs = three(row.theirs)
        table.append(
            (
                describe(row.age_days),
                row.sex,
                three(row.own),
                band,
                f"**{theirs}**" if row.differs else theirs,
            )
        )
    return Section(
        parameter_name(parameter, "en"),
        "" if rows else "No limits are published for this parameter.",
        table if rows else None,
        norms_figure(own, parameter, None, records),
        "Lines: own p2, p50, p98 with their bands; dashed: published; points: records. "
        "Bold in the table: the medians differ.",
    )
