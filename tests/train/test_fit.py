"""Training: a run killed and resumed is the run that was never killed, and a run folder rebuilds its model alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import numpy as np
import pytest
import torch

from auricle.batch import ECGBatch
from auricle.config import read_toml, validate
from auricle.data.ingest import ingest
from auricle.data.loader import View
from auricle.data.store import Store
from auricle.errors import CheckpointError, ConfigError, DataError
from auricle.methods import Progress, Step, load_card, load_method
from auricle.methods.supervised import Supervised
from auricle.tasks import load_task
from auricle.train import loop as training
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.loop import schedule
from auricle.train.run_folder import resume_point, resume_step
from auricle.train.setup import finetune_values, load_run, run_values, same_run, with_classes
from auricle.train.timing import Timing, faster_precision
from auricle.train.watch import Estimate, Watcher, duration

OPTIONS = {"n": 80, "rate_hz": 100.0, "seconds": 4.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    ingest("simulated", Path(), out, options=OPTIONS, rate_hz=100, workers=1)
    return out


def values(store: Path, method: str = "lisa", **train: object) -> dict:
    return {
        "model": {"name": method, "preset": "tiny", "input": {"rate_hz": 100, "band_hz": [0.5, 45]}},
        "data": {"store": str(store), "task": "simulated/diagnosis"},
        "train": {"steps": 12, "batch_size": 8, "checkpoint_every": 3, "log_every": 1, **train},
    }


def config(store: Path, method: str = "lisa", **train: object) -> RunConfig:
    made = values(store, method, **train)
    if method == "lisa":
        made["model"]["text"] = {"tower": "ngrams"}
    return validate(RunConfig, made, "test")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_method(folder).state_dict()


def equal(one: Path, other: Path) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class StopError(Exception):
    """What a test raises to end a run in the middle."""


class StopAt(Watcher):
    def __init__(self, at: int) -> None:
        self.at = at
        self.seen: list[int] = []
        self.estimate: Estimate | None = None

    def begin(self, estimate: Estimate, config: RunConfig) -> None:
        self.estimate = estimate

    def step(self, step: int, terms: dict[str, float], n_records: int) -> None:
        self.seen.append(step)
        if step == self.at:
            raise StopError


@pytest.mark.parametrize(("method", "accumulate"), [("vq_hbr", 1), ("lisa", 2), ("supervised", 1), ("byol", 2)])
def test_stopped_and_resumed_is_never_stopped(store: Path, tmp_path: Path, method: str, accumulate: int) -> None:
    run = config(store, method, accumulate=accumulate)
    whole = fit(run, tmp_path / "whole")
    for at in (5, 10):  # between resume points: steps 4-5 and 10 are done again
        with pytest.raises(StopError):
            fit(run, tmp_path / "parts", resume=at > 5, watcher=StopAt(at))
    assert resume_step(tmp_path / "parts") == 9
    watcher = StopAt(-1)
    resumed = fit(run, tmp_path / "parts", resume=True, watcher=watcher)
    assert watcher.seen == [10, 11, 12]
    assert equal(whole, resumed)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == list(range(1, 13))


def test_sigkill_and_resume_is_never_killed(store: Path, tmp_path: Path) -> None:
    run = config(store, "supervised", steps=60, checkpoint_every=5)
    script = tmp_path / "run.py"
    script.write_text(
        "from pathlib import Path\nfrom auricle.train.setup import load_run\nfrom auricle.train.fit import fit\n"
        "import torch\ntorch.set_num_threads(1)\n"
        f"fit(load_run(Path({str(tmp_path / 'config')!r})), Path({str(tmp_path / 'killed')!r}))\n"
    )
    (tmp_path / "config").mkdir()
    from auricle.config import write_toml

    write_toml(run, tmp_path / "config" / "run.toml")
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while resume_step(tmp_path / "killed") == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model").exists()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        killed = fit(run, tmp_path / "killed", resume=True)
        whole = fit(run, tmp_path / "whole")
    finally:
        torch.set_num_threads(threads)
    assert equal(killed, whole)


def test_workers_do_not_matter(store: Path, tmp_path: Path) -> None:
    one = fit(config(store, "supervised", steps=4), tmp_path / "a")
    two = fit(config(store, "supervised", steps=4, workers=2), tmp_path / "b")
    assert equal(one, two)


def test_a_run_folder_rebuilds_everything(store: Path, tmp_path: Path) -> None:
    weights = fit(config(store, steps=3), tmp_path / "run")
    again = validate(RunConfig, read_toml(tmp_path / "run" / "run.toml"), "run.toml")
    assert equal(weights, fit(again, tmp_path / "again"))
    card, folder = load_card(tmp_path / "run")
    assert folder == weights
    assert card["about"]["steps"] == 3
    assert card["about"]["source"] == "simulated"


def test_finetuning_takes_the_donors_encoder(store: Path, tmp_path: Path) -> None:
    donor = fit(config(store, steps=3), tmp_path / "donor")
    made = finetune_values(
        {
            "init_from": str(tmp_path / "donor"),
            "model": {"name": "supervised", "gate": {}, "backbone": "frozen"},
            "data": {"store": str(store), "task": "simulated/diagnosis"},
            "train": {"steps": 3, "batch_size": 8},
        }
    )
    tuned = fit(validate(RunConfig, made, "test"), tmp_path / "tuned")
    before, after = tensors(donor), tensors(tuned)
    shared = [name for name in before if name.startswith("encoder.") and name in after]
    assert shared
    assert all(torch.equal(before[name], after[name]) for name in shared)
    assert load_method(tuned).class_names[0] == "NORM"


@pytest.mark.parametrize("method", ["ls_emvae", "lisa"])
def test_twelve_lead_weights_go_on_with_six(method: str, store: Path, tmp_path: Path) -> None:
    fit(config(store, method, steps=2), tmp_path / "donor")
    asked = {"store": str(store), "task": "simulated/diagnosis"}
    six = ["I", "II", "III", "aVR", "aVL", "aVF"]
    values = {
        "init_from": str(tmp_path / "donor"), "data": asked, "train": {"steps": 2, "batch_size": 8},
        "model": {"name": "supervised", "input": {"leads": six}},
    }  # fmt: skip
    tuned = load_method(fit(validate(RunConfig, finetune_values(values), "test"), tmp_path / "tuned"))
    assert tuned.config.input.read == tuple(six)
    view = View(Store(store), np.arange(4), tuned.config.input)
    batch = view.batch(view.rows, np.zeros(4, dtype=np.int64))
    chest = batch.signal.clone()
    chest[:, 6:] = 0
    with torch.no_grad():
        assert torch.equal(tuned.logits(batch), tuned.logits(replace(batch, signal=chest))), "six leads and no others"
    values["model"]["input"] = {"leads": ["I", "V7"]}
    with pytest.raises(ConfigError, match="not V7: choose among theirs"):
        finetune_values(values)


def test_a_run_may_count_in_epochs(store: Path, tmp_path: Path) -> None:
    short = config(store, "supervised", steps=7)
    counted = short.model_copy(update={"train": short.train.model_copy(update={"epochs": 0.5})})
    fit(counted, tmp_path / "run")
    n_records = load_card(tmp_path / "run")[0]["about"]["n_records"]
    steps = -(-n_records // (2 * short.train.batch_size))
    assert load_card(tmp_path / "run")[0]["about"]["steps"] == steps
    asked = with_classes(counted, load_task("simulated/diagnosis"))
    assert not same_run(load_run(tmp_path / "run"), asked), "the steps it came to are not another run"
    with pytest.raises(ConfigError, match="in steps or in epochs"):
        run_values({}, {}, {"steps": 3, "epochs": 1.0})
    typed = run_values({}, {}, {"steps": 3}, config=toml(tmp_path, "[train]\nepochs = 2"))
    assert typed["train"] == {"steps": 3}
    stream = {"model": {"name": "multitask"}, "data": {"parts": {"a": {"stream": {}}}, "task": "ecg/findings"}}
    with pytest.raises(ConfigError, match="a mixture has no end"):
        validate(RunConfig, {**stream, "train": {"epochs": 1}}, "run")


def toml(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text)
    return folder / "recipe.toml"


def test_a_run_is_not_overwritten_and_not_mixed(store: Path, tmp_path: Path) -> None:
    fit(config(store, "supervised", steps=2), tmp_path / "run")
    with pytest.raises(ConfigError, match="--resume"):
        fit(config(store, "supervised", steps=2), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"another train\.seed"):
        fit(config(store, "supervised", steps=2, seed=5), tmp_path / "run", resume=True)


def test_a_run_goes_on_only_on_the_records_and_the_question_it_was_begun_with(store: Path, tmp_path: Path) -> None:
    folder, question = tmp_path / "s", tmp_path / "own.toml"
    options = {"n": 30, "rate_hz": 100.0, "seconds": 4.0, "diagnoses": "core"}
    ingest("simulated", Path(), folder, options={**options, "seed": 1}, rate_hz=100, workers=1)
    text = 'id = "o"\ntitle = "o"\nsource = "simulated"\nclasses_of = "simulated/diagnosis"\n[split]\nby = "patient"\n'
    question.write_text(text + "train = 0.8\nvalidation = 0.1\ntest = 0.1\n")
    made = values(folder, "supervised", steps=2)
    made["data"]["task"] = str(question)
    run = validate(RunConfig, made, "run")
    fit(run, tmp_path / "run")
    fit(run, tmp_path / "run", resume=True)
    question.write_text(text + "train = 0.5\nvalidation = 0.2\ntest = 0.3\n")
    with pytest.raises(ConfigError, match=r"own\.toml no longer holds what the run was begun with"):
        fit(run, tmp_path / "run", resume=True)
    question.write_text(text + "train = 0.8\nvalidation = 0.1\ntest = 0.1\n")
    shutil.rmtree(folder)
    ingest("simulated", Path(), folder, options={**options, "seed": 77}, rate_hz=100, workers=1)
    with pytest.raises(ConfigError, match="no longer holds"):
        fit(run, tmp_path / "run", resume=True)


def test_what_is_refused_at_its_first_step_leaves_no_run_behind(store: Path, tmp_path: Path) -> None:
    made = values(store, "simclr", batch_size=1)
    with pytest.raises(DataError, match="single record"):
        fit(validate(RunConfig, made, "run"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    made["train"] |= {"batch_size": 8, "steps": 1}
    fit(validate(RunConfig, made, "run"), tmp_path / "run")


def test_a_damaged_resume_point_is_named(store: Path, tmp_path: Path) -> None:
    run = config(store, "supervised", steps=6)
    with pytest.raises(StopError):
        fit(run, tmp_path / "run", watcher=StopAt(4))
    resume_point(tmp_path / "run", 3).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="remove it to start again"):
        fit(run, tmp_path / "run", resume=True)


def test_the_last_resume_points_are_kept_and_an_older_one_can_be_gone_back_to(store: Path, tmp_path: Path) -> None:
    run = config(store, "supervised", steps=12, keep_last=2)
    with pytest.raises(StopError):
        fit(run, tmp_path / "run", watcher=StopAt(10))
    assert [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())] == [
        "step-00000006.ckpt", "step-00000009.ckpt",
    ]  # fmt: skip
    resume_point(tmp_path / "run", 9).unlink()
    back = fit(run, tmp_path / "run", resume=True)
    assert equal(back, fit(run, tmp_path / "whole"))


def test_a_disk_that_is_full_keeps_the_resume_points_that_are_whole(store: Path, tmp_path: Path) -> None:
    run, real = config(store, "supervised", steps=6, checkpoint_every=2), lightning.Trainer.save_checkpoint

    def fails(self: Any, path: Path, *_: Any) -> None:
        path.write_bytes(b"a part")
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    def second(self: Any, path: Path, *_: Any) -> None:
        (real if self.global_step < 4 else fails)(self, path)

    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    with (
        patch.object(lightning.Trainer, "save_checkpoint", second),
        patch("shutil.disk_usage", lambda path: usage),
        pytest.raises(OSError, match="No space left") as caught,
    ):
        fit(run, tmp_path / "run")
    assert str(caught.value.filename).endswith("step-00000004.ckpt")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002.ckpt"]
    assert equal(fit(run, tmp_path / "run", resume=True), fit(run, tmp_path / "whole"))


@pytest.mark.parametrize(
    ("precision", "remedy"), [("32-true", r"\d$"), ("bf16-mixed", r"\d; try train\.precision=32-true$")]
)
def test_a_loss_that_is_not_finite_names_the_records(store: Path, tmp_path: Path, precision: str, remedy: str) -> None:
    run, real = config(store, "supervised", steps=2, precision=precision), Supervised.step

    def broken(self: Supervised, batch: ECGBatch, progress: Progress) -> Step:
        result = real(self, batch, progress)
        return Step(result.loss * torch.nan if progress.step == 1 else result.loss, result.terms)

    with (
        patch.object(Supervised, "step", broken),
        pytest.raises(DataError, match=rf"step 1, in the batch of records sim0-.*{remedy}"),
    ):
        fit(run, tmp_path / "run")


def test_the_estimate_comes_first_and_leaves_no_trace(store: Path, tmp_path: Path) -> None:
    watcher = StopAt(1)
    with pytest.raises(StopError):
        fit(config(store, "supervised"), tmp_path / "run", watcher=watcher)
    assert watcher.estimate is not None
    assert watcher.estimate.records_per_second > 0
    assert watcher.estimate.seconds > 0


def test_bf16_trains_through_the_loop(store: Path, tmp_path: Path) -> None:
    weights = fit(config(store, steps=2, precision="bf16-mixed"), tmp_path / "run")
    assert all(torch.isfinite(tensor).all() for tensor in tensors(weights).values() if tensor.is_floating_point())


def test_auto_takes_the_faster_precision_and_the_run_keeps_it(store: Path, tmp_path: Path) -> None:
    slow = {"bf16-mixed": Timing(2.0, True), "32-true": Timing(1.0, True)}
    fast = {"bf16-mixed": Timing(0.5, True), "32-true": Timing(1.0, True)}
    broken = {"bf16-mixed": Timing(0.5, False), "32-true": Timing(1.0, True)}
    watcher = StopAt(2)  # which keeps the resume point of the step before
    run = config(store, "supervised", steps=4, checkpoint_every=1, precision="auto")
    with patch("auricle.train.timing.time_steps", lambda *a: slow[a[3]]), pytest.raises(StopError):
        fit(run, tmp_path / "run", watcher=watcher)
    assert load_run(tmp_path / "run").train.precision == "32-true"
    assert watcher.estimate is not None
    assert watcher.estimate.precision == "32-true"
    assert watcher.estimate.slower == (f"bf16-mixed {run.train.batch_size / 2:.0f}",)
    with patch("auricle.train.timing.time_steps", lambda *a: fast[a[3]]):  # it goes on as it was begun
        fit(run, tmp_path / "run", resume=True)
        assert load_run(tmp_path / "run").train.precision == "32-true"
        fit(run, tmp_path / "fast")
    assert load_run(tmp_path / "fast").train.precision == "bf16-mixed"
    with patch("auricle.train.timing.time_steps", lambda *a: broken[a[3]]):
        fit(run, tmp_path / "broken")
    assert load_run(tmp_path / "broken").train.precision == "32-true"


def test_what_auto_times_leaves_no_trace(store: Path, tmp_path: Path) -> None:
    """Weights of a run are those of the precision it took, as if nobody had timed it."""
    with patch("auricle.train.fit.faster_precision", _kept(faster_precision)):
        timed = fit(config(store, "supervised", steps=2, precision="auto"), tmp_path / "auto")
    plain = fit(config(store, "supervised", steps=2, precision="32-true"), tmp_path / "plain")
    assert equal(timed, plain)


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `function`, which is called, but always `32-true`, whichever is the faster one here."""
    return lambda *given: ("32-true", function(*given)[1])


def test_schedule_rises_then_falls_to_a_tenth() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors.index(max(factors)) in (9, 10)
    assert factors[0] == pytest.approx(0.1)
    assert factors[-1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_task_is_needed_for_labels(store: Path, tmp_path: Path) -> None:
    made = values(store, "supervised")
    del made["data"]["task"]
    with pytest.raises(ConfigError, match="needs labels"):
        fit(validate(RunConfig, made, "test"), tmp_path / "run")


def test_resume_with_nothing_to_resume_says_so(store: Path, tmp_path: Path) -> None:
    run = config(store, "supervised", steps=1)
    with pytest.warns(UserWarning, match="nothing to resume, no run was begun there; it begins at the first step"):
        fit(run, tmp_path / "new", resume=True)
    resume_point(tmp_path / "new", 1).unlink()
    with pytest.warns(UserWarning, match="nothing to resume, its run kept no resume point"):
        fit(run, tmp_path / "new", resume=True)


def test_the_first_resume_point_comes_early(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert training._FIRST_POINT_S < 60
    monkeypatch.setattr(training, "_FIRST_POINT_S", 0.0)
    run = config(store, "supervised", steps=9, checkpoint_every=1000, keep_last=5)
    with pytest.raises(StopError):
        fit(run, tmp_path / "run", watcher=StopAt(6))
    points = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"))
    assert points == ["step-00000001.ckpt"]
