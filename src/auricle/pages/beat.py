"""The median beat on paper with its global marks, so that every measured interval is seen between two lines."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from ecg_plot.renderers import Scene, render_svg
from numpy.typing import NDArray

from auricle.measure.measurements import Measurements
from auricle.pages.paper import (
    FAINT,
    INDENT,
    LARGE_SQUARE,
    NAME_DOWN,
    NAME_MM,
    SMALL_MM,
    TRACE_LINE,
    Points,
    drawn_path,
    drawn_text,
    paper_grid,
)

SPEED_MM_S: Final = 100.0
# The first panel lays all leads over each other: a global mark is the earliest onset or the latest end of any of them.
_OVERLAY_FACTOR: Final = 2
_COLUMNS: Final = 4
_BEFORE_MS, _AFTER_MS = 60.0, 80.0
_LEAST_MM, _LARGEST_MM, _ROOM_MM = 5.0, 40.0, 5.0
_LABEL_ROOM_MM: Final = 5.0
_MARK_LINE: Final = 0.2
_COLOURS: Final = {"p": "#0072B2", "qrs": "#B3261E", "t": "#00785a"}
_TRACE, _OVERLAID = "#16161d", "#6b6570"


def beat_svg(measurements: Measurements, gain_mm_mv: float, title: str = "") -> str:
    """The median beat as an SVG document in millimetres: all leads over each other at twice the scale, then each.

    Args:
        measurements: with a median beat (lead, time) in mV and `marks_ms` from its sample `r_index`.
        gain_mm_mv: height of a millivolt in the panels of single leads; their speed is 100 mm/s.
        title: of the document.
    """
    # Panels: all leads over each other in the first row, then up to four leads in a row.
    beat, time_ms = _window(measurements)
    panel_mm = _squares(float(time_ms[-1] - time_ms[0]) / 1000 * SPEED_MM_S)
    n_leads = len(measurements.leads)
    columns = max(_OVERLAY_FACTOR, min(_COLUMNS, n_leads))
    elements: list[Any] = []
    clips: list[tuple[float, float, float, float]] = []
    top = _LABEL_ROOM_MM
    rows = [range(n_leads), *(range(first, min(first + columns, n_leads)) for first in range(0, n_leads, columns))]
    for number, row in enumerate(rows):
        # The scale and the paper of this row.
        factor = _OVERLAY_FACTOR if number == 0 else 1
        gain, speed = gain_mm_mv * factor, SPEED_MM_S * factor
        above, below = _heights(beat[list(row)], gain)
        places = [0.0] * len(row) if number == 0 else [panel_mm * column for column in range(len(row))]
        width = panel_mm * factor if number == 0 else panel_mm * len(row)
        elements += paper_grid((0.0, top, width, above + below))
        # Its traces, then the marks over them.
        for lead, left in zip(row, places, strict=True):
            clips.append((left, top, panel_mm * factor, above + below))
            x = left + (time_ms - time_ms[0]) / 1000 * speed
            for run in _runs(np.stack([x, top + above - beat[lead] * gain], axis=1)):
                elements.append(drawn_path(run, TRACE_LINE, len(clips) - 1, _OVERLAID if number == 0 else _TRACE))
            if number:
                elements.append(drawn_text(left + INDENT, top + NAME_DOWN, measurements.leads[lead], NAME_MM, _TRACE))
        for left in sorted(set(places)):
            elements += _marks(measurements, time_ms[0], left, top, above + below, speed, number == 0)
        top += above + below + 2.0
    width = max(panel_mm * columns, panel_mm * _OVERLAY_FACTOR)
    sheet = ("rect", None, {"x": 0, "y": 0, "width": width, "height": top, "fill": "#ffffff"})
    svg: str = render_svg(Scene(width, top, title or "median beat", tuple(clips), (sheet, *elements)))
    return svg


def _window(measurements: Measurements) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The beat from before its first mark to after its last, about its level before QRS, and its time in ms."""
    beat = measurements.median_beat.astype(np.float64)
    time_ms = (np.arange(beat.shape[1]) - measurements.r_index) / measurements.rate_hz * 1000
    marks = [mark for mark in measurements.marks_ms.values() if math.isfinite(mark)]
    if marks:
        kept = (time_ms >= min(marks) - _BEFORE_MS) & (time_ms <= max(marks) + _AFTER_MS)
        beat, time_ms = beat[:, kept], time_ms[kept]
    onset = measurements.marks_ms.get("qrs_onset", float(time_ms[0]))
    level = beat[:, max(0, int(np.searchsorted(time_ms, onset)) - 1)]
    return beat - np.where(np.isfinite(level), level, 0.0)[:, None], time_ms


def _heights(beat: NDArray[np.float64], gain: float) -> tuple[float, float]:
    known = beat[np.isfinite(beat)]
    high, low = (float(known.max()), float(known.min())) if known.size else (0.0, 0.0)
    above, below = max(_LEAST_MM, high * gain + _ROOM_MM), max(_LEAST_MM, -low * gain + 1)
    return _squares(min(above, _LARGEST_MM * gain / 10)), _squares(min(below, _LARGEST_MM * gain / 10))


def _squares(length: float) -> float:
    return math.ceil(length / LARGE_SQUARE) * LARGE_SQUARE


def _runs(points: Points) -> list[Points]:
    present = np.isfinite(points[:, 1])
    edges = np.flatnonzero(np.diff(np.r_[False, present, False].astype(np.int8)))
    return [points[first:last] for first, last in edges.reshape(-1, 2)]


def _marks(
    measurements: Measurements, start_ms: float, left: float, top: float, height: float, speed: float, named: bool
) -> list[Any]:
    drawn = []
    for name, at_ms in measurements.marks_ms.items():
        if not math.isfinite(at_ms):
            continue
        x, colour = left + (at_ms - start_ms) / 1000 * speed, _COLOURS.get(name.partition("_")[0], FAINT)
        drawn.append(drawn_path(np.array([[x, top], [x, top + height]]), _MARK_LINE, None, colour))
        if named and not name.endswith("offset"):
            drawn.append(drawn_text(x - 0.5, top - 1.2, name.partition("_")[0].upper(), SMALL_MM, colour))
        elif named and name.startswith("t"):
            drawn.append(drawn_text(x - 0.5, top - 1.2, "T", SMALL_MM, colour))
    return drawn
