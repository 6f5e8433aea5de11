"""A hospital's normal records, from whatever they lie in: a CSV of measurements, a manifest of files, or a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auricle.data.manifest import canonical_header, read_manifest
from auricle.data.measured import read_measured
from auricle.data.sources.manifest import Manifest
from auricle.data.store import Store
from auricle.data.table import read_table
from auricle.errors import DataError
from auricle.paediatrics.normal_records import NormalRecords, gather, with_values
from auricle.progress import OnProgress, counted
from auricle.recording import Recording


def read_normals(
    source: Path, label: str | None, given: bool = False, on_progress: OnProgress | None = None
) -> NormalRecords:
    """The table of normal records that curves are fitted to.

    Args:
        source: a CSV of measurements, a CSV manifest of files (it has a column `file`), or the folder of a store.
        label: only records with this label; None takes all.
        given: take the measurements that came with the records and measure nothing.
        on_progress: called with (recordings read, recordings in all); not for a CSV of measurements.

    Raises:
        DataError: no such file, or the first thing wrong in it; of a manifest a recording that cannot be read.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.is_dir():
        return gather(with_values(_stored(source, label, on_progress), given), label)
    if "file" in canonical_header(read_table(source).header):
        return gather(with_values(_listed(source, label, on_progress), given), label)
    return read_measured(source, label)


def _stored(folder: Path, label: str | None, on_progress: OnProgress | None) -> Iterator[Recording]:
    """Recordings of a store, with the measurements that came with them."""
    store = Store(folder)
    labels = store.column("labels")
    rows = [row for row in range(len(store)) if label is None or label in labels[row]]
    for row in counted(rows, len(rows), on_progress):
        yield store.recording(row)


def _listed(manifest: Path, label: str | None, on_progress: OnProgress | None) -> Iterator[Recording]:
    """Recordings of a manifest."""
    rows = [row for row in read_manifest(manifest) if row.problem or label is None or label in row.labels]
    for row in counted(rows, len(rows), on_progress):
        yield Manifest().read(manifest, {"row": row})
