"""Batches from a store, against the same batches put together slowly, one record and one lead at a time."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.batch import MISSING_STEP, ECGBatch
from auricle.data.collate import collate
from auricle.data.columns import Columns
from auricle.data.gather import gather
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.errors import DataError, StoreError
from auricle.leads import CANONICAL, STANDARD
from fakes import heart

N = 11


@pytest.fixture(scope="module", params=["raw", "pcodec"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Records of several leads, lengths and shards, one with a gap, ages known coarsely, finely and not at all."""
    folder = tmp_path_factory.mktemp(request.param)
    axes = [STANDARD, ("II", "V1"), STANDARD[::-1], ("V1", "V2", "V3", "V7"), ("I", "V6")]
    lines = ["file,record_id,patient_id,age,sex"]
    for number in range(N):
        leads = axes[number % len(axes)]
        signal = heart(400 + 100 * (number % 3), len(leads), rate_hz=100)
        if number == 5:
            signal[:, 200:230] = np.nan
        if number == 7:
            signal[0, 50:90] = np.nan
        np.savez(folder / f"{number}.npz", signal=signal, rate_hz=100, leads=leads)
        age = ("3d", "", "7y", "45yr")[number % 4]
        lines.append(
            f"{number}.npz,r{number},{f'p{number // 2}' if number % 5 else ''},{age},{('F', 'M', '')[number % 3]}"
        )
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    ingest("manifest", folder / "m.csv", folder / "s", rate_hz=100, shard_records=4, form=request.param, workers=1)
    return Store(folder / "s")


def slowly(store: Store, rows: list[int], starts: list[int], leads: tuple[str, ...], n: int) -> ECGBatch:
    """The batch in millivolts, by the readers of single records."""
    return collate([store.recording(row) for row in rows], leads, n, starts)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_batch_is_its_records(store: Store, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, N - 1), min_size=1, max_size=6))
    n = data.draw(st.integers(1, 700))
    starts = [data.draw(st.integers(0, 399)) for _ in rows]
    leads = tuple(data.draw(st.permutations(CANONICAL))) if data.draw(st.booleans()) else STANDARD
    batch = gather(store, np.array(rows), np.array(starts), leads, n)
    wanted = slowly(store, rows, starts, leads, n)
    assert batch.record_id == wanted.record_id == tuple(f"r{row}" for row in rows)
    assert batch.leads == leads
    assert batch.rate_hz == 100.0
    for name in ("lead_mask", "time_mask", "patient_id"):
        assert torch.equal(getattr(batch, name), getattr(wanted, name)), name
    for name in ("age_days", "male"):
        assert torch.equal(getattr(batch, name).nan_to_num(-1), getattr(wanted, name).nan_to_num(-1)), name
    assert batch.gain_mv is not None
    seen = (batch.lead_mask[:, :, None] & batch.time_mask[:, None]).expand_as(batch.signal)
    assert torch.equal(batch.millivolts()[seen].nan_to_num(99), wanted.millivolts()[seen].nan_to_num(99))
    beats = [store.record(row).beats - start for row, start in zip(rows, starts, strict=True)]
    assert batch.beats is not None
    assert [row[row >= 0].tolist() for row in batch.beats] == [b[(b >= 0) & (b < n)].tolist() for b in beats]
    assert (batch.beats.diff(dim=1) != 0).all() | (batch.beats[:, 1:][batch.beats.diff(dim=1) == 0] == -1).all()


def test_what_is_not_recorded_is_empty_and_not_what_lay_in_memory(store: Store) -> None:
    batch = gather(store, np.array([1, 6]), np.array([0, 0]), STANDARD, 700)
    outside = ~batch.lead_mask[:, :, None] | ~batch.time_mask[:, None]
    assert (batch.signal[outside.expand_as(batch.signal)] == 0).all()


def test_a_gap_of_all_leads_is_no_part_of_the_record(store: Store) -> None:
    batch = gather(store, np.array([5]), np.array([0]), STANDARD, 300)
    gap = (batch.signal[0] == MISSING_STEP).all(0)
    assert 20 < gap.sum() < 40
    assert torch.equal(~batch.time_mask[0], gap)


def test_the_leads_of_the_axis_must_be_there(store: Store) -> None:
    with pytest.raises(DataError, match=r"r1: has none of the leads the model reads \(V5\), only II, V1"):
        gather(store, np.array([0, 1]), np.array([0, 0]), ("V5",), 100)


def test_columns_stay_in_the_process_that_made_them(store: Store) -> None:
    """A worker is sent a few names and maps the files itself."""
    gather(store, np.arange(4), np.zeros(4, dtype=np.int64), STANDARD, 100)
    assert len(pickle.dumps(store)) < 4000
    again = pickle.loads(pickle.dumps(store))
    for one in (store, again):
        assert gather(one, np.array([8]), np.array([3]), STANDARD, 100).record_id == ("r8",)


def test_an_age_of_unknown_fineness_is_an_age(store: Store) -> None:
    place = store.table.column_names.index("age_resolution_days")
    nothing = pa.nulls(len(store.table), pa.float64())
    columns = Columns(store.table.set_column(place, "age_resolution_days", nothing))
    days = store.column("age_days").astype(np.float32)
    assert np.isfinite(days).any()
    assert np.array_equal(columns.age_days, days, equal_nan=True)


def test_threads_change_nothing(store: Store) -> None:
    rows, starts = np.arange(N), np.arange(N)
    one = gather(store, rows, starts, STANDARD, 300)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(gather(store, rows, starts, STANDARD, 300).signal, one.signal)
    finally:
        torch.set_num_threads(threads)


def test_a_shard_that_was_cut_off_is_named(store: Store, tmp_path: Path) -> None:
    for path in store.path.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(store.path)).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / path.relative_to(store.path)).write_bytes(path.read_bytes())
    shard = tmp_path / "shards" / "00001.bin"
    shard.write_bytes(shard.read_bytes()[:3000])
    cut = Store(tmp_path)
    assert gather(cut, np.array([0]), np.array([0]), STANDARD, 400).record_id == ("r0",)
    for n in (300, 600, 700):  # whole records are copied another way than parts
        with pytest.raises(StoreError, match=r"00001\.bin: damaged .*ingest again"):
            gather(cut, np.array([5]), np.array([0]), STANDARD, n)
