"""Pre-training, as the command line and a notebook ask for it: a store and a few options in, saved weights out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from auricle.config import validate
from auricle.errors import ConfigError
from auricle.methods import is_saved
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.setup import load_run, run_values, same_run
from auricle.train.watch import Watcher

# In place of a store: the run's configuration says in `data.parts` what it learns from.
STREAM: Final = "stream"


def pretrain(
    store: Path | str,
    out: Path | str,
    method: str = "lisa",
    *,
    preset: str | None = None,
    task: str | None = None,
    published: Path | str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    settings: Iterable[str] = (),
    config: str | Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Path:
    """Pre-train a method on the recordings of a store.

    Args:
        store: folder of an ingested store, or `stream` where `config` or `settings` say in `data.parts` which streams
            and stores are mixed.
        out: run folder; gets run.toml, log.jsonl, checkpoints/ and model/.
        method: one of `auricle.list_methods()`.
        preset: of the method; its default settings where None.
        task: id or TOML file of a task. Only the training part of its split is seen, and weights that compare
            recordings with sentences keep its prompts.
        published: folder of published split files whose parts replace the task's own.
        steps: optimiser steps.
        epochs: passes over the training records, in place of `steps`.
        batch_size: records per step.
        seed: decides order, crops, augmentation and dropout.
        settings: dotted assignments laid over everything, such as `train.precision=bf16-mixed`.
        config: a recipe by name (`auricle list recipes`), or a TOML file, laid under the options.
        resume: go on from the folder's last resume point.
        watcher: is told of the estimate and of progress, such as `auricle.train.watch.ConsoleWatcher("pretrain")`.

    Returns:
        The folder of the saved weights, `out`/model.

    Raises:
        ConfigError: a setting is wrong, or the folder holds a run already.
        DataError: the store cannot be used, or a loss is not finite.
        StoppedError: a signal asked to stop; a resume point was kept.
    """
    values = run_values(
        {"name": method, "preset": preset},
        {"store": None if str(store) == STREAM else Path(store), "task": task, "published": published},
        {"steps": steps, "epochs": epochs, "batch_size": batch_size, "seed": seed},
        config,
        settings,
    )
    return train(values, Path(out), resume=resume, watcher=watcher)


def train(values: Mapping[str, Any], out: Path, *, resume: bool = False, watcher: Watcher | None = None) -> Path:
    """Validate the values of a run and train it; returns the folder of the saved weights.

    Args:
        values: a `RunConfig` as plain tables.
        out: run folder.
        resume: go on from the folder's last resume point.
        watcher: is told of the estimate and of progress.

    Raises:
        ConfigError: a value is wrong; the message names its key.
    """
    return fit(validate(RunConfig, values, "run"), out, resume=resume, watcher=watcher)


def train_once(config: RunConfig, out: Path, watcher: Watcher, before: Callable[[], None] = lambda: None) -> None:
    """Train a run from its first step, or from where it was killed, unless it is finished.

    Args:
        config: the run.
        out: run folder.
        watcher: is told of the estimate and of progress.
        before: called before anything is trained.

    Raises:
        ConfigError: the folder holds another run.
    """
    begun = (out / "run.toml").exists()
    differing = same_run(load_run(out), config) if begun else []
    if config.train.precision == "auto":  # which it was is told by a few steps
        differing = [key for key in differing if key != "train.precision"]
    if differing:
        raise ConfigError(f"{out}: was made with another {', '.join(differing)}; choose another folder")
    if not is_saved(out / "model"):
        before()
        fit(config, out, resume=begun, watcher=watcher)
