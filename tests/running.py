"""The command line, run: in this process, or in one of its own where that is what is tested."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import torch

from auricle.cli import main


def auricle(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `auricle ARGUMENTS` says and how it ends, without the seconds that a process needs to import torch.

    Whatever `main` does not turn into an exit status is a bug and is raised here.
    """
    command = ["auricle", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    threads, status = torch.get_num_threads(), 0
    with (
        contextlib.chdir(cwd or "."),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", command),
        warnings.catch_warnings(),
    ):
        # As in a process that is not a test: warnings are notes, and only those for users are shown.
        warnings.resetwarnings()
        for unseen in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", unseen)
        torch.set_num_threads(1)
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            torch.set_num_threads(threads)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


def auricle_alone(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `auricle ARGUMENTS` says and how it ends in a process of its own, which knows nothing but the files."""
    code = "import torch; torch.set_num_threads(1); from auricle.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with status 2, one line and no traceback, and the line has these words."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("auricle: ") and "note:" not in line]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in result.stderr
