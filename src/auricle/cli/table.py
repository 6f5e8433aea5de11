"""auricle table: results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_METRICS = ("auroc", "auprc", "f1", "accuracy")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("table")(table)


def table(
    results: Annotated[Path, typer.Argument(help="Folder that evaluate wrote to.")],
    task: Annotated[str, typer.Option(help="Task id.")] = "ptb_xl/super",
    metric: Annotated[str, typer.Option(help="auroc, auprc, f1 or accuracy, macro.")] = "auroc",
    published: Annotated[bool, typer.Option(help="Print other people's published rows beside ours.")] = False,
) -> None:
    """Print the results below a folder as a Markdown table."""
    from auricle.errors import UnknownNameError
    from auricle.evaluate.table import collect, to_markdown

    if metric not in _METRICS:
        raise UnknownNameError("metric", metric, _METRICS)

    typer.echo(to_markdown(collect(results), task, metric=metric, published=published))
