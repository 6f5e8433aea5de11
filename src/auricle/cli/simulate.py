"""auricle simulate: a cohort as a store, its records a function of (seed, number)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from auricle.cli.ingest import ingest_with_progress
from auricle.cli.options import OutArgument
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("simulate")(simulate)


def simulate(
    out: OutArgument,
    n: Annotated[int, typer.Option("-n", help="How many records.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="Which cohort.")] = 0,
    ages: Annotated[str, typer.Option(help="all, adults or children.")] = "all",
    diagnoses: Annotated[
        str, typer.Option(help="Who has what: default, adult, child or core (eight classes).")
    ] = "default",
    quality: Annotated[str, typer.Option(help="Of the recordings: clean, usual or hard.")] = "usual",
    language: Annotated[str, typer.Option(help="Of the reports: en, de or zh.")] = "en",
    age_interaction: Annotated[
        bool, typer.Option(help="Off: a control cohort in which the ECG does not depend on age.")
    ] = True,
    rate_hz: Annotated[float, typer.Option(help="Sampling rate of records and store.")] = 500.0,
    seconds: Annotated[float, typer.Option(help="Length of each record.")] = 10.0,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.", min=1)] = None,
) -> None:
    """Simulate a cohort and store it."""
    with stage("starting"):
        from auricle.simulate import cohort

    options: dict[str, Any] = {
        "n": n, "seed": seed, "ages": ages, "diagnoses": diagnoses, "quality": quality, "language": language,
        "age_interaction": age_interaction, "rate_hz": rate_hz, "seconds": seconds,
    }  # fmt: skip
    cohort(**(options | {"n": 1}))  # an option that cannot be is refused before anything is written
    ingest_with_progress("simulated", Path(), out, options, rate_hz, workers)
