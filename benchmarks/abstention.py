"""How often weights refuse to answer: for real recordings, good and bad; for what is no ECG; for ages that do not fit.

    AURICLE_REAL_DATA=FOLDER python benchmarks/abstention.py [--weights WEIGHTS]

Real recordings are read from the WFDB folders named in SETS and from CINC_2011 (400 records of the PhysioNet/Computing
in Cardiology Challenge 2011 with the judgement of its referees; the quality gate was fitted to them). For each set: how
many could be read, how many of those the quality gate calls acceptable, and the share answered of all and of the
acceptable ones, with 95 % intervals over recordings (Wilson); and why the others were refused. What is no ECG is made
here, seed 0. Ages: every acceptable adult recording of SETS asked as a child of three days and of three years, and as
it is; and simulated children asked as adults. Prints tables and writes benchmarks/results/abstention.json.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from acceptance import recordings as cinc_2011
from numpy.typing import NDArray
from scipy.stats import binomtest

from auricle.age import ADULT_DAYS, Age
from auricle.errors import AuricleError, DataError, ReadingNote, UnreadableError
from auricle.io import read
from auricle.leads import STANDARD
from auricle.methods import SHIPPED_WEIGHTS
from auricle.predict import Predictor
from auricle.recording import Recording, make_recording
from auricle.simulate import cohort

RESULTS = Path(__file__).parent / "results" / "abstention.json"
SETS = ("ptb-xl", "csn-more", "challenge-more", "cinc-2025", "brugada-huca", "ludb", "zzu-pecg")
RATE_HZ, SECONDS = 500.0, 10.0
REASONS = ("unlike", "does not fit", "know ages", "no QRS", "no heart beats", "less than")
YOUNG_AGES = {"3 days": Age(3.0), "3 years": Age(3 * 365.25)}


def reason_of(error: Exception) -> str:
    """Which of REASONS an error gives; `other` for none of them."""
    return next((reason for reason in REASONS if reason in str(error)), "other")


def asked(predictor: Predictor, made: Sequence[Recording | None]) -> dict[str, Any]:
    """What became of recordings; None stands for one that a reader refused."""
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for recording in made:
        counts["given"] += 1
        if recording is None:
            continue
        counts["read"] += 1
        try:
            acceptable = predictor([recording], other_ages_days=())[0].quality["acceptable"]
            counts["answered"] += 1
            counts["acceptable answered"] += acceptable
        except UnreadableError as error:
            acceptable = bool(error.quality.get("acceptable"))
            refused[reason_of(error)] += 1
        except DataError as error:
            acceptable = False
            refused[reason_of(error)] += 1
        counts["acceptable"] += acceptable
    return {**{key: counts[key] for key in KEYS}, "refused": dict(refused)}


KEYS = ("given", "read", "answered", "acceptable", "acceptable answered")


def is_adult(recording: Recording) -> bool:
    """Whether a recording is known to be of an adult."""
    return recording.age is not None and recording.age.days >= ADULT_DAYS


def folder(path: Path) -> Iterator[Recording | None]:
    """The WFDB records of a folder and below, None where one cannot be read."""
    for header in sorted(path.rglob("*.hea")):
        if "records100" in header.parts:
            continue
        try:
            yield read(header)
        except AuricleError:
            yield None


def no_ecg() -> dict[str, NDArray[np.float64]]:
    """(12, time) in millivolts of what is no ECG."""
    generator = np.random.default_rng(0)
    n = round(RATE_HZ * SECONDS)
    t = np.arange(n) / RATE_HZ
    white = generator.normal(size=(12, n))
    spectrum = np.fft.rfft(white) / np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 0.5)
    pink = np.fft.irfft(spectrum, n)
    phase = generator.uniform(0, 2 * np.pi, (12, 1))
    burst = white * (np.sin(2 * np.pi * 0.7 * t + phase) > 0.9)
    letters = np.sin(2 * np.pi * 3 * t + 4 * np.sin(2 * np.pi * 0.9 * t + phase)) * (np.sin(2 * np.pi * 1.3 * t) > 0)
    return {
        "flat line": np.zeros((12, n)),
        "white noise": 0.3 * white,
        "slow noise": 0.5 * pink / pink.std(),
        "bursts of muscle": 0.5 * burst,
        "mains alone": 0.5 * np.sin(2 * np.pi * 50 * t + phase),
        "a sine of 1.3 Hz": 0.8 * np.sin(2 * np.pi * 1.3 * t + phase),
        "a square wave of 1 mV": ((t % 0.8) < 0.2) * np.ones((12, 1)),
        "a saw tooth": ((t * 1.2) % 1) * np.ones((12, 1)),
        "spikes of a clock": ((t % 0.75) < 0.004) * np.ones((12, 1)) * 2.0,
        "syllables": 0.5 * letters,
    }


def changed(recording: Recording) -> dict[str, Recording]:
    """One good recording, damaged in ways that leave a heart beat in it."""
    generator = np.random.default_rng(0)
    order = [5, 11, 0, 7, 2, 9, 4, 1, 8, 3, 10, 6]

    def with_signal(signal: NDArray[np.float32]) -> Recording:
        return make_recording(signal, recording.rate_hz, list(recording.leads), "changed", age=recording.age)

    return {
        "as it is": recording,
        "ten times as large": with_signal(10 * recording.signal),
        "backwards in time": with_signal(recording.signal[:, ::-1].copy()),
        "upside down": with_signal(-recording.signal),
        "leads in another order": with_signal(recording.signal[order]),
        "one lead twelve times": with_signal(np.repeat(recording.signal[1:2], 12, axis=0)),
        "noise of the signal's size": with_signal(
            recording.signal + 0.3 * generator.normal(size=recording.signal.shape).astype(np.float32)
        ),
    }


def outcome(predictor: Predictor, recording: Recording) -> str:
    """`answered`, with the likeliest class, or why not."""
    try:
        scores = predictor([recording], other_ages_days=())[0].scores
    except AuricleError as error:
        return str(error).split(": ", 1)[1]
    name = max(scores, key=lambda one: scores[one])
    return f"answered: {name} {scores[name]:.2f}"


def interval(count: int, total: int) -> str:
    """A share in per cent with its Wilson interval."""
    if not total:
        return "-"
    bounds = binomtest(count, total).proportion_ci(method="wilson")
    return f"{100 * count / total:.1f} [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]"


def main(weights: str, data: Path) -> None:
    torch.set_num_threads(1)
    predictor = Predictor.from_pretrained(weights)
    results: dict[str, Any] = {"sets": {}, "no_ecg": {}, "changed": {}, "ages": {}}
    adults: list[Recording] = []
    for name in SETS:
        made = list(folder(data / name))
        results["sets"][name] = asked(predictor, made)
        adults += [one for one in made if one is not None and one.amplitude_known and is_adult(one)][:60]
    records, acceptable = cinc_2011(data / "cinc-2011" / "set-a.npz")
    for label, wanted in (("cinc-2011, acceptable", 1), ("cinc-2011, unacceptable", 0)):
        chosen = [one for one, judged in zip(records, acceptable, strict=True) if judged == wanted]
        results["sets"][label] = asked(predictor, chosen)
    for name, signal in no_ecg().items():
        results["no_ecg"][name] = _made(predictor, signal.astype(np.float32))
    results["changed"] = {name: outcome(predictor, one) for name, one in changed(adults[0]).items()}
    results["ages"] = _ages(predictor, adults)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(tables(results)))


def _made(predictor: Predictor, signal: NDArray[np.float32]) -> str:
    try:
        return outcome(predictor, make_recording(signal, RATE_HZ, list(STANDARD), "made", age=Age(40 * 365.25)))
    except AuricleError as error:
        return f"refused by the reader: {error}"


def _ages(predictor: Predictor, adults: Sequence[Recording]) -> dict[str, dict[str, Any]]:
    """Adults asked at their age and as children, and simulated children asked at theirs and as adults."""
    children = list(cohort(100, 77, ages=[30.0] * 100, diagnoses={"NORM": 1.0}).recordings())

    def at(age: Age) -> Callable[[Recording], Recording]:
        return lambda one: replace(one, age=age)

    asked_of = {
        "real adults, as they are": adults,
        **{f"real adults, as {name}": [at(age)(one) for one in adults] for name, age in YOUNG_AGES.items()},
        "simulated healthy infants of 30 days, as they are": children,
        "simulated healthy infants of 30 days, as 40 years": [at(Age(40 * 365.25))(one) for one in children],
    }
    return {name: asked(predictor, made) for name, made in asked_of.items()}


def tables(results: dict[str, Any]) -> list[str]:
    """The tables, as lines of Markdown."""
    lines = [
        "| recordings | read | answered, % | acceptable | of these answered, % | why not |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, one in {**results["sets"], **results["ages"]}.items():
        why = ", ".join(f"{reason} {count}" for reason, count in one["refused"].items())
        good = interval(one["acceptable answered"], one["acceptable"])
        of_all = interval(one["answered"], one["read"])
        lines.append(f"| {name} | {one['read']} | {of_all} | {one['acceptable']} | {good} | {why} |")
    lines += ["", "| what was given | what became of it |", "| --- | --- |"]
    return lines + [f"| {name} | {said} |" for name, said in {**results["no_ecg"], **results["changed"]}.items()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=str(SHIPPED_WEIGHTS))
    given = parser.parse_args()
    warnings.simplefilter("ignore", ReadingNote)
    main(given.weights, Path(os.environ["AURICLE_REAL_DATA"]))
