"""Every reader, attacked: a short run of `fuzz.py`; the long one is `python tests/fuzz.py 100000 FILE ...`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import carts
import fuzz
from fakes import STANDARD, heart, write_by_wfdb, write_cpsc2018, write_sph, write_wfdb

MUTATIONS = 1500


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file of each format, and real ones where there are."""
    folder = tmp_path_factory.mktemp("fuzz")
    np.savez(folder / "a.npz", signal=heart(800), rate_hz=500.0, leads=list(STANDARD), age="3d")
    np.save(folder / "b.npy", heart(800))
    header = write_wfdb(folder / "c", heart(800), STANDARD, comments=["Age: 3 d", "Dx: 426783006"])
    (folder / "m.csv").write_text("file,age,sex,labels\nc.hea,3d,F,NORM\n" * 1 + "a.npz,5y4m,M,\n")
    write_cpsc2018(folder / "cpsc")
    write_sph(folder / "sph")
    native = sorted((folder / "cpsc").rglob("*.mat"))[:2]
    found = [folder / "a.npz", folder / "b.npy", header, header.with_suffix(".dat"), folder / "m.csv", *native]
    found.append(folder / "sph" / "records" / "A00001.h5")
    found += odd_files(folder)
    found += exports(folder)
    real = os.environ.get("AURICLE_REAL_DATA")
    if real:
        found += [
            next((Path(real) / name).rglob(pattern))
            for name, pattern in (("csn", "*.hea"), ("sph", "*.h5"), ("vendor", "anonymous*.dcm"))
        ]
    return found


def exports(folder: Path) -> list[Path]:
    """What carts export, one file of each format in a folder of its own."""
    counts = np.rint(heart(800) * 200).astype(int)
    codes = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
    places = {name: folder / name for name in ("muse", "soft", "schiller", "aecg", "scp", "mfer", "ishne", "edf")}
    for place in places.values():
        place.mkdir()
    eight = counts[[STANDARD.index(lead) for lead in carts.EIGHT]]
    return [
        carts.muse(places["muse"] / "a.xml", eight),
        carts.cardiosoft(places["soft"] / "b.xml", counts, STANDARD),
        carts.schiller(places["schiller"] / "c.xml", counts, STANDARD),
        carts.aecg(places["aecg"] / "d.xml", counts, STANDARD),
        carts.scp(places["scp"] / "e.scp", counts, codes),
        carts.mfer(places["mfer"] / "f.mwf", counts, codes),
        carts.ishne(places["ishne"] / "g.ecg", counts, (*range(5, 17),)),
        carts.edf(places["edf"] / "h.edf", counts, STANDARD),
    ]


def odd_files(folder: Path) -> list[Path]:
    """Files with what headers and archives may hold beside the usual: other formats, text, frames, levels, keys."""
    from h5py import File
    from scipy.io import savemat

    counts = np.rint(heart(800) * 100).astype("<i2")
    package = write_by_wfdb(folder / "d", counts, STANDARD, "24", 100)
    dotted = write_wfdb(folder / "e", heart(800), STANDARD, comments=["Sex: 女"])
    text = dotted.read_text().replace("e 12", "2.25 31 12").replace("/mV", "/μV")
    text = text.replace("e.dat 16 ", "2.25.31.DAT 16x2:7 ")
    (folder / "e.dat").rename(folder / "2.25.31.dat")
    dotted.rename(folder / "2.25.31.hea").write_bytes(text.replace("500 800", "500 400").encode("gb18030"))
    named = {"val": heart(800), "fs": 500.0, "leads": np.array(STANDARD, dtype=object), "age": "3d", "sex": "F"}
    savemat(folder / "f.mat", named, do_compression=True)
    savemat(folder / "g.mat", {"val": counts.astype(float), "fs": 500.0}, format="4")
    with File(folder / "h.mat", "w", userblock_size=512) as file:
        file["val"], file["fs"] = heart(800).T, [[500.0]]
    with (folder / "h.mat").open("r+b") as content:
        content.write(b"MATLAB 7.3 MAT-file".ljust(128))
    np.savez(
        folder / "i.npz", ecg=heart(800), fs=500, channels=STANDARD, units=["uV"] * 12, age_days=3, gender="female"
    )
    arrays = [folder / name for name in ("f.mat", "g.mat", "h.mat", "i.npz")]
    return [package, package.with_suffix(".dat"), folder / "2.25.31.hea", *arrays]


def test_no_mutation_crashes_hangs_or_takes_memory(files: list[Path]) -> None:
    command = [sys.executable, fuzz.__file__, "--child", str(MUTATIONS), "7", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout)
    assert set(outcome) == {"read", "refused"}
    assert sum(outcome.values()) >= MUTATIONS
    assert outcome["read"] > 50  # not every change breaks a file: the fuzzer reaches behind the first check


def test_the_fuzzer_notices_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.npy"
    np.save(path, heart(100))

    def breaks(_: Path) -> object:
        raise IndexError("a bug")

    monkeypatch.setattr(fuzz, "reader_of", lambda _: breaks)
    with pytest.raises(AssertionError, match="IndexError"):
        fuzz.attack(path, 1, 0)
    assert fuzz.mutate(b"abc" * 100, random.Random(1)) != b"abc" * 100
