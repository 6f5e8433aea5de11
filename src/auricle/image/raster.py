"""The ECG as a grey picture for networks: millivolts of a whole batch onto the printed sheet, on any device.

The sheet is the usual one: I aVR V1 V4 / II aVL V2 V5 / III aVF V3 V6, each column of leads showing its own quarter of
the time, so that every column of pixels is one moment. A trace is the polyline through its samples. In each column of
pixels it reaches from its lowest to its highest point there, its crossings of the column's sides included; the grey of
a pixel is the share of it that this stretch, thickened by the line width, covers. So no sample is lost, however many
fall into a column, and where pixels are finer than samples the line between samples is drawn.

`paper` draws one recording for people, with names and millimetres. This picture is for networks and has no letters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from auricle.config import Config
from auricle.errors import DataError
from auricle.leads import STANDARD
from auricle.tracing import is_traced

_COLUMNS: Final = 4
_ROWS: Final = len(STANDARD) // _COLUMNS
_RHYTHM: Final = "II"
# Pixels drawn at once: memory stays bounded, and what is worked on near a processor's cache.
_CHUNK_PX: Final = 2**20
_SPEED_MM_S, _GAIN_MM_MV = 25.0, 10.0
# Squares in millimetres, with the grey of their lines. Lines nearer than this are left out: they would grey the paper.
_SQUARES: Final = ((1.0, 0.92), (5.0, 0.8))
_LEAST_SQUARE_PX: Final = 4.0


class RasterConfig(Config):
    """How the picture looks.

    Attributes:
        height: in pixels.
        width: in pixels; at 224 a pixel is 45 ms of a ten-second sheet, as long as a newborn's QRS, so wider may be
            wiser for children.
        rhythm_strip: lead II below, from the first second to the last.
        grid: the squares of ECG paper (25 mm/s, 10 mm/mV) in faint grey, as far as pixels can show them.
        line_px: width of the trace in pixels, that of a square pen.
        mv_per_row: millivolts that a row is high; what is higher runs into the neighbouring row, as on paper.
    """

    height: Annotated[int, Field(ge=32, le=8192)] = 224
    width: Annotated[int, Field(ge=32, le=8192)] = 224
    rhythm_strip: bool = False
    grid: bool = False
    line_px: Annotated[float, Field(gt=0, le=32)] = 1.0
    mv_per_row: Annotated[float, Field(gt=0)] = 3.0

    @property
    def n_rows(self) -> int:
        """Rows of the sheet, the rhythm strip among them."""
        return _ROWS + self.rhythm_strip


@dataclass(frozen=True, slots=True)
class _Strips:
    """Leads that show one stretch of time: samples [first, last) of one lead for each of `rows`."""

    rows: slice
    first: int
    last: int
    lead: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class _Vertices:
    """What of the polylines in `rows` lies in each column of pixels: samples, then its crossings of the two sides.

    A crossing lies between the samples `before` and `before + 1`, `share` of the way; `vertex` (w * k) counts samples
    first, then crossings. Sample number n is missing by definition and stands for what is not there.
    """

    rows: slice
    before: Tensor
    share: Tensor
    vertex: Tensor


@dataclass(frozen=True, slots=True)
class _Plan:
    """What depends on sizes and leads alone: samples of the sheet, strips, polylines, and the paper's squares."""

    n: int
    strips: tuple[_Strips, ...]
    vertices: tuple[_Vertices, ...]
    paper: Tensor | None


@torch.no_grad()
def raster(
    signal: Float[Tensor, "b l t"],
    lead_mask: Bool[Tensor, "b l"],
    time_mask: Bool[Tensor, "b t"],
    rate_hz: float,
    leads: tuple[str, ...],
    config: RasterConfig,
    seconds: float,
) -> Float[Tensor, "b h w"]:
    """Draw a batch: 1 is white paper, 0 is ink.

    Each strip is drawn about its own median in the middle of its row. Leads that are absent, samples that are missing
    and everything under a false mask leave the paper blank; leads beyond the standard twelve are not drawn.

    Args:
        signal: (b, l, t) in millivolts.
        lead_mask: (b, l) true where the lead was recorded.
        time_mask: (b, t) true inside the record.
        rate_hz: samples per second.
        leads: names of the lead axis, in any order.
        config: how the picture looks.
        seconds: what the sheet's whole width shows; later samples are not drawn, a shorter record leaves its end blank.

    Raises:
        DataError: the lead names do not fit the signal, or a rate or length that is not positive.
    """
    if signal.shape[1] != len(leads):
        raise DataError(f"{signal.shape[1]} rows of signal for {len(leads)} lead names; name every row")
    if not (rate_hz > 0 and seconds > 0):
        raise DataError(f"{seconds:g} s at {rate_hz:g} Hz cannot be drawn; both must be positive")
    plan = _plan(config, tuple(leads), float(rate_hz), float(seconds), signal.device)
    picture = torch.empty(signal.shape[0], config.height, config.width, device=signal.device)
    chunk = max(1, _CHUNK_PX // (config.height * config.width))
    # In a graph the number of chunks would be that of the example.
    firsts = (None,) if is_traced() else range(0, signal.shape[0], chunk)
    for first in firsts:
        part = slice(None) if first is None else slice(first, first + chunk)
        rows = _rows(signal[part], lead_mask[part], time_mask[part], plan, config.n_rows)
        _draw(*_extents(rows, plan, config.width), plan, config, picture[part])
    return picture


def _rows(signal: Tensor, lead_mask: Tensor, time_mask: Tensor, plan: _Plan, n_rows: int) -> Float[Tensor, "b r n"]:
    """The rows of the sheet as signals about their strips' medians, NaN where nothing is known; one NaN at the end."""
    rows = signal.new_full((signal.shape[0], n_rows, plan.n + 1), torch.nan, dtype=torch.float32)
    for strips in plan.strips:
        inside = time_mask[:, None, strips.first : strips.last]
        if not inside.shape[-1]:
            continue
        values = signal[:, :, strips.first : strips.last].index_select(1, strips.lead).float()
        known = (lead_mask.index_select(1, strips.lead) & strips.known)[..., None] & inside & torch.isfinite(values)
        values = torch.where(known, values, torch.nan)
        values = values - _median(values)
        rows[:, strips.rows, strips.first : strips.first + inside.shape[-1]] = values
    return rows


def _median(values: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 1"]:
    """The median of what is known, the lower of the two in the middle; NaN where nothing is."""
    if not is_traced():
        return values.nanmedian(-1, keepdim=True).values
    # By sorting, which takes three times as long and is what graphs have.
    known = ~torch.isnan(values)
    n_known = known.sum(-1, keepdim=True)
    ordered = torch.where(known, values, torch.inf).sort(-1).values
    return torch.where(n_known > 0, ordered.gather(-1, ((n_known - 1) // 2).clamp_min(0)), torch.nan)


def _extents(rows: Float[Tensor, "b r n"], plan: _Plan, width: int) -> tuple[Tensor, Tensor]:
    """Lowest and highest millivolts of each row in each column, (b, r, w); crossed infinities where there are none."""
    lows, highs = [], []
    for vertices in plan.vertices:
        samples = rows[:, vertices.rows]
        start = samples[..., vertices.before]
        end = samples[..., (vertices.before + 1).clamp_max(plan.n)]
        points = torch.cat([samples, torch.lerp(start, end, vertices.share)], dim=-1)
        in_column = points[..., vertices.vertex].view(*samples.shape[:2], -1, width)
        lows.append(in_column.nan_to_num(nan=torch.inf).amin(2))
        highs.append(in_column.nan_to_num(nan=-torch.inf).amax(2))
    return torch.cat(lows, dim=1), torch.cat(highs, dim=1)


def _draw(low: Tensor, high: Tensor, plan: _Plan, config: RasterConfig, picture: Float[Tensor, "b h w"]) -> None:
    """Ink every row onto `picture`."""
    px = config.height / config.n_rows
    middle = (torch.arange(config.n_rows, device=low.device)[:, None] + 0.5) * px
    drawn = high >= low
    top = torch.where(drawn, middle - high * (px / config.mv_per_row) - config.line_px / 2, 0.0)
    bottom = torch.where(drawn, middle - low * (px / config.mv_per_row) + config.line_px / 2, 0.0)
    y = torch.arange(config.height, device=low.device, dtype=torch.float32)[:, None]
    picture.fill_(1.0)
    for row in range(config.n_rows):
        # What [top, bottom] covers of the pixel [y, y + 1]: of two ramps, the difference.
        picture += (top[:, row, None] - y).clamp_(0, 1)
        picture -= (bottom[:, row, None] - y).clamp_(0, 1)
    picture.clamp_(0, 1)
    if plan.paper is not None:
        picture *= plan.paper


@lru_cache(maxsize=64)
def _plan(config: RasterConfig, leads: tuple[str, ...], rate_hz: float, seconds: float, device: torch.device) -> _Plan:
    """The plan of a sheet, with its tensors on the device."""
    total = seconds * rate_hz
    n = max(1, _first_from(total))
    sheet, whole = [*(_first_from(total * quarter / _COLUMNS) for quarter in range(_COLUMNS)), n], [0, n]
    strips = [
        _strips(STANDARD[_ROWS * i : _ROWS * (i + 1)], slice(_ROWS), sheet[i : i + 2], leads, device)
        for i in range(_COLUMNS)
    ]
    vertices = [_vertices(slice(_ROWS), sheet, total, config, device)]
    if config.rhythm_strip:
        below = slice(_ROWS, _ROWS + 1)
        strips.append(_strips((_RHYTHM,), below, whole, leads, device))
        vertices.append(_vertices(below, whole, total, config, device))
    strips = [strip for strip in strips if bool(strip.known.any())]
    return _Plan(n, tuple(strips), tuple(vertices), _paper(config, seconds, device) if config.grid else None)


def _first_from(position: float) -> int:
    """The first sample at or behind a position in samples; rounding errors of a whole number do not count."""
    return math.ceil(round(position, 6))


def _strips(
    names: tuple[str, ...], rows: slice, samples: list[int], leads: tuple[str, ...], device: torch.device
) -> _Strips:
    # A lead that the axis lacks reads the first one, and is masked.
    places = torch.tensor([leads.index(name) if name in leads else 0 for name in names], device=device)
    known = torch.tensor([name in leads for name in names], device=device)
    return _Strips(rows, samples[0], samples[1], places, known)


def _vertices(rows: slice, starts: list[int], total: float, config: RasterConfig, device: torch.device) -> _Vertices:
    """Where the polylines of strips that begin at the samples `starts` (the last is the end) meet columns of pixels."""
    n, width = starts[-1], config.width
    strip_of_sample = np.searchsorted(starts, np.arange(n), side="right") - 1
    strip = ((np.arange(width) + 0.5) * (len(starts) - 1) / width).astype(np.int64)
    # A column is as wide as the pen where that is wider: steep lines are then no thinner than level ones.
    reach = max(0.0, config.line_px - 1) / 2
    left, right = (np.round((np.arange(width) + side) * (total / width), 6) for side in (-reach, 1 + reach))
    first, stop = np.ceil(left).astype(np.int64), np.ceil(right).astype(np.int64)

    def drawn(samples: NDArray[np.int64]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (samples >= 0) & (samples < n) & (strip_of_sample[samples.clip(0, n - 1)] == strip)
        return found

    samples = first + np.arange((stop - first).max())[:, None]
    before = np.stack([np.floor(left).astype(np.int64), stop - 1])
    share = np.stack([left, right]) - before
    before = np.where(drawn(before) & drawn(before + 1), before, n)
    crossings = n + 1 + np.arange(2 * width).reshape(2, width)
    vertex = np.concatenate([np.where(drawn(samples) & (samples < stop), samples, n), crossings])
    return _Vertices(
        rows,
        torch.from_numpy(before.ravel()).to(device),
        torch.from_numpy(share.ravel().astype(np.float32)).to(device),
        torch.from_numpy(vertex.ravel()).to(device),
    )


def _paper(config: RasterConfig, seconds: float, device: torch.device) -> Float[Tensor, "h w"]:
    """Paper with its squares, a large one's line along the baseline of the first row, in the middle of a pixel."""
    row_px = config.height / config.n_rows
    across = config.width / (seconds * _SPEED_MM_S)
    down = row_px / (config.mv_per_row * _GAIN_MM_MV)
    paper = np.ones((config.height, config.width), np.float32)
    for square_mm, grey in _SQUARES:
        if square_mm * min(across, down) >= _LEAST_SQUARE_PX:
            level = _line_cover(config.height, square_mm * down, int(row_px / 2) + 0.5)
            upright = _line_cover(config.width, square_mm * across, 0.5)
            paper = np.minimum(paper, 1 - (1 - grey) * np.maximum(level[:, None], upright))
    return torch.from_numpy(paper).to(device)


def _line_cover(size: int, spacing: float, through: float) -> NDArray[np.float32]:
    """How much of each pixel the nearest of a family of lines covers that are one pixel wide, `spacing` apart."""
    away = (np.arange(size) + 0.5 - through + spacing / 2) % spacing - spacing / 2
    cover: NDArray[np.float32] = np.clip(1 - np.abs(away), 0, 1).astype(np.float32)
    return cover
