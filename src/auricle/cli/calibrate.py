"""auricle calibrate: make the probabilities of saved weights true, and learn for what they can answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from auricle.errors import ConfigError
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("calibrate")(calibrate)


def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder or folder of saved weights.", show_default=False)],
    stores: Annotated[list[Path], typer.Argument(help="Folders of ingested stores.", show_default=False)],
    task: Annotated[
        list[str],
        typer.Option(help="Task whose validation part a store is calibrated on; one for each store, in order."),
    ],
) -> None:
    """Calibrate weights on validation parts that training did not see; real people count before simulated ones."""
    with stage("starting"):
        from auricle.evaluate.calibration import calibrate as run_calibration

    if len(task) != len(stores):
        raise ConfigError(
            f"{len(stores)} stores and {len(task)} tasks: give --task once for each store, in their order"
        )
    fitted = run_calibration(run, list(zip(stores, task, strict=True)))
    table = Table("class", "from", "with / without", "logit", "error before", "after", title="Calibration")
    for one in fitted:
        counts = f"{one.positive} / {one.negative}"
        logit = f"{one.factor:.2f} x {one.shift:+.2f}"
        table.add_row(one.name, one.source, counts, logit, f"{one.before:.3f}", f"{one.after:.3f}")
    Console().print(table)
