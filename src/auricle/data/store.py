"""Store: an ingested data set, opened for reading. Samples are memory-mapped, metadata are Arrow columns."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.age import Age
from auricle.data.shard import STORE_VERSION, dequantise
from auricle.errors import StoreError, require
from auricle.recording import Recording


class Store:
    """Reads what `ingest` wrote.

    Raises:
        StoreError: no store, an unfinished one, one of another version, or a shard that is shorter than its table.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.info: dict[str, Any] = json.loads((self.path / "store.json").read_text())
        except FileNotFoundError:
            begun = (self.path / "plan.json").exists()
            remedy = "its ingest has not finished: run it again" if begun else "make one with `auricle ingest`"
            raise StoreError(f"{self.path}: not a store; {remedy}") from None
        if self.info["version"] != STORE_VERSION:
            raise StoreError(
                f"{self.path}: store version {self.info['version']}, this auricle reads {STORE_VERSION}: ingest again"
            )
        self.rate_hz = float(self.info["rate_hz"])
        self._shards: dict[int, NDArray[np.int16]] = {}

    def __len__(self) -> int:
        return int(self.info["n_records"])

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}: {len(self)} records at {self.rate_hz:g} Hz)"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "info": self.info, "rate_hz": self.rate_hz, "_shards": {}}

    @cached_property
    def table(self) -> Any:
        """records.parquet as an Arrow table."""
        return require("pyarrow.parquet", "train").read_table(self.path / "records.parquet", memory_map=True)

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
            raise StoreError(f"{self.path}: no column {name!r} in records.parquet")
        values: NDArray[Any] = self.table[name].to_numpy(zero_copy_only=False)
        return values

    def measurements(self) -> dict[str, NDArray[np.float64]]:
        """The numbers that came with the records, by name (heart_rate, qrs_ms ...), NaN where missing."""
        names = [name for name in self.table.column_names if name.startswith("measured:")]
        return {name.removeprefix("measured:"): self.column(name).astype(float) for name in names}

    @cached_property
    def patients(self) -> NDArray[np.str_]:
        """A patient name per record; a record without a patient stands for itself."""
        pairs = zip(self.column("patient_id"), self.column("record_id"), strict=True)
        return np.array([patient if patient is not None else f"record:{record}" for patient, record in pairs])

    def samples(self, row: int) -> tuple[NDArray[np.int16], float]:
        """The stored steps (lead, time) of a record, memory-mapped, and its gain in mV per step."""
        entry = self._rows
        shard, offset = int(entry["shard"][row]), int(entry["offset"][row])
        n_leads, n_samples = len(entry["leads"][row]), int(entry["n_samples"][row])
        stop = offset + n_leads * n_samples
        data = self._shard(shard)
        if stop > data.size:
            raise StoreError(f"{self.path}/shards/{shard:05d}.bin: shorter than its table says: ingest again")
        return data[offset:stop].reshape(n_leads, n_samples), float(entry["gain_mv"][row])

    def recording(self, row: int) -> Recording:
        """Record number `row`, in millivolts."""
        entry = self._rows
        steps, gain = self.samples(row)
        age = entry["age_days"][row]
        report_id = int(entry["report_id"][row])
        return Recording(
            signal=dequantise(steps, gain),
            rate_hz=self.rate_hz,
            leads=tuple(entry["leads"][row]),
            record_id=str(entry["record_id"][row]),
            patient_id=entry["patient_id"][row],
            age=None if np.isnan(age) else Age(float(age), float(entry["age_resolution_days"][row])),
            sex=entry["sex"][row],
            report=self.reports[report_id]["text"] if report_id >= 0 else None,
            labels=tuple(entry["labels"][row]),
            source=str(entry["source"][row]),
        )

    def beats(self, row: int) -> NDArray[np.int64]:
        """R peaks of a record, in samples."""
        return np.asarray(self._rows["beats"][row], dtype=np.int64)

    @cached_property
    def _rows(self) -> dict[str, NDArray[Any]]:
        names = (
            "record_id", "patient_id", "source", "shard", "offset", "n_samples", "gain_mv", "leads", "age_days",
            "age_resolution_days", "sex", "labels", "report_id", "beats",
        )  # fmt: skip
        return {name: self.column(name) for name in names}

    def _shard(self, number: int) -> NDArray[np.int16]:
        if number not in self._shards:
            path = self.path / "shards" / f"{number:05d}.bin"
            try:
                self._shards[number] = np.memmap(path, dtype=np.int16, mode="r")
            except (FileNotFoundError, ValueError) as error:
                raise StoreError(f"{path}: missing or empty: ingest again ({error})") from None
        return self._shards[number]
