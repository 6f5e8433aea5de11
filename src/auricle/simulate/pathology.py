"""Diseases, which act relative to what is normal for the age: the same millivolts can be health or disease.

Codes are PTB-XL's SCP codes. Every disease has a severity that is uniform in [0, 1] and begins inside the normal
range, so that mild disease and healthy variation overlap. A label says what was simulated; nothing is thresholded.
How often a disease occurs does not depend on age, on purpose: age alone predicts nothing, age with the ECG much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.errors import ConfigError, UnknownNameError
from auricle.paediatrics import limits as norms
from auricle.simulate.morphology import LATE, R2, V1, V6, Beat, Deviations, Q, R, S, X, Y, t_polarity
from auricle.simulate.streams import Draws, Floats

NORMAL: Final = "NORM"
# The order in which a record's labels are written.
CODES: Final = (NORMAL, "CRBBB", "CLBBB", "RVH", "LVH", "AFIB", "1AVB", "STE_")
# About 38 in 100 are left without any of them.
DEFAULT_PREVALENCE: Final[Mapping[str, float]] = {
    "CRBBB": 0.12, "CLBBB": 0.11, "RVH": 0.15, "LVH": 0.15, "AFIB": 0.11, "1AVB": 0.10, "STE_": 0.13,
}  # fmt: skip
# Diseases of which a heart has at most one; each group is decided by one draw.
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "conduction": ("CRBBB", "CLBBB"),
    "rhythm": ("AFIB", "1AVB"),
    "rvh": ("RVH",),
    "lvh": ("LVH",),
    "ste": ("STE_",),
}
TERRITORIES: Final = ("anterior", "inferior", "lateral")

_CHEST: Final = slice(V1, V6 + 1)
_UPRIGHT_T_IN_RVH_YEARS: Final = 8.0
_LONGEST_PR_MS: Final = 380.0
# A P wave may not start inside the QRS before it: a long PR needs a slow enough rate.
_LARGEST_PR_SHARE_OF_RR: Final = 0.6
_PR_OVER_P98: Final = (1.04, 0.5)  # least, and added at full severity
# QRS as a multiple of the person's own narrow QRS: least, and added at full severity.
_CRBBB_WIDENS: Final = (1.22, 0.55)
_CLBBB_WIDENS: Final = (1.30, 0.60)
# Slow conduction without a diagnosis: how often, and by how much it widens QRS at most.
_DELAY_SHARE, _DELAY_SHARE_LVH, _DELAY_WIDENS = 0.12, 0.4, 0.22
_QT_FOLLOWS_QRS: Final = 0.7  # share of the widening that QT gains, repolarisation partly running beside it
_CRBBB_LATE_PROFILE: Final = np.array([1.0, 0.75, 0.25, -0.25, -0.45, -0.50])
_CRBBB_T_AGAINST_QRS: Final = 0.9  # at most; half of it in the middle
# R in V4-V6 relative to the tallest; V1-V3 keep a part of their own.
_CLBBB_R_PROFILE: Final = np.array([0.0, 0.0, 0.0, 0.5, 0.95, 1.0])
_CLBBB_R_SHARE: Final = 0.75  # the two halves of R follow each other instead of adding up
_CLBBB_S_PROFILE: Final = np.array([1.1, 1.15, 1.2, 0.7, 0.1, 0.0])
# ST of an infarction by territory: chest leads, then angle in the frontal plane (degrees) and its share.
_STE_CHEST: Final = np.array(
    [[0.5, 1.0, 1.0, 0.8, 0.45, 0.2], [-0.15, -0.4, -0.35, -0.15, 0.0, 0.1], [-0.2, -0.2, 0.0, 0.35, 0.9, 1.0]]
)
_STE_ANGLE_DEG: Final = np.array([-20.0, 105.0, -15.0])
_STE_FRONTAL: Final = np.array([0.2, 1.0, 0.8])
_STE_MV: Final = (0.08, 0.30)


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """What each record has.

    Attributes:
        present: code -> (record,) for every code but NORM.
        severity: code -> (record,) in [0, 1]; meaningful where present.
        territory: (record,) index into TERRITORIES, meaningful where STE_ is present.
    """

    present: Mapping[str, NDArray[np.bool_]]
    severity: Mapping[str, Floats]
    territory: NDArray[np.int64]

    def labels(self, record: int) -> tuple[str, ...]:
        """The SCP codes of one record; NORM where it has none."""
        found = tuple(code for code in CODES if code in self.present and self.present[code][record])
        return found or (NORMAL,)


def choose(draws: Draws, prevalence: Mapping[str, float] | None = None) -> Diagnoses:
    """Decide who has what.

    Args:
        draws: chance.
        prevalence: code -> share of records that have it; what is left out does not occur. Records with none are
            NORM. `NORM` itself, if given, is a share kept healthy before the others are drawn among the rest.

    Raises:
        UnknownNameError: a code that is not simulated.
        ConfigError: a share outside [0, 1], or exclusive diseases whose shares add up to more than one.
    """
    shares = DEFAULT_PREVALENCE if prevalence is None else prevalence
    _check(shares)
    ill = draws.uniform["normal"] >= shares.get(NORMAL, 0.0)
    present: dict[str, NDArray[np.bool_]] = {}
    severity: dict[str, Floats] = {}
    for group, codes in _GROUPS.items():
        taken = 0.0
        for code in codes:
            share = shares.get(code, 0.0)
            chance = draws.uniform[group]
            present[code] = ill & (chance >= taken) & (chance < taken + share)
            severity[code] = draws.uniform[f"{group}_severity"]
            taken += share
    return Diagnoses(present, severity, (draws.uniform["territory"] * len(TERRITORIES)).astype(np.int64))


def _check(shares: Mapping[str, float]) -> None:
    for code, share in shares.items():
        if code not in CODES:
            raise UnknownNameError("simulated diagnosis", code, CODES)
        if not 0 <= share <= 1:
            raise ConfigError(f"prevalence of {code} is {share:g}: give a share between 0 and 1")
    for codes in _GROUPS.values():
        if sum(shares.get(code, 0.0) for code in codes) > 1 + 1e-9:
            raise ConfigError(f"{' and '.join(codes)} exclude each other: their prevalences must not exceed 1 together")


def shift(z: Deviations, diagnoses: Diagnoses) -> None:
    """Move traits away from the norm of the age, in standard deviations: hypertrophy, and the axis of a left block."""

    def add(trait: str, code: str, least: float, more: float) -> None:
        moved = np.where(diagnoses.present[code], least + more * diagnoses.severity[code], 0.0)
        setattr(z, trait, getattr(z, trait) + moved)

    for trait, least, more in (
        ("r_v1", 0.7, 2.0), ("s_v6", 0.5, 1.5), ("qrs_axis", 0.6, 1.5), ("s_v1", -0.2, -0.9), ("r_v6", -0.1, -0.7),
    ):  # fmt: skip
        add(trait, "RVH", least, more)
    for trait, least, more in (("r_v6", 0.8, 1.8), ("s_v1", 0.7, 1.8), ("qrs_axis", -0.2, -0.8), ("qrs", 0.2, 0.8)):
        add(trait, "LVH", least, more)
    add("qrs_axis", "CLBBB", -0.3, -1.0)


def apply(beat: Beat, draws: Draws, diagnoses: Diagnoses, age_days: Floats, sex: NDArray[np.str_]) -> None:
    """Change the beats of those who are ill, in place. ST changes come last, on top of any block."""
    _hypertrophy_t(beat, draws, diagnoses, age_days)
    _delay(beat, draws, diagnoses)
    _right_block(beat, draws, diagnoses, age_days, sex)
    _left_block(beat, draws, diagnoses)
    _st_elevation(beat, draws, diagnoses)
    _rhythm(beat, draws, diagnoses, age_days, sex)


def _rhythm(beat: Beat, draws: Draws, diagnoses: Diagnoses, age_days: Floats, sex: NDArray[np.str_]) -> None:
    blocked, severity = diagnoses.present["1AVB"], diagnoses.severity["1AVB"]
    least, more = _PR_OVER_P98
    longest_normal = norms.centiles("pr", age_days, sex)[:, 2]
    beat.pr_ms = np.where(blocked, np.minimum(longest_normal * (least + more * severity), _LONGEST_PR_MS), beat.pr_ms)
    # Ventricular rate in fibrillation, from controlled to fast, around what is usual at the age.
    usual = norms.median("heart_rate", age_days, sex)
    fast = usual * (0.8 + 0.8 * draws.uniform["af_rate"])
    fitting = np.minimum(beat.heart_rate, 60_000 * _LARGEST_PR_SHARE_OF_RR / beat.pr_ms)
    rate = np.where(diagnoses.present["AFIB"], fast, fitting)
    beat.qt_ms = beat.qt_ms * np.sqrt(beat.heart_rate / rate)
    beat.heart_rate = rate


def _delay(beat: Beat, draws: Draws, diagnoses: Diagnoses) -> None:
    """Unlabelled slow conduction that resembles a block: a wider QRS in one in eight, more often in LVH.

    Left ventricular hypertrophy may lose its septal q and r on the way and slur R, as an incomplete left block does.
    """
    left = diagnoses.present["LVH"] & (draws.uniform["delay"] < _DELAY_SHARE_LVH)
    slow = left | (draws.uniform["delay"] < _DELAY_SHARE)
    factor = np.where(slow, 1 + _DELAY_WIDENS * draws.uniform["delay_size"], 1.0)
    beat.qrs_ms *= factor
    beat.narrow_qrs_ms *= factor
    beat.centre_s *= factor[:, None, None]
    beat.half_s *= factor[:, None, None]
    lost = np.where(left, draws.uniform["delay_size"], 0.0)[:, None]
    beat.amplitude_mv[:, _CHEST, Q] *= 1 - lost
    beat.amplitude_mv[:, V1 : V1 + 3, R] *= 1 - 0.7 * lost
    slur = slice(V6 - 1, V6 + 1)
    beat.amplitude_mv[:, slur, R2] = 0.6 * lost * beat.amplitude_mv[:, slur, R]
    beat.centre_s[:, slur, R2] = 0.68 * beat.qrs_ms[:, None] / 1000
    beat.half_s[:, slur, R2] = 0.30 * beat.qrs_ms[:, None] / 1000


def _right_block(beat: Beat, draws: Draws, diagnoses: Diagnoses, age_days: Floats, sex: NDArray[np.str_]) -> None:
    """rsR' in V1 and V2, wide S in I and V6: the right ventricle is reached late and last, from the left one."""
    rows = np.flatnonzero(diagnoses.present["CRBBB"])
    severity = diagnoses.severity["CRBBB"][rows]
    narrow, wide = _widen(beat, rows, severity, _CRBBB_WIDENS)
    # Activation of the left ventricle is as fast as ever: the early waves keep their time, a late one is added.
    start = 0.74 * narrow
    beat.centre_s[rows, :, LATE] = ((start + wide) / 2)[:, None]
    beat.half_s[rows, :, LATE] = ((wide - start) / 2)[:, None]
    right = norms.median("r_v1", age_days[rows], sex[rows])
    size = (0.40 + 0.35 * right) * (0.5 + 0.9 * severity) * np.exp(0.3 * draws.normal["late_angle"][rows])
    angle = np.radians(-175 + 25 * draws.normal["notch"][rows])
    late = np.concatenate([0.55 * _polar(angle), np.broadcast_to(_CRBBB_LATE_PROFILE, (len(rows), 6))], axis=1)
    late = late * np.exp(0.3 * draws.scatter["late"][rows]) + 0.08 * draws.scatter["late"][rows]
    beat.amplitude_mv[rows, :, LATE] = size[:, None] * late
    beat.amplitude_mv[rows, V1, S] *= 1 - 0.3 - 0.4 * severity
    beat.amplitude_mv[rows, V1 + 1, S] *= 1 - 0.2 - 0.3 * severity
    beat.amplitude_mv[rows, V6, S] *= 0.6
    against = _CRBBB_T_AGAINST_QRS * draws.uniform["t_against_qrs"][rows] * size
    beat.t_mv[rows] -= against[:, None] * late  # T opposite to the late forces


def _left_block(beat: Beat, draws: Draws, diagnoses: Diagnoses) -> None:
    """QS or rS in V1-V3, broad notched R without q in I, V5, V6; ST and T point the other way."""
    rows = np.flatnonzero(diagnoses.present["CLBBB"])
    severity = diagnoses.severity["CLBBB"][rows]
    _, wide = _widen(beat, rows, severity, _CLBBB_WIDENS)
    second = np.clip(0.85 + 0.2 * draws.normal["notch"][rows], 0.4, 1.3)
    r, s = beat.amplitude_mv[rows, _CHEST, R], -beat.amplitude_mv[rows, _CHEST, S]
    deep = s[:, :2].max(axis=1, keepdims=True)
    tall = np.maximum(_CLBBB_R_SHARE * r[:, 4:].max(axis=1, keepdims=True), 0.3)
    scatter = np.exp(0.3 * draws.scatter["late"][rows, _CHEST])
    # A mild block keeps more of the septal r.
    kept = (1 - 0.8 * severity)[:, None]
    septal_r = np.where(np.arange(6) < 3, kept * np.minimum(r, 0.4), tall * _CLBBB_R_PROFILE) * scatter
    length = np.hypot(*(beat.amplitude_mv[rows, axis][:, [R, R2]].sum(axis=1) for axis in (X, Y)))
    net = np.arctan2(*(beat.amplitude_mv[rows, axis][:, [R, R2]].sum(axis=1) for axis in (Y, X)))
    first = np.concatenate([0.8 * length[:, None] * _polar(net), septal_r], axis=1)
    wave = beat.amplitude_mv[rows]
    wave[:, :, [Q, S, LATE]] = 0
    wave[:, :, R], wave[:, :, R2] = first, first * second[:, None]
    wave[:, V1 : V1 + 3, R2] = 0
    wave[:, _CHEST, S] = -deep * _CLBBB_S_PROFILE * scatter
    beat.amplitude_mv[rows] = wave
    _left_block_timing(beat, rows, wide)
    net_area = wave[:, :, R] * 0.9 + wave[:, :, R2] + 1.2 * wave[:, :, S]
    against = (0.4 + 0.6 * severity) * (0.6 + 0.8 * draws.uniform["t_against_qrs"][rows])
    beat.t_mv[rows] = (1 - 0.75 * severity)[:, None] * beat.t_mv[rows] - 0.20 * against[:, None] * net_area
    beat.j_mv[rows] -= 0.07 * against[:, None] * net_area


def _left_block_timing(beat: Beat, rows: NDArray[np.int64], wide_s: Floats) -> None:
    for wave, centre, half in ((R, 0.31, 0.30), (R2, 0.69, 0.31), (S, 0.53, 0.44)):
        beat.centre_s[rows, :, wave] = centre * wide_s[:, None]
        beat.half_s[rows, :, wave] = half * wide_s[:, None]
    # The r that is left in V1-V3 is septal, short and early.
    beat.centre_s[rows, V1 : V1 + 3, R] = 0.12 * wide_s[:, None]
    beat.half_s[rows, V1 : V1 + 3, R] = 0.12 * wide_s[:, None]


def _widen(beat: Beat, rows: NDArray[np.int64], severity: Floats, factor: tuple[float, float]) -> tuple[Floats, Floats]:
    """Lengthen QRS and QT of some records; returns QRS before and after, in seconds."""
    narrow = beat.narrow_qrs_ms[rows]
    wide = narrow * (factor[0] + factor[1] * severity)
    beat.qrs_ms[rows] = wide
    beat.qt_ms[rows] += _QT_FOLLOWS_QRS * (wide - narrow)
    return narrow / 1000, wide / 1000


def _hypertrophy_t(beat: Beat, draws: Draws, diagnoses: Diagnoses, age_days: Floats) -> None:
    """Strain: T against the hypertrophied ventricle. In young children the sign of RVH is an upright T in V1."""
    strained = draws.uniform["strain"] < 0.6
    severity = np.where(diagnoses.present["RVH"] & strained, diagnoses.severity["RVH"], 0)
    target = np.where(age_days < _UPRIGHT_T_IN_RVH_YEARS * DAYS_PER_YEAR, 0.3, 3.2)
    moved = beat.t_boundary + severity * (target - beat.t_boundary)
    size = np.abs(beat.t_mv[:, _CHEST]) / np.maximum(np.abs(t_polarity(beat.t_boundary)), 0.05)
    ill = severity > 0
    beat.t_mv[ill, _CHEST] = (size * t_polarity(moved))[ill]
    left = np.where(diagnoses.present["LVH"] & strained, np.clip((diagnoses.severity["LVH"] - 0.25) / 0.75, 0, 1), 0)
    for axis, share in ((X, 1.0), (V6 - 2, 0.5), (V6 - 1, 0.9), (V6, 1.0)):
        beat.t_mv[:, axis] *= 1 - 1.7 * share * left
        beat.j_mv[:, axis] -= 0.09 * share * left


def _st_elevation(beat: Beat, draws: Draws, diagnoses: Diagnoses) -> None:
    """ST up over the territory and down opposite to it, T tall, and with severity a loss of R and a Q."""
    rows = np.flatnonzero(diagnoses.present["STE_"])
    severity, territory = diagnoses.severity["STE_"][rows], diagnoses.territory[rows]
    size = (_STE_MV[0] + _STE_MV[1] * severity**1.3)[:, None]
    angle = np.radians(_STE_ANGLE_DEG[territory] + 12 * draws.normal["j_angle"][rows])
    chest = _STE_CHEST[territory] * np.exp(0.2 * draws.normal["j_profile"][rows])[:, None]
    pattern = np.concatenate([_STE_FRONTAL[territory][:, None] * _polar(angle), chest], axis=1)
    beat.j_mv[rows] += size * pattern
    beat.t_mv[rows] += 0.6 * size * pattern
    lost = (severity * (draws.uniform["infarct_q"][rows] < 0.5))[:, None] * np.clip(pattern[:, V1:], 0, 1)
    r = beat.amplitude_mv[rows, _CHEST, R]
    beat.amplitude_mv[rows, _CHEST, R] = r * (1 - 0.5 * lost)
    beat.amplitude_mv[rows, _CHEST, Q] -= 0.35 * lost * r


def _polar(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
