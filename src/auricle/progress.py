"""Progress of work that takes more than a few seconds: a callback in the library, a bar where a person looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

# Called with (how many are done, how many there are).
OnProgress = Callable[[int, int], object]
Item = TypeVar("Item")


@contextmanager
def progress_bar(title: str, console: Console | None = None) -> Iterator[OnProgress]:
    """A bar on standard error that is gone when the work is done; what it yields is to be given to the work.

    Args:
        title: in front of the bar.
        console: another place for it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # What the work prints goes where it would go without a bar: into a file, not to the terminal of the bar.
    with Progress(*columns, console=console or Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def counted(items: Iterable[Item], total: int, on_progress: OnProgress | None) -> Iterator[Item]:
    """The items, one after the other, telling after each how many are done."""
    for done, item in enumerate(items, start=1):
        yield item
        if on_progress:
            on_progress(done, total)
