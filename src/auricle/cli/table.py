"""auricle table: results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("table")(table)


def table(
    results: Annotated[Path, typer.Argument(help="Folder that evaluate wrote to.")],
    task: Annotated[str, typer.Option(help="Task id.")] = "ptb_xl/super",
    published: Annotated[bool, typer.Option(help="Print other people's published rows beside ours.")] = False,
) -> None:
    """Print the results below a folder as a Markdown table."""
    from auricle.evaluate.table import collect, to_markdown

    typer.echo(to_markdown(collect(results), task, published=published))
