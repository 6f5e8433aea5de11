"""The median beat: the common shape of the beats of a recording, and its standard error.

Beats are aligned on the derivative of all leads together and grouped by shape, so that extrasystoles and aberrant
beats stay out. The baseline is a curve through the level before each QRS, so that QRS, ST and T do not shift it;
nothing is low-pass filtered, because a filter widens a QRS. Mains is a sine fitted to the whole recording and
subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from auricle.signal.traces import bridged

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Slower recordings are read at a multiple of their rate, by cubic splines.
_LEAST_HZ: Final = 500.0
# Beats are compared over this long on either side of R, on differences over 20 ms: baseline wander is too slow to
# change them, and muscle noise mostly too fast.
_SHAPE_S: Final = 0.1
_DIFFERENCE_S: Final = 0.02
_SHIFT_S: Final = 0.04
# Beats this similar to the template have its shape, as a share of the similarity a quarter of the beats exceed: noise
# lowers the similarity of all beats.
_SAME_SHAPE: Final = 0.85
_SHAPE_STEP_S: Final = 0.004
_MOST_TEMPLATES: Final = 24
# Of a long recording this many beats are enough for a median; they are taken evenly over it.
_MOST_BEATS: Final = 256
# The window of the median beat; at fast rates it shrinks to one RR interval before R and one after.
_BEFORE_S: Final = 0.55
_AFTER_S: Final = 0.75
# The level before QRS is read over this long, ending this long before its steep part.
_LEVEL_S: Final = 0.016
_LEVEL_GAP_S: Final = 0.016
# A beat that comes before this share of the usual interval is cut out of its neighbour's window, from so far before R.
_EARLY: Final = 0.85
_NEIGHBOUR_S: Final = 0.09
_MAINS_HZ: Final = (50.0, 60.0)
_MAINS_RATIO: Final = 8.0
# The standard error of a median over that of a mean, for normal noise.
_MEDIAN_SE: Final = math.sqrt(math.pi / 2)
_MAD: Final = 1.4826
# With fewer beats their scatter says nothing of the noise.
_LEAST_FOR_SCATTER: Final = 4


@dataclass(frozen=True, slots=True)
class Aligned:
    """The beats of the dominant shape, aligned on each other.

    Attributes:
        stack: (beat, lead, time) mV about the level before QRS; NaN where missing.
        median: (lead, time) their median.
        noise_mv: (lead,) standard error of `median` where the heart is silent.
        rate_hz: of the stack; at least 500 Hz, a multiple of the recording's.
        r_index: where the beats were aligned.
        at: (beat,) sample of each beat in the recording (at the recording's rate), in order.
        members: (all beats,) whether each beat found is of the dominant shape.
        places: (all beats,) sample of each beat found, at `rate_hz`; those of `members` moved onto the shape.
    """

    stack: Floats
    median: Floats
    noise_mv: Floats
    rate_hz: float
    r_index: int
    at: Integers
    members: NDArray[np.bool_]
    places: Integers

    @property
    def scatter_mv(self) -> Floats:
        """(lead,) standard deviation in mV of single beats around the median where the heart is silent."""
        return self.noise_mv * math.sqrt(len(self.stack)) / _MEDIAN_SE


def align(signal: NDArray[np.float32], rate_hz: float, beats: Integers) -> Aligned | None:
    """Align the beats of the commonest shape on each other.

    Args:
        signal: (lead, time) mV, NaN where missing; leads that are flat or empty left out.
        rate_hz: samples per second.
        beats: R peaks in samples.

    Returns:
        The aligned beats; None where no beat lies whole inside the recording.
    """
    trace, known, fine_hz = _prepared(signal, rate_hz)
    at = beats * round(fine_hz / rate_hz)
    # Which beats have the commonest shape, and how far each must move.
    tried = _evenly(len(at), _MOST_BEATS)
    shift, alike = _alignment(trace, known, fine_hz, at[tried])
    if not alike.any():
        return None
    members, moved = np.zeros(len(at), dtype=bool), at.copy()
    members[tried], moved[tried] = alike, at[tried] + shift
    return _stacked(trace, known, rate_hz, fine_hz, at, moved, members)


def align_as(signal: NDArray[np.float32], rate_hz: float, beats: Integers, decided: Aligned) -> Aligned:
    """Further leads at the beats that other leads have decided, where they change nothing.

    Args:
        signal: (lead, time) mV of the further leads, NaN where missing.
        rate_hz: samples per second.
        beats: R peaks in samples, as `decided` was made from.
        decided: the aligned beats of the leads that decide.
    """
    trace, known, fine_hz = _prepared(signal, rate_hz)
    at = beats * round(fine_hz / rate_hz)
    return _stacked(trace, known, rate_hz, fine_hz, at, decided.places, decided.members)


def _prepared(signal: NDArray[np.float32], rate_hz: float) -> tuple[Floats, NDArray[np.bool_], float]:
    """(lead, time) the traces without mains at 500 Hz or more, which samples of them are known, and their rate."""
    known = np.isfinite(signal)
    trace = _without_mains(bridged(signal, known), rate_hz)
    up = max(1, math.ceil(_LEAST_HZ / rate_hz - 1e-6))
    if up > 1:
        trace = _finer(trace, up)
        known = np.repeat(known, up, axis=1)
    return trace, known, rate_hz * up


def _stacked(
    trace: Floats, known: NDArray[np.bool_], rate_hz: float, fine_hz: float, at: Integers, moved: Integers,
    members: NDArray[np.bool_],
) -> Aligned:  # fmt: skip
    """The stack of the members, moved to their places, about the level before QRS, and its median."""
    interval = np.diff(at)
    rr = float(np.median(interval)) if len(interval) else fine_hz
    trace = trace - _baseline(trace, fine_hz, moved[members])
    if not known.all():
        trace = np.where(known, trace, np.nan)
    before = round(min(_BEFORE_S * fine_hz, 0.95 * rr))
    after = round(min(_AFTER_S * fine_hz, max(0.95 * rr, 0.25 * fine_hz)))
    stack = _without_neighbours(_stack(trace, moved[members], before, after), at, members, before, rr, fine_hz)
    median = median_of(stack)
    recorded_at = np.rint(moved[members] / round(fine_hz / rate_hz)).astype(np.int64)
    noise_mv = _noise(stack, median, fine_hz, before)
    return Aligned(stack, median, noise_mv, fine_hz, before, recorded_at, members, moved)


def median_of(stack: Floats) -> Floats:
    """(lead, time) median over beats of a stack (beat, lead, time), NaN left out; NaN where no beat has a value."""
    ordered = np.sort(stack, axis=0)  # missing values go to the end
    count = len(stack) - np.isnan(ordered).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(stack) - 1)
    if (count == len(stack)).all():
        return np.asarray((ordered[(len(stack) - 1) // 2] + ordered[len(stack) // 2]) / 2)
    middle = np.take_along_axis(ordered, np.stack([low, high]), axis=0).mean(axis=0)
    return np.asarray(middle)


def _finer(trace: Floats, up: int) -> Floats:
    """The traces at a multiple of their rate, by cubic splines: a sinc would ring beside a steep QRS."""
    n = trace.shape[1]
    return np.asarray(CubicSpline(np.arange(n), trace, axis=1)(np.arange(n * up) / up))


def _without_mains(trace: Floats, rate_hz: float) -> Floats:
    """The traces less a sine of 50 or 60 Hz where the spectrum has its line."""
    n = trace.shape[1]
    spectrum = np.fft.rfft(trace * np.hanning(n), axis=1)
    power = (np.abs(spectrum) ** 2).sum(axis=0)
    step = rate_hz / n
    for mains in _MAINS_HZ:
        near = slice(max(0, round((mains - 0.5) / step)), round((mains + 0.5) / step) + 1)
        around = slice(max(0, round((mains - 6) / step)), round((mains + 6) / step) + 1)
        if mains + 6 > rate_hz / 2 or near.stop - near.start < 2:
            continue
        line = near.start + int(np.argmax(power[near]))
        if power[line] > _MAINS_RATIO**2 * np.median(power[around]) and power[line] == power[around].max():
            left, right = np.sqrt(power[line - 1]), np.sqrt(power[line + 1])
            frequency = (line + (right - left) / (right + left + 2 * np.sqrt(power[line])) * 1.5) * step
            angle = 2 * np.pi * frequency / rate_hz * np.arange(n)
            waves = np.stack([np.cos(angle), np.sin(angle)])
            trace = trace - (trace * np.hanning(n)) @ waves.T * (4 / n) @ waves
    return trace


def _alignment(
    trace: Floats, known: NDArray[np.bool_], rate_hz: float, at: Integers
) -> tuple[Integers, NDArray[np.bool_]]:
    """(beat,) samples each beat must move to lie on the commonest shape, and (beat,) whether it has that shape.

    Beats are compared over the leads that both have.
    """
    # Differences over 20 ms of each lead.
    half, reach = round(_SHAPE_S * rate_hz), round(_SHIFT_S * rate_hz)
    lag = max(1, round(_DIFFERENCE_S * rate_hz / 2))
    steep = np.zeros_like(trace)
    steep[:, lag:-lag] = trace[:, 2 * lag :] - trace[:, : -2 * lag]
    # Steep leads count most, but none more than thrice the median one, so that one bad electrode decides nothing.
    size = steep.std(axis=1) + 1e-9
    steep *= (np.minimum(size, 3 * np.median(size)) / size)[:, None]
    inside = (at - half - reach >= 0) & (at + half + reach < trace.shape[1])
    shift, alike = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=bool)
    if not inside.any():
        return shift, alike
    # A window at every shift around each beat that lies inside the recording.
    places = np.flatnonzero(inside)
    every = np.arange(-half - reach, half + reach + 1)
    wide = steep[:, at[places][:, None] + every].transpose(1, 0, 2)
    step = max(1, round(_SHAPE_STEP_S * rate_hz))
    windows = sliding_window_view(wide, 2 * half + 1, axis=2)[..., ::step]  # (beat, lead, shift, time)
    there = _covered(known, at[places], half + reach)
    if there.all():
        norm = np.sqrt(np.einsum("blst,blst->bs", windows, windows)) + 1e-12
        # The windows of beats and shifts as columns, copied once for all templates.
        flat = windows.transpose(1, 3, 0, 2).reshape(windows.shape[1] * windows.shape[3], -1)
        compare = partial(_correlate, windows=flat, norm=norm)
    else:
        windows = windows * there[:, :, None, None]
        compare = partial(_shared, windows=windows)
    # The template is the beat that most others resemble, then twice the median of those that resemble it.
    centre = windows[:, :, reach]
    tried = _evenly(len(places), _MOST_TEMPLATES)
    likeness = compare(centre[tried])
    closest = likeness.max(axis=2)
    best = tried[int(np.argmax(_same(closest).sum(axis=1) + closest.mean(axis=1)))]
    template = centre[best]
    for _ in range(2):
        found = compare(template[None])[0]
        moved, same = found.argmax(axis=1), _same(found.max(axis=1))
        if not same.any():
            return shift, alike
        template = _template(windows[np.arange(len(places)), :, moved][same], there[same])
    shift[places], alike[places] = moved - reach, same
    return shift, alike


def _covered(known: NDArray[np.bool_], at: Integers, reach: int) -> NDArray[np.bool_]:
    """(beat, lead) whether a lead has every sample within `reach` of a beat."""
    total = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    return np.asarray((total[:, at + reach + 1] - total[:, at - reach] == 2 * reach + 1).T)


def _template(beats: Floats, there: NDArray[np.bool_]) -> Floats:
    """(lead, time) median of beats (beat, lead, time) over those that have the lead; zero in a lead that none has."""
    if there.all():
        return np.asarray(np.median(beats, axis=0))
    return np.nan_to_num(median_of(np.where(there[:, :, None], beats, np.nan)))


def _evenly(n: int, most: int) -> Integers:
    """Up to `most` of the numbers 0 to n - 1, spread evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _same(likeness: Floats) -> NDArray[np.bool_]:
    """(..., beat) which beats have the shape of the template, given their correlation with it.

    The limit is .85 times the correlation that a quarter of the beats exceed, and lies between .51 and .85.
    """
    usual = np.quantile(likeness, 0.75, axis=-1, keepdims=True)
    return np.asarray(likeness > _SAME_SHAPE * np.clip(usual, 0.6, 1.0))


def _correlate(templates: Floats, windows: Floats, norm: Floats) -> Floats:
    """(template, beat, shift) correlation, over all leads, of templates (.., lead, time) with windows of beats.

    Args:
        templates: (template, lead, time).
        windows: (lead and time, beat and shift).
        norm: (beat, shift) their lengths.
    """
    size = np.sqrt((templates**2).sum(axis=(1, 2))) + 1e-12
    product = np.dot(templates.reshape(len(templates), -1), windows).reshape(len(templates), *norm.shape)
    return np.asarray(product / size[:, None, None] / norm)


def _shared(templates: Floats, windows: Floats) -> Floats:
    """(template, beat, shift) correlation over the leads that template and beat both have; zeros mark the others.

    A beat that shares no lead with a template is compared by its steepness over all leads, which looks much alike in
    all of them, so that the columns of a sheet come to lie on each other.
    """
    of_template, of_window = (
        (templates**2).sum(axis=2),
        (windows**2).sum(axis=3),
    )  # (template, lead), (beat, lead, shift)
    has = (of_window[:, :, 0] > 0).astype(np.float64)
    norm = np.sqrt(np.einsum("tl,bls->tbs", (of_template > 0).astype(np.float64), of_window)) + 1e-12
    size = np.sqrt(of_template @ has.T) + 1e-12
    product = np.tensordot(templates, windows, axes=([1, 2], [1, 3]))
    result = np.asarray(product / size[:, :, None] / norm)
    # (template, beat) without a common lead: the correlation of their envelopes.
    apart = (of_template > 0).astype(np.float64) @ has.T == 0
    if apart.any():
        first, second = _envelope(templates), _envelope(windows)
        alike = np.tensordot(first, second, axes=([1], [2]))
        result[apart] = alike[apart]
    return result


def _envelope(steep: Floats) -> Floats:
    """(..., time) root of the sum of squares over leads of steepness (..., lead, [shift,] time), of length one."""
    size = np.sqrt((steep**2).sum(axis=1))
    return np.asarray(size / (np.linalg.norm(size, axis=-1, keepdims=True) + 1e-12))


def _baseline(trace: Floats, rate_hz: float, at: Integers) -> Floats:
    """(lead, time) a smooth curve through the level before each QRS."""
    before = _steep_before(trace, rate_hz, at) + round(_LEVEL_GAP_S * rate_hz)
    width = max(1, round(_LEVEL_S * rate_hz))
    knots = at - before - width // 2
    usable = (knots - width // 2 >= 0) & (knots + width // 2 + 1 < trace.shape[1])
    # Two beats may have been moved onto each other.
    knots = np.unique(knots[usable])
    if not len(knots):
        return np.median(trace, axis=1, keepdims=True)
    level = trace[:, knots[:, None] + np.arange(-(width // 2), width // 2 + 1)].mean(axis=2)
    time = np.clip(np.arange(trace.shape[1]), knots[0], knots[-1])
    if len(knots) < 4:
        return np.stack([np.interp(time, knots, row) for row in level])
    return np.asarray(CubicSpline(knots, level, axis=1)(time))


def _steep_before(trace: Floats, rate_hz: float, at: Integers) -> int:
    """Samples from the start of the steep part of QRS to R, by the median speed over beats."""
    reach, lag = round(0.12 * rate_hz), max(1, round(0.004 * rate_hz))
    whole = at[(at - reach - lag >= 0) & (at + lag < trace.shape[1])]
    if not len(whole):
        return round(0.04 * rate_hz)
    places = whole[:, None] + np.arange(-reach, 1)
    speed = np.median(np.abs(trace[:, places + lag] - trace[:, places - lag]), axis=1).sum(axis=0)
    quiet = np.flatnonzero(speed < 0.12 * speed.max())
    return reach - int(quiet[-1]) if len(quiet) else reach


def _stack(trace: Floats, at: Integers, before: int, after: int) -> Floats:
    """(beat, lead, time) with NaN beyond the ends of the recording."""
    padded = np.pad(trace, ((0, 0), (before, after + 1)), constant_values=np.nan)
    return np.ascontiguousarray(padded[:, at[:, None] + np.arange(before + after + 1)].transpose(1, 0, 2))


def _without_neighbours(
    stack: Floats, at: Integers, members: NDArray[np.bool_], before: int, rr: float, rate_hz: float
) -> Floats:
    """The stack with NaN where a neighbouring beat reaches into the window of a beat, because one of them is early."""
    gap, early = round(_NEIGHBOUR_S * rate_hz), _EARLY * rr
    time = np.arange(stack.shape[2]) - before
    interval = np.diff(at)
    for number, beat in enumerate(np.flatnonzero(members)):
        if beat < len(interval) and interval[beat] < early:
            stack[number, :, time > interval[beat] - gap] = np.nan
        if beat > 0 and interval[beat - 1] < early:
            stack[number, :, time < gap - interval[beat - 1]] = np.nan
    return stack


def _noise(stack: Floats, median: Floats, rate_hz: float, r_index: int) -> Floats:
    """(lead,) standard error of the median beat in mV, from the scatter of beats around it just before QRS.

    In a lead with fewer than four beats it comes from the second difference of the median, in which the waves of the
    heart are too slow to show.
    """
    silent = slice(max(0, r_index - round(0.2 * rate_hz)), max(1, r_index - round(0.05 * rate_hz)))
    window, middle = stack[:, :, silent], median[None, :, silent]
    enough = np.isfinite(window).all(axis=2).sum(axis=0) >= _LEAST_FOR_SCATTER
    noise = np.zeros(len(median))
    if not enough.all():
        before = median[:, silent.start : r_index - round(0.06 * rate_hz)]
        bend = np.diff(without_gaps(before), n=2, axis=1)
        noise = _MAD * np.median(np.abs(bend), axis=1) / math.sqrt(6)
    if enough.any():
        spread = _MAD * median_of(np.abs(window - middle)[:, enough])
        noise[enough] = _MEDIAN_SE * np.nanmedian(spread, axis=1) / math.sqrt(len(stack))
    return np.asarray(noise)


def without_gaps(median: Floats) -> Floats:
    """(lead, time) median beat whose gaps are interpolated, or held at the ends; zero in a lead without samples."""
    if np.isfinite(median).all():
        return median
    filled, time = np.zeros_like(median), np.arange(median.shape[1])
    for row, values in enumerate(median):
        places = np.flatnonzero(np.isfinite(values))
        if len(places):
            filled[row] = np.interp(time, places, values[places])
    return filled


def columns(aligned: Aligned) -> list[list[int]]:
    """Groups of rows of leads whose place in time is known from each other, because beats have the QRS of both.

    One group of all leads, but on a sheet of columns without a lead that runs through; the largest comes first. Leads
    that no beat has whole are alone at the end.
    """
    half = round(_SHAPE_S * aligned.rate_hz)
    qrs = aligned.stack[:, :, max(0, aligned.r_index - half) : aligned.r_index + half + 1]
    there: NDArray[np.bool_] = np.asarray(np.isfinite(qrs).all(axis=2))
    if there.all():
        return [list(range(there.shape[1]))]
    groups: list[set[int]] = []
    for number in range(len(there)):
        leads = set(np.flatnonzero(there[number]).tolist())
        linked = [group for group in groups if group & leads]
        groups = [group for group in groups if not group & leads] + [leads.union(*linked)]
    alone: list[set[int]] = [{row} for row in range(there.shape[1]) if not there[:, row].any()]
    return sorted((sorted(group) for group in [*groups, *alone] if group), key=lambda group: -len(group))


def independent(leads: Sequence[str]) -> list[int]:
    """Rows of leads that are not computed from others: the first two limb leads, and all leads that are not limb."""
    limb = [name for name in ("I", "II", "III", "aVF", "aVL", "aVR") if name in leads][:2]
    return [row for row, name in enumerate(leads) if name in limb or name.startswith("V")]
