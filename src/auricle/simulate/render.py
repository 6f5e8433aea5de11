"""From beats to a trace: each record's few shapes are drawn once and then read at every sample of every event.

A record has two tracks that add up: P waves at the times of the atria, and QRS with ST, T and U at those of the
ventricles. Either track has a second shape: another P (ectopic, retrograde, a flutter wave) and a ventricular beat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auricle.leads import wrap_axis_deg
from auricle.simulate.morphology import P_PARTS, WAVES, Beat
from auricle.simulate.rhythm import Rhythm
from auricle.simulate.streams import Floats

# QRS is drawn at 1 kHz from this long before its onset (a pacing spike) to this long after it, P from its onset on.
_TEMPLATE_HZ: Final = 1000
_BEFORE_S, _AFTER_S = 0.03, 0.30
_P_POINTS: Final = 450
_TIP: Final = 0.1  # how far the tip of a pointed wave is rounded, as a share of its half width
# Tables of limits measure QRS where it can be seen; the feet of its waves reach this share of it farther to either
# side. With it the traces of healthy people measure as real ones do (`benchmarks/realism.py`).
_FEET: Final = 0.06
# ST, T and U are drawn over this multiple of QT.
_ST_POINTS: Final = 400
_ST_SPAN: Final = 1.3
# QT follows the RR interval before it by this power within one record, weaker than Bazett's between records.
_QT_ADAPTS: Final = 0.3
_QT_SHARE_OF_RR: Final = 0.88
_ST_LEANS: Final = 0.2
_U_CENTRE, _U_HALF = 1.14, 0.15
_SPIKE_S: Final = 0.012  # from a pacing spike to what it starts
# The axis is the direction of the net QRS area in I and aVF; Goldberger's aVF is shorter than y by sqrt(3)/2.
_GOLDBERGER: Final = math.sqrt(3) / 2
# S in V1 and V6 is looked for after this share of QRS, so that a q is not taken for one.
_S_AFTER_SHARE: Final = 0.3
_SMALLEST_S_MV: Final = 0.02
# T is the largest deflection, up or down, in the last 40 % of QT.
_T_POINTS: Final = slice(round(0.6 * _ST_POINTS / _ST_SPAN), round(_ST_POINTS / _ST_SPAN))


@dataclass(frozen=True, slots=True)
class Templates:
    """The shapes of each record as its electrodes see them, kinds one after another along the last axis.

    Attributes:
        qrs: (record, measured lead, kind x point) QRS in mV at 1 kHz; onset at `onset_index` of each kind.
        repolarisation: (record, measured lead, kind x point) ST, T and U, evenly spaced from QRS onset over 1.3 QT.
        p: (record, measured lead, kind x point) P in mV at 1 kHz from its onset.
    """

    qrs: Tensor
    repolarisation: Tensor
    p: Tensor

    @property
    def onset_index(self) -> int:
        """The point of `qrs` at which QRS begins."""
        return round(_BEFORE_S * _TEMPLATE_HZ)


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of a chunk of records on the eight axes.

    Attributes:
        usual: the usual beat of each record.
        ectopic: ventricular beats, kind 1, of the records `ectopic_rows`; None where no record has any.
        ectopic_rows: (row,) the records that have ventricular beats.
        other_p_mv: (record, axis, part) amplitudes of P of kind 1.
        flutter_s: (record,) length of the flutter wave that kind 1 is instead, NaN without.
        spike_mv: (record, 2, axis) pacing spikes before P and before QRS.
    """

    usual: Beat
    ectopic: Beat | None
    ectopic_rows: NDArray[np.int64]
    other_p_mv: Floats
    flutter_s: Floats
    spike_mv: Floats


def templates(shapes: Shapes, view: Floats, device: torch.device) -> Templates:
    """Draw the shapes and look at them through the electrodes.

    Args:
        shapes: parameters on the eight axes.
        view: (record, measured lead, axis) from `noise.electrodes`.
        device: where to compute.
    """
    atrial, ventricular = _tensor(shapes.spike_mv, device).unbind(1)
    usual = shapes.usual
    qrs = _with_spike(_qrs(usual, device), ventricular, _BEFORE_S - _SPIKE_S)
    repolarisation = _st_t_u(usual, device)
    if shapes.ectopic is not None:
        rows = torch.as_tensor(shapes.ectopic_rows, device=device)
        qrs = torch.cat([qrs, _only(rows, _qrs(shapes.ectopic, device), qrs)], dim=2)
        repolarisation = torch.cat(
            [repolarisation, _only(rows, _st_t_u(shapes.ectopic, device), repolarisation)], dim=2
        )
    p = _with_spike(_p(usual.p_mv, usual, device), atrial, 0.0)
    other_p = _p(shapes.other_p_mv, usual, device)
    for row in np.flatnonzero(np.isfinite(shapes.flutter_s)):
        other_p[row] = _flutter(shapes.other_p_mv[row].sum(axis=1), float(shapes.flutter_s[row]), device)
    seen = _tensor(view, device)
    return Templates(torch.bmm(seen, qrs), torch.bmm(seen, repolarisation), torch.bmm(seen, torch.cat([p, other_p], 2)))


def _tensor(values: Floats, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _waves(amplitude: Floats, centre: Floats, half: Floats, time: Tensor, curved: Floats | None = None) -> Tensor:
    """(record, axis, point) the sum of (record, axis, wave): pointed waves with (record,) curved flanks, or cosines."""
    mv, at, width = (_tensor(values, time.device) for values in (amplitude, centre, half))
    drawn = torch.zeros((*mv.shape[:2], len(time)), device=time.device)
    for wave in range(mv.shape[2]):
        if not bool((mv[:, :, wave] != 0).any()):
            continue
        distance = ((time - at[:, :, wave, None]) / width[:, :, wave, None]).clamp_(-1, 1)
        if curved is None:
            shape = (1 + torch.cos(math.pi * distance)) / 2
        else:
            away = ((distance.square_() + _TIP**2).sqrt_() - _TIP) / ((1 + _TIP**2) ** 0.5 - _TIP)
            flank = (1 - away).clamp_(min=0)
            bend = _tensor(curved, time.device)[:, None, None]
            shape = flank * (1 - bend + bend * flank)
        drawn.addcmul_(mv[:, :, wave, None], shape)
    return drawn


def _qrs(beat: Beat, device: torch.device) -> Tensor:
    points = round((_BEFORE_S + _AFTER_S) * _TEMPLATE_HZ) + 1
    time = torch.arange(points, device=device) / _TEMPLATE_HZ - _BEFORE_S
    assert beat.amplitude_mv.shape[2] == len(WAVES)
    feet = _FEET * beat.qrs_ms[:, None, None] / 1000
    centre, half = (1 + 2 * _FEET) * beat.centre_s - feet, (1 + 2 * _FEET) * beat.half_s
    return _waves(beat.amplitude_mv, centre, half, time, beat.curved)


def _p(p_mv: Floats, beat: Beat, device: torch.device) -> Tensor:
    assert p_mv.shape[2] == len(P_PARTS)
    time = torch.arange(_P_POINTS, device=device) / _TEMPLATE_HZ
    return _waves(p_mv, beat.p_centre_s, beat.p_half_s, time)


def _only(rows: Tensor, drawn: Tensor, like: Tensor) -> Tensor:
    """(record, axis, point) what was drawn of some records, nothing of the others."""
    return torch.zeros_like(like).index_copy_(0, rows, drawn)


def _flutter(size_mv: Floats, cycle_s: float, device: torch.device) -> Tensor:
    """(axis, point) a saw tooth: slowly down, quickly up, without a level part between; its mean is zero."""
    phase = (torch.arange(_P_POINTS, device=device) / _TEMPLATE_HZ / cycle_s) % 1
    falling = 0.5 - phase / 0.65
    rising = -0.5 + _smooth_step((phase - 0.65) / 0.35)
    return _tensor(size_mv, device)[:, None] * torch.where(phase < 0.65, falling, rising)


def _with_spike(drawn: Tensor, size_mv: Tensor, at_s: float) -> Tensor:
    """Add two milliseconds of a pacing spike of (record, axis) mV."""
    first = round(at_s * _TEMPLATE_HZ)
    drawn[:, :, first : first + 2] += size_mv[:, :, None]
    return drawn


def _st_t_u(beat: Beat, device: torch.device) -> Tensor:
    """(record, axis, point) ST rising inside the end of QRS, level, and passing into T; then U."""

    def column(values: Floats) -> Tensor:
        return _tensor(values, device)[:, None]

    share = torch.linspace(0, _ST_SPAN, _ST_POINTS, device=device)
    j_point = column(beat.qrs_ms / beat.qt_ms)
    after_j = ((share - j_point) / (1 - j_point)).clamp(0, 1)
    st = _smooth_step((share / j_point - 0.55) / 0.45) * (1 - _smooth_step((after_j - 0.45) / 0.55))
    peak, rise = column(beat.t_peak), column(beat.t_power)
    t = (after_j / peak) ** rise * ((1 - after_j) / (1 - peak)) ** (rise * (1 - peak) / peak)
    # ST leans towards T instead of lying level: a ramp up to the peak of T, which falls with it.
    ramp = torch.where(after_j < peak, after_j / peak, t)
    t = (1 - _ST_LEANS) * t + _ST_LEANS * ramp
    u = (1 + torch.cos(math.pi * ((share - _U_CENTRE) / _U_HALF).clamp(-1, 1))) / 2
    # Where the next beat comes too soon, U is hidden in it.
    room = column(np.clip((60_000 / beat.heart_rate - 1.3 * beat.qt_ms) / 60, 0, 1))
    waves = torch.stack([st, t, u * room], dim=1)
    sizes = torch.stack([_tensor(values, device) for values in (beat.j_mv, beat.t_mv, beat.u_mv)], dim=2)
    return torch.bmm(sizes, waves)


def trace(drawn: Templates, beat: Beat, rhythm: Rhythm, n_samples: int, rate_hz: float) -> Tensor:
    """(record, measured lead, time) traces in mV without noise: at each sample the latest beat and the latest P wave.

    Args:
        drawn: the templates.
        beat: usual beats of the records.
        rhythm: events of the records.
        n_samples: length of the traces.
        rate_hz: samples per second.
    """
    device = drawn.qrs.device
    onset, p_onset = _tensor(rhythm.qrs_s, device), _tensor(rhythm.p_s, device)
    time = (torch.arange(n_samples, device=device) / rate_hz).expand(len(onset), n_samples).contiguous()
    n_kinds = drawn.repolarisation.shape[2] // _ST_POINTS
    qrs_points = drawn.qrs.shape[2] // n_kinds
    # QRS and ST-T: T has ended before the next beat's spike may come, so one event gives both at every sample.
    latest = _latest_event(onset - _BEFORE_S, time)
    kind = torch.as_tensor(rhythm.qrs_kind, device=device).clamp(max=n_kinds - 1).gather(1, latest)
    since = time - onset.gather(1, latest)
    signal = _read(drawn.qrs, (since + _BEFORE_S) * _TEMPLATE_HZ, kind, qrs_points)
    qt = _tensor(_qt_per_beat(beat, rhythm), device).gather(1, latest)
    signal += _read(drawn.repolarisation, since / qt * ((_ST_POINTS - 1) / _ST_SPAN), kind, _ST_POINTS)
    # P, or a flutter wave.
    wave = _latest_event(p_onset, time)
    p_kind = torch.as_tensor(rhythm.p_kind, device=device).gather(1, wave)
    signal += _read(drawn.p, (time - p_onset.gather(1, wave)) * _TEMPLATE_HZ, p_kind, _P_POINTS)
    return signal


def measure(drawn: Templates, beat: Beat, rhythm: Rhythm, has_pr: NDArray[np.bool_]) -> dict[str, Floats]:
    """Measurements of the noise-free usual beat, (record,) each: the truth for programs that measure the trace.

    Intervals in ms (PR and P absent as NaN where no P leads to QRS at a constant interval, QTc after Bazett),
    amplitudes in mV, the axis of net QRS area in [-90, 270) degrees. `rs_ratio_v1` counts an S below .02 mV as .02 mV:
    a pure R has no ratio.
    """
    qrs = drawn.qrs[:, :, drawn.onset_index : round((_BEFORE_S + _AFTER_S) * _TEMPLATE_HZ) + 1]
    time_ms = torch.arange(qrs.shape[2], device=qrs.device) * (1000 / _TEMPLATE_HZ)
    late_from = torch.as_tensor(_S_AFTER_SHARE * beat.qrs_ms, dtype=torch.float32, device=qrs.device)
    late = torch.where(time_ms >= late_from[:, None, None], qrs, 0)
    r = qrs.amax(dim=2).clamp(min=0).double().cpu().numpy()
    s = -late.amin(dim=2).clamp(max=0).double().cpu().numpy()
    net = qrs.sum(dim=2).double().cpu().numpy()
    t = drawn.repolarisation[:, 2, _T_POINTS]
    t_v1 = t.gather(1, t.abs().argmax(dim=1, keepdim=True))[:, 0].double().cpu().numpy()
    axis = np.degrees(np.arctan2((net[:, 1] - net[:, 0] / 2) / _GOLDBERGER, net[:, 0]))
    return {
        "heart_rate": rhythm.rate_per_min,
        "p_ms": np.where(has_pr, beat.p_ms, np.nan),
        "pr_ms": np.where(has_pr, beat.pr_ms, np.nan),
        "qrs_ms": beat.qrs_ms,
        "qt_ms": beat.qt_ms,
        "qtc_ms": beat.qt_ms / np.sqrt(rhythm.mean_rr_s),
        "qrs_axis_deg": wrap_axis_deg(axis),
        "r_v1_mv": r[:, 2],
        "s_v1_mv": s[:, 2],
        "r_v6_mv": r[:, 7],
        "s_v6_mv": s[:, 7],
        "t_v1_mv": t_v1,
        "rs_ratio_v1": r[:, 2] / np.maximum(s[:, 2], _SMALLEST_S_MV),
    }


AMPLITUDES: Final = ("q", "r", "s", "st", "t")
_Q_UNTIL_SHARE: Final = 0.45
_ST_AT_SHARE: Final = 0.25  # of the way from the J point to the end of T


def amplitudes(drawn: Templates, beat: Beat) -> Tensor:
    """(record, measured lead, wave) mV of Q, R, S, ST and T of the usual beat, without noise; Q and S not positive."""
    n_points = round((_BEFORE_S + _AFTER_S) * _TEMPLATE_HZ) + 1
    qrs = drawn.qrs[:, :, drawn.onset_index : n_points]
    time_ms = torch.arange(qrs.shape[2], device=qrs.device) * (1000 / _TEMPLATE_HZ)
    duration = _tensor(beat.qrs_ms, qrs.device)[:, None, None]
    q = torch.where(time_ms < _Q_UNTIL_SHARE * duration, qrs, 0).amin(dim=2)
    s = torch.where(time_ms >= _Q_UNTIL_SHARE * duration, qrs, 0).amin(dim=2)
    share = _tensor(beat.qrs_ms / beat.qt_ms, qrs.device)
    place = ((share + (1 - share) * _ST_AT_SHARE) * (_ST_POINTS - 1) / _ST_SPAN).round().long()
    repolarisation = drawn.repolarisation[:, :, :_ST_POINTS]
    st = repolarisation.gather(2, place[:, None, None].expand(-1, qrs.shape[1], 1))[:, :, 0]
    late = repolarisation[:, :, _T_POINTS]
    t = late.gather(2, late.abs().argmax(dim=2, keepdim=True))[:, :, 0]
    return torch.stack([q.clamp(max=0), qrs.amax(dim=2).clamp(min=0), s.clamp(max=0), st, t], dim=2)


def _qt_per_beat(beat: Beat, rhythm: Rhythm) -> Floats:
    """(record, beat) QT in seconds: it follows the interval before, and T always ends before the next QRS."""
    mean = rhythm.mean_rr_s[:, None]
    rr = np.minimum(np.diff(rhythm.qrs_s, axis=1), 3 * mean)
    after = np.concatenate([rr, mean], axis=1)
    before = np.concatenate([mean, rr], axis=1)
    qt = (beat.qt_ms / 1000)[:, None] * np.maximum(before / mean, 0.3) ** _QT_ADAPTS
    return np.asarray(np.minimum(qt, _QT_SHARE_OF_RR * np.maximum(after, 0.2)))


def _latest_event(start: Tensor, time: Tensor) -> Tensor:
    """(record, time) the last event that has started."""
    return (torch.searchsorted(start.contiguous(), time, right=True) - 1).clamp_(min=0)


def _read(template: Tensor, position: Tensor, kind: Tensor, points: int) -> Tensor:
    """(record, lead, time) one kind of a template read between its points, its ends held.

    `grid_sample` on an image one pixel high is four times as fast as two gathers and an interpolation.
    """
    place = position.clamp(0, points - 1) + kind * points
    across = place * (2 / (template.shape[2] - 1)) - 1
    grid = torch.stack([across, torch.zeros_like(across)], dim=2)[:, None]
    read = torch.nn.functional.grid_sample(template[:, :, None], grid, padding_mode="border", align_corners=True)
    return read[:, :, 0]


def _smooth_step(x: Tensor) -> Tensor:
    inside = x.clamp(0, 1)
    return inside * inside * (3 - 2 * inside)
