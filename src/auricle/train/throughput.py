"""What a machine makes of a run: records per second, the share of its peak, and whether reading keeps up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from auricle.data.loader import Batches, training_loader
from auricle.methods import Method, Progress
from auricle.processes import accelerator
from auricle.train.config import Precision, RunConfig
from auricle.train.setup import build
from auricle.train.timing import faster_precision

# Sides of the square matrices whose product is the peak: large enough for the machine, small enough for seconds.
_SIDE_CPU, _SIDE_ACCELERATOR = 2048, 8192
_PEAK_ROUNDS: Final = 5
_ROUNDS: Final = 3
# At least so many batches are read to time reading, after those that fill the queues of its workers.
_BATCHES_READ: Final = 16


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a run would do on this machine.

    Attributes:
        device: where it computes.
        precision: of the passes.
        n_parameters: of the method.
        gflop: 10^9 multiplications and additions of a record's forward and backward pass, as far as they are
            products: convolutions, matrix products and attention.
        records_per_second: of the passes, on a batch that lies on the device.
        peak_gflops: 10^9 of them a second in a product of large square matrices, in this precision, in these minutes.
        read_per_second: records a second that reading gives, with the workers of the run and nothing else to do.
        read_together: whether reading happens in the process that computes, so that their times add up.
    """

    device: str
    precision: Precision
    n_parameters: int
    gflop: float
    records_per_second: float
    peak_gflops: float
    read_per_second: float
    read_together: bool

    @property
    def share_of_peak(self) -> float:
        """Products a second as a share of the peak."""
        return self.gflop * self.records_per_second / self.peak_gflops

    @property
    def share_waiting(self) -> float:
        """Share of the time in which the device would wait for records."""
        compute, read = 1 / self.records_per_second, 1 / self.read_per_second
        return read / (read + compute) if self.read_together else max(0.0, 1 - compute / read)


def throughput(config: RunConfig) -> Throughput:
    """Time the passes and the reading of a run that is never begun.

    Args:
        config: the run; `train.precision` may be `auto`.

    Raises:
        ConfigError: a setting does not fit.
        DataError: the store cannot be used, or has fewer records than a batch.
    """
    config, method, steps = build(config)
    precision = config.train.precision
    if precision == "auto":
        precision, _ = faster_precision(method, steps, config.train.steps)
    device = torch.device(accelerator())
    gflop, seconds = _passes(method.train().to(device), steps, config.train.steps, precision, device)
    return Throughput(
        device=torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads",
        precision=precision,
        n_parameters=sum(parameter.numel() for parameter in method.parameters()),
        gflop=gflop,
        records_per_second=config.train.batch_size / seconds,
        peak_gflops=_peak_gflops(device, precision),
        read_per_second=_read_per_second(steps, config.train.workers),
        read_together=config.train.workers == 0,
    )


def _passes(
    method: Method, steps: Batches, n_steps: int, precision: Precision, device: torch.device
) -> tuple[float, float]:
    """GFLOP of a record, and the least seconds of a forward and backward pass of a batch."""
    batch = steps[0].to(device)

    def once() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = method.step(batch, Progress(n_steps // 2, n_steps)).loss  # as it is in the middle of the run
        torch.autograd.backward(loss)
        loss.item()  # waits for the device
        method.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter:  # which warms caches up as well
        once()
    return counter.get_total_flops() / len(batch) / 1e9, _least_seconds(once, _ROUNDS)


def _peak_gflops(device: torch.device, precision: Precision) -> float:
    side = _SIDE_CPU if device.type == "cpu" else _SIDE_ACCELERATOR
    kind = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    one = torch.ones(side, side, device=device, dtype=kind)

    def once() -> None:
        torch.mm(one, one)[0, 0].item()

    once()
    return 2 * side**3 / _least_seconds(once, _PEAK_ROUNDS) / 1e9


def _read_per_second(steps: Batches, workers: int) -> float:
    """Records that a loader of the run hands over in a second."""
    warm = 2 * workers + 1
    batches = iter(training_loader(steps, 0, warm + _BATCHES_READ + workers, workers))
    for _ in range(warm):
        next(batches)
    begun = time.perf_counter()
    n = sum(len(next(batches)) for _ in range(_BATCHES_READ))
    return n / (time.perf_counter() - begun)


def _least_seconds(once: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        once()
        taken.append(time.perf_counter() - begun)
    return min(taken)
