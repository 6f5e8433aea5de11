"""auricle finetune: labels, an encoder from a pre-trained run or from scratch, with or without the age gate."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.cli.options import (
    BatchOption,
    ConfigOption,
    EncoderOption,
    EpochsOption,
    OutArgument,
    Overrides,
    PublishedOption,
    ResumeOption,
    SeedOption,
    StepsOption,
    StoreArgument,
    TrackOption,
    say_where,
)  # fmt: skip
from auricle.errors import ConfigError
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("finetune")(finetune)


def finetune(
    store: StoreArgument,
    out: OutArgument,
    more: Overrides = None,
    task: Annotated[str | None, typer.Option(help="Task id (auricle list tasks) or a TOML file of your own.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A pre-trained run, saved weights, or lisa-nano, which comes along; without it, from scratch.",
        ),
    ] = None,
    encoder: EncoderOption = None,
    gate: Annotated[bool, typer.Option(help="Put an age gate at every modulation point.")] = True,
    backbone: Annotated[
        str | None, typer.Option(help="frozen, slow or full; by default slow, and full from scratch.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder and input when training from scratch.")] = None,
    label_share: Annotated[float | None, typer.Option(help="Share of the training patients to use.")] = None,
    published: PublishedOption = None,
    track: TrackOption = "clean",
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
) -> None:
    """Fine-tune an encoder on a task's labels."""
    with stage("starting"):
        from auricle.train.finetune import finetune as run
        from auricle.train.watch import ConsoleWatcher

    if encoder is not None and init_from is not None:
        raise ConfigError("--encoder and --from both name the weights to begin with: give one of the two")
    weights = run(
        store, out, task=task, init_from=encoder or init_from, gate=gate, backbone=backbone, preset=preset,
        label_share=label_share, published=published, track=track, steps=steps, epochs=epochs,
        batch_size=batch_size, seed=seed, settings=more or (), config=config, resume=resume,
        watcher=ConsoleWatcher("finetune"),
    )  # fmt: skip
    say_where(weights)
