"""Ages as hospitals write them, ages from dates, and ages before term."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle import age as ages
from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR, between, parse, parse_gestation
from auricle.errors import DataError

YEAR, MONTH = DAYS_PER_YEAR, DAYS_PER_MONTH


@pytest.mark.parametrize(
    ("text", "days", "resolution"),
    [
        ("3 Jahre", 3 * YEAR, YEAR), ("1 Jahr", YEAR, YEAR), ("3 J.", 3 * YEAR, YEAR), ("3 Tage", 3, 1),
        ("1 Tag", 1, 1),
        ("6 Wochen", 42, 7), ("4 Monate", 4 * MONTH, MONTH), ("4 Mon.", 4 * MONTH, MONTH), ("3 Tage alt", 3, 1),
        ("3岁零6月", 3 * YEAR + 6 * MONTH, MONTH), ("1岁3月", YEAR + 3 * MONTH, MONTH), ("生后3天", 3, 1),
        ("5日", 5, 1),
        ("3小时", 0.125, 1 / 24), ("3周岁", 3 * YEAR, YEAR), ("3周", 21, 7), ("3岁半", 3.5 * YEAR, YEAR / 2),
        ("３岁", 3 * YEAR, YEAR),
        ("003D", 3, 1), ("018M", 18 * MONTH, MONTH), ("012Y", 12 * YEAR, YEAR), ("006W", 42, 7),
        ("4,5", 4.5 * YEAR, YEAR / 10), ("4,5 Jahre", 4.5 * YEAR, YEAR / 10),
        ("5 yr, 4 mo", 5 * YEAR + 4 * MONTH, MONTH),
        ("12 DOL", 11, 2), ("DOL 12", 11, 2), ("DOL 1", 0, 2), ("12. Lebenstag", 11, 2), ("day of life 3", 2, 2),
        ("生后第3天", 2, 2),
        ("5-year-old", 5 * YEAR, YEAR), ("6 m/o", 6 * MONTH, MONTH), ("5yo", 5 * YEAR, YEAR),
        ("30 min", 1 / 48, 1 / 24),
        ("45-50", 45 * YEAR, 5 * YEAR), ("45–50 yr", 45 * YEAR, 5 * YEAR), ("3-5 d", 3, 2), ("62.0", 62 * YEAR, YEAR),
        (".5", YEAR / 2, YEAR / 10),
        (">89", 89 * YEAR, 16 * YEAR), ("90+", 90 * YEAR, 15 * YEAR), (">= 90 yr", 90 * YEAR, 15 * YEAR),
        ("89岁以上", 89 * YEAR, 16 * YEAR),
    ],
)  # fmt: skip
def test_more_spellings(text: str, days: float, resolution: float) -> None:
    age = parse(text)
    assert age is not None
    assert age.days == pytest.approx(days)
    assert age.resolution_days == pytest.approx(resolution)


@pytest.mark.parametrize(
    "text",
    ["1_0", "5e0", "1e1", "inf", "infinity", "-inf", "0x10", "+5", "٣", "٣ d", "3²", "1 000", "1,000", "1,000 d",
     "2.5y3m", "4mo5y",
     "3d 3d", "5;4", "3月5日", "2024-05-31", "05-06", "50-45", ">5", "5 moo", "5 t", "生后", "true", "5 y o",
     "<1", "5y4"],
)  # fmt: skip
def test_what_is_no_age_or_not_one_only_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse(text)


@pytest.mark.parametrize("text", ["38+4", "38 + 4", "38+4 SSW", "SSW 38+4", "38+4/7"])
def test_a_gestational_age_is_no_age_after_birth(text: str) -> None:
    with pytest.raises(DataError, match="gestational age"):
        parse(text)


@given(
    st.integers(1, 99),
    st.sampled_from([
        (1.0, ("d", "D", " days", " Tage", "天", "日", " Tg.")), (7.0, ("w", "W", " wk", " Wochen", "周")),
        (MONTH, ("M", " mo", " months", " Monate", " Mon.", "个月", "月")),
        (YEAR, ("", "y", "Y", " yr", " Jahre", " J.", "岁")),
    ]),
    st.sampled_from(["{}", "{:03d}", "{}.0"]),
)  # fmt: skip
def test_one_number_means_the_same_in_all_spellings(
    number: int, unit: tuple[float, tuple[str, ...]], form: str
) -> None:
    days, spellings = unit
    for spelling in spellings:
        age = parse(f"  {form.format(number)}{spelling} ")
        assert age is not None
        assert age.days == pytest.approx(number * days)
        assert days / 10 <= age.resolution_days <= days or age.resolution_days == 1


@given(st.text(alphabet="0123456789 .,+-_eExXndNaAiIfFyY岁月/;:²٣½", max_size=8))
def test_a_text_is_an_age_only_by_its_digits(text: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            age = parse(text)
    except DataError:
        return
    assert age is None or set(text) <= set("0123456789 .,+-ndaNAyY岁月/oO")
    assert age is None or not any(mark in text for mark in "_eExX;:²٣½")


@pytest.mark.parametrize("text", ["", "nan", "unknown", "0", "0y", "300", "?", "-", "未知"])
def test_who_gives_an_age_says_one(text: str) -> None:
    with pytest.raises(DataError, match="write 0d, 3wk, 5mo"):
        ages.given(text)


@pytest.mark.parametrize(
    ("birth", "recording", "days", "resolution"),
    [
        ("2024-05-31T14:20", "2024-05-31", 0, 1), ("2024-05-31", "2024-06-02T12:00Z", 1.5, 1),
        ("2024-05-31", "2024-06-02", 2, 1), ("2024/05/31", "2024/6/2", 2, 1),
        ("20240531", "20240602", 2, 1), ("31.05.2024", "02.06.2024", 2, 1), ("2024年5月31日", "2024年6月2日", 2, 1),
        ("2024-05-31 00:00:00", "2024-06-02 00:00:00", 2, 1), ("2024-05-31", "2024-06-02T00:00Z", 2, 1),
        ("2024-05-31T08:00+08:00", "2024-05-31T06:00+00:00", 0.25, 1 / 24),
        ("2024-05-31T08:00Z", "2024-05-31T06:00-05:00", 0.125, 1 / 24),
        ("2024-05-31 23:50:00", "2024-06-01 00:20:00", 1 / 48, 1 / 24),
        ("20240531080000", "31.05.2024 20:00", 0.5, 1 / 24),
        ("2024-05-31T08:00:30.25Z", "2024-05-31T20:00:30+00:00", 0.5, 1 / 24),
        ("2024/5/31 8:00", "2024/5/31 20:00", 0.5, 1 / 24),
    ],
)  # fmt: skip
def test_ages_from_dates(birth: str, recording: str, days: float, resolution: float) -> None:
    age = between(birth, recording)
    assert age.days == pytest.approx(days)
    assert age.resolution_days == pytest.approx(resolution)


@pytest.mark.parametrize(
    ("birth", "recording", "reason"),
    [
        ("2024-06-01", "2024-05-31T14:20", "negative age"), ("2024-05-31T14:20", "2024-05-31T14:10", "negative age"),
        ("2024-05-31T08:00+08:00", "2024-05-31T09:00", "time zone"),
        ("45443", "45445", "bare number"), ("45443.5", "45445", "bare number"),
        ("05/06/2024", "05/07/2024", "day/month"), ("2024-02-31", "2024-03-01", "calendar"),
        ("2024-05-312", "2024-06-01", "cannot be read"), ("2024053114", "2024-06-01", "cannot be read"),
        ("2024-W22-5", "2024-06-01", "cannot be read"),
        ("2024-05/31", "2024-06-01", "cannot be read"), ("31.05.24", "2024-06-01", "cannot be read"),
        ("May 5", "2024-06-01", "cannot be read"),
    ],
)  # fmt: skip
def test_dates_that_are_refused_and_not_repeated(birth: str, recording: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        between(birth, recording)
    assert birth not in str(caught.value)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)), st.integers(0, 40_000), st.integers(-12, 14))
def test_an_age_does_not_depend_on_the_zone(born: datetime, minutes: int, hours: int) -> None:
    born = born.replace(microsecond=0)
    shifted = born + timedelta(minutes=minutes, hours=hours)
    age = between(f"{born.isoformat()}+00:00", f"{shifted.isoformat()}{hours:+03d}:00")
    assert age.days == pytest.approx(minutes / 1440, abs=1.001 if age.resolution_days == 1 else 1e-6)


@pytest.mark.parametrize(
    ("text", "weeks"),
    [("30+2", 30 + 2 / 7), ("30 + 2", 30 + 2 / 7), ("30 2/7", 30 + 2 / 7), ("30w2d", 30 + 2 / 7),
     ("30 weeks 2 days", 30 + 2 / 7),
     ("30 wk", 30), ("30", 30), ("30.5", 30.5), ("30,5", 30.5), ("30周2天", 30 + 2 / 7), ("SSW 30+2", 30 + 2 / 7),
     ("211 d", 211 / 7)],
)  # fmt: skip
def test_gestational_ages(text: str, weeks: float) -> None:
    assert parse_gestation(text) == pytest.approx(7 * weeks)


@pytest.mark.parametrize("text", ["", "term", "30+7", "19", "46", "211", "3 d", "30+2+1", "3_0", "nan"])
def test_what_is_no_gestational_age(text: str) -> None:
    with pytest.raises(DataError, match="gestational age"):
        parse_gestation(text)
