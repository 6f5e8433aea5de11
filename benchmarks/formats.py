"""What carts exported, file by file: what is read of each, ours beside the cart's numbers, and beside ecgdatakit.

    python benchmarks/formats.py FILE [FILE ...]

Prints two tables of Markdown: the files, and where several of them hold the same record how far they differ. Times are
of one read, the fastest of nine, as ratios to the peer in the same run.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
from ecgdatakit import FileParser

from auricle.errors import AuricleError
from auricle.io import read
from auricle.measure.recording import measure_recording
from auricle.recording import Recording

SHOWN = ("heart_rate", "qrs", "qt")
REPEATS = 9


def line(path: Path) -> tuple[str, Recording | None]:
    """A file as a row of the table, and its recording."""
    try:
        recording = read(path)
    except AuricleError as error:
        return f"| `{path.name}` | {str(error).partition(': ')[2]} |||||||||", None
    found = measure_recording(recording)
    numbers = [beside(found.values[name].value, found.cart.get(name)) for name in SHOWN]
    age = "" if recording.age is None else f"{recording.age}"
    band = "" if recording.cart_band_hz is None else "{:g}-{:g}".format(*recording.cart_band_hz)
    differs, ratio = peer(path, recording)
    cells = (f"`{path.name}`", f"{recording.rate_hz:g}", len(recording.leads), f"{recording.seconds:.1f}", age,
             recording.sex or "", band, *numbers, differs, ratio)  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |", recording


def beside(ours: float, cart: float | None) -> str:
    return f"{ours:.0f} / {'–' if cart is None else f'{cart:.0f}'}"


def peer(path: Path, recording: Recording) -> tuple[str, str]:
    """The largest difference to the peer's samples in microvolts over the leads both have, and its time over ours."""
    try:
        record = FileParser().parse(path)
    except Exception as error:  # the peer raises whatever it trips over
        return f"refused ({type(error).__name__})", ""
    rows = dict(zip(recording.leads, recording.signal, strict=True))
    differs = 0.0
    for lead in record.leads:
        if str(lead.label) in rows:
            ours = rows[str(lead.label)]
            theirs = np.asarray(lead.samples)[: len(ours)]
            both = np.isfinite(ours)
            differs = max(differs, float(np.abs(theirs[both] - ours[both]).max()) * 1000)
    return f"{differs:.2g}", f"{fastest(lambda: FileParser().parse(path)) / fastest(lambda: read(path)):.1f}"


def fastest(work: object) -> float:
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        taken.append(time.perf_counter() - begun)
    return min(taken)


def same(recordings: dict[str, Recording]) -> list[str]:
    """Pairs of files whose leads are the same record, and how far they differ at most."""
    lines = []
    for (first, one), (second, other) in combinations(recordings.items(), 2):
        if one.signal.shape != other.signal.shape or one.rate_hz != other.rate_hz:
            continue
        differs = float(np.nanmax(np.abs(one.signal - other.signal))) * 1000
        if differs < 50:
            lines.append(f"| `{first}` | `{second}` | {differs:.2f} |")
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("files", nargs="+", type=Path)
    warnings.simplefilter("ignore")
    head = ("file", "Hz", "leads", "s", "age", "sex", "band, Hz", "rate: ours / cart", "QRS", "QT", "peer differs, uV",
            "peer's time / ours")  # fmt: skip
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    recordings = {}
    for path in arguments.parse_args().files:
        row, recording = line(path)
        print(row)
        if recording is not None:
            recordings[path.name] = recording
    print("\n| file | and | differ by at most, uV |\n|---|---|---:|")
    print("\n".join(same(recordings)))


if __name__ == "__main__":
    main()
