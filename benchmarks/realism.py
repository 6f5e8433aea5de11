"""How far simulated people resemble real ones: limits over age, physics, spectra, and what gives them away.

    python benchmarks/realism.py [--raw PTB_XL_FOLDER] [-n 300]

Without real recordings the comparison with published limits and the physics are done, and the rest says that it was
not. Writes benchmarks/results/realism.json, docs/results/realism.md and docs/images/realism.png.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.age import DAYS_PER_YEAR
from auricle.data.format import quantise
from auricle.leads import STANDARD
from auricle.measure.recording import measure_recording
from auricle.paediatrics import limits
from auricle.recording import Recording
from auricle.signal.beats import find_beats
from auricle.simulate import cohort

ROOT = Path(__file__).parent.parent
RATE_HZ = 500.0
# Ages at which the tables were measured: the centres of Rijnbeek's bins and Davignon's first days.
AGES_DAYS = (0.5, 2, 5, 20.5, 61, 137, 274, 730, 1461, 2375, 3653, 5114, 35 * DAYS_PER_YEAR)
PARAMETERS = ("heart_rate", "pr", "qrs", "qtc_bazett", "qrs_axis", "r_v1", "s_v1", "r_v6", "s_v6", "rs_ratio_v1")
MEDIAN_WITHIN, TAIL_WITHIN = 0.05, 0.10
BANDS_HZ = ((0.05, 0.5), (0.5, 2), (2, 8), (8, 20), (20, 45), (45, 100), (100, 150))
N_REAL = 150


def measured_at(job: tuple[float, int]) -> dict[str, NDArray[np.float64]]:
    """Measurements of healthy people of one age, and the truth beside them, as z-scores need them: with sex."""
    age_days, n = job
    torch.set_num_threads(1)
    made = cohort(n, 4242, ages=[age_days] * n, diagnoses={}, quality="clean", rate_hz=RATE_HZ)
    found: dict[str, list[float]] = {name: [] for name in PARAMETERS}
    for recording in made.recordings():
        values = measure_recording(recording).values
        for name in PARAMETERS:
            found[name].append(values[name].value if name in values else np.nan)
    columns = {name: np.array(column) for name, column in found.items()}
    return columns | {"male": np.array([float(sex == "M") for sex in made.sex])}


def limits_table(n: int) -> list[dict[str, Any]]:
    """One row per parameter and age: published and measured p2, p50 and p98, sexes in equal parts."""
    with ProcessPoolExecutor(2) as pool:
        measured = list(pool.map(measured_at, [(age, n) for age in AGES_DAYS]))
    rows = []
    for age, columns in zip(AGES_DAYS, measured, strict=True):
        for name in PARAMETERS:
            values = columns[name]
            known = values[np.isfinite(values)]
            told = limits.limits(name, age)
            # Half girls, half boys: centiles of the mixture, not the mean of centiles.
            z = np.random.default_rng(0).standard_normal(40_000)
            both = np.concatenate([limits.quantile(name, age, sex, z) for sex in ("F", "M")])
            expected = np.quantile(both, [0.02, 0.5, 0.98])
            row = {"parameter": name, "age_days": age, "unit": told.unit, "source": told.source,
                   "published": expected.round(3).tolist(), "measurable": round(len(known) / n, 3)}  # fmt: skip
            if len(known) >= 0.3 * n:
                row["measured"] = np.quantile(known, [0.02, 0.5, 0.98]).round(3).tolist()
                row |= verdict(name, expected, np.array(row["measured"]))
            rows.append(row)
    return rows


def verdict(name: str, expected: NDArray[np.float64], found: NDArray[np.float64]) -> dict[str, Any]:
    """Relative errors; of an axis, degrees over 180; of an amplitude's lower tail, over the median it belongs to."""
    scale = np.abs(expected)
    if name == "qrs_axis":
        scale = np.full(3, 180.0)
    if limits.limits(name, 100.0).unit in ("mV", "1"):
        scale[0] = max(scale[0], scale[1])
    error = (found - expected) / scale
    inside = abs(error[1]) <= MEDIAN_WITHIN, bool((np.abs(error[[0, 2]]) <= TAIL_WITHIN).all())
    return {"error": error.round(3).tolist(), "median_inside": bool(inside[0]), "tails_inside": inside[1]}


def physics() -> dict[str, float]:
    """Largest departures from Einthoven's and Goldberger's laws in mV, before and after storage."""

    def departure(signal: NDArray[np.float64]) -> float:
        one, two, three, avr, avl, avf = signal[:6]
        laws = (one + three - two, avr + (one + two) / 2, avl - (one - three) / 2, avf - (two + three) / 2)
        return max(float(np.abs(law).max()) for law in laws)

    made = cohort(200, 7, quality="hard", rate_hz=RATE_HZ)
    whole = [row for row in made.signal.double().numpy() if np.isfinite(row).all()]
    stored = []
    for row in whole:
        steps, gain = quantise(row.astype(np.float32))
        stored.append(steps.astype(np.float64) * gain)
    return {"before_storage_mv": max(map(departure, whole)), "after_storage_mv": max(map(departure, stored))}


def real_normals(root: Path) -> list[Recording]:
    """Normal adults of PTB-XL, folds 1-8, at 500 Hz."""
    from auricle.data.sources.ptb_xl import PtbXl

    source = PtbXl(rate_hz=500)
    table = source.index(root)
    found = []
    for row in table.to_dict("records"):
        if float(row["strat_fold"]) < 9 and "'NORM'" in str(row["scp_codes"]):
            found.append(source.read(root, row))
    return found[:N_REAL]


def simulated_normals(ages: list[float], quality: str = "usual") -> list[Recording]:
    made = cohort(len(ages), 99, ages=ages, diagnoses={}, quality=quality, rate_hz=RATE_HZ)  # type: ignore[arg-type]
    return [recording for recording in made.recordings() if len(recording.leads) == len(STANDARD)]


def spectrum(recordings: list[Recording]) -> NDArray[np.float64]:
    """(record, band) root mean square in microvolts, mean over leads."""
    rows = []
    for recording in recordings:
        x = recording.signal - recording.signal.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(x, axis=1)) ** 2 / x.shape[1] ** 2 * 2
        frequency = np.fft.rfftfreq(x.shape[1], 1 / recording.rate_hz)
        rows.append([np.sqrt(power[:, (frequency >= a) & (frequency < b)].sum(1)).mean() * 1000 for a, b in BANDS_HZ])
    return np.array(rows)


def variability(recordings: list[Recording]) -> NDArray[np.float64]:
    """(record, 3) standard deviation of RR and root mean square of its differences, ms; beat-to-beat noise, uV."""
    rows = []
    for recording in recordings:
        beats = find_beats(recording.signal, recording.leads, recording.rate_hz)
        rr = np.diff(beats) / recording.rate_hz * 1000
        cut = [recording.signal[:, b - 100 : b + 200] for b in beats if 100 <= b < recording.signal.shape[1] - 200]
        if len(cut) < 4 or len(rr) < 4:
            continue
        stack = np.stack(cut)
        stack = stack - stack.mean(axis=2, keepdims=True)
        rest = stack - np.median(stack, axis=0)
        rows.append([rr.std(), np.sqrt((np.diff(rr) ** 2).mean()), rest.std() * 1000])
    return np.array(rows)


def amplitudes(recordings: list[Recording]) -> NDArray[np.float64]:
    """(record, lead) range from the first to the last permille, mV."""
    return np.array([np.ptp(np.quantile(r.signal, [0.001, 0.999], axis=1), axis=0) for r in recordings])


def compare(real: NDArray[np.float64], made: NDArray[np.float64], names: list[str]) -> list[dict[str, Any]]:
    from scipy.stats import ks_2samp

    return [
        {
            "what": name,
            "real": np.quantile(real[:, k], [0.1, 0.5, 0.9]).round(3).tolist(),
            "simulated": np.quantile(made[:, k], [0.1, 0.5, 0.9]).round(3).tolist(),
            "ks": round(float(ks_2samp(real[:, k], made[:, k]).statistic), 3),
        }
        for k, name in enumerate(names)
    ]


def telling_apart(real: list[Recording], made: list[Recording]) -> dict[str, float]:
    """AUROC of random convolutions and a linear classifier, over five folds, for views of the records.

    The lower the better. A view that leaves something out and is no longer told apart names what gave it away.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    from auricle.data.collate import collate
    from auricle.evaluate.rocket import Rocket
    from auricle.signal.preprocess import InputSpec, Preprocess

    views: dict[str, dict[str, Any]] = {
        "100 Hz, 0.05-45 Hz": {"rate_hz": 100, "band_hz": (0.0, 45.0)},
        "without wander (from 0.5 Hz)": {"rate_hz": 100, "band_hz": (0.5, 45.0)},
        "without fine noise (0.5-20 Hz)": {"rate_hz": 100, "band_hz": (0.5, 20.0)},
        "each lead to unit size": {"rate_hz": 100, "band_hz": (0.5, 20.0), "scale": "lead_unknown"},
        "limb leads only": {"rate_hz": 100, "band_hz": (0.5, 20.0), "leads": STANDARD[:6]},
        "lead II only": {"rate_hz": 100, "band_hz": (0.5, 20.0), "leads": ("II",)},
        "one beat's time (1 s)": {"rate_hz": 100, "band_hz": (0.5, 20.0), "seconds": 1.0},
    }
    truth = np.array([0] * len(real) + [1] * len(made))
    found = {}
    for name, options in views.items():
        spec = InputSpec(**options)
        records = [*real, *made]
        n = round(spec.seconds * RATE_HZ)
        batch = Preprocess(spec)(collate(records, spec.leads, n, [0] * len(records)))
        features = Rocket(spec, batch, n_kernels=800).features(batch).numpy()
        model = RidgeClassifier(alpha=100.0)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        scaled = StandardScaler().fit_transform(features)
        scores = cross_val_predict(model, scaled, truth, cv=folds, method="decision_function")
        found[name] = round(float(roc_auc_score(truth, scores)), 3)
        print(f"  {name}: {found[name]}", flush=True)
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Published limits as bands over age, and what was measured on simulated people as points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ages = np.geomspace(0.3, 40 * DAYS_PER_YEAR, 200)
    figure, axes = plt.subplots(2, 5, figsize=(17, 6.4), sharex=True)
    for axis, name in zip(axes.ravel(), PARAMETERS, strict=True):
        curve = limits.centiles(name, ages)
        axis.fill_between(ages, curve[:, 0], curve[:, 2], color="#c9d7e8", lw=0)
        axis.plot(ages, curve[:, 1], color="#2f5d8a", lw=1.5)
        own = [row for row in rows if row["parameter"] == name and "measured" in row]
        at = [row["age_days"] for row in own]
        for k, mark in ((0, "v"), (1, "o"), (2, "^")):
            axis.plot(at, [row["measured"][k] for row in own], mark, color="#b3452c", ms=4.5, mew=0)
        axis.set_xscale("log")
        axis.set_title(f"{name} ({own[0]['unit'] if own else ''})", fontsize=10)
        axis.set_xticks([1, 30, 365, 3653], ["1 d", "1 mo", "1 yr", "10 yr"], fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    title = "Limits published (band p2-p98, line p50) and measured on simulated healthy people (points)"
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


HEAD = """# How real the simulated people are

`python benchmarks/realism.py --raw PTB_XL_FOLDER`; numbers as they came.

## Against published limits, measured from the trace

Healthy simulated people of one age, measured by `auricle.measure.recording` like anybody's recordings; the published
limits are those the simulator was built on, so this checks the way from a number to a trace and back, not the tables.
Medians within 5 %: {medians} of {judged}; p2 and p98 both within 10 %: {tails} of {judged} (an axis: of 180 degrees; an
amplitude's p2: of its median).

![limits over age](../images/realism.png)

| parameter | age | published p2 / p50 / p98 | measured | error p2 / p50 / p98 | measurable |
|---|---|---|---|---|---:|
"""
PHYSICS = """
## Physics

Largest departure from Einthoven's and Goldberger's laws: {before:.1e} mV before storage, {after:.2f} uV after,
electrodes swapped or not.
"""
COMPARED = """
## {title}: real normal adults beside simulated ones of the same ages

| what | real p10 / p50 / p90 | simulated | Kolmogorov-Smirnov |
|---|---|---|---:|
"""
APART = """
## Told apart?

AUROC of 800 random convolutions and a ridge classifier, five folds, by view; .5 would be indistinguishable.

| what it may see | AUROC |
|---|---:|
"""
SECTIONS = {
    "spectra": "Spectra (rms by band, uV)",
    "amplitudes": "Amplitudes (p0.1 to p99.9, mV)",
    "variability": "Beat to beat",
}


def limits_line(row: dict[str, Any]) -> str:
    days = row["age_days"]
    age = f"{days:g} d" if days < 400 else f"{days / DAYS_PER_YEAR:.0f} yr"
    published = " / ".join(f"{value:.3g}" for value in row["published"])
    measurable = f"{100 * row['measurable']:.0f} %"
    if "measured" not in row:
        return f"| {row['parameter']} | {age} | {published} | not measurable | | {measurable} |\n"
    measured = " / ".join(f"{value:.3g}" for value in row["measured"])
    error = " / ".join(f"{100 * value:+.0f} %" for value in row["error"])
    outside = "" if row["median_inside"] and row["tails_inside"] else " **outside**"
    return f"| {row['parameter']} | {age} | {published} | {measured} | {error}{outside} | {measurable} |\n"


def page(result: dict[str, Any]) -> str:
    """The Markdown page of a result."""
    judged = [row for row in result["limits"] if "error" in row]
    medians, tails = (sum(row[name] for row in judged) for name in ("median_inside", "tails_inside"))
    text = HEAD.format(medians=medians, tails=tails, judged=len(judged)) + "".join(map(limits_line, result["limits"]))
    physics_ = result["physics"]
    text += PHYSICS.format(before=physics_["before_storage_mv"], after=1000 * physics_["after_storage_mv"])
    for key, title in SECTIONS.items():
        text += COMPARED.format(title=title) if key in result else ""
        for row in result.get(key, []):
            real, made = (" / ".join(f"{value:.3g}" for value in row[side]) for side in ("real", "simulated"))
            text += f"| {row['what']} | {real} | {made} | {row['ks']:.2f} |\n"
    text += APART if "telling_apart" in result else ""
    return text + "".join(f"| {name} | {value:.3f} |\n" for name, value in result.get("telling_apart", {}).items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path)
    parser.add_argument("-n", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(2)
    result: dict[str, Any] = {"limits": limits_table(options.n), "physics": physics()}
    if options.raw:
        real = real_normals(options.raw)
        ages = [recording.age.days if recording.age else 18_000.0 for recording in real]
        made = simulated_normals(ages)
        bands = [f"{low:g}-{high:g} Hz" for low, high in BANDS_HZ]
        result["spectra"] = compare(spectrum(real), spectrum(made), bands)
        result["amplitudes"] = compare(amplitudes(real), amplitudes(made), list(STANDARD))
        names = ["RR standard deviation, ms", "RR successive differences, ms", "beat-to-beat residual, uV"]
        result["variability"] = compare(variability(real), variability(made), names)
        result["telling_apart"] = telling_apart(real, made)
    (ROOT / "benchmarks/results/realism.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(result["limits"], ROOT / "docs/images/realism.png")
    (ROOT / "docs/results/realism.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
