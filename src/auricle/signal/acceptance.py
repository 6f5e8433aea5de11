"""Whether a trace can be read: acceptable as judges of ECG quality call it, and readable at all.

Only the trace counts, not its rhythm. Every lead has a chance of being called bad, from how much of it is missing, how
often its level jumps, how large it is from second to second, and how well its beats resemble each other; a recording
is as good as all its leads together (a noisy-or). Weights were fitted to the judgements of the PhysioNet/Computing in
Cardiology Challenge 2011 (Silva, Moody and Celi, Computing in Cardiology 2011;38:273) by `benchmarks/acceptance.py`,
which also says how well they hold on records left out. Features and limits were chosen on the same records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.recording import Recording
from auricle.signal.beats import beats_of, to_usual_height
from auricle.signal.traces import bridged, moving_average

Floats = NDArray[np.float64]

FEATURES: Final = ("missing", "off_half_mv", "off_one_mv", "range", "likeness", "noise_mv")
# The chance of a lead being called bad is the logistic function of OFFSET + WEIGHTS . features.
WEIGHTS: Final = (9.1, 2.8, 5.2, -0.58, -1.0, 0.0)
# Noise over a lead without a heart in it is rare among those records: a line cannot learn it, so it is a rule.
_NOISY_MV, _UNLIKE, _ALIKE_SHARE, _NOISY_CHANCE = 0.15, 0.5, 0.3, 0.9
OFFSET: Final = -3.74
# Features of a lead without fault, from which reasons are counted.
GOOD: Final = (0.0, 0.0, 0.0, 0.0, 2.5, 0.0)
_BETWEEN_S, _LEVEL_S, _SECOND_S = 0.25, 0.3, 1.0
# A lead that is missing for this share of the time is as good as gone.
_MOSTLY_MISSING: Final = 0.5
_HALF_BEAT_S: Final = 0.1
_LEAST_SECONDS: Final = 2.0
_LEAST_BEATS: Final = 2
# QRS complexes are rare and steep: the kurtosis of the slope over 10 ms was above 11 in some lead of each of a thousand
# real recordings, and is about 3 in noise. Ventricular tachycardia has no steep part either, but is smooth: its slope
# over 10 ms is a small share of its size, where noise of muscles, of mains and of an open input moves all the way.
_SLOPE_S: Final = 0.01
_LEAST_KURTOSIS: Final = 4.5
_ROUGH: Final = 0.6
# A wave without a steep part whose beats do not resemble each other in any lead may be fibrillation, or artefact.
_REPEATS: Final = 0.5
# A lead is named from this chance on, or the worst one where none reaches it.
_NAMED: Final = 0.3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a trace is not acceptable.

    Attributes:
        code: "too_short", "no_qrs", "no_beats"; or of leads "missing", "moving", "small", "noisy"; or an electrode
            remark of `auricle.measure.remarks`.
        leads: the leads concerned, empty for all.
    """

    code: str
    leads: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (f"{', '.join(self.leads)}: " if self.leads else "") + _SENTENCES[self.code]


_SENTENCES: Final[Mapping[str, str]] = {
    "too_short": f"less than {_LEAST_SECONDS:g} s were recorded",
    "no_qrs": "no QRS stands out: this is noise, or no ECG",
    "no_beats": "no heart beats were found",
    "missing": "missing, constant, or at the limit of the amplifier",
    "moving": "the level jumps: a loose electrode, or movement",
    "small": "hardly any signal",
    "noisy": "noise: the beats do not resemble each other",
    "arms_swapped": "the arm electrodes seem to be exchanged",
    "leg_electrode_swapped": "a leg electrode seems to be exchanged with an arm",
}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The quality of a trace.

    Attributes:
        acceptable: whether a judge of ECG quality would accept it.
        readable: whether there is an ECG in it that a question can be asked of. What is not readable is not acceptable.
        reasons: why it is not acceptable, the gravest first; empty where it is.
        bad: chance of being called bad, by lead.
    """

    acceptable: bool
    readable: bool
    reasons: tuple[Reason, ...] = ()
    bad: Mapping[str, float] = field(default_factory=dict)

    def also(self, reasons: Sequence[Reason]) -> Acceptance:
        """The same trace with more against it."""
        return replace(self, acceptable=False, reasons=(*self.reasons, *reasons)) if reasons else self

    def to_dict(self) -> dict[str, Any]:
        """What JSON says of it."""
        return {"acceptable": self.acceptable, "reasons": [str(reason) for reason in self.reasons]}


def judge(recording: Recording, beats: NDArray[np.int64] | None = None) -> Acceptance:
    """Judge the trace of one recording, of any leads, rate and length.

    Args:
        recording: as a reader gives it.
        beats: R peaks in samples, where they are known; else they are looked for.
    """
    if not recording.leads:
        return Acceptance(True, True)  # a picture alone has no trace
    known = np.isfinite(recording.signal)
    if float(known.any(axis=0).sum()) < _LEAST_SECONDS * recording.rate_hz:
        return Acceptance(False, False, (Reason("too_short"),))
    steep = _is_steep(recording, known)
    if not steep and _is_rough(recording, known):
        return Acceptance(False, False, (Reason("no_qrs"),))
    if beats is None:
        beats = beats_of(recording)
    if len(beats) < _LEAST_BEATS:
        return Acceptance(False, False, (Reason("no_beats"),))
    # Leads that lost everything are judged by that alone.
    gone = [name for name in recording.lost if name not in recording.leads]
    names = (*recording.leads, *gone)
    read = np.vstack([features(recording, beats), *(np.array([[1.0, *GOOD[1:]]]) for _ in gone)])
    chance = chances(read)
    bad = dict(zip(names, chance.tolist(), strict=True))
    if not steep and float(np.tanh(read[:, 4]).max()) < _REPEATS:
        return Acceptance(False, True, (Reason("noisy", names),), bad)
    if float(np.log1p(-chance).sum()) >= math.log(0.5):
        return Acceptance(True, True, (), bad)
    return Acceptance(False, True, _reasons(names, read, chance), bad)


def chances(read: Floats) -> Floats:
    """(..., lead) chance of being called bad from features (..., lead, feature)."""
    chance: Floats = 1 / (1 + np.exp(-(OFFSET + read @ np.array(WEIGHTS))))
    return np.where(is_noise(read), np.maximum(chance, _NOISY_CHANCE), chance)


def is_noise(read: Floats) -> NDArray[np.bool_]:
    """(..., lead) whether the beats of a lead are far from each other and unlike each other."""
    return np.asarray(read[..., 5] > _NOISY_MV)


def _reasons(names: Sequence[str], read: Floats, chance: Floats) -> tuple[Reason, ...]:
    """What speaks most against each bad lead, leads of one fault together."""
    against = (read - np.array(GOOD)) * np.array(WEIGHTS)
    faults = {
        "missing": against[:, 0],
        "moving": against[:, 1] + against[:, 2],
        "small": against[:, 3],
        "noisy": np.where(is_noise(read), np.inf, against[:, 4]),
    }
    worst = np.array(list(faults.values())).argmax(axis=0)
    named = np.flatnonzero(chance >= min(_NAMED, float(chance.max())))
    by_fault = [
        (code, tuple(names[row] for row in named.tolist() if worst[row] == number))
        for number, code in enumerate(faults)
    ]
    return tuple(Reason(code, leads) for code, leads in by_fault if leads)


def _is_steep(recording: Recording, known: NDArray[np.bool_]) -> bool:
    """Whether in some lead a few samples are much steeper than the rest, as in a QRS."""
    slope, count = _slope(recording, known)
    power = slope**2  # its square, because a fourth power takes ten times as long
    square, fourth = power.sum(axis=1) / count, (power**2).sum(axis=1) / count
    return float((fourth / np.maximum(square**2, 1e-30)).max(initial=0.0)) > _LEAST_KURTOSIS


def _is_rough(recording: Recording, known: NDArray[np.bool_]) -> bool:
    """Whether most leads move all the way within 10 ms."""
    slope, count = _slope(recording, known)
    trace = _centred(recording.signal, known)
    trace -= moving_average(trace, max(1, round(_LEVEL_S * recording.rate_hz)))
    moved = np.sqrt((slope**2).sum(axis=1) / count)
    return bool(np.median(moved / np.maximum(trace.std(axis=1), 1e-12)) > _ROUGH)


def _slope(recording: Recording, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(lead, time) change over 10 ms, zero where unknown, and (lead,) how many are known."""
    lag = max(1, round(_SLOPE_S * recording.rate_hz))
    there = known[:, lag:] & known[:, :-lag]
    slope = np.where(there, recording.signal[:, lag:] - recording.signal[:, :-lag], 0.0).astype(np.float64)
    return slope, np.maximum(there.sum(axis=1), 1).astype(np.float64)


def features(recording: Recording, beats: NDArray[np.int64]) -> Floats:
    """(lead, feature) what the gate reads of each lead that is there, in the order of `FEATURES`.

    Args:
        recording: with at least one lead.
        beats: R peaks in samples.
    """
    rate_hz = recording.rate_hz
    known = np.isfinite(recording.signal)
    trace = _centred(recording.signal, known)
    if not recording.amplitude_known:
        trace *= to_usual_height(recording.signal)
    missing = [
        min(1.0, max(_holes(row), recording.lost.get(name, 0.0)) / _MOSTLY_MISSING)
        for name, row in zip(recording.leads, known, strict=True)
    ]
    # How far and how often the level of a lead moves away.
    width = max(1, round(_BETWEEN_S * rate_hz))
    level = moving_average(trace, max(1, round(_LEVEL_S * rate_hz)))
    steps = level[:, width // 2 :: width]
    away = np.abs(steps - np.median(steps, axis=1, keepdims=True))
    # How large it usually is within a second.
    second = max(2, min(round(_SECOND_S * rate_hz), trace.shape[1]))
    bounds = np.arange(max(1, trace.shape[1] // second)) * second
    ranges = np.maximum.reduceat(trace, bounds, axis=1) - np.minimum.reduceat(trace, bounds, axis=1)
    there = np.add.reduceat(known.astype(np.int64), bounds, axis=1) > second // 2
    alike, apart = _resemblance(trace - level, known, beats, rate_hz)
    return np.stack([
        missing,
        np.sqrt((away > 0.5).mean(axis=1)),
        np.sqrt((away > 1.0).mean(axis=1)),
        np.log(_medians(ranges, there) + 0.02),
        np.arctanh(np.clip(alike, -0.5, 0.99)),
        apart,
    ], axis=1)  # fmt: skip


def _holes(known: NDArray[np.bool_]) -> float:
    """Share of the samples that are missing between the first and the last; a column of a sheet has no holes."""
    places = np.flatnonzero(known)
    return 1 - len(places) / (places[-1] - places[0] + 1) if len(places) else 1.0


def _medians(values: Floats, there: NDArray[np.bool_]) -> Floats:
    """(lead,) medians of values (lead, window) over the windows that are there, or over all where none is."""
    if there.all():
        return np.asarray(np.median(values, axis=1))
    rows = [row[known] if known.any() else row for row, known in zip(values, there, strict=True)]
    return np.array([np.median(row) for row in rows])


def _resemblance(
    trace: Floats, known: NDArray[np.bool_], beats: NDArray[np.int64], rate_hz: float
) -> tuple[Floats, Floats]:
    """(lead,) how well a beat resembles the median beat of its lead: the correlation that four of five exceed.

    And (lead,) the distance of its nearest beats from it in mV, the root of the mean square over a fifth of a second;
    zero where a third of the beats resemble it, as in bigeminy.
    """
    half = max(2, round(_HALF_BEAT_S * rate_hz))
    inside = beats[(beats >= half) & (beats + half < trace.shape[1])]
    if not known.all():
        # Every lead has beats of its own.
        whole = np.ones((1, known.shape[1]), dtype=bool)
        own = [inside[[bool(row[at - half : at + half + 1].all()) for at in inside]] for row in known]
        parts = [_resemblance(row[None], whole, at, rate_hz) for row, at in zip(trace, own, strict=True)]
        return np.concatenate([alike for alike, _ in parts]), np.concatenate([apart for _, apart in parts])
    if len(inside) < _LEAST_BEATS:
        return np.zeros(len(trace)), np.zeros(len(trace))
    stack = trace[:, inside[:, None] + np.arange(-half, half + 1)]
    median = np.median(stack, axis=1, keepdims=True)
    stack, median = (each - each.mean(axis=2, keepdims=True) for each in (stack, median))
    size = np.sqrt((stack**2).sum(axis=2) * (median**2).sum(axis=2))
    alike = (stack * median).sum(axis=2) / np.maximum(size, 1e-9)
    apart = np.quantile(np.sqrt(((stack - median) ** 2).mean(axis=2)), _ALIKE_SHARE, axis=1)
    unlike = np.quantile(alike, 1 - _ALIKE_SHARE, axis=1) < _UNLIKE
    return np.quantile(alike, 0.2, axis=1), np.where(unlike, apart, 0.0)


def _centred(signal: NDArray[np.float32], known: NDArray[np.bool_]) -> Floats:
    """(lead, time) about its median, gaps bridged."""
    trace = bridged(signal, known)
    return trace - np.median(trace, axis=1, keepdims=True)
