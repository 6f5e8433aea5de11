"""Stopping a run that is asked to: after its step, with what is kept said, and at once where a person would wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from auricle.errors import StoppedError

# Who presses Ctrl-C does not wait for a step that takes longer than this; what it learned is done again.
_LONG_STEP_S: Final = 1.0


def stopped(out: Path, step: int, kept: int) -> str:
    """What is said of a run that was stopped: what is kept, and how to go on."""
    if not kept:
        return f"stopped before a resume point was kept in {out}; the same command with --resume begins it again"
    after = "" if kept == step else f" (step {step} was under way)"
    return f"stopped after step {kept}{after}, which is kept in {out}; the same command with --resume goes on"


@contextmanager
def stops_when_asked(loop: Any) -> Iterator[None]:
    """The first SIGTERM or SIGINT asks the loop to stop after its step; a second one does what it always does.

    Before the first step, and in a step that takes long, SIGINT ends the run at once: a person is waiting. Several
    processes always end their step, because all must leave at the same one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, _: Any) -> None:
        loop.asked_to_stop = number
        signal.signal(number, before[signal.Signals(number)])
        if number == signal.SIGINT and loop.step_s > _LONG_STEP_S and loop.trainer.world_size == 1:
            raise StoppedError(stopped(loop.out, loop.global_step, loop.kept), number)

    def leave(number: int, _: Any) -> None:
        raise StoppedError(stopped(loop.out, loop.kept, loop.kept), number)

    loop.take_signals = lambda: [signal.signal(number, ask) for number in signals]
    try:
        signal.signal(signal.SIGINT, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
