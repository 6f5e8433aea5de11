"""auricle ablate: the rows of an ablation or a sweep, trained and asked alike, as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import (
    BatchOption,
    OutArgument,
    Overrides,
    PublishedOption,
    StepsOption,
    StoreArgument,
    TrackOption,
)
from auricle.cli.stop import keeps
from auricle.errors import ConfigError
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ablate")(ablate)


def ablate(
    ablation: Annotated[str, typer.Argument(help="One of `auricle list ablations`, or a TOML file of your own.")],
    store: StoreArgument,
    out: OutArgument,
    more: Overrides = None,
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the only one of the store.")
    ] = None,
    steps: StepsOption = None,
    batch_size: BatchOption = None,
    seeds: Annotated[int, typer.Option(help="Runs of every row.", min=1)] = 1,
    drop: Annotated[
        list[str] | None, typer.Option(help="A setting that all rows do without, such as model.labs.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="A row to train now; by default all are. The table has all.")
    ] = None,
    pretrain: Annotated[
        Path | None,
        typer.Option(
            help="Another store, of which donors and rows that need no labels learn; STORE is then asked only.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train every row for so long by this machine's pace, in place of so many steps.",
            min=0.01,
            show_default=False,
        ),
    ] = None,
    compared_with: Annotated[
        str | None, typer.Option(help="The row that the others are compared with, in place of the ablation's own.")
    ] = None,
    published: PublishedOption = None,
    track: TrackOption = "clean",
) -> None:
    """Train and evaluate every row of an ablation; run again, it goes on where it stopped."""
    from rich.console import Console

    with stage("starting"):
        from auricle.atomic import write_bytes
        from auricle.data.store import Store
        from auricle.evaluate.ablate import run_ablation
        from auricle.evaluate.ablation import Frame, load_ablation
        from auricle.tasks import load_task, only_task
        from auricle.train.setup import run_values
        from auricle.train.watch import ConsoleWatcher

    keeps(f"finished rows and the row under way are kept in {out}; the same command goes on")
    if steps is not None and minutes is not None:
        raise ConfigError("rows have equal steps or equal minutes: give one of the two")
    asked = load_ablation(ablation)
    if compared_with is not None:
        asked = asked.against(compared_with)
    over = run_values({}, {}, {"steps": steps, "batch_size": batch_size}, settings=more or ())
    if over["model"].get("name") is None:
        over["model"].pop("name", None)
    question = load_task(task or only_task(Store(store).info["source"]), published=published, track=track)
    frame = Frame(store, question, out, range(seeds), over, drop or (), pretrain, row or (), minutes)
    err = Console(stderr=True)
    table = run_ablation(asked, frame, ConsoleWatcher("ablate"), lambda text: err.print(text, highlight=False))
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "table.md", table.to_markdown().encode())
    typer.echo(table.to_markdown())
