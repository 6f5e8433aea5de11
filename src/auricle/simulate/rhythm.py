"""When atria and ventricles beat: one clock for each, coupled by an atrioventricular node that may delay, drop or fail.

P waves and QRS complexes are two trains of events. In sinus rhythm each P is followed by a QRS after PR; ectopic beats
move single events, blocks remove them, and where the ventricles have a pacemaker of their own the trains are
independent. Rates follow the norm of the age.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.paediatrics import limits as norms
from auricle.simulate.conditions import Diagnoses, conditions
from auricle.simulate.streams import Draws, Floats, Stream, Streams

Rows = NDArray[np.int64]

# Shortest interval between two beats: an atrioventricular node conducts no faster at any age.
_SHORTEST_RR_S: Final = 0.2
_SLOWEST_PER_MIN: Final = 28.0
# Ages in years at which the next two were set; between them linear on log(1 + days).
_AGES_YEARS: Final = (0.0, 0.08, 1.0, 8.0, 20.0, 60.0, 90.0)
# Respiration rate falls from some 45 per minute in the newborn to 15 in the adult (clinical reference ranges).
_RESPIRATION_HZ: Final = (0.75, 0.65, 0.45, 0.33, 0.25, 0.25, 0.27)
# Share of the RR interval that breathing modulates: small in newborns, largest in school children, fading with age.
_RSA_SHARE: Final = (0.015, 0.02, 0.04, 0.075, 0.06, 0.032, 0.018)
_SLOW_HZ: Final = 0.1  # the Mayer wave of blood pressure
_BEAT_JITTER_SHARE: Final = 0.008
_AF_SPREAD: Final = (0.13, 0.26)  # coefficient of variation of RR in atrial fibrillation
_RATE_YEARS: Final = (0.0, 1.0, 10.0, 20.0)
# Rates per minute of pacemakers and circuits at those ages, after paediatric and adult textbooks' usual ranges.
_SVT_PER_MIN: Final = (245.0, 225.0, 195.0, 172.0)
_VT_PER_MIN: Final = (210.0, 200.0, 180.0, 165.0)
_FLUTTER_PER_MIN: Final = (420.0, 370.0, 310.0, 280.0)
_ESCAPE_PER_MIN: Final = (62.0, 58.0, 46.0, 39.0)
_CONGENITAL_ESCAPE_PER_MIN: Final = (72.0, 68.0, 54.0, 47.0)
_PACED_PER_MIN: Final = (125.0, 110.0, 85.0, 68.0)
_FASTEST_ATRIUM_PER_MIN: Final = 470.0
_FILLER_S: Final = 1e6  # events that do not happen lie here
# Rhythms in which no P leads to a QRS after a constant PR: the interval is not there to be measured.
WITHOUT_PR: Final = ("AFIB", "AFLT", "SVTAC", "JET", "VT", "2AVB1", "3AVB", "CCAVB")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Events of each record. Times are seconds from its start, increasing; those that do not happen lie far behind it.

    Attributes:
        qrs_s: (record, beat) QRS onsets; the first ones lie before the record and the last ones behind its end.
        qrs_kind: (record, beat) 0 the heart's usual beat, 1 a ventricular ectopic one.
        p_s: (record, p) P onsets.
        p_kind: (record, p) 0 the usual P, 1 another one (ectopic, retrograde, flutter).
        mean_rr_s: (record,) the RR interval around which they vary.
        rate_per_min: (record,) ventricular rate counted inside the record.
        respiration_hz, respiration_phase: (record,) breathing, which also moves amplitudes and baseline.
        fibrillating: (record,) atrial fibrillation: f waves instead of P.
        flutter_s: (record,) length of a flutter wave, NaN without flutter.
        retrograde: (record,) P of kind 1 runs backwards through the atria.
    """

    qrs_s: Floats
    qrs_kind: NDArray[np.int64]
    p_s: Floats
    p_kind: NDArray[np.int64]
    mean_rr_s: Floats
    rate_per_min: Floats
    respiration_hz: Floats
    respiration_phase: Floats
    fibrillating: NDArray[np.bool_]
    flutter_s: Floats
    retrograde: NDArray[np.bool_]


def over_age(age_days: Floats, years: tuple[float, ...], values: tuple[float, ...]) -> Floats:
    """Linear interpolation over log(1 + days) of values set at some ages in years; level beyond the ends."""
    return np.interp(np.log1p(age_days), np.log1p(np.asarray(years) * DAYS_PER_YEAR), values)


def rates(diagnoses: Diagnoses, heart_rate: Floats, age_days: Floats, sex: NDArray[np.str_]) -> Floats:
    """(record,) ventricular rate per minute of the rhythm each record has; `heart_rate` where the sinus node leads."""
    usual = norms.median("heart_rate", age_days, sex)
    severity = diagnoses.severity

    def spread(code: str, share: float) -> Floats:
        return np.exp(share * diagnoses.scatter[code][:, 0])

    def aged(values: tuple[float, ...]) -> Floats:
        return over_age(age_days, _RATE_YEARS, values)

    flutter = np.minimum(aged(_FLUTTER_PER_MIN) * spread("AFLT", 0.08), _FASTEST_ATRIUM_PER_MIN)
    rate_of: Mapping[str, Floats] = {
        "AFIB": usual * (0.8 + 0.8 * severity["AFIB"]),
        "AFLT": flutter / flutter_ratio(diagnoses),
        "SVTAC": aged(_SVT_PER_MIN) * spread("SVTAC", 0.1),
        "EAT": usual * (1.35 + 0.5 * severity["EAT"]),
        "JET": usual * (1.35 + 0.5 * severity["JET"]),
        "VT": aged(_VT_PER_MIN) * spread("VT", 0.14),
        "PACE": np.where(paced_alone(diagnoses), aged(_PACED_PER_MIN) * spread("PACE", 0.08), heart_rate),
        "3AVB": aged(_ESCAPE_PER_MIN) * spread("3AVB", 0.14),
        "CCAVB": aged(_CONGENITAL_ESCAPE_PER_MIN) * spread("CCAVB", 0.14),
    }
    rate = heart_rate
    for code, values in rate_of.items():
        rate = np.where(diagnoses.present[code], values, rate)
    return np.asarray(np.clip(rate, _SLOWEST_PER_MIN, 0.95 * 60 / _SHORTEST_RR_S))


def flutter_ratio(diagnoses: Diagnoses) -> Floats:
    """(record,) atrial waves per ventricular beat: two, three or four."""
    return np.take((2.0, 3.0, 4.0), np.searchsorted((0.3, 0.8), diagnoses.scatter["AFLT"][:, 1]))


def paced_alone(diagnoses: Diagnoses) -> NDArray[np.bool_]:
    """(record,) true where a pacemaker does not follow P, as in a third of the paced hearts."""
    return np.asarray(diagnoses.present["PACE"] & (diagnoses.scatter["PACE"][:, 1] > 0.43))


def beats(
    streams: Streams,
    draws: Draws,
    diagnoses: Diagnoses,
    age_days: Floats,
    sinus_per_min: Floats,
    heart_rate: Floats,
    pr_ms: Floats,
    seconds: float,
) -> Rhythm:
    """Place P and QRS of each record.

    Args:
        streams, draws: chance.
        diagnoses: who has which rhythm.
        age_days: (record,) age that decides breathing and sinus arrhythmia.
        sinus_per_min: (record,) rate of the sinus node, which goes on where the ventricles do not follow.
        heart_rate: (record,) ventricular rate, from `rates`.
        pr_ms: (record,) PR of a conducted beat.
        seconds: duration of the record.
    """
    made = _Trains(streams, draws, diagnoses, age_days, sinus_per_min, heart_rate, pr_ms / 1000, seconds)
    for code, condition in conditions().items():
        rows = np.flatnonzero(diagnoses.present[code])
        name = condition.effects.get("rhythm")
        if name and len(rows):
            _RHYTHMS[name](made, rows, code)
    made.premature_ventricular()
    return made.finish()


class _Trains:
    """The two trains of a chunk of records, first in sinus rhythm; other rhythms rewrite the rows of their records."""

    def __init__(
        self,
        streams: Streams,
        draws: Draws,
        diagnoses: Diagnoses,
        age_days: Floats,
        sinus_per_min: Floats,
        heart_rate: Floats,
        pr_s: Floats,
        seconds: float,
    ) -> None:
        self.draws, self.diagnoses, self.seconds, self.pr_s = draws, diagnoses, seconds, pr_s
        self.age_days = age_days
        n, self.n_beats = len(heart_rate), math.ceil(seconds / _SHORTEST_RR_S) + 4
        self.n_p = math.ceil(seconds * _FASTEST_ATRIUM_PER_MIN * 1.05 / 60) + 16
        self.jitter = streams.normals(Stream.BEATS, self.n_p)
        self.chance = streams.uniforms(Stream.RHYTHM, self.n_beats + 8)
        self.choice, self.early = self.chance[:, :8], self.chance[:, 8:]
        self.mean_rr_s = 60 / heart_rate
        self.breath_hz = over_age(age_days, _AGES_YEARS, _RESPIRATION_HZ) * np.exp(0.15 * draws.normal["respiration"])
        self.breath_phase = 2 * np.pi * draws.uniform["respiration_phase"]
        self.fibrillating = np.zeros(n, dtype=bool)
        self.flutter_s, self.retrograde = np.full(n, np.nan), np.zeros(n, dtype=bool)
        self.p = np.full((n, self.n_p), _FILLER_S)
        self.p_kind = np.zeros((n, self.n_p), dtype=np.int64)
        self.qrs_kind = np.zeros((n, self.n_beats), dtype=np.int64)
        self.sinus_rr_s = np.clip(60 / sinus_per_min, _SHORTEST_RR_S, 60 / _SLOWEST_PER_MIN)
        self.sinus(np.arange(n), 1.0)
        self.qrs = self.p[:, : self.n_beats] + pr_s[:, None]

    def sinus(self, rows: Rows, rsa_factor: float | Floats) -> None:
        """Place P waves whose intervals follow breathing; those of premature atrial contractions early, as kind 1."""
        # Intervals that vary with breathing, blood pressure and from beat to beat.
        count = self.n_beats
        mean = self.sinus_rr_s[rows][:, None]
        share = over_age(self.age_days[rows], _AGES_YEARS, _RSA_SHARE) * np.exp(0.55 * self.draws.normal["rsa"][rows])
        share = share * rsa_factor
        when = np.arange(count) * mean
        slow = np.sin(2 * np.pi * (_SLOW_HZ * when + self.draws.uniform["slow_phase"][rows][:, None]))
        breath = 2 * np.pi * self.breath_hz[rows][:, None] * when + self.breath_phase[rows][:, None]
        wave = np.sin(breath) + 0.5 * slow
        rr = mean * (1 + np.clip(share[:, None] * wave + _BEAT_JITTER_SHARE * self.jitter[rows, :count], -0.3, 0.45))
        # Premature beats shorten their interval and lengthen the next.
        early = self.premature("PAC", rows)
        rr = np.where(early, rr * (0.58 + 0.2 * self.choice[rows, :1]), rr)
        after = np.pad(early[:, :-1], ((0, 0), (1, 0)))
        rr = np.maximum(np.where(after, rr * (1.0 + 0.25 * self.choice[rows, 1:2]), rr), _SHORTEST_RR_S)
        self.p[np.ix_(rows, np.arange(count))] = self.start(rows, self.sinus_rr_s[rows])[:, None] + np.cumsum(rr, 1)
        self.p_kind[np.ix_(rows, np.arange(count))] = early

    def start(self, rows: Rows, rr: Floats) -> Floats:
        """(row,) time in s one interval before the first event, early enough for the record to begin at any phase."""
        first: Floats = -(2 + self.draws.uniform["phase"][rows]) * rr - self.pr_s[rows]
        return first

    def premature(self, code: str, rows: Rows) -> NDArray[np.bool_]:
        """(row, beat) which beats are premature: some at random, never two in turn, at least one inside the record."""
        severity = self.diagnoses.severity[code][rows][:, None]
        number = np.arange(self.n_beats)
        early = self.early[rows] < 0.05 + 0.2 * severity
        inside = np.maximum(self.seconds / self.mean_rr_s[rows] - 3, 0.0)
        sure = (3 + np.floor(self.choice[rows, 2] * inside)).astype(np.int64)
        early[np.arange(len(rows)), np.minimum(sure, self.n_beats - 2)] = True
        early &= (number > 1) & (number % 2 == (sure % 2)[:, None])
        return np.asarray(early & self.diagnoses.present[code][rows][:, None])

    def regular(self, rows: Rows, rr: Floats, count: int, jitter: float | Floats) -> Floats:
        """(row, count) times in s of a pacemaker with intervals around `rr` (row,) and a relative jitter."""
        varied = rr[:, None] * np.exp(np.reshape(jitter, (-1, 1)) * self.jitter[rows, :count])
        varied = np.maximum(varied, np.minimum(_SHORTEST_RR_S, 0.9 * rr)[:, None])
        return np.asarray(-(1 + self.choice[rows, 3:4]) * rr[:, None] + np.cumsum(varied, 1) - varied[:, :1])

    def premature_ventricular(self) -> None:
        """Replace conducted beats by ventricular ones that come early; P keeps its time, so a pause follows."""
        present = self.diagnoses.present
        rows = np.flatnonzero(present["PVC"])
        early = self.premature("PVC", rows)
        number = np.arange(self.n_beats)
        for code, every in (("BIGU", 2), ("TRIGU", 3)):
            turn = (number + np.floor(self.choice[rows, 4:5] * every)) % every == 0
            early = np.where(present[code][rows][:, None], turn & (number > 0), early)
        qrs = self.qrs[rows]
        before = np.pad(qrs[:, :-1], ((0, 0), (1, 0)), constant_values=-_FILLER_S)
        possible = early & (before > -_FILLER_S) & (qrs < _FILLER_S / 2) & (before < _FILLER_S / 2)
        coupling = np.maximum((0.5 + 0.2 * self.choice[rows, 5:6]) * (qrs - before), 0.24)
        self.qrs[rows] = np.where(possible & (coupling < qrs - before), before + coupling, qrs)
        self.qrs_kind[rows] |= possible & (coupling < qrs - before)

    def no_p(self, rows: Rows) -> None:
        """Remove the P waves of the records at `rows`."""
        self.p[rows] = _FILLER_S

    def finish(self) -> Rhythm:
        """The events in order of time, with the rate counted inside the record."""
        order = np.argsort(self.qrs, axis=1, kind="stable")
        qrs, kind = np.take_along_axis(self.qrs, order, 1), np.take_along_axis(self.qrs_kind, order, 1)
        p_order = np.argsort(self.p, axis=1, kind="stable")
        p, p_kind = np.take_along_axis(self.p, p_order, 1), np.take_along_axis(self.p_kind, p_order, 1)
        rate = _counted_rate(qrs, self.mean_rr_s, self.seconds)
        return Rhythm(
            qrs, kind, p, p_kind, self.mean_rr_s, rate, self.breath_hz, self.breath_phase, self.fibrillating,
            self.flutter_s, self.retrograde,
        )  # fmt: skip


def _sinus_arrhythmia(trains: _Trains, rows: Rows, code: str) -> None:
    trains.sinus(rows, 2.5 + 2 * trains.diagnoses.severity[code][rows])
    trains.qrs[rows] = trains.p[rows, : trains.n_beats] + trains.pr_s[rows, None]


def _fibrillation(trains: _Trains, rows: Rows, code: str) -> None:
    del code
    low, high = _AF_SPREAD
    spread = low + (high - low) * trains.draws.uniform["af_spread"][rows]
    rr = trains.mean_rr_s[rows] * np.exp(-(spread**2) / 2)
    trains.qrs[rows] = trains.regular(rows, rr, trains.n_beats, spread)
    trains.no_p(rows)
    trains.fibrillating[rows] = True


def _flutter(trains: _Trains, rows: Rows, code: str) -> None:
    ratio = flutter_ratio(trains.diagnoses)[rows]
    cycle = trains.mean_rr_s[rows] / ratio
    trains.p[rows] = trains.regular(rows, cycle, trains.n_p, 0.006) - 2 * trains.mean_rr_s[rows, None]
    trains.p_kind[rows] = 1
    trains.flutter_s[rows] = cycle
    # A third conduct in a changing ratio.
    changing = trains.diagnoses.severity[code][rows] < 0.33
    steps = np.where(changing[:, None], 2 + np.floor(3 * trains.early[rows]), ratio[:, None])
    number = np.cumsum(steps, axis=1).astype(np.int64)
    conducted = np.take_along_axis(trains.p[rows], np.minimum(number, trains.n_p - 1), 1) + 0.6 * cycle[:, None]
    trains.qrs[rows] = np.where(number < trains.n_p, conducted, _FILLER_S)


def _supraventricular_tachycardia(trains: _Trains, rows: Rows, code: str) -> None:
    _regular_with_retrograde(trains, rows, code, jitter=0.004, visible=0.6)


def _junctional_tachycardia(trains: _Trains, rows: Rows, code: str) -> None:
    sinus = trains.p[rows].copy()
    _regular_with_retrograde(trains, rows, code, jitter=0.008, visible=0.5)
    dissociated = trains.diagnoses.scatter[code][rows, 1] > 0.6
    trains.p[rows[dissociated]] = sinus[dissociated]
    trains.p_kind[rows[dissociated]] = 0


def _regular_with_retrograde(trains: _Trains, rows: Rows, code: str, jitter: float, visible: float) -> None:
    """A circuit or focus below the atria: P behind QRS, or hidden in it."""
    trains.qrs[rows] = trains.regular(rows, trains.mean_rr_s[rows], trains.n_beats, jitter)
    trains.no_p(rows)
    seen = rows[trains.diagnoses.severity[code][rows] < visible]
    behind = 0.09 + 0.05 * trains.choice[seen, 6]
    trains.p[seen, : trains.n_beats] = trains.qrs[seen] + behind[:, None]
    trains.p_kind[seen] = 1
    trains.retrograde[seen] = True


def _ectopic_atrial_tachycardia(trains: _Trains, rows: Rows, code: str) -> None:
    del code
    count = trains.n_beats
    trains.p[rows, :] = _FILLER_S
    focus = trains.regular(rows, trains.mean_rr_s[rows], count, 0.015)
    trains.p[np.ix_(rows, np.arange(count))] = focus
    trains.p_kind[rows] = 1
    trains.qrs[rows] = focus + trains.pr_s[rows, None]


def _ventricular_tachycardia(trains: _Trains, rows: Rows, code: str) -> None:
    """The ventricles alone; P goes on at the sinus node's own rate."""
    del code
    trains.qrs[rows] = trains.regular(rows, trains.mean_rr_s[rows], trains.n_beats, 0.012)


def _paced(trains: _Trains, rows: Rows, code: str) -> None:
    """A pacemaker drives the ventricles: behind each P, which leaves the sinus rhythm's times, or at its own rate."""
    del code
    alone = rows[paced_alone(trains.diagnoses)[rows]]
    trains.qrs[alone] = trains.regular(alone, trains.mean_rr_s[alone], trains.n_beats, 0.001)


def _wenckebach(trains: _Trains, rows: Rows, code: str) -> None:
    """PR grows, most at first, until a beat is dropped."""
    cycle = 3 + np.floor(3 * trains.choice[rows, 6:7])
    turn = (np.arange(trains.n_beats) + np.floor(trains.choice[rows, 7:8] * cycle)) % cycle
    grows = (0.4 + 0.5 * trains.diagnoses.severity[code][rows])[:, None]
    pr = trains.pr_s[rows, None] * (1 + grows * (turn / (cycle - 1)) ** 0.6)
    _drop(trains, rows, trains.p[rows, : trains.n_beats] + pr, turn == cycle - 1)


def _mobitz(trains: _Trains, rows: Rows, code: str) -> None:
    """Every second to fourth P is not conducted, PR being constant."""
    del code
    cycle = 2 + np.floor(3 * trains.choice[rows, 6:7])
    turn = (np.arange(trains.n_beats) + np.floor(trains.choice[rows, 7:8] * cycle)) % cycle
    _drop(trains, rows, trains.p[rows, : trains.n_beats] + trains.pr_s[rows, None], turn == cycle - 1)


def _drop(trains: _Trains, rows: Rows, qrs: Floats, dropped: NDArray[np.bool_]) -> None:
    trains.qrs[rows] = np.where(dropped, _FILLER_S, qrs)
    trains.mean_rr_s[rows] = trains.sinus_rr_s[rows] / (1 - dropped.mean(axis=1))


def _complete_block(trains: _Trains, rows: Rows, code: str) -> None:
    """Atria and ventricles each at their own rate."""
    del code
    trains.qrs[rows] = trains.regular(rows, trains.mean_rr_s[rows], trains.n_beats, 0.01)


_RHYTHMS: Final[Mapping[str, Callable[[_Trains, Rows, str], None]]] = {
    "sinus_arrhythmia": _sinus_arrhythmia,
    "fibrillation": _fibrillation,
    "flutter": _flutter,
    "supraventricular_tachycardia": _supraventricular_tachycardia,
    "ectopic_atrial_tachycardia": _ectopic_atrial_tachycardia,
    "junctional_tachycardia": _junctional_tachycardia,
    "ventricular_tachycardia": _ventricular_tachycardia,
    "paced": _paced,
    "wenckebach": _wenckebach,
    "mobitz": _mobitz,
    "complete_block": _complete_block,
    "congenital_block": _complete_block,
}


def _counted_rate(qrs_s: Floats, mean_rr_s: Floats, seconds: float) -> Floats:
    """60 over the mean RR interval inside the record; over the intended one where fewer than two beats fit."""
    inside = (qrs_s >= 0) & (qrs_s < seconds)
    count = inside.sum(axis=1)
    first = np.where(inside, qrs_s, np.inf).min(axis=1, initial=np.inf)
    last = np.where(inside, qrs_s, -np.inf).max(axis=1, initial=-np.inf)
    enough = count >= 2
    mean = np.where(enough, np.where(enough, last - first, 0) / np.maximum(count - 1, 1), mean_rr_s)
    return 60 / mean
