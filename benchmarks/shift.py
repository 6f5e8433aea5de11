"""How far the features of an encoder move when a recording is shifted by a few milliseconds, the weakness of patches.

For shifts inside a patch: distance between the features of a record and of the same record shifted, as a share of the
distance between different records. 0 is blind to the shift, 1 is another patient. Peers in the same run, all untrained:
lead groups behind both stems, a plain transformer over patches (vit1d), state spaces (s4), and a ResNet18-1D.

python benchmarks/shift.py [WEIGHTS]; prints a table and writes benchmarks/results/shift.json.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import torch

from auricle.data.collate import collate
from auricle.methods import SHIPPED_WEIGHTS, create_method, load_method
from auricle.simulate import cohort

SHIFTS_MS = (2, 4, 8, 12, 20, 50, 1000)
N = 64


@torch.no_grad()
def relative_distance(method, recordings, shift_ms: float) -> float:
    spec = method.config.input
    n = round(spec.seconds * recordings[0].rate_hz)
    step = round(shift_ms * recordings[0].rate_hz / 1000)
    one = method.embed(collate(recordings, spec.leads, n, [500] * N))
    moved = method.embed(collate(recordings, spec.leads, n, [500 + step] * N))
    between = torch.pdist(one).mean()
    return float((one - moved).norm(dim=1).mean() / between)


def main(weights: str) -> None:
    recordings = list(cohort(N, seed=77, rate_hz=500).recordings())
    trained = load_method(weights)
    spec = trained.config.input.model_dump()
    torch.manual_seed(0)
    untrained = {
        "lead_groups, stem conv": {"name": "lead_groups", "preset": "nano", "stem": "conv"},
        "lead_groups, stem group": {"name": "lead_groups", "preset": "nano", "stem": "group"},
        "vit1d": {"name": "vit1d", "preset": "nano"},
        "s4": {"name": "s4", "preset": "nano"},
        "resnet1d": {"name": "resnet1d", "preset": "nano"},
    }
    encoders = {
        "the weights": trained,
        **{f"{name}, untrained": create_method("supervised", encoder=encoder, input=spec).eval()
           for name, encoder in untrained.items()},
    }  # fmt: skip
    rows = {name: [relative_distance(m, recordings, ms) for ms in SHIFTS_MS] for name, m in encoders.items()}
    print("| encoder | " + " | ".join(f"{ms} ms" for ms in SHIFTS_MS) + " |")
    print("|---|" + "---:|" * len(SHIFTS_MS))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    result = {
        "shifts_ms": SHIFTS_MS,
        "relative_distance": rows,
        "records": N,
        "machine": platform.processor() or platform.machine(),
    }
    path = Path(__file__).parent / "results" / "shift.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(SHIPPED_WEIGHTS))
