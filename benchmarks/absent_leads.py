"""Absent leads on real PTB-XL: what a method draws, against a linear map of the leads that are there.

    AURICLE_REAL_DATA=FOLDER python benchmarks/absent_leads.py --weights RUN

Records of PTB-XL at 100 Hz; folds 1-8 fit the linear regression (each absent lead from the present ones, sample by
sample, as Dower's matrices do), folds 9 and 10 are asked. The third row draws nothing. All see what the method's
preprocessing makes of the records. Per lead: RMSE in mV and Pearson's correlation, median over records with the 95 %
interval of a bootstrap over records. The weights must not have been trained on PTB-XL's folds 9 and 10. Limb leads
that follow exactly from two others are drawn like any other: the regression finds Einthoven's law, a method may not.
Prints a table and writes benchmarks/results/absent_leads.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.data.collate import collate
from auricle.data.sources.ptb_xl import PtbXl
from auricle.errors import ReadError
from auricle.evaluate.robustness import only_leads
from auricle.explain.reconstruction import lead_error
from auricle.leads import LIMB, STANDARD
from auricle.methods import Reconstructs, load_card, load_method

Floats = NDArray[np.float32]
RESULTS = Path(__file__).parent / "results" / "absent_leads.json"
KEPT = {
    "I, II, V2": ("I", "II", "V2"),
    "6 limb leads": LIMB,
    "9 leads, no V2, V4, V6": tuple(lead for lead in STANDARD if lead not in {"V2", "V4", "V6"}),
    "I": ("I",),
}
RATE_HZ, BATCH, N_BOOTSTRAP = 100.0, 32, 2000


def batches(records: list[Any], leads: tuple[str, ...], seconds: float) -> list[ECGBatch]:
    n = round(seconds * RATE_HZ)
    return [collate(records[first : first + BATCH], leads, n) for first in range(0, len(records), BATCH)]


def read(root: Path) -> tuple[list[Any], list[Any]]:
    """Complete records of folds 1-8 and of 9-10."""
    source = PtbXl(rate_hz=100)
    index = source.index(root)
    parts: tuple[list[Any], list[Any]] = ([], [])
    for row in index.to_dict("records"):
        try:
            recording = source.read(root, row)
        except ReadError:  # the list names records that an excerpt leaves out
            continue
        if set(STANDARD) <= set(recording.leads):
            parts[recording.fold > 8].append(recording)
    return parts


def regression(train: Floats, kept: list[int]) -> Callable[[Floats], Floats]:
    """Least squares of every lead on the kept ones, over all samples of all training records (record, lead, time)."""
    present = train[:, kept].transpose(1, 0, 2).reshape(len(kept), -1).astype(np.float64)
    every = train.transpose(1, 0, 2).reshape(train.shape[1], -1).astype(np.float64)
    # Limb leads depend on each other exactly, so the normal equations are singular: the least-norm solution.
    weights = every @ present.T @ np.linalg.pinv(present @ present.T, rcond=1e-9)
    return lambda signal: np.einsum("lk,bkt->blt", weights, signal[:, kept]).astype(np.float32)


def summary(values: Floats, rng: np.random.Generator) -> dict[str, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {}
    medians = np.median(known[rng.integers(0, len(known), (N_BOOTSTRAP, len(known)))], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return {"median": round(float(np.median(known)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def compare(truth: Floats, drawn: Floats, std: Floats, row: int, rng: np.random.Generator) -> dict[str, Any]:
    errors = [lead_error("", truth[n, row], drawn[n, row], std[n, row]) for n in range(len(truth))]
    return {
        "rmse_mv": summary(np.array([error.rmse for error in errors]), rng),
        "correlation": summary(np.array([error.correlation for error in errors]), rng),
        "inside_2sd": round(float(np.mean([error.inside for error in errors])), 3),
    }


@torch.no_grad()
def draw(method: Any, parts: list[ECGBatch], kept: tuple[str, ...]) -> tuple[Floats, Floats]:
    drawn = [method.reconstruct(only_leads(batch, kept)) for batch in parts]
    return tuple(torch.cat([getattr(part, name) for part in drawn]).numpy() for name in ("mean", "std"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    card, folder = load_card(options.weights)
    method = load_method(folder)
    assert isinstance(method, Reconstructs), "these weights cannot draw absent leads"
    spec = method.config.input
    train_records, test_records = read(Path(os.environ["AURICLE_REAL_DATA"]) / "ptb-xl")
    ready: list[Floats] = []
    for records in (train_records, test_records):
        made = [method.preprocess(batch).signal for batch in batches(records, spec.leads, spec.seconds)]
        ready.append(torch.cat(made).numpy())
    train, truth = ready
    asked = batches(test_records, spec.leads, spec.seconds)
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {
        "note": options.note,
        "weights": {key: card[key] for key in ("method", "n_parameters", "about")},
        "n_train": len(train),
        "n_test": len(truth),
        "kept": {},
    }
    for name, leads in KEPT.items():
        kept = [spec.leads.index(lead) for lead in leads]
        mean, std = draw(method, asked, leads)
        fitted, nothing = regression(train, kept)(truth), np.zeros_like(truth)
        # The regression's band is the spread of its residual in training, per lead.
        residual = (regression(train, kept)(train) - train).std(axis=(0, 2), keepdims=True)[0][None]
        ways = {
            card["method"]: (mean, std),
            "linear regression": (fitted, np.broadcast_to(residual, truth.shape)),
            "nothing drawn": (nothing, np.broadcast_to(truth.std(axis=(0, 2), keepdims=True), truth.shape)),
        }
        absent = {lead: row for row, lead in enumerate(spec.leads) if lead not in leads}
        result["kept"][name] = {
            lead: {way: compare(truth, *arrays, row, rng) for way, arrays in ways.items()}
            for lead, row in absent.items()
        }
        print(f"\nread: {name}\n| lead | " + " | ".join(f"{way}: mV, r" for way in ways) + " |")
        print("|---|" + "---:|" * len(ways))
        for lead, found in result["kept"][name].items():
            cells = [
                f"{cell['rmse_mv']['median']:.3f}, {cell['correlation'].get('median', float('nan')):.2f}"
                for cell in found.values()
            ]
            print(f"| {lead} | " + " | ".join(cells) + " |")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    others = [
        known for known in results if (known["note"], known["weights"]["method"]) != (options.note, card["method"])
    ]
    RESULTS.write_text(json.dumps([*others, result], indent=1) + "\n")


if __name__ == "__main__":
    main()
