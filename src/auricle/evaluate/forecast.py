"""What the trainings of a table will take, said when the first of them has measured its pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from auricle.train.config import RunConfig
from auricle.train.watch import Estimate, Watcher, duration


class Forecast(Watcher):
    """A watcher of several trainings that tells another one everything, and says once what all of them will take.

    Args:
        watcher: is told of each training.
        runs: configurations of the trainings that are not finished.
        say: called with the line.
    """

    def __init__(self, watcher: Watcher, runs: Iterable[RunConfig], say: Callable[[str], None]) -> None:
        self._watcher, self._say = watcher, say
        self._n_left = [run.train.steps * run.train.accumulate * run.train.batch_size for run in runs]

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        """Pass it on, and the first time say what is left of all."""
        self._watcher.begin(estimate, config)
        if len(self._n_left) > 1:
            seconds = sum(self._n_left) / estimate.records_per_second
            self._say(
                f"{len(self._n_left)} trainings, at the pace of this one about {duration(seconds)} in all; evaluating "
                "comes on top"
            )
        self._n_left = []

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        """Pass it on."""
        self._watcher.step(step, terms, n_records)

    def end(self) -> None:
        """Pass it on."""
        self._watcher.end()
