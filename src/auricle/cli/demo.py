"""auricle demo: the whole road in a few minutes, from a simulated cohort to a page about one newborn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from auricle.cli.ingest import ingest_with_progress
from auricle.cli.options import say_where
from auricle.cli.stop import keeps
from auricle.progress import stage
from auricle.train.watch import ConsoleWatcher, duration

# Sizes that two cores finish in under five minutes, measured; a larger machine changes nothing but the waiting.
_RECORDS: Final = 1500
_PRETRAIN_STEPS: Final = 250
_FINETUNE_STEPS: Final = 350


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything the demo makes.")] = Path("auricle-demo"),
    records: Annotated[int, typer.Option(help="Simulated records.", min=200)] = _RECORDS,
    pretrain_steps: Annotated[int, typer.Option(min=1)] = _PRETRAIN_STEPS,
    finetune_steps: Annotated[int, typer.Option(min=1)] = _FINETUNE_STEPS,
) -> None:
    """Simulate, pre-train, evaluate, fine-tune with age, predict a newborn; ends with one page. Goes on if stopped."""
    console, begun = Console(stderr=True), time.monotonic()
    with stage("starting"):
        from auricle.study import demo as road

    folders = road.Folders(out)
    going_on = f"what was finished is kept in {out}; the same command goes on"
    keeps(going_on)
    console.print("1/5 a simulated cohort from birth to old age", highlight=False)
    options = {"n": records, "diagnoses": "core", "rate_hz": road.RATE_HZ}
    ingest_with_progress("simulated", Path(), folders.store, options, road.RATE_HZ, None)
    keeps(going_on)
    console.print("2/5 pre-training lisa on recordings and reports", highlight=False)
    road.pretrain(folders, pretrain_steps, ConsoleWatcher("pretrain"))
    say_where(folders.pretrained / "model")
    console.print("3/5 zero-shot and linear probes, beside the rows that keep them honest", highlight=False)
    setting = road.evaluate(folders, ConsoleWatcher("supervised"))
    console.print("4/5 fine-tuning with the age gate", highlight=False)
    road.finetune(folders, finetune_steps, ConsoleWatcher("finetune"))
    say_where(folders.finetuned / "model")
    console.print("5/5 one newborn, and the page", highlight=False)
    with stage("the page"):
        page = road.page_of(folders, setting)
    path = out / "index.html"
    page.write(path)
    console.print(
        f"done in {duration(time.monotonic() - begun)}; the page: {path.resolve()}", highlight=False, markup=False
    )
