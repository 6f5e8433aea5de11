"""When the heart beats: sinus rhythm that breathes, or atrial fibrillation that follows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.simulate.streams import Draws, Floats, Stream, Streams

# No simulated beat follows another faster than this: an atrioventricular node lets no more through at any age.
_SHORTEST_RR_S: Final = 0.25
_SLOWEST_PER_MIN: Final = 35.0
# Ages in years at which the next two were set; between them linear on log(1 + days).
_AGES_YEARS: Final = (0.0, 0.08, 1.0, 8.0, 20.0, 60.0, 90.0)
# Respiration rate falls from some 45 per minute in the newborn to 15 in the adult (clinical reference ranges).
_RESPIRATION_HZ: Final = (0.75, 0.65, 0.45, 0.33, 0.25, 0.25, 0.27)
# Share of the RR interval that breathing modulates: small in newborns, largest in school children, fading with age.
_RSA_SHARE: Final = (0.015, 0.02, 0.04, 0.075, 0.05, 0.02, 0.01)
_SLOW_HZ: Final = 0.1  # the Mayer wave of blood pressure
_BEAT_JITTER_SHARE: Final = 0.008
_AF_SPREAD: Final = (0.13, 0.26)  # coefficient of variation of RR in atrial fibrillation


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Beats of each record.

    Attributes:
        onset_s: (record, beat) QRS onsets in seconds from the start of the record, increasing; the first ones lie
            before it and the last ones behind its end.
        mean_rr_s: (record,) the RR interval around which they vary.
        rate_per_min: (record,) heart rate counted inside the record.
        respiration_hz, respiration_phase: (record,) breathing, which also moves amplitudes and baseline.
        fibrillating: (record,) atrial fibrillation: no P wave.
    """

    onset_s: Floats
    mean_rr_s: Floats
    rate_per_min: Floats
    respiration_hz: Floats
    respiration_phase: Floats
    fibrillating: NDArray[np.bool_]


def over_age(age_days: Floats, years: tuple[float, ...], values: tuple[float, ...]) -> Floats:
    """Linear interpolation over log(1 + days) of values set at some ages in years; level beyond the ends."""
    return np.interp(np.log1p(age_days), np.log1p(np.asarray(years) * DAYS_PER_YEAR), values)


def beats(
    streams: Streams,
    draws: Draws,
    age_days: Floats,
    heart_rate: Floats,
    fibrillating: NDArray[np.bool_],
    seconds: float,
) -> Rhythm:
    """Place the beats of each record.

    Args:
        streams, draws: chance.
        age_days: (record,) age that decides breathing and sinus arrhythmia.
        heart_rate: (record,) wanted mean rate per minute.
        fibrillating: (record,) atrial fibrillation.
        seconds: duration of the record.
    """
    rate = np.clip(heart_rate, _SLOWEST_PER_MIN, 0.9 * 60 / _SHORTEST_RR_S)
    mean_rr = 60 / rate
    n_beats = math.ceil(seconds / _SHORTEST_RR_S) + 4
    jitter = streams.normals(Stream.BEATS, n_beats)
    breath = over_age(age_days, _AGES_YEARS, _RESPIRATION_HZ) * np.exp(0.15 * draws.normal["respiration"])
    phase = 2 * np.pi * draws.uniform["respiration_phase"]

    share = over_age(age_days, _AGES_YEARS, _RSA_SHARE) * np.exp(0.4 * draws.normal["rsa"])
    when = np.arange(n_beats) * mean_rr[:, None]
    slow = np.sin(2 * np.pi * (_SLOW_HZ * when + draws.uniform["slow_phase"][:, None]))
    wave = np.sin(2 * np.pi * breath[:, None] * when + phase[:, None]) + 0.5 * slow
    sinus = 1 + np.clip(share[:, None] * wave + _BEAT_JITTER_SHARE * jitter, -0.25, 0.4)

    low, high = _AF_SPREAD
    spread = (low + (high - low) * draws.uniform["af_spread"])[:, None]
    irregular = np.exp(spread * jitter - spread**2 / 2)

    rr = np.maximum(mean_rr[:, None] * np.where(fibrillating[:, None], irregular, sinus), _SHORTEST_RR_S)
    # Start one to two beats before the record, so that it opens at any phase with a whole beat behind it.
    first = -(1 + draws.uniform["phase"]) * mean_rr
    onset = first[:, None] + np.cumsum(rr, axis=1) - rr[:, :1]
    return Rhythm(onset, mean_rr, _counted_rate(onset, mean_rr, seconds), breath, phase, fibrillating)


def _counted_rate(onset_s: Floats, mean_rr_s: Floats, seconds: float) -> Floats:
    """60 over the mean RR interval inside the record; over the intended one where fewer than two beats fit."""
    inside = (onset_s >= 0) & (onset_s < seconds)
    count = inside.sum(axis=1)
    first = np.where(inside, onset_s, np.inf).min(axis=1, initial=np.inf)
    last = np.where(inside, onset_s, -np.inf).max(axis=1, initial=-np.inf)
    enough = count >= 2
    mean = np.where(enough, np.where(enough, last - first, 0) / np.maximum(count - 1, 1), mean_rr_s)
    return 60 / mean
