"""Which shapes a record needs beside its usual beat: ventricular beats, other P waves, flutter waves, pacing spikes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.simulate import blocks
from auricle.simulate.conditions import Diagnoses
from auricle.simulate.morphology import AXES, P_PARTS, P_RIGHT, V1, Beat, X, Y
from auricle.simulate.render import Shapes
from auricle.simulate.rhythm import Rhythm, paced_alone
from auricle.simulate.streams import Draws, Floats

# Of complete blocks, those whose escape rhythm is ventricular have a deviate beyond this; a congenital one is narrow.
_VENTRICULAR_ESCAPE_FROM_Z: Final = 0.25
_FLUTTER_MV: Final = (0.10, 0.22)
# Typical flutter: seen best and negative in the inferior leads, positive in V1.
_FLUTTER_PROFILE: Final = np.array([0.15, -1.0, 0.7, 0.35, 0.1, -0.1, -0.2, -0.2])
_SPIKE_MV: Final = (0.15, 1.6)


def shapes(beat: Beat, draws: Draws, diagnoses: Diagnoses, rhythm: Rhythm) -> Shapes:
    """The shapes to draw; the usual beat of hearts driven by a ventricle or a pacemaker becomes a ventricular one.

    Args:
        beat: usual beats of the records, changed in place.
        draws: chance.
        diagnoses: what the records have.
        rhythm: events of the records.
    """
    own = beat.of(np.arange(len(beat.qrs_ms)))
    spikes = np.zeros((len(beat.qrs_ms), 2, len(AXES)))
    for code in ("VT", "PACE", "3AVB"):
        driven = diagnoses.present[code]
        if code == "3AVB":
            driven = driven & ~diagnoses.present["CCAVB"]
            driven = driven & (diagnoses.scatter[code][:, 1] > _VENTRICULAR_ESCAPE_FROM_Z)
        rows = np.flatnonzero(driven)
        if len(rows):
            beat.put(rows, _ventricular(own, draws, diagnoses, code, rows))
            spikes[rows] = _spikes(diagnoses, rows) if code == "PACE" else 0
    rows = np.flatnonzero(diagnoses.present["PVC"])
    extra = _ventricular(own, draws, diagnoses, "PVC", rows) if len(rows) else None
    return Shapes(beat, extra, rows, _other_p(beat, diagnoses, rhythm), rhythm.flutter_s, spikes)


def _ventricular(beat: Beat, draws: Draws, diagnoses: Diagnoses, code: str, rows: NDArray[np.int64]) -> Beat:
    scatter = diagnoses.scatter[code][rows]
    origin = (scatter[:, 2] > 0).astype(np.float64)
    paced = np.full(len(rows), code == "PACE")
    return blocks.ventricular(beat.of(rows), draws.of(rows), origin, paced, scatter[:, :2])


def _spikes(diagnoses: Diagnoses, rows: NDArray[np.int64]) -> Floats:
    """(row, 2, axis) before P and before QRS; a bipolar lead leaves hardly any spike, a unipolar one a tall one."""
    severity, scatter = diagnoses.severity["PACE"][rows], diagnoses.scatter["PACE"][rows]
    size = _SPIKE_MV[0] + (_SPIKE_MV[1] - _SPIKE_MV[0]) * severity**3
    angle = np.radians(-100 + 40 * scatter[:, 0])
    direction = np.concatenate([blocks.polar(angle), np.tile([-0.4, -0.3, -0.1, 0.2, 0.4, 0.5], (len(rows), 1))], 1)
    both = np.repeat((size[:, None] * direction)[:, None], 2, axis=1)
    atrial = (scatter[:, 3] < 0) & ~paced_alone(diagnoses)[rows]
    both[:, 0] *= 0.5 * atrial[:, None]
    return both


def _other_p(beat: Beat, diagnoses: Diagnoses, rhythm: Rhythm) -> Floats:
    """(record, axis, part) P of kind 1: from another place in the atria, backwards through them, or a flutter wave."""
    p = beat.p_mv.copy()
    length = np.hypot(p[:, X], p[:, Y])
    turned = np.radians(60 + 90 * diagnoses.scatter["EAT"][:, :1] + 40 * diagnoses.scatter["PAC"][:, :1])
    angle = np.where(rhythm.retrograde[:, None], np.radians(-85.0), turned)
    p[:, X], p[:, Y] = length * np.cos(angle), length * np.sin(angle)
    p[:, V1:] *= np.where(rhythm.retrograde, 0.6, 1.2)[:, None, None]
    p[:, V1] *= np.sign(diagnoses.scatter["PAC"][:, 1:2] + 0.3)
    fluttering = np.isfinite(rhythm.flutter_s)
    low, high = _FLUTTER_MV
    scatter = diagnoses.scatter["AFLT"]
    size = (low + (high - low) * diagnoses.severity["AFLT"]) * np.where(scatter[:, 2] > -0.8, 1, -1)
    wave = np.zeros((len(p), len(AXES), len(P_PARTS)))
    wave[:, :, P_RIGHT] = size[:, None] * _FLUTTER_PROFILE * np.exp(0.3 * scatter[:, 3:4])
    return np.where(fluttering[:, None, None], wave, p)
