"""Two views of one heart, for contrastive learning: what may differ between them, and what may not.

Source: ACL-ECG (Sensors 2026, 26(3), 1080), of which only the abstract is at hand: "random scale cropping,
cardiac-cycle masking, and temporal shifting", so that views keep the rhythm. Idea: (1) a random part of the record is
seen, the rest is padding; (2) it is stretched by a tenth at most, because heart rate carries age; (3) it stands
anywhere in the window, never wrapped around its end, which would join beats that never followed each other; (4) whole
cardiac cycles are missing; (5) leads are missing, which breaks no rhythm and is what hospitals send. The `generic`
strategy is its ablation and changes as much without regard to beats: the part is scaled to fill the window, is wrapped
around its end, and misses a stretch anywhere; leads are missing as in `physiology`.

A gap is taken out of `time_mask`, not drawn as a flat line: a flat line as long as a beat is what a sinus pause or a
dropped beat looks like, and views that hold one would teach an encoder to overlook it. (A patch wider than the gap
still reads zeros in part.) Everything is vectorised over records and draws from torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from auricle.augment.signal import AugmentConfig, augment
from auricle.batch import ECGBatch
from auricle.config import Config, validate
from auricle.errors import UnknownNameError

# A cycle begins this share of the interval before its R peak: behind the T wave of the beat before and ahead of its
# own P wave at 60 as at 200 beats a minute, where the midpoint between two peaks would cut one of the two.
_BEFORE_PEAK: Final = 0.35
# No gap takes more than this share of a view.
_LARGEST_GAP: Final = 0.5
# An interval longer than this many of the record's usual ones holds a pause or a beat that was not found.
_LONGEST_INTERVAL: Final = 1.8

Range = tuple[float, float]
# By default nothing but leads is lost, so that the strategies differ in what they do to time alone.
_LOSE_LEADS: Final = AugmentConfig(gain=0.0, noise_mv=0.0)


class PhysiologyViews(Config):
    """Views that keep the rhythm.

    Attributes:
        crop: share of the record that is seen; the rest of the window is padding.
        stretch: factor on time, by linear interpolation; (1, 1) leaves every sample as it is. What would reach beyond
            the window is cut.
        shift: how much of the free room of the window the crop may be moved into; 0 begins every view at its start.
        gap: what is missing: whole cardiac `cycles`, or, as an ablation, a `window` anywhere.
        cycles: how many whole cardiac cycles are missing, fewest and most; never more than half of those in the view,
            and none around an interval that is much longer than the others (a pause, or a beat not found).
        window_s: length of the window, which also stands in for cycles where a view has fewer than two whole ones (no R
            peaks known, or none in it).
        change: lost leads, and gain and noise, which are 0 by default.
    """

    name: Literal["physiology"] = "physiology"
    crop: Range = (0.5, 1.0)
    stretch: Range = (0.9, 1.1)
    shift: Annotated[float, Field(ge=0, le=1)] = 1.0
    gap: Literal["cycles", "window"] = "cycles"
    cycles: tuple[int, int] = (1, 3)
    window_s: Range = (0.6, 1.0)
    change: AugmentConfig = _LOSE_LEADS

    @model_validator(mode="after")
    def _in_order(self) -> PhysiologyViews:
        _check_range("crop", self.crop, above=0.0, most=1.0)
        _check_range("stretch", self.stretch, above=0.0)
        _check_range("window_s", self.window_s, above=0.0)
        _check_range("cycles", self.cycles, above=-1)
        return self


class GenericViews(Config):
    """Views that disregard beats and rate: the ablation of `PhysiologyViews`.

    Attributes:
        crop: share of the record that is seen, scaled up to the whole record: rate is not kept.
        window_s: length of one gap at a random place, at most half of the record; as long as one to three cycles.
        change: lost leads, and gain and noise, which are 0 by default.
    """

    name: Literal["generic"] = "generic"
    crop: Range = (0.5, 1.0)
    window_s: Range = (0.6, 2.4)
    change: AugmentConfig = _LOSE_LEADS

    @model_validator(mode="after")
    def _in_order(self) -> GenericViews:
        _check_range("crop", self.crop, above=0.0, most=1.0)
        _check_range("window_s", self.window_s, above=0.0)
        return self


def _by_name(value: Any) -> Any:
    """A table as the strategy it names, with errors about that strategy's keys alone."""
    if not isinstance(value, Mapping):
        return value
    kinds: dict[str, type[PhysiologyViews] | type[GenericViews]] = {
        "physiology": PhysiologyViews,
        "generic": GenericViews,
    }
    name = str(value.get("name", "physiology"))
    if name not in kinds:
        raise UnknownNameError("kind of views", name, kinds)
    return validate(kinds[name], value, "views")


# A table without a name is one of `PhysiologyViews`.
ViewsConfig = Annotated[PhysiologyViews | GenericViews, BeforeValidator(_by_name)]


def view(batch: ECGBatch, config: PhysiologyViews | GenericViews) -> ECGBatch:
    """One random view of each record of a preprocessed batch; call it again for another.

    R peaks follow the trace; those that are cut off or in a gap are gone. Absent leads stay absent. A stored picture
    shows the record and not the view, and is left out.
    """
    return _STRATEGIES[config.name](replace(batch, image=None, image_mask=None), config)


def physiology_view(batch: ECGBatch, config: PhysiologyViews) -> ECGBatch:
    """A stretched part of the record, somewhere in the window, without some of its cardiac cycles."""
    cropped = augment(crop(batch, config.crop, config.stretch, config.shift), config.change)
    window = random_window(cropped.time_mask, config.window_s, batch.rate_hz)
    if cropped.beats is None or config.gap == "window":
        return _without(cropped, window)
    gap = cycle_gap(cropped.beats, cropped.time_mask, config.cycles)
    too_few = _whole_cycles(cropped.beats, cropped.time_mask)[2].sum(1) < 2
    return _without(cropped, torch.where(too_few[:, None], window, gap))


def generic_view(batch: ECGBatch, config: GenericViews) -> ECGBatch:
    """A part of the record, scaled to the length of the whole, wrapped around its end, without a random window."""
    moved = augment(wrapped(scaled(batch, config.crop)), config.change)
    return _without(moved, random_window(moved.time_mask, config.window_s, batch.rate_hz))


_STRATEGIES: Final[Mapping[str, Callable[[ECGBatch, Any], ECGBatch]]] = {
    "physiology": physiology_view,
    "generic": generic_view,
}


def crop(batch: ECGBatch, share: Range, stretch: Range, shift: float = 1.0) -> ECGBatch:
    """A random part of each record, stretched in time and moved in the window; the window stays as long as it was.

    Args:
        batch: preprocessed, (b, l, t).
        share: fewest and most of the record that is kept.
        stretch: least and largest factor on time; 1 keeps samples as they are.
        shift: how much of the free room of the window may lie before the crop.
    """
    n_records, t = batch.time_mask.shape
    device = batch.time_mask.device
    _, length = _recorded(batch.time_mask)
    factor = _uniform(n_records, stretch, device)
    longest = ((length - 1) * factor + 1).clamp(max=t)
    n_out = (_uniform(n_records, share, device) * factor * length).minimum(longest).floor().clamp_min(1)
    offset = (torch.rand(n_records, device=device) * shift * (t - n_out + 1)).floor().clamp_max(t - 1)
    return _laid_out(batch, factor, n_out, offset)


def scaled(batch: ECGBatch, share: Range) -> ECGBatch:
    """A random part of each record, stretched to the length and the place of the whole.

    Args:
        batch: preprocessed, (b, l, t).
        share: fewest and most of the record that is kept.
    """
    first, length = _recorded(batch.time_mask)
    kept = _uniform(len(length), share, length.device) * (length - 1)
    factor = (length - 1).clamp_min(1) / kept.clamp_min(1)
    return _laid_out(batch, factor, length.float(), first.float())


def _laid_out(batch: ECGBatch, factor: Tensor, n_out: Tensor, offset: Tensor) -> ECGBatch:
    """A random part of each record, stretched in time and put somewhere in the window.

    Args:
        batch: preprocessed, (b, l, t).
        factor: (b,) on time; above 1 the part becomes longer.
        n_out: (b,) samples of the part after stretching.
        offset: (b,) sample of the window where the part begins.
    """
    # Where in each record the part begins.
    t, device = batch.time_mask.shape[1], batch.time_mask.device
    first, length = _recorded(batch.time_mask)
    room = (length - 1 - (n_out - 1) / factor).clamp_min(0)
    start = first + (torch.rand(len(first), device=device) * room).floor()

    # (b, t) which two samples of the record each sample of the window lies between, and how far from the first.
    place = torch.arange(t, device=device)
    source = start[:, None] + (place - offset[:, None]) / factor[:, None]
    low = source.floor().clamp(0, t - 1)
    share_of_next = (source - low).clamp(0, 1)
    low = low.long()
    high = (low + 1).clamp_max(t - 1)

    # What is known in the window: inside of the part, and recorded on both sides.
    inside = (place >= offset[:, None]) & (place < (offset + n_out)[:, None])
    recorded = batch.time_mask.gather(1, low) & (batch.time_mask.gather(1, high) | (share_of_next == 0))
    time_mask = inside & recorded

    # Linear interpolation of the signal, and the R peaks that fall into the part.
    known = batch.lead_mask[:, :, None] & batch.time_mask[:, None]
    signal = torch.where(known, batch.signal, 0.0)
    before, after = (signal.gather(2, index[:, None].expand_as(signal)) for index in (low, high))
    signal = before + share_of_next[:, None] * (after - before)
    signal = torch.where(batch.lead_mask[:, :, None] & time_mask[:, None], signal, 0.0)
    beats = batch.beats
    if beats is not None:
        moved = ((beats - start[:, None]) * factor[:, None] + offset[:, None]).round().long()
        beats = _kept(moved, beats >= 0, time_mask)
    return replace(batch, signal=signal, time_mask=time_mask, beats=beats)


def halves(batch: ECGBatch) -> tuple[ECGBatch, ECGBatch]:
    """The first and the second half of the window of each record, as two batches; R peaks and pictures are left out.

    A record that ends in the first half has nothing in the second.

    Args:
        batch: preprocessed, (b, l, t); the last sample of an odd window is dropped.
    """
    half = batch.time_mask.shape[1] // 2
    bare = replace(batch, beats=None, image=None, image_mask=None)
    parts = (slice(0, half), slice(half, 2 * half))
    first, second = (
        replace(bare, signal=batch.signal[..., part], time_mask=batch.time_mask[:, part]) for part in parts
    )
    return first, second


def overlapping(time_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two masks (b, t) of random stretches of each record, of which the second begins and ends behind the first.

    Source: Yue et al. 2022 (TS2Vec), section 3.3. What both show is a quarter of the record at least.

    Args:
        time_mask: (b, t) samples that were recorded.
    """
    first, length = _recorded(time_mask)
    # Shares of the record: where what both show begins and ends, and how far each stretch reaches beyond it.
    width = 0.25 + 0.75 * torch.rand(len(first), device=first.device)
    begin = (1 - width) * torch.rand(len(first), device=first.device)
    reach = torch.rand(2, len(first), device=first.device)
    place = (torch.arange(time_mask.shape[1], device=first.device) - first[:, None]) / length.clamp_min(1)[:, None]
    end = begin + width
    one = (place >= (begin * reach[0])[:, None]) & (place < end[:, None])
    other = (place >= begin[:, None]) & (place < (end + (1 - end) * reach[1])[:, None])
    return time_mask & one, time_mask & other


def single_leads(lead_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two masks (b, l) that leave each record one lead of those it has, not the same one; none where it has one alone.

    Args:
        lead_mask: (b, l) leads that were recorded.
    """
    score = torch.rand(lead_mask.shape, device=lead_mask.device).masked_fill(~lead_mask, -1.0)
    rank = score.argsort(dim=1, descending=True).argsort(dim=1)
    several = (lead_mask.sum(1) > 1)[:, None]
    return lead_mask & (rank == 0) & several, lead_mask & (rank == 1) & several


def wrapped(batch: ECGBatch) -> ECGBatch:
    """Each record begun at a random sample of it; the samples before that one follow behind its end.

    Args:
        batch: preprocessed, (b, l, t).
    """
    first, length = _recorded(batch.time_mask)
    turn = (torch.rand(len(first), device=first.device) * length).long()[:, None]
    first, length = first[:, None], length[:, None].clamp_min(1)
    place = torch.arange(batch.time_mask.shape[1], device=first.device) - first
    inside = (place >= 0) & (place < length)
    source = torch.where(inside, first + (place + turn) % length, place + first)
    signal = batch.signal.gather(2, source[:, None].expand_as(batch.signal))
    time_mask = batch.time_mask.gather(1, source)
    beats = batch.beats
    if beats is not None:
        beats = _kept(first + (beats - first - turn) % length, beats >= 0, time_mask)
    return replace(batch, signal=signal, time_mask=time_mask, beats=beats)


def permuted(batch: ECGBatch, most_segments: int) -> ECGBatch:
    """Each record cut at random samples into pieces, in all leads alike, and the pieces put together in random order.

    Source: Um et al. 2017; Eldele et al. 2021 (TS-TCC), whose strong view it is. Every piece stays as it was; how many
    there are is drawn for each record.

    Args:
        batch: preprocessed, (b, l, t).
        most_segments: most pieces, at least one.
    """
    first, length = (each[:, None] for each in _recorded(batch.time_mask))
    n, device = len(first), first.device
    place = torch.arange(batch.time_mask.shape[1], device=device) - first
    # Cuts beyond the drawn number lie behind the record, where they cut nothing.
    n_cuts = torch.randint(0, most_segments, (n, 1), device=device)
    cuts = (torch.rand(n, most_segments - 1, device=device) * length).long()
    cuts = torch.where(torch.arange(most_segments - 1, device=device) < n_cuts, cuts, length).sort(dim=1).values
    piece = torch.searchsorted(cuts, place.clamp_min(0).contiguous(), right=True)
    # What lies before the record and behind it keeps its place: its turn is before and after all pieces.
    turn = torch.rand(n, most_segments, device=device).gather(1, piece.clamp_max(most_segments - 1))
    turn = torch.where(place < 0, -1.0, torch.where(place < length, turn, 2.0))
    source = turn.argsort(dim=1, stable=True)
    signal = batch.signal.gather(2, source[:, None].expand_as(batch.signal))
    time_mask = batch.time_mask.gather(1, source)
    beats = batch.beats
    if beats is not None:
        beats = _kept(source.argsort(dim=1).gather(1, beats.clamp_min(0)), beats >= 0, time_mask)
    return replace(batch, signal=signal, time_mask=time_mask, beats=beats)


def cycle_gap(beats: Tensor, time_mask: Tensor, n_cycles: tuple[int, int]) -> Tensor:
    """(b, t) true inside random whole cardiac cycles; nowhere in a record that has fewer than two of them.

    Args:
        beats: (b, beat) R peaks in samples, -1 where there are none.
        time_mask: (b, t) samples that were recorded.
        n_cycles: fewest and most; at most half of a record's whole cycles are taken.
    """
    begin, end, whole = _whole_cycles(beats, time_mask)
    n_records, t = time_mask.shape
    device = time_mask.device
    wanted = torch.randint(n_cycles[0], n_cycles[1] + 1, (n_records,), device=device)
    wanted = wanted.minimum((whole.sum(1) * _LARGEST_GAP).long())
    # The whole cycles of the highest random scores are taken: (b, beat).
    score = torch.rand(whole.shape, device=device).masked_fill(~whole, -1.0)
    rank = score.argsort(dim=1, descending=True).argsort(dim=1)
    chosen = ((rank < wanted[:, None]) & whole).long()
    # +1 where a chosen cycle begins and -1 where it ends; the running sum is positive inside: (b, t).
    steps = torch.zeros((n_records, t + 1), dtype=torch.long, device=device)
    steps.scatter_add_(1, begin.clamp(0, t), chosen)
    steps.scatter_add_(1, end.clamp(0, t), -chosen)
    return steps.cumsum(1)[:, :t] > 0


def random_window(time_mask: Tensor, seconds: Range, rate_hz: float) -> Tensor:
    """(b, t) true inside one window at a random place of each record, at most half as long as the record.

    Args:
        time_mask: (b, t) samples that were recorded.
        seconds: shortest and longest window.
        rate_hz: samples per second.
    """
    first, length = _recorded(time_mask)
    wanted = (_uniform(len(first), seconds, time_mask.device) * rate_hz).round()
    width = wanted.minimum((length * _LARGEST_GAP).floor())
    begin = first + (torch.rand(len(first), device=time_mask.device) * (length - width + 1)).floor()
    place = torch.arange(time_mask.shape[1], device=time_mask.device)
    return (place >= begin[:, None]) & (place < (begin + width)[:, None])


def _whole_cycles(beats: Tensor, time_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cardiac cycle around each R peak, (b, beat) each: first sample, end, and whether it is known to be whole.

    Neighbouring cycles share their border. The first and the last cycle have one interval only and use it on both
    sides. A cycle counts as whole if it lies inside the record and beside no interval much longer than the median.
    """
    # Intervals before and behind each peak; `_kept` has moved the known peaks to the front.
    beats = _kept(beats, beats >= 0, time_mask)
    beats = F.pad(beats, (0, max(0, 2 - beats.shape[1])), value=-1)
    number = torch.arange(beats.shape[1], device=beats.device)
    n_beats = (beats >= 0).sum(1, keepdim=True)
    interval = beats.diff(dim=1)
    before = torch.cat([interval[:, :1], interval], dim=1)
    after = torch.where(number == n_beats - 1, before, torch.cat([interval, interval[:, -1:]], dim=1))

    # Borders of the cycles, and which cycles are whole.
    begin = (beats - _BEFORE_PEAK * before).round().long()
    end = (beats + (1 - _BEFORE_PEAK) * after).round().long()
    first, length = _recorded(time_mask)
    inside = (begin >= first[:, None]) & (end <= (first + length)[:, None])
    between = torch.where(number[1:] < n_beats, interval, torch.nan)
    usual = _LONGEST_INTERVAL * between.nanmedian(dim=1, keepdim=True).values
    return begin, end, (number < n_beats) & (n_beats >= 2) & inside & (torch.maximum(before, after) <= usual)


def _without(batch: ECGBatch, gap: Tensor) -> ECGBatch:
    """The batch as if nothing had been recorded where the (b, t) gap is true."""
    time_mask = batch.time_mask & ~gap
    signal = torch.where(batch.lead_mask[:, :, None] & time_mask[:, None], batch.signal, 0.0)
    beats = None if batch.beats is None else _kept(batch.beats, batch.beats >= 0, time_mask)
    return replace(batch, signal=signal, time_mask=time_mask, beats=beats)


def _kept(beats: Tensor, known: Tensor, time_mask: Tensor) -> Tensor:
    """(b, beat) peaks that are known and lie in recorded samples, in rising order, then -1."""
    t = time_mask.shape[1]
    inside = known & (beats >= 0) & (beats < t)
    inside = inside & time_mask.gather(1, torch.where(inside, beats, 0))
    ordered = torch.where(inside, beats, t).sort(dim=1).values
    return torch.where(ordered < t, ordered, -1)


def _recorded(time_mask: Tensor) -> tuple[Tensor, Tensor]:
    """(b,) first recorded sample, and the length up to the last; 0 where nothing was recorded."""
    first = time_mask.int().argmax(1)
    last = time_mask.shape[1] - 1 - time_mask.flip(1).int().argmax(1)
    return first, torch.where(time_mask.any(1), last - first + 1, 0)


def _uniform(n: int, between: Range, device: torch.device) -> Tensor:
    """(n,) random numbers, uniform between two limits."""
    low, high = between
    return low + (high - low) * torch.rand(n, device=device)


def _check_range(name: str, between: tuple[float, float], above: float, most: float = float("inf")) -> None:
    """Raise ValueError unless above < low <= high <= most."""
    low, high = between
    if not above < low <= high <= most:
        upper = "" if most == float("inf") else f" and at most {most:g}"
        raise ValueError(f"{name} must rise, from above {above:g}{upper}: {between}")
