"""auricle pretrain: learn from recordings and their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.options import (
    BatchOption,
    ConfigOption,
    EpochsOption,
    OutArgument,
    Overrides,
    PublishedOption,
    ResumeOption,
    SeedOption,
    StepsOption,
    TaskOption,
    say_where,
)  # fmt: skip
from auricle.progress import stage


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pretrain")(pretrain)


def pretrain(
    store: Annotated[
        Path,
        typer.Argument(
            help="Folder of an ingested store; or `stream`, where a recipe says in data.parts what is mixed.",
            show_default=False,
        ),
    ],
    out: OutArgument,
    more: Overrides = None,
    method: Annotated[str, typer.Option(help="One of `auricle list methods`.")] = "lisa",
    preset: Annotated[str | None, typer.Option(help="Size: see `auricle list presets`.")] = None,
    task: TaskOption = None,
    published: PublishedOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
) -> None:
    """Pre-train a method. With --task only the training part of that task's split is seen, and its prompts are kept."""
    with stage("starting"):
        from auricle.train.pretrain import pretrain as run
        from auricle.train.watch import ConsoleWatcher

    weights = run(
        store, out, method, preset=preset, task=task, published=published, steps=steps, epochs=epochs,
        batch_size=batch_size, seed=seed, settings=more or (), config=config, resume=resume,
        watcher=ConsoleWatcher("pretrain"),
    )  # fmt: skip
    say_where(weights)
