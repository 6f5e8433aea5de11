"""Pictures of an ECG from a manifest to a batch: beside a signal, instead of one, and what a kill leaves of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.age import Age
from auricle.cli.ingest import parse_size
from auricle.data import shard
from auricle.data.collate import collate
from auricle.data.ingest import ingest
from auricle.data.loader import Steps, View, windows
from auricle.data.manifest import read_manifest
from auricle.data.store import Store
from auricle.doctor import examine
from auricle.errors import ConfigError, DataError, StoreError
from auricle.image.fit import fit_picture
from auricle.io import read
from auricle.io.picture import read_picture
from auricle.leads import STANDARD
from auricle.methods import create_method
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.signal.preprocess import InputSpec, Preprocess
from fakes import heart

PIL = pytest.importorskip("PIL.Image")

SPEC = InputSpec(rate_hz=100, seconds=2.0, band_hz=(0.5, 45))
TINY = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)}
SIZE = (64, 96)
# Which of the ten records have a signal and a picture; the last five share a shard without pictures.
SIGNALS = (0, 2, 3, 5, 6, 7, 8, 9)
PICTURES = (0, 1, 4)


def draw(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey = np.full((150, 200), 255, dtype=np.uint8)
    at = (75 + 40 * np.sin(np.arange(200) / (3 + seed)) + rng.normal(0, 3, 200)).astype(int)
    for thick in range(-2, 3):
        grey[(at + thick).clip(0, 149), np.arange(200)] = 0
    PIL.fromarray(grey).save(path)


def write_manifest(folder: Path) -> Path:
    lines = ["file,image,record_id,age,lab:troponin,lab_minutes:troponin"]
    for number in range(10):
        file = f"r{number}.npz" if number in SIGNALS else ""
        image = f"r{number}.png" if number in PICTURES else ""
        if file:
            trace = heart(300, seed=number, rate_hz=100).astype(np.float32)
            np.savez(folder / file, signal=trace, rate_hz=100.0, leads=np.array(STANDARD))
        if image:
            draw(folder / image, number)
        lines.append(f"{file},{image},r{number},{number + 20}y,{number + 5},{-number}")
    path = folder / "m.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def store(listed: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("store")
    done = ingest("manifest", listed, out, rate_hz=100, shard_records=5, workers=1, image_size=SIZE)
    assert (done.n_stored, done.n_rejected) == (10, 0)
    return Store(out)


def test_pictures_come_back_as_they_were_read(store: Store, listed: Path) -> None:
    assert store.image_size == SIZE
    assert store.info["n_pictures"] == 3
    for number in range(10):
        recording = store.recording(number)
        assert (recording.leads == ()) == (number not in SIGNALS)
        assert recording.labs == {"troponin_ng_l": number + 5.0}
        assert recording.lab_minutes == {"troponin_ng_l": -float(number)}
        if number in PICTURES:
            expected = fit_picture(read_picture(listed.parent / f"r{number}.png"), *SIZE)
            assert recording.image is not None
            assert np.array_equal(recording.image, expected)
            assert recording.image.min() < 128
        else:
            assert recording.image is None


def test_a_shard_without_pictures_has_no_file_of_them(store: Store) -> None:
    names = sorted(path.name for path in (store.path / "shards").iterdir())
    assert names == ["00000.bin", "00000.img", "00000.parquet", "00001.bin", "00001.parquet"]
    assert (store.path / "shards" / "00000.img").stat().st_size == 3 * SIZE[0] * SIZE[1]
    assert store.column("image_offset").tolist()[5:] == [-1] * 5


def test_a_compressed_store_and_other_workers_keep_them(store: Store, listed: Path, tmp_path: Path) -> None:
    ingest("manifest", listed, tmp_path, rate_hz=100, shard_records=3, workers=2, image_size=SIZE, form="pcodec")
    other = Store(tmp_path)
    for number in range(10):
        one, two = store.record(number), other.record(number)
        assert np.array_equal(one.signal, two.signal)
        assert (one.image is None) == (two.image is None)
        assert one.image is None or np.array_equal(one.image, two.image)


def test_another_size_is_another_store(store: Store, listed: Path) -> None:
    with pytest.raises(StoreError, match="another image_size"):
        ingest("manifest", listed, store.path, rate_hz=100, shard_records=5, workers=1)
    with pytest.raises(ConfigError, match="not possible"):
        ingest("manifest", listed, store.path, rate_hz=100, image_size=(0, 9))
    assert parse_size("48x64") == (48, 64)
    for wrong in ("48", "x", "0x9", "-4x4", "axb"):
        with pytest.raises(ConfigError, match="224x224"):
            parse_size(wrong)


def test_a_plan_that_says_nothing_of_pictures_is_continued(tmp_path: Path) -> None:
    options = {"n": 4, "rate_hz": 100.0, "seconds": 2.0}
    ingest("simulated", Path(), tmp_path, options=options, rate_hz=100, workers=1)
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps({k: v for k, v in plan.items() if k != "image_size"}))
    assert ingest("simulated", Path(), tmp_path, options=options, rate_hz=100, workers=1).n_stored == 4
    assert not list((tmp_path / "shards").glob("*.img"))


def test_a_damaged_file_of_pictures_is_named(listed: Path, tmp_path: Path) -> None:
    ingest("manifest", listed, tmp_path, rate_hz=100, shard_records=5, workers=1, image_size=SIZE)
    path = tmp_path / "shards" / "00000.img"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"00000\.img: damaged .*ingest again"):
        Store(tmp_path).record(4)
    assert Store(tmp_path).record(0).image is not None
    path.unlink()
    with pytest.raises(StoreError, match=r"00000\.img: missing"):
        Store(tmp_path).record(0)


def test_a_failing_shard_leaves_neither_picture_nor_table(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"record_id": row.record_id, "row": row} for row in read_manifest(listed)]

    def fail(*args: object) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(shard, "pack", fail)
    with pytest.raises(RuntimeError):
        shard.write_shard("manifest", {}, listed, rows, 100.0, tmp_path / "00000", image_size=SIZE)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import auricle.data.ingest as module
import auricle.data.shard as shard

@contextmanager
def in_this_process(kind, workers, n_jobs):
    with ThreadPoolExecutor(1) as pool:
        yield pool, 1

write = shard.write_with
def slowly(path, content):
    write(path, content)
    print(path.name, flush=True)
    time.sleep(0.3)

module.executor_of, shard.write_with = in_this_process, slowly
module.ingest("manifest", Path(sys.argv[1]), Path(sys.argv[2]), rate_hz=100, shard_records=2, image_size=(64, 96))
"""


@pytest.mark.parametrize("after", ["00000.img", "00000.bin", "00002.parquet"])
def test_a_kill_between_any_two_files_of_a_shard_loses_nothing(
    store: Store, listed: Path, tmp_path: Path, after: str
) -> None:
    command = [sys.executable, "-c", KILLED, str(listed), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == after:
                os.kill(child.pid, signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    for table in (tmp_path / "shards").glob("*.parquet"):
        assert table.with_suffix(".bin").exists()
    ingest("manifest", listed, tmp_path, rate_hz=100, shard_records=2, workers=1, image_size=SIZE)
    again = Store(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))
    assert sorted(path.name for path in (tmp_path / "shards").glob("*.img")) == ["00000.img", "00002.img"]
    for number in range(10):
        one, two = store.record(number), again.record(number)
        assert one.image is None or np.array_equal(one.image, two.image)
        assert np.array_equal(one.signal, two.signal)


def test_batches_carry_pictures_and_where_there_is_one(store: Store) -> None:
    view = View(store, np.arange(10), SPEC)
    for positions, batch in windows(view, 4):
        assert batch.image is not None
        assert batch.image_mask is not None
        assert batch.image.shape[1:] == SIZE
        assert batch.image.dtype == torch.uint8
        assert batch.image_mask.tolist() == [int(number) in PICTURES for number in positions]
        assert batch.lead_mask.all(-1).tolist() == [int(number) in SIGNALS for number in positions]
        assert batch.time_mask.any(-1).tolist() == [int(number) in SIGNALS for number in positions]
        assert (batch.image[~batch.image_mask] == 255).all()
        ready = Preprocess(SPEC)(batch)
        assert torch.isfinite(ready.signal).all()
        picked = batch.select(torch.tensor([1, 0]))
        assert picked.image is not None
        assert torch.equal(picked.image[0], batch.image[1])
    last = view.batch(np.arange(6, 9), np.zeros(3, dtype=np.int64))
    assert last.image is not None, "a store with pictures gives them the same shape in every batch"
    assert last.image_mask is not None
    assert not last.image_mask.any()
    assert torch.equal(Steps(view, 5, seed=1)[0].signal, Steps(view, 5, seed=1)[0].signal)


def test_who_reads_signals_refuses_a_picture_alone(store: Store) -> None:
    with pytest.raises(DataError, match=r"of 2 records \(r1 \.\.\.\) there is only a picture"):
        View(store, np.arange(10), SPEC, needs_signal=True)
    assert len(View(store, np.array(SIGNALS), SPEC, needs_signal=True).rows) == 8
    predictor = Predictor(create_method("supervised", "tiny", input=TINY))
    with pytest.raises(DataError, match="only a picture, and these weights read signals"):
        predictor(store.recording(1))
    assert "these weights do not read pictures" in predictor(store.recording(0), ()).notes


def test_who_reads_pictures_answers_from_one_alone(store: Store) -> None:
    torch.manual_seed(0)
    method = create_method("supervised", "tiny", input=TINY, encoder={"name": "vit_image", "preset": "tiny"})
    assert method.picture_size is not None
    predictor = Predictor(method)
    alone, other = (predictor(store.recording(number), ()) for number in (1, 4))
    assert "no signal: the answer is read from the picture alone" in alone.notes
    assert alone.leads_read == ()
    assert alone.scores != other.scores
    beside = store.recording(0)
    drawn = predictor(beside.with_context(image=np.full((64, 96), 255, dtype=np.uint8)), ())
    assert predictor(beside, ()).scores != drawn.scores, "a picture goes before what would be drawn of the signal"


def test_recordings_of_a_picture_alone() -> None:
    nothing, picture = np.zeros((0, 0), dtype=np.float32), np.full((64, 96), 255, dtype=np.uint8)
    alone = Recording(nothing, 500.0, (), "a", image=picture)
    beside = Recording(np.zeros((1, 50), dtype=np.float32), 100.0, ("II",), "b")
    batch = collate([alone, beside], STANDARD, 40)
    assert batch.rate_hz == 100.0, "a picture has no rate"
    assert batch.lead_mask.sum(-1).tolist() == [0, 1]
    assert batch.time_mask.sum(-1).tolist() == [0, 40]
    assert batch.image_mask is not None
    assert batch.image_mask.tolist() == [True, False]
    assert collate([beside], STANDARD, 40).image is None
    larger = Recording(nothing, 500.0, (), "c", image=np.zeros((80, 96), dtype=np.uint8))
    with pytest.raises(DataError, match="one size, not 64x96, 80x96"):
        collate([alone, larger], STANDARD, 40)
    with pytest.raises(DataError, match="neither a lead nor a picture"):
        Recording(nothing, 500.0, (), "d")
    with pytest.raises(DataError, match="grey bytes"):
        Recording(nothing, 500.0, (), "e", image=np.zeros((4, 4, 3), dtype=np.uint8))


def test_a_missing_or_unreadable_picture_is_a_reason(listed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hospital"
    folder.mkdir()
    draw(folder / "good.png", 1)
    (folder / "bad.png").write_bytes(b"no picture")
    text = "file,image,record_id\n,good.png,a\n,bad.png,b\n,gone.png,c\n"
    (folder / "m.csv").write_text(text)
    done = ingest("manifest", folder / "m.csv", tmp_path / "store", rate_hz=100, workers=1, image_size=SIZE)
    assert (done.n_stored, done.n_rejected) == (1, 2)
    assert Store(tmp_path / "store").record(0).signal.shape == (0, 0)
    report = examine(folder / "m.csv")
    assert sorted(line for finding in report.errors for (line,) in finding.lines) == [3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,image\n,\n", "lists no recording"),
        ("file,imagee\na,b\n", "did you mean 'image'"),
    ],
)
def test_a_manifest_of_pictures(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("image\na.png\n")
    (row,) = read_manifest(tmp_path / "m.csv")
    assert (row.file, row.image, row.record_id) == ("", "a.png", "a")
    (tmp_path / "m.csv").write_text("image\nx/a.png\ny/a.png\n")
    assert [row.problem for row in read_manifest(tmp_path / "m.csv")][1].startswith("the same record_id as line 2")


def test_a_picture_is_a_file_like_any_other(tmp_path: Path) -> None:
    grey = np.full((300, 400), 255, dtype=np.uint8)
    grey[150] = 0
    PIL.fromarray(grey).save(tmp_path / "scan.png")
    recording = read(tmp_path / "scan.png", age=Age(3))
    assert (recording.leads, recording.record_id, recording.age) == ((), "scan", Age(3))
    assert np.array_equal(recording.image, grey)
    with pytest.raises(DataError, match="read"):
        Predictor(create_method("supervised", "tiny").eval())(recording)
