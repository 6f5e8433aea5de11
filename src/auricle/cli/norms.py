"""auricle norms fit: centile curves from a hospital's own normal records, and how they differ from the published."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from auricle.cli.output import check_page_name, check_place, write_page
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import ConfigError
from auricle.progress import progress_bar, stage

if TYPE_CHECKING:
    from auricle.paediatrics.normal_records import NormalRecords
    from auricle.paediatrics.own_norms import OwnNorms

_SHOWN_AGES: Final = (3.0, 30.0, 365.25, 5 * 365.25, 12 * 365.25, 45 * 365.25)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    norms = typer.Typer(no_args_is_help=True, help="Normal limits of your own.", rich_markup_mode=None)
    norms.command("fit")(fit)
    # A second command keeps typer from folding `norms fit` into `norms`.
    norms.callback()(_norms)
    app.add_typer(norms, name="norms")


def _norms() -> None:
    """Normal limits of your own."""


def fit(
    source: Annotated[
        Path, typer.Argument(help="CSV of measurements, CSV manifest of files, or a store.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The curves: a .json file.", show_default=False)],
    method: Annotated[str, typer.Option(help="lms, or quantile (no distribution assumed; slower).")] = "lms",
    label: Annotated[str, typer.Option(help="Only records with this label; empty takes all.")] = "NORM",
    given: Annotated[
        bool, typer.Option("--given", help="Take the measurements that came with the records; measure nothing.")
    ] = False,
    parameter: Annotated[list[str] | None, typer.Option(help="Only this parameter; may be repeated.")] = None,
    least: Annotated[int, typer.Option(help="Patients needed around an age, else there is no curve.")] = 50,
    bootstrap: Annotated[int, typer.Option(help="Resamples of patients for the bands; 0 for none.")] = 100,
    name: Annotated[str | None, typer.Option(help="Who was measured, printed with every centile.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page with tables and figures here.")] = None,
    points: Annotated[bool, typer.Option("--points/--no-points", help="Draw records as points on the page.")] = True,
    seed: Annotated[int, typer.Option(help="Of cross-validation and bootstrap.")] = 0,
) -> None:
    """Fit centile curves to normal records. Research use, not a diagnosis."""
    with stage("starting"):
        from auricle.data.normals import read_normals
        from auricle.paediatrics.fit import Settings, fit_norms
        from auricle.pages.norms import norms_page

    if out.suffix.casefold() != ".json":
        raise ConfigError(f"{out}: the curves are a JSON file; give a name that ends in .json")
    check_place("OUT", out)
    check_page_name("--page", page)
    settings = Settings(method, least, bootstrap=bootstrap, seed=seed, name=name or source.stem)  # type: ignore[arg-type]
    with progress_bar("read") as on_progress:
        records = read_normals(source, label or None, given, on_progress)
    with progress_bar("fit") as on_progress:
        own = fit_norms(records, settings, parameter, on_progress)
    own.write(out)
    command = f"auricle norms fit {shlex.quote(source.name)} {shlex.quote(out.name)}"
    with stage("the page"):
        write_page("--page", page, lambda: norms_page(own, records if points else None, command))
    show(own, records, Console())
    for path in (out, page):
        if path is not None:
            typer.echo(str(path))


def show(own: OwnNorms, records: NormalRecords, console: Console) -> None:
    """What was fitted, and both p2, p50 and p98 at a few ages."""
    import numpy as np

    from auricle.age import describe
    from auricle.paediatrics.own_norms import unit_of
    from auricle.paediatrics.wording import number, parameter_name
    from auricle.pages.norms import compare, spans_text

    left = "; ".join(f"{count} {reason}" for reason, count in records.left_out.items())
    said = f"{len(records)} normal records of {len(np.unique(records.patient))} patients"
    console.print(f"{own.name}: {said}{f' (left out: {left})' if left else ''}", highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("parameter", "age", "own p2 · p50 · p98", "published", ""):
        table.add_column(
            heading, justify="right" if "p" in heading and heading != "parameter" else "left", no_wrap=True
        )
    for row in compare(own, _SHOWN_AGES):
        if row.sex != "both":
            continue  # curves of one sex are on the page
        unit = unit_of(row.parameter)
        own_text, their_text = (
            " · ".join(number(value, unit) if np.isfinite(value) else "-" for value in three)
            for three in (row.own, row.theirs)
        )
        cells = (parameter_name(row.parameter, "en"), describe(row.age_days), own_text, their_text)
        table.add_row(*cells, "differs" if row.differs else "")
    console.print(table)
    for (name, sex), fitted in own.curves.items():
        if sex == "both":
            console.print(
                f"{parameter_name(name, 'en')}: {fitted.n_patients} patients, {spans_text(fitted)}",
                style="dim",
                highlight=False,
            )
    for name, why in own.skipped.items():
        console.print(f"no curve of {parameter_name(name, 'en')}: {why}", style="yellow", highlight=False, markup=False)
    console.print("differs: medians apart by more than chance and by a tenth of p2 to p98.", style="dim")
    console.print(f"[bold]{RESEARCH_USE}[/bold]")
