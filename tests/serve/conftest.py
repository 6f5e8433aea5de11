"""One service for the tests that change nothing of it, and recordings to send."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from auricle.simulate.samples import write_samples
from serving import service


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """newborn, child and adult (.hea and .dat)."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 1)
    return folder


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, samples: Path):
    """A service with weights, a watched folder, jobs and an audit log."""
    folder = tmp_path_factory.mktemp("service")
    watched = folder / "watched"
    watched.mkdir()
    for name in ("child.hea", "child.dat"):
        (watched / name).write_bytes((samples / name).read_bytes())
    options = ("--watch", watched, "--jobs", folder / "jobs", "--audit", folder / "audit.jsonl", "--most-mb", 8)
    with service(folder / "log", *options, "--workers", 1) as found:
        found.folder = folder  # type: ignore[attr-defined]
        yield found
