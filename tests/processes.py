"""Two gloo processes on this machine, for losses that must not depend on how a batch is divided."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist

LONGEST_S = 120.0


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(rank: int, port: int, asked: Connection) -> None:
    """Be one process of the group, and call what arrives until nobody asks any more."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    while True:
        try:
            function, arguments = asked.recv()
            answer = (True, function(rank, *arguments))
        except EOFError:
            return
        except BaseException:
            answer = (False, traceback.format_exc())
        asked.send(answer)


class _Pair:
    """Two processes that have met; the connection to each, in rank order."""

    def __init__(self) -> None:
        spawn, port = multiprocessing.get_context("spawn"), free_port()
        self.connections: list[Connection] = []
        self.processes = []
        for rank in range(2):
            ours, theirs = spawn.Pipe()
            # A daemon ends with the tests.
            process = spawn.Process(target=_serve, args=(rank, port, theirs), daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
        for connection in self.connections:
            connection.send((function, arguments))
        answers: dict[int, Any] = {}
        while len(answers) < 2:
            waiting = [self.connections[rank] for rank in range(2) if rank not in answers]
            ready = wait(waiting, LONGEST_S)
            assert ready, f"{function.__qualname__}: no answer of two processes in {LONGEST_S:.0f} s"
            for connection in ready:
                assert isinstance(connection, Connection)
                fine, answer = connection.recv()
                assert fine, answer
                answers[self.connections.index(connection)] = answer
        return [answers[0], answers[1]]

    def end(self) -> None:
        for process, connection in zip(self.processes, self.connections, strict=True):
            process.kill()
            process.join()
            connection.close()


_pair = cache(_Pair)


def in_two_processes(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`function(rank, *arguments)` in two processes of one group; the results in rank order.

    The function is a test module's own: the processes import it by its name. All tests ask the same two, because they
    take seconds to start; after anything unexpected the next test gets new ones.
    """
    try:
        return _pair().call(function, arguments)
    except BaseException:
        _pair().end()
        _pair.cache_clear()
        raise
