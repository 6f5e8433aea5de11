"""auricle export: weights as ONNX, in a folder that can be given away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import WeightsOption
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)


def export(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write: a new or an empty one, or an earlier export.", show_default=False)
    ],
    weights: WeightsOption = None,
    task: Annotated[
        str | None, typer.Option(help="Compare with the sentences of this task instead of answering by the head.")
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option(help="Sampling rate of what the graph takes; by default that of the weights.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights for the card, as the hub spells it: cc-by-4.0.")
    ] = None,
) -> None:
    """Write weights as ONNX with preprocessing inside, a card and the weights themselves. Research use."""
    with stage("starting"):
        from auricle.export import export_onnx
        from auricle.methods import SHIPPED_WEIGHTS

    with stage("exporting"):
        made = export_onnx(weights or SHIPPED_WEIGHTS, folder, task=task, rate_hz=rate_hz, licence=licence)
    largest = ", ".join(f"{name} {value:.1e}" for name, value in made.differences.items())
    typer.echo(
        f"{made.folder}: model.onnx, {made.n_bytes / 1e6:.2f} MB; auricle.Predictor.from_pretrained reads it too"
    )
    typer.echo(f"largest difference from PyTorch on simulated recordings: {largest}")
