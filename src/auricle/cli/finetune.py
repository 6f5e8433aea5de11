"""auricle finetune: labels, an encoder from a pre-trained run or from scratch, with or without the age gate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from auricle.cli.options import (
    BatchOption,
    ConfigOption,
    OutArgument,
    Overrides,
    PublishedOption,
    ResumeOption,
    SeedOption,
    StepsOption,
    StoreArgument,
    TrackOption,
    run_values,
)  # fmt: skip
from auricle.cli.pretrain import train


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("finetune")(finetune)


def finetune(
    store: StoreArgument,
    out: OutArgument,
    more: Overrides = None,
    task: Annotated[str | None, typer.Option(help="Task id (auricle list tasks) or a TOML file of your own.")] = None,
    init_from: Annotated[
        str | None, typer.Option("--from", help="A pre-trained run; without it, from scratch.")
    ] = None,
    gate: Annotated[bool, typer.Option(help="Put an age gate at every modulation point.")] = True,
    backbone: Annotated[str, typer.Option(help="frozen, slow or full.")] = "slow",
    preset: Annotated[str | None, typer.Option(help="Encoder and input when training from scratch.")] = None,
    label_share: Annotated[float | None, typer.Option(help="Share of the training patients to use.")] = None,
    published: PublishedOption = None,
    track: TrackOption = "clean",
    steps: StepsOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
) -> None:
    """Fine-tune an encoder on a task's labels."""
    from auricle.train.setup import finetune_values

    model: dict[str, Any] = {"name": "supervised", "preset": preset}
    model["backbone"] = backbone if init_from else "full"
    if gate:
        model["gate"] = {}
    values = run_values(
        config,
        model,
        {"store": store, "task": task, "label_share": label_share, "published": published, "track": track},
        {"steps": steps, "batch_size": batch_size, "seed": seed},
        more,
    )
    if init_from:
        values = finetune_values({**values, "init_from": init_from})
    train(values, out, resume, title="finetune")
