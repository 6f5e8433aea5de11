"""auricle pretrain: learn from recordings and their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    TaskOption,
    run_values,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pretrain")(pretrain)


def pretrain(
    store: StoreArgument,
    out: OutArgument,
    more: Overrides = None,
    method: Annotated[str, typer.Option(help="One of `auricle list methods`.")] = "lisa",
    preset: Annotated[str | None, typer.Option(help="Size: see `auricle list presets`.")] = None,
    task: TaskOption = None,
    published: PublishedOption = None,
    steps: StepsOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
) -> None:
    """Pre-train a method. With --task only the training part of that task's split is seen, and its prompts are kept."""
    train(
        run_values(
            config,
            {"name": method, "preset": preset},
            {"store": store, "task": task, "published": published},
            {"steps": steps, "batch_size": batch_size, "seed": seed},
            more,
        ),
        out,
        resume,
        title="pretrain",
    )


def train(values: dict[str, object], out: Path, resume: bool, title: str) -> Path:
    """Validate, train with a progress bar, keep the task's prompts with weights that can read them."""
    from rich.console import Console

    from auricle.config import validate
    from auricle.evaluate.protocols import embed_prompts
    from auricle.methods import AlignsText, Method
    from auricle.train.config import RunConfig
    from auricle.train.fit import fit
    from auricle.train.watch import ConsoleWatcher

    config = validate(RunConfig, values, "run")

    def keep_prompts(method: Method) -> None:
        task = config.data.load_task()
        if task and isinstance(method, AlignsText):
            method.keep_prompts(task.id, task.class_names, embed_prompts(task, method.tower()))

    weights = fit(config, out, resume=resume, watcher=ConsoleWatcher(title), on_method=keep_prompts)
    if (weights / "auricle.json").exists():  # with several devices the first process writes them
        Console(stderr=True).print(f"weights: {weights}", highlight=False)
    return weights
