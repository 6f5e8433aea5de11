"""Ingest: a source becomes a store, shard by shard, on all cores; killed at any moment it goes on where it was.

Which records form shard k follows from the source's index alone, so nothing needs a journal: a shard is either whole
(its table exists) or it is made again. `plan.json` holds what the shards were made from and refuses to mix.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from auricle.atomic import PARTIAL, write_json, write_with
from auricle.data.shard import STORE_VERSION, write_shard
from auricle.data.sources import get_source
from auricle.errors import DataError, StoreError, require
from auricle.text.glossary import to_english
from auricle.text.reports import report_key

# Small enough that a kill costs seconds of work, large enough that a million records are two thousand files.
SHARD_RECORDS: Final = 512


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did."""

    path: Path
    n_stored: int
    n_rejected: int
    n_reports: int


def ingest(
    source_name: str,
    root: Path,
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    rate_hz: float = 500.0,
    shard_records: int = SHARD_RECORDS,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Ingested:
    """Make a store in `out` from the records a source lists under `root`; a finished or half-finished one is continued.

    Args:
        source_name: one of `auricle list sources`.
        root: folder or file the source reads.
        out: the store's folder.
        options: the source's own options.
        rate_hz: the one sampling rate of the store.
        shard_records: records per shard.
        workers: processes; by default one per core.
        on_progress: called with (records done, records in all) after each shard.

    Raises:
        StoreError: `out` holds something else, another process writes to it, or no record could be read.
        DataError: the source cannot be indexed.
    """
    index = get_source(source_name, **(options or {})).index(root)
    if index.empty:
        raise DataError(f"{root}: the {source_name} index lists no records")
    plan = {
        "version": STORE_VERSION,
        "source": source_name,
        "options": dict(options or {}),
        "rate_hz": rate_hz,
        "shard_records": shard_records,
        "n_listed": len(index),
        "index_sha256": hashlib.sha256(index.astype(str).to_csv(index=False).encode()).hexdigest(),
    }
    with _writer_lock(out):
        _begin(out, plan)
        rows: list[dict[str, Any]] = [dict(row) for row in index.to_dict("records")]  # type: ignore[arg-type]
        todo = [
            (number, rows[start : start + shard_records])
            for number, start in enumerate(range(0, len(rows), shard_records))
            if not (out / "shards" / f"{number:05d}.parquet").exists()
        ]
        done = len(rows) - sum(len(part) for _, part in todo)
        if on_progress:
            on_progress(done, len(rows))
        with _executor(workers, len(todo)) as pool:
            jobs: dict[Future[tuple[int, int]], int] = {
                pool.submit(
                    write_shard, source_name, options or {}, root, part, rate_hz, out / "shards" / f"{number:05d}"
                ): len(part)
                for number, part in todo
            }
            for job in as_completed(jobs):
                job.result()
                done += jobs[job]
                if on_progress:
                    on_progress(done, len(rows))
        return _finish(out, plan)


@contextmanager
def _executor(workers: int | None, n_jobs: int) -> Iterator[Executor]:
    count = min(workers or os.cpu_count() or 1, max(n_jobs, 1))
    # "spawn": a fork of a process that has used torch's threads can deadlock.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield pool


@contextmanager
def _writer_lock(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{out}: another process is writing this store; wait for it or choose another") from None
        yield


def _begin(out: Path, plan: Mapping[str, Any]) -> None:
    path = out / "plan.json"
    if path.exists():
        begun = json.loads(path.read_text())
        changed = sorted(key for key in plan if begun.get(key) != plan[key])
        if changed:
            raise StoreError(
                f"{out}: was begun with another {', '.join(changed)}; choose another folder or remove this one"
            )
    elif any(entry.name != ".lock" for entry in out.iterdir()):
        raise StoreError(f"{out}: is not empty and not a store; choose another folder")
    (out / "shards").mkdir(exist_ok=True)
    for left_by_a_kill in out.rglob(f"*{PARTIAL}"):
        left_by_a_kill.unlink()
    write_json(path, plan)


def _finish(out: Path, plan: Mapping[str, Any]) -> Ingested:
    """Join the shard tables into records.parquet, reports.parquet and rejected.parquet; store.json comes last."""
    pa, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    pc = require("pyarrow.compute", "train")
    paths = sorted((out / "shards").glob("*.parquet"))
    tables = []
    for path in paths:
        table = parquet.read_table(path)
        shard = pa.array([int(path.stem)] * len(table), pa.int32())
        tables.append(table.append_column("shard", shard))
    joined = pa.concat_tables(tables, promote_options="default")
    rejected = joined.filter(pc.is_valid(joined["reason"])).select(["record_id", "reason"])
    stored = joined.filter(pc.is_null(joined["reason"]))
    write_with(out / "rejected.parquet", lambda path: parquet.write_table(rejected, path))
    if not len(stored):
        first = rejected["reason"][0].as_py()
        raise StoreError(f"{out}: not one of {len(joined)} records could be read; the first: {first}")
    reports, ids = _reports(stored["report"].to_pylist())
    records = stored.drop_columns(["reason", "report"]).append_column("report_id", pa.array(ids, pa.int64()))
    distinct = pa.Table.from_pylist(reports, schema=_report_schema())
    write_with(out / "records.parquet", lambda path: parquet.write_table(records, path))
    write_with(out / "reports.parquet", lambda path: parquet.write_table(distinct, path))
    write_json(out / "store.json", {**plan, "n_records": len(records), "n_rejected": len(rejected)})
    return Ingested(out, len(records), len(rejected), len(reports))


def _report_schema() -> Any:
    pa = require("pyarrow", "train")
    return pa.schema([(name, pa.string()) for name in ("report_key", "text", "english", "language")])


def _reports(texts: list[str | None]) -> tuple[list[dict[str, str]], list[int]]:
    """Each distinct report once, and for every record the number of its report (-1 for none)."""
    numbers: dict[str, int] = {}
    ids = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
    reports = []
    for text in numbers:
        translation = to_english(text)
        reports.append({
            "report_key": report_key(text), "text": text,
            "english": translation.text, "language": translation.language,
        })  # fmt: skip
    return reports, ids
