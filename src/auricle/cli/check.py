"""auricle check: what is wrong with a manifest, before anything is made from it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.cli.output import check_page_name, write_page
from auricle.disclaimer import RESEARCH_USE
from auricle.progress import progress_bar, stage

if TYPE_CHECKING:
    from auricle.doctor import Facts, Finding, Report

_MOST_ENDPOINTS: Final = 12
_VERDICT_STYLE: Final = {"fine": "green", "weak": "yellow", "not feasible": "red"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check")(check)


def check(
    manifest: Annotated[Path, typer.Argument(help="CSV manifest of your recordings.", show_default=False)],
    files: Annotated[bool, typer.Option("--files/--no-files", help="Read every recording, or only the CSV.")] = True,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page with figures here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the summary.")] = False,
) -> None:
    """Examine a manifest: errors (exit status 1), warnings, what betrays age, which endpoints are feasible."""
    check_page_name("--page", page)
    with stage("starting"):
        from auricle.doctor import examine
        from auricle.pages.check import check_page

    with progress_bar("read") as on_progress:
        report = examine(manifest, files, on_progress)
    with stage("the page"):
        write_page("--page", page, lambda: check_page(report, _command(Path(manifest.name), files)))
    if as_json:
        typer.echo(json.dumps(report.to_dict(), allow_nan=False, ensure_ascii=False))
    else:
        show(report, Console(), page, manifest)
    if report.errors:
        raise typer.Exit(1)


def show(report: Report, console: Console, page: Path | None, manifest: Path) -> None:
    """The report for a person at a terminal."""
    console.print(Text.assemble((report.manifest, "bold"), f": {report.summary()}"))
    for title, style, findings in (("error", "red", report.errors), ("warning", "yellow", report.warnings)):
        _show_findings(console, title, style, findings)
    if report.n_records:
        _show_ages(console, report.facts)
        _show_recordings(console, report.facts)
        _show_endpoints(console, report.facts)
    if page is not None:
        console.print(f"the page: {page}", highlight=False, markup=False, soft_wrap=True)
    else:
        hint = (
            f"{_command(manifest, report.files_read is not None)} --page {shlex.quote(manifest.stem + '-check.html')}"
        )
        console.print(f"a page with figures: {hint}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"[bold]{RESEARCH_USE}[/bold]")


def _command(manifest: Path, files: bool) -> str:
    return f"auricle check {shlex.quote(str(manifest))}{'' if files else ' --no-files'}"


def _show_findings(console: Console, title: str, style: str, findings: Sequence[Finding]) -> None:
    n = len(findings)
    if not n:
        console.print(Text(f"no {title}s", style="green"))
        return
    console.print(Text(f"{n} kind{'' if n == 1 else 's'} of {title}", style=f"bold {style}"))
    grid = Table.grid(padding=(0, 1))  # keeps wrapped lines behind their bullet
    for finding in findings:
        grid.add_row(Text(" •", style=style), Text(finding.message))
        if finding.lines:
            grid.add_row("", Text(finding.places(), style="dim"))
    console.print(grid)


def _show_ages(console: Console, facts: Facts) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("age band")
    for name in ("recordings", "patients", "F", "M", "?"):
        table.add_column(name, justify="right")
    for band in facts.bands:
        numbers = (band.records, band.patients, band.female, band.male, band.sex_unknown)
        table.add_row(
            band.name, *(str(number) if number else "·" for number in numbers), style="" if any(numbers) else "dim"
        )
    console.print(table)


def _show_recordings(console: Console, facts: Facts) -> None:
    for name, counted, unit in (
        ("lead sets", facts.lead_sets, ""),
        ("rates", facts.rates_hz, " Hz"),
        ("lengths", facts.seconds, " s"),
    ):
        if counted:
            shown = ", ".join(f"{value}{unit} ({count})" for value, count in counted[:4])
            more = f", {len(counted) - 4} others" if len(counted) > 4 else ""
            console.print(Text.assemble((f"{name}: ", "bold"), shown + more))


def _show_endpoints(console: Console, facts: Facts) -> None:
    if not facts.endpoints:
        return
    console.print(Text.assemble(("endpoints", "bold"), f" (positive patients, split {facts.split})"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("label")
    for name in ("patients", *facts.endpoints[0].parts, "AUROC .85 ±"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for one in facts.endpoints[:_MOST_ENDPOINTS]:
        width = "–" if one.half_width is None else f"{one.half_width:.2f}"
        numbers = (str(number) for number in (one.patients, *one.parts.values()))
        table.add_row(Text(one.label), *numbers, width, Text(one.verdict, style=_VERDICT_STYLE[one.verdict]))
    console.print(table)
    left = len(facts.endpoints) - _MOST_ENDPOINTS
    if left > 0:
        console.print(f"  and {left} more labels: --json or --page", highlight=False, markup=False)
