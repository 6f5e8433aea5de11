"""auricle sample: a folder of simulated recordings in which every command of the README can be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.disclaimer import RESEARCH_USE


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sample")(sample)


def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if needed.", show_default=False)],
    n: Annotated[int, typer.Option("-n", help="Children in records.csv beside the three.", min=1)] = 240,
) -> None:
    """Write simulated samples: newborn, child and adult (.hea), records.csv, mine.toml and normals.csv."""
    from auricle.simulate.samples import write_samples

    for path in write_samples(folder, n):
        typer.echo(f"{path}")
    typer.echo(f"All of them are simulated. {RESEARCH_USE}")
