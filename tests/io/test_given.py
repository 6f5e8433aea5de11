"""What a caller gives beside a file: it counts, whatever the format, and where the file says otherwise that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from auricle.age import Age, parse
from auricle.errors import ReadingNote
from auricle.io import read
from fakes import heart, write_wfdb

LEADS = ["V1", "V2"]


@pytest.mark.parametrize("kind", ["hea", "npz", "mat"])
def test_what_is_given_beside_a_files_own_says_which_is_used(tmp_path: Path, kind: str) -> None:
    signal = heart(1500)[:2]
    known = {"signal": signal, "rate_hz": 500, "leads": LEADS, "unit": "mV", "age": "40", "sex": "F"}
    if kind == "hea":
        write_wfdb(tmp_path / "r", signal, LEADS, 500, comments=("Age: 40", "Sex: F"))
    elif kind == "npz":
        np.savez(tmp_path / "r.npz", **known)  # type: ignore[arg-type]
    else:
        savemat(tmp_path / "r.mat", known | {"leads": np.array(LEADS, dtype=object)})
    path = tmp_path / f"r.{kind}"
    assert read(path).age == parse("40")
    assert not read(path, age=parse("40"), sex="F").notes, "the same said twice is nothing to tell"
    with pytest.warns(ReadingNote) as told:
        other = read(path, age=Age(3), sex="M")
    assert (other.age, other.sex) == (Age(3), "M")
    assert other.notes == (
        "the age given (3 d) is used; the file says 40 yr",
        "the sex given (M) is used; the file says F",
    )
    assert len(told) == 2


def test_an_age_given_counts_where_the_files_own_makes_no_sense(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", signal=heart(1500)[:2], rate_hz=500, leads=LEADS, unit="mV", age="old", sex="1")
    with pytest.warns(ReadingNote, match="cannot be read and is treated as unknown"):
        recording = read(tmp_path / "r.npz", age=Age(3), sex="M")
    assert (recording.age, recording.sex) == (Age(3), "M")
