"""How right rhythm, rate and QTc are: simulated truth over all rhythms of the simulator, at 40 to 320 a minute.

python benchmarks/rhythm.py [--records N] [--detail]; prints one table a group and writes
benchmarks/results/rhythm.json. Two kinds of hearts are drawn. *simulated*: the simulator's beats with its noise, the
rate set by hand instead of by the norm of the age; above 280 a minute the record is played faster, because the
simulator's node conducts no faster. *drawn*: a few cosine waves in eight leads, as programs that test programs draw
them.

Rhythms that the simulator does not have (alternating beats, atrial bigeminy, pauses, single dropped beats) are events
put in by hand. Where a rhythm is not possible at a rate it is left out, with the reason in `IMPOSSIBLE`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from auricle.age import DAYS_PER_YEAR
from auricle.leads import STANDARD
from auricle.measure.recording import measure_recording
from auricle.recording import Recording, make_recording
from auricle.signal.beats import find_beats
from auricle.simulate import acquisition, ectopy, morphology, noise, pathology, render, rhythm
from auricle.simulate.conditions import choose
from auricle.simulate.streams import Stream, Streams, draw

RESULTS = Path(__file__).parent / "results" / "rhythm.json"
RATES = (40, 60, 80, 100, 125, 150, 180, 210, 240, 270, 300, 320)
SAMPLING_HZ = (500.0, 250.0, 1000.0, 100.0)
AGES_DAYS = (2.0, 60.0, 4 * DAYS_PER_YEAR, 40 * DAYS_PER_YEAR)
TOLERANCE_S = 0.075
FASTEST_SIMULATED = 280.0
FAR_S = 1e6
# Rhythms of the simulator, by the condition that makes them.
RHYTHMS = {
    "sinus": {}, "sinus arrhythmia": {"SARRH": 1}, "fibrillation": {"AFIB": 1}, "flutter": {"AFLT": 1},
    "supraventricular tachycardia": {"SVTAC": 1}, "ectopic atrial": {"EAT": 1}, "junctional": {"JET": 1},
    "ventricular tachycardia": {"VT": 1}, "paced": {"PACE": 1}, "Wenckebach": {"2AVB1": 1}, "Mobitz": {"2AVB2": 1},
    "complete block": {"3AVB": 1}, "congenital block": {"CCAVB": 1}, "atrial extrasystoles": {"PAC": 1},
    "ventricular extrasystoles": {"PVC": 1}, "ventricular bigeminy": {"BIGU": 1},
    "ventricular trigeminy": {"TRIGU": 1}, "left bundle branch block": {"CLBBB": 1},
    "right bundle branch block": {"CRBBB": 1}, "high T": {"HYPERK": 1}, "long QT": {"LNGQT": 1},
    "low voltage": {"LVOLT": 1},
}  # fmt: skip
PLACED = ("atrial bigeminy", "alternans", "pause 2.5 s", "pause 4 s", "one dropped", "two dropped")
IMPOSSIBLE: dict[str, tuple[float, float, str]] = {
    "sinus arrhythmia": (40, 180, "breathing moves a fast rate little"),
    "fibrillation": (40, 210, "the simulator's node conducts no interval below 200 ms"),
    "Wenckebach": (40, 150, "of the sinus rate; a beat in three to five is dropped from it"),
    "Mobitz": (40, 150, "of the sinus rate; a beat in two to four is dropped from it"),
    "complete block": (40, 100, "an escape rhythm"),
    "congenital block": (40, 125, "an escape rhythm"),
    "paced": (40, 180, "a pacemaker's upper rate"),
    "ventricular bigeminy": (40, 180, "the simulator's shortest coupling is 240 ms"),
    "ventricular trigeminy": (40, 180, "the simulator's shortest coupling is 240 ms"),
    "ventricular extrasystoles": (40, 180, "the simulator's shortest coupling is 240 ms"),
    "atrial extrasystoles": (40, 210, "an early beat would follow within 200 ms"),
    "atrial bigeminy": (40, 210, "an early beat would follow within 200 ms"),
    "long QT": (40, 150, "T would lie in the next QRS"),
    "pause 2.5 s": (60, 210, ""), "pause 4 s": (60, 210, ""), "one dropped": (40, 270, ""),
    "two dropped": (60, 270, ""), "ventricular tachycardia": (100, 300, "by its definition"),
    "supraventricular tachycardia": (100, 320, "by its definition"),
    "junctional": (60, 300, ""), "flutter": (60, 230, "its atria fire at 470 at most, two for a beat"),
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is known of a record: QRS onsets in s, their shape, QT of each beat in s (NaN where T is not drawn)."""

    qrs_s: np.ndarray
    kind: np.ndarray
    qt_s: np.ndarray
    qrs_ms: float

    @property
    def heart_rate(self) -> float:
        return 60 / float(np.diff(self.qrs_s).mean())

    @property
    def qtc_bazett(self) -> float:
        """Median over beats of the usual shape of QTc by the interval before each."""
        rr = np.diff(self.qrs_s)
        usual = self.kind[1:] == 0
        return 1000 * float(np.median((self.qt_s[1:] / np.sqrt(rr))[usual])) if usual.any() else np.nan


def simulated(
    name: str, rate: float, age_days: float, seed: int, rate_hz: float, seconds: float = 10.0
) -> tuple[Recording, Truth]:
    """One simulated record of a rhythm at a ventricular rate (the sinus rate, where beats are dropped)."""
    faster = max(1.0, rate / FASTEST_SIMULATED)
    rate, seconds, rate_hz = rate / faster, seconds * faster, rate_hz / faster
    streams = Streams(seed, np.array([round(rate * 7 + age_days)], dtype=np.int64))
    draws = draw(streams)
    age, sex = np.array([age_days]), np.where(draws.uniform["sex"] < 0.5, "F", "M")
    wanted = choose(streams, RHYTHMS.get(name, {}))
    taken = acquisition.choose(streams, "clean", seconds)
    z = morphology.deviations(draws)
    pathology.shift(z, wanted)
    beat = morphology.build(draws, z, age, sex, lambda axis: pathology.axis(wanted, axis))
    pathology.apply(beat, draws, wanted, age, sex)
    beat.qt_ms = beat.qt_ms * np.sqrt(beat.heart_rate / rate)
    beat.heart_rate = np.array([float(rate)])
    beat.pr_ms = np.minimum(beat.pr_ms, 0.45 * 60_000 / rate)
    beat.p_ms = np.minimum(beat.p_ms, 0.85 * beat.pr_ms)
    morphology.time_p_waves(beat)
    sinus = np.array([float(rate)])
    if name in ("complete block", "congenital block", "ventricular tachycardia"):
        sinus = np.array([1.9 * rate if "block" in name else 0.6 * rate])
    placed = rhythm.beats(streams, draws, wanted, age, np.minimum(sinus, 285.0), beat.heart_rate, beat.pr_ms, seconds)
    if name in PLACED:
        placed = with_events(placed, name, 60 / rate, seconds, float(beat.pr_ms[0]) / 1000)
    shapes = ectopy.shapes(beat, draws, wanted, placed)
    noises = noise.choose(streams, draws, placed, seconds)
    view = acquisition.turn(noise.electrodes(streams, draws), taken, wanted.present["DEXTRO"])
    drawn_shapes = render.templates(shapes, view, torch.device("cpu"))
    n = round(rate_hz * seconds)
    clean = render.trace(drawn_shapes, beat, placed, n, rate_hz)
    if name == "alternans":
        clean = clean * alternating(placed.qrs_s[0], n, rate_hz)
    white = streams.integers(Stream.MUSCLE, 8 * noise.n_white(n)).reshape(1, 8, -1)
    lead = noise.add(clean, noises, torch.from_numpy(white), rate_hz)[0].numpy()
    twelve = [lead[0], lead[1], lead[1] - lead[0], -(lead[0] + lead[1]) / 2, lead[0] - lead[1] / 2,
              lead[1] - lead[0] / 2, *lead[2:]]  # fmt: skip
    recording = make_recording(np.array(twelve), rate_hz * faster, STANDARD, name)
    inside = np.flatnonzero((placed.qrs_s[0] >= 0) & (placed.qrs_s[0] + 0.04 < seconds))
    qt = qt_of_beats(beat, placed)[inside]
    truth = Truth(placed.qrs_s[0][inside] / faster, placed.qrs_kind[0][inside], qt / faster,
                  float(beat.qrs_ms[0]) / faster)  # fmt: skip
    return recording, truth


def qt_of_beats(beat: morphology.Beat, placed: rhythm.Rhythm) -> np.ndarray:
    """(beat,) QT in s as it is drawn: it follows the interval before, and T ends before the next QRS."""
    mean = float(placed.mean_rr_s[0])
    rr = np.minimum(np.diff(placed.qrs_s[0]), 3 * mean)
    before, after = np.append(mean, rr), np.append(rr, mean)
    return np.minimum(
        float(beat.qt_ms[0]) / 1000 * np.maximum(before / mean, 0.3) ** 0.3, 0.88 * np.maximum(after, 0.2)
    )


def with_events(placed: rhythm.Rhythm, name: str, rr: float, seconds: float, pr: float) -> rhythm.Rhythm:
    """The rhythm with its events replaced by evenly spaced ones, some early, late or missing."""
    onsets = event_times(name, rr, seconds)
    qrs, p = np.full_like(placed.qrs_s, FAR_S), np.full_like(placed.p_s, FAR_S)
    qrs[0, : len(onsets)], p[0, : len(onsets)] = onsets, onsets - pr
    return replace(placed, qrs_s=qrs, p_s=p, qrs_kind=np.zeros_like(placed.qrs_kind))


def event_times(name: str, rr: float, seconds: float) -> np.ndarray:
    """QRS onsets in s of a rhythm with intervals around `rr`."""
    n = round(seconds / rr) + 6
    step = np.full(n, rr)
    middle = max(4, round(0.45 * seconds / rr) + 2)
    if name == "atrial bigeminy":
        early = max(0.72, 0.21 / rr)
        step[::2], step[1::2] = early * rr, (2 - early) * rr
    elif name == "one dropped":
        step[middle] = 2 * rr
    elif name == "two dropped":
        step[middle], step[middle + 3] = 2 * rr, 2 * rr
    elif name.startswith("pause"):
        step[middle] = max(float(name.split()[1]), 1.5 * rr)
    return -1.6 * rr + np.cumsum(step)


def alternating(onsets: np.ndarray, n: int, rate_hz: float) -> torch.Tensor:
    """(time,) factor that makes every second beat .6 as high."""
    time_s = np.arange(n) / rate_hz
    number = np.searchsorted(onsets - 0.06, time_s)
    return torch.from_numpy(np.where(number % 2, 1.0, 0.6).astype(np.float32))


# Amplitudes (P, Q, R, S, T) in mV of a drawn heart's eight leads.
DRAWN = {
    "I": (0.06, -0.05, 0.6, -0.1, 0.2), "II": (0.12, -0.08, 1.0, -0.15, 0.3), "V1": (0.05, 0.0, 0.3, -0.9, -0.1),
    "V2": (0.06, 0.0, 0.5, -1.2, 0.3), "V3": (0.06, 0.0, 0.8, -0.8, 0.4), "V4": (0.07, -0.05, 1.3, -0.4, 0.4),
    "V5": (0.06, -0.1, 1.3, -0.2, 0.35), "V6": (0.06, -0.1, 1.0, -0.1, 0.3),
}  # fmt: skip


def drawn(
    name: str, rate: float, qrs_ms: float, seed: int, rate_hz: float, seconds: float = 10.0
) -> tuple[Recording, Truth]:
    """One drawn record: cosine waves at the times of the rhythm, PR and QT as the interval between beats allows."""
    rr, random = 60 / rate, np.random.default_rng(seed)
    onsets = event_times(name, rr, seconds)
    kind = np.zeros(len(onsets), dtype=np.int64)
    if name == "ventricular bigeminy":
        early = max(0.68, 0.24 / rr)
        onsets[1::2] = onsets[0::2][: len(onsets[1::2])] + early * rr
        kind[1::2] = 1
    if name == "ventricular trigeminy":
        onsets[2::3] -= 0.3 * rr
        kind[2::3] = 1
    after, before = np.append(np.diff(onsets), rr), np.append(rr, np.diff(onsets))
    qt = np.minimum(0.4 * np.sqrt(np.minimum(before, 1.2)), 0.82 * after)
    pr = min(0.15, 0.36 * rr)
    time_s, scale, rows = np.arange(round(seconds * rate_hz)) / rate_hz, qrs_ms / 1000, []
    size = np.where(np.arange(len(onsets)) % 2, 1.0, 0.6) if name == "alternans" else np.ones(len(onsets))
    for p, q, r, s, t in DRAWN.values():
        trace = 0.012 * random.standard_normal(len(time_s)) + 0.05 * np.sin(
            2 * np.pi * (0.3 * time_s + random.random())
        )
        for onset, shape, own_qt, gain in zip(onsets, kind, qt, size, strict=True):
            at = time_s - onset
            if shape:
                trace += wave(at, 0.06, 0.06) * (1.1 * r + 0.3) - wave(at, 0.105, 0.045) * 0.4 * r
                trace += -0.5 * r * wave(at, 0.12 + 0.5 * (own_qt - 0.12), max(0.4 * (own_qt - 0.12), 0.04))
                continue
            trace += gain * q * wave(at, 0.13 * scale, 0.13 * scale) + gain * r * wave(at, 0.45 * scale, 0.33 * scale)
            trace += gain * s * wave(at, 0.78 * scale, 0.22 * scale)
            half = min(0.09, 0.36 * (own_qt - scale))
            trace += gain * t * wave(at, own_qt - half, half) + p * wave(at, -pr + 0.3 * pr, 0.3 * pr)
        rows.append(trace)
    recording = make_recording(np.array(rows), rate_hz, tuple(DRAWN), name)
    inside = (onsets >= 0) & (onsets + 0.04 < seconds)
    return recording, Truth(onsets[inside], kind[inside], qt[inside], qrs_ms)


def wave(time_s: np.ndarray, centre: float, half: float) -> np.ndarray:
    return np.where(np.abs(time_s - centre) < half, (1 + np.cos(np.pi * (time_s - centre) / half)) / 2, 0)


def cases(records: int) -> Iterator[tuple[str, str, float, Recording, Truth]]:
    """(kind of heart, rhythm, rate, recording, truth); sampling rates and ages take turns."""
    for name in (*RHYTHMS, *PLACED):
        low, high, _ = IMPOSSIBLE.get(name, (40, 320, ""))
        for rate in RATES:
            if low <= rate <= high:
                for number in range(records):
                    hz = SAMPLING_HZ[(number + RATES.index(rate)) % len(SAMPLING_HZ)]
                    age = AGES_DAYS[(number + number // 4) % len(AGES_DAYS)]
                    yield "simulated", name, rate, *simulated(name, rate, age, 100 + number, hz)
    for name in ("sinus", "ventricular bigeminy", "ventricular trigeminy", *PLACED):
        low, high, _ = IMPOSSIBLE.get(name, (40, 320, ""))
        for rate in (*RATES, 102):
            if low <= rate <= high:
                for number, qrs_ms in enumerate((60, 76, 95)):
                    yield "drawn", name, rate, *drawn(name, rate, qrs_ms, number, SAMPLING_HZ[number])


def hits(found_s: np.ndarray, truth: Truth) -> tuple[int, int, int]:
    """(found, missed, extra) beats; a beat at an edge of the record is neither missed nor extra."""
    # A ventricular beat is broad: what is found lies anywhere in it.
    width = np.where(truth.kind == 1, 0.16, truth.qrs_ms / 1000)
    places, reach = truth.qrs_s + 0.5 * width, TOLERANCE_S + np.maximum(width - 0.1, 0) / 2
    left = [at for at in found_s.tolist() if places[0] - reach[0] <= at <= places[-1] + reach[-1]]
    n_found = n_missed = 0
    for number, place in enumerate(places):
        near = [at for at in left if abs(at - place) <= reach[number]]
        if near:
            left.remove(min(near, key=lambda at: abs(at - place)))
            n_found += 1
        elif 0 < number < len(places) - 1:
            n_missed += 1
    return n_found, n_missed, len(left)


def table(records: int, find: Callable[[Recording], np.ndarray], measuring: bool) -> list[dict[str, object]]:
    rows = []
    for kind, name, rate, recording, truth in cases(records):
        start = time.perf_counter()
        beats = find(recording)
        took = time.perf_counter() - start
        n_found, n_missed, n_extra = hits(beats / recording.rate_hz, truth)
        row: dict[str, object] = {
            "kind": kind, "rhythm": name, "rate": rate, "rate_hz": recording.rate_hz, "found": n_found,
            "missed": n_missed, "extra": n_extra, "ms": took * 1000, "true_rate": truth.heart_rate,
            "true_qtc": truth.qtc_bazett, "true_qrs": truth.qrs_ms, "true_qt": 1000 * float(np.median(truth.qt_s)),
        }  # fmt: skip
        if measuring:
            measured = measure_recording(recording)
            row |= {key: measured.values[key].value for key in ("heart_rate", "qrs", "qt", "qtc_bazett")}
            row["remarks"] = [remark.code for remark in measured.remarks]
            row["reasons"] = {key: measured.values[key].reason for key in ("heart_rate", "qrs", "qt", "qtc_bazett")}
        rows.append(row)
    return rows


def print_table(rows: list[dict]) -> None:
    """Per kind and rhythm: records by rate whose rate is wrong by more than 3 % (or refused), beats, QTc error."""
    for kind in ("simulated", "drawn"):
        print(f"{kind}: records with a heart rate wrong by > 3 % / refused / all, by rate; beats; QTc error in ms")
        for name in dict.fromkeys(row["rhythm"] for row in rows if row["kind"] == kind):
            own = [row for row in rows if row["kind"] == kind and row["rhythm"] == name]
            cells = []
            for rate in sorted({row["rate"] for row in own}):
                here = [row for row in own if row["rate"] == rate]
                wrong = sum(is_wrong(row) for row in here)
                silent = sum(not np.isfinite(row["heart_rate"]) for row in here)
                cells.append(f"{rate}:{wrong}/{silent}/{len(here)}")
            found, missed, extra = (sum(row[key] for row in own) for key in ("found", "missed", "extra"))
            error = np.array([row["qtc_bazett"] - row["true_qtc"] for row in own])
            error = error[np.isfinite(error)]
            middle = f"{np.median(error):+.0f} |{np.median(np.abs(error)):.0f}| n {len(error)}" if len(error) else "-"
            print(f"  {name:28s} Se {found / max(found + missed, 1):.4f} PPV {found / max(found + extra, 1):.4f}  "
                  f"QTc {middle:18s} {' '.join(cells)}")  # fmt: skip
    took = [row["ms"] for row in rows if row["rate_hz"] == 500]
    print(f"find_beats: {np.median(took):.2f} ms a record of 10 s at 500 Hz")


def summary(rows: list[dict]) -> dict[str, dict[str, object]]:
    """Per kind, rhythm and rate: records, those with a wrong rate, those of them without a remark on it, beats."""
    found: dict[str, dict[str, object]] = {}
    for row in rows:
        cell = found.setdefault(f"{row['kind']}, {row['rhythm']}, {row['rate']}/min", dict.fromkeys(
            ("records", "wrong", "wrong_and_silent", "found", "missed", "extra"), 0))  # fmt: skip
        wrong = is_wrong(row)
        silent = wrong and not {"rate_doubtful", "poor_contact"} & set(row["remarks"])
        parts = {"records": 1, "wrong": wrong, "wrong_and_silent": silent}
        parts |= {key: row[key] for key in ("found", "missed", "extra")}
        for key, value in parts.items():
            cell[key] += int(value)  # type: ignore[operator]
    return found


def is_wrong(row: dict) -> bool:
    return bool(np.isfinite(row["heart_rate"]) and abs(row["heart_rate"] / row["true_rate"] - 1) > 0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description="accuracy of rhythm, rate and QTc")
    parser.add_argument("--records", type=int, default=4, help="records per rhythm and rate")
    parser.add_argument("--detail", action="store_true", help="list every record whose rate is wrong")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(options.records, lambda r: find_beats(r.signal, r.leads, r.rate_hz), True)
    print_table(rows)
    if options.detail:
        for row in rows:
            if is_wrong(row):
                print(f"  {row['kind']} {row['rhythm']} {row['rate']} at {row['rate_hz']:g} Hz: "
                      f"{row['heart_rate']:.0f} for {row['true_rate']:.0f}, {row['missed']} missed, "
                      f"{row['extra']} extra, {row['remarks']}")  # fmt: skip
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
