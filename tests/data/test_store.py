"""Ingest and store: what goes in comes out, a kill loses and doubles nothing, and what cannot be read says why."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from auricle.atomic import PARTIAL
from auricle.data.format import MISSING, dequantise, quantise
from auricle.data.ingest import ingest
from auricle.data.loader import Steps, View, windows
from auricle.data.order import Order, Share, Shuffle
from auricle.data.splits import by_patient, share_of_newborns, share_of_patients
from auricle.data.store import Store
from auricle.errors import ConfigError, DataError, StoreError, UnknownNameError
from auricle.leads import STANDARD
from auricle.signal.preprocess import InputSpec
from auricle.simulate import cohort
from clusters import dask_cluster
from fakes import heart, write_wfdb
from running import auricle, refused

SMALL = {"n": 96, "rate_hz": 100.0, "seconds": 4.0}
SPEC = InputSpec(rate_hz=100, seconds=2.0, band_hz=(0.5, 45))
FEW_BLOCKS = Shuffle(block=8, pool=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("store")
    ingest("simulated", Path(), out, options=SMALL, rate_hz=100, shard_records=32, workers=1)
    return Store(out)


@given(arrays.arrays(np.float32, (3, 20), elements=st.floats(-4000, 4000, width=32) | st.just(np.float32(np.nan))))
def test_quantising_never_clips_and_keeps_gaps(values: np.ndarray) -> None:
    steps, gain = quantise(values)
    back = dequantise(steps, gain)
    assert np.array_equal(np.isnan(values), np.isnan(back))
    known = ~np.isnan(values)
    assert np.abs(back[known] - values[known]).max(initial=0) <= gain * 0.51
    assert gain >= 0.001


def test_missing_is_wfdbs_sentinel() -> None:
    assert quantise(np.array([[np.nan, 1.0]], dtype=np.float32))[0][0, 0] == MISSING == -32768


def test_einthoven_survives_storage(store: Store) -> None:
    recording = store.recording(3)
    one, two, three = (recording.signal[recording.leads.index(name)] for name in ("I", "II", "III"))
    assert np.abs(one + three - two).max() <= 0.002


def test_a_store_gives_back_what_was_simulated(store: Store) -> None:
    assert len(store) == 96
    expected = list(cohort(40, 0, rate_hz=100, seconds=4).recordings())
    for row in (0, 31, 32, 39):
        got = store.recording(row)
        assert got.record_id == expected[row].record_id
        assert got.labels == expected[row].labels
        assert got.sex == expected[row].sex
        assert got.age is not None
        assert got.age.days == pytest.approx(expected[row].age.days)
        assert np.abs(got.signal - expected[row].signal).max() < 0.001
    assert len({report["text"] for report in store.reports}) == len(store.reports)
    assert set(store.measurements()) >= {"heart_rate", "qrs_ms", "qrs_axis_deg", "rs_ratio_v1"}
    assert "quality:noise_mv" in store.table.column_names


def test_shards_and_workers_do_not_matter(store: Store, tmp_path: Path) -> None:
    ingest("simulated", Path(), tmp_path, options=SMALL, rate_hz=100, shard_records=64, workers=2)
    other = Store(tmp_path)
    assert other.column("record_id").tolist() == store.column("record_id").tolist()
    assert np.array_equal(other.record(70).signal, store.record(70).signal)


def test_a_finished_ingest_is_not_done_again(store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in (store.path / "shards").iterdir()}
    done = ingest("simulated", Path(), store.path, options=SMALL, rate_hz=100, shard_records=32, workers=1)
    assert done.n_stored == 96
    assert before == {path: path.stat().st_mtime_ns for path in (store.path / "shards").iterdir()}


def test_a_store_refuses_to_be_mixed(store: Store) -> None:
    with pytest.raises(StoreError, match=r"begun with another .*options"):
        ingest("simulated", Path(), store.path, options={**SMALL, "seed": 1}, rate_hz=100, shard_records=32)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty and not a store"):
        ingest("simulated", Path(), tmp_path, options=SMALL)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process"):
            ingest("simulated", Path(), tmp_path, options=SMALL)


KILLS = 15
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from auricle.data.ingest import ingest
import pandas, pyarrow.parquet, auricle.simulate, auricle.signal.beats, sleepecg

out, options = Path(sys.argv[1]), {"n": 160, "rate_hz": 100.0, "seconds": 10.0}
moments = random.Random(0)
for kill in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        ingest("simulated", Path(), out, options=options, rate_hz=100, shard_records=16, workers=1)
        os._exit(0)
    time.sleep(moments.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    whole = sorted(path.stem for path in (out / "shards").glob("*.parquet"))
    assert all((out / "shards" / f"{stem}.bin").exists() for stem in whole)
ingest("simulated", Path(), out, options=options, rate_hz=100, shard_records=16, workers=1)
"""


def test_sigkill_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed twenty-five times at random moments, while shards are written and while they are joined, then finished."""
    script = tmp_path / "run.py"
    script.write_text(KILLER)
    for name, kills in (("killed", KILLS), ("whole", 0)):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / name), str(kills)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    killed, whole = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    assert len(killed) == 160
    assert killed.table.equals(whole.table)
    for path in sorted(path for path in (tmp_path / "whole").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "killed" / path.relative_to(tmp_path / "whole")).read_bytes(), path
    assert not list((tmp_path / "killed").rglob("*.partial"))


def test_killed_worker_processes_leave_a_store_that_is_finished_later(tmp_path: Path) -> None:
    """The real executor, killed with its children."""
    code = (
        "from auricle.data.ingest import ingest; from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    ingest('simulated', Path(), Path({str(tmp_path / 'killed')!r}), options={dict(SMALL)!r}, rate_hz=100,\n"
        "           shard_records=8, workers=2)\n"
    )
    (tmp_path / "run.py").write_text(code)
    process = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed" / "shards").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not (tmp_path / "killed" / "store.json").exists():
        with pytest.raises(StoreError, match="has not finished"):
            Store(tmp_path / "killed")
    ingest("simulated", Path(), tmp_path / "killed", options=SMALL, rate_hz=100, shard_records=8, workers=1)
    ingest("simulated", Path(), tmp_path / "whole", options=SMALL, rate_hz=100, shard_records=8, workers=1)
    assert Store(tmp_path / "killed").table.equals(Store(tmp_path / "whole").table)


def test_a_dask_cluster_makes_the_same_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dask_cluster() as cluster:
        ingest(
            "simulated", Path(), tmp_path / "s", options=SMALL, rate_hz=100, shard_records=16,
            executor=f"dask:{cluster.scheduler_address}",
        )  # fmt: skip
    again = Store(tmp_path / "s")
    assert [again.record(row).record_id for row in range(96)] == [store.record(row).record_id for row in range(96)]
    assert all(np.array_equal(again.record(row).signal, store.record(row).signal) for row in (0, 40, 95))
    monkeypatch.setattr("auricle.executors._SCHEDULER_TIMEOUT", "1s")
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        ingest("simulated", Path(), tmp_path / "t", options=SMALL, executor="dask:tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match="unknown executor"):
        ingest("simulated", Path(), tmp_path / "u", options=SMALL, executor="slurm")


def test_a_disk_that_fills_up_is_one_line_and_what_is_whole_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, left = os.fsync, [4]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    def again() -> None:
        ingest("simulated", Path(), tmp_path / "s", options=SMALL, rate_hz=100, shard_records=32, workers=1)

    with monkeypatch.context() as patched:
        patched.setattr("auricle.atomic.os.fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            again()
        assert "00001" in caught.value.filename
        whole = [path.name for path in (tmp_path / "s" / "shards").glob("*.parquet")]
        assert whole == ["00000.parquet"]
        assert not list((tmp_path / "s").rglob(f"*{PARTIAL}"))
        done = auricle("ingest", "simulated", tmp_path, tmp_path / "t", "n=8", "--workers", "1")
        refused(done, "plan.json: no room is left on the disk: make room")
    again()
    assert Store(tmp_path / "s").table.equals(store.table)


def test_a_compressed_store_holds_the_same_samples_in_fewer_bytes(store: Store, tmp_path: Path) -> None:
    ingest("simulated", Path(), tmp_path / "s", options=SMALL, rate_hz=100, form="pcodec", workers=1)
    small = Store(tmp_path / "s")
    assert all(np.array_equal(small.record(row).signal, store.record(row).signal) for row in range(96))
    sizes = [sum(path.stat().st_size for path in (s.path / "shards").glob("*.bin")) for s in (small, store)]
    assert sizes[0] < 0.6 * sizes[1]
    shard = tmp_path / "s" / "shards" / "00000.bin"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path / "s").record(0)


def test_a_process_pays_for_the_rows_it_reads(store: Store) -> None:
    """Metadata are mapped from the file: reading a record materialises no column."""
    fresh = Store(store.path)
    fresh.record(5)
    assert set(vars(fresh)) <= {"path", "info", "rate_hz", "form", "_shards", "table", "_rows"}
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    fresh.record(50)
    assert pa.total_allocated_bytes() - before < 100_000


def test_what_cannot_be_read_is_rejected_with_its_reason(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", signal=heart(750, 2, rate_hz=250), rate_hz=250, leads=["I", "II"])
    np.savez(tmp_path / "empty.npz", signal=np.full((2, 500), np.nan), rate_hz=250, leads=["I", "II"])
    (tmp_path / "m.csv").write_text("file,age,sex\ngood.npz,3d,F\nempty.npz,,\nabsent.npz,,\n")
    done = ingest("manifest", tmp_path / "m.csv", tmp_path / "out", rate_hz=500, workers=1)
    assert (done.n_stored, done.n_rejected) == (1, 2)
    import pyarrow.parquet as parquet

    reasons = dict(zip(*parquet.read_table(tmp_path / "out" / "rejected.parquet").to_pydict().values(), strict=True))
    assert "usable sample" in reasons["empty"]
    assert "does not exist" in reasons["absent"]
    recording = Store(tmp_path / "out").recording(0)
    assert recording.leads == STANDARD[:6], "limb leads are derived"
    assert recording.rate_hz == 500
    assert recording.signal.shape[1] == 1500
    assert recording.original_hz == 250
    assert recording.age.days == 3


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file\nabsent.npz\n")
    with pytest.raises(StoreError, match="not one of 1 records could be read"):
        ingest("manifest", tmp_path / "m.csv", tmp_path / "out", workers=1)


def test_another_version_and_no_store_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text(json.dumps({**store.info, "version": 99}))
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path)


def test_names_and_options_are_suggested(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'simulated'"):
        ingest("simulate", Path(), tmp_path / "a")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'sed'"):
        ingest("simulated", Path(), tmp_path / "b", options={"sed": 1})


@pytest.mark.parametrize("shuffle", [Shuffle(), FEW_BLOCKS, Shuffle(block=8, pool=3, same_patient=True)])
def test_an_epoch_reads_every_record_once_on_any_number_of_ranks(shuffle: Shuffle) -> None:
    patients = np.array([f"p{i % 40}" for i in range(96)])
    one = Order(96, 16, 4, shuffle, patients=patients if shuffle.same_patient else None)
    first = np.concatenate([one[step] for step in range(6)])
    assert sorted(first.tolist()) == list(range(96))
    ranks = [
        Order(96, 8, 4, shuffle, Share(rank=rank, world=2), patients if shuffle.same_patient else None)
        for rank in range(2)
    ]
    two = [ranks[rank][step] for step in range(6) for rank in range(2)]
    assert np.array_equal(np.concatenate(two), first)
    assert not np.array_equal(np.concatenate([one[step] for step in range(6, 12)]), first)
    assert np.array_equal(one[2], first[32:48])  # going back is possible: there is no state
    with pytest.raises(DataError, match="fewer than one batch"):
        Order(10, 16, 0)


def test_a_batch_touches_few_blocks_and_epochs_cut_blocks_elsewhere() -> None:
    order = Order(4096, 64, 0, Shuffle(block=64, pool=4))
    touched = [len(np.unique(order[step] // 64)) for step in range(16)]
    assert max(touched) <= 9  # four blocks, each cut by at most one boundary, and the one around the end
    assert len(np.unique(Order(4096, 64, 0)[0] // 64)) > 30
    mates = [set(order[step].tolist()) for step in range(64)]
    later = [set(order[step].tolist()) for step in range(64, 128)]
    assert max(len(one & other) for one in mates for other in later) < 40


def test_nodes_read_blocks_of_their_own_and_every_rank_equally_many() -> None:
    shares = [Share(rank=rank, world=4, nodes=2) for rank in range(4)]
    orders = [Order(1000, 10, 3, Shuffle(block=16, pool=2), share) for share in shares]
    assert {order.steps_per_epoch for order in orders} == {25}
    read = [np.concatenate([order[step] for step in range(25)]) for order in orders]
    assert {len(rows) for rows in read} == {250}
    assert len(np.unique(np.concatenate(read))) == 1000
    for node in range(2):  # what one node reads lies in runs of a block's length
        rows = np.sort(np.concatenate(read[2 * node : 2 * node + 2]))
        assert (np.diff(rows) != 1).sum() <= 500 / 16 + 2


def test_records_of_one_patient_come_side_by_side_when_asked() -> None:
    patients = np.random.default_rng(0).permutation([f"p{i // 3}" for i in range(300)])
    order = Order(300, 30, 0, Shuffle(same_patient=True), patients=patients)
    together = [np.unique(patients[order[step]], return_counts=True)[1] for step in range(10)]
    assert np.mean([counts.max() for counts in together]) == 3
    assert np.mean(np.concatenate(together) == 3) > 0.8


def test_whoever_has_many_records_fills_no_batch_alone() -> None:
    patients = np.array(["many"] * 150 + [f"p{i}" for i in range(850)])
    order = Order(1000, 64, 0, Shuffle(same_patient=True), patients=patients)
    read = [order[step] for step in range(5 * order.steps_per_epoch)]
    assert all(len(np.unique(patients[rows])) > 1 for rows in read)
    assert len(np.unique(np.concatenate(read[: order.steps_per_epoch]))) == 64 * order.steps_per_epoch
    of_many = [(patients[rows] == "many").sum() for rows in read]
    assert max(of_many) >= 16, "his records do stand together"


def test_batches_are_functions_of_their_number(store: Store) -> None:
    steps = Steps(View(store, np.arange(96), SPEC), 16, seed=1)
    again = Steps(View(store, np.arange(96), SPEC), 16, seed=1)
    assert again[5].record_id == steps[5].record_id
    assert (again[5].signal == steps[5].signal).all()
    assert steps[5].signal.shape == (16, 12, 200)
    assert (steps[5].beats < 200).all()


def test_windows_cover_every_sample(store: Store) -> None:
    view = View(store, np.arange(5), InputSpec(rate_hz=100, seconds=1.5, band_hz=(0.5, 45)))
    seen = {row: np.zeros(400, dtype=bool) for row in range(5)}
    counts = np.zeros(5, dtype=int)
    for positions, batch in windows(view, 7):
        for position, signal_row in zip(positions, batch.millivolts(), strict=True):
            counts[position] += 1
            whole = store.recording(int(position)).signal
            match = [s for s in range(251) if np.array_equal(whole[:, s : s + 150], signal_row.numpy())]
            assert match
            seen[int(position)][match[0] : match[0] + 150] = True
    assert (counts == 3).all()
    assert all(covered.all() for covered in seen.values())


def test_splits_keep_patients_apart(store: Store) -> None:
    parts = by_patient(store, {"train": 0.6, "validation": 0.2, "test": 0.2})
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(96))


def test_subsets_are_nested_by_patient_and_of_the_asked_size() -> None:
    random = np.random.default_rng(0)
    patients = [f"p{code}" for code in random.integers(300, size=900)]
    one, ten, all_ = (set(share_of_patients(patients, fraction, seed=7)) for fraction in (0.01, 0.1, 1))
    assert one < ten < all_ == set(range(900))
    chosen = {patients[row] for row in ten}
    assert len(chosen) == np.ceil(0.1 * len(set(patients)))
    assert not chosen & {patients[row] for row in all_ - ten}
    assert set(share_of_patients(patients, 0.1, seed=8)) != ten
    assert len(share_of_patients(["only"], 0.01, seed=0)) == 1
    assert len(share_of_patients([f"p{row}" for row in range(100)], 0.07, seed=0)) == 7
    with pytest.raises(DataError, match="fraction"):
        share_of_patients(patients, 0, seed=0)


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.25, (10, 30)), (0.1, (3, 30)), (0.5, (10, 10)), (0.0, (0, 30)), (1.0, (10, 0))]
)
def test_a_share_of_newborns_leaves_others_out_and_nobody_of_unknown_age(share: float, wanted: tuple[int, int]) -> None:
    ages = np.array([3.0] * 10 + [400.0] * 30 + [np.nan] * 2)
    kept = share_of_newborns(ages, share, seed=1)
    assert (kept == np.unique(kept)).all()
    assert ((ages[kept] < 30).sum(), (ages[kept] > 30).sum(), np.isnan(ages[kept]).sum()) == (*wanted, 2)
    assert set(share_of_newborns(ages, 0.05, seed=1)) <= set(share_of_newborns(ages, 0.1, seed=1))


def test_nobody_is_left_of_newborns_alone_where_there_are_none() -> None:
    with pytest.raises(DataError, match="100% of the training records of known age cannot"):
        share_of_newborns(np.array([400.0, 500.0]), 1.0, seed=1)
    assert len(share_of_newborns(np.array([400.0, 500.0]), 0.0, seed=1)) == 2


def test_spawned_workers_read_the_same_batches(store: Store) -> None:
    from auricle.data.loader import training_loader

    assert multiprocessing.get_start_method(allow_none=True) in (None, "fork", "spawn")
    steps = Steps(View(store, np.arange(96), SPEC), 16, seed=1)
    alone = [batch.record_id for batch in training_loader(steps, 2, 5)]
    helped = [batch.record_id for batch in training_loader(steps, 2, 5, workers=2)]
    assert alone == helped == [steps[number].record_id for number in (2, 3, 4)]


def test_a_corpus_is_shaped_by_training_reports_only(store: Store) -> None:
    from auricle.data.corpus import Corpus

    rows = np.arange(20)
    corpus = Corpus.from_store(store, rows, "ngrams", {"findings"})
    ids = store.column("report_id")
    assert int(corpus.n_records.sum()) == (ids[rows] >= 0).sum()
    unseen = np.setdiff1d(ids, ids[rows])
    assert len(unseen)
    assert (corpus.n_records[unseen] == 0).all()
    text = corpus.text_batch(np.array([ids[0], -1]))
    assert text.embedding is None
    assert text.findings is not None
    assert (text.findings[1] == 0).all()
    with pytest.raises(DataError, match="no reports to train on"):
        Corpus.from_store(store, np.array([], dtype=np.int64), "ngrams", {"findings"})


def test_the_gestation_of_a_header_is_kept_and_older_stores_have_none(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "a", heart(1500), STANDARD, comments=["Age: 5 wk", "Gestational age: 30+2"])
    (tmp_path / "m.csv").write_text("file\na.hea\n")
    ingest("manifest", tmp_path / "m.csv", tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    assert store.recording(0).gestation_days == 212
    records = tmp_path / "store" / "records.arrow"
    older = store.table.drop_columns(["gestation_days"]).combine_chunks()
    with pa.OSFile(str(tmp_path / "older.arrow"), "wb") as file, pa.ipc.new_file(file, older.schema) as writer:
        writer.write_table(older)
    (tmp_path / "older.arrow").replace(records)
    assert Store(tmp_path / "store").recording(0).gestation_days is None
