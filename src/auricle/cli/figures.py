"""auricle figures: what runs learned, as pictures in files and on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import named_runs
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("figures")(figures)


def figures(
    runs: Annotated[list[str], typer.Argument(help="Run folders or saved weights, one or more; or NAME=FOLDER.")],
    store: Annotated[Path, typer.Option(help="Folder of an ingested store.")],
    out: Annotated[Path, typer.Option(help="Folder for the figures and figures.html; made if needed.")],
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the one of the runs.")
    ] = None,
    class_: Annotated[
        list[str] | None,
        typer.Option("--class", help="Whose rates and traces are drawn; by default the four that most records have."),
    ] = None,
) -> None:
    """Draw runs: their features, gates over age, lead groups by disease, rates over age, and the trace of an answer."""
    from rich.console import Console

    with stage("starting"):
        from auricle.data.store import Store
        from auricle.explain.runs import draw_runs
        from auricle.tasks import load_task

    named, asked = named_runs(runs, task)
    command = " ".join(["auricle figures", *(Path(folder).name for _, folder in named), f"--task {asked}"])
    draw_runs(named, Store(store), load_task(asked), out, classes=class_ or (), command=command)
    Console(stderr=True).print(f"figures: {out / 'figures.html'}", highlight=False, markup=False)
