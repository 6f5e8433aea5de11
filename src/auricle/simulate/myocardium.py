"""What happens to the muscle: infarction, injury, strain, electrolytes, and the shapes of ST and T they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.simulate.blocks import Patients, Rows, add_late, polar, widen
from auricle.simulate.conditions import STAGES, TERRITORIES, pattern
from auricle.simulate.morphology import R2, V1, V6, Beat, Q, R, S, X, Y, t_polarity
from auricle.simulate.streams import Floats

_CHEST: Final = slice(V1, V6 + 1)
_UPRIGHT_T_IN_RVH_YEARS: Final = 8.0
# ST elevation by territory (anterior, inferior, lateral).
_STE_CHEST: Final = np.array(
    [[0.5, 1.0, 1.0, 0.8, 0.45, 0.2], [-0.15, -0.4, -0.35, -0.15, 0.0, 0.1], [-0.2, -0.2, 0.0, 0.35, 0.9, 1.0]]
)
_STE_ANGLE_DEG: Final = np.array([-20.0, 105.0, -15.0])
_STE_FRONTAL: Final = np.array([0.2, 1.0, 0.8])
_STE_MV: Final = (0.08, 0.30)
# Infarction by stage (acute, recent, old): mV of ST and T over the territory and share of R lost, at least and added.
_INFARCT_ST_MV: Final = ((0.08, 0.26), (0.02, 0.10), (0.0, 0.03))
_INFARCT_T_MV: Final = ((0.08, 0.25), (-0.12, -0.30), (0.0, -0.18))
_INFARCT_R_LOST: Final = ((0.10, 0.50), (0.45, 0.50), (0.48, 0.50))
_INFARCT_T_LESS: Final = (0.1, 0.4, 0.4)
_INFARCT_Q: Final = (0.19, 0.19)  # centre and half width as shares of QRS: longer than a septal q


def necrosis(beat: Beat, rows: Rows, lost: Floats, centre: float, half: float) -> None:
    """Take (row, axis) shares of R away: the early forces of a dead wall are missing, so they point away from it.

    Where R was the larger part a Q appears; where S was (V1-V3), r dwindles to QS, and S behind it deepens.
    """
    wave = beat.amplitude_mv[rows]
    duration = beat.qrs_ms[rows][:, None] / 1000
    r = wave[:, :, R] + wave[:, :, R2]
    length = np.hypot(r[:, X], r[:, Y])[:, None]
    frontal, chest = lost[:, :2] * length, np.clip(lost[:, 2:], 0, 1)
    tall, deep = np.abs(r[:, 2:]), np.abs(wave[:, _CHEST, S])
    share = tall / (tall + deep + 1e-3)
    wave[:, :2, Q] -= 0.9 * frontal
    wave[:, :2, R] -= 0.5 * frontal
    wave[:, _CHEST, Q] -= 1.1 * chest * share**2 * tall
    wave[:, _CHEST, R] *= 1 - 0.95 * chest
    wave[:, _CHEST, R2] *= 1 - 0.95 * chest
    wave[:, _CHEST, S] -= 0.35 * chest * tall
    beat.amplitude_mv[rows] = wave
    touched = np.abs(lost) > 0.02
    early = (centre * duration, half * duration)
    beat.centre_s[rows, :, Q] = np.where(touched, early[0], beat.centre_s[rows, :, Q])
    beat.half_s[rows, :, Q] = np.where(touched, early[1], beat.half_s[rows, :, Q])


def _infarct(who: Patients) -> None:
    """Necrosis, injury and ischaemia of a territory by stage; behind the heart they are seen as their mirror image."""
    beat, rows, severity = who.beat, who.rows, who.severity
    stage = who.diagnoses.stage(who.code)[rows]
    seen = pattern(who.place) * np.exp(0.25 * who.draws.scatter["j"][rows])
    size = np.exp(0.2 * who.scatter[:, 0])
    lost, st, t = (_staged(table, stage, severity) for table in (_INFARCT_R_LOST, _INFARCT_ST_MV, _INFARCT_T_MV))
    wall = np.concatenate([0.45 * seen[:, :2], np.clip(seen[:, 2:], 0, 1.2)], axis=1)
    necrosis(beat, rows, lost[:, None] * wall, *_INFARCT_Q)
    gained = lost[:, None] * np.clip(-seen[:, 2:], 0, 1)
    s = -beat.amplitude_mv[rows, _CHEST, S]
    beat.amplitude_mv[rows, _CHEST, R] += 0.6 * gained * s
    beat.amplitude_mv[rows, _CHEST, S] *= 1 - 0.4 * gained
    # A scarred ventricle repolarises with less force everywhere.
    beat.t_mv[rows] *= (1 - np.array(_INFARCT_T_LESS)[stage] * (0.5 + severity))[:, None]
    beat.j_mv[rows] += (size * st)[:, None] * seen
    beat.t_mv[rows] += (size * t)[:, None] * seen


def _staged(table: tuple[tuple[float, float], ...], stage: NDArray[np.int64], severity: Floats) -> Floats:
    least, more = np.array(table).T
    assert len(least) == len(STAGES)
    return np.asarray(least[stage] + more[stage] * severity)


def _st_elevation(who: Patients) -> None:
    """ST up over the territory and down opposite to it, T tall, and with severity a loss of R and a Q."""
    beat, rows, severity = who.beat, who.rows, who.severity
    territory = who.diagnoses.territory()[rows]
    assert len(_STE_CHEST) == len(TERRITORIES)
    size = (_STE_MV[0] + _STE_MV[1] * severity**1.3)[:, None]
    angle = np.radians(_STE_ANGLE_DEG[territory] + 12 * who.scatter[:, 0])
    chest = _STE_CHEST[territory] * np.exp(0.2 * who.scatter[:, 1])[:, None]
    seen = np.concatenate([_STE_FRONTAL[territory][:, None] * polar(angle), chest], axis=1)
    beat.j_mv[rows] += size * seen
    beat.t_mv[rows] += 0.6 * size * seen
    lost = (0.5 * severity * (who.scatter[:, 2] < 0))[:, None] * np.clip(seen, 0, 1)
    lost[:, :2] = 0
    necrosis(beat, rows, lost, *_INFARCT_Q)


def _right_strain(who: Patients) -> None:
    """T against the right ventricle; in young children the sign of RVH is an upright T in V1."""
    rows = who.rows[who.draws.uniform["strain"][who.rows] < 0.6]
    beat, severity = who.beat, who.diagnoses.severity[who.code][rows]
    target = np.where(who.age_days[rows] < _UPRIGHT_T_IN_RVH_YEARS * DAYS_PER_YEAR, 0.3, 3.2)
    old = beat.t_boundary[rows]
    size = np.abs(beat.t_mv[rows, _CHEST]) / np.maximum(np.abs(t_polarity(old)), 0.05)
    beat.t_mv[rows, _CHEST] = size * t_polarity(old + severity * (target - old))


def _left_strain(who: Patients) -> None:
    """More of the left ventricle in every lead, and in most ST and T down in the lateral ones."""
    beat, rows, severity = who.beat, who.rows, who.severity
    beat.amplitude_mv[rows, :2] *= (1.05 + 0.35 * severity)[:, None, None]
    beat.amplitude_mv[rows, V1 + 2 : V1 + 4, S] *= (1.1 + 0.7 * severity)[:, None]
    strained = who.draws.uniform["strain"][rows] < 0.85
    rows, left = rows[strained], (0.15 + 0.85 * severity)[strained]
    for axis, share in ((X, 1.0), (V6 - 2, 0.45), (V6 - 1, 0.95), (V6, 1.1)):
        beat.t_mv[rows, axis] *= 1 - 1.7 * share * left
        beat.j_mv[rows, axis] -= 0.11 * share * left


def _hyperkalaemia(who: Patients) -> None:
    """Tall, narrow, pointed T; with severity P fades and QRS widens."""
    beat, rows, severity = who.beat, who.rows, who.severity
    beat.t_mv[rows] = np.abs(beat.t_mv[rows]) * np.sign(np.where(pattern("diffuse") < 0, -1, 1))
    beat.t_mv[rows] *= (1.4 + 1.3 * severity)[:, None]
    beat.t_power[rows] *= 1.6 + 1.2 * severity
    beat.pr_ms[rows] *= 1 + 0.2 * severity
    widen(beat, rows, 1 + 0.4 * severity**2, stretch=True)


def _late_narrow_t(who: Patients) -> None:
    """A long, level ST with an unchanged T at its end."""
    who.beat.t_peak[who.rows] = 0.80 + 0.05 * who.severity
    who.beat.t_power[who.rows] *= 2.5


def _long_qt_shape(who: Patients) -> None:
    """Three shapes: broad T, late small T, notched T, as the three common genes are said to show."""
    beat, rows = who.beat, who.rows
    kind = np.searchsorted((-0.43, 0.43), who.scatter[:, 0])
    beat.t_power[rows] *= np.array([0.55, 2.2, 0.9])[kind]
    beat.t_peak[rows] = np.clip(beat.t_peak[rows] + np.array([-0.03, 0.08, -0.06])[kind], 0.5, 0.85)
    beat.t_mv[rows] *= np.array([1.1, 0.8, 0.6])[kind][:, None]
    beat.u_mv[rows] += np.array([0.0, 0.0, 0.10])[kind][:, None] * pattern("chest")


def _j_notch(who: Patients) -> None:
    size = (0.03 + 0.12 * who.severity)[:, None] * pattern("inferolateral")
    add_late(who.beat, who.rows, np.clip(size, 0, None) * np.array([1, 1, 0, 0, 0, 1, 1, 1]))


STRUCTURES: Final[Mapping[str, Callable[[Patients], None]]] = {
    "infarct": _infarct,
    "st_elevation": _st_elevation,
    "right_strain": _right_strain,
    "left_strain": _left_strain,
    "hyperkalaemia": _hyperkalaemia,
    "late_narrow_t": _late_narrow_t,
    "long_qt_shape": _long_qt_shape,
    "j_notch": _j_notch,
}
