"""Where a process computes, and values of all processes of a distributed run: rows gathered, and means over all.

In a contrastive loss each process keeps its own rows and compares them with the columns of all processes. Gradients
flow back to the process that made a column, so that several processes with a share of the batch each compute what one
process with the whole batch would.
"""

from __future__ import annotations

import os
from typing import Any, Final

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor

from auricle.errors import ConfigError

# What launchers tell a process of its place.
_RANKS: Final = ("RANK", "GROUP_RANK", "NODE_RANK", "LOCAL_RANK")


class _AllGather(torch.autograd.Function):
    """All-gather whose backward pass returns to each process the sum of all gradients of its own rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(world * b, ...) rows of all processes in rank order, from the (b, ...) rows of this one."""
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        ctx.rows = x.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        """(b, ...) gradient of this process's rows, summed over processes."""
        total = grads[0].contiguous()
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.rows
        own: Tensor = total[first : first + ctx.rows]
        return own


def accelerator() -> str:
    """The device that computes where nothing else is said: this process's CUDA device if there is one, else `cpu`."""
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def is_first_process(n_processes: int) -> bool:
    """Whether this process is the first of a run's, before they have met.

    torchrun says RANK, Lightning NODE_RANK and LOCAL_RANK, Slurm SLURM_PROCID: whatever is said must be 0. Slurm's
    counts where it started as many tasks as the run has processes; it may have started a run in each of them.

    Args:
        n_processes: of the run, on all machines.

    Raises:
        ConfigError: torchrun started several processes for a run of one.
    """
    said = {name: int(os.environ.get(name) or 0) for name in _RANKS}
    if n_processes == 1:
        started = int(os.environ.get("WORLD_SIZE") or 1) if "TORCHELASTIC_RUN_ID" in os.environ else 1
        if started > 1:
            raise ConfigError(f"torchrun started {started} processes for a run of one: set train.devices and .nodes")
        return True
    if int(os.environ.get("SLURM_NTASKS") or 0) == n_processes:
        said["SLURM_PROCID"] = int(os.environ.get("SLURM_PROCID") or 0)
    return not any(said.values())


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) outside of distributed training."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(x: Tensor) -> Tensor:
    """(world * b, ...) rows of all processes in rank order; gradients flow back. All processes have equally many."""
    return x if world()[1] == 1 else _AllGather.apply(x)  # type: ignore[no-untyped-call]


def gather_without_gradient(x: Tensor) -> Tensor:
    """(world * b, ...) rows of all processes in rank order, without gradients: integers, booleans, embeddings."""
    if world()[1] == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(world()[1])]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def anywhere(flags: Tensor) -> bool:
    """Whether any of the flags is true in any process, so that all of them refuse a batch or none does."""
    some = flags.any()
    if world()[1] == 1:
        return bool(some)
    count = some.int()
    dist.all_reduce(count, op=dist.ReduceOp.MAX)
    return bool(count)


def longest(length: int, device: torch.device) -> int:
    """The largest of the lengths that the processes call this with."""
    if world()[1] == 1:
        return length
    most = torch.tensor(length, device=device)
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)


def mean_over_active(values: Tensor, active: Tensor) -> Tensor:
    """Scalar mean over the active rows of *all* processes, scaled so that averaging gradients over processes is right.

    Zero, with a gradient of zero, where no row is active in any process.

    Args:
        values: of any shape.
        active: entries of `values` that count, in its shape; the others may hold anything.
    """
    n_active = active.sum().to(values.dtype)
    processes = world()[1]
    if processes > 1:
        dist.all_reduce(n_active)
    total = torch.where(active, values, 0.0).sum()
    return total * processes / n_active.clamp_min(1)


def positive_columns(n_rows: int, rank: int, device: torch.device) -> Int[Tensor, " r"]:
    """(r,) column of each row's own partner, when columns of all processes stand in rank order."""
    return torch.arange(n_rows, device=device) + rank * n_rows
