"""Options that several verbs share, and how a run's configuration is put together from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from auricle.config import read_toml, with_overrides
from auricle.registry import merge

StoreArgument = Annotated[Path, typer.Argument(help="Folder of an ingested store.", show_default=False)]
OutArgument = Annotated[Path, typer.Argument(help="Folder to write to; made if needed.", show_default=False)]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file laid under the options.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last resume point.")]
TaskOption = Annotated[str | None, typer.Option(help="Task id (auricle list tasks) or a TOML file of your own.")]
PublishedOption = Annotated[
    Path | None, typer.Option(help="Folder of published split files whose parts replace the task's own.")
]
TrackOption = Annotated[
    str, typer.Option(help="clean, or legacy: the labels of the published split files, with their faults.")
]
StepsOption = Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)]
BatchOption = Annotated[int | None, typer.Option(help="Records per step.", min=1)]
SeedOption = Annotated[int | None, typer.Option(help="Decides order, crops, augmentation and dropout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Settings as key=value, for example train.precision=bf16-mixed model.diag_sim.similarity=both."
    ),
]


def run_values(
    config: Path | None, model: Mapping[str, Any], data: Mapping[str, Any], train: Mapping[str, Any], more: Any
) -> dict[str, Any]:
    """A run's configuration: the file, then the options that were given, then the overrides."""
    under: dict[str, Any] = {"model": {"name": model.get("name")}}
    from_file = read_toml(config) if config else {}
    options = {"model": _given(model), "data": _given(data), "train": _given(train)}
    if "name" in from_file.get("model", {}):
        options["model"].pop("name", None)
    return with_overrides(merge(merge(under, from_file), options), more or [])


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items() if value is not None}
