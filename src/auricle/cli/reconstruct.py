"""auricle reconstruct: leads that are hidden or were never recorded, drawn from the others with their uncertainty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from auricle.cli.output import check_picture_name, write_picture
from auricle.disclaimer import RESEARCH_USE
from auricle.progress import stage

if TYPE_CHECKING:
    from auricle.explain.reconstruction import DrawnLeads


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("reconstruct")(reconstruct)


def reconstruct(
    file: Annotated[Path, typer.Argument(help="A recording in any readable format.", show_default=False)],
    weights: Annotated[
        str, typer.Option(help="Run folder, folder of weights, or a name on the hub, of a method that draws leads.")
    ],
    keep: Annotated[
        str | None, typer.Option(help="Leads the model may see, comma-separated; by default all recorded ones.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a figure here (.png, .svg, .pdf).")] = None,
) -> None:
    """Draw absent leads from the others, over the true ones where there are any. Research use, not a diagnosis."""
    check_picture_name("--out", out)
    with stage("starting"):
        from auricle.explain.reconstruction import drawn_leads, reconstruction_figure
        from auricle.io import read
        from auricle.methods import load_method

    method = load_method(weights)
    drawn = drawn_leads(method, read(file), [name for name in keep.split(",") if name.strip()] if keep else None)
    if out is not None:
        figure = reconstruction_figure(drawn, title=f"{file.name}: absent leads, drawn from the others")
        write_picture("--out", out, figure, dpi=120, tight=True)
    show(drawn, Console(), file.name)
    if out is not None:
        typer.echo(f"{out}")


def show(drawn: DrawnLeads, console: Console, title: str) -> None:
    """Each hidden lead that was recorded: how near the drawn one is."""
    console.print(f"[bold]{title}[/bold], read: {', '.join(drawn.kept)}", highlight=False)
    never = [name for name in drawn.leads if name not in drawn.recorded]
    errors = drawn.errors()
    if errors:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for heading in ("lead", "correlation", f"RMSE {drawn.unit}", "lead itself", "in the band"):
            table.add_column(heading, justify="left" if heading == "lead" else "right", no_wrap=True)
        for error in errors:
            sizes = (f"{error.rmse:.3f}", f"{error.zero:.3f}", f"{error.inside:.0%}")
            table.add_row(error.lead, f"{error.correlation:.2f}", *sizes)
        console.print(table)
        console.print("lead itself: the RMSE of drawing nothing; in the band: 95 % where the uncertainty is right")
    else:
        console.print("no lead was hidden that was recorded, so there is nothing to compare with", highlight=False)
    if never:
        console.print(f"drawn, and never recorded: {', '.join(never)}", highlight=False, markup=False)
    console.print(f"[bold]{RESEARCH_USE}[/bold]")
