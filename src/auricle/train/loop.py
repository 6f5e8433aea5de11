"""The loop of a run, as the one LightningModule of the project and the trainer that drives it.

Importing Lightning takes seconds, so this room is entered when a training begins and not before.
"""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils.data import DataLoader

from auricle.batch import ECGBatch
from auricle.data.loader import Batches, training_loader
from auricle.data.order import Share
from auricle.errors import ConfigError, DataError, StoppedError, require
from auricle.methods import Method, Progress
from auricle.processes import anywhere, longest
from auricle.train.collapse import FeatureWatch
from auricle.train.config import RunConfig
from auricle.train.optimiser import optimiser_of
from auricle.train.parallel import shard, strategy, whole_state
from auricle.train.run_folder import save_resume_point
from auricle.train.stopping import stopped
from auricle.train.watch import Watcher

lightning = require("lightning", "train")

# A run that is stopped early has something to go on from: its first resume point is kept after so many seconds.
_FIRST_POINT_S: Final = 30.0


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


class Loop(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """What happens before, at and after each step; the method itself stays a plain module.

    Args:
        method: is trained.
        config: the run.
        steps: its batches.
        first: optimiser step to start from.
        out: run folder.
        watcher: is told of each step.

    Attributes:
        whole: the method's weights after the last step, where processes share them out; else None.
        asked_to_stop: the signal that asked this process to stop, 0 for none.
        step_s: seconds that the last step took.
        kept: step of the newest resume point.
        take_signals: called when the training starts (`auricle.train.stopping`).
    """

    def __init__(
        self, method: Method, config: RunConfig, steps: Batches, first: int, out: Path, watcher: Watcher
    ) -> None:
        super().__init__()
        self.method, self.config, self.steps, self.first, self.watcher = method, config, steps, first, watcher
        self.whole: dict[str, torch.Tensor] | None = None
        self.features = FeatureWatch(method)
        self.asked_to_stop = 0
        self.begun = self.step_begun = time.monotonic()
        self.step_s = 0.0
        self.kept, self.out = first, out
        self.take_signals: Callable[[], Any] = lambda: None

    def setup(self, stage: str) -> None:
        """See that all processes go on from the same step of one folder, before anything is restored.

        Raises:
            ConfigError: they do not see one run folder.
        """
        del stage
        if self.trainer.world_size == 1:
            return
        device = self.trainer.strategy.root_device
        alone = self.first != longest(self.first, device) or not (self.out / "run.toml").exists()
        if anywhere(torch.tensor(alone, device=device)):
            raise ConfigError(f"{self.out}: not all machines see the folder of this run: give one that they share")

    def configure_model(self) -> None:
        """Share the tensors out, where the run asks for it."""
        if self.config.train.strategy == "fsdp":
            shard(self.method, self.device_mesh["data_parallel"])

    def on_train_start(self) -> None:
        """Take the signals and start the clock."""
        self.take_signals()  # here, because Lightning has installed its own by now
        self.begun = self.step_begun = time.monotonic()

    def train_dataloader(self) -> DataLoader[ECGBatch]:
        """The batches of this process from the first step on."""
        train = self.config.train
        share = Share(rank=self.global_rank, world=self.trainer.world_size, nodes=self.trainer.num_nodes)
        n_batches = train.steps * train.accumulate
        return training_loader(self.steps.of(share), self.first * train.accumulate, n_batches, train.workers)

    def transfer_batch_to_device(self, batch: ECGBatch, device: torch.device, dataloader_idx: int) -> ECGBatch:
        """The batch on a device."""
        del dataloader_idx
        return batch.to(device)

    def on_train_end(self) -> None:
        """Put shared-out tensors together."""
        if self.config.train.strategy == "fsdp":
            self.whole = whole_state(self.method)  # every process takes part, the first one keeps it

    def training_step(self, batch: ECGBatch, batch_idx: int) -> torch.Tensor:
        """The loss of a batch; its chance is a function of (seed, step, rank).

        Raises:
            DataError: the loss is not finite.
        """
        train = self.config.train
        torch.manual_seed(stream(train.seed, batch_idx, self.global_rank))
        result = self.method.step(batch, Progress(self.global_step, train.steps))
        if anywhere(~torch.isfinite(result.loss)):  # all processes leave, or those that go on would wait for ever
            remedy = "; try train.precision=32-true" if train.precision != "32-true" else ""
            loss, at = result.loss.item(), f"at step {self.global_step}"
            if math.isfinite(loss):
                raise DataError(f"the loss of another process is not finite {at}{remedy}")
            raise DataError(f"the loss is {loss} {at}, in the batch of records {', '.join(batch.record_id)}{remedy}")
        self.terms = {name: value.item() for name, value in result.terms.items()}
        return result.loss

    def on_train_batch_end(self, outputs: Any, batch: ECGBatch, batch_idx: int) -> None:
        """After an optimiser step: tell of it, keep a resume point where it is time, leave where that was asked.

        Raises:
            StoppedError: a signal asked to stop; a resume point of this step was kept.
        """
        del outputs
        train = self.config.train
        if (batch_idx + 1) % train.accumulate:
            return
        step, now = self.global_step, time.monotonic()
        self.step_s, self.step_begun = now - self.step_begun, now
        self.method.after_step(Progress(step, train.steps))
        if self.global_rank == 0:
            self._tell(step, len(batch) * train.accumulate * self.trainer.world_size)
        stop, early = self._stop_signal(), self._is_early(now)
        if stop or early or step % train.checkpoint_every == 0 or step == train.steps:
            save_resume_point(self.trainer, self.out, step, train.keep_last)
            self.kept = step
        if stop:
            raise StoppedError(stopped(self.out, step, step), stop)

    def _tell(self, step: int, n_records: int) -> None:
        """The terms of a step for whoever watches, and now and then a line of the log."""
        train = self.config.train
        logged = step % train.log_every == 0 or step == train.steps
        terms = self.features.added_to(self.terms, anew=logged)
        self.watcher.step(step, terms, n_records)
        if logged:
            with (self.out / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, **terms}) + "\n")

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
        """The optimiser of the method's recipe, and its rate over the run."""
        recipe, n_steps = self.config.model.recipe, self.config.train.steps
        optimiser = optimiser_of(self.method)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule(step, n_steps, recipe.warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


def trainer_of(config: RunConfig) -> Any:
    """The trainer of a run, which writes nothing of its own."""
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


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's advice on workers and logging intervals does not apply: ours is a stateless loader."""
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield
