"""What all tests share: shapes checked at run time, small batches, and the way to real recordings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

# Annotated shapes are checked in tests only; a production run does not pay for them.
_HOOK = install_import_hook(
    [
        "auricle.processes",
        "auricle.nn",
        "auricle.losses",
        "auricle.encoders",
        "auricle.signal.resample",
        "auricle.signal.preprocess",
    ],
    "typecheck.check",
)

from auricle.batch import ECGBatch, TextBatch  # noqa: E402
from auricle.data.stream import NUMBERS  # noqa: E402
from auricle.leads import STANDARD  # noqa: E402
from serving import Service, service  # noqa: E402

# Beside other work one thread is faster than two that wait for each other: OMP_NUM_THREADS=1 says so.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, or a skip that says why."""
    folder = os.environ.get("AURICLE_REAL_DATA")
    if not folder:
        pytest.skip("AURICLE_REAL_DATA is not set: real recordings are not part of the project")
    return Path(folder)


def make_batch(
    n: int = 8, seconds: float = 2.0, rate_hz: float = 250.0, leads: tuple[str, ...] = STANDARD, seed: int = 0
) -> ECGBatch:
    """Random smooth signals with everything a method may need; the last record has no known age and no R peaks."""
    generator = torch.Generator().manual_seed(seed)
    t = round(seconds * rate_hz)
    signal = torch.randn(n, len(leads), t, generator=generator)
    kernel = torch.hann_window(9)[None, None] / 4.5
    signal = torch.nn.functional.conv1d(signal.flatten(0, 1)[:, None], kernel, padding=4).view(n, len(leads), t) * 0.5
    age = torch.rand(n, generator=generator) * 6000
    age[-1] = torch.nan
    findings = (torch.rand(n, 12, generator=generator) < 0.3).float()
    beats = torch.arange(0, t, round(0.4 * rate_hz)).repeat(n, 1) + 7 * torch.arange(n)[:, None]
    beats = torch.where(beats < t, beats, -1)
    beats[-1] = -1
    return ECGBatch(
        signal=signal,
        lead_mask=torch.ones(n, len(leads), dtype=torch.bool),
        time_mask=torch.ones(n, t, dtype=torch.bool),
        leads=leads,
        rate_hz=rate_hz,
        age_days=age,
        male=(torch.arange(n) % 2).float(),
        patient_id=torch.arange(n),
        record_id=tuple(f"r{i}" for i in range(n)),
        text=TextBatch(
            report_id=torch.arange(n),
            embedding=torch.nn.functional.normalize(torch.randn(n, 384, generator=generator), dim=-1),
            findings=findings,
            diagnoses=findings,
            token_ids=torch.randint(3, 259, (n, 12), generator=generator),  # bytes, known to every vocabulary
            token_mask=torch.arange(12) < 6 + torch.arange(n)[:, None] % 7,
        ),
        target=(torch.rand(n, 1, generator=generator) < 0.5).float(),
        numbers=torch.randn(n, len(NUMBERS), generator=torch.Generator().manual_seed(seed)),
        beats=beats,
    )


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with newborn, child and adult (.hea and .dat), simulated."""
    from auricle.simulate.samples import write_samples

    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 1)
    return folder


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Service]:
    """A service with weights, a watched folder, jobs and an audit log, for tests that change nothing of it."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    folder = tmp_path_factory.mktemp("service")
    watched = folder / "watched"
    watched.mkdir()
    for name in ("child.hea", "child.dat"):
        (watched / name).write_bytes((samples / name).read_bytes())
    options = ("--watch", watched, "--jobs", folder / "jobs", "--audit", folder / "audit.jsonl", "--most-mb", 8)
    with service(folder / "log", *options, "--workers", 1) as found:
        yield found
