"""A recording on ECG paper, for people: true millimetres, lead names, calibration pulse, speed and gain.

The drawing is vector geometry in millimetres, handed to the scene renderers of the package `ecg_plot` (SVG without any
further dependency, or a matplotlib figure). Its own chart layouts are not used: they refuse a twelve-lead sheet with a
lead missing, draw each lead in a box of its own instead of on continuous paper, and give every row the height of the
largest deflection anywhere. What is laid out here:

* from `_SHEET_LEADS` leads on, the printed sheet: four columns of a quarter of the time each, standard leads in their
  places, "not recorded" where one is missing, further leads (V3R, V7 ...) in rows below, one lead throughout at the
  bottom (the rhythm strip);
* with fewer leads, one row for each, all of them throughout, and a line naming the standard leads not recorded.

Each trace is drawn about its median, as a cart's baseline filter would put it. Deflections beyond `_LARGEST_MM` are cut
at the edge of their row and the row says so. Missing samples stay gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ecg_plot.renderers import Scene, render_matplotlib, render_svg
from numpy.typing import NDArray

from auricle.errors import DataError, require
from auricle.leads import STANDARD
from auricle.paediatrics import wording
from auricle.pages.style import drawable, lettered
from auricle.recording import Recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = NDArray[np.float64]
_Box = tuple[float, float, float, float]  # left, top, width, height

SPEED_MM_S: Final = 25.0
GAIN_MM_MV: Final = 10.0
SECONDS: Final = 10.0
# From this many leads on a twelve-lead sheet with its gaps named reads better than a stack.
_SHEET_LEADS: Final = 8
_COLUMNS: Final = 4
_ROWS: Final = len(STANDARD) // _COLUMNS
# Sheet geometry in millimetres; the paper and its rows measure whole large squares.
_SQUARE, LARGE_SQUARE = 1.0, 5.0
_MARGIN, _HEADER, _FOOTER_LINE = 6.0, 13.0, 4.2
_PULSE_ROOM, _RIGHT_ROOM = 15.0, 5.0
_LEAST_WIDTH: Final = 130.0  # holds the line of scales below a one-second strip
_PULSE_S, _PULSE_MV = 0.2, 1.0
_LEAST_MM, _LARGEST_MM = 10.0, 60.0
_LABEL_ROOM: Final = 5.0
INDENT, NAME_DOWN, _TICK_MM = 1.2, 3.8, 2.5
_TITLE_MM, NAME_MM, _TEXT_MM, SMALL_MM = 4.0, 3.2, 3.0, 2.6
_WIDEST_LETTER: Final = 0.65  # of the letter height, on average, in a sans-serif face
TRACE_LINE, _PULSE_LINE, _FINE_LINE, _BOLD_LINE = 0.3, 0.25, 0.08, 0.14
# More points in a millimetre than a 600 dpi printer has dots (24) only make the file larger.
_POINTS_PER_MM: Final = 24
_INK, FAINT, _ALARM = "#16161d", "#6b6570", "#9c2f2f"
_PAPER, _FINE_COLOUR, _BOLD_COLOUR = "#fffaf8", "#f6dcd8", "#e8aea8"


@dataclass(frozen=True, slots=True)
class _Strip:
    """One stretch of one lead in its place: seconds [start_s, end_s), drawn from `x` on in row `row`."""

    lead: str
    start_s: float
    end_s: float
    x: float
    row: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """Paper speed in mm/s and gain in mm/mV."""

    speed: float
    gain: float


def draw_paper(
    recording: Recording,
    *,
    speed_mm_s: float = SPEED_MM_S,
    gain_mm_mv: float = GAIN_MM_MV,
    start_s: float = 0.0,
    seconds: float | None = None,
    title: str | None = None,
    language: str = "en",
) -> Figure:
    """The recording on paper as a matplotlib figure whose size is the sheet's: save at any dpi, millimetres stay true.

    Args:
        recording: any leads, rate and length.
        speed_mm_s: paper speed.
        gain_mm_mv: height of a millivolt.
        start_s: where the sheet begins.
        seconds: how much it shows; None for ten seconds or what there is.
        title: headline; the record id where None.
        language: of the words on the sheet: "en", "zh" or "de".

    Raises:
        DataError: nothing of the recording lies in the wanted stretch, or a speed or gain that is not positive.
        MissingExtraError: matplotlib is not installed; `svg_paper` needs nothing further.
    """
    require("matplotlib.figure", "train")
    scene = _scene(recording, _Scale(speed_mm_s, gain_mm_mv), start_s, seconds, title, drawable(language))
    figure, _ = render_matplotlib(scene)
    drawn: Figure = figure
    return lettered(drawn, language)


def svg_paper(
    recording: Recording,
    *,
    speed_mm_s: float = SPEED_MM_S,
    gain_mm_mv: float = GAIN_MM_MV,
    start_s: float = 0.0,
    seconds: float | None = None,
    title: str | None = None,
    language: str = "en",
) -> str:
    """The recording on paper as an SVG document whose width and height are millimetres.

    Args:
        recording: any leads, rate and length.
        speed_mm_s: paper speed.
        gain_mm_mv: height of a millivolt.
        start_s: where the sheet begins.
        seconds: how much it shows; None for ten seconds or what there is.
        title: headline; the record id where None.
        language: of the words on the sheet: "en", "zh" or "de".

    Raises:
        DataError: nothing of the recording lies in the wanted stretch, or a speed or gain that is not positive.
    """
    drawn: str = render_svg(_scene(recording, _Scale(speed_mm_s, gain_mm_mv), start_s, seconds, title, language))
    return drawn


def _scene(
    recording: Recording, scale: _Scale, start_s: float, seconds: float | None, title: str | None, language: str
) -> Scene:
    """The sheet as shapes in millimetres."""
    said = wording.words(language)["sheet"]
    if not (scale.speed > 0 and scale.gain > 0):
        raise DataError(f"{recording.record_id}: paper speed and gain must be positive, such as 25 mm/s and 10 mm/mV")
    end_s = min(start_s + (SECONDS if seconds is None else seconds), recording.seconds)
    if not 0 <= start_s < end_s:
        raise DataError(
            f"{recording.record_id}: nothing to draw from {start_s:g} s on; the recording has {recording.seconds:g} s"
        )
    # Which stretch of which lead stands where, and the height of each row.
    if len(recording.leads) >= _SHEET_LEADS:
        strips = _sheet(recording, start_s, end_s, scale.speed)
    else:
        strips = _stack(recording, start_s, end_s)
    traces = [_trace(recording, strip, scale) for strip in strips]
    above, below = _row_heights(strips, traces)
    tops = _HEADER + np.cumsum(above + below) - (above + below)
    wanted = max(_PULSE_ROOM + (end_s - start_s) * scale.speed + _RIGHT_ROOM, _LEAST_WIDTH)
    paper = (_MARGIN, _HEADER, math.ceil(wanted / LARGE_SQUARE) * LARGE_SQUARE, float((above + below).sum()))
    boxes = [
        (
            strip.x,
            float(tops[strip.row]),
            (strip.end_s - strip.start_s) * scale.speed,
            float(above[strip.row] + below[strip.row]),
        )
        for strip in strips
    ]
    # Paper, traces, calibration pulses, and text.
    elements = paper_grid(paper)
    for number, (strip, trace, box) in enumerate(zip(strips, traces, boxes, strict=True)):
        elements += _drawn_strip(strip, trace, box, float(above[strip.row]), number, said)
    elements += [drawn_path(_pulse(scale) + np.array([_MARGIN, baseline]), _PULSE_LINE) for baseline in tops + above]
    shown = title if title is not None else recording.record_id
    footer = _footer(recording, scale, language)
    elements += _texts(shown, _facts(recording, start_s, end_s, language), footer, paper)
    width, height = paper[2] + 2 * _MARGIN, _HEADER + paper[3] + _FOOTER_LINE * (len(footer) + 1)
    sheet = ("rect", None, {"x": 0, "y": 0, "width": width, "height": height, "fill": "#ffffff"})
    return Scene(width, height, shown, tuple(boxes), (sheet, *elements))


def _sheet(recording: Recording, start_s: float, end_s: float, speed: float) -> list[_Strip]:
    """Standard leads in columns, further leads in rows of four below them, the rhythm strip at the bottom."""
    quarter = (end_s - start_s) / _COLUMNS
    further = [name for name in recording.leads if name not in STANDARD]
    places = [(name, number % _ROWS, number // _ROWS) for number, name in enumerate(STANDARD)]
    places += [(name, _ROWS + number // _COLUMNS, number % _COLUMNS) for number, name in enumerate(further)]
    strips = []
    for name, row, column in places:
        begin = start_s + column * quarter
        x = _MARGIN + _PULSE_ROOM + column * quarter * speed
        strips.append(_Strip(name, begin, begin + quarter, x, row))
    rhythm = "II" if "II" in recording.leads else recording.leads[0]
    last = max(strip.row for strip in strips) + 1
    return [*strips, _Strip(rhythm, start_s, end_s, _MARGIN + _PULSE_ROOM, last)]


def _stack(recording: Recording, start_s: float, end_s: float) -> list[_Strip]:
    x = _MARGIN + _PULSE_ROOM
    return [_Strip(name, start_s, end_s, x, row) for row, name in enumerate(recording.leads)]


def _trace(recording: Recording, strip: _Strip, scale: _Scale) -> list[Points]:
    """Runs of present samples as (point, 2): millimetres right of the strip's start and above its baseline."""
    if strip.lead not in recording.leads:
        return []
    first = math.ceil(strip.start_s * recording.rate_hz - 1e-6)
    # One sample beyond the end (clipped) closes the gap to the neighbouring column.
    last = math.ceil(strip.end_s * recording.rate_hz - 1e-6) + 1
    whole = recording.signal[recording.leads.index(strip.lead)].astype(np.float64)
    values = whole[first:last]
    present = np.isfinite(values)
    if not present.any():
        return []
    right = (np.arange(first, first + len(values)) / recording.rate_hz - strip.start_s) * scale.speed
    up = (values - np.nanmedian(whole)) * scale.gain
    edges = np.flatnonzero(np.diff(np.r_[False, present, False].astype(np.int8)))
    runs = [np.stack([right[a:b], up[a:b]], axis=1) for a, b in edges.reshape(-1, 2)]
    return [_thinned(run, recording.rate_hz / scale.speed) for run in runs]


def _thinned(points: Points, per_mm: float) -> Points:
    """Fewer points that look the same: of each bucket of samples its smallest and its largest, in their order."""
    bucket = math.ceil(2 * per_mm / _POINTS_PER_MM)
    if bucket <= 2:
        return points
    kept = {0, len(points) - 1}
    for start in range(0, len(points), bucket):
        chunk = points[start : start + bucket, 1]
        kept |= {start + int(chunk.argmin()), start + int(chunk.argmax())}
    thinned: Points = points[sorted(kept)]
    return thinned


def _row_heights(strips: list[_Strip], traces: list[list[Points]]) -> tuple[Points, Points]:
    """Millimetres above and below each row's baseline, in whole large squares, with room for the lead names."""
    n_rows = max(strip.row for strip in strips) + 1
    above, below = np.full(n_rows, _LEAST_MM), np.full(n_rows, _LEAST_MM)
    for strip, trace in zip(strips, traces, strict=True):
        for run in trace:
            above[strip.row] = max(above[strip.row], run[:, 1].max() + _LABEL_ROOM)
            below[strip.row] = max(below[strip.row], 1 - run[:, 1].min())
    whole = [np.ceil(np.minimum(side, _LARGEST_MM) / LARGE_SQUARE) * LARGE_SQUARE for side in (above, below)]
    return whole[0], whole[1]


def _drawn_strip(
    strip: _Strip, trace: list[Points], box: _Box, above: float, clip: int, said: Mapping[str, str]
) -> list[Any]:
    left, top, _, height = box
    baseline = top + above
    drawn = [drawn_text(left + INDENT, top + NAME_DOWN, strip.lead, NAME_MM, _INK)]
    if strip.x > _MARGIN + _PULSE_ROOM:
        drawn.append(drawn_path(np.array([[left, baseline - _TICK_MM], [left, baseline + _TICK_MM]]), _PULSE_LINE))
    if not trace:
        drawn.append(drawn_text(left + INDENT, baseline, said["not_recorded"], SMALL_MM, FAINT))
    for run in trace:
        drawn.append(drawn_path(np.stack([left + run[:, 0], baseline - run[:, 1]], axis=1), TRACE_LINE, clip))
    if any(run[:, 1].max() > above or -run[:, 1].min() > height - above for run in trace):
        drawn.append(drawn_text(left + LARGE_SQUARE * 2, top + NAME_DOWN, said["cut"], SMALL_MM, _ALARM))
    return drawn


def paper_grid(paper: _Box) -> list[Any]:
    """Paper with small and large squares; the lines of a direction are one path to and fro along the paper's edge."""
    left, top, width, height = paper
    drawn: list[Any] = [("rect", None, {"x": left, "y": top, "width": width, "height": height, "fill": _PAPER})]
    for spacing, colour, line in ((_SQUARE, _FINE_COLOUR, _FINE_LINE), (LARGE_SQUARE, _BOLD_COLOUR, _BOLD_LINE)):
        upright = _to_and_fro(left, width, top, height, spacing)
        level = _to_and_fro(top, height, left, width, spacing)[:, ::-1]
        drawn += [drawn_path(points, line, colour=colour) for points in (upright, level)]
    return drawn


def _to_and_fro(start: float, length: float, edge: float, depth: float, spacing: float) -> Points:
    places = start + np.arange(0, length + spacing / 2, spacing)
    ends = np.array([edge, edge + depth, edge + depth, edge])
    return np.stack([np.repeat(places, 2), np.resize(ends, 2 * len(places))], axis=1)


def _pulse(scale: _Scale) -> Points:
    """The calibration pulse, one millivolt for 0.2 s, right of the paper's edge and above the baseline."""
    wide, high = _PULSE_S * scale.speed, _PULSE_MV * scale.gain
    foot = (_PULSE_ROOM - wide) / 4
    steps = [(foot, 0), (2 * foot, 0), (2 * foot, -high), (2 * foot + wide, -high), (2 * foot + wide, 0)]
    return np.array([*steps, (3 * foot + wide, 0)], dtype=np.float64)


def _facts(recording: Recording, start_s: float, end_s: float, language: str) -> str:
    said = wording.words(language)["sheet"]
    age = wording.age_text(recording.age, language)
    seconds = {"first": f"{start_s:.4g}", "last": f"{end_s:.4g}", "all": f"{recording.seconds:.4g}"}
    return " · ".join(
        [
            said["age"].format(age=age) if recording.age else age,
            wording.sex_text(recording.sex, language),
            f"{recording.rate_hz:g} Hz",
            said["stretch"].format(**seconds),
        ]
    )


def _footer(recording: Recording, scale: _Scale, language: str) -> list[str]:
    """The lines below the sheet, of which the last says what it is for."""
    book = wording.words(language)
    lines = [book["sheet"]["scales"].format(speed=f"{scale.speed:g}", gain=f"{scale.gain:g}")]
    missing = [name for name in STANDARD if name not in recording.leads]
    if missing and len(recording.leads) < _SHEET_LEADS:
        lines.append(book["sheet"]["missing"].format(leads=book["joint"].join(missing)))
    return [*lines, str(book["research"])]


def _texts(title: str, facts: str, footer: list[str], paper: _Box) -> list[Any]:
    left, top, width, height = paper
    fitting = int(width / (_TITLE_MM * _WIDEST_LETTER))
    title = title if len(title) <= fitting else f"{title[: fitting - 1]}…"
    lines = [drawn_text(left, 5.6, title, _TITLE_MM, _INK), drawn_text(left, 10.6, facts, _TEXT_MM, FAINT)]
    for number, line in enumerate(footer, start=1):
        colour = _ALARM if number == len(footer) else FAINT
        lines.append(drawn_text(left, top + height + number * _FOOTER_LINE, line, SMALL_MM, colour))
    return lines


def drawn_text(x: float, y: float, text: str, size: float, colour: str) -> Any:
    """A text of a scene at x, y in mm, with letters `size` mm high."""
    return ("text", None, {"x": x, "y": y, "text": text, "fill": colour, "size": size})


def drawn_path(points: Points, width: float, clip: int | None = None, colour: str = _INK) -> Any:
    """A line of a scene through (n, 2) points in mm, `width` mm wide, cut at the box of number `clip`."""
    return ("path", clip, {"points": points, "stroke": colour, "width": width})
