"""Measure a recording: rate, intervals, axes and amplitudes, each with its uncertainty or the reason why it has none.

The values are those of the median beat of the commonest shape, with onsets and offsets global over leads, as the
published limits are. The standard error of a value combines the spread over left-out groups of beats (a jackknife), how
much of a mark was extrapolated, the sampling interval of the recording and a cart's low-pass. That of the rate is the
error of a mean over the RR intervals. Research use: nothing here is a diagnosis.

A global QRS followed down to its feet, as readers mark it and as simulated truth has it, is longer than that of the
programs behind published adult limits; `normal_adults` in `benchmarks/measure.py` measures by how much.

Sources: CSE working party, Eur Heart J 1985;6:815 (global onsets and offsets, waves from 20 uV on); Bazett, Heart 1920;
7:353; Fridericia, Acta Med Scand 1920;53:469; AHA/ACCF/HRS, Circulation 2009;119:e241 (QT, ST).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.leads import STANDARD
from auricle.measure import remarks, rhythm
from auricle.measure.amplitudes import amplitude_values, ratio
from auricle.measure.delineate import Delineation
from auricle.measure.intervals import axis_values, interval_values
from auricle.measure.jackknife import left_out
from auricle.measure.measurements import CAME_WITH, UNITS, Measured, Measurements, Remark, unmeasured
from auricle.measure.median_beat import Aligned, align, align_as, columns, independent, without_gaps
from auricle.measure.reading import Reading, doubted, read_beat
from auricle.measure.waves import WAVES, read_waves
from auricle.recording import Recording
from auricle.signal.acceptance import Acceptance, Reason, judge
from auricle.signal.beats import Beats, read_beats, to_usual_height

Floats = NDArray[np.float64]

_NO_BEATS: Final = "no heart beats found"
# Remarks of which the trace is to blame, not the heart.
_ELECTRODES: Final = ("arms_swapped", "leg_electrode_swapped")


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the leads that decide give to leads beside them.

    Attributes:
        found: their measurements.
        aligned: their beats; None where they could not be aligned.
        readings: of all beats, then with each group of beats left out.
        scale: by which the signal was multiplied where its unit is not known.
    """

    found: Measurements
    aligned: Aligned | None = None
    readings: tuple[Reading, ...] = ()
    scale: float = 1.0


def measure_recording(recording: Recording) -> Measurements:
    """Measure one recording of any length from 2 s on, any leads, any rate, with missing samples.

    Args:
        recording: as a reader gives it; age and sex are not read.

    Returns:
        Every value by name, those that could not be measured with their reason. Leads that are flat or mostly missing
        are named in a remark and not measured. Leads beside the standard twelve (V3R, V4R, V7 ...) are measured at the
        beats and between the marks of the twelve, whose limits are of twelve leads, and change none of their values.
    """
    keep = remarks.usable(recording)
    twelve = np.array([name in STANDARD for name in recording.leads], dtype=bool)
    if twelve.all() or not keep[twelve].any():
        found = _decided(recording, keep).found
    else:
        decided = _decided(_part(recording, twelve), keep[twelve])
        found = _with_further(decided, _part(recording, ~twelve), keep[~twelve])
    by_cart = {ours: recording.measurements.get(theirs) for theirs, ours in CAME_WITH.items()}
    return replace(found, cart={name: value for name, value in by_cart.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Judged:
    """What is seen of a recording on the way to its quality.

    Attributes:
        quality: of the trace.
        heart_rate: as `measure_recording` gives it.
        artefacts: leads that hold something larger than a heart can be.
    """

    quality: Acceptance
    heart_rate: Measured
    artefacts: tuple[str, ...] = ()


def judge_recording(recording: Recording) -> Judged:
    """The quality and rate that `measure_recording` gives, in less time: no other value is measured."""
    keep = remarks.usable(recording)
    twelve = np.array([name in STANDARD for name in recording.leads], dtype=bool)
    if not twelve.all() and keep[twelve].any():
        recording, keep = _part(recording, twelve), keep[twelve]
    artefacts = tuple(lead for remark in remarks.of_artefacts(recording) for lead in remark.leads)
    begun = _begin(recording, keep)
    if begun.aligned is None:
        return Judged(begun.quality, unmeasured("heart_rate", _NO_BEATS), artefacts)
    read = _read_whole(recording, begun.leads, begun.beats, begun.aligned)
    whole, _ = doubted(read.whole, [], read.aligned, read.leads)
    found = _remarks(whole, read.aligned, read.leads, recording.amplitude_known)
    rate = rhythm.rate(read.rr_ms, whole.found.qrs.onset is not None, begun.beats.unclear)["heart_rate"]
    return Judged(begun.quality.also(_swapped(remarks.by_gravity(found))), rate, artefacts)


def _part(recording: Recording, rows: NDArray[np.bool_]) -> Recording:
    names = tuple(name for name, chosen in zip(recording.leads, rows, strict=True) if chosen)
    return replace(recording, signal=recording.signal[rows], leads=names)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A recording up to its aligned beats, which are None where it cannot be measured."""

    leads: tuple[str, ...]
    beats: Beats
    aligned: Aligned | None
    quality: Acceptance
    scale: float


def _begin(recording: Recording, keep: NDArray[np.bool_]) -> _Begun:
    leads = tuple(name for name, good in zip(recording.leads, keep, strict=True) if good)
    signal = recording.signal[keep]
    scale = 1.0
    if len(leads) and not recording.amplitude_known:
        scale = to_usual_height(signal)
        signal = signal * np.float32(scale)
    beats = read_beats(signal, leads, recording.rate_hz)
    quality = judge(recording, beats.at)
    aligned = align(signal, recording.rate_hz, beats.at) if quality.readable and len(beats.at) else None
    return _Begun(leads, beats, aligned, quality, scale)


def _decided(recording: Recording, keep: NDArray[np.bool_]) -> _Decided:
    """The measurements of leads that decide their own beats and marks."""
    found_remarks = remarks.of_recording(recording, keep)
    begun = _begin(recording, keep)
    if begun.aligned is None:
        why = str(begun.quality.reasons[0]) if not begun.quality.readable else _NO_BEATS
        nothing = _nothing(recording, begun.leads, begun.beats.at, found_remarks, why)
        return _Decided(replace(nothing, quality=begun.quality))
    found, readings = _measured(recording, begun.leads, begun.beats, begun.aligned, found_remarks)
    return _Decided(
        replace(found, quality=begun.quality.also(_swapped(found.remarks))), begun.aligned, readings, begun.scale
    )


def _swapped(found: Sequence[Remark]) -> list[Reason]:
    """What remarks say of electrodes, as reasons not to accept a trace."""
    return [Reason(remark.code) for remark in found if remark.code in _ELECTRODES]


def _with_further(decided: _Decided, recording: Recording, keep: NDArray[np.bool_]) -> Measurements:
    """The measurements with the amplitudes of further leads, read at the beats and between the marks of the others."""
    found, every = decided.found, decided.found.values
    leads = tuple(name for name, good in zip(recording.leads, keep, strict=True) if good)
    found_remarks = [*found.remarks, *remarks.of_contact(recording, keep)]
    beside, aligned = np.zeros((len(leads), found.median_beat.shape[1]), dtype=np.float32), decided.aligned
    values = {f"{wave}_{lead.lower()}": unmeasured("", every["qrs"].reason) for lead in leads for wave in WAVES}
    if aligned is not None and len(leads):
        signal = recording.signal[keep] * np.float32(decided.scale)
        further = align_as(signal, recording.rate_hz, found.beats, aligned)
        read = [_beside(median, further.rate_hz, reading)
                for median, reading in zip([further.median, *left_out(further.stack)], decided.readings,
                                           strict=True)]  # fmt: skip
        marks, known = decided.readings[0].found, recording.amplitude_known
        values = amplitude_values(read[0], read[1:], further.noise_mv, leads, marks, known)
        beside = without_gaps(further.median).astype(np.float32)
        found_remarks += _noisy(marks, further, beside.astype(np.float64), leads) if known else []
    return replace(
        found,
        values={**every, **_of_leads(values, recording.leads, recording.leads)},
        remarks=remarks.by_gravity(found_remarks),
        leads=(*found.leads, *leads),
        median_beat=np.concatenate([found.median_beat, beside]),
    )


def _beside(median: Floats, rate_hz: float, reading: Reading) -> Floats:
    """(wave, lead) amplitudes of leads between the marks of a reading of others; NaN in a lead without a beat."""
    amplitude = read_waves(without_gaps(median), reading.found, rate_hz, reading.rr).amplitude_mv
    amplitude[:, ~np.isfinite(median).any(axis=1)] = np.nan
    return amplitude


def _measured(
    recording: Recording,
    leads: tuple[str, ...],
    beats: Beats,
    aligned: Aligned,
    found_remarks: list[Remark],
) -> tuple[Measurements, tuple[Reading, ...]]:
    """All values of a recording whose beats could be aligned, and the readings they are from."""
    read = _read_whole(recording, leads, beats, aligned)
    leads, aligned, whole, rr_ms = read.leads, read.aligned, read.whole, read.rr_ms
    few = any(remark.code == "few_leads" for remark in found_remarks)
    found_remarks = found_remarks + [remark for remark in read.uncovered if not (few and remark.code == "few_leads")]
    # Those with one group of beats left out, too.
    groups_left_out = left_out(aligned.stack)
    repeated = [_read_group(median, aligned, read.sheet, leads, read.usual_rr_ms) for median in groups_left_out]
    whole, repeated = doubted(whole, repeated, aligned, leads)
    # Values with their standard errors.
    known, seen = recording.amplitude_known, whole.found.qrs.onset is not None
    values = rhythm.rate(rr_ms, seen, beats.unclear)
    values |= interval_values(whole, repeated, recording, aligned.rate_hz, len(independent(leads)))
    values |= rhythm.corrected(values["qt"], *rhythm.before_ms(rr_ms, aligned.members), values["rr"].reason)
    values |= axis_values(whole, repeated, aligned.noise_mv, leads, known)
    groups = [reading.waves.amplitude_mv for reading in repeated]
    values |= amplitude_values(whole.waves.amplitude_mv, groups, aligned.noise_mv, leads, whole.found, known)
    values["rs_ratio_v1"] = ratio(values)
    found_remarks = found_remarks + _remarks(whole, aligned, leads, known)
    found_remarks += remarks.of_rhythm(rhythm.known(rr_ms), len(aligned.stack), beats.unclear)
    found = Measurements(
        _in_order(values, leads, recording.leads), remarks.by_gravity(found_remarks), leads,
        aligned.median.astype(np.float32), aligned.rate_hz, aligned.r_index, _marks_ms(whole.found, aligned), beats.at,
        len(aligned.stack), recording.original_hz,
    )  # fmt: skip
    return found, (whole, *repeated)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The median beat of all beats, as it was read.

    Attributes:
        leads, aligned: without leads that no beat of the median has.
        uncovered: the remarks that name those.
        sheet: rows of each column of leads that were recorded together.
        rr_ms: from beat to beat, and `usual_rr_ms` their median; NaN where none is known.
        whole: what was read.
    """

    leads: tuple[str, ...]
    aligned: Aligned
    uncovered: list[Remark]
    sheet: list[list[int]]
    rr_ms: Floats
    usual_rr_ms: float
    whole: Reading


def _read_whole(recording: Recording, leads: tuple[str, ...], beats: Beats, aligned: Aligned) -> _Whole:
    leads, aligned, uncovered = _covered(leads, aligned)
    sheet, rr_ms = columns(aligned), rhythm.intervals_ms(recording, beats.at)
    rr = float(np.median(rhythm.known(rr_ms))) if len(rhythm.known(rr_ms)) else math.nan
    aligned = replace(aligned, median=without_gaps(aligned.median))
    return _Whole(leads, aligned, uncovered, sheet, rr_ms, rr, read_beat(aligned.median, aligned, sheet, leads, rr))


def _covered(leads: tuple[str, ...], aligned: Aligned) -> tuple[tuple[str, ...], Aligned, list[Remark]]:
    """Leads and beats without the leads that no beat of the median has, and the remark that names those."""
    there: NDArray[np.bool_] = np.asarray(np.isfinite(aligned.median).any(axis=1))
    lost = tuple(name for name, known in zip(leads, there.tolist(), strict=True) if not known)
    found = [Remark("poor_contact", lost, {"missing_fraction": 1.0})] if lost else []
    common = len(columns(aligned)[0])
    if common < len(leads) - len(lost):
        # Columns of a sheet without a common lead: marks come from one of them.
        found.append(Remark("few_leads", (), {"leads": float(common)}))
    if not lost:
        return leads, aligned, found
    kept = replace(
        aligned, stack=aligned.stack[:, there], median=aligned.median[there], noise_mv=aligned.noise_mv[there]
    )
    return tuple(name for name in leads if name not in lost), kept, found


def _read_group(
    median: Floats, aligned: Aligned, sheet: list[list[int]], leads: tuple[str, ...], rr_ms: float
) -> Reading:
    """The reading of a median with beats left out; NaN in leads that only those beats had."""
    there = np.isfinite(median).any(axis=1)
    reading = read_beat(without_gaps(median), aligned, sheet, leads, rr_ms)
    if not there.all():
        reading.waves.amplitude_mv[:, ~there] = np.nan
    return reading


def _remarks(whole: Reading, aligned: Aligned, leads: tuple[str, ...], amplitude_known: bool) -> list[Remark]:
    found_remarks = [Remark("paced")] if whole.found.paced else []
    qrs = _qrs_of(whole.found, aligned.median)
    if qrs is None or not amplitude_known:
        return found_remarks
    found_remarks += _noisy(whole.found, aligned, aligned.median, leads)
    return found_remarks + remarks.of_electrodes(whole.waves, leads, qrs - qrs[:, :1], np.ptp(aligned.median, axis=1))


def _noisy(found: Delineation, aligned: Aligned, median: Floats, leads: tuple[str, ...]) -> list[Remark]:
    qrs = _qrs_of(found, median)
    return remarks.of_noise(leads, aligned.scatter_mv, np.ptp(qrs, axis=1)) if qrs is not None else []


def _qrs_of(found: Delineation, median: Floats) -> Floats | None:
    """(lead, time) the median beat between QRS onset and offset; None without them."""
    onset, offset = found.qrs.onset, found.qrs.offset
    if onset is None or offset is None:
        return None
    first = max(0, round(onset.at))
    return median[:, first : max(first + 2, round(offset.at) + 1)]


def _marks_ms(found: Delineation, aligned: Aligned) -> dict[str, float]:
    marks = {"p_onset": found.p.onset, "p_offset": found.p.offset, "qrs_onset": found.qrs.onset,
             "qrs_offset": found.qrs.offset, "t_offset": found.t.offset}  # fmt: skip
    ms = 1000 / aligned.rate_hz
    return {name: (mark.at - aligned.r_index) * ms for name, mark in marks.items() if mark is not None}


def _in_order(values: Mapping[str, Measured], leads: tuple[str, ...], recorded: tuple[str, ...]) -> dict[str, Measured]:
    """All names in one order, whatever was recorded: globals, then waves lead by lead."""
    every = (*STANDARD, *(name for name in leads if name not in STANDARD))
    return {name: values[name] for name in UNITS} | _of_leads(values, every, recorded)


def _of_leads(values: Mapping[str, Measured], leads: tuple[str, ...], recorded: tuple[str, ...]) -> dict[str, Measured]:
    """The waves lead by lead, with a reason where a lead has none."""
    ordered = {}
    for lead in leads:
        absent = f"lead {lead} {'is flat or mostly missing' if lead in recorded else 'was not recorded'}"
        for wave in WAVES:
            name = f"{wave}_{lead.lower()}"
            ordered[name] = values[name] if name in values else unmeasured(name, absent)
    return ordered


def _nothing(
    recording: Recording, leads: tuple[str, ...], beats: NDArray[np.int64], found_remarks: list[Remark], why: str
) -> Measurements:
    names = (*UNITS, *(f"{wave}_{lead.lower()}" for lead in leads for wave in WAVES))
    values = _in_order({name: unmeasured(name, why) for name in names}, leads, recording.leads)
    found_remarks = [*found_remarks, Remark("few_beats", (), {"beats": float(len(beats))})]
    empty = np.zeros((len(leads), 0), dtype=np.float32)
    return Measurements(values, remarks.by_gravity(found_remarks), leads, empty, recording.rate_hz, 0, {}, beats, 0,
                        recording.original_hz)  # fmt: skip
