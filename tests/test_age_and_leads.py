"""Ages as hospitals write them, and the algebra of leads."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from auricle import age as ages
from auricle.age import (
    ADULT_DAYS,
    DAYS_PER_MONTH,
    DAYS_PER_YEAR,
    Age,
    describe,
    parse,
)
from auricle.birth import between, corrected, parse_gestation
from auricle.errors import DataError, UnknownNameError
from auricle.leads import CANONICAL, LISA_GROUPS, STANDARD, canonical, derive_limb, group_index, rows_onto
from auricle.nn.age_code import code
from auricle.recording import Recording, make_recording


@pytest.mark.parametrize(
    ("text", "days", "resolution"),
    [
        ("3d", 3, 1), ("3 days", 3, 1), ("16 mo", 16 * DAYS_PER_MONTH, DAYS_PER_MONTH),
        ("2.4 yr", 2.4 * DAYS_PER_YEAR, DAYS_PER_YEAR / 10),
        ("5y4m", 5 * DAYS_PER_YEAR + 4 * DAYS_PER_MONTH, DAYS_PER_MONTH),
        ("7", 7 * DAYS_PER_YEAR, DAYS_PER_YEAR), (7.5, 7.5 * DAYS_PER_YEAR, DAYS_PER_YEAR / 10),
        ("2.41", 2.41 * DAYS_PER_YEAR, DAYS_PER_YEAR / 100), ("6 wk", 42, 7), ("0d", 0, 1),
        ("3岁", 3 * DAYS_PER_YEAR, DAYS_PER_YEAR), ("2个月", 2 * DAYS_PER_MONTH, DAYS_PER_MONTH),
        ("5 years old", 5 * DAYS_PER_YEAR, DAYS_PER_YEAR),
    ],
)  # fmt: skip
def test_ages_as_they_are_written(text: str | float, days: float, resolution: float) -> None:
    age = parse(text)
    assert age is not None
    assert age.days == pytest.approx(days)
    assert age.resolution_days == pytest.approx(resolution)


@pytest.mark.parametrize("text", [None, "", "nan", "unknown", "300", 300.0, float("nan")])
def test_unknown_ages(text: str | float | None) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["0", 0, "0 years", "0y"])
def test_a_bare_year_zero_is_unknown_with_a_warning(text: str) -> None:
    with pytest.warns(UserWarning, match="any day of the first year"):
        assert parse(text) is None


@pytest.mark.parametrize("text", ["-3d", "-1", "three", "3q", "200", "3d4", "birth"])
def test_impossible_ages_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse(text)


def test_dates_give_days_and_a_recording_before_birth_is_refused() -> None:
    assert between("2024-05-01", "2024-05-04").days == 3
    # Born at any time of the first of May: two and a half days old at least, three and a half at most.
    assert between(date(2024, 5, 1), "2024-05-04T12:00") == Age(2.5, 1.0)
    assert between("2024-05-01T06:00", "2024-05-04T12:00") == Age(3.25, 1 / 24)
    assert between("2024-05-31T14:20", "2024-05-31") == Age(0.0, 1.0), "a date is any moment of its day"
    assert between("2024-05-31", "2024-05-31T14:20") == Age(0.0, 1.0)
    assert between("2024-05-31T08:00+08:00", "2024-05-31T06:00+00:00") == Age(0.25, 1 / 24)
    for written in ("31.05.2024", "2024/5/31", "20240531"):
        assert between(written, "2024-06-02").days == 2
    with pytest.raises(DataError, match="before the birth"):
        between("2024-05-04", "2024-05-01")
    for wrong, why in (
        ("2024-05-04T10:00", "before the birth"), ("45443", "bare number"), ("05/06/2024", "day/month"),
        ("gestern", "cannot be read"), ("2024-05-01T10:00+02:00", "time zone"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=why):
            between(wrong, "2024-05-04T09:00")


@pytest.mark.parametrize(
    ("written", "days", "resolution"),
    [
        ("3 Jahre", 3 * DAYS_PER_YEAR, DAYS_PER_YEAR),
        ("3 Tage", 3, 1), ("6 Wochen", 42, 7), ("003D", 3, 1), ("生后3天", 3, 1), ("12 DOL", 11, 2), ("\uff13 d", 3, 1),
        ("018M", 18 * DAYS_PER_MONTH, DAYS_PER_MONTH),
        ("3岁零6月", 3.5 * DAYS_PER_YEAR, DAYS_PER_MONTH),
        ("4,5", 4.5 * DAYS_PER_YEAR, DAYS_PER_YEAR / 10),
        ("45-50", 45 * DAYS_PER_YEAR, 5 * DAYS_PER_YEAR),
        (">89", 89 * DAYS_PER_YEAR, 16 * DAYS_PER_YEAR),
        ("90+", 90 * DAYS_PER_YEAR, 15 * DAYS_PER_YEAR),
        ("5 years and 4 months", 5 * DAYS_PER_YEAR + 4 * DAYS_PER_MONTH, DAYS_PER_MONTH),
    ],
)  # fmt: skip
def test_ages_as_hospitals_write_them(written: str, days: float, resolution: float) -> None:
    age = parse(written)
    assert age is not None
    assert age.days == pytest.approx(days)
    assert age.resolution_days == pytest.approx(resolution)


@pytest.mark.parametrize("written", ["1_0", "5e0", "inf", "0x10", "38+4", "3d 4d", "4mo 2y", "50-45", ">3d", "3 x"])
def test_what_is_no_age_is_refused(written: str) -> None:
    with pytest.raises(DataError):
        parse(written)


def test_an_age_that_is_given_and_says_nothing_is_refused() -> None:
    assert ages.given(None) is None
    assert ages.given("3d") == Age(3.0, 1.0)
    for text in ("0", "unknown", "300"):
        with pytest.raises(DataError, match="says no age"):
            ages.given(text)


def test_a_child_born_early_is_as_old_as_from_term() -> None:
    assert parse_gestation("30+2") == 212
    assert parse_gestation("30w2d") == 212
    assert parse_gestation("30 wk") == 210
    assert corrected(Age(100, 1), 210) == Age(30, 1)
    assert corrected(Age(50, 1), 210) is None, "before term there are no limits"
    assert corrected(Age(50, 1), 266) == Age(50, 1), "38 weeks are term"
    assert corrected(Age(800, 1), 210) == Age(800, 1)
    assert corrected(Age(50, 1), None) == Age(50, 1)
    for wrong in ("12+0", "60", "early", "30+8"):
        with pytest.raises(DataError):
            parse_gestation(wrong)


@given(st.floats(0, 40_000), st.sampled_from(["d", "wk", "mo", "yr"]))
@example(104.0, "d")
def test_what_is_described_can_be_read_again(days: float, unit: str) -> None:
    again = parse(describe(days).replace(" ", ""))
    assert again is not None
    # Within half of the unit that is shown, whole months being the coarsest for its size.
    assert again.days == pytest.approx(days, rel=0.12, abs=0.6 if days < 90 else DAYS_PER_MONTH / 2)


@pytest.mark.parametrize("kind", ["linear", "log", "log_month"])
def test_codes_rise_from_zero_to_one_and_keep_unknown(kind: str) -> None:
    days = torch.linspace(0, float(ADULT_DAYS), 500)
    coded = code(days, kind)
    assert coded[0] == 0
    assert coded[-1] == pytest.approx(1)
    assert (coded.diff() > 0).all()
    assert code(torch.tensor([40_000.0]), kind) == 1
    assert torch.isnan(code(torch.tensor([torch.nan]), kind)).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("AVR", "aVR"), ("avl", "aVL"), ("MDC_ECG_LEAD_aVF", "aVF"), ("Lead II", "II"), ("DI", "I"), (" v1 ", "V1"),
     ("ECG V5", "V5"), ("V3R", "V3R"), ("v7", "V7")],
)  # fmt: skip
def test_lead_names(name: str, expected: str) -> None:
    assert canonical(name) == expected


def test_an_unknown_lead_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'aVF'"):
        canonical("aVFF")


@given(st.integers(0, 10_000))
def test_limb_leads_follow_from_any_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, 50)).astype(np.float32)
    full, names = derive_limb(np.stack([one, two]), ["I", "II"])
    assert names == STANDARD[:6]
    rows = dict(zip(names, full, strict=True))
    assert np.allclose(rows["III"], two - one, atol=1e-6)
    assert np.allclose(rows["aVR"] + rows["aVL"] + rows["aVF"], 0, atol=1e-5)
    for pair in (("I", "III"), ("II", "III")):
        again, _ = derive_limb(np.stack([rows[lead] for lead in pair]), list(pair))
        assert np.allclose(again, full, atol=1e-5)


def test_recorded_leads_are_never_replaced_and_order_is_canonical() -> None:
    signal = np.arange(6, dtype=np.float32).reshape(3, 2)
    out, names = derive_limb(signal, ["V4R", "II", "V1"])
    assert names == ("II", "V1", "V4R")
    assert np.array_equal(out[1], signal[2])
    out, names = derive_limb(signal, ["V4R", "II", "aVR"])
    assert names == (*STANDARD[:6], "V4R")
    assert np.array_equal(out[[1, 3]], signal[[1, 2]])
    with pytest.raises(DataError, match="twice"):
        derive_limb(signal, ["II", "II", "V1"])


def test_rows_go_where_their_lead_is_and_the_others_nowhere() -> None:
    assert rows_onto(("V6", "I", "V7"), STANDARD) == ((1, 0), (0, 11))
    assert rows_onto(("V7",), STANDARD) == ((), ())


def test_lisa_groups_cover_the_twelve_once() -> None:
    index = group_index(LISA_GROUPS, STANDARD)
    assert min(index) == 0
    assert sorted(lead for group in LISA_GROUPS.values() for lead in group) == sorted(STANDARD)
    assert set(STANDARD) < set(CANONICAL)


def test_a_recording_is_what_readers_promise() -> None:
    signal = np.random.default_rng(0).normal(size=(4, 100))
    signal[2] = np.nan
    signal[1, 3] = np.inf
    recording = make_recording(signal, 500, ["i", "ii", "V1", "Vx"], "r")
    assert recording.leads == STANDARD[:6], "V1 was never recorded, Vx is no lead"
    assert np.isnan(recording.signal[recording.leads.index("II"), 3])
    assert recording.seconds == 0.2
    assert recording.with_context(age=Age(3), sex=None).age == Age(3)
    with pytest.raises(DataError, match="no lead has a usable sample"):
        make_recording(np.full((1, 10), np.nan), 500, ["I"], "r")
    with pytest.raises(DataError, match="no millivolts"):
        make_recording(9e9 * signal[:1], 500, ["I"], "r")
    with pytest.raises(DataError, match="canonical"):
        Recording(np.zeros((1, 5), dtype=np.float32), 500, ("avl",), "r")
