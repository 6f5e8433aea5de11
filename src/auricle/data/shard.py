"""A shard: the unit of ingest and of storage. One file of int16 samples and one table that describes them.

Leads and lengths are as recorded; `auricle.data.format` says what the bytes mean. Pictures lie in a second file, grey
and all of one size; a shard without any has no such file. The table is written after both and renamed into place last:
a shard whose table exists is whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.atomic import write_with
from auricle.data.format import (
    BOUND_COLUMN,
    IMAGE_SIZE,
    LAB_COLUMN,
    MEASURED_COLUMN,
    MINUTES_COLUMN,
    MISSING,
    MOST_STEPS,
    NO_PICTURE,
    Form,
    Size,
    pack,
    quantise,
)
from auricle.data.sources import Source, get_source
from auricle.errors import AuricleError, DataError, ReadingNote, require
from auricle.image.fit import fit_picture
from auricle.recording import Recording
from auricle.signal.acceptance import Acceptance, judge
from auricle.signal.beats import beats_of
from auricle.signal.quality import quality
from auricle.signal.resample import resample
from auricle.text.reports import clean


def at_rate(recording: Recording, rate_hz: float) -> Recording:
    """The recording at another rate, NaN where samples are missing; gaps stay gaps, and the old rate is kept beside."""
    if recording.rate_hz == rate_hz or not recording.leads:
        return recording
    known = np.isfinite(recording.signal)
    # Every lead is its own "record" here, so that a gap in one lead is bridged by its own neighbours only.
    rows = torch.from_numpy(np.where(known, recording.signal, 0.0).astype(np.float32))[:, None]
    changed, mask = resample(rows, torch.from_numpy(known), recording.rate_hz, rate_hz, rate_hz / 2)
    signal = np.where(mask.numpy(), changed[:, 0].numpy(), np.nan).astype(np.float32)
    return replace(recording, signal=signal, rate_hz=rate_hz, recorded_hz=recording.original_hz)


def judged(recording: Recording) -> tuple[Acceptance, NDArray[np.int64]]:
    """The quality of the trace and its R peaks, of a recording as a store has it.

    Raises:
        DataError: there is no ECG in it.
    """
    if not recording.leads:
        return Acceptance(True, True), np.zeros(0, dtype=np.int64)
    beats = beats_of(recording)
    accepted = judge(recording, beats)
    if not accepted.readable:
        raise DataError(f"no ECG to read: {accepted.reasons[0]}")
    return accepted, beats


def write_shard(
    source_name: str,
    options: Mapping[str, Any],
    root: Path,
    rows: Sequence[Mapping[str, Any]],
    rate_hz: float,
    stem: Path,
    form: Form = "raw",
    image_size: Size = IMAGE_SIZE,
) -> tuple[int, int]:
    """Read `rows` from their source, write `stem`.bin, `stem`.img if there are pictures, and `stem`.parquet.

    Needs nothing from the process that plans the ingest, so it can run in a worker.

    Args:
        source_name: the source, by name.
        options: the source's own options.
        root: folder or file that the source reads.
        rows: rows of the source's index.
        rate_hz: the store's rate.
        stem: path of the shard's files without suffix.
        form: how samples are stored.
        image_size: (height, width) that pictures are fitted to.

    Returns:
        How many records were stored and how many rejected. A record that cannot be read is a row with its reason.
    """
    torch.set_num_threads(1)  # several of these run side by side
    source = get_source(source_name, **options)
    table: list[dict[str, Any]] = []

    def write_samples(path: Path) -> None:
        # An anonymous file: a kill leaves nothing of it, and without a picture it never gets a name.
        with path.open("wb") as file, TemporaryFile(dir=path.parent) as pictures:
            for row in rows:
                entry, steps, picture = _entry(source, root, row, rate_hz, image_size)
                if steps is not None:
                    packed = pack(steps, form)
                    entry |= {"offset": file.tell(), "n_bytes": len(packed)}
                    file.write(packed)
                if picture is not None:
                    entry["image_offset"] = pictures.tell()
                    pictures.write(picture.tobytes())
                table.append(entry)
            if pictures.tell():
                write_with(stem.with_suffix(".img"), lambda whole: _copy(pictures, whole))

    write_with(stem.with_suffix(".bin"), write_samples)
    _write_table(table, stem.with_suffix(".parquet"))
    stored = sum(entry["reason"] is None for entry in table)
    return stored, len(table) - stored


def _copy(file: IO[bytes], path: Path) -> None:
    file.seek(0)
    with path.open("wb") as copy:
        copyfileobj(file, copy)


def _entry(
    source: Source, root: Path, row: Mapping[str, Any], rate_hz: float, image_size: Size
) -> tuple[dict[str, Any], NDArray[np.int16] | None, NDArray[np.uint8] | None]:
    """The table row, the steps (lead, time) and the picture of one record; a rejected record has its reason alone."""
    record_id = str(row["record_id"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReadingNote)  # they are kept in a column
            recording = source.read(root, row)
        recording = at_rate(recording.trimmed(), rate_hz)
        accepted, beats = judged(recording)
        picture = None if recording.image is None else fit_picture(recording.image, *image_size)
    except (AuricleError, OSError, ValueError) as error:
        return {"record_id": record_id, "reason": f"{type(error).__name__}: {error}"}, None, None
    # The row of a stored record; columns that not every record has are added by prefix.
    signal = recording.signal
    steps, gain = quantise(signal)
    clipped = int((np.isfinite(signal) & (steps == MISSING)).sum())
    notes = list(recording.notes)
    if clipped:
        notes.append(f"{clipped} samples beyond {gain * MOST_STEPS:.3g} mV are no signal of a heart: stored as missing")
    low, high = recording.cart_band_hz or (None, None)
    age = recording.age
    entry: dict[str, Any] = {
        "record_id": record_id,
        "reason": None,
        "patient_id": recording.patient_id,
        "source": recording.source,
        "amplitude_known": recording.amplitude_known,
        "n_samples": steps.shape[1],
        "gain_mv": gain,
        "image_offset": NO_PICTURE,
        "leads": list(recording.leads),
        "age_days": age.days if age else None,
        "age_resolution_days": age.resolution_days if age else None,
        "sex": recording.sex,
        "fold": recording.fold,
        "labels": list(recording.labels),
        "report": clean(recording.report or "") or None,
        "beats": beats.tolist(),
        "recorded_hz": recording.original_hz,
        "gestation_days": recording.gestation_days,
        "cart_low_hz": low,
        "cart_high_hz": high,
        "lost_leads": list(recording.lost),
        "lost_shares": list(recording.lost.values()),
        "acceptable": accepted.acceptable,
        "quality_reasons": [str(reason) for reason in accepted.reasons],
        "notes": notes,
    }
    if recording.leads:
        entry |= {f"quality:{name}": value for name, value in quality(signal, recording.leads, rate_hz).items()}
    entry |= {f"{LAB_COLUMN}{name}": float(value) for name, value in recording.labs.items()}
    entry |= {f"{MINUTES_COLUMN}{name}": float(value) for name, value in recording.lab_minutes.items()}
    entry |= {f"{BOUND_COLUMN}{name}": -1.0 if side == "below" else 1.0 for name, side in recording.lab_bounds.items()}
    entry |= {f"{MEASURED_COLUMN}{name}": float(value) for name, value in recording.measurements.items()}
    return entry, steps, picture


def _write_table(entries: list[dict[str, Any]], path: Path) -> None:
    pa, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    fixed = [
        ("record_id", pa.string()), ("reason", pa.string()), ("patient_id", pa.string()), ("source", pa.string()),
        ("amplitude_known", pa.bool_()),
        ("offset", pa.int64()), ("n_bytes", pa.int64()), ("n_samples", pa.int64()), ("gain_mv", pa.float64()),
        ("image_offset", pa.int64()),
        ("leads", pa.list_(pa.string())), ("age_days", pa.float64()), ("age_resolution_days", pa.float64()),
        ("sex", pa.string()), ("fold", pa.int64()), ("labels", pa.list_(pa.string())), ("report", pa.string()),
        ("beats", pa.list_(pa.int32())), ("recorded_hz", pa.float64()),
        ("gestation_days", pa.float64()),
        ("cart_low_hz", pa.float64()), ("cart_high_hz", pa.float64()),
        ("lost_leads", pa.list_(pa.string())), ("lost_shares", pa.list_(pa.float64())),
        ("acceptable", pa.bool_()), ("quality_reasons", pa.list_(pa.string())), ("notes", pa.list_(pa.string())),
    ]  # fmt: skip
    known = {name for name, _ in fixed}
    extra = sorted({name for entry in entries for name in entry} - known)
    schema = pa.schema(fixed + [(name, pa.float64()) for name in extra])
    columns = {name: [entry.get(name) for entry in entries] for name in schema.names}
    table = pa.table(columns, schema=schema)
    write_with(path, lambda temporary: parquet.write_table(table, temporary))
