"""One waveform read at several ages: a figure of its measurements among the limits of each age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import Age
from auricle.errors import DataError
from auricle.measure.measurements import Measurements
from auricle.paediatrics import wording
from auricle.paediatrics.assessment import Assessment, Row
from auricle.paediatrics.findings import assess
from auricle.paediatrics.limits import Z_98
from auricle.pages.style import COLOURS, blank_figure, drawable, lettered
from auricle.recording import Recording, Sex

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AGES: Final = (Age(3), Age(91), Age(3 * 365.25), Age(30 * 365.25))
PARAMETERS: Final = ("heart_rate", "pr", "qrs", "qtc_bazett", "qrs_axis", "r_v1", "s_v1", "r_v6", "s_v6")
_LEADS: Final[tuple[str, ...]] = ("I", "aVF", "V1", "V6")
_SECONDS, _BETWEEN_S = 2.0, 0.15
_WIDTH: Final = 11.0
# One second is as wide as 2.5 mV are high: 25 mm/s and 10 mm/mV.
_S_PER_MV: Final = 0.4
_LEAST_MV, _MOST_MV = 1.0, 5.0
_FARTHEST_Z: Final = 5.2
_INSIDE, _OUTSIDE, _BAND, _INK, _MUTED = COLOURS[2], COLOURS[1], "#d3deea", "#22222a", "#6b6570"
_GROUND, _PAPER = "#f5f6f8", "#f3d9d4"
_LINES: Final = 6  # of findings below a column


def ages_figure(
    recording: Recording,
    measurements: Measurements,
    ages: Sequence[Age] = AGES,
    sex: Sex | None = None,
    *,
    title: str | None = None,
    language: str = "en",
) -> Figure:
    """A trace, and below it the place of each of its values within the limits of each age.

    Args:
        recording: (lead, time) in mV; two seconds of I, aVF, V1 and V6 are drawn as far as they were recorded.
        measurements: of that recording.
        ages: the ages asked, one column each.
        sex: "F", "M" or None.
        title: headline; what the figure shows, in the language, where None.
        language: of the names and findings: "en", "zh" or "de"; English where no installed font has its letters.

    Raises:
        DataError: nothing was measured.
    """
    language = drawable(language)
    headline = wording.words(language)["ages"]["title"] if title is None else title
    columns = [assess(measurements, age, sex) for age in ages]
    shown = [name for name in PARAMETERS if name in measurements.values and measurements.values[name].measurable]
    if not shown:
        raise DataError(f"{recording.record_id}: nothing was measured, so there is nothing to draw")
    traces = _traces(recording)
    low, high = _bounds(list(traces.values()))
    wide = len(traces) * (_SECONDS + _BETWEEN_S)
    heights = (_WIDTH * _S_PER_MV * (high - low) / wide + 0.2, 0.34 * len(shown), 0.17 * (_LINES + 2))
    figure = blank_figure(_WIDTH, sum(heights) + 1.0)
    parts = figure.add_gridspec(3, len(ages), height_ratios=heights, wspace=0.05)
    _draw_traces(figure.add_subplot(parts[0, :]), traces, recording.rate_hz, (low, high), headline, language)
    for number, assessment in enumerate(columns):
        axes = figure.add_subplot(parts[1, number])
        _bars(axes, assessment, shown, language, named=number == 0)
        axes.set_title(wording.age_text(assessment.age, language), fontsize=11, color=_INK, fontweight="bold")
        _outside_text(figure.add_subplot(parts[2, number]), assessment, language)
    if any(_is_beyond(row) for assessment in columns for name in shown if (row := assessment.row(name)) is not None):
        figure.text(0.99, 0.005, wording.words(language)["ages"]["beyond"], ha="right", fontsize=8, color=_MUTED)
    return lettered(figure, language)


def _traces(recording: Recording) -> dict[str, NDArray[np.float64]]:
    """Two seconds of each lead drawn, in mV about its median."""
    names = [name for name in _LEADS if name in recording.leads] or list(recording.leads[:4])
    first, n = round(0.5 * recording.rate_hz), round(_SECONDS * recording.rate_hz)
    rows = {name: recording.signal[recording.leads.index(name), first : first + n].astype(np.float64) for name in names}
    return {name: row - np.nanmedian(row) if np.isfinite(row).any() else row for name, row in rows.items()}


def _bounds(traces: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Lowest and highest millivolts drawn: whole large squares that hold every trace, as far as paper goes."""
    known = np.concatenate([trace[np.isfinite(trace)] for trace in traces])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    below, above = (np.clip(np.ceil(2 * (reach + 0.1)) / 2, _LEAST_MV, _MOST_MV) for reach in (-low, high))
    return -float(below), float(above)


def _draw_traces(
    axes: Axes,
    traces: Mapping[str, NDArray[np.float64]],
    rate_hz: float,
    bounds: tuple[float, float],
    title: str,
    language: str,
) -> None:
    low, high = bounds
    cut = wording.words(language)["sheet"]["cut"]
    for number, (name, row) in enumerate(traces.items()):
        start = number * (_SECONDS + _BETWEEN_S)
        axes.plot(np.arange(len(row)) / rate_hz + start, row, color=_INK, lw=0.9)
        beyond = bool((np.nan_to_num(row) < low).any() or (np.nan_to_num(row) > high).any())
        shown = f"{name} ({cut})" if beyond else name
        axes.text(start, high + 0.08, shown, fontsize=10, color=_OUTSIDE if beyond else _MUTED)
    end = len(traces) * (_SECONDS + _BETWEEN_S)
    axes.hlines(np.arange(low, high + 0.1, 0.5), 0, end, color=_PAPER, lw=0.6, zorder=0)
    axes.vlines(np.arange(0, end, 0.2), low, high, color=_PAPER, lw=0.6, zorder=0)
    axes.set_title(title, fontsize=13, loc="left", color=_INK, pad=18)
    axes.set_ylim(low, high)
    axes.set_aspect(_S_PER_MV)
    axes.set_axis_off()


def _bars(axes: Axes, assessment: Assessment, shown: Sequence[str], language: str, *, named: bool) -> None:
    """One row per value on a scale of standard deviations; the band is p2 to p98 of that age."""
    axes.axvspan(-_FARTHEST_Z - 0.3, _FARTHEST_Z + 0.3, color=_GROUND, lw=0)
    axes.axvspan(-Z_98, Z_98, color=_BAND, lw=0)
    axes.axvline(0, color="white", lw=1.2)
    for place, name in enumerate(shown):
        row = assessment.row(name)
        if row is not None and not row.refused:
            _dot(axes, row, -place)
    axes.set_xlim(-_FARTHEST_Z - 0.3, _FARTHEST_Z + 0.3)
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    labels = [wording.parameter_name(name, language) for name in shown] if named else []
    axes.set_yticks([-place for place in range(len(shown))] if named else [], labels, fontsize=9.5)
    axes.set_xticks([-Z_98, 0, Z_98], ["p2", "p50", "p98"], fontsize=8, color=_MUTED)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _dot(axes: Axes, row: Row, height: float) -> None:
    outside = row.position in {"low", "high"}
    z = float(np.clip(row.z, -_FARTHEST_Z, _FARTHEST_Z))
    low, high = np.clip(row.z_interval, -_FARTHEST_Z, _FARTHEST_Z)
    colour = _OUTSIDE if outside else _INSIDE
    axes.plot([low, high], [height, height], color=colour, lw=1.6, alpha=0.5)
    beyond = _is_beyond(row)
    mark = (">" if row.z > 0 else "<") if beyond else "D" if outside else "o"
    axes.plot([z], [height], mark, color=colour, ms=6.5)
    if beyond:
        inwards = -0.35 if row.z > 0 else 0.35
        side = "right" if row.z > 0 else "left"
        axes.text(z + inwards, height, f"{row.z:+.0f}", ha=side, va="center", fontsize=8, color=colour)


def _is_beyond(row: Row) -> bool:
    """Whether a value lies beyond the scale."""
    return not row.refused and abs(row.z) > _FARTHEST_Z


def _outside_text(axes: Axes, assessment: Assessment, language: str) -> None:
    """The values outside of the limits in words, or that all are within them."""
    said = wording.words(language)
    outside = [row for row in assessment.rows if row.position in ("low", "high") and row.parameter in PARAMETERS]
    lines = [
        f"{wording.parameter_name(row.parameter, language)}{said['colon']}"
        f"{wording.direction_word(row.parameter, row.position or '', language)}"
        for row in outside
    ]
    compared = any(row.position is not None and row.parameter in PARAMETERS for row in assessment.rows)
    within = said["all_within" if compared else "unknown"]
    colour = _OUTSIDE if lines else _INSIDE
    axes.text(0.5, 1.0, "\n".join(lines[:_LINES]) or within, ha="center", va="top", fontsize=10, color=colour)
    axes.set_axis_off()
