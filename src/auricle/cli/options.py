"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from auricle.errors import ConfigError

StoreArgument = Annotated[Path, typer.Argument(help="Folder of an ingested store.", show_default=False)]
OutArgument = Annotated[Path, typer.Argument(help="Folder to write to; made if needed.", show_default=False)]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help="A recipe of `auricle list recipes` or a TOML file, laid under the options."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last resume point.")]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="lisa-nano (which come along, and are the default), a run folder, weights, or a name on the hub."
    ),
]
EncoderOption = Annotated[
    Path | None,
    typer.Option(help="Weights from elsewhere: a TOML that says what they read, or a folder with a foreign.toml."),
]
TaskOption = Annotated[str | None, typer.Option(help="Task id (auricle list tasks) or a TOML file of your own.")]
PublishedOption = Annotated[
    Path | None, typer.Option(help="Folder of published split files whose parts replace the task's own.")
]
TrackOption = Annotated[
    str, typer.Option(help="clean, or legacy: the labels of the published split files, with their faults.")
]
StepsOption = Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)]
EpochsOption = Annotated[float | None, typer.Option(help="Passes over the records, in place of --steps.")]
BatchOption = Annotated[int | None, typer.Option(help="Records per step.", min=1)]
SeedOption = Annotated[int | None, typer.Option(help="Decides order, crops, augmentation and dropout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Settings as key=value, for example train.precision=bf16-mixed model.diag_sim.similarity=both."
    ),
]


def named_runs(runs: Sequence[str], task: str | None) -> tuple[list[tuple[str, Path]], str]:
    """(name, folder) of runs that were given as FOLDER or NAME=FOLDER, and the task they are asked.

    Raises:
        ConfigError: no task is given, and the runs were trained for several.
    """
    from auricle.evaluate.lineage import task_of

    named = [(name, Path(folder)) for name, _, folder in (run.rpartition("=") for run in runs)]
    own = [] if task else list(dict.fromkeys(task_of(folder) for _, folder in named))
    if len(own) > 1:
        raise ConfigError(f"the runs were trained for {', '.join(own)}: say with --task what all of them are asked")
    return named, task or own[0]


def say_where(weights: Path) -> None:
    """Say where the weights of a run lie; with several devices the first process has written them."""
    if (weights / "auricle.json").exists():
        Console(stderr=True).print(f"weights: {weights}", highlight=False, markup=False)
