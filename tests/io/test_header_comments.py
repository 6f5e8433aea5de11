"""What comments of WFDB headers say of the person, however they say it; what makes no sense is unknown, with a note."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR, Age
from auricle.errors import ReadingNote
from auricle.io import read
from auricle.io.header_comments import known_of, sex_of
from fakes import heart, write_wfdb


@pytest.mark.parametrize(
    ("lines", "field", "value"),
    [
        (["#<age>: 65 <sex>: F <diagnoses> Acute MI"], "sex", "F"),
        (["#<age>: 65 <sex>: F <diagnoses> Acute MI"], "age", Age(65 * DAYS_PER_YEAR, DAYS_PER_YEAR)),
        (["#age: 7 sex: M"], "age", Age(7 * DAYS_PER_YEAR, DAYS_PER_YEAR)),
        (["# 69 M 1085 1629 x1"], "sex", "M"),
        (["#Age (days): 3"], "age", Age(3, 1)),
        (["#Alter: 3 Tage", "#Geschlecht: weiblich"], "sex", "F"),
        (["# 性别: 男性"], "sex", "M"),
        (["#Dx: 426783006", "#Dx: 164889003,426783006"], "labels", ("426783006", "164889003")),
        (["#Dx: 426783006;164889003"], "labels", ("426783006", "164889003")),
        (["#Dx: 426783006 164889003"], "labels", ("426783006", "164889003")),
        (["#Labels: NORM, old MI"], "labels", ("NORM", "old MI")),
        (["# Gestational age: 30+2"], "gestation_days", 212.0),
        (["# Filter: 0.05-40 Hz"], "cart_band_hz", (0.05, 40.0)),
        (["# Low pass: 150 Hz", "# High pass: 0.5 Hz"], "cart_band_hz", (0.5, 150.0)),
        (["# Filter: 0,05-150 Hz"], "cart_band_hz", (0.05, 150.0)),
        (["# Bandwidth: 0.05 Hz - 40 Hz"], "cart_band_hz", (0.05, 40.0)),
        (["# Filter: 0.05-150 Hz, notch 49-51 Hz"], "cart_band_hz", (0.05, 150.0)),
        (["# Bandwidth (Hz): 0.05 - 40"], "cart_band_hz", (0.05, 40.0)),
        (["# Age_days: 3"], "age", Age(3, 1)),
        (["# Age: 3 d, Sex: F"], "age", Age(3, 1)),
        (["# Age: 3 d", "# Age (hours): 72"], "age", Age(3, 1 / 24)),
        (["# Age in days: 3"], "age", Age(3, 1)),
        (["# Age [months]: 5"], "age", Age(5 * DAYS_PER_MONTH, DAYS_PER_MONTH)),
        (["# Alter (Tage): 3"], "age", Age(3, 1)),
        (["# Age (days): 3 wk"], "age", Age(21, 7)),
        (["# Gestational age (days): 212"], "gestation_days", 212.0),
        (["# Gestational age (weeks): 30+2"], "gestation_days", 212.0),
        (["# GA: 30 wk"], "gestation_days", 210.0),
        (["# 年龄：生后3天"], "age", Age(3, 1)),
    ],
)
def test_every_way_of_writing_it(lines: list[str], field: str, value: object) -> None:
    known, notes = known_of(lines)
    assert known[field] == value
    assert not notes


@pytest.mark.parametrize(
    ("lines", "field", "word"),
    [
        (["#Age: 5 d", "#Age: 60"], "age", "more than one age"),
        (["#Age: 38+4"], "age", "that of a gestation"),
        (["#Age: 300"], "age", "a code for more than 89 years"),
        (["#Age: 1_0"], "age", "no sense"),
        (["#Age: 0"], "age", "first year"),
        (["#Age: -3"], "age", "no sense"),
        (["#Age (corrected): 3"], "age", "no sense"),
        (["#GA: 3 d"], "gestation_days", "no sense"),
        (["#Sex: 1"], "sex", "may mean either"),
        (["#Sex: F", "#Sex: M"], "sex", "both"),
    ],
)
def test_what_makes_no_sense_is_unknown_and_said(lines: list[str], field: str, word: str) -> None:
    known, (note,) = known_of(lines)
    assert field not in known
    assert word in note


def test_free_text_and_dates_of_birth_are_not_read() -> None:
    assert known_of(["# Filter: notch 49-51 Hz", "# Band: 150-0.05 Hz", "# Age at onset: 5", "# Mother's age: 30"]) == (
        {},
        (),
    )
    assert known_of(["# normal for this age: yes", "# Date of birth: 2001-02-03", "# Name: Sex Pistol"]) == ({}, ())


@given(st.lists(st.text(max_size=60), max_size=5))
def test_no_comment_breaks_the_reader(lines: list[str]) -> None:
    known_of([f"#{line}" for line in lines])


def test_what_the_caller_knows_goes_first_and_is_said(tmp_path: Path) -> None:
    header = write_wfdb(tmp_path / "r", heart(1000, 2), ["I", "II"])
    header.write_text(header.read_text() + "# Age: 40\n# Sex: F\n")
    with pytest.warns(ReadingNote, match="the age given .3 d. is used; the file says 40 yr"):
        recording = read(header, age=Age(3), sex="M")
    assert recording.age == Age(3)
    assert any("the sex given (M) is used; the file says F" in note for note in recording.notes)
    with pytest.warns(ReadingNote, match="the age given"):
        read(header, age=Age(39.2 * DAYS_PER_YEAR, 1))
    assert not read(header, age=Age(40.2 * DAYS_PER_YEAR, 1), sex="F").notes


def test_a_code_is_no_sex() -> None:
    assert sex_of("0") is None
    assert sex_of("女性") == "F"
