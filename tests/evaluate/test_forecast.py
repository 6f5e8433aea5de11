"""What the trainings of a table will take is said once, by the pace of the first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from auricle.evaluate.forecast import Forecast
from auricle.train.watch import Estimate, Watcher


class Told(Watcher):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def begin(self, estimate: Estimate, config: Any) -> None:
        self.heard.append("begin")

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        self.heard.append(f"step {step}")

    def end(self) -> None:
        self.heard.append("end")


def run(steps: int = 1000, epochs: float | None = None, store: str = "mine") -> Any:
    train = SimpleNamespace(steps=steps, epochs=epochs, accumulate=2, batch_size=16)
    return SimpleNamespace(train=train, data=SimpleNamespace(store=store))


def estimate(seconds: float) -> Estimate:
    return Estimate(n_parameters=1, n_records=320, records_per_second=32.0, seconds=seconds, first_step=0)


def said(runs: list[Any], first_s: float) -> list[str]:
    lines: list[str] = []
    forecast = Forecast(Watcher(), runs, lines.append)
    forecast.begin(estimate(first_s), runs[0])
    forecast.begin(estimate(1.0), runs[0])
    return lines


def test_steps_and_epochs_are_counted_as_records_at_the_measured_pace() -> None:
    # The first has ten seconds left; 100 steps of 32 records take 100 s, three epochs of 320 records 30 s.
    (line,) = said([run(), run(steps=100), run(epochs=3.0)], 10.0)
    assert line.startswith("3 trainings, at the pace of this one about 2 min 20 s in all")
    assert said([run()], 10.0) == [], "one training says its own time"
    assert said([run(store="adults"), run(epochs=3.0)], 10.0) == [], "how many records another store has is not known"


def test_whoever_watches_is_told_everything() -> None:
    told = Told()
    forecast = Forecast(told, [run()], lambda line: None)
    forecast.begin(estimate(1.0), run())
    forecast.step(3, {}, 32)
    forecast.end()
    assert told.heard == ["begin", "step 3", "end"]
