"""auricle text: what a text tower makes of pairs that must, and of pairs that must not, be told apart."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("text")(text)


def text(
    tower: Annotated[str, typer.Argument(help="minilm, ngrams, a Hugging Face id or a local path.")] = "minilm",
) -> None:
    """Print the table of text-pair similarities for a tower."""
    with stage(f"pairs through {tower}"):
        from auricle.text.similarity import pair_table, to_markdown
        from auricle.text.towers import load_tower

        table = to_markdown(pair_table(load_tower(tower)))
    typer.echo(table)
