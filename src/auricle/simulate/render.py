"""From a median beat to a trace: the beat is drawn once per record and then read at every sample of every beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from auricle.paediatrics.limits import wrap_axis_deg
from auricle.simulate.morphology import WAVES, Beat
from auricle.simulate.rhythm import Rhythm
from auricle.simulate.streams import Floats

# P and QRS are drawn at 1 kHz from this long before QRS onset to this long after it.
_TEMPLATE_HZ: Final = 1000
_BEFORE_S, _AFTER_S = 0.45, 0.30
_ST_POINTS: Final = 320
# A beat's own piece of the trace starts this long before its P wave.
_LEAD_IN_S: Final = 0.02
# QT follows the RR interval before it by this power within one record, weaker than Bazett's between records.
_QT_ADAPTS: Final = 0.3
_QT_SHARE_OF_RR: Final = 0.88
_T_RISE_POWER: Final = 4.5  # a T wave rises slowly and falls fast
# The axis is the direction of the net QRS area in I and aVF; Goldberger's aVF is shorter than y by sqrt(3)/2.
_GOLDBERGER: Final = math.sqrt(3) / 2
# S in V1 and V6 is looked for after this share of QRS, so that a q is not taken for one.
_S_AFTER_SHARE: Final = 0.3
_SMALLEST_S_MV: Final = 0.02
_T_FROM_POINT: Final = round(0.6 * _ST_POINTS)  # T is the largest deflection, up or down, in the last 40 % of QT


@dataclass(frozen=True, slots=True)
class Templates:
    """One noise-free beat per record as its electrodes see it.

    Attributes:
        depolarisation: (record, measured lead, point) P and QRS in mV at 1 kHz; QRS onset at `onset_index`.
        repolarisation: (record, measured lead, point) ST and T in mV, evenly spaced from QRS onset to the end of T.
    """

    depolarisation: Tensor
    repolarisation: Tensor

    @property
    def onset_index(self) -> int:
        """The point of `depolarisation` at which QRS begins."""
        return round(_BEFORE_S * _TEMPLATE_HZ)


def templates(beat: Beat, view: Floats, device: torch.device) -> Templates:
    """Draw the beats and look at them through the electrodes.

    Args:
        beat: parameters on the eight axes.
        view: (record, measured lead, axis) from `noise.electrodes`.
        device: where to compute.
    """

    def tensor(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    points = round((_BEFORE_S + _AFTER_S) * _TEMPLATE_HZ) + 1
    time = torch.arange(points, device=device) / _TEMPLATE_HZ - _BEFORE_S
    amplitude, centre, half = tensor(beat.amplitude_mv), tensor(beat.centre_s), tensor(beat.half_s)
    depolarisation = torch.zeros((*amplitude.shape[:2], points), device=device)
    for wave in range(len(WAVES)):
        distance = ((time - centre[:, :, wave, None]) / half[:, :, wave, None]).clamp_(-1, 1)
        depolarisation.addcmul_(amplitude[:, :, wave, None], (1 + torch.cos(math.pi * distance)) / 2)
    seen = tensor(view)
    return Templates(torch.bmm(seen, depolarisation), torch.bmm(seen, _st_t(beat, device)))


def _st_t(beat: Beat, device: torch.device) -> Tensor:
    """(record, axis, point) ST rising inside the end of QRS, level, and passing into T."""

    def column(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)[:, None]

    share = torch.linspace(0, 1, _ST_POINTS, device=device)
    j_point = column(beat.qrs_ms / beat.qt_ms)
    after_j = ((share - j_point) / (1 - j_point)).clamp(0, 1)
    st = _smooth_step((share / j_point - 0.55) / 0.45) * (1 - _smooth_step((after_j - 0.45) / 0.55))
    peak = column(beat.t_peak)
    fall_power = _T_RISE_POWER * (1 - peak) / peak
    t = (after_j / peak) ** _T_RISE_POWER * ((1 - after_j) / (1 - peak)) ** fall_power
    j_mv = torch.as_tensor(beat.j_mv, dtype=torch.float32, device=device)
    t_mv = torch.as_tensor(beat.t_mv, dtype=torch.float32, device=device)
    return j_mv[:, :, None] * st[:, None] + t_mv[:, :, None] * t[:, None]


def trace(drawn: Templates, beat: Beat, rhythm: Rhythm, n_samples: int, rate_hz: float) -> Tensor:
    """(record, measured lead, time) the beats one after another, without noise."""
    device = drawn.depolarisation.device

    def tensor(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    onset, time = tensor(rhythm.onset_s), torch.arange(n_samples, device=device) / rate_hz
    time = time.expand(len(onset), n_samples)
    start = onset - tensor(beat.pr_ms / 1000 + _LEAD_IN_S)[:, None]
    since_onset = time - _latest(start, time, onset)
    from_p = (since_onset + _BEFORE_S) * _TEMPLATE_HZ
    qt = tensor(_qt_per_beat(beat, rhythm))
    beat_number = _beat_number(onset, time)
    into_st = (time - onset.gather(1, beat_number)) / qt.gather(1, beat_number)
    return _read(drawn.depolarisation, from_p) + _read(drawn.repolarisation, into_st * (_ST_POINTS - 1))


def measure(drawn: Templates, beat: Beat, rhythm: Rhythm) -> dict[str, Floats]:
    """What the noise-free beat measures, per record: the truth for any program that measures the trace.

    Intervals in ms (PR and P absent as NaN in atrial fibrillation, QTc after Bazett), amplitudes in mV, the axis of
    net QRS area in [-90, 270) degrees. `rs_ratio_v1` counts an S below .02 mV as .02 mV: a pure R has no ratio.
    """
    qrs = drawn.depolarisation[:, :, drawn.onset_index :]
    time_ms = torch.arange(qrs.shape[2], device=qrs.device) * (1000 / _TEMPLATE_HZ)
    late_from = torch.as_tensor(_S_AFTER_SHARE * beat.qrs_ms, dtype=torch.float32, device=qrs.device)
    late = torch.where(time_ms >= late_from[:, None, None], qrs, 0)
    r = qrs.amax(dim=2).clamp(min=0).double().cpu().numpy()
    s = -late.amin(dim=2).clamp(max=0).double().cpu().numpy()
    net = qrs.sum(dim=2).double().cpu().numpy()
    t = drawn.repolarisation[:, 2, _T_FROM_POINT:]
    t_v1 = t.gather(1, t.abs().argmax(dim=1, keepdim=True))[:, 0].double().cpu().numpy()
    axis = np.degrees(np.arctan2((net[:, 1] - net[:, 0] / 2) / _GOLDBERGER, net[:, 0]))
    return {
        "heart_rate": rhythm.rate_per_min,
        "pr_ms": np.where(rhythm.fibrillating, np.nan, beat.pr_ms),
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


def _qt_per_beat(beat: Beat, rhythm: Rhythm) -> Floats:
    """(record, beat) QT in seconds: it follows the interval before, and T always ends before the next QRS."""
    rr = np.diff(rhythm.onset_s, axis=1)
    after = np.concatenate([rr, rhythm.mean_rr_s[:, None]], axis=1)
    before = np.concatenate([rhythm.mean_rr_s[:, None], rr], axis=1)
    qt = (beat.qt_ms / 1000)[:, None] * (before / rhythm.mean_rr_s[:, None]) ** _QT_ADAPTS
    return np.minimum(qt, _QT_SHARE_OF_RR * after)


def _beat_number(start: Tensor, time: Tensor) -> Tensor:
    """(record, time) the last beat that has started."""
    return (torch.searchsorted(start, time.contiguous(), right=True) - 1).clamp_(min=0)


def _latest(start: Tensor, time: Tensor, value: Tensor) -> Tensor:
    return value.gather(1, _beat_number(start, time))


def _read(template: Tensor, position: Tensor) -> Tensor:
    """(record, lead, time) a template read between its points, its ends held.

    `grid_sample` on an image one pixel high is four times as fast as two gathers and an interpolation.
    """
    across = position * (2 / (template.shape[2] - 1)) - 1
    grid = torch.stack([across, torch.zeros_like(across)], dim=2)[:, None]
    image = template[:, :, None]
    read = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=True)
    return read[:, :, 0]


def _smooth_step(x: Tensor) -> Tensor:
    inside = x.clamp(0, 1)
    return inside * inside * (3 - 2 * inside)
