"""fit: a run from its first step, or from where it was killed, to saved weights.

Order, crops, augmentation and dropout are functions of (seed, step, rank), so a resumed run is the run that was never
killed, bit for bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.age_axis import known_ages
from auricle.data.loader import Batches
from auricle.data.mixture import Mixture
from auricle.errors import require
from auricle.methods import AlignsText, Method, build_method, load_card, save_method
from auricle.processes import is_first_process
from auricle.progress import stage
from auricle.tasks import Task
from auricle.tasks.answers import Answers, count_answers, resembling, unanswered
from auricle.tasks.prompts import embed_prompts
from auricle.train.config import Precision, RunConfig
from auricle.train.mixing import facts_of_mixture
from auricle.train.run_folder import (
    as_begun,
    leaves_nothing,
    open_run_folder,
    resume_point,
    resume_step,
)
from auricle.train.setup import build, load_run
from auricle.train.stopping import stops_when_asked
from auricle.train.timing import Timing, faster_precision, time_steps, untimed_precision
from auricle.train.watch import Estimate, Watcher


def fit(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Train what `config` describes and save it.

    Args:
        config: the run.
        out: run folder; gets run.toml, asked.json, log.jsonl, checkpoints/ and model/. With several machines a folder
            that all of them see.
        resume: go on from the folder's last resume point.
        watcher: is told of the estimate and of progress; by default nobody is.
        about: facts to keep with the weights.

    Returns:
        The folder of the saved weights, `out`/model. Weights that compare recordings with sentences carry the prompts
        of the run's task, so that a `Predictor` can read them.

    Raises:
        ConfigError: the folder holds a run already, or another run than the one to resume, or not all machines see it.
        DataError: a loss that is not finite; names the records of the batch.
        StoppedError: SIGTERM or SIGINT arrived; a resume point of the last whole step was kept.
    """
    # With several processes this program is started again for each: only the first owns the folder and speaks.
    leads = is_first_process(config.train.devices * config.train.nodes)
    watcher = (watcher if leads else None) or Watcher()
    with stage("the store and the model"):
        config, method, steps = build(as_begun(config, out) if resume else config)
        config, timings = _with_precision(config, method, steps, out, resume)
    task = _prompted_task(config, method, speaks=leads)
    fresh = leads and not (out / "run.toml").exists()
    first = open_run_folder(config, out, resume) if leads else resume_step(out) if resume else 0
    if leads:
        with stage("first steps, for an estimate"), leaves_nothing(out, fresh):
            estimate = _estimate(config, method, steps, first, timings)
    with stage("the training loop"):
        require("lightning", "train")
        from auricle.train.loop import Loop, quiet_lightning, trainer_of
    if leads:
        watcher.begin(estimate, config)
    loop = Loop(method, config, steps, first, out, watcher)
    with quiet_lightning():
        trainer = trainer_of(config)
        point = str(resume_point(out, first)) if first else None
        try:
            with stops_when_asked(loop):
                trainer.fit(loop, ckpt_path=point, weights_only=True if first else None)
        finally:
            watcher.end()
    if not leads:
        return out / "model"
    if loop.whole is not None:
        method = build_method(config.model)
        method.load_state_dict(loop.whole)
    method = method.cpu().eval()
    if task is not None and isinstance(method, AlignsText):
        with stage("the sentences of the task"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*may not be English")  # it was said before training
            method.keep_prompts(task.id, task.class_names, embed_prompts(task, method.tower()))
    save_method(method, out / "model", {**_facts(config, steps), **(about or {})})
    return out / "model"


def _prompted_task(config: RunConfig, method: Method, speaks: bool) -> Task | None:
    """The task whose prompts travel with the weights, where the method compares recordings with sentences.

    Raises:
        DataError: a prompt that the tower cannot read, which is told before hours of training and not behind them.
    """
    task = config.data.load_task()
    if task is None or not isinstance(method, AlignsText):
        return None
    silent = [entry.name for entry in task.classes if not entry.prompts.get("en")]
    if silent and speaks:
        warnings.warn(
            f"task {task.id}: no prompt for {', '.join(silent)}, so the weights will carry none and answer nothing "
            "without labels: add `prompts` to every class",
            stacklevel=3,
        )
    if silent:
        return None
    if speaks:
        embed_prompts(task, method.tower())
    return task


def _facts(config: RunConfig, steps: Batches) -> dict[str, Any]:
    """What to keep with the weights: on what they were trained and for how long; names, no paths of this machine."""
    task = config.data.load_task()
    seen = steps.seen
    if isinstance(steps, Mixture):
        learned = config.train.steps * config.train.accumulate * config.train.devices * config.train.nodes
        data = facts_of_mixture(steps.facts, learned)
    else:
        assert seen.store is not None
        data = {
            "source": seen.store.info["source"],
            "others_left_out": bool(seen.store.info["options"].get("leave_out")),
            "people": seen.store.info["options"].get("seed", 0) if seen.store.info["source"] == "simulated" else None,
            "n_records": len(seen.rows),
            "age_days": _ages(seen.store.columns.age_days[seen.rows]),
            "split": task.split_facts() if task else None,
        }
    return {
        **data,
        "task": task.id if task else None,
        "titles": task.titles() if task else {},
        "track": config.data.track,
        "part": config.data.part,
        "label_share": config.data.label_share,
        "newborn_share": config.data.newborn_share,
        "steps": config.train.steps,
        "batch_size": config.train.batch_size * config.train.accumulate * config.train.devices * config.train.nodes,
        "seed": config.train.seed,
        "init_from": Path(config.init_from).name if config.init_from else None,
        "donor": load_card(config.init_from)[0]["about"] if config.init_from else None,
    }


def _ages(age_days: NDArray[np.float64]) -> list[float] | None:
    """The least and the greatest of some ages in days; None where all are unknown."""
    known = age_days[known_ages(age_days)]
    return [float(known.min()), float(known.max())] if len(known) else None


def _with_precision(
    config: RunConfig, method: Method, steps: Batches, out: Path, resume: bool
) -> tuple[RunConfig, Mapping[Precision, Timing]]:
    """The run with a precision in place of `auto`, the one it was begun with or the faster one; and what was timed."""
    if config.train.precision != "auto":
        return config, {}
    timings: Mapping[Precision, Timing] = {}
    chosen = untimed_precision()
    if resume and (out / "run.toml").exists():
        chosen = load_run(out).train.precision
    elif config.train.devices * config.train.nodes == 1:
        chosen, timings = faster_precision(method, steps, config.train.steps)
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": chosen})}), timings


def _estimate(
    config: RunConfig, method: Method, steps: Batches, first: int, timings: Mapping[Precision, Timing]
) -> Estimate:
    """What the run will take, by steps that were timed already or by a few more."""
    precision = config.train.precision
    timing = timings.get(precision) or time_steps(
        method, steps, config.train.steps, precision, reads=config.train.workers == 0
    )
    remaining = (config.train.steps - first) * config.train.accumulate
    answers, gaps = _labels_of(config, steps)
    return Estimate(
        n_parameters=sum(parameter.numel() for parameter in method.parameters()),
        n_records=None if isinstance(steps, Mixture) else len(steps.seen.rows),
        records_per_second=config.train.batch_size / timing.seconds,
        seconds=remaining * timing.seconds,
        first_step=first,
        answers=answers,
        unanswered=gaps,
        precision=precision if timings else None,
        slower=tuple(
            f"{other} {config.train.batch_size / one.seconds:.0f}" if one.finite else f"{other}: no finite loss"
            for other, one in timings.items()
            if other != precision
        ),
    )


def _labels_of(config: RunConfig, steps: Batches) -> tuple[tuple[Answers, ...], tuple[str, ...]]:
    """What the labels of a run can teach, where it is trained on labels."""
    task, seen = config.data.load_task(), steps.seen
    if task is None or seen.targets is None:
        return (), ()
    answers = count_answers(task, seen.targets[seen.rows])
    said = unanswered(task, seen.store, answers)
    if seen.store is not None:
        said += resembling(task, seen.store.column("labels")[seen.rows])
    return answers, tuple(said)
