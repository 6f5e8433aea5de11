"""What the trainings of a table will take, said when the first of them has measured its pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from auricle.train.config import RunConfig
from auricle.train.watch import Estimate, Watcher, duration


class Forecast(Watcher):
    """A watcher of several trainings that tells another one everything, and says once what all of them will take.

    Args:
        watcher: is told of each training.
        runs: configurations of the trainings that are not finished, in order.
        say: called with the line.
    """

    def __init__(self, watcher: Watcher, runs: Iterable[RunConfig], say: Callable[[str], None]) -> None:
        self._watcher, self._say = watcher, say
        self._runs = list(runs)

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        """Pass it on, and the first time say what is left of all, where that can be told."""
        self._watcher.begin(estimate, config)
        # How many records an epoch has is known of this training's data alone.
        known = all(
            run.train.epochs is None or (estimate.n_records is not None and run.data.store == config.data.store)
            for run in self._runs[1:]
        )
        if len(self._runs) > 1 and known:
            n_records = [
                (run.train.epochs * (estimate.n_records or 0))
                if run.train.epochs is not None
                else run.train.steps * run.train.accumulate * run.train.batch_size
                for run in self._runs[1:]
            ]
            seconds = estimate.seconds + sum(n_records) / estimate.records_per_second
            self._say(
                f"{len(self._runs)} trainings, at the pace of this one about {duration(seconds)} in all; evaluating "
                "comes on top"
            )
        self._runs = []

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        """Pass it on."""
        self._watcher.step(step, terms, n_records)

    def end(self) -> None:
        """Pass it on."""
        self._watcher.end()
