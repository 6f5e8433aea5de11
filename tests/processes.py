"""Two gloo processes on this machine, for losses that must not depend on how a batch is divided."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _entry(
    rank: int, world: int, port: int, function: Callable[..., Any], arguments: tuple[Any, ...], out: Any
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        out[rank] = function(rank, *arguments)
    finally:
        dist.destroy_process_group()


def in_two_processes(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`function(rank, *arguments)` in two processes of one group; the results in rank order."""
    with mp.Manager() as manager:
        out = manager.dict()
        mp.spawn(_entry, args=(2, free_port(), function, arguments, out), nprocs=2, join=True)
        return [out[0], out[1]]
