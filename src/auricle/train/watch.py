"""Watching a run: who is told of the estimate and of each step. Silent by default; the command line draws a bar."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from auricle.tasks.answers import Answers
    from auricle.train.config import RunConfig

# Steps over which speed and loss are averaged for the eye.
_WINDOW: Final = 20
_LINE_EVERY_S: Final = 15.0
_BAR_WIDTH: Final = 20
# The first terms of a method, its loss before all; log.jsonl has them all.
_TERMS_SHOWN: Final = 3
_CLASSES_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take, measured on its own first batches, and what its labels can teach.

    Attributes:
        n_parameters: of the method.
        n_records: it is trained on; None where some are made as they are needed.
        records_per_second: measured.
        seconds: that are left.
        first_step: 0, or where it goes on.
        answers: records of each class, where it is trained on labels.
        unanswered: a sentence for each class that cannot be learned from them.
        precision: which was chosen, where the run left it open.
        slower: what the others gave, as text with their records per second.
    """

    n_parameters: int
    n_records: int | None
    records_per_second: float
    seconds: float
    first_step: int
    answers: tuple[Answers, ...] = ()
    unanswered: tuple[str, ...] = ()
    precision: str | None = None
    slower: tuple[str, ...] = ()


class Watcher:
    """Told what a run is doing; this one keeps silent."""

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        """Before the first step."""

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        """After an optimiser step."""

    def end(self) -> None:
        """After the last step."""


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ConsoleWatcher(Watcher):
    """A progress bar with loss terms and records per second; where there is no terminal, a line now and then."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title, self.console = title, console or Console(stderr=True)
        self._times: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._last_line = 0.0

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        """Say what will be trained and how long it will take."""
        self._n_steps = config.train.steps
        chosen = f" in {estimate.precision} ({', '.join(estimate.slower)})" if estimate.precision else ""
        start = f", resumed at step {estimate.first_step}" if estimate.first_step else ""
        records = "a mixture" if estimate.n_records is None else f"{estimate.n_records} records"
        self.console.print(
            f"{self.title}: {estimate.n_parameters / 1e6:.2f} M parameters, {records}, "
            f"{config.train.steps} steps of {config.train.batch_size * config.train.accumulate}{start}; "
            f"{estimate.records_per_second:.0f} records/s measured{chosen}, about {duration(estimate.seconds)}",
            highlight=False,
            soft_wrap=True,
        )
        self._say_answers(estimate)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(_BAR_WIDTH), TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(compact=True), TextColumn("{task.fields[terms]}"),
            console=self.console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(self.title, total=config.train.steps, completed=estimate.first_step, terms="")
        if self.console.is_terminal:
            self._bar.start()
        self._last_line = time.monotonic()

    def _say_answers(self, estimate: Estimate) -> None:
        """Positives and negatives of each class, those with the fewest positives first where they are many."""
        fewest = sorted(estimate.answers, key=lambda one: one.positive)
        shown = estimate.answers if len(fewest) <= _CLASSES_SHOWN else fewest[:_CLASSES_SHOWN]
        rows = [
            f"{one.name} {one.positive} / {one.negative}" + (f" ({one.unknown} unknown)" if one.unknown else "")
            for one in shown
        ]
        if rows:
            rest = len(fewest) - len(shown)
            more = f"; {rest} classes with more" if rest else ""
            self.console.print(f"  with / without: {', '.join(rows)}{more}", highlight=False, markup=False)
        for sentence in estimate.unanswered:
            self.console.print(f"  ! {sentence}", highlight=False, markup=False)

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        """Move the bar."""
        now = time.monotonic()
        self._times.append((now, n_records))
        self._losses.append(terms.get("loss", float("nan")))
        shown = {**terms, "loss": sum(self._losses) / len(self._losses)}
        text = "  ".join(f"{name} {value:.3g}" for name, value in list(shown.items())[:_TERMS_SHOWN])
        if len(self._times) > 1:
            elapsed = now - self._times[0][0]
            text = f"{sum(n for _, n in list(self._times)[1:]) / max(elapsed, 1e-9):.0f} records/s  {text}"
        self._bar.update(self._task, completed=step, terms=text)
        if not self.console.is_terminal and (now - self._last_line > _LINE_EVERY_S or step == self._n_steps):
            self.console.print(f"  step {step}/{self._n_steps}  {text}", highlight=False, soft_wrap=True)
            self._last_line = now

    def end(self) -> None:
        """Clear the bar."""
        if self.console.is_terminal:
            self._bar.stop()
