"""How many steps each row of an ablation makes in the same time on this machine, for tables at equal wall-clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from auricle.atomic import write_json
from auricle.train.config import RunConfig
from auricle.train.throughput import throughput

# Minutes, and steps by row, as they were measured when a table was begun.
EQUAL_TIME = "equal_time.json"


def steps_in(
    minutes: float, runs: Mapping[str, RunConfig], out: Path, say: Callable[[str], None] = lambda text: None
) -> dict[str, int]:
    """Steps that each run makes in some minutes, by its passes and its reading timed alone.

    Every run is timed once and, after all the others, once more; the faster time counts, lest what else a machine had
    to do in one minute decides. What has been measured for the same table is kept, so that a table that is gone on with
    has one number for a row.

    Args:
        minutes: of training, evaluation aside.
        runs: by row.
        out: folder of the table.
        say: called with a line for each row that is timed.

    """
    place = out / EQUAL_TIME
    known: dict[str, Any] = {"minutes": minutes, "steps": {}}
    if place.exists():
        known = json.loads(place.read_text(encoding="utf-8"))
    new = {name: config for name, config in runs.items() if name not in known["steps"]}
    found: dict[str, int] = {}
    for sweep in ("first", "second"):
        for name, config in new.items():
            found[name] = max(found.get(name, 0), _steps(config, minutes))
            say(f"{name}: {found[name]} steps in {minutes:g} min ({sweep} time)")
    if new:
        known["steps"] |= found
        out.mkdir(parents=True, exist_ok=True)
        write_json(place, known)
    return {name: known["steps"][name] for name in runs}


def _steps(config: RunConfig, minutes: float) -> int:
    timed = throughput(config)
    compute, read = 1 / timed.records_per_second, 1 / timed.read_per_second
    seconds = compute + read if timed.read_together else max(compute, read)
    at_once = config.train.batch_size * config.train.accumulate
    return max(1, round(60 * minutes / (seconds * at_once)))


def note(out: Path) -> str:
    """What the table says of it: the minutes, and the steps of each row; empty where rows have equal steps."""
    place = out / EQUAL_TIME
    if not place.exists():
        return ""
    known = json.loads(place.read_text(encoding="utf-8"))
    steps = ", ".join(f"{name} {n}" for name, n in known["steps"].items())
    minutes = f"{known['minutes']:g} min each, by the pace of this machine when the table was begun"
    return f"Trained for {minutes}; steps: {steps}."
