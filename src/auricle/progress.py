"""Progress of work that takes more than a few seconds: a callback in the library, a bar where a person looks.

The library names the stretches of its work with `stage` and knows no terminal. Where a verb has called `shown`, each
stage is a line on standard error while it lasts; elsewhere nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

# Called with (how many are done, how many there are).
OnProgress = Callable[[int, int], object]
Item = TypeVar("Item")


class _Lines:
    """The stretches of work under way, a line each, in one live display: a terminal has room for one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Any = None
        self._open = 0

    @contextmanager
    def line(self, title: str) -> Iterator[OnProgress]:
        if not self.console.is_terminal:
            yield lambda done, total: None  # nobody sees it, and a file would get an empty line
            return
        if self._bar is None:
            self._bar = _bar(self.console)
        if not self._open:
            self._bar.start()
        self._open += 1
        task = self._bar.add_task(title, total=None)
        try:
            yield lambda done, total: self._bar.update(task, completed=done, total=total)
        finally:
            self._bar.remove_task(task)
            self._open -= 1
            if not self._open:
                self._bar.stop()


_shown: _Lines | None = None


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Draw the stages of what runs inside on a console; nothing where it is no terminal."""
    global _shown
    before = _shown
    _shown = _Lines(console) if console.is_terminal else None
    try:
        yield
    finally:
        _shown = before


@contextmanager
def stage(title: str, on_progress: OnProgress | None = None) -> Iterator[OnProgress]:
    """Name a stretch of work that may take seconds; what it yields may be told how much of it is done.

    Args:
        title: what is done, in a few words.
        on_progress: somebody else to be told the same.
    """
    if _shown is None:
        yield on_progress or (lambda done, total: None)
        return
    with _shown.line(title) as own:

        def both(done: int, total: int) -> None:
            own(done, total)
            if on_progress is not None:
                on_progress(done, total)

        yield both


@contextmanager
def progress_bar(title: str, console: Console | None = None) -> Iterator[OnProgress]:
    """A bar on standard error that is gone when the work is done; what it yields is to be given to the work.

    Args:
        title: in front of the bar.
        console: another place for it.
    """
    from rich.console import Console

    lines = _shown if _shown is not None and console is None else _Lines(console or Console(stderr=True))
    with lines.line(title) as on_progress:
        yield on_progress


def counted(items: Iterable[Item], total: int, on_progress: OnProgress | None) -> Iterator[Item]:
    """The items, one after the other, telling after each how many are done."""
    for done, item in enumerate(items, start=1):
        yield item
        if on_progress:
            on_progress(done, total)


def _bar(console: Console) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Count(MofNCompleteColumn):
        """How many of how many, where that is known."""

        def render(self, task: Task) -> Text:
            return super().render(task) if task.total is not None else Text("")

    class Left(TimeRemainingColumn):
        """How long it will take, where that is known; how long it has taken, elsewhere."""

        def render(self, task: Task) -> Text:
            return super().render(task) if task.total is not None else TimeElapsedColumn().render(task)

    # What the work prints goes where it would go without a bar: into a file, not to the terminal of the bar.
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), Count(), Left())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)
