"""Whose file is read: names with dots, names in other spellings and code pages, and files that belong together."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from auricle.data.manifest import read_manifest
from auricle.errors import ReadError
from auricle.io import read
from auricle.io.names import header_of, record_name
from fakes import heart, write_by_wfdb, write_wfdb


def record(folder: Path, name: str, seed: int, named: str | None = None, lines: str | None = None) -> Path:
    """A record of two leads whose name may have dots; `named` is what its header calls the signal file."""
    plain = write_wfdb(folder / f"plain{seed}", heart(600, 2, seed), ["I", "II"])
    text = (lines or plain.read_text()).replace(f"plain{seed}.dat", named or f"{name}.dat")
    (folder / f"{name}.hea").write_text(text.replace(f"plain{seed} ", f"{name} "))
    plain.with_suffix(".dat").rename(folder / f"{name}.dat")
    plain.unlink()
    return folder / f"{name}.hea"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("2.25.31.4", "2.25.31.4"), ("2.25.31.4.hea", "2.25.31.4"), ("x/2.25.31.DAT", "2.25.31"), ("r", "r"),
        ("2024.05.01.npz", "2024.05.01"), ("a.b", "a.b"), (".hea", ".hea"), ("scan.1.PNG", "scan.1"),
    ],
)  # fmt: skip
def test_only_known_suffixes_are_cut_from_a_name(name: str, wanted: str) -> None:
    assert record_name(name) == wanted


def test_a_name_with_dots_is_never_another_patients(tmp_path: Path) -> None:
    names = ("2.25.31", "2.25.31.4", "2.25.31.4.1", "ward.7")
    for seed, name in enumerate(names):
        record(tmp_path, name, seed)
    for seed, name in enumerate(names):
        for asked in (name, f"{name}.hea", f"{name}.dat"):
            recording = read(tmp_path / asked)
            assert recording.record_id == name
            assert np.allclose(recording.signal[0], heart(600, 2, seed)[0], atol=0.001)
    assert header_of(tmp_path / "2.25.31.5") is None
    for absent in ("2.25.31.5", "2.25.31.png", "ward"):
        with pytest.raises(ReadError, match="no such file"):
            read(tmp_path / absent)


def test_a_format_of_the_package_keeps_the_whole_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("2.25.31", "2.25.31.4")):
        write_by_wfdb(tmp_path / name, np.rint(heart(600, 2, seed) * 500).astype(int), ["I", "II"], "24", 500)
    assert np.abs(read(tmp_path / "2.25.31.4").signal[0] - heart(600, 2, 1)[0]).max() < 0.003


def test_ids_of_arrays_and_of_manifest_lines_keep_their_dots(tmp_path: Path) -> None:
    for name in ("2.25.31", "2.25.31.4"):
        np.save(tmp_path / f"{name}.npy", heart(600, 2))
        (tmp_path / f"{name}.npy").rename(tmp_path / name)
        assert read(tmp_path / name, rate_hz=500, leads=["I", "II"]).record_id == name
    (tmp_path / "m.csv").write_text("file\n2.25.31\n2.25.31.4\n2.25.31.5.hea\n")
    assert [row.record_id for row in read_manifest(tmp_path / "m.csv")] == ["2.25.31", "2.25.31.4", "2.25.31.5"]


def test_a_signal_file_whose_neighbour_names_another_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "a", 0)
    record(tmp_path, "b", 1, named="a.dat")
    with pytest.warns(UserWarning, match=r"b\.hea: the samples of all channels are not those"):
        assert read(tmp_path / "b.hea").record_id == "b"
    with pytest.raises(ReadError, match=r"b\.dat: the header beside it is that of other signal files"):
        read(tmp_path / "b.dat")


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is a folder; give one recording in it"):
        read(tmp_path)
    (tmp_path / "r").mkdir()
    record(tmp_path, "r", 0)
    assert read(tmp_path / "r").record_id == "r", "a record may lie beside a folder of its name"


@pytest.mark.parametrize("named", ["./b.dat", "B.DAT", "sub/../b.dat", "x/b.dat", ".\\b.dat"])
def test_signal_files_are_found_beside_or_below_the_header(tmp_path: Path, named: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    header = record(folder, "b", 3, named=named)
    assert np.allclose(read(header).signal[0], heart(600, 2, 3)[0], atol=0.001)


def test_a_signal_file_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    header = record(tmp_path, "b", 3, named="sub/b.dat")
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.dat").rename(tmp_path / "sub" / "b.dat")
    assert len(read(header).leads) == 6


@pytest.mark.parametrize("named", ["../b.dat", "/etc/b.dat", "sub/../../b.dat", "C:\\b.dat", "..\\b.dat", "-", "~"])
def test_signal_files_elsewhere_stay_closed(tmp_path: Path, named: str) -> None:
    with pytest.raises(ReadError, match="outside of its folder"):
        read(record(tmp_path, "b", 3, named=named))


def test_two_files_of_one_spelling_are_not_guessed(tmp_path: Path) -> None:
    header = record(tmp_path, "b", 3, named="B.DAT")
    (tmp_path / "b.Dat").write_bytes((tmp_path / "b.dat").read_bytes())
    if len(list(tmp_path.glob("[bB].[dD]*"))) == 2:  # not where capitals make no difference
        with pytest.raises(ReadError, match="missing"):
            read(header)


@pytest.mark.parametrize("written", ["utf-8", "gb18030", "utf-16"])
def test_names_in_any_code_page_and_composition(tmp_path: Path, written: str) -> None:
    header = record(tmp_path, "b", 3, named="心电 1.dat")
    header.write_bytes(header.read_text().encode(written))
    (tmp_path / "b.dat").rename(tmp_path / "心电 1.dat")
    assert len(read(header).leads) == 6
    accented = record(tmp_path, "c", 4, named=unicodedata.normalize("NFD", "Müller.dat"))
    (tmp_path / "c.dat").rename(tmp_path / unicodedata.normalize("NFC", "Müller.dat"))
    assert len(read(accented).leads) == 6
