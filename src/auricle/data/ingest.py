"""Ingest: a source becomes a store, shard by shard, on all cores; killed at any moment it goes on where it was.

Which records form shard k follows from the source's index alone, so nothing needs a journal: a shard is either whole
(its table exists) or it is made again. `plan.json` holds what the shards were made from and refuses to mix. Beside the
source's index, memory holds a few shards at a time: rows are handed out as workers become free, and the shards' tables
are joined one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle.atomic import PARTIAL, locked, write_json, write_with
from auricle.data.format import IMAGE_SIZE, INFO, RATE_HZ, STORE_VERSION, Form, Size
from auricle.data.shard import write_shard
from auricle.data.sources import get_source
from auricle.errors import ConfigError, DataError, StoreError, require
from auricle.executors import each_done, executor_of
from auricle.progress import OnProgress
from auricle.text.glossary import to_english
from auricle.text.reports import report_key

if TYPE_CHECKING:
    import pandas as pd

# Small enough that a kill costs seconds of work, large enough that a million records are two thousand files.
SHARD_RECORDS: Final = 512
_FINGERPRINT_ROWS: Final = 50_000
# What a plan of an older auricle does not say.
_UNSAID: Final[Mapping[str, Any]] = {"image_size": list(IMAGE_SIZE)}


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did."""

    path: Path
    n_stored: int
    n_rejected: int
    n_reports: int


def ingest(
    source_name: str,
    root: Path | str,
    out: Path | str,
    *,
    options: Mapping[str, Any] | None = None,
    rate_hz: float = RATE_HZ,
    shard_records: int = SHARD_RECORDS,
    workers: int | None = None,
    executor: str = "processes",
    form: Form = "raw",
    image_size: Size = IMAGE_SIZE,
    on_progress: OnProgress | None = None,
) -> Ingested:
    """Make a store in `out` from the records a source lists under `root`; a finished or half-finished one is continued.

    Args:
        source_name: one of `auricle list sources`.
        root: folder or file the source reads.
        out: the store's folder.
        options: the source's own options.
        rate_hz: the one sampling rate of the store.
        shard_records: records per shard.
        workers: processes; by default one per core. With one worker, or one shard to make, the work is done here.
        executor: `processes` of this machine, or `dask:ADDRESS` of a scheduler whose workers see the same folders.
        form: `raw`, or `pcodec` for a smaller store that is slower to read.
        image_size: (height, width) that pictures are stored in, if there are any.
        on_progress: called with (records done, records in all) after each shard.

    Raises:
        StoreError: `out` holds something else, another process writes to it, or no record could be read.
        DataError: the source cannot be indexed.
        ConfigError: an executor or a size of pictures that is not possible.
    """
    root, out = Path(root), Path(out)
    if min(image_size) < 1:
        raise ConfigError(f"pictures of {image_size[0]}x{image_size[1]} are not possible: give height and width")
    index = get_source(source_name, **(options or {})).index(root)
    if index.empty:
        raise DataError(f"{root}: the {source_name} index lists no records")
    plan = {
        "version": STORE_VERSION,
        "source": source_name,
        "options": dict(options or {}),
        "rate_hz": rate_hz,
        "form": form,
        "shard_records": shard_records,
        "image_size": list(image_size),
        "n_listed": len(index),
        "index_sha256": _fingerprint(index),
    }
    with locked(out / ".lock", wait=False) as held:
        if not held:
            raise StoreError(f"{out}: another process is writing this store; wait for it or choose another")
        _begin(out, plan)
        starts = range(0, len(index), shard_records)
        todo = [n for n in range(len(starts)) if not (out / "shards" / f"{n:05d}.parquet").exists()]
        sizes = {n: min(shard_records, len(index) - starts[n]) for n in todo}
        done = len(index) - sum(sizes.values())
        if on_progress:
            on_progress(done, len(index))
        with executor_of(executor, workers, len(todo)) as (pool, n_ahead):

            def submit(number: int) -> Future[tuple[int, int]]:
                part: Any = index.iloc[starts[number] : starts[number] + shard_records].to_dict("records")
                stem = out / "shards" / f"{number:05d}"
                return pool.submit(write_shard, source_name, options or {}, root, part, rate_hz, stem, form, image_size)

            for number in each_done(submit, todo, n_ahead):
                done += sizes[number]
                if on_progress:
                    on_progress(done, len(index))
        return _finish(out, plan)


def _fingerprint(index: pd.DataFrame) -> str:
    """A digest of everything the index says, taken a part at a time."""
    digest = hashlib.sha256(",".join(index.columns).encode())
    for start in range(0, len(index), _FINGERPRINT_ROWS):
        part = index.iloc[start : start + _FINGERPRINT_ROWS]
        digest.update(part.astype(str).to_csv(index=False, header=False).encode())
    return digest.hexdigest()


def _begin(out: Path, plan: Mapping[str, Any]) -> None:
    path = out / "plan.json"
    if path.exists():
        begun = {**_UNSAID, **json.loads(path.read_text())}
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
    """Join the shard tables into records.arrow, reports.parquet and rejected.parquet; store.json comes last.

    One shard's table is in memory at a time; what grows is the set of distinct reports.
    """
    pa, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
    pc = require("pyarrow.compute", "train")
    paths = sorted((out / "shards").glob("*.parquet"), key=lambda path: int(path.stem))
    schema = pa.unify_schemas([parquet.read_schema(path) for path in paths])
    kept = pa.schema([field for field in schema if field.name not in {"reason", "report"}])
    kept = kept.append(pa.field("shard", pa.int32())).append(pa.field("report_id", pa.int64()))
    numbers: dict[str, int] = {}
    rejected, n_stored, n_pictures = [], 0, 0

    def write_records(path: Path) -> None:
        nonlocal n_stored, n_pictures
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, kept) as writer:
            for shard in paths:
                table = pa.concat_tables([parquet.read_table(shard), schema.empty_table()], promote_options="default")
                rejected.append(table.filter(pc.is_valid(table["reason"])).select(["record_id", "reason"]))
                stored = table.filter(pc.is_null(table["reason"]))
                texts = stored["report"].to_pylist()
                ids = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
                stored = stored.append_column("shard", pa.array([int(shard.stem)] * len(stored), pa.int32()))
                stored = stored.append_column("report_id", pa.array(ids, pa.int64())).select(kept.names)
                writer.write_table(stored.combine_chunks())
                n_stored += len(stored)
                n_pictures += sum(offset is not None and offset >= 0 for offset in _picture_offsets(stored))

    write_with(out / "records.arrow", write_records)
    left_out = pa.concat_tables(rejected)
    write_with(out / "rejected.parquet", lambda path: parquet.write_table(left_out, path))
    if not n_stored:
        first = left_out["reason"][0].as_py()
        raise StoreError(f"{out}: not one of {len(left_out)} records could be read; the first: {first}")
    distinct = pa.Table.from_pylist(_reports(numbers), schema=_report_schema())
    write_with(out / "reports.parquet", lambda path: parquet.write_table(distinct, path))
    counts = {"n_records": n_stored, "n_rejected": len(left_out), "n_pictures": n_pictures}
    write_json(out / INFO, {**plan, **counts})
    return Ingested(out, n_stored, len(left_out), len(numbers))


def _picture_offsets(table: Any) -> list[int | None]:
    """Where the records' pictures begin; shards that an older auricle made know of none."""
    column = "image_offset"
    return table[column].to_pylist() if column in table.column_names else []


def _report_schema() -> Any:
    pa = require("pyarrow", "train")
    return pa.schema([(name, pa.string()) for name in ("report_key", "text", "english", "language")])


def _reports(texts: Iterable[str]) -> list[dict[str, str]]:
    """Each distinct report: its key, the text, and the text in English."""
    reports = []
    for text in texts:
        translation = to_english(text)
        reports.append({
            "report_key": report_key(text), "text": text,
            "english": translation.text, "language": translation.language,
        })  # fmt: skip
    return reports
