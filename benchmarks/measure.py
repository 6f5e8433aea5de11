"""How right the measurements are: against the marks of LUDB, beside neurokit2 on the same records, and simulated truth.

python benchmarks/measure.py LUDB [--peer SITE_PACKAGES] [--ptb-xl FOLDER]; prints tables and writes
benchmarks/results/measure.json. LUDB is the folder with `data/*.hea` (Kalyakulina et al., IEEE Access 2020;8:186181),
whose header gains break Einthoven's law, so raw counts are read with one gain. neurokit2 is no dependency of the
project: SITE_PACKAGES names a folder that has it; without it, its rows are left out and that is said.

LUDB's marks are per lead, ours are global. Two references are made of them. *global*: the median over beats of each
lead's mark from R, then the second-earliest onset and second-latest offset over leads (a single lead's marks scatter by
a dozen ms; the very earliest and latest are reported too). *per lead*: the median over leads and beats of the durations
marked in one lead. neurokit2 delineates one lead at a time; its marks go through the same two roads.

--ptb-xl FOLDER adds the medians of PTB-XL's normal adults (SCP code NORM at 80 % or more), beside the adult limits in
use: a duration measured to its feet is longer than one of a program with thresholds; centiles must know by how much.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from auricle.measure.recording import measure_recording
from auricle.recording import Recording, make_recording
from auricle.signal.beats import find_beats
from auricle.simulate import cohort

RESULTS = Path(__file__).parent / "results" / "measure.json"
LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
COUNTS_PER_MV = 1000.0
TOLERANCE_S = 0.15
INTERVALS = ("qrs", "pr", "qt")
TARGET_MS = {"qrs": 10.0, "pr": 12.0, "qt": 20.0}
# A mark: (wave, onset, peak, offset) in samples, NaN where absent; wave is "p", "N" or "t" as LUDB writes it.
Marks = Mapping[str, Sequence[tuple[str, float, float, float]]]


def read_ludb(folder: Path, most: int | None) -> list[tuple[Recording, Marks]]:
    import wfdb

    records = []
    for header in sorted(folder.glob("data/*.hea"), key=lambda path: int(path.stem))[:most]:
        stem = str(header.with_suffix(""))
        raw = wfdb.rdrecord(stem, physical=False)
        recording = make_recording(raw.d_signal.T / COUNTS_PER_MV, float(raw.fs), LEADS, header.stem)
        records.append((recording, {lead: read_marks(wfdb.rdann(stem, lead)) for lead in LEADS}))
    return records


def read_marks(annotation) -> list[tuple[str, float, float, float]]:
    found, signs = [], list(zip(annotation.sample.tolist(), annotation.symbol, strict=True))
    for number, (peak, sign) in enumerate(signs):
        if sign in "pNt":
            before = signs[number - 1] if number else (np.nan, "")
            after = signs[number + 1] if number + 1 < len(signs) else (np.nan, "")
            onset, offset = before[0] if before[1] == "(" else np.nan, after[0] if after[1] == ")" else np.nan
            found.append((sign, onset, peak, offset))
    return found


def marked_beats(marks: Marks) -> tuple[np.ndarray, np.ndarray]:
    """QRS that at least half of the leads mark, and those that fewer do (neither right nor wrong to find)."""
    peaks = np.sort([peak for lead in marks.values() for sign, _, peak, _ in lead if sign == "N"])
    groups = np.split(peaks, np.flatnonzero(np.diff(peaks) > 75) + 1)
    sure = [float(np.median(group)) for group in groups if 2 * len(group) >= len(marks)]
    unsure = [float(np.median(group)) for group in groups if 2 * len(group) < len(marks)]
    return np.array(sure), np.array(unsure)


def detection(records: list[tuple[Recording, Marks]], find: Callable[[Recording], np.ndarray]) -> dict[str, object]:
    hits = missed = extra = 0
    failures = {}
    for recording, marks in records:
        sure, unsure = marked_beats(marks)
        reach = TOLERANCE_S * recording.rate_hz
        found = find(recording)
        found = found[(found >= sure[0] - reach) & (found <= sure[-1] + reach)].tolist()
        lost = 0
        for beat in sure:
            near = [at for at in found if abs(at - beat) <= reach]
            if near:
                found.remove(min(near, key=lambda at: abs(at - beat)))
            lost += not near
        false = sum(not (np.abs(unsure - at) <= reach).any() for at in found)
        hits, missed, extra = hits + len(sure) - lost, missed + lost, extra + false
        if lost or false:
            failures[recording.record_id] = {"missed": lost, "extra": false}
    return {"beats": hits + missed, "sensitivity": hits / (hits + missed), "ppv": hits / (hits + extra),
            "failures": failures}  # fmt: skip


def global_reference(marks: Marks, rate_hz: float, rank: int) -> dict[str, float]:
    """Intervals in ms from the `rank`-th earliest onset and latest offset over leads (0: the very first and last)."""
    beats, _ = marked_beats(marks)
    ends = {}
    for name, sign, side in (("p_on", "p", 1), ("on", "N", 1), ("off", "N", 3), ("t_off", "t", 3)):
        per_lead = []
        for lead in marks.values():
            relative = [mark[side] - beats[beat] for mark in lead if mark[0] == sign
                        and (beat := beat_of(mark, beats, rate_hz)) is not None]  # fmt: skip
            relative = [value for value in relative if np.isfinite(value)]
            if len(relative) >= 2:
                per_lead.append(float(np.median(relative)))
        ordered = sorted(per_lead, reverse=side == 3)
        ends[name] = ordered[rank] * 1000 / rate_hz if len(ordered) >= 4 else np.nan
    return {"qrs": ends["off"] - ends["on"], "pr": ends["on"] - ends["p_on"], "qt": ends["t_off"] - ends["on"]}


def beat_of(mark: tuple[str, float, float, float], beats: np.ndarray, rate_hz: float) -> int | None:
    """The beat a wave belongs to: P before, T after it."""
    low, high = {"p": (-0.5, 0.0), "N": (-0.15, 0.15), "t": (0.0, 0.7)}[mark[0]]
    away = (mark[2] - beats) / rate_hz
    inside = np.flatnonzero((away > low) & (away < high))
    return int(inside[-1]) if len(inside) else None


def lead_reference(marks: Marks, rate_hz: float) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in INTERVALS}
    for lead in marks.values():
        for number, (sign, onset, _, offset) in enumerate(lead):
            if sign != "N":
                continue
            before = lead[number - 1] if number else ("", np.nan, np.nan, np.nan)
            after = lead[number + 1] if number + 1 < len(lead) else ("", np.nan, np.nan, np.nan)
            found["qrs"].append(offset - onset)
            found["pr"].append(onset - before[1] if before[0] == "p" else np.nan)
            found["qt"].append(after[3] - onset if after[0] == "t" else np.nan)
    known = {name: [value for value in values if np.isfinite(value)] for name, values in found.items()}
    return {name: float(np.median(values)) * 1000 / rate_hz if len(values) >= len(marks) / 2 else np.nan
            for name, values in known.items()}  # fmt: skip


def agreement(measured: list[dict[str, float]], reference: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    rows = {}
    for name in INTERVALS:
        error = np.array([one[name] - other[name] for one, other in zip(measured, reference, strict=True)])
        marked = sum(np.isfinite(other[name]) for other in reference)
        error = error[np.isfinite(error)]
        size = np.abs(error)
        rows[name] = {"mean_absolute_ms": float(size.mean()), "median_absolute_ms": float(np.median(size)),
                      "bias_ms": float(error.mean()), "sd_ms": float(error.std()), "measured": len(error),
                      "marked": int(marked)}  # fmt: skip
    return rows


def by_neurokit(recording: Recording) -> Marks:
    """The same kind of marks from neurokit2 (dwt), one lead after the other."""
    import neurokit2 as nk

    rate, marks = int(recording.rate_hz), {}
    for name, trace in zip(recording.leads, recording.signal.astype(float), strict=True):
        try:
            clean = nk.ecg_clean(trace, rate)
            peaks = nk.ecg_peaks(clean, rate)[1]["ECG_R_Peaks"]
            waves = nk.ecg_delineate(clean, peaks, rate, method="dwt")[1]
        except Exception:  # it raises many kinds of errors on leads it cannot read
            marks[name.lower()] = []
            continue
        rows: list[tuple[str, float, float, float]] = []
        columns = (("p", "ECG_P_Onsets", "ECG_P_Peaks", "ECG_P_Offsets"), ("N", "ECG_R_Onsets", None, "ECG_R_Offsets"),
                   ("t", "ECG_T_Onsets", "ECG_T_Peaks", "ECG_T_Offsets"))  # fmt: skip
        for number, peak in enumerate(peaks):
            for sign, on, top, off in columns:
                at = float(waves[top][number]) if top else float(peak)
                if np.isfinite(at):
                    rows.append((sign, float(waves[on][number]), at, float(waves[off][number])))
        marks[name.lower()] = rows
    return marks


def timed(function: Callable[[Recording], object], recordings: Sequence[Recording]) -> float:
    """Median milliseconds per record, after one call that warms up."""
    function(recordings[0])
    taken = []
    for recording in recordings:
        begun = time.perf_counter()
        function(recording)
        taken.append(1000 * (time.perf_counter() - begun))
    return float(np.median(taken))


def intervals_of(recording: Recording) -> dict[str, float]:
    values = measure_recording(recording).values
    return {name: values[name].value for name in INTERVALS}


def against_ludb(folder: Path, most: int | None, peer: bool) -> dict[str, object]:
    records = read_ludb(folder, most)
    recordings = [recording for recording, _ in records]
    references = {
        "global": [global_reference(marks, recording.rate_hz, 1) for recording, marks in records],
        "global, very first and last": [global_reference(marks, recording.rate_hz, 0) for recording, marks in records],
        "per lead": [lead_reference(marks, recording.rate_hz) for recording, marks in records],
    }
    result: dict[str, object] = {
        "records": len(records),
        "detection": detection(records, lambda r: find_beats(r.signal, r.leads, r.rate_hz)),
        "milliseconds": {"find_beats": timed(lambda r: find_beats(r.signal, r.leads, r.rate_hz), recordings),
                         "measure": timed(measure_recording, recordings)},
    }  # fmt: skip
    ours = [intervals_of(recording) for recording in recordings]
    result["auricle"] = {name: agreement(ours, reference) for name, reference in references.items()}
    if peer:
        theirs = [by_neurokit(recording) for recording in recordings]
        result["milliseconds"]["neurokit2, twelve leads"] = timed(by_neurokit, recordings[:10])  # type: ignore[index]
        ranked = [safe(global_reference, marks, recording.rate_hz, 1)
                  for recording, marks in zip(recordings, theirs, strict=True)]  # fmt: skip
        one_lead = [safe(lead_reference, marks, recording.rate_hz)
                    for recording, marks in zip(recordings, theirs, strict=True)]  # fmt: skip
        result["neurokit2"] = {"global": agreement(ranked, references["global"]),
                               "per lead": agreement(one_lead, references["per lead"])}  # fmt: skip
    return result


def safe(reference: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    try:
        return reference(*arguments)
    except (IndexError, ValueError):
        return dict.fromkeys(INTERVALS, np.nan)


def simulated_groups(n: int) -> dict[str, list[Recording]]:
    """Healthy people of several ages; rates beyond those of life by playing a newborn's record faster or slower.

    A cart whose low-pass cuts below 150 Hz rounds a QRS off whatever measures it: those records are a group apart.
    """
    plans = {
        "newborn": ((1.0, 3.0, 10.0, 25.0), 500, 1.0), "infant": ((60.0, 200.0, 500.0), 500, 1.0),
        "child": ((1200.0, 2500.0, 4500.0), 500, 1.0), "adult": ((9000.0, 12000.0, 20000.0), 500, 1.0),
        "newborn played 1.3 times as fast": ((5.0, 10.0, 25.0, 40.0), 500, 1.3),
        "played at .8 of the speed": ((4500.0, 12000.0), 500, 0.8),
        "at 1000 Hz": ((10.0, 500.0, 3000.0, 12000.0), 1000, 1.0),
        "at 250 Hz": ((10.0, 500.0, 3000.0, 12000.0), 250, 1.0),
        "at 100 Hz": ((10.0, 500.0, 3000.0, 12000.0), 100, 1.0),
    }  # fmt: skip
    groups: dict[str, list[Recording]] = {}
    for name, (ages, rate_hz, faster) in plans.items():
        people = cohort(n, 21, ages=[ages[i % len(ages)] for i in range(n)], diagnoses={}, rate_hz=rate_hz)
        for recording in people.recordings():
            low_pass = recording.cart_band_hz[1] if recording.cart_band_hz else 150.0
            group = name if low_pass >= 150 else f"low-pass {low_pass:.0f} Hz"
            if group == name or rate_hz == 500:
                groups.setdefault(group, []).append(played(recording, faster))
    return groups


def played(recording: Recording, faster: float) -> Recording:
    truth = {name: value / faster if name.endswith("_ms") else value for name, value in recording.measurements.items()}
    truth["heart_rate"] = recording.measurements["heart_rate"] * faster
    return replace(recording, rate_hz=recording.rate_hz * faster, measurements=truth)


TRUTHS = {
    "heart_rate": "heart_rate", "pr": "pr_ms", "qrs": "qrs_ms", "qt": "qt_ms", "qrs_axis": "qrs_axis_deg",
    "r_v1": "r_v1_mv", "s_v1": "s_v1_mv", "r_v6": "r_v6_mv", "s_v6": "s_v6_mv", "t_v1": "t_v1_mv",
}  # fmt: skip


def against_truth(n: int) -> dict[str, object]:
    result: dict[str, object] = {}
    for group, recordings in simulated_groups(n).items():
        measured = [measure_recording(recording).values for recording in recordings]
        rows = {}
        for ours, theirs in TRUTHS.items():
            pairs = [(values[ours], recording.measurements[theirs]) for values, recording
                     in zip(measured, recordings, strict=True)
                     if values[ours].measurable and theirs in recording.measurements]  # fmt: skip
            error = np.array([value.value - truth for value, truth in pairs])
            if ours.endswith("axis"):
                error = (error + 180) % 360 - 180
            doubt, size = np.array([value.uncertainty for value, _ in pairs]), np.abs(error)
            if len(error):
                rows[ours] = {"bias": float(error.mean()), "median": float(np.median(error)), "sd": float(error.std()),
                              "uncertainty": float(np.median(doubt)), "within_1_se": float((size <= doubt).mean()),
                              "within_2_se": float((size <= 2 * doubt).mean()), "measured": len(error)}  # fmt: skip
        rates = [recording.measurements["heart_rate"] for recording in recordings]
        result[group] = {"records": len(recordings), "heart_rates": [min(rates), max(rates)], "values": rows}
    return result


def normal_adults(folder: Path) -> dict[str, object]:
    """Medians of PTB-XL's normal adults by sex, and the medians of the limits at forty years."""
    import ast
    import csv

    import auricle
    from auricle.paediatrics.limits import median

    names, rows = ("heart_rate", "pr", "qrs", "qtc_bazett"), {"M": [], "F": []}
    with (folder / "ptbxl_database.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            path = folder / f"{line['filename_hr']}.hea"
            if path.exists() and ast.literal_eval(line["scp_codes"]).get("NORM", 0) >= 80:
                values = measure_recording(auricle.read(path)).values
                rows["F" if line["sex"] == "1" else "M"].append([values[name].value for name in names])
    return {
        sex: {"records": len(table), "measured": dict(zip(names, np.nanmedian(table, axis=0).tolist(), strict=True)),
              "limits": {name: float(median(name, 40 * 365.25, sex)) for name in names}}
        for sex, table in rows.items()
    }  # fmt: skip


def print_ludb(result: dict) -> None:
    found, took = result["detection"], result["milliseconds"]
    print(f"LUDB, {result['records']} records, {found['beats']} QRS: sensitivity {found['sensitivity']:.4f}, "
          f"PPV {found['ppv']:.4f}; failures {found['failures']}")  # fmt: skip
    for system in ("auricle", "neurokit2"):
        for reference, rows in result.get(system, {}).items():
            for name, row in rows.items():
                print(f"  {system:9s} {reference:28s} {name:4s} MAE {row['mean_absolute_ms']:5.1f} (target "
                      f"{TARGET_MS[name]:.0f})  median {row['median_absolute_ms']:5.1f}  bias {row['bias_ms']:6.1f}  "
                      f"sd {row['sd_ms']:5.1f} ms  {row['measured']}/{row['marked']}")  # fmt: skip
    print("  ms per record:", ", ".join(f"{name} {value:.1f}" for name, value in took.items()))


def print_truth(result: dict) -> None:
    for group, row in result.items():
        low, high = row["heart_rates"]
        print(f"simulated {group}, {low:.0f}-{high:.0f}/min, {row['records']} records")
        for name, value in row["values"].items():
            print(f"  {name:10s} bias {value['bias']:7.3f}  sd {value['sd']:7.3f}  SE {value['uncertainty']:7.3f}  "
                  f"within 1 SE {value['within_1_se']:.2f}, 2 SE {value['within_2_se']:.2f}  "
                  f"n {value['measured']}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="accuracy of the measurements")
    parser.add_argument("ludb", type=Path)
    parser.add_argument("--peer", type=Path, help="a site-packages folder with neurokit2")
    parser.add_argument("--ptb-xl", type=Path, help="a folder with PTB-XL in its own layout")
    parser.add_argument("--records", type=int, default=None, help="only the first N records of LUDB")
    parser.add_argument("--simulated", type=int, default=60, help="records per simulated group")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # neurokit2 warns on nearly every lead
    if options.peer:
        sys.path.append(str(options.peer))
    try:
        import neurokit2

        peer = str(neurokit2.__version__)
    except ImportError:
        peer = ""
        print("neurokit2 is not installed here: its rows are left out (--peer names a folder that has it)")
    ludb = against_ludb(options.ludb, options.records, bool(peer))
    print_ludb(ludb)
    truth = against_truth(options.simulated)
    print_truth(truth)
    normal = normal_adults(options.ptb_xl) if options.ptb_xl else {}
    for sex, row in normal.items():
        print(f"normal adults of PTB-XL, {sex}: {row}")
    machine = platform.processor() or platform.machine()
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"ludb": ludb, "simulated": truth, "normal_adults": normal, "neurokit2": peer, "machine": machine}
    RESULTS.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
