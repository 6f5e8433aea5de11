"""auricle robustness: fewer leads, lower rates, noise and swapped leads; one table and one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import StoreArgument, named_runs
from auricle.cli.stop import keeps
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("robustness")(robustness)


def robustness(
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(help="Folder for predictions, robustness.md and robustness.png.")],
    runs: Annotated[list[str], typer.Argument(help="Run folders or saved weights, one or more; or NAME=FOLDER.")],
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the one of the runs.")
    ] = None,
) -> None:
    """Score runs on the test part as recorded and under harder conditions, without learning anything again."""
    from rich.console import Console

    from auricle.atomic import write_bytes, write_with

    with stage("starting"):
        from auricle.data.store import Store
        from auricle.evaluate import robustness as ask
        from auricle.evaluate.lineage import setting_of
        from auricle.evaluate.table import collect
        from auricle.explain.figures import robustness as draw
        from auricle.tasks import load_task

    keeps(f"the conditions that were asked are kept in {out}; the same command asks all of them again")
    named, asked = named_runs(runs, task)
    opened, question, console = Store(store), load_task(asked), Console(stderr=True)
    for given, folder in named:
        ask.robustness(setting_of(folder, opened, question, out, given))
    results = collect(out)
    table = ask.table(results, question.id).to_markdown()
    figure = draw(
        [(condition.name, condition.family) for condition in ask.CONDITIONS],
        ask.with_intervals(ask.by_condition(results, question.id)),
        title=f"{question.title}: what is left under harder conditions",
    )
    write_bytes(out / "robustness.md", table.encode())
    write_with(out / "robustness.png", lambda path: figure.savefig(path, format="png", dpi=144, bbox_inches="tight"))
    typer.echo(table)
    console.print(f"figure: {out / 'robustness.png'}", highlight=False, markup=False)
