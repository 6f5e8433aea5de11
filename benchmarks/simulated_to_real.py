"""Does what the simulator makes resemble people? Train on simulated adults alone, test on real PTB-XL.

    python benchmarks/simulated_to_real.py WORK --raw PTB_XL_FOLDER --mini PTB_XL_MINI_FOLDER [-n 40000] [--epochs 4]

A ResNet18-1D at 100 Hz learns the five superclasses, every simulated condition and the simulator's own numbers
(amplitudes of the waves in eight leads, intervals, axis) as further targets, without one real record. Two models: one
reads millivolts and is tested on the raw recordings, one reads z-scored leads and is tested on `ptb_xl_mini`, where
amplitude is lost. Steering uses folds 1-8 only (`--final` adds 9, and prints it apart). Results are added to
`benchmarks/results/simulated_to_real.json` with what was changed (`--note`).
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.data.sources.ptb_xl import PtbXl
from auricle.data.sources.ptb_xl_mini import PtbXlMini
from auricle.encoders import build_encoder
from auricle.encoders.resnet1d import Resnet1dConfig
from auricle.leads import STANDARD
from auricle.signal.preprocess import InputSpec, Preprocess
from auricle.simulate import cohort
from auricle.simulate.conditions import conditions
from auricle.tasks import load_task

Floats = NDArray[np.float32]
RATE_HZ, SECONDS, CHUNK = 100.0, 10.0, 512
STEP_MV = 0.0025
BAND_HZ = (0.5, 45.0)
# What PTB-XL calls form and not diagnosis, and gives no superclass: left out, since the trace would contradict it.
WITHOUT_SUPERCLASS = ("STE_", "STD_", "INVT", "EREPOL", "LVOLT")
RESULTS = Path(__file__).parent / "results" / "simulated_to_real.json"


def prevalences() -> dict[str, float]:
    """The adult mix without what has no superclass."""
    return {
        code: condition.share["adult"] for code, condition in conditions().items() if code not in WITHOUT_SUPERCLASS
    }


def make(part: tuple[int, int, int]) -> tuple[NDArray[np.int16], Floats, Floats, Floats]:
    """(signal in steps, superclass, condition, number) of one chunk."""
    seed, start, n = part
    torch.set_num_threads(1)
    made = cohort(n, seed, start=start, ages="adults", diagnoses=prevalences(), rate_hz=RATE_HZ, seconds=SECONDS)
    task = load_task("ptb_xl/super")
    signal = np.nan_to_num(made.signal.numpy() / STEP_MV).round().clip(-32767, 32767).astype(np.int16)
    codes = tuple(conditions())
    present = np.array([[code in truth.severity for code in codes] for truth in made.truth], dtype=np.float32)
    names = ("heart_rate", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "p_ms")
    numbers = np.array([[m.get(name, np.nan) for name in names] for m in made.measurements], dtype=np.float32)
    axis = np.radians([m["qrs_axis_deg"] for m in made.measurements])
    amplitudes = np.stack([truth.amplitudes_mv.ravel() for truth in made.truth])
    age = (made.age_days / 365.25 / 50)[:, None]
    numbers = np.concatenate([numbers, np.cos(axis)[:, None], np.sin(axis)[:, None], amplitudes, age], axis=1)
    return signal, task.targets(made.labels), present, numbers.astype(np.float32)


def simulated(work: Path, n: int, seed: int) -> tuple[NDArray[np.int16], Floats, Floats, Floats]:
    """The training set, made once per folder."""
    names = ("signal", "superclass", "condition", "number")
    files = [work / f"{name}.npy" for name in names]
    if not all(file.exists() for file in files):
        work.mkdir(parents=True, exist_ok=True)
        parts = [(seed, start, min(CHUNK, n - start)) for start in range(0, n, CHUNK)]
        began = time.perf_counter()
        with ProcessPoolExecutor(2) as pool:
            made = list(pool.map(make, parts))
        print(f"{n} records in {time.perf_counter() - began:.0f} s", flush=True)
        for file, column in zip(files, zip(*made, strict=True), strict=True):
            np.save(file, np.concatenate(column))
    signal, superclass, condition, number = (np.load(file) for file in files)
    return signal, superclass, condition, number


def real(source: Any, root: Path, task_id: str) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """(signal, superclass, fold) of real records, those without any class left out."""
    task = load_task(task_id)
    signal, labels, folds = [], [], []
    for row in source.index(root).to_dict("records"):
        recording = source.read(root, row)
        rows = [recording.leads.index(name) for name in STANDARD]
        signal.append(recording.signal[rows, : round(SECONDS * RATE_HZ)])
        labels.append(recording.labels)
        folds.append(recording.fold)
    targets = task.targets(labels)
    keep = targets.any(axis=1)
    return np.stack(signal)[keep], targets[keep], np.array(folds)[keep]


class Model(nn.Module):
    """A ResNet with three heads."""

    def __init__(self, scale: str, n_conditions: int, n_numbers: int, width: int) -> None:
        super().__init__()
        self.spec = InputSpec(rate_hz=RATE_HZ, seconds=SECONDS, band_hz=BAND_HZ, scale=scale)
        self.preprocess = Preprocess(self.spec)
        self.encoder = build_encoder(Resnet1dConfig(width=width, kernel=7), self.spec)
        self.heads = nn.Linear(self.encoder.width, 5 + n_conditions + n_numbers)
        self.sizes = (5, n_conditions, n_numbers)

    def forward(self, signal: Tensor) -> tuple[Tensor, ...]:
        n, _, length = signal.shape
        ones = torch.ones((n, length), dtype=torch.bool)
        batch = ECGBatch(
            signal, torch.ones((n, len(STANDARD)), dtype=torch.bool), ones, STANDARD, RATE_HZ,
            torch.full((n,), torch.nan), torch.full((n,), torch.nan), torch.arange(n), tuple(map(str, range(n))),
        )  # fmt: skip
        ready = self.preprocess(batch)
        tokens = self.encoder(ready.signal, ready.lead_mask, ready.time_mask)
        return self.heads(nn.functional.dropout(tokens.pooled, 0.2, self.training)).split(self.sizes, dim=1)


def spoil(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Gain by lead and by record, a shift in time, sometimes a lead lost: what no simulator knows about a clinic."""
    n, leads, length = signal.shape
    gain = 1 + 0.08 * torch.randn((n, leads, 1), generator=generator)
    lost = torch.rand((n, leads, 1), generator=generator) < 0.01
    shift = int(torch.randint(length, (1,), generator=generator))
    noise = 0.01 * torch.rand((n, 1, 1), generator=generator) * torch.randn(signal.shape, generator=generator)
    return torch.where(lost, 0.0, torch.roll(signal, shift if shift < length // 10 else 0, 2) * gain + noise)


def train(model: Model, data: tuple[Any, ...], epochs: float, batch_size: int, seed: int) -> None:
    signal, superclass, condition, number = data
    known = np.isfinite(number)
    centre, spread = np.nanmean(number, 0), np.nanstd(number, 0) + 1e-6
    number = np.where(known, (np.nan_to_num(number) - centre) / spread, 0).clip(-5, 5)
    steps = round(epochs * len(signal) / batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.2)
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    began = time.perf_counter()
    model.train()
    for step in range(steps):
        if len(order) < batch_size:
            order = torch.randperm(len(signal), generator=generator).tolist()
        rows = np.sort([order.pop() for _ in range(batch_size)])
        mv = spoil(torch.from_numpy(signal[rows].astype(np.float32)) * STEP_MV, generator)
        classes, conditions_, numbers = model(mv)
        bce = nn.functional.binary_cross_entropy_with_logits
        loss = bce(classes, torch.from_numpy(superclass[rows]))
        loss = loss + 2 * bce(conditions_, torch.from_numpy(condition[rows]))
        mask = torch.from_numpy(known[rows].astype(np.float32))
        wanted = torch.from_numpy(number[rows].astype(np.float32))
        error = nn.functional.smooth_l1_loss(numbers, wanted, reduction="none")
        loss = loss + 0.5 * (error * mask).sum() / mask.sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step in (20, 100) or step % 200 == 0:
            pace = (step + 1) / (time.perf_counter() - began)
            print(f"step {step}/{steps} loss {loss.item():.3f} {pace * batch_size:.0f} records/s, "
                  f"{(steps - step) / pace / 60:.1f} min left", flush=True)  # fmt: skip


@torch.inference_mode()
def score(model: Model, signal: Floats) -> Floats:
    """(record, superclass) logits."""
    model.eval()
    parts = [model(torch.from_numpy(signal[i : i + 128]))[0] for i in range(0, len(signal), 128)]
    return torch.cat(parts).numpy()


def auroc(truth: Floats, scores: Floats) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    names = load_task("ptb_xl/super").class_names
    each = {
        name: round(100 * float(roc_auc_score(truth[:, k], scores[:, k])), 1)
        for k, name in enumerate(names)
        if 0 < truth[:, k].sum() < len(truth)
    }
    return {"macro": round(float(np.mean(list(each.values()))), 1), **each, "n": len(truth)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--raw", type=Path)
    parser.add_argument("--mini", type=Path)
    parser.add_argument("-n", type=int, default=40_000)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="")
    parser.add_argument("--final", action="store_true")
    options = parser.parse_args()
    data = simulated(options.work, options.n, 1000 + options.seed)
    entry: dict[str, Any] = {"note": options.note, "n": options.n, "epochs": options.epochs, "width": options.width}
    for name, source, root, task, scale in (
        ("raw", PtbXl(rate_hz=100), options.raw, "ptb_xl/super", "mv"),
        ("mini", PtbXlMini(), options.mini, "ptb_xl_mini/super", "lead_unknown"),
    ):
        if root is None:
            continue
        torch.manual_seed(options.seed)
        model = Model(scale, data[2].shape[1], data[3].shape[1], options.width)
        train(model, data, options.epochs, 64, options.seed)
        torch.save(model.state_dict(), options.work / f"{name}.pt")
        signal, truth, folds = real(source, root, task)
        scores = score(model, signal)
        entry[f"{name}, folds 1-8"] = auroc(truth[folds < 9], scores[folds < 9])
        entry[f"{name}, simulated"] = auroc(data[1][:2000], score(model, data[0][:2000].astype(np.float32) * STEP_MV))
        if options.final:
            entry[f"{name}, all"] = auroc(truth, scores)
            entry[f"{name}, fold 9"] = auroc(truth[folds == 9], scores[folds == 9])
        print(json.dumps(entry, indent=1), flush=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps([*results, entry], indent=1) + "\n")


if __name__ == "__main__":
    main()
