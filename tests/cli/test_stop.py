"""Ctrl-C, sent to real processes on a terminal, and what is seen there while one waits."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from auricle.data.ingest import ingest
from auricle.leads import STANDARD
from auricle.progress import progress_bar, shown, stage
from auricle.simulate import cohort
from auricle.train.run_folder import resume_step
from running import auricle

TINY = ("--preset", "tiny", "--batch-size", "4", "--steps", "100000")
# A person waits two seconds at most; a machine that runs other tests beside this one is given another.
PATIENCE_S = 3.0
CODE = "import torch; torch.set_num_threads(1); from auricle.cli import main; main()"


class Terminal:
    """A verb on a terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self.seen, self.status = "", None
        self.pid, self.screen = pty.fork()
        if not self.pid:
            os.execv(sys.executable, [sys.executable, "-c", CODE, *map(str, arguments)])

    def wait_for(self, pattern: str | None, seconds: float = 90.0) -> float:
        """Read until a pattern is seen, or the end where there is none; the longest silence in seconds."""
        begun = last = time.monotonic()
        longest = 0.0
        while time.monotonic() - begun < seconds:
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    read = os.read(self.screen, 65536)
                except OSError:
                    read = b""
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                if not read:
                    break
                self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", read.decode("utf-8", "replace"))
            if pattern is not None and re.search(pattern, self.seen):
                return longest
        assert pattern is None, f"{pattern} was not seen in {seconds} s: {self.seen[-2000:]}"
        return longest

    def interrupt(self) -> float:
        """Send the signal that Ctrl-C sends to every process of a terminal; seconds until the end."""
        begun = time.monotonic()
        os.killpg(self.pid, signal.SIGINT)
        self.wait_for(None, 30)
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stopped")
    options = {"n": 60, "diagnoses": "core", "rate_hz": 100.0, "seconds": 4.0}
    ingest("simulated", Path(), made / "store", options=options, rate_hz=100.0, workers=1)
    trained = auricle(
        "pretrain", made / "store", made / "merl", "--method", "merl", "--preset", "tiny", "--steps", 1,
        "--batch-size", 4, "model.input.rate_hz=100", "model.input.band_hz=[0.5,45]", "model.text.tower=ngrams",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    one = cohort(1, 3, diagnoses={}, rate_hz=250, seconds=10).signal[0].numpy()
    np.savez(made / "one.npz", signal=one, rate_hz=250, leads=list(STANDARD))
    (made / "many.csv").write_text("\n".join(["file,record_id", *(f"one.npz,{n}" for n in range(3000))]))
    rows = [f"{n},{n},{3 + n}d,F,{140 - n / 9:.0f},{100 + n % 7}" for n in range(900)]
    (made / "normals.csv").write_text("\n".join(["record_id,patient_id,age,sex,heart_rate,pr", *rows]))
    return made


AT_100 = ("model.input.rate_hz=100", "model.input.band_hz=[0.5,45]")
ASK = ("--task", "simulated/diagnosis")
VERBS = {
    "simulate": (("-n", 3000, "--workers", 2), "OUT", "ingest simulated", r"kept in .*the same command goes on"),
    "pretrain": (
        ("STORE", "OUT", "--method", "merl", *TINY, *AT_100, "model.text.tower=ngrams"),
        "", r"[1-9]\d*/100000", r"stopped after step \d+, which is kept in .*--resume goes on",
    ),
    "evaluate": (
        ("RUN", "STORE", "OUT", *ASK, "--rows", "rocket", "--seeds", 50), "", "probe on|intervals of",
        r"results that were finished are kept in",
    ),
    "robustness": (("STORE", "OUT", "RUN", *ASK), "", "condition 1 of|probe on", "conditions that were asked are kept"),
    "ablate": (
        ("lisa", "STORE", "OUT", *ASK, "--steps", 100000, *AT_100, "model.text.tower=ngrams"), "",
        r"[1-9]\d*/100000", "finished rows and the row under way are kept in .*the same command goes on",
    ),
    "norms": (("fit", "NORMALS", "CURVES", "--label", ""), "", r"fit +", "nothing was written"),
    "convert": (
        ("MANY", "--to-folder", "OUT", "--json", "--workers", 1), "", r'"written"',
        r"recordings that were written are kept in .*lists [1-9]\d*; the same command",
    ),
    "measure": (
        ("MANY", "--out", "TABLE", "--executor", "processes", "--workers", 1), "", r"measure +",
        r"parts .* are kept in",
    ),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_ends_a_verb_soon_with_one_line_that_says_how_to_go_on(verb, folder, tmp_path):
    arguments, first, sign, said = VERBS[verb]
    places = {
        "STORE": folder / "store", "RUN": folder / "merl", "OUT": tmp_path / "out", "NORMALS": folder / "normals.csv",
        "CURVES": tmp_path / "curves.json", "MANY": folder / "many.csv", "TABLE": tmp_path / "table.csv",
    }  # fmt: skip
    given = [places.get(one, one) for one in ((first, *arguments) if first else arguments)]
    terminal = Terminal(verb, *given)
    longest = terminal.wait_for(sign)
    assert longest < 10, f"silent for {longest:.1f} s"
    took = terminal.interrupt()
    assert took < PATIENCE_S
    assert terminal.status == 130
    lines = [line.strip() for line in terminal.seen.splitlines() if "auricle: " in line]
    stopped = [line for line in lines if "stopped" in line]
    assert len(stopped) == 1, terminal.seen[-2000:]
    assert re.search(said, terminal.seen.replace("\n", " ").replace("  ", " "))
    assert "Traceback" not in terminal.seen
    if verb == "pretrain":
        assert resume_step(tmp_path / "out") > 0


def test_no_process_is_left_behind_by_a_cohort_that_was_stopped(tmp_path):
    terminal = Terminal("simulate", tmp_path / "out", "-n", 3000, "--workers", 2)
    terminal.wait_for("ingest simulated")
    time.sleep(3)
    children = {int(pid) for pid in _children(terminal.pid)}
    assert len(children) >= 2
    terminal.interrupt()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(_lives(pid) for pid in children):
        time.sleep(0.1)
    assert not [pid for pid in children if _lives(pid)]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stages_are_seen_on_a_terminal_alone():
    import io

    from rich.console import Console

    def drawn(terminal: bool) -> str:
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with shown(console), stage("outer") as on_progress, stage("inner"), progress_bar("third"):
            on_progress(1, 2)
            time.sleep(0.3)
        with stage("later"):
            pass
        return console.file.getvalue()

    assert drawn(False) == ""
    seen = drawn(True)
    assert all(name in seen for name in ("outer", "inner", "third", "1/2"))
    assert "later" not in seen


def test_a_stage_tells_others_too():
    told = []
    with stage("unseen", lambda done, total: told.append((done, total))) as on_progress:
        on_progress(3, 4)
    assert told == [(3, 4)]
