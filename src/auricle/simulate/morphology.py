"""What one beat of a person looks like: intervals, axis and waves from the norms of age and sex.

A beat is described on eight axes: x and y span the frontal plane (lead I = x, lead II = x/2 + y*sqrt(3)/2, so that
Einthoven and Goldberger hold whatever follows), V1-V6 are themselves. On each axis P and QRS are sums of waves with
amplitude, centre and half width; ST, T and U are functions of the time between QRS onset and the end of T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.paediatrics import limits as norms
from auricle.simulate.rhythm import over_age
from auricle.simulate.streams import Draws, Floats

AXES: Final = ("x", "y", "V1", "V2", "V3", "V4", "V5", "V6")
X, Y, V1, V6 = 0, 1, 2, 7
# The waves of QRS on an axis, in order: septal q, R, second R (a notch when apart), S, late wave (R' or terminal slur),
# and the delta wave of pre-excitation. Their times count from QRS onset.
WAVES: Final = ("q", "r", "r2", "s", "late", "delta")
Q, R, R2, S, LATE, DELTA = range(6)
# The parts of P: right atrium, left atrium, and atrial repolarisation, which lowers PR. Their times count from P onset.
P_PARTS: Final = ("right", "left", "recovery")
P_RIGHT, P_LEFT, P_RECOVERY = range(3)

# How far a V lead's individual amplitude follows V1's rather than V6's deviation from the norm.
_LIKE_V1: Final = np.array([1.0, 0.8, 0.5, 0.3, 0.1, 0.0])
_V5_OVER_MEAN_OF_V4_V6: Final = 1.15
_LEAST_MV: Final = 0.01
# Healthy deviations are clipped to this many standard deviations; larger ones come from diseases only.
_LARGEST_Z: Final = 2.4
# Davignon's amplitudes are the only ones below day 20; other leads held from Rijnbeek follow V6 by this power there.
_HELD_FROM_DAYS: Final = 20.0
_SHARED_CHEST_WALL: Final = 0.45

# QRS timing as shares of its duration, for V1 ... V6: (centre, half width) of R and S. R peaks later and S later
# towards V6 (ventricular activation time), and neither reaches the other's peak, so amplitudes stay what they are.
_R_CENTRE: Final = np.array([0.28, 0.31, 0.36, 0.41, 0.45, 0.47])
_R_HALF: Final = np.array([0.19, 0.20, 0.21, 0.22, 0.22, 0.22])
_S_CENTRE: Final = np.array([0.63, 0.65, 0.68, 0.73, 0.78, 0.80])
_S_HALF: Final = np.array([0.32, 0.31, 0.29, 0.25, 0.21, 0.20])
_Q_SHARE_OF_R: Final = np.array([0.0, 0.0, 0.0, 0.012, 0.03, 0.045])
_Q_CENTRE, _Q_HALF = 0.12, 0.12
# The frontal loop in its own frame (along, across): initial, main, the part that opens the loop, terminal.
_LOOP_ALONG: Final = np.array([-0.05, 1.00, 0.10, -0.08])
_LOOP_ACROSS: Final = np.array([0.05, 0.12, -0.28, -0.07])
_LOOP_CENTRE: Final = np.array([0.12, 0.45, 0.61, 0.82])
_LOOP_HALF: Final = np.array([0.12, 0.26, 0.24, 0.18])
_TERMINAL_SPREAD: Final = 0.11
_LATE_VARIANT_SHARE, _LATE_VARIANT_MV = 0.15, 0.35
# How leads differ from the smooth profile, person by person: V2-V5 (log), T and ST of every axis (mV).
_CHEST_SCATTER, _T_SCATTER_MV, _J_SCATTER_MV = 0.25, 0.045, 0.016
_V2_TO_V5: Final = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
_R_II_DIRECTION_DEG: Final = 60.0

_P_RIGHT_V: Final = np.array([0.036, 0.042, 0.042, 0.04, 0.038, 0.034])
_P_LEFT_V: Final = np.array([-0.055, -0.015, 0.012, 0.022, 0.026, 0.028])
_P_II_ADULT_MV: Final = 0.11

# The J point of healthy adults in V2 and V3, men and women, and how much of it children have.
_J_MV: Final = (0.10, 0.045)
_J_SPREAD_MV: Final = 0.06
_J_CHEST: Final = np.array([0.35, 1.0, 0.8, 0.35, 0.12, 0.08])
_J_AGES_YEARS: Final = (0.0, 8.0, 16.0)
_J_GROWS: Final = (0.3, 0.4, 1.0)
_T_V: Final = np.array([0.16, 0.50, 0.50, 0.45, 0.36, 0.27])
_T_FRONT_LOG: Final = (0.15, -0.28)
_T_FRONT: Final = np.array([1.0, 1.0, 0.8, 0.5, 0.2, 0.0])
_T_FRONTAL_MV: Final = 0.30
_T_AGES_YEARS: Final = (0.0, 0.02, 0.08, 1.0, 18.0, 45.0, 75.0)
_T_SCALE: Final = (0.45, 0.60, 0.80, 1.0, 1.05, 0.95, 0.80)
# Where, along V1 = 1 ... V6 = 6, T turns from inverted to upright.
_T_BOUNDARY_NEWBORN, _T_BOUNDARY_CHILD, _T_BOUNDARY_ADULT = 0.3, 3.0, 0.75
_T_FIRST_WEEK_DAYS: Final = 5.5  # norms.md: upright T in V1 is normal to about day 4-7
# A T wave rises slowly and falls fast; a small U follows it, largest in V2 and V3.
_T_RISE_POWER: Final = 4.5
_CURVED: Final = 0.45
_U_MV: Final = 0.015
_U_PROFILE: Final = np.array([0.2, 0.3, 0.3, 1.0, 1.0, 0.8, 0.5, 0.3])
_T_FADE_YEARS: Final = 9.0  # V1 turns some 40 % later, at 12-13 years in the median child


@dataclass(slots=True)
class Deviations:
    """Standard normal deviates of each trait from the norm of age and sex: where diseases act. (record,) each."""

    heart_rate: Floats
    pr: Floats
    qrs: Floats
    qtc_bazett: Floats
    qrs_axis: Floats
    r_v1: Floats
    s_v1: Floats
    r_v6: Floats
    s_v6: Floats


@dataclass(slots=True)
class Beat:
    """The median beat of each record, before electrodes and noise.

    Attributes:
        heart_rate, pr_ms, qrs_ms, qt_ms: (record,).
        narrow_qrs_ms: (record,) what QRS would last without a bundle branch block.
        amplitude_mv, centre_s, half_s: (record, axis, wave); times from QRS onset.
        p_mv, p_centre_s, p_half_s: (record, axis, part); times from P onset.
        p_ms: (record,) duration of P.
        j_mv, t_mv, u_mv: (record, axis) ST level, T and U amplitude.
        t_peak: (record,) where T peaks, as a share of the time from the J point to its end.
        t_power: (record,) how steeply T rises: small is broad.
        curved: (record,) flanks of QRS waves: 0 is a triangle, 1 a needle with a broad foot.
        t_boundary: (record,) where along V1-V6 T turns upright.
    """

    heart_rate: Floats
    pr_ms: Floats
    qrs_ms: Floats
    narrow_qrs_ms: Floats
    qt_ms: Floats
    amplitude_mv: Floats
    centre_s: Floats
    half_s: Floats
    p_mv: Floats
    p_centre_s: Floats
    p_half_s: Floats
    p_ms: Floats
    j_mv: Floats
    t_mv: Floats
    u_mv: Floats
    t_peak: Floats
    t_power: Floats
    curved: Floats
    t_boundary: Floats

    def of(self, rows: NDArray[np.int64]) -> Beat:
        """A copy of the beats of some records."""
        return Beat(*(getattr(self, field.name)[rows].copy() for field in fields(self)))

    def put(self, rows: NDArray[np.int64], other: Beat) -> None:
        """Replace the beats of the records at `rows` by those of `other`, one for each row."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)


def deviations(draws: Draws) -> Deviations:
    """How each person differs from the norm. Amplitudes share a chest wall; PR shortens when the rate is high."""
    normal = draws.normal
    own = np.sqrt(1 - _SHARED_CHEST_WALL**2)

    def clipped(z: Floats) -> Floats:
        return np.clip(z, -_LARGEST_Z, _LARGEST_Z)

    def amplitude(name: str) -> Floats:
        return clipped(_SHARED_CHEST_WALL * normal["chest_wall"] + own * normal[name])

    return Deviations(
        heart_rate=clipped(normal["heart_rate"]),
        pr=clipped(-0.3 * normal["heart_rate"] + np.sqrt(1 - 0.3**2) * normal["pr"]),
        qrs=clipped(normal["qrs"]),
        qtc_bazett=clipped(normal["qtc_bazett"]),
        qrs_axis=clipped(normal["qrs_axis"]),
        r_v1=amplitude("r_v1"),
        s_v1=amplitude("s_v1"),
        r_v6=amplitude("r_v6"),
        s_v6=amplitude("s_v6"),
    )


def build(
    draws: Draws,
    z: Deviations,
    age_days: Floats,
    sex: NDArray[np.str_],
    turn: Callable[[Floats], Floats] = lambda axis_deg: axis_deg,
) -> Beat:
    """The median beat of people of these ages and sexes who differ from the norm by `z`.

    Args:
        draws: chance.
        z: deviations.
        age_days, sex: (record,).
        turn: changes the (record,) frontal axis in degrees that follows from the norm.
    """

    def value(parameter: str) -> Floats:
        return norms.quantile(parameter, age_days, sex, getattr(z, parameter))

    # Waves of QRS and P start empty: QRS is filled in below, P by `add_p_waves` once PR is final.
    n = len(age_days)
    heart_rate, pr, qrs = value("heart_rate"), value("pr"), value("qrs")
    boundary = t_boundary(draws, age_days)
    beat = Beat(
        heart_rate=heart_rate,
        pr_ms=pr,
        qrs_ms=qrs,
        narrow_qrs_ms=qrs.copy(),
        qt_ms=value("qtc_bazett") * np.sqrt(60 / heart_rate),
        amplitude_mv=np.zeros((n, len(AXES), len(WAVES))),
        centre_s=np.zeros((n, len(AXES), len(WAVES))),
        half_s=np.ones((n, len(AXES), len(WAVES))),
        p_mv=np.zeros((n, len(AXES), len(P_PARTS))),
        p_centre_s=np.zeros((n, len(AXES), len(P_PARTS))),
        p_half_s=np.ones((n, len(AXES), len(P_PARTS))),
        p_ms=np.zeros(n),
        j_mv=_st_level(draws, age_days, sex) + _J_SCATTER_MV * draws.scatter["j"],
        t_mv=_t_waves(draws, age_days, sex, boundary) + _T_SCATTER_MV * draws.scatter["t"],
        u_mv=_U_MV * np.exp(0.6 * draws.normal["u"])[:, None] * _U_PROFILE,
        t_peak=np.clip(0.69 + 0.03 * draws.normal["t_peak"], 0.6, 0.78),
        t_power=_T_RISE_POWER * np.exp(0.22 * draws.normal["t_width"]),
        curved=np.clip(_CURVED + 0.15 * draws.normal["curved"], 0.05, 0.95),
        t_boundary=boundary,
    )
    _precordial_qrs(beat, draws, z, age_days, sex)
    _frontal_qrs(beat, draws, turn(value("qrs_axis")), age_days, sex)
    return beat


def t_boundary(draws: Draws, age_days: Floats) -> Floats:
    """Where along V1 = 1 ... V6 = 6 T turns from inverted to upright; below 1 it is upright in V1 already.

    Upright in V1 at birth, inverted from a day that differs by child around day 4-7, then the juvenile pattern, which
    each child loses at an age of its own, most in their early teens. The shape follows the facts in the norms of the
    paediatric tables; no paper prints these curves.
    """
    log_age = np.log(np.maximum(age_days, 1e-3))
    turned = _logistic((log_age - np.log(_T_FIRST_WEEK_DAYS) - 0.18 * draws.normal["t_first_week"]) / 0.12)
    faded = _logistic((log_age - np.log(_T_FADE_YEARS * DAYS_PER_YEAR) - 0.3 * draws.normal["t_fade"]) / 0.25)
    child = _T_BOUNDARY_NEWBORN + turned * (_T_BOUNDARY_CHILD - _T_BOUNDARY_NEWBORN)
    return child + faded * (_T_BOUNDARY_ADULT - child) + (0.3 + 0.35 * faded) * draws.normal["t_boundary"]


def t_polarity(boundary: Floats) -> Floats:
    """(record, V1-V6) T as a share of its upright amplitude: -.6 deep in the inverted leads, 1 beyond them."""
    leads = np.arange(1, 7)
    share = np.tanh((leads - boundary[:, None]) / 0.8)
    return np.where(share < 0, 0.6 * share, share)


def add_p_waves(beat: Beat, draws: Draws, age_days: Floats) -> None:
    """Fill in the P waves once PR is final: the right atrium first, the left one turning V1 negative."""
    duration = norms.median("p_duration", age_days) * np.exp(0.11 * np.clip(draws.normal["p_duration"], -2, 2))
    beat.p_ms = np.minimum(duration, 0.85 * beat.pr_ms)
    size = norms.median("p_ii", age_days) * np.exp(0.32 * np.clip(draws.normal["p_amplitude"], -2, 2))
    angle = np.radians(48 + 18 * draws.normal["p_axis"])
    v1_variation = 1 + 0.5 * draws.normal["p_v1"]
    for part, profile in ((P_RIGHT, _P_RIGHT_V), (P_LEFT, _P_LEFT_V)):
        beat.p_mv[:, X, part] = 0.6 * size * np.cos(angle)
        beat.p_mv[:, Y, part] = 0.6 * size * np.sin(angle)
        beat.p_mv[:, V1:, part] = size[:, None] / _P_II_ADULT_MV * profile
    beat.p_mv[:, V1, P_LEFT] *= v1_variation
    time_p_waves(beat)


def time_p_waves(beat: Beat) -> None:
    """Place the parts of P inside its duration, and atrial repolarisation behind it, down to QRS."""
    duration, pr = beat.p_ms / 1000, beat.pr_ms / 1000
    for part, centre, half in (
        (P_RIGHT, 0.36 * duration, 0.36 * duration),
        (P_LEFT, 0.64 * duration, 0.36 * duration),
        (P_RECOVERY, (0.6 * duration + pr) / 2 + 0.01, (pr - 0.6 * duration) / 2 + 0.03),
    ):
        beat.p_centre_s[:, :, part] = centre[:, None]
        beat.p_half_s[:, :, part] = half[:, None]


def _precordial_qrs(beat: Beat, draws: Draws, z: Deviations, age_days: Floats, sex: NDArray[np.str_]) -> None:
    duration = (beat.qrs_ms / 1000)[:, None]
    v = slice(V1, V6 + 1)
    r, s = (
        _profile(wave, z_v1, z_v6, age_days, sex) * np.exp(_CHEST_SCATTER * _V2_TO_V5 * draws.scatter[wave][:, v])
        for wave, z_v1, z_v6 in (("r", z.r_v1, z.r_v6), ("s", z.s_v1, z.s_v6))
    )
    beat.amplitude_mv[:, v, R], beat.amplitude_mv[:, v, S] = r, -s
    beat.amplitude_mv[:, v, Q] = -r * _Q_SHARE_OF_R * np.exp(0.8 * draws.normal["q_septal"])[:, None]
    beat.centre_s[:, v, R], beat.half_s[:, v, R] = duration * _R_CENTRE, duration * _R_HALF
    beat.centre_s[:, v, S], beat.half_s[:, v, S] = duration * _S_CENTRE, duration * _S_HALF
    beat.centre_s[:, v, Q], beat.half_s[:, v, Q] = duration * _Q_CENTRE, duration * _Q_HALF
    # Some have a small r' in V1, a variant of the normal that resembles a beginning right bundle branch block.
    variant = np.maximum(0, draws.uniform["late_variant"] - (1 - _LATE_VARIANT_SHARE)) / _LATE_VARIANT_SHARE
    beat.amplitude_mv[:, V1, LATE] = _LATE_VARIANT_MV * variant
    beat.amplitude_mv[:, V1 + 1, LATE] = _LATE_VARIANT_MV * variant / 2
    beat.centre_s[:, v, LATE], beat.half_s[:, v, LATE] = duration * 0.89, duration * 0.11


def _profile(wave: str, z_v1: Floats, z_v6: Floats, age_days: Floats, sex: NDArray[np.str_]) -> Floats:
    """(record, V1-V6) amplitudes in mV: V1 and V6 from their centiles, the others from medians shifted with them."""
    age = np.maximum(age_days, _HELD_FROM_DAYS)
    newborn = np.sqrt(norms.median(f"{wave}_v6", age_days, sex) / norms.median(f"{wave}_v6", age, sex))
    v1, v6 = norms.median(f"{wave}_v1", age_days, sex), norms.median(f"{wave}_v6", age_days, sex)
    v2 = norms.median(f"{wave}_v2", age_days) * v1 / norms.median(f"{wave}_v1", age, sex)
    v4 = norms.median(f"{wave}_v4", age_days) * newborn
    medians = np.stack([v1, v2, (v2 + v4) / 2, v4, _V5_OVER_MEAN_OF_V4_V6 * (v4 + v6) / 2, v6], axis=1)
    drawn_v1 = norms.quantile(f"{wave}_v1", age_days, sex, z_v1)
    drawn_v6 = norms.quantile(f"{wave}_v6", age_days, sex, z_v6)
    log_v1 = np.log(np.maximum(drawn_v1, _LEAST_MV) / v1)[:, None]
    log_v6 = np.log(np.maximum(drawn_v6, _LEAST_MV) / v6)[:, None]
    return np.asarray(medians * np.exp(_LIKE_V1 * log_v1 + (1 - _LIKE_V1) * log_v6))


def _frontal_qrs(beat: Beat, draws: Draws, axis_deg: Floats, age_days: Floats, sex: NDArray[np.str_]) -> None:
    """Fill in a frontal loop whose net area points along `axis_deg` and whose length follows the median R in II."""
    # How long the loop is.
    # R in II is published from day 11 on and would be divided by almost nothing along a newborn's axis.
    usual_axis = norms.median("qrs_axis", np.maximum(age_days, _HELD_FROM_DAYS), sex)
    usual = np.radians(usual_axis - _R_II_DIRECTION_DEG)
    length = norms.median("r_ii", age_days) / np.cos(usual)
    spread = np.clip(0.15 * draws.normal["chest_wall"] + 0.22 * draws.normal["frontal"], -0.7, 0.7)
    length = (length * np.exp(spread))[:, None]
    # Its parts along and across its own direction, (record, wave).
    openness = 0.7 + 0.6 * draws.normal["loop"][:, None]
    along = length * _LOOP_ALONG * np.ones_like(openness)
    across = length * _LOOP_ACROSS * openness
    # How large the first and last forces are, and where the last ones point, differs from person to person.
    along[:, 0] *= np.exp(0.7 * draws.normal["q_initial"])
    along[:, 3] += length[:, 0] * _TERMINAL_SPREAD * draws.normal["terminal_along"]
    across[:, 3] += length[:, 0] * _TERMINAL_SPREAD * draws.normal["terminal_across"]
    # Turned from the direction of its net area to the wanted axis.
    net = np.arctan2((across * _LOOP_HALF).sum(axis=1), (along * _LOOP_HALF).sum(axis=1))
    turn = (np.radians(axis_deg) - net)[:, None]
    waves, duration = [Q, R, R2, S], (beat.qrs_ms / 1000)[:, None]
    beat.amplitude_mv[:, X, waves] = along * np.cos(turn) - across * np.sin(turn)
    beat.amplitude_mv[:, Y, waves] = along * np.sin(turn) + across * np.cos(turn)
    for axis in (X, Y):
        beat.centre_s[:, axis, waves] = duration * _LOOP_CENTRE
        beat.half_s[:, axis, waves] = duration * _LOOP_HALF


def _t_waves(draws: Draws, age_days: Floats, sex: NDArray[np.str_], boundary: Floats) -> Floats:
    size = over_age(age_days, _T_AGES_YEARS, _T_SCALE) * np.exp(0.33 * np.clip(draws.normal["t_amplitude"], -2, 2))
    angle = np.radians(41 + 16 * draws.normal["t_axis"])
    frontal = _T_FRONTAL_MV * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # Grown men have taller T in front than women, and the front differs from the rest by person.
    grown = over_age(age_days, _J_AGES_YEARS, (0.0, 0.0, 1.0))
    front = grown * np.where(sex == "M", *_T_FRONT_LOG) + 0.25 * draws.normal["t_front"]
    chest = _T_V * np.exp(front[:, None] * _T_FRONT) * t_polarity(boundary)
    return np.asarray(size[:, None] * np.concatenate([frontal, chest], axis=1))


def _st_level(draws: Draws, age_days: Floats, sex: NDArray[np.str_]) -> Floats:
    """ST of healthy people: nearly level in the limb leads, up in V2-V4 of grown people and more so in men."""
    grown = over_age(age_days, _J_AGES_YEARS, _J_GROWS)
    usual = grown * (np.where(sex == "M", *_J_MV) + _J_SPREAD_MV * draws.normal["early_repolarisation"])
    angle = np.radians(50 + 60 * draws.normal["j_angle"])
    front = 0.02 * draws.normal["j_front"]
    chest = np.maximum(usual, -0.02)[:, None] * _J_CHEST
    return np.concatenate([(front * np.cos(angle))[:, None], (front * np.sin(angle))[:, None], chest], axis=1)


def _logistic(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
