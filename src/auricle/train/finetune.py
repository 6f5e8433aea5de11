"""Fine-tuning on labels: an encoder from a pre-trained run or from scratch, with or without the age gate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from auricle.errors import ConfigError
from auricle.train.pretrain import train
from auricle.train.setup import finetune_values, run_values
from auricle.train.watch import Watcher


def finetune(
    store: Path | str,
    out: Path | str,
    *,
    task: str | None = None,
    init_from: Path | str | None = None,
    gate: bool = True,
    backbone: str | None = None,
    preset: str | None = None,
    label_share: float | None = None,
    published: Path | str | None = None,
    track: str = "clean",
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    settings: Iterable[str] = (),
    config: str | Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Path:
    """Fine-tune an encoder on the labels of a task.

    Args:
        store: folder of an ingested store.
        out: run folder; gets run.toml, log.jsonl, checkpoints/ and model/.
        task: id or TOML file of a task; gives classes and split. It may stand in `config` instead.
        init_from: a pre-trained run, its weights, a name on the hub, or the TOML of foreign weights; from scratch
            where None.
        gate: put an age gate at every modulation point of the encoder.
        backbone: `frozen`, `slow` (a tenth of the rate) or `full`; where neither this nor `config` says it, an encoder
            that was pre-trained is slow and one from scratch is trained in full.
        preset: encoder and input when training from scratch.
        label_share: share of the training patients to use, in (0, 1].
        published: folder of published split files whose parts replace the task's own.
        track: `clean`, or `legacy` for the labels of those files, with their faults.
        steps: optimiser steps.
        epochs: passes over the training records, in place of `steps`.
        batch_size: records per step.
        seed: decides order, crops, augmentation and dropout.
        settings: dotted assignments laid over everything, such as `model.gate.code=linear`.
        config: a recipe by name (`auricle list recipes`), or a TOML file, laid under the options.
        resume: go on from the folder's last resume point.
        watcher: is told of the estimate and of progress, such as `auricle.train.watch.ConsoleWatcher("finetune")`.

    Returns:
        The folder of the saved weights, `out`/model.

    Raises:
        ConfigError: a setting is wrong, there is no task, an untrained encoder is to be kept, or the folder holds a
            run already.
        CheckpointError: the pre-trained weights cannot be read or do not fit.
        DataError: the store cannot be used, or a loss is not finite.
        StoppedError: a signal asked to stop; a resume point was kept.
    """
    model: dict[str, Any] = {"name": "supervised", "preset": preset, "backbone": backbone}
    if gate:
        model["gate"] = {}
    data = {"store": Path(store), "task": task, "label_share": label_share, "published": published, "track": track}
    values = run_values(
        model, data, {"steps": steps, "epochs": epochs, "batch_size": batch_size, "seed": seed}, config, settings
    )
    values["model"].setdefault("backbone", "slow" if init_from else "full")
    if values["model"]["backbone"] != "full" and not (init_from or values.get("init_from")):
        raise ConfigError(
            f"backbone={values['model']['backbone']} keeps an encoder that was never trained: "
            "name the run it comes from (--from), or leave the backbone out"
        )
    if init_from:
        values = finetune_values({**values, "init_from": str(init_from)})
    return train(values, Path(out), resume=resume, watcher=watcher)
