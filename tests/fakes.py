"""Writers of data sets in their native formats, so that the true readers are tested without licensed data."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_wfdb(
    path: Path,
    signal: NDArray[np.floating],
    leads: Sequence[str],
    rate_hz: float = 500,
    gain: float = 1000.0,
    baseline: int = 0,
    unit: str = "mV",
    offset: int = 0,
    comments: Sequence[str] = (),
) -> Path:
    """A format-16 record of (lead, time) in `unit`; NaN becomes -32768. Returns the header."""
    steps = np.where(np.isnan(signal), -32768, np.rint(signal * gain + baseline)).astype("<i2")
    suffix = ".mat" if offset else ".dat"
    data = path.with_suffix(suffix)
    data.write_bytes(b"\0" * offset + steps.T.tobytes())
    kind = f"16x1+{offset}" if offset else "16"
    lines = [f"{path.name} {len(leads)} {rate_hz:g} {signal.shape[1]}"]
    lines += [
        f"{data.name} {kind} {gain}({baseline})/{unit} 16 0 {row[0]} 0 0 {lead}"
        for row, lead in zip(steps, leads, strict=True)
    ]
    lines += [f"# {comment}" for comment in comments]
    header = path.with_suffix(".hea")
    header.write_text("\n".join(lines) + "\n")
    return header


PTB_XL_COLUMNS = [
    "ecg_id",
    "patient_id",
    "age",
    "sex",
    "report",
    "scp_codes",
    "strat_fold",
    "filename_lr",
    "filename_hr",
]


def write_ptb_xl(root: Path, n: int = 6) -> Path:
    """A folder in PTB-XL's native layout; the last record's files are missing, as in a partial mirror."""
    rng = np.random.default_rng(0)
    leads = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    rows = []
    for number in range(1, n + 1):
        names = {}
        for kind, rate_hz in (("lr", 100), ("hr", 500)):
            name = f"records{rate_hz}/00000/{number:05d}_{kind}"
            names[f"filename_{kind}"] = name
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if number < n:
                write_wfdb(root / name, rng.normal(size=(12, 10 * rate_hz)) * 0.2, leads, rate_hz)
        ages = {1: "56.0", 2: "300.0", 3: ""}
        rows.append({
            "ecg_id": number, "patient_id": f"{1000 + number // 2}.0", "age": ages.get(number, "40"), "sex": number % 2,
            "report": "sinusrhythmus normales ekg", "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
            "strat_fold": number % 10 + 1,
            **names,
        })  # fmt: skip
    with (root / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PTB_XL_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return root
