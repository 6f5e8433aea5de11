"""Ctrl-C: one line on what is kept and how to go on, status 130, and no waiting for libraries that tidy up."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, NoReturn

from auricle.errors import StoppedError

# Some libraries swallow the exception, and some take seconds to be unloaded.
_PATIENCE_S: Final = 1.2
_NOTHING: Final = "nothing was written; the same command begins again"

_said: Callable[[], str] | None = None
_interrupted = False


def keeps(said: str | Callable[[], str]) -> None:
    """From here on, this is what is kept if the verb is stopped, and how to go on.

    Args:
        said: a sentence without its full stop, or what makes it when it is needed.
    """
    global _said
    _said = (lambda: said) if isinstance(said, str) else said


def stoppable(verb: Callable[..., Any]) -> Callable[..., Any]:
    """A verb that turns Ctrl-C into a `StoppedError` with what it keeps."""

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        global _said
        _said = None
        try:
            return verb(*args, **kwargs)
        except KeyboardInterrupt:
            raise StoppedError(_sentence(), signal.SIGINT) from None
        except StoppedError as error:
            # A verb that trains on the way knows better than the training how to go on.
            if _said is None:
                raise
            raise StoppedError(_sentence(), error.signal) from None

    return run


@contextmanager
def interruptible(say: Callable[[str], object]) -> Iterator[None]:
    """Ctrl-C interrupts what runs inside, and ends the process soon after where that was not enough.

    Args:
        say: prints a line for the person who waits.
    """
    global _interrupted, _said
    _interrupted, _said = False, None
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def too_long() -> None:
        say(_sentence())
        leave(128 + signal.SIGINT)

    watch = threading.Timer(_PATIENCE_S, too_long)
    watch.daemon = True

    def interrupt(number: int, frame: Any) -> NoReturn:
        global _interrupted
        del number, frame
        if not _interrupted:
            _interrupted = True
            watch.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        watch.cancel()
        signal.signal(signal.SIGINT, before)


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed in what ran inside of `interruptible`."""
    return _interrupted


def leave(status: int) -> NoReturn:
    """End this process and those it has started, without waiting for libraries to be unloaded."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
        # What processes share outlives them unless it is given back, which a tracker would complain of.
        sys.modules["multiprocessing.util"]._run_finalizers()
    os._exit(status)


def _sentence() -> str:
    return f"stopped; {_said() if _said is not None else _NOTHING}"
