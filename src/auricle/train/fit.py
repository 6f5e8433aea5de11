"""fit: a run from its first step, or from where it was killed, to saved weights.

Lightning's Trainer drives the loop; a method stays a plain module behind `_Loop`. Order, crops, augmentation and
dropout are functions of (seed, step, rank), so a resumed run is the run that was never killed, bit for bit.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from auricle.age import OLDEST_DAYS
from auricle.batch import ECGBatch
from auricle.data.loader import Batches, training_loader
from auricle.data.mixture import Mixture
from auricle.data.order import Share
from auricle.errors import DataError, StoppedError, require
from auricle.methods import AlignsText, Method, Progress, build_method, load_card, save_method
from auricle.progress import stage
from auricle.tasks import Task
from auricle.tasks.answers import Answers, count_answers, unanswered
from auricle.tasks.prompts import embed_prompts
from auricle.train.collapse import FeatureWatch
from auricle.train.config import Precision, RunConfig
from auricle.train.mixing import facts_of_mixture
from auricle.train.optimiser import optimiser_of
from auricle.train.parallel import shard, strategy, whole_state
from auricle.train.run_folder import (
    as_begun,
    leaves_nothing,
    open_run_folder,
    resume_point,
    resume_step,
    save_resume_point,
)
from auricle.train.setup import build, load_run
from auricle.train.stopping import stopped, stops_when_asked
from auricle.train.timing import Timing, faster_precision, time_steps, untimed_precision
from auricle.train.watch import Estimate, Watcher

# A run that is stopped early has something to go on from: its first resume point is kept after so many seconds.
_FIRST_POINT_S: Final = 30.0


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
        out: run folder; gets run.toml, log.jsonl, checkpoints/ and model/.
        resume: go on from the folder's last resume point.
        watcher: is told of the estimate and of progress; by default nobody is.
        about: facts to keep with the weights.

    Returns:
        The folder of the saved weights, `out`/model. Weights that compare recordings with sentences carry the prompts
        of the run's task, so that a `Predictor` can read them.

    Raises:
        ConfigError: the folder holds a run already, or another run than the one to resume.
        DataError: a loss that is not finite; names the records of the batch.
        StoppedError: SIGTERM or SIGINT arrived; a resume point of the last whole step was kept.
    """
    # With several devices Lightning starts this program again for each: only the first owns the folder and speaks.
    leads = int(os.environ.get("LOCAL_RANK", "0")) == 0
    watcher = (watcher if leads else None) or Watcher()
    with stage("the store and the model"):
        config, method, steps = build(as_begun(config, out) if resume else config)
        config, timings = _with_precision(config, method, steps, out, resume)
    fresh = leads and not (out / "run.toml").exists()
    first = open_run_folder(config, out, resume) if leads else resume_step(out) if resume else 0
    task = _prompted_task(config, method, speaks=leads)
    if leads:
        with stage("first steps, for an estimate"), leaves_nothing(out, fresh):
            estimate = _estimate(config, method, steps, first, timings)
        with stage("the training loop"):
            require("lightning", "train")
        watcher.begin(estimate, config)
    loop = _loop(method, config, steps, first, out, watcher)
    with warnings.catch_warnings():
        _quiet_lightning()
        trainer = _trainer(config)
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
        with stage("the sentences of the task"):
            method.keep_prompts(task.id, task.class_names, embed_prompts(task, method.tower()))
    save_method(method, out / "model", {**_facts(config, steps), **(about or {})})
    return out / "model"


def _prompted_task(config: RunConfig, method: Method, speaks: bool) -> Task | None:
    """The task whose prompts travel with the weights, where the method compares recordings with sentences."""
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
    return None if silent else task


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
        }
    return {
        **data,
        "task": task.id if task else None,
        "titles": task.titles() if task else {},
        "published_split": config.data.published is not None,
        "track": config.data.track,
        "part": config.data.part,
        "label_share": config.data.label_share,
        "newborn_share": config.data.newborn_share,
        "steps": config.train.steps,
        "batch_size": config.train.batch_size * config.train.accumulate,
        "seed": config.train.seed,
        "init_from": Path(config.init_from).name if config.init_from else None,
        "donor": load_card(config.init_from)[0]["about"] if config.init_from else None,
    }


def _ages(age_days: NDArray[np.float64]) -> list[float] | None:
    """The least and the greatest of some ages in days; None where all are unknown."""
    known = age_days[(age_days >= 0) & (age_days <= OLDEST_DAYS)]
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
    return answers, tuple(unanswered(task, seen.store, answers))


def schedule(step: int, n_steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear up over the warm-up, then a cosine down to a tenth."""
    rising = max(1, round(warmup * n_steps))
    if step < rising:
        return (step + 1) / rising
    share = (step - rising) / max(1, n_steps - rising)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def stream(seed: int, step: int, rank: int) -> int:
    """The seed of one step's random numbers."""
    return int(torch.tensor([seed, step, rank]).mul(torch.tensor([1_000_003, 7_919, 104_729])).sum().item()) % 2**31


def _loop(method: Method, config: RunConfig, steps: Batches, first: int, out: Path, watcher: Watcher) -> Any:
    """The one LightningModule of the project, built here because importing Lightning takes seconds."""
    lightning = require("lightning", "train")
    n_batches = config.train.steps * config.train.accumulate

    class Loop(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.method: nn.Module = method
            self.whole: dict[str, torch.Tensor] | None = None
            self.features = FeatureWatch(method)
            self.asked_to_stop = 0
            self.begun = self.step_begun = time.monotonic()
            self.step_s = 0.0
            self.kept, self.out = first, out
            self.take_signals: Callable[[], Any] = lambda: None

        def configure_model(self) -> None:
            if config.train.strategy == "fsdp":
                shard(method, self.device_mesh["data_parallel"])

        def on_train_start(self) -> None:
            self.take_signals()  # here, because Lightning has installed its own by now
            self.begun = self.step_begun = time.monotonic()

        def train_dataloader(self) -> DataLoader[ECGBatch]:
            share = Share(rank=self.global_rank, world=self.trainer.world_size, nodes=self.trainer.num_nodes)
            return training_loader(steps.of(share), first * config.train.accumulate, n_batches, config.train.workers)

        def transfer_batch_to_device(self, batch: ECGBatch, device: torch.device, dataloader_idx: int) -> ECGBatch:
            del dataloader_idx
            return batch.to(device)

        def on_train_end(self) -> None:
            if config.train.strategy == "fsdp":
                self.whole = whole_state(method)  # every process takes part, the first one keeps it

        def training_step(self, batch: ECGBatch, batch_idx: int) -> torch.Tensor:
            torch.manual_seed(stream(config.train.seed, batch_idx, self.global_rank))
            result = method.step(batch, Progress(self.global_step, config.train.steps))
            if not torch.isfinite(result.loss):
                coarse = config.train.precision != "32-true"
                raise DataError(
                    f"the loss is {result.loss.item()} at step {self.global_step}, "
                    f"in the batch of records {', '.join(batch.record_id)}"
                    + ("; try train.precision=32-true" if coarse else "")
                )
            self.terms = {name: value.item() for name, value in result.terms.items()}
            return result.loss

        def on_train_batch_end(self, outputs: Any, batch: ECGBatch, batch_idx: int) -> None:
            if (batch_idx + 1) % config.train.accumulate:
                return
            step, now = self.global_step, time.monotonic()
            self.step_s, self.step_begun = now - self.step_begun, now
            method.after_step(Progress(step, config.train.steps))
            if self.global_rank == 0:
                logged = step % config.train.log_every == 0 or step == config.train.steps
                terms = self.features.added_to(self.terms, anew=logged)
                records = len(batch) * config.train.accumulate * self.trainer.world_size
                watcher.step(step, terms, records)
                if logged:
                    with (out / "log.jsonl").open("a") as log:
                        log.write(json.dumps({"step": step, **terms}) + "\n")
            stop = self._stop_signal()
            early = self._is_early(now)
            if stop or early or step % config.train.checkpoint_every == 0 or step == config.train.steps:
                save_resume_point(self.trainer, out, step, config.train.keep_last)
                self.kept = step
            if stop:
                raise StoppedError(stopped(out, step, step), stop)

        def _is_early(self, now: float) -> bool:
            """Whether this is the moment of the first resume point, of which several processes must be of one mind."""
            due = not self.kept and now - self.begun > _FIRST_POINT_S
            if self.trainer.world_size == 1 or self.kept:
                return due
            return bool(self.trainer.strategy.reduce(torch.tensor(float(due)), reduce_op="max"))

        def _stop_signal(self) -> int:
            """The signal that asks to stop, if any process has received one: all must leave at the same step."""
            if self.trainer.world_size == 1:
                return self.asked_to_stop
            return int(self.trainer.strategy.reduce(torch.tensor(float(self.asked_to_stop)), reduce_op="max"))

        def configure_optimizers(self) -> Any:
            recipe = config.model.recipe
            optimiser = optimiser_of(method)
            rate = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: schedule(step, config.train.steps, recipe.warmup)
            )
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    return Loop()


def _trainer(config: RunConfig) -> Any:
    lightning = require("lightning", "train")
    return lightning.Trainer(
        max_steps=config.train.steps,
        max_epochs=-1,
        accumulate_grad_batches=config.train.accumulate,
        precision=config.train.precision,
        devices=config.train.devices,
        num_nodes=config.train.nodes,
        strategy=strategy(config.train),
        gradient_clip_val=config.model.recipe.clip,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        use_distributed_sampler=False,
        barebones=False,
        num_sanity_val_steps=0,
    )


def _quiet_lightning() -> None:
    """Lightning's advice on workers and logging intervals does not apply: ours is a stateless loader."""
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
