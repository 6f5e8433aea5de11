"""Two processes: the run they make together is the run of one process on the joined batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from auricle.config import validate, write_toml
from auricle.data.ingest import ingest
from auricle.methods import Method, load_method
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.run_folder import resume_step
from auricle.train.setup import build, load_run
from conftest import make_batch
from processes import free_port

STILL = {"lead_drop_records": 0.0, "gain": 0.0, "noise_mv": 0.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    options = {"n": 96, "rate_hz": 100.0, "seconds": 4.0}
    ingest("simulated", Path(), out, options=options, rate_hz=100, workers=1)
    return out


def write_config(store: Path, folder: Path, model: dict, train: dict) -> Path:
    """A run without augmentation and dropout: what remains must not depend on how a batch is divided."""
    values = {
        "model": {
            "preset": "tiny", "input": {"rate_hz": 100, "band_hz": [0.5, 45]}, **model,
        },
        "data": {"store": str(store), "task": "simulated/diagnosis"},
        "train": {"steps": 4, "checkpoint_every": 2, "log_every": 1, **train},
    }  # fmt: skip
    folder.mkdir()
    write_toml(validate(RunConfig, values, "test"), folder / "run.toml")
    return folder


def script(path: Path, runs: Sequence[tuple[Path, Path]]) -> list[str]:
    """A command that makes the run of each (folder of a config, folder of the run), one after the other.

    Lightning starts the second process by running the same script again, so it is a script. For the runs after the
    first both processes are there already; they leave their group and meet again at another port.
    """
    lines = [
        "import os", "from pathlib import Path", "import torch", "import torch.distributed as dist",
        "from auricle.train.fit import fit", "from auricle.train.setup import load_run", "torch.set_num_threads(1)",
    ]  # fmt: skip
    for folder, out in runs:
        if len(runs) > 1:
            lines.append(f"os.environ['MASTER_PORT'] = '{free_port()}'")
        lines.append(f"fit(load_run(Path({str(folder)!r})), Path({str(out)!r}))")
        # Together: a process that leaves while another still speaks to it may abort.
        lines.append("if dist.is_initialized(): dist.barrier(), dist.destroy_process_group()")
    path.write_text("\n".join(lines))
    return [sys.executable, str(path)]


def features(method: Method) -> torch.Tensor:
    """What a method makes of one batch, less what all records share. Tensors themselves are no measure: where the true
    gradient is zero (the bias of a softmax, or before a standardisation), Adam turns rounding into steps."""
    with torch.no_grad():
        embedded = method.embed(make_batch(8, seconds=2.0, rate_hz=100))
    return embedded - embedded.mean(0)


METHODS = {
    "lisa": {"name": "lisa", "text": {"tower": "ngrams"}, "augment": STILL},
    # Nothing at random, which every process would draw for itself: no age is hidden either.
    "supervised": {"name": "supervised", "dropout": 0.0, "gate": {"unknown_share": 0.0}, "augment": STILL},
    "cg_dmer": {
        "name": "cg_dmer", "lead_share": 0.0, "time_share": 0.0, "word_weight": 0.0, "decorrelate_weight": 1.0,
        "augment": STILL,
    },
    # Its step asks parts of the encoder, one after another; all other steps of a record are its negatives.
    "cpc": {"name": "cpc", "encoder": {"name": "context1d", "preset": "tiny", "dropout": 0.0}, "n_negatives": 1000},
    "acl_ecg": {
        "name": "acl_ecg",
        "views": {
            "crop": (1.0, 1.0), "stretch": (1.0, 1.0), "shift": 0.0, "gap": "window", "window_s": (1e-6, 1e-6),
            "change": STILL,
        },
    },
}  # fmt: skip
TOGETHER = [
    ("lisa", "ddp"),
    ("supervised", "ddp"),
    ("lisa", "fsdp"),
    ("cg_dmer", "ddp"),
    ("acl_ecg", "ddp"),
    ("cpc", "fsdp"),
]


@pytest.fixture(scope="module")
def together(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of TOGETHER, each made by the same two processes: one pair, because it takes them long to start."""
    out = tmp_path_factory.mktemp("two")
    runs = []
    for method, strategy in TOGETHER:
        train = {"batch_size": 8, "devices": 2, "strategy": strategy}
        folder = write_config(store, out / f"config-{method}-{strategy}", METHODS[method], train)
        runs.append((folder, out / f"{method}-{strategy}"))
    done = subprocess.run(script(out / "run.py", runs), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.parametrize(("method", "strategy"), TOGETHER)
def test_two_processes_are_one_on_the_joined_batch(
    store: Path, together: Path, tmp_path: Path, method: str, strategy: str
) -> None:
    run = load_run(write_config(store, tmp_path / "one", METHODS[method], {"batch_size": 16}))
    torch.manual_seed(0)
    start = features(build(run)[1].eval())
    one = features(load_method(fit(run, tmp_path / "a")))
    two = features(load_method(together / f"{method}-{strategy}"))
    assert (one - two).norm() < 0.01 * (one - start).norm()
    logs = [
        (folder / "log.jsonl").read_text().count("\n") for folder in (tmp_path / "a", together / f"{method}-{strategy}")
    ]
    assert logs == [4, 4]


def test_sigterm_keeps_a_resume_point_and_the_run_goes_on(store: Path, tmp_path: Path) -> None:
    folder = write_config(
        store, tmp_path / "c", METHODS["supervised"], {"batch_size": 8, "steps": 4000, "checkpoint_every": 5000}
    )
    command = script(tmp_path / "run.py", [(folder, tmp_path / "out")])
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out" / "log.jsonl"
    deadline = time.monotonic() + 90
    while (not log.exists() or log.read_text().count("\n") < 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "--resume goes on" in complaint
    step = resume_step(tmp_path / "out")
    assert step >= 3
    assert log.read_text().count("\n") == step


def test_two_machines_share_one_run_folder(store: Path, tmp_path: Path) -> None:
    folder = write_config(
        store, tmp_path / "c", METHODS["supervised"],
        {"batch_size": 8, "steps": 2, "checkpoint_every": 2, "nodes": 2, "strategy": "fsdp"},
    )  # fmt: skip
    command = script(tmp_path / "run.py", [(folder, tmp_path / "out")])
    port = str(free_port())
    machines = [
        subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True,
            env={
                **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": rank,
                "GROUP_RANK": rank, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "two",
            },
        )
        for rank in "01"
    ]  # fmt: skip
    complaints = [machine.communicate(timeout=120)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "".join(complaints)[-2000:]
    assert (tmp_path / "out" / "log.jsonl").read_text().count("\n") == 2
    assert resume_step(tmp_path / "out") == 2
    assert torch.isfinite(features(load_method(tmp_path / "out"))).all()
