"""auricle throughput: records per second of training on this machine, its share of the peak, and what reading gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli.options import BatchOption, ConfigOption, Overrides, TaskOption
from auricle.progress import stage

if TYPE_CHECKING:
    from auricle.train.throughput import Throughput

# Of the store that is simulated where none is given.
_N_SIMULATED = 600
_SEED = 0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("throughput")(throughput)


def throughput(
    more: Overrides = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of an ingested store; else some simulated records at 500 Hz.")
    ] = None,
    method: Annotated[str, typer.Option(help="One of `auricle list methods`.")] = "lisa",
    preset: Annotated[list[str] | None, typer.Option(help="Size, may be repeated; else nano, small and base.")] = None,
    task: TaskOption = None,
    batch_size: BatchOption = None,
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the numbers there, .csv or .parquet.")] = None,
) -> None:
    """Time training without training: records/s, share of the peak, and whether reading starves the device."""
    import tempfile

    from auricle.cli.output import check_table_name, write_table

    check_table_name("--out", out)
    with stage("starting"):
        from auricle.config import validate
        from auricle.data.ingest import ingest
        from auricle.train.config import RunConfig
        from auricle.train.setup import run_values
        from auricle.train.throughput import throughput as measure

    with tempfile.TemporaryDirectory() as folder:
        if store is None:
            with stage("simulated records") as on_progress:
                options = {"n": _N_SIMULATED, "seed": _SEED}
                ingest("simulated", Path(), Path(folder) / "store", options=options, on_progress=on_progress)
            store, task = Path(folder) / "store", task or "simulated/diagnosis"
        found = []
        for size in preset or ("nano", "small", "base"):
            values = run_values(
                {"name": method, "preset": size}, {"store": store, "task": task}, {"batch_size": batch_size}, config,
                ("train.precision=auto", *(more or ())),
            )  # fmt: skip
            with stage(f"{method} {size}"):
                found.append((size, measure(validate(RunConfig, values, "run"))))
            typer.echo(_line(method, *found[-1]))
    if out is not None:
        write_table("--out", out, [_row(method, *one) for one in found])


def _row(method: str, preset: str, found: Throughput) -> dict[str, str | float]:
    return {
        "method": method, "preset": preset, "device": found.device, "precision": found.precision,
        "parameters": found.n_parameters, "gflop_per_record": found.gflop,
        "records_per_second": found.records_per_second, "peak_gflops": found.peak_gflops,
        "share_of_peak": found.share_of_peak, "read_per_second": found.read_per_second,
        "share_waiting": found.share_waiting,
    }  # fmt: skip


def _line(method: str, preset: str, found: Throughput) -> str:
    waiting = f"waits {found.share_waiting:.0%} of the time" if found.share_waiting >= 0.005 else "never waits"
    return (
        f"{method} {preset} ({found.n_parameters / 1e6:.2f} M parameters) on {found.device}, {found.precision}: "
        f"{found.records_per_second:.0f} records/s, {found.gflop:.2g} GFLOP a record, "
        f"{found.share_of_peak:.0%} of {found.peak_gflops:.0f} GFLOP/s; "
        f"reading gives {found.read_per_second:.0f} records/s, the device {waiting}"
    )
