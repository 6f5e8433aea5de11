"""auricle table: results as Markdown, CSV or LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from auricle.cli.options import TrackOption

# In place of a folder: the published table. A folder of this name is `./main`.
MAIN: Final = "main"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("table")(table)


def table(
    results: Annotated[
        Path,
        typer.Argument(
            help="Folder that evaluate wrote to; or `main`, and the folder after it: the published table with ours.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path | None, typer.Argument(help="Of `main`; without it, the published rows with ours as not run.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task id or a TOML file of your own; by default the one there are results of.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="auroc, auprc, sensitivity (at a specificity of 90 %), f1 or accuracy, macro.")
    ] = "auroc",
    published: Annotated[bool, typer.Option(help="Print other people's published rows beside ours.")] = False,
    by_age: Annotated[
        bool, typer.Option("--by-age", help="One column for each age band, of all training patients or zero-shot.")
    ] = False,
    track: TrackOption = "clean",
    form: Annotated[
        Literal["markdown", "csv", "latex"], typer.Option("--format", help="How it is written.")
    ] = "markdown",
    out: Annotated[Path | None, typer.Option(help="File to write to instead of the screen.")] = None,
) -> None:
    """Print the results below a folder as a table."""
    from auricle.errors import DataError, UnknownNameError
    from auricle.evaluate.main_table import main_table, task_by_task
    from auricle.evaluate.metrics import METRICS
    from auricle.evaluate.table import asked_of, band_table, build, collect
    from auricle.tasks import load_task

    if str(results) == MAIN:
        given = {"--task": task, "--published": published, "--by-age": by_age, "--metric": metric != "auroc"}
        odd = [option for option, value in given.items() if value]
        if odd:
            raise DataError(f"auricle table main has its own tasks and metric: leave out {', '.join(odd)}")
        whole = main_table(collect(folder) if folder else (), track)
        _write({"markdown": lambda: task_by_task(whole), "csv": whole.to_csv, "latex": whole.to_latex}[form](), out)
        return
    if folder is not None:
        raise DataError(f"{folder}: one folder is enough (or `auricle table main {folder}` for the published table)")
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    found = collect(results)
    there = sorted({str(result["meta"]["task"]) for result in found})
    if task is None and len(there) > 1:
        raise DataError(f"{results}: holds results of {', '.join(there)}: give one of them as --task")
    asked = there[0] if task is None else task if task in there else load_task(task).id
    own = asked_of(found, asked)
    if by_age and published:
        raise DataError("--by-age and --published: there are no published numbers by age; leave one of them out")
    built = band_table(own, asked, metric=metric) if by_age else build(own, asked, metric=metric, published=published)
    _write({"markdown": built.to_markdown, "csv": built.to_csv, "latex": built.to_latex}[form](), out)


def _write(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file."""
    from auricle.atomic import write_bytes

    if out is None:
        typer.echo(text)
    else:
        write_bytes(out, text.encode())
