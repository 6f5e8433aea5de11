"""A hospital's normal records, from whatever they lie in: a CSV of measurements, a manifest of files, or a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from auricle.data.manifest import canonical_header, read_manifest
from auricle.data.measured import read_measured
from auricle.data.sources.manifest import Manifest
from auricle.data.store import Store
from auricle.data.table import read_table
from auricle.errors import AuricleError, DataError
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
        DataError: no such file, or the first thing wrong in a table of measurements. What cannot be read of a manifest
            or a store is left out, counted, and the first is named (`NormalRecords.left_out`).
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    rejected: list[str] = []
    if source.is_dir():
        recordings = _stored(source, label, on_progress)
    elif "file" in canonical_header(read_table(source).header):
        recordings = _listed(source, label, on_progress, rejected)
    else:
        return read_measured(source, label)
    records = gather(with_values(recordings, given), label)
    if not rejected:
        return records
    why = f"could not be read, the first: {rejected[0]}"
    return replace(records, left_out={**records.left_out, why: len(rejected)})


def _stored(folder: Path, label: str | None, on_progress: OnProgress | None) -> Iterator[Recording]:
    """Recordings of a store, with the measurements that came with them."""
    store = Store(folder)
    labels = store.column("labels")
    rows = [row for row in range(len(store)) if label is None or label in labels[row]]
    for row in counted(rows, len(rows), on_progress):
        yield store.recording(row)


def _listed(
    manifest: Path, label: str | None, on_progress: OnProgress | None, rejected: list[str]
) -> Iterator[Recording]:
    """Recordings of a manifest; why others cannot be read is added to `rejected`."""
    rows = [row for row in read_manifest(manifest) if row.problem or label is None or label in row.labels]
    for row in counted(rows, len(rows), on_progress):
        try:
            recording = Manifest().read(manifest, {"row": row})
        except AuricleError as error:
            rejected.append(str(error))
        else:
            yield recording
