"""auricle study: a whole study in one command; run again, it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.stop import keeps
from auricle.progress import progress_bar, stage

app = typer.Typer(help="A whole study in one command; run again, it goes on where it stopped.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the verb."""
    root.add_typer(app, name="study")


@app.command("paediatric")
def paediatric(
    data: Annotated[Path, typer.Option(help="Manifest (CSV) of children's recordings, or an ingested store.")],
    out: Annotated[Path, typer.Option(help="Folder for everything; made if needed.")],
    task: Annotated[str, typer.Option(help="Task id (auricle list tasks) or a TOML file of your own.")],
    init_from: Annotated[
        str, typer.Option("--from", help="Weights to adapt: lisa-nano, a run folder or saved weights.")
    ] = "lisa-nano",
    epochs: Annotated[float, typer.Option(help="Passes over the training children.")] = 10.0,
    batch_size: Annotated[int, typer.Option(help="Records per step.", min=1)] = 32,
    seeds: Annotated[int, typer.Option(help="Runs of every row.", min=1)] = 3,
    backbone: Annotated[str, typer.Option(help="full, slow or frozen.")] = "full",
    rate_hz: Annotated[float | None, typer.Option(help="Of the store that is made; by default the weights'.")] = None,
    class_: Annotated[
        list[str] | None, typer.Option("--class", help="Whose rates are shown; by default the most frequent ones.")
    ] = None,
) -> None:
    """Check, store, adapt with and without the age, ask before and after, draw: a page, and a text for a paper."""
    from rich.console import Console

    with stage("starting"):
        from auricle.config import validate
        from auricle.study.paediatric import StudyConfig, study
        from auricle.study.report import write_report
        from auricle.train.watch import ConsoleWatcher

    keeps(f"every stage that was finished is kept in {out}; the same command goes on")
    values = {
        "data": data, "task": task, "init_from": init_from, "epochs": epochs, "batch_size": batch_size,
        "seeds": seeds, "backbone": backbone, "rate_hz": rate_hz, "classes": class_ or (),
    }  # fmt: skip
    err = Console(stderr=True)
    with progress_bar("files") as on_progress:
        found = study(
            validate(StudyConfig, values, "study"), out, watcher=ConsoleWatcher("study"),
            say=lambda text: err.print(text, highlight=False), on_progress=on_progress,
        )  # fmt: skip
    with stage("the page"):
        page, text = write_report(found, out)
    typer.echo(found.table.to_markdown())
    err.print(f"the page: {page}; for a paper: {text}", highlight=False, markup=False)


@app.command("mimic")
def mimic(
    mimic: Annotated[Path, typer.Option(help="Folder of MIMIC-IV-ECG.")],
    out: Annotated[Path, typer.Option(help="Folder for everything; made if needed.")],
    ptb_xl: Annotated[Path | None, typer.Option(help="Folder of PTB-XL.")] = None,
    cpsc2018: Annotated[Path | None, typer.Option(help="Folder of CPSC2018.")] = None,
    csn: Annotated[Path | None, typer.Option(help="Folder of Chapman-Shaoxing-Ningbo.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Pre-trained; may be repeated. lisa and merl.")] = None,
    preset: Annotated[str, typer.Option(help="Size of all methods.")] = "small",
    epochs: Annotated[float, typer.Option(help="Passes over the recordings that have a report.")] = 30.0,
    batch_size: Annotated[int, typer.Option(help="Records per step.", min=1)] = 256,
    workers: Annotated[int, typer.Option(help="Loader processes.", min=0)] = 0,
    rate_hz: Annotated[float, typer.Option(help="Of all stores.")] = 500.0,
    references: Annotated[bool, typer.Option(help="Make the reference rows as well.")] = True,
) -> None:
    """Pre-train on MIMIC-IV-ECG and ask PTB-XL, CPSC2018 and CSN, zero-shot and by probes: the published table."""
    from rich.console import Console

    with stage("starting"):
        from auricle.config import validate
        from auricle.study.mimic import MimicConfig
        from auricle.study.mimic import study as run
        from auricle.train.watch import ConsoleWatcher, duration

    keeps(f"every stage that was finished, and the training under way, are kept in {out}; the same command goes on")
    values = {
        "mimic": mimic, "ptb_xl": ptb_xl, "cpsc2018": cpsc2018, "csn": csn, "preset": preset, "epochs": epochs,
        "batch_size": batch_size, "workers": workers, "rate_hz": rate_hz, "references": references,
        **({"methods": method} if method else {}),
    }  # fmt: skip
    err = Console(stderr=True)
    with progress_bar("records") as on_progress:
        found = run(
            validate(MimicConfig, values, "study"), out, watcher=ConsoleWatcher("study"),
            say=lambda text: err.print(text, highlight=False), on_progress=on_progress,
        )  # fmt: skip
    typer.echo(found.table)
    for name, hours in found.hours.items():
        err.print(f"{name}: {duration(3600 * hours)}", highlight=False, markup=False)
