"""Pictures for networks a second: ours, beside matplotlib's Agg drawing the same sheets in the same minutes.

python benchmarks/raster.py [--records N] [--threads N]; prints a table and writes benchmarks/results/raster.json.
Simulated records of 12 x 1000 samples at 100 Hz become 224 x 224 greys; 500 Hz and wider sheets are measured too.
matplotlib keeps one figure and twelve lines and moves their points, which is several times faster than a new figure for
each record. The two drawings are compared as greys: they differ in how a steep line is widened and where it is cut.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch

from auricle.data.collate import collate
from auricle.image.raster import RasterConfig, raster
from auricle.leads import STANDARD
from auricle.simulate import cohort

RESULTS = Path(__file__).parent / "results" / "raster.json"
SECONDS = 10.0
GOAL_PER_SECOND = 2000


def best_rate(function: Callable[[], int], clock: Callable[[], float] = time.perf_counter, rounds: int = 4) -> float:
    """Things a second in the best of some rounds, after one that warms up: what other programs take is left out."""
    function()
    best = 0.0
    for _ in range(rounds):
        begun = clock()
        done = function()
        best = max(best, done / (clock() - begun))
    return best


def cpu_rate(function: Callable[[], int]) -> float:
    """Things per second of processor time on one thread, which other programs on the machine hardly change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return best_rate(function, time.process_time, 3)
    finally:
        torch.set_num_threads(threads)


def records(n: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Signals and masks of simulated people, repeated: drawing takes no less time for the same one again."""
    people = list(cohort(min(n, 64), seed=5, rate_hz=rate_hz).recordings())
    batch = collate(people, STANDARD, round(SECONDS * rate_hz), [0] * len(people))
    times = -(-n // len(people))
    parts = (batch.millivolts(), batch.lead_mask, batch.time_mask)
    signal, lead_mask, time_mask = (part.repeat(times, *[1] * (part.ndim - 1))[:n] for part in parts)
    return signal, lead_mask, time_mask


class AggSheet:
    """matplotlib's Agg with one figure for all records: a picture is its lines' new points and a redraw."""

    def __init__(self, config: RasterConfig) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # One pixel is one point.
        figure = Figure(figsize=(config.width / 72, config.height / 72), dpi=72)
        self.config, self.canvas = config, FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, config.width)
        axes.set_ylim(config.height, 0)
        self.lines = [axes.plot([], [], "k-", linewidth=config.line_px)[0] for _ in STANDARD]

    def draw(self, signal: np.ndarray, lead_mask: np.ndarray) -> np.ndarray:
        n, row_px = signal.shape[1], self.config.height / self.config.n_rows
        for number, line in enumerate(self.lines):
            row, column = number % 3, number // 3
            part = np.arange(n * column // 4, n * (column + 1) // 4)
            trace = signal[number, part] - np.median(signal[number, part])
            line.set_data(
                part * (self.config.width / n), (row + 0.5) * row_px - trace * row_px / self.config.mv_per_row
            )
            line.set_visible(bool(lead_mask[number]))
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., 0].astype(np.float32) / 255


def agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    ink = np.stack([1 - ours.ravel(), 1 - theirs.ravel()])
    return {
        "mean_absolute_grey": float(np.abs(ours - theirs).mean()),
        "correlation_of_ink": float(np.corrcoef(ink)[0, 1]),
        "ink_ours": float(ink[0].mean()),
        "ink_matplotlib": float(ink[1].mean()),
        "ink_ours_within_a_pixel_of_theirs": near(ink[0].reshape(ours.shape), ink[1].reshape(ours.shape)),
        "ink_theirs_within_a_pixel_of_ours": near(ink[1].reshape(ours.shape), ink[0].reshape(ours.shape)),
    }


def near(one: np.ndarray, other: np.ndarray) -> float:
    """The share of clear ink of `one` that has ink of `other` in the same pixel or beside it."""
    grown = torch.nn.functional.max_pool2d(torch.from_numpy(other)[:, None], 3, 1, 1)[:, 0].numpy()
    return float((grown[one > 0.5] > 0.1).mean())


def measure(n: int, rate_hz: float, config: RasterConfig) -> dict[str, object]:
    signal, lead_mask, time_mask = records(n, rate_hz)
    sheet = AggSheet(config)

    def ours(count: int = n) -> torch.Tensor:
        part = slice(0, count)
        return raster(signal[part], lead_mask[part], time_mask[part], rate_hz, STANDARD, config, SECONDS)

    few = min(16, n)
    plain = torch.where(lead_mask[:few, :, None], signal[:few], 0.0).nan_to_num().numpy()

    def theirs() -> np.ndarray:
        return np.stack([sheet.draw(one, mask) for one, mask in zip(plain, lead_mask[:few].numpy(), strict=True)])

    rate, peer = best_rate(lambda: len(ours())), best_rate(lambda: len(theirs()))
    alone, peer_alone = cpu_rate(lambda: len(ours())), cpu_rate(lambda: len(theirs()))
    found: dict[str, object] = {
        "picture": f"{config.height}x{config.width}",
        "rate_hz": rate_hz,
        "per_second": round(rate),
        "per_second_matplotlib": round(peer),
        "ratio": round(rate / peer, 1),
        "per_cpu_second": round(alone),
        "per_cpu_second_matplotlib": round(peer_alone),
        "ratio_cpu": round(alone / peer_alone, 1),
        "agreement": agreement(ours(few).numpy(), theirs()),
    }
    what = f"{found['picture']} from {rate_hz:.0f} Hz"
    print(f"{what:22s} {rate:6.0f} /s, matplotlib {peer:5.0f} /s", end="; ")
    print(f"of one core's time {alone:6.0f} /s, matplotlib {peer_alone:5.0f} /s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    cases = [(100.0, RasterConfig()), (500.0, RasterConfig()), (500.0, RasterConfig(height=448, width=1344))]
    # A wide picture has twelve times the pixels.
    rows = [measure(max(16, options.records * 224**2 // (c.height * c.width)), rate, c) for rate, c in cases]
    if load > 0.5:
        print(f"the machine had other work ({load:.1f} programs running): numbers by the clock are too low")
    print(f"goal {GOAL_PER_SECOND} /s: {'met' if rows[0]['per_second'] >= GOAL_PER_SECOND else 'NOT met'}")  # type: ignore[operator]
    result = {
        "goal_per_second": GOAL_PER_SECOND,
        "rows": rows,
        "machine": {
            "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
            "threads": options.threads, "load_before": round(load, 1),
            "torch": torch.__version__, "matplotlib": matplotlib.__version__,
        },
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
