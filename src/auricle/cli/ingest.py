"""auricle ingest: a data set on disk becomes a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from auricle.cli.options import OutArgument
from auricle.cli.stop import keeps
from auricle.errors import ConfigError, DataError
from auricle.progress import progress_bar, stage

if TYPE_CHECKING:
    from auricle.data.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ingest")(ingest)


def ingest(
    source: Annotated[str, typer.Argument(help="One of `auricle list sources`, or manifest for a CSV of your own.")],
    root: Annotated[Path, typer.Argument(help="The data set's folder, or the manifest file.")],
    out: OutArgument,
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of the source as key=value, for example rate_hz=100.")
    ] = None,
    rate_hz: Annotated[float, typer.Option(help="The one sampling rate of the store.")] = 500.0,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one per core.", min=1)] = None,
    executor: Annotated[
        str, typer.Option(help="processes, or dask:ADDRESS of a scheduler whose workers see the same folders.")
    ] = "processes",
    compress: Annotated[bool, typer.Option(help="A smaller store that is slower to read.")] = False,
    image_size: Annotated[
        str, typer.Option(help="HEIGHTxWIDTH in pixels that pictures are stored in, where records have any.")
    ] = "224x224",
) -> None:
    """Read a data set once and store it; run again after a kill, it goes on where it was."""
    from auricle.config import with_overrides

    if not root.exists():
        raise DataError(f"{root}: no such file or folder")
    size = parse_size(image_size)
    ingest_with_progress(
        source, root, out, with_overrides({}, options or []), rate_hz, workers, executor, compress, size
    )


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from `224x224`.

    Raises:
        ConfigError: it is not of this form.
    """
    height, _, width = text.casefold().replace("×", "x").partition("x")
    if not (height.strip().isdecimal() and width.strip().isdecimal() and int(height) and int(width)):
        raise ConfigError(f"--image-size {text!r}: write height x width in pixels, for example 224x224")
    return int(height), int(width)


def ingest_with_progress(
    source: str,
    root: Path,
    out: Path,
    options: Mapping[str, Any],
    rate_hz: float,
    workers: int | None,
    executor: str = "processes",
    compress: bool = False,
    image_size: tuple[int, int] | None = None,
) -> None:
    """Ingest with a progress bar, and say what became of the records."""
    with stage("starting"):
        from auricle.data.format import IMAGE_SIZE
        from auricle.data.ingest import ingest as run
        from auricle.data.store import Store
        from auricle.errors import require

    console = Console(stderr=True)
    keeps(lambda: _kept(out))
    with progress_bar(f"ingest {source}") as on_progress:
        done = run(
            source, root, out, options=options, rate_hz=rate_hz, workers=workers, executor=executor,
            form="pcodec" if compress else "raw", image_size=image_size or IMAGE_SIZE,
            on_progress=on_progress,
        )  # fmt: skip
    store = Store(out)
    hours = float((store.column("n_samples") / store.rate_hz).sum()) / 3600
    console.print(
        f"{out}: {done.n_stored} records ({hours:.1f} h at {rate_hz:g} Hz), {done.n_reports} distinct reports, "
        f"{done.n_rejected} rejected",
        highlight=False,
        markup=False,
    )
    # A store that an older auricle finished has no such columns.
    said = {"acceptable", "notes"} <= set(store.table.column_names)
    poor = store.column("acceptable").tolist().count(False) if said else 0
    noted = sum(notes is not None and len(notes) > 0 for notes in store.column("notes")) if said else 0
    if poor or noted:
        console.print(
            f"  {poor} traces are not acceptable (columns acceptable, quality_reasons), of {noted} their readers had "
            "something to say (column notes)",
            highlight=False,
            markup=False,
        )
    strange = _unknown_to_tasks(store) if source == "manifest" else 0
    if strange:
        console.print(
            f"  {strange} records have labels that no task knows: `auricle check` names them and their lines",
            highlight=False,
            markup=False,
        )
    if done.n_rejected:
        table = require("pyarrow.parquet", "train").read_table(out / "rejected.parquet")
        first = table["reason"][0].as_py()
        console.print(
            f"  the first rejected: {first}; all reasons are in {out / 'rejected.parquet'}",
            highlight=False,
            markup=False,
        )


def _kept(out: Path) -> str:
    """What is kept of a store that is not finished."""
    whole = len(list((out / "shards").glob("*.parquet")))
    parts = f"{whole} finished part{'' if whole == 1 else 's'}" if whole else "no part was finished, so nothing"
    verb = "are" if whole > 1 else "is"
    return f"{parts} {verb} kept in {out}; the same command goes on"


def _unknown_to_tasks(store: Store) -> int:
    """How many records have a label that is no code of any task: a class of one's own, or a slip of the pen."""
    from auricle.tasks import known_codes

    return sum(not known_codes().issuperset(labels) for labels in store.column("labels"))
