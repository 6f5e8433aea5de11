"""Store: an ingested data set, opened for reading. Samples and metadata are memory-mapped.

Metadata lie as uncompressed Arrow batches, one per shard: a process that reads a few rows pays for a few rows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.age import Age
from auricle.data.columns import Columns
from auricle.data.format import (
    BOUND_COLUMN,
    INFO,
    LAB_COLUMN,
    MEASURED_COLUMN,
    MINUTES_COLUMN,
    NO_PICTURE,
    STORE_VERSION,
    Form,
    dequantise,
    unpack,
)
from auricle.data.rows import Rows
from auricle.errors import StoreError, require
from auricle.labs import Bound
from auricle.recording import Recording, Sex

# What `record` reads of each row.
_OF_A_RECORD: Final = (
    "record_id", "patient_id", "source", "shard", "offset", "n_bytes", "n_samples", "gain_mv", "leads", "age_days",
    "age_resolution_days", "sex", "beats",
)  # fmt: skip

# Samples and pictures of a shard.
Kind = Literal["bin", "img"]
_SHORT: Final = "shorter than its table says"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record in the steps of the store, not yet converted to millivolts.

    Attributes:
        signal: (lead, time) int16 steps, -32768 where missing.
        gain_mv: millivolts per step.
        beats: R peaks in samples.
        rate_hz: samples per second.
        leads: canonical names, one per row of `signal`.
        record_id: unique in the store.
        patient_id: equal for recordings of one person, or None.
        age: at the recording, or None.
        sex: "F", "M", or None.
        source: the data set it came from.
        image: (height, width) grey picture, 255 = white, or None.
    """

    signal: NDArray[np.int16]
    gain_mv: float
    beats: NDArray[np.int64]
    rate_hz: float
    leads: tuple[str, ...]
    record_id: str
    patient_id: str | None
    age: Age | None
    sex: Sex | None
    source: str
    image: NDArray[np.uint8] | None = None


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store that was ingested to its end."""
    return (folder / INFO).is_file()


class Store:
    """Reads what `ingest` wrote.

    Raises:
        StoreError: no store, an unfinished one, one of another version, or a shard that is shorter than its table.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.info: dict[str, Any] = json.loads((self.path / INFO).read_text())
        except FileNotFoundError:
            begun = (self.path / "plan.json").exists()
            remedy = "its ingest has not finished: run it again" if begun else "make one with `auricle ingest`"
            raise StoreError(f"{self.path}: not a store; {remedy}") from None
        if self.info["version"] != STORE_VERSION:
            raise StoreError(
                f"{self.path}: store version {self.info['version']}, this auricle reads {STORE_VERSION}: ingest again"
            )
        self.rate_hz = float(self.info["rate_hz"])
        self.form: Form = self.info["form"]
        self._shards: dict[tuple[int, Kind], NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return int(self.info["n_records"])

    @property
    def fingerprint(self) -> str:
        """Of what the store was made of: 64 hexadecimal digits of its source, options, records and rate."""
        made = {key: self.info.get(key) for key in ("source", "options", "index_sha256", "rate_hz")}
        return hashlib.sha256(json.dumps(made, sort_keys=True, default=str).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}: {len(self)} records at {self.rate_hz:g} Hz)"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "info": self.info, "rate_hz": self.rate_hz, "form": self.form, "_shards": {}}

    @cached_property
    def table(self) -> Any:
        """records.arrow as a memory-mapped Arrow table."""
        pa = require("pyarrow", "train")
        return pa.ipc.open_file(pa.memory_map(str(self.path / "records.arrow"))).read_all()

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.table, _OF_A_RECORD)

    @cached_property
    def columns(self) -> Columns:
        """What batches need of all records, as arrays."""
        return Columns(self.table)

    @cached_property
    def reports(self) -> list[dict[str, str]]:
        """Each distinct report: key, cleaned text, English text, language."""
        rows: list[dict[str, str]] = (
            require("pyarrow.parquet", "train").read_table(self.path / "reports.parquet").to_pylist()
        )
        return rows

    def column(self, name: str) -> NDArray[Any]:
        """One metadata column; missing numbers are NaN, missing text is None.

        Raises:
            StoreError: the store has no such column.
        """
        if name not in self.table.column_names:
            raise StoreError(f"{self.path}: no column {name!r} in records.arrow")
        values: NDArray[Any] = self.table[name].to_numpy(zero_copy_only=False)
        return values

    def measurements(self) -> dict[str, NDArray[np.float64]]:
        """The numbers that came with the records, by name (heart_rate, qrs_ms ...), NaN where missing."""
        names = [name for name in self.table.column_names if name.startswith(MEASURED_COLUMN)]
        return {name.removeprefix(MEASURED_COLUMN): self.column(name).astype(float) for name in names}

    @cached_property
    def patients(self) -> NDArray[np.str_]:
        """(n,) patient name of each record; a record without a patient counts as a patient of its own."""
        pairs = zip(self.column("patient_id"), self.column("record_id"), strict=True)
        return np.array([patient if patient is not None else f"record:{record}" for patient, record in pairs])

    @cached_property
    def amplitude_known(self) -> bool:
        """Whether every record is in millivolts; false for stores of z-scored copies."""
        return bool(self.column("amplitude_known").astype(bool).all())

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures; None where no record has one."""
        if not self.info.get("n_pictures"):
            return None
        height, width = self.info["image_size"]
        return int(height), int(width)

    def labs(self, row: int) -> tuple[dict[str, float], dict[str, float]]:
        """Laboratory values of record number `row`, and when they were drawn in minutes after the ECG, by test."""
        return self._known(row, LAB_COLUMN), self._known(row, MINUTES_COLUMN)

    def _known(self, row: int, prefix: str) -> dict[str, float]:
        names = [name for name in self.table.column_names if name.startswith(prefix)]
        values = {name.removeprefix(prefix): self.table[name][row].as_py() for name in names}
        return {name: value for name, value in values.items() if value is not None and np.isfinite(value)}

    def record(self, row: int) -> StoredRecord:
        """Record number `row` in the steps of the file; where the store is `raw`, samples are views of the file.

        Raises:
            StoreError: the shard is shorter than its table says, or damaged.
        """
        entry = self._rows[row]
        leads = tuple(entry["leads"])
        age = entry["age_days"]
        return StoredRecord(
            signal=self.steps(entry["shard"], entry["offset"], entry["n_bytes"], len(leads), entry["n_samples"]),
            gain_mv=entry["gain_mv"],
            beats=np.asarray(entry["beats"], dtype=np.int64),
            rate_hz=self.rate_hz,
            leads=leads,
            record_id=entry["record_id"],
            patient_id=entry["patient_id"],
            age=None if age is None else Age(age, entry["age_resolution_days"]),
            sex=entry["sex"],
            source=entry["source"],
            image=self._image(row, entry["shard"]),
        )

    def steps(self, shard: int, offset: int, n_bytes: int, n_leads: int, n_samples: int) -> NDArray[np.int16]:
        """The samples (lead, time) of the record that lies there; where the store is `raw`, a view of the file.

        Raises:
            StoreError: the shard is shorter than its table says, or damaged.
        """
        if not n_leads:
            return np.zeros((0, 0), dtype=np.int16)
        try:
            return unpack(self._bytes(shard, "bin", offset, n_bytes), self.form, n_leads, n_samples)
        except ValueError as error:
            raise self._damaged(shard, "bin", str(error)) from None

    def picture(self, shard: int, offset: int) -> NDArray[np.uint8]:
        """The picture (height, width) that lies there, as a view of the file.

        Raises:
            StoreError: the file of pictures is missing or shorter than its table says.
        """
        height, width = self.info["image_size"]
        return self._bytes(shard, "img", offset, height * width).reshape(height, width)

    def _image(self, row: int, shard: int) -> NDArray[np.uint8] | None:
        if self.image_size is None:
            return None
        offset = self.table["image_offset"][row].as_py()
        return None if offset is None or offset == NO_PICTURE else self.picture(shard, offset)

    def recording(self, row: int) -> Recording:
        """Record number `row` as a Recording in millivolts, with all that its source knew of it.

        Raises:
            StoreError: the shard is shorter than its table says, or damaged.
        """
        stored = self.record(row)
        report_id = self.table["report_id"][row].as_py()
        labs, minutes = self.labs(row)
        low, high = self._value("cart_low_hz", row), self._value("cart_high_hz", row)
        sides = self._known(row, BOUND_COLUMN)
        bounds: dict[str, Bound] = {test: "below" if side < 0 else "above" for test, side in sides.items()}
        lost = zip(self._value("lost_leads", row) or (), self._value("lost_shares", row) or (), strict=True)
        return Recording(
            signal=dequantise(stored.signal, stored.gain_mv),
            rate_hz=self.rate_hz,
            leads=stored.leads,
            record_id=stored.record_id,
            patient_id=stored.patient_id,
            age=stored.age,
            sex=stored.sex,
            report=self.reports[report_id]["text"] if report_id >= 0 else None,
            labels=tuple(self.table["labels"][row].as_py()),
            labs=labs,
            lab_minutes=minutes,
            lab_bounds=bounds,
            gestation_days=self._value("gestation_days", row),
            image=stored.image,
            measurements=self._known(row, MEASURED_COLUMN),
            fold=self._value("fold", row),
            cart_band_hz=None if low is None or high is None else (low, high),
            source=stored.source,
            amplitude_known=self.table["amplitude_known"][row].as_py(),
            recorded_hz=self._value("recorded_hz", row),
            lost=dict(lost),
            notes=tuple(self._value("notes", row) or ()),
        )

    def _value(self, name: str, row: int) -> Any:
        """A value of a column that stores of an older auricle do not have; None there."""
        return self.table[name][row].as_py() if name in self.table.column_names else None

    def file_of_steps(self, shard: int, least: int) -> NDArray[np.int16]:
        """All steps of a shard of form `raw`, mapped.

        Raises:
            StoreError: there are fewer than `least`.
        """
        steps = self._file(shard, "bin").view(np.int16)
        if len(steps) < least:
            raise self._damaged(shard, "bin", _SHORT)
        return steps

    def _bytes(self, shard: int, kind: Kind, offset: int, count: int) -> NDArray[np.uint8]:
        """A part of a shard's file as a view of it."""
        part = self._file(shard, kind)[offset : offset + count]
        if len(part) < count:
            raise self._damaged(shard, kind, _SHORT)
        return part

    def _file(self, shard: int, kind: Kind) -> NDArray[np.uint8]:
        """A shard's file, mapped."""
        mapped = self._shards.get((shard, kind))
        if mapped is None:
            path = self.path / "shards" / f"{shard:05d}.{kind}"
            try:
                # As a plain array: every slice of a memmap object costs a call in Python.
                mapped = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
            except (FileNotFoundError, ValueError) as error:
                raise StoreError(f"{path}: missing or empty: ingest again ({error})") from None
            self._shards[shard, kind] = mapped
        return mapped

    def _damaged(self, shard: int, kind: Kind, what: str) -> StoreError:
        path = self.path / "shards" / f"{shard:05d}.{kind}"
        return StoreError(f"{path}: damaged ({what}): remove it and its table and ingest again")
