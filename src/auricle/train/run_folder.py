"""The folder of a run: opened for a first step or for the one after the last that was kept, and its resume points."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from auricle.atomic import write_bytes, write_json
from auricle.config import write_toml
from auricle.data.store import Store
from auricle.errors import AuricleError, CheckpointError, ConfigError
from auricle.tasks import load_task
from auricle.train.config import RunConfig
from auricle.train.setup import load_run, same_run

RESUME_POINTS: Final = "checkpoints"
# Of which records and questions a run was begun: paths alone do not tell.
_ASKED: Final = "asked.json"
# A disk with less room than this is full.
_FULL_BYTES: Final = 2**20


def as_begun(config: RunConfig, out: Path) -> RunConfig:
    """The run with what its streams looked like when it was begun; unchanged where nothing was begun."""
    if not (out / "run.toml").exists():
        return config
    begun, parts = load_run(out).data.parts, dict(config.data.parts)
    for name, part in parts.items():
        of_old = begun[name].stream if name in begun else None
        if part.stream is not None and of_old is not None:
            stream = part.stream.model_copy(update={"probe": of_old.probe})
            if stream != of_old:  # other people were asked for, which is said as any other setting that differs
                continue
            parts[name] = part.model_copy(update={"stream": stream})
    return config.model_copy(update={"data": config.data.model_copy(update={"parts": parts})})


def other_than_begun(place: Path, asked: Mapping[str, Any]) -> list[str]:
    """Names of facts that differ from those in `place` (JSON), with which work was begun; none where it is missing."""
    known = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return [name for name, value in asked.items() if known.get(name, value) != value]


def open_run_folder(config: RunConfig, out: Path, resume: bool) -> int:
    """Make or re-open the run folder and return the optimiser step to start from.

    Raises:
        ConfigError: the folder holds a run and `resume` is not asked for, or a run of other settings, of a store that
            was ingested anew from other records, or of a task whose file says something else by now.
        CheckpointError: the newest resume point cannot be read.
    """
    asked = _asked(config)
    if (out / "run.toml").exists():
        if not resume:
            raise ConfigError(f"{out}: already holds a run; resume it with --resume or choose another folder")
        differing = same_run(load_run(out), config)
        if differing:
            raise ConfigError(f"{out}: was begun with another {', '.join(differing)}; resume needs the same run")
        changed = other_than_begun(out / _ASKED, asked)
        if changed:
            raise ConfigError(
                f"{out}: {' and '.join(changed)} no longer holds what the run was begun with: begin another"
            )
    begun = (out / "run.toml").exists()
    out.mkdir(parents=True, exist_ok=True)
    write_toml(config, out / "run.toml")
    write_json(out / _ASKED, asked)
    (out / RESUME_POINTS).mkdir(exist_ok=True)
    first = resume_step(out) if resume else 0
    if resume and not first:
        what = "its run kept no resume point" if begun else "no run was begun there"
        warnings.warn(f"{out}: nothing to resume, {what}; it begins at the first step", stacklevel=3)
    _cut_log(out / "log.jsonl", first)
    return first


def _asked(config: RunConfig) -> dict[str, str]:
    """Fingerprints of the stores and tasks of a run, by the path or name of each."""
    data = config.data
    stores = [data.store, *(part.store for part in data.parts.values())]
    tasks = [data.load_task(), *(load_task(part.split) for part in data.parts.values() if part.split)]
    return {str(store): Store(store).fingerprint for store in stores if store is not None} | {
        task.origin: task.fingerprint for task in tasks if task is not None
    }


@contextmanager
def leaves_nothing(out: Path, fresh: bool) -> Iterator[None]:
    """A run that is refused at its first step leaves no folder that would stand in the way of the next."""
    try:
        yield
    except AuricleError:
        if fresh:
            for name in ("run.toml", _ASKED, "log.jsonl"):
                (out / name).unlink(missing_ok=True)
            for folder in (out / RESUME_POINTS, out):
                if not any(folder.iterdir()):
                    folder.rmdir()
        raise


def resume_point(out: Path, step: int) -> Path:
    """Where a run keeps what it needs to go on after an optimiser step."""
    return out / RESUME_POINTS / f"step-{step:08d}.ckpt"


def resume_step(out: Path) -> int:
    """The optimiser step of a run folder's newest resume point, 0 if there is none.

    Raises:
        CheckpointError: the resume point cannot be read.
    """
    points = sorted((out / RESUME_POINTS).glob("step-*.ckpt"))
    if not points:
        return 0
    try:
        return int(torch.load(points[-1], map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except Exception as error:
        older = "go on from the one before" if len(points) > 1 else "start again"
        raise CheckpointError(f"{points[-1]}: cannot be read ({type(error).__name__}); remove it to {older}") from error


def _cut_log(path: Path, first: int) -> None:
    """Forget log lines from steps that will be done again."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= first]
    if kept != lines or not path.exists():
        write_bytes(path, "".join(f"{line}\n" for line in kept).encode())


def save_resume_point(trainer: Any, out: Path, step: int, keep: int) -> None:
    """Keep what a run needs to go on after an optimiser step, and so many such points in all.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    path = resume_point(out, step)
    partial = path.with_suffix(".tmp")
    try:
        trainer.save_checkpoint(partial)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        if shutil.disk_usage(path.parent).free < _FULL_BYTES:  # of which torch says that a file write failed
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    if trainer.is_global_zero:
        partial.rename(path)
        for old in sorted(path.parent.glob("step-*.ckpt"))[:-keep]:
            old.unlink()
