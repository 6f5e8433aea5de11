"""Manifests as hospitals and spreadsheets write them: one bad cell rejects its row, check and ingest agree on which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auricle.data.ingest import ingest
from auricle.data.manifest import read_manifest
from auricle.data.store import Store
from auricle.doctor import examine
from auricle.errors import DataError
from fakes import heart, write_wfdb

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def record(folder: Path, name: str, seed: int = 0) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_wfdb(folder / name, heart(1500, seed=seed), STANDARD, 500)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "file,patient_id,age\na.hea,p1,3d\n",
        "\ufefffile;patient_id;age\r\na.hea;p1;3d\r\n",
        "sep=;\r\nfile;patient_id;age\r\na.hea;p1;3d\r\n",
        "File,Patient_ID,Age\na.hea,p1,3d\n",
        "file,patient_id,age,,,\na.hea,p1,3d,,,\n",
        "file,patient_id,age\na.hea,p1,3d\n,,\n,,\n",
        "file\tpatient_id\tage\na.hea\tp1\t3d\n".encode("utf-16"),
    ],
)
def test_every_way_a_spreadsheet_writes_it(tmp_path: Path, text: str | bytes) -> None:
    (row,) = read_manifest(write(tmp_path, text))
    assert (row.file, row.patient_id, row.problem) == ("a.hea", "p1", "")
    assert row.age is not None
    assert row.age.days == 3


def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CSV UTF-8"):
        read_manifest(write(tmp_path, "file,age\n心电/a.hea,3岁\n".encode("gbk")))


@pytest.mark.parametrize("cell", ['"NORM,RVH"', "NORM|RVH", "\"['NORM', 'RVH']\"", "4.26783E+08"])
def test_labels_that_are_one_by_mistake_reject_their_row(tmp_path: Path, cell: str) -> None:
    good, bad = read_manifest(write(tmp_path, f"file,labels\na.hea,NORM;RVH\nb.hea,{cell}\n"))
    assert good.labels == ("NORM", "RVH")
    assert bad.problem.startswith("labels ")


def test_check_and_ingest_agree_on_every_row(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c", "d", "sub/e", "f")):
        record(tmp_path, name, number)
    np.savez(tmp_path / "noise.npz", signal=np.random.default_rng(0).normal(0, 0.3, (2, 1500)), rate_hz=500,
             leads=["V1", "V2"])  # fmt: skip
    np.savez(tmp_path / "flat.npz", signal=np.zeros((2, 1500)), rate_hz=500, leads=["V1", "V2"])
    rows = (
        "file,record_id,age,sex,lab:K,labels",
        "a.hea,a,3d,F,4.1,NORM",
        'b.hea,b,3d,F,"4,1",NORM',
        "c.hea,c,3x,F,4.1,NORM",
        "d.hea,d,3d,1,4.1,NORM",
        "sub\\e.hea,e,3d,F,<3,NORM",
        "f.hea,a,3d,F,4.1,NORM",
        "gone.hea,g,3d,F,4.1,NORM",
        "noise.npz,noise,3d,F,4.1,NORM",
        "flat.npz,flat,3d,F,4.1,NORM",
        "a.hea,h,3d,F,haemolysed,NORM",
    )
    path = write(tmp_path, "\n".join(rows) + "\n")
    wrong = {line for finding in examine(path).errors for lines in finding.lines for line in lines}
    done = ingest("manifest", path, tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    stored = set(store.column("record_id").tolist())
    assert stored == {"a", "b", "e"}
    assert (done.n_stored, done.n_rejected) == (3, 7)
    # A record_id that comes twice is told of both lines, and the first of them is taken.
    assert wrong - {2} == set(range(2, 12)) - {2, 3, 6}
    (row,) = np.flatnonzero(store.column("record_id") == "e")
    recording = store.recording(int(row))
    assert recording.lab_bounds == {"potassium_mmol_l": "below"}
    assert recording.labs == {"potassium_mmol_l": 3.0}


def test_a_child_born_early_is_kept_with_its_gestation(tmp_path: Path) -> None:
    record(tmp_path, "a")
    path = write(tmp_path, "file,age,gestational_age\na.hea,5wk,30+2\n")
    ingest("manifest", path, tmp_path / "store", workers=1)
    assert Store(tmp_path / "store").recording(0).gestation_days == 212
    (row,) = read_manifest(write(tmp_path, "file,gestational_age\na.hea,3\n"))
    assert "gestational age" in row.problem
