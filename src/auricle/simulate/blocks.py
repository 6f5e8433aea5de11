"""Abnormal activation: bundle branch and fascicular blocks, pre-excitation, one ventricle, ventricular beats.

Every function changes the rows of a `Beat` that have the condition. Waves stay raised cosines, so a QRS begins and
ends exactly where the truth says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.paediatrics import limits as norms
from auricle.simulate.conditions import Diagnoses
from auricle.simulate.morphology import (
    DELTA,
    LATE,
    R2,
    V1,
    V6,
    Beat,
    Q,
    R,
    S,
)
from auricle.simulate.streams import Draws, Floats

Rows = NDArray[np.int64]

_CHEST: Final = slice(V1, V6 + 1)
_LEADS: Final = np.arange(6)
# QRS as a multiple of the person's own narrow QRS: least, and added at full severity.
_CRBBB_WIDENS, _IRBBB_WIDENS, _CLBBB_WIDENS = (1.22, 0.55), (1.04, 0.16), (1.30, 0.60)
_ILBBB_WIDENS, _IVCD_WIDENS = (1.08, 0.17), (1.18, 0.40)
# Slow conduction without a diagnosis: how often, and by how much it widens QRS at most.
_DELAY_SHARE, _DELAY_SHARE_LVH, _DELAY_WIDENS = 0.12, 0.4, 0.22
_QT_FOLLOWS_QRS: Final = 0.7  # share of the widening that QT gains, repolarisation partly running beside it
_LATE_PROFILE: Final = np.array([1.0, 0.75, 0.25, -0.25, -0.45, -0.50])
_CRBBB_T_AGAINST_QRS: Final = 0.9  # at most; half of it in the middle
# R in V4-V6 relative to the tallest; V1-V3 keep a part of their own.
_CLBBB_R_PROFILE: Final = np.array([0.0, 0.0, 0.0, 0.5, 0.95, 1.0])
_CLBBB_R_SHARE: Final = 0.75  # the two halves of R follow each other instead of adding up
_CLBBB_S_PROFILE: Final = np.array([1.1, 1.15, 1.2, 0.7, 0.1, 0.0])
_DELTA_MS: Final = (26.0, 40.0)  # at the adult's QRS; shorter in proportion where QRS is
_ADULT_QRS_MS: Final = 95.0
# Ventricular beats: how wide relative to the narrow QRS, and QRS area that T opposes.
_VENTRICULAR_WIDENS: Final = (1.55, 0.75)
_PACED_AXIS_DEG: Final = -70.0
# Accessory pathways: share, angle of the delta wave, and its sign in V1 ... V6.
_PATHWAYS: Final = (
    (0.40, 100.0, (0.9, 1.0, 1.0, 0.9, 0.5, 0.1)),  # left lateral: negative in I, positive in V1
    (0.70, -10.0, (-0.6, 0.2, 0.7, 1.0, 1.0, 0.8)),  # right free wall
    (1.01, -65.0, (0.2, 0.9, 1.0, 0.9, 0.7, 0.6)),  # posteroseptal: negative in the inferior leads
)


@dataclass(frozen=True, slots=True)
class Patients:
    """The records of a chunk that have one condition, and all that a change of shape may read.

    Attributes:
        beat: median beats of all records, changed in place.
        draws: chance of all records.
        diagnoses: what all records have.
        code: the condition.
        rows: the records that have it.
        age_days: (record,) age whose norms hold.
        sex: (record,) "F" or "M".
        place: the pattern or wall that the condition names, or "".
    """

    beat: Beat
    draws: Draws
    diagnoses: Diagnoses
    code: str
    rows: Rows
    age_days: Floats
    sex: NDArray[np.str_]
    place: str

    @property
    def severity(self) -> Floats:
        """(row,) severity of this condition in [0, 1]."""
        return self.diagnoses.severity[self.code][self.rows]

    @property
    def scatter(self) -> Floats:
        """(row, n) standard normal deviates of this condition."""
        return self.diagnoses.scatter[self.code][self.rows]


def polar(angle: Floats) -> Floats:
    """(row, 2) unit vectors on x and y of angles (row,) in radians."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def widen(beat: Beat, rows: Rows, factor: Floats, *, stretch: bool) -> tuple[Floats, Floats]:
    """Lengthen QRS and QT of some records; returns QRS before and after, in seconds.

    Args:
        beat: changed in place.
        rows: which records.
        factor: (row,) on the person's own narrow QRS, or on QRS as it is where waves are stretched.
        stretch: waves are stretched with QRS; otherwise they keep their times and whoever calls adds what is late.
    """
    narrow = beat.qrs_ms[rows] if stretch else beat.narrow_qrs_ms[rows]
    wide = narrow * factor
    beat.qt_ms[rows] += _QT_FOLLOWS_QRS * (wide - beat.qrs_ms[rows])
    beat.qrs_ms[rows] = wide
    if stretch:
        beat.narrow_qrs_ms[rows] *= factor
        beat.centre_s[rows] *= factor[:, None, None]
        beat.half_s[rows] *= factor[:, None, None]
    return narrow / 1000, wide / 1000


def add_late(beat: Beat, rows: Rows, size_mv: Floats) -> None:
    """Add (row, axis) mV to the last quarter of QRS, on top of what is late already."""
    fresh = beat.amplitude_mv[rows, :, LATE] == 0
    duration = beat.qrs_ms[rows][:, None] / 1000
    beat.centre_s[rows, :, LATE] = np.where(fresh, 0.85 * duration, beat.centre_s[rows, :, LATE])
    beat.half_s[rows, :, LATE] = np.where(fresh, 0.15 * duration, beat.half_s[rows, :, LATE])
    beat.amplitude_mv[rows, :, LATE] += size_mv


def unlabelled_delay(beat: Beat, draws: Draws, diagnoses: Diagnoses) -> None:
    """Slow conduction that resembles a block and is none: a wider QRS in one in eight, more often in LVH.

    Left ventricular hypertrophy may lose its septal q and r on the way and slur R, as an incomplete left block does.
    """
    chance = draws.uniform["delay"]
    left = diagnoses.present["LVH"] & (chance < _DELAY_SHARE_LVH)
    rows = np.flatnonzero(left | (chance < _DELAY_SHARE))
    widen(beat, rows, 1 + _DELAY_WIDENS * draws.uniform["delay_size"][rows], stretch=True)
    rows = np.flatnonzero(left)
    _lose_septum(beat, rows, draws.uniform["delay_size"][rows])


def _lose_septum(beat: Beat, rows: Rows, lost: Floats) -> None:
    lost = lost[:, None]
    beat.amplitude_mv[rows, _CHEST, Q] *= 1 - lost
    beat.amplitude_mv[rows, V1 : V1 + 3, R] *= 1 - 0.7 * lost
    duration = beat.qrs_ms[rows, None] / 1000
    for lead in (V6 - 1, V6):
        beat.amplitude_mv[rows, lead, R2] = (0.6 * lost * beat.amplitude_mv[rows, lead, R][:, None])[:, 0]
        beat.centre_s[rows, lead, R2], beat.half_s[rows, lead, R2] = 0.68 * duration[:, 0], 0.30 * duration[:, 0]


def _right_block(who: Patients) -> None:
    _late_right(who, _CRBBB_WIDENS, 1.0)


def _incomplete_right_block(who: Patients) -> None:
    _late_right(who, _IRBBB_WIDENS, 0.45)


def _late_right(who: Patients, widens: tuple[float, float], size_factor: float) -> None:
    """rsR' in V1 and V2, wide S in I and V6: the right ventricle is reached late and last, from the left one."""
    beat, rows, severity = who.beat, who.rows, who.severity
    narrow, wide = widen(beat, rows, widens[0] + widens[1] * severity, stretch=False)
    # Activation of the left ventricle is as fast as ever: the early waves keep their time, a late one is added.
    start = 0.74 * narrow
    beat.centre_s[rows, :, LATE] = ((start + wide) / 2)[:, None]
    beat.half_s[rows, :, LATE] = ((wide - start) / 2)[:, None]
    right = norms.median("r_v1", who.age_days[rows], who.sex[rows])
    size = size_factor * (0.40 + 0.35 * right) * (0.5 + 0.9 * severity) * np.exp(0.3 * who.scatter[:, 0])
    angle = np.radians(-175 + 25 * who.scatter[:, 1])
    late = np.concatenate([0.55 * polar(angle), np.broadcast_to(_LATE_PROFILE, (len(rows), 6))], axis=1)
    scatter = who.draws.scatter["late"][rows]
    late = late * np.exp(0.3 * scatter) + 0.08 * scatter
    beat.amplitude_mv[rows, :, LATE] = size[:, None] * late
    lessened = size_factor * (0.3 + 0.4 * severity)
    beat.amplitude_mv[rows, V1, S] *= 1 - lessened
    beat.amplitude_mv[rows, V1 + 1, S] *= 1 - 0.7 * lessened
    beat.amplitude_mv[rows, V6, S] *= 1 - 0.4 * size_factor
    against = _CRBBB_T_AGAINST_QRS * who.draws.uniform["t_against_qrs"][rows] * size
    beat.t_mv[rows] -= against[:, None] * late  # T opposite to the late forces


def _left_block(who: Patients) -> None:
    """QS or rS in V1-V3, broad notched R without q in I, V5, V6; ST and T point the other way."""
    beat, rows, severity = who.beat, who.rows, who.severity
    _, wide = widen(beat, rows, _CLBBB_WIDENS[0] + _CLBBB_WIDENS[1] * severity, stretch=False)
    second = np.clip(0.85 + 0.2 * who.draws.normal["notch"][rows], 0.4, 1.3)
    r, s = beat.amplitude_mv[rows, _CHEST, R], -beat.amplitude_mv[rows, _CHEST, S]
    deep = s[:, :2].max(axis=1, keepdims=True)
    tall = np.maximum(_CLBBB_R_SHARE * r[:, 4:].max(axis=1, keepdims=True), 0.3)
    scatter = np.exp(0.3 * who.draws.scatter["late"][rows, _CHEST])
    kept = (1 - 0.8 * severity)[:, None]  # a mild block keeps more of the septal r
    septal_r = np.where(_LEADS < 3, kept * np.minimum(r, 0.4), tall * _CLBBB_R_PROFILE) * scatter
    length, net = _frontal_r(beat, rows)
    first = np.concatenate([0.8 * length[:, None] * polar(net), septal_r], axis=1)
    wave = beat.amplitude_mv[rows]
    wave[:, :, [Q, S, LATE]] = 0
    wave[:, :, R], wave[:, :, R2] = first, first * second[:, None]
    wave[:, V1 : V1 + 3, R2] = 0
    wave[:, _CHEST, S] = -deep * _CLBBB_S_PROFILE * scatter
    beat.amplitude_mv[rows] = wave
    _broad_timing(beat, rows, wide)
    against = (0.4 + 0.6 * severity) * (0.6 + 0.8 * who.draws.uniform["t_against_qrs"][rows])
    _discordant(beat, rows, kept=1 - 0.75 * severity, against=against)


def _frontal_r(beat: Beat, rows: Rows) -> tuple[Floats, Floats]:
    """Length and angle of the main frontal vector."""
    main = beat.amplitude_mv[rows][:, :2, [R, R2]].sum(axis=2)
    return np.hypot(main[:, 0], main[:, 1]), np.arctan2(main[:, 1], main[:, 0])


def _broad_timing(beat: Beat, rows: Rows, wide_s: Floats) -> None:
    for wave, centre, half in ((R, 0.335, 0.32), (R2, 0.66, 0.33), (S, 0.53, 0.44)):
        beat.centre_s[rows, :, wave] = centre * wide_s[:, None]
        beat.half_s[rows, :, wave] = half * wide_s[:, None]
    # The r that is left in V1-V3 is septal, short and early.
    beat.centre_s[rows, V1 : V1 + 3, R] = 0.12 * wide_s[:, None]
    beat.half_s[rows, V1 : V1 + 3, R] = 0.12 * wide_s[:, None]


def _discordant(beat: Beat, rows: Rows, kept: Floats, against: Floats) -> None:
    """ST and T opposite to the net area of a broad QRS, of the own T only a part being left."""
    wave = beat.amplitude_mv[rows]
    area = wave[:, :, R] * 0.9 + wave[:, :, R2] + 1.2 * wave[:, :, S]
    beat.t_mv[rows] = kept[:, None] * beat.t_mv[rows] - 0.20 * against[:, None] * area
    beat.j_mv[rows] -= 0.07 * against[:, None] * area


def _incomplete_left_block(who: Patients) -> None:
    widen(who.beat, who.rows, _ILBBB_WIDENS[0] + _ILBBB_WIDENS[1] * who.severity, stretch=True)
    _lose_septum(who.beat, who.rows, 0.5 + 0.5 * who.severity)


def _slow_conduction(who: Patients) -> None:
    """Wide without the pattern of either bundle, with a notch somewhere."""
    beat, rows = who.beat, who.rows
    widen(beat, rows, _IVCD_WIDENS[0] + _IVCD_WIDENS[1] * who.severity, stretch=True)
    notch = 0.25 * who.draws.scatter["late"][rows] * np.abs(beat.amplitude_mv[rows, :, R])
    add_late(beat, rows, np.clip(notch, -0.5, 0.5))


def _left_anterior_fascicle(who: Patients) -> None:
    """The loop starts downwards and to the right: q in I and aVL, r in the inferior leads, S up to V6."""
    _fascicle(who, initial_deg=125.0)
    beat, rows = who.beat, who.rows
    beat.amplitude_mv[rows, V6 - 1 : V6 + 1, S] -= 0.15 + 0.25 * who.severity[:, None]
    beat.amplitude_mv[rows, V6, R] *= 1 - 0.25 * who.severity


def _left_posterior_fascicle(who: Patients) -> None:
    _fascicle(who, initial_deg=-50.0)


def _fascicle(who: Patients, initial_deg: float) -> None:
    beat, rows = who.beat, who.rows
    length, _ = _frontal_r(beat, rows)
    widen(beat, rows, 1.02 + 0.12 * who.severity, stretch=True)
    angle = np.radians(initial_deg + 12 * who.scatter[:, 1])
    beat.amplitude_mv[rows, :2, Q] = (0.12 + 0.14 * who.severity)[:, None] * length[:, None] * polar(angle)


def _preexcitation(who: Patients) -> None:
    """A delta wave: the ventricle starts early and slowly from where the pathway ends, PR being short for that."""
    beat, rows = who.beat, who.rows
    early = (_DELTA_MS[0] + _DELTA_MS[1] * who.severity) * beat.qrs_ms[rows] / _ADULT_QRS_MS
    early = np.minimum(early, 0.5 * beat.pr_ms[rows])
    beat.pr_ms[rows] -= early
    beat.centre_s[rows] += early[:, None, None] / 1000
    place = np.searchsorted([share for share, _, _ in _PATHWAYS[:-1]], _uniform(who.scatter[:, 0]))
    angle = np.radians(np.array([deg for _, deg, _ in _PATHWAYS])[place] + 15 * who.scatter[:, 1])
    chest = np.array([signs for _, _, signs in _PATHWAYS])[place]
    length, _ = _frontal_r(beat, rows)
    tall = beat.amplitude_mv[rows, _CHEST, R].max(axis=1)
    size = 0.22 + 0.30 * who.severity
    delta = np.concatenate([polar(angle) * length[:, None], chest * tall[:, None]], axis=1) * size[:, None]
    beat.amplitude_mv[rows, :, DELTA] = delta
    beat.centre_s[rows, :, DELTA] = (1.1 * early / 1000)[:, None]
    beat.half_s[rows, :, DELTA] = (1.1 * early / 1000)[:, None]
    beat.amplitude_mv[rows, :, Q] *= (1 - size)[:, None]
    beat.qrs_ms[rows] += early
    beat.qt_ms[rows] += 0.5 * early
    beat.t_mv[rows] -= 0.5 * (0.3 + who.severity)[:, None] * delta


def _uniform(z: Floats) -> Floats:
    """Standard normal deviates to [0, 1], near enough for choosing."""
    return 0.5 * (1 + np.tanh(0.8 * z))


def _uniform_chest(who: Patients) -> None:
    """One ventricle: nearly the same R and S from V1 to V6."""
    beat, rows = who.beat, who.rows
    for wave in (R, S):
        chest = beat.amplitude_mv[rows, _CHEST, wave]
        level = np.abs(chest).max(axis=1, keepdims=True) * (0.6 + 0.4 * who.severity[:, None])
        own = np.exp(0.15 * who.draws.scatter["r" if wave == R else "s"][rows, _CHEST])
        beat.amplitude_mv[rows, _CHEST, wave] = np.sign(chest.sum(axis=1, keepdims=True)) * level * own
    beat.amplitude_mv[rows, _CHEST, Q] *= 0.2


STRUCTURES: Final[Mapping[str, Callable[[Patients], None]]] = {
    "right_block": _right_block,
    "incomplete_right_block": _incomplete_right_block,
    "left_block": _left_block,
    "incomplete_left_block": _incomplete_left_block,
    "preexcitation": _preexcitation,
    "slow_conduction": _slow_conduction,
    "left_anterior_fascicle": _left_anterior_fascicle,
    "left_posterior_fascicle": _left_posterior_fascicle,
    "uniform_chest": _uniform_chest,
}


def ventricular(beat: Beat, draws: Draws, origin: Floats, paced: NDArray[np.bool_], scatter: Floats) -> Beat:
    """Beats of these hearts that start in a ventricle: wide, with T opposite to QRS.

    Args:
        beat: the usual beats of the records wanted.
        draws: chance of these records.
        origin: (record,) 0 from the right ventricle (left block pattern) to 1 from the left (right block pattern).
        paced: (record,) from the right apex: a superior axis, negative in V1-V4.
        scatter: (record, 2) deviates: frontal angle and width.
    """
    made = beat.of(np.arange(len(origin)))
    rows = np.arange(len(origin))
    factor = _VENTRICULAR_WIDENS[0] + _VENTRICULAR_WIDENS[1] * _uniform(scatter[:, 1])
    _, wide = widen(made, rows, factor, stretch=False)
    angle = np.radians(np.where(paced, _PACED_AXIS_DEG + 15 * scatter[:, 0], 40 + 75 * scatter[:, 0]))
    size = 1.3 * np.maximum(np.abs(beat.amplitude_mv[:, _CHEST]).max(axis=(1, 2)), 0.6)
    right = np.where(paced, 0.0, origin)[:, None]
    # V1 ... V6 from a right origin: negative, turning; from a left one: positive throughout, then smaller.
    turn = np.where(paced, 5.5, 3.0 + scatter[:, 0] * 0.6)[:, None]
    chest = (1 - right) * np.tanh((_LEADS + 1 - turn) / 1.2) + right * (0.9 - 0.25 * _LEADS)
    main = np.concatenate([0.8 * polar(angle), chest], axis=1) * size[:, None]
    main = main * np.exp(0.2 * draws.scatter["r"])
    wave = np.zeros_like(made.amplitude_mv)
    up = main > 0
    wave[:, :, R], wave[:, :, R2] = np.where(up, 0.75 * main, 0), np.where(up, 0.6 * main, 0)
    wave[:, :, S] = np.where(up, 0, main)
    made.amplitude_mv = wave
    _broad_timing(made, rows, wide)
    made.centre_s[:, V1 : V1 + 3, R] = 0.31 * wide[:, None]
    made.half_s[:, V1 : V1 + 3, R] = 0.30 * wide[:, None]
    _discordant(made, rows, kept=np.full(len(rows), 0.2), against=1.1 + 0.4 * draws.uniform["t_against_qrs"])
    return made
