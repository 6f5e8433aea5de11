"""How fast a method learns on this machine: a few of its own steps, timed, and the method left as it was."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from auricle.data.loader import Batches
from auricle.methods import Method, Progress
from auricle.processes import accelerator
from auricle.train.config import PRECISIONS, Precision

# Steps timed, after one that warms caches up.
_TIMED_STEPS: Final = 2
_TIMED_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Timing:
    """What a step of a method takes.

    Attributes:
        seconds: of a forward and a backward pass, and of reading the batch where the same process reads.
        finite: whether the losses were finite.
    """

    seconds: float
    finite: bool


def time_steps(method: Method, steps: Batches, n_steps: int, precision: Precision, *, reads: bool = True) -> Timing:
    """Time a few forward and backward passes on the device of a run, and leave parameters and buffers as they were.

    Args:
        method: on any device; afterwards on the CPU.
        steps: its batches.
        n_steps: of the run.
        precision: of the passes.
        reads: whether the process that trains reads as well, so that the times add up.
    """
    state = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    device = torch.device(accelerator())
    method.train().to(device)
    begun = time.perf_counter()
    seconds, finite = math.inf, True
    for number in range(_TIMED_STEPS + 1):
        if number and time.perf_counter() - begun > _TIMED_S:
            break  # the first step, slower than the others, is told rather than waited for twice more
        started = time.perf_counter()
        batch = steps[number]
        started = started if reads else time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = method.step(batch.to(device), Progress(0, n_steps)).loss
        torch.autograd.backward(loss)
        finite &= math.isfinite(loss.item())  # which waits for the device
        seconds = min(seconds, time.perf_counter() - started)
    method.zero_grad(set_to_none=True)
    method.cpu().load_state_dict(state)
    return Timing(seconds, finite)


def faster_precision(method: Method, steps: Batches, n_steps: int) -> tuple[Precision, Mapping[Precision, Timing]]:
    """The precision whose steps take least, of those with a finite loss (`32-true` where none has); and all timings."""
    timings: dict[Precision, Timing] = {
        precision: time_steps(method, steps, n_steps, precision) for precision in PRECISIONS
    }
    usable = [precision for precision in PRECISIONS if timings[precision].finite]
    return min(usable, key=lambda one: timings[one].seconds, default=PRECISIONS[0]), timings


def untimed_precision() -> Precision:
    """The precision that `auto` is where several processes must be of one mind: by the device, without a clock."""
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
