"""What conditions do to a beat, relative to the norm of the age: an amplitude can be ill at one age and not at another.

Effects that are numbers stand in `conditions.toml` and are interpreted here; changes of shape are in `blocks`
and `myocardium`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.paediatrics import limits as norms
from auricle.simulate import blocks, myocardium, rhythm
from auricle.simulate.conditions import Diagnoses, conditions, pattern
from auricle.simulate.morphology import P_LEFT, P_RECOVERY, P_RIGHT, Beat, Deviations, add_p_waves, time_p_waves
from auricle.simulate.streams import Draws, Floats

Rows = NDArray[np.int64]

_STRUCTURES: Final = {**blocks.STRUCTURES, **myocardium.STRUCTURES}

_LONGEST_PR_MS: Final = 380.0
# A P wave may not start inside the QRS before it: a long PR needs a slow enough rate.
_LARGEST_PR_SHARE_OF_RR: Final = 0.6
_Q_CENTRE, _Q_HALF = 0.16, 0.16
# Patterns of ST, T, U and late waves vary from person to person, by this log factor and per axis.
_PATTERN_SPREAD, _AXIS_SPREAD = 0.25, 0.15


def shift(z: Deviations, diagnoses: Diagnoses) -> None:
    """Move traits away from the norm of the age, in standard deviations, in place."""
    for code, effects, rows in _those_who_have(diagnoses):
        for trait, pair in effects.get("z", {}).items():
            getattr(z, trait)[rows] += _between(pair, diagnoses.severity[code][rows])


def axis(diagnoses: Diagnoses, axis_deg: Floats) -> Floats:
    """(record,) the frontal axis: a fascicular block or an endocardial cushion sets it, whatever the age."""
    turned = axis_deg.copy()
    for code, effects, rows in _those_who_have(diagnoses):
        if "axis_deg" in effects:
            centre, spread = effects["axis_deg"]
            turned[rows] = centre + spread * np.clip(diagnoses.scatter[code][rows, 0], -2, 2)
    return turned


def apply(beat: Beat, draws: Draws, diagnoses: Diagnoses, age_days: Floats, sex: NDArray[np.str_]) -> Floats:
    """Change the beats of those who are ill, in place; returns (record,) the rate of the sinus node.

    First what changes the shape of QRS, then what adds to it, then ST and T on top of any block, at last the rate and
    P, which depend on PR.

    Args:
        beat: changed in place.
        draws: chance.
        diagnoses: what the records have.
        age_days: (record,) age whose norms hold.
        sex: (record,) "F" or "M".
    """
    blocks.unlabelled_delay(beat, draws, diagnoses)
    for code, effects, rows in _those_who_have(diagnoses):
        name, _, place = effects.get("structure", "").partition(":")
        if name:
            _STRUCTURES[name](blocks.Patients(beat, draws, diagnoses, code, rows, age_days, sex, place))
    for code, effects, rows in _those_who_have(diagnoses):
        _durations(beat, effects, rows, diagnoses.severity[code][rows], age_days, sex)
        _waves(beat, effects, rows, diagnoses.severity[code][rows], diagnoses.scatter[code][rows])
    sinus = _rates(beat, diagnoses, age_days, sex)
    add_p_waves(beat, draws, age_days)
    for code, effects, rows in _those_who_have(diagnoses):
        _atria(beat, effects, rows, diagnoses.severity[code][rows])
    time_p_waves(beat)
    return sinus


def _those_who_have(diagnoses: Diagnoses) -> Iterator[tuple[str, Mapping[str, Any], Rows]]:
    for code, condition in conditions().items():
        rows = np.flatnonzero(diagnoses.present[code])
        if len(rows):
            yield code, condition.effects, rows


def _between(pair: Sequence[float], severity: Floats) -> Floats:
    return np.asarray(pair[0] + pair[1] * severity)


def _rates(beat: Beat, diagnoses: Diagnoses, age_days: Floats, sex: NDArray[np.str_]) -> Floats:
    """Settle the ventricular rate and, with it, QT; returns the sinus node's rate."""
    sinus = np.minimum(beat.heart_rate, 60_000 * _LARGEST_PR_SHARE_OF_RR / beat.pr_ms)
    rate = rhythm.rates(diagnoses, sinus, age_days, sex)
    beat.qt_ms = beat.qt_ms * np.sqrt(beat.heart_rate / rate)
    beat.heart_rate = rate
    return sinus


def _durations(
    beat: Beat, effects: Mapping[str, Any], rows: Rows, severity: Floats, age_days: Floats, sex: NDArray[np.str_]
) -> None:
    if "pr_excess" in effects:
        longest = norms.centiles("pr", age_days[rows], sex[rows])[:, 2] * _between(effects["pr_excess"], severity)
        beat.pr_ms[rows] = np.maximum(beat.pr_ms[rows], longest)
    if "pr" in effects:
        beat.pr_ms[rows] *= _between(effects["pr"], severity)
    beat.pr_ms[rows] = np.minimum(beat.pr_ms[rows], _LONGEST_PR_MS)
    if "qrs" in effects:
        blocks.widen(beat, rows, _between(effects["qrs"], severity), stretch=True)


def _waves(beat: Beat, effects: Mapping[str, Any], rows: Rows, severity: Floats, scatter: Floats) -> None:
    if "voltage" in effects:
        beat.amplitude_mv[rows] *= _between(effects["voltage"], severity)[:, None, None]
    if "t_scale" in effects:
        beat.t_mv[rows] *= _between(effects["t_scale"], severity)[:, None]
    if "t_peak" in effects:
        beat.t_peak[rows] = np.clip(beat.t_peak[rows] + _between(effects["t_peak"], severity), 0.5, 0.9)
    for name, values in (("st", beat.j_mv), ("t", beat.t_mv), ("u", beat.u_mv)):
        if name in effects:
            values[rows] += spread_pattern(effects[name][0], scatter) * _between(effects[name][1:], severity)[:, None]
    if "late" in effects:
        size = spread_pattern(effects["late"][0], scatter) * _between(effects["late"][1:], severity)[:, None]
        blocks.add_late(beat, rows, size)
    if "q" in effects:
        lose_r(beat, rows, effects["q"][0], _between(effects["q"][1:], severity))


def spread_pattern(name: str, scatter: Floats) -> Floats:
    """(row, axis) a pattern as these people show it: larger or smaller, and never quite the same leads."""
    size = np.exp(_PATTERN_SPREAD * np.clip(scatter[:, :1], -2, 2))
    place = np.roll(pattern(name), 1)[None, :] * _AXIS_SPREAD * np.clip(scatter[:, 1:2], -2, 2)
    place[:, :3] = 0  # x, y and V1 have no neighbour on that side
    return np.asarray(size * (pattern(name) + place))


def lose_r(beat: Beat, rows: Rows, name: str, share: Floats) -> None:
    """Turn a share of R into a Q in the leads of a pattern."""
    myocardium.necrosis(beat, rows, np.clip(pattern(name), 0, None) * share[:, None], _Q_CENTRE, _Q_HALF)


def _atria(beat: Beat, effects: Mapping[str, Any], rows: Rows, severity: Floats) -> None:
    for part, name in ((P_RIGHT, "p_right"), (P_LEFT, "p_left")):
        if name in effects:
            beat.p_mv[rows, :, part] *= _between(effects[name], severity)[:, None]
    if "pr_level" in effects:
        name, *pair = effects["pr_level"]
        beat.p_mv[rows, :, P_RECOVERY] += _between(pair, severity)[:, None] * pattern(name)
    if "p_long" in effects:
        longer = beat.p_ms[rows] * _between(effects["p_long"], severity)
        beat.p_ms[rows] = np.minimum(longer, 0.95 * beat.pr_ms[rows])
