"""auricle evaluate: predictions, then metrics, with the rows beside them without which a number means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from auricle.cli.options import EncoderOption, PublishedOption, StoreArgument, TrackOption
from auricle.cli.stop import keeps
from auricle.errors import ConfigError
from auricle.progress import stage

if TYPE_CHECKING:
    from auricle.evaluate.probe import RSquared

_ROWS = "class_prior,random_encoder,rocket,supervised"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder, saved weights, or lisa-nano, which comes along; left out where --encoder is."),
    ],
    store: StoreArgument,
    out: Annotated[
        Path | None, typer.Argument(help="Folder for predictions and results; several runs may share one.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the run's own.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="zero_shot, linear_probe, finetune, cross_validated or recovery; by default all the weights can do "
            "with the task's own parts."
        ),
    ] = None,
    rows: Annotated[str, typer.Option(help="Reference rows, comma-separated; empty for none.")] = _ROWS,
    fractions: Annotated[str, typer.Option(help="Shares of the training patients, in per cent.")] = "1,10,100",
    seeds: Annotated[int, typer.Option(help="Subset seeds per share below 100 %.", min=1)] = 3,
    name: Annotated[str | None, typer.Option(help="Name of the row; by default the run's.")] = None,
    encoder: EncoderOption = None,
    published: PublishedOption = None,
    track: TrackOption = "clean",
    prompts: Annotated[Path | None, typer.Option(help="A published prompt file (JSON) for zero-shot.")] = None,
    leads: Annotated[
        str | None, typer.Option(help="Under cross_validated: the leads to read, such as I,II,III,aVR,aVL,aVF.")
    ] = None,
    to_card: Annotated[
        bool, typer.Option("--to-card", help="Keep what the weights alone gave in their card; predict says it then.")
    ] = False,
) -> None:
    """Evaluate saved weights on a task and print the table."""
    with stage("starting"):
        from auricle.evaluate.run import evaluate_run
        from auricle.train.watch import ConsoleWatcher

    if encoder is not None:
        if out is not None:
            raise ConfigError("--encoder names the weights: give STORE and OUT alone beside it")
        run, store, out = encoder, run, store
    if out is None:
        raise ConfigError("no folder to write to: give RUN STORE OUT, or STORE OUT with --encoder")
    keeps(f"the results that were finished are kept in {out}; the same command makes them all, its training goes on")
    given = evaluate_run(
        run, store, out, task=task, protocols=protocol or (), rows=[row for row in rows.split(",") if row],
        fractions=[_share(text) for text in fractions.split(",")], seeds=range(seeds), name=name or "",
        published=published, track=track, prompts=prompts, leads=leads.split(",") if leads is not None else None,
        to_card=to_card, watcher=ConsoleWatcher("supervised"),
    )  # fmt: skip
    console = Console()
    if given.recovery:
        console.print(_recovery(given.recovery))
    for table in given.tables:
        console.print(table, highlight=False, markup=False, soft_wrap=True)


def _share(text: str) -> float:
    try:
        share = float(text) / 100
    except ValueError:
        raise ConfigError(f"--fractions: {text!r} is not a number; write for example 1,10,100") from None
    if not 0 < share <= 1:
        raise ConfigError(f"--fractions: {text} % is not between 0 and 100")
    return share


def _recovery(scores: Mapping[str, RSquared]) -> Table:
    table = Table("measured of the record", "R² from frozen features, 95 % interval", title="What the encoder can see")
    for name, value in scores.items():
        table.add_row(name, str(value))
    return table
