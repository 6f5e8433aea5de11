"""Ages as hospitals write them, ages from dates, and ages before term."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle import age as ages
from auricle.age import (
    AGE_BANDS,
    DAYS_PER_MONTH,
    DAYS_PER_YEAR,
    Age,
    parse,
)
from auricle.birth import between, by_dates, corrected, correction_days, describe_gestation, parse_gestation
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
     "<1", "5y4", "1.500 d", "12.000 Tage", "P", "P3", "P3H"],
)  # fmt: skip
def test_what_is_no_age_or_not_one_only_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse(text)


def test_lengths_of_time_as_programs_write_them_and_no_information_as_germans_do() -> None:
    assert parse("P3M") == parse("3mo")
    assert parse("P1Y6M") == parse("1y6mo")
    assert parse("p2w3d") == parse("2w3d")
    assert parse("P12D") == Age(12.0, 1.0)
    assert parse("1.25 d") == Age(1.25, 1 / 24), "two decimals are no thousands"
    for hour in range(24):
        age = between("2024-05-28", f"2024-06-01T{hour:02d}:00")
        again = parse(ages.written(age))
        assert again is not None
        assert again.days == pytest.approx(age.days, abs=1e-5)
    for text in ("k.A.", "k. A.", "n.a.", "keine Angabe"):
        assert parse(text) is None


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


class TestAge:
    @pytest.mark.parametrize("days", [-0.01, 130 * YEAR + 1, math.inf, math.nan])
    def test_what_nobody_is_old_is_refused(self, days: float) -> None:
        with pytest.raises(DataError, match="not possible: give 0 days to 130 years"):
            Age(days)

    @pytest.mark.parametrize("days", [0.0, 130 * YEAR])
    def test_the_first_day_and_the_last_are_ages(self, days: float) -> None:
        assert Age(days).resolution_days == 1.0

    @pytest.mark.parametrize(
        ("days", "resolution", "best"),
        [
            (3, 1, 3), (100, MONTH, 100), (100, 2 * MONTH, 100), (100, 2 * MONTH + 1, 101 + MONTH - 0.5),
            (2 * YEAR, YEAR, 2.5 * YEAR),
        ],
    )  # fmt: skip
    def test_a_year_is_given_to_a_model_by_its_middle_and_a_month_by_its_beginning(
        self, days: float, resolution: float, best: float
    ) -> None:
        assert Age(days, resolution).best_days == pytest.approx(best)

    @pytest.mark.parametrize(
        ("one", "other", "agree"),
        [
            (Age(3, 1), Age(3, 1), True), (Age(3, 1), Age(4, 1), False), (Age(3, 1), Age(3.5, 1), True),
            (Age(2 * YEAR, YEAR), Age(2.9 * YEAR, 1), True), (Age(2 * YEAR, YEAR), Age(3 * YEAR, 1), False),
            (Age(2 * YEAR, YEAR), Age(2 * YEAR - 1, 1), False), (Age(2 * YEAR, YEAR), Age(2 * YEAR - 1, 2), True),
        ],
    )  # fmt: skip
    def test_two_ages_agree_if_a_day_lies_in_both(self, one: Age, other: Age, agree: bool) -> None:
        assert one.agrees_with(other) is agree
        assert other.agrees_with(one) is agree

    def test_bands_follow_each_other_from_birth_on_at_the_bounds_of_the_tables(self) -> None:
        bounds = [0, 3, MONTH, 3 * MONTH, YEAR, 3 * YEAR, 8 * YEAR, 16 * YEAR, 40 * YEAR, 65 * YEAR]
        assert [band.low_days for band in AGE_BANDS] == pytest.approx(bounds)
        assert [band.high_days for band in AGE_BANDS] == pytest.approx([*bounds[1:], math.inf])

    @pytest.mark.parametrize(
        ("days", "text"),
        [
            (0, "0 d"), (0.125, "0.12 d"), (3.333, "3.33 d"), (13.9, "13.9 d"), (14, "2 wk"), (30, "4.3 wk"),
            (89.9, "13 wk"), (90, "3 mo"), (1.9 * YEAR, "23 mo"), (2 * YEAR, "2 yr"), (7.5 * YEAR, "7.5 yr"),
        ],
    )  # fmt: skip
    def test_an_age_is_written_in_the_unit_usual_at_it(self, days: float, text: str) -> None:
        assert str(Age(days)) == text


class TestGestation:
    def test_it_is_written_in_weeks_and_days(self) -> None:
        assert [describe_gestation(days) for days in (210, 212, 216, 280)] == ["30+0", "30+2", "30+6", "40+0"]

    @pytest.mark.parametrize(
        ("text", "days"),
        [("20", 140), ("45", 315), ("30+6", 216), ("140 d", 140), ("315 d", 315), ("20+0", 140), ("37.5", 262.5)],
    )
    def test_from_twenty_to_forty_five_weeks(self, text: str, days: float) -> None:
        assert parse_gestation(text) == days

    @pytest.mark.parametrize("text", ["19+6", "45+1", "139 d", "316 d"])
    def test_not_beyond(self, text: str) -> None:
        with pytest.raises(DataError, match="from 20\\+0 to 45\\+0"):
            parse_gestation(text)

    @pytest.mark.parametrize(
        ("days", "gestation", "off"),
        [
            (50, 37 * 7 - 1, 22), (50, 37 * 7, 0), (50, 210, 70), (50, None, 0),
            (2 * YEAR - 1, 210, 70), (2 * YEAR, 210, 0),
        ],
    )  # fmt: skip
    def test_who_was_born_before_37_weeks_is_corrected_until_two_years(
        self, days: float, gestation: float | None, off: float
    ) -> None:
        assert correction_days(Age(days), gestation) == off
        assert corrected(Age(days, 3), gestation) == (Age(days - off, 3) if days >= off else None)

    def test_the_day_of_term_is_day_nought(self) -> None:
        assert corrected(Age(70), 210) == Age(0)
        assert corrected(Age(69.5), 210) is None


def test_bounds_of_what_can_be_read() -> None:
    """Just inside and just outside of what a year, a day of life and a least age may be."""
    assert parse("130") == Age(130 * YEAR, YEAR)
    assert parse(">= 18") == Age(18 * YEAR, 87 * YEAR)
    assert parse("> 110") == Age(110 * YEAR, YEAR), "beyond 105 a year is left"
    assert parse("DOL 1") == Age(0, 2)
    assert parse("0 min") == Age(0, 1 / 24)
    assert parse("6 mo") == Age(6 * MONTH, MONTH)
    for text in ("131", ">= 17", "> 17.9", "5-5", "5-4"):
        with pytest.raises(DataError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("0-1", None), ("0-1 yr", None), ("0.0", None), ("0 mo", 0.0), ("0.0 yr", 0.0), ("1-2 mo", MONTH)],
)
@pytest.mark.filterwarnings("ignore:an age of 0")
def test_what_an_age_of_nothing_means_depends_on_how_finely_it_was_known(text: str, days: float | None) -> None:
    age = parse(text)
    assert (None if age is None else age.days) == days


def test_full_width_digits_and_blanks_are_read_wherever_an_age_is_given() -> None:
    assert ages.given(" ３ d ") == Age(3, 1)
    assert parse_gestation(" ３０+２ ") == 212
    assert parse("３　d") == Age(3, 1)
    assert parse("3\u20135 d") == parse("3-5 d")


def test_half_a_year_more_than_a_half_is_refused() -> None:
    assert parse("3岁半") == Age(3.5 * YEAR, YEAR / 2)
    with pytest.raises(DataError, match="not an age"):
        parse("3.5岁半")


def test_numbers_of_a_table_are_read_as_they_are_written_there() -> None:
    assert parse(2.0) == Age(2 * YEAR, YEAR)
    assert parse(1e-5 * 1e5) == Age(YEAR, YEAR)
    assert parse(0.3) == Age(0.3 * YEAR, YEAR / 10)
    for wild in (1e6, -1e6, 1e300):
        with pytest.raises(DataError, match=r"negative age|not an age|not possible"):
            parse(wild)


def test_both_warnings_of_an_age_point_at_the_caller() -> None:
    with pytest.warns(UserWarning, match="write 0d or 5mo") as caught:
        parse("0")
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("birth", "recording", "days", "resolution"),
    [
        (date(2024, 5, 31), datetime(2024, 6, 1, 12), 0.5, 1.0),
        (datetime(2024, 5, 31, 12), date(2024, 6, 1), 0.5, 1.0),
        (datetime(2024, 5, 31, 6, 0, 1), datetime(2024, 5, 31, 6, 0, 1), 0.0, 1 / 24),
        (datetime(2024, 5, 31), datetime(2024, 5, 31), 0.0, 1.0),
        ("2024-05-31T23:59", "2024-05-31", 0.0, 1.0),
        ("2024-05-31T08:00+0530", "2024-05-31T08:00+0530", 0.0, 1 / 24),
        ("2024-05-31T08:00+05:30", "2024-05-31T02:30Z", 0.0, 1 / 24),
        ("2024-05-31T08:00-05:30", "2024-05-31T13:30Z", 0.0, 1 / 24),
        ("2024-05-31T08:00:30", "2024-05-31T08:01:00", 30 / 86_400, 1 / 24),
    ],
)
def test_dates_and_times_of_programs(birth: str | date, recording: str | date, days: float, resolution: float) -> None:
    age = between(birth, recording)
    assert age.days == pytest.approx(days, abs=1e-9)
    assert age.resolution_days == resolution


def test_a_zone_of_a_day_is_none() -> None:
    with pytest.raises(DataError, match="its zone is none"):
        between("2024-05-31T08:00+24:00", "2024-06-01T08:00Z")
    assert between("2024-05-31T08:00+23:59", "2024-05-31T08:01Z").days == pytest.approx(1.0)


def test_a_zone_on_one_side_of_two_times_is_refused_from_either_side() -> None:
    for pair in (("2024-05-31T08:00Z", "2024-06-01T08:00"), ("2024-05-31T08:00", "2024-06-01T08:00Z")):
        with pytest.raises(DataError, match="one of birth and recording has a time zone"):
            between(*pair)
    assert between("2024-05-31T00:00Z", "2024-06-01T08:00").days == pytest.approx(1 / 3), "a date has no zone to miss"


@pytest.mark.parametrize("text", ["3d", "5y4m", "45-50", "2.4 yr", ">89"])
def test_an_age_is_made_of_text_as_it_is_read(text: str) -> None:
    assert ages.Age(text) == parse(text)
    assert replace(ages.Age(text)) == ages.Age(text)
    assert ages.Age(text, 2.0).resolution_days == 2


@pytest.mark.parametrize("text", ["", "unknown", "0", "38+4", "-3d", "old"])
def test_text_that_says_no_age_makes_none(text: str) -> None:
    with pytest.raises(DataError):
        ages.Age(text)


def test_the_first_gestation_that_is_read_and_the_first_age_that_is_told_in_weeks() -> None:
    assert parse_gestation("20+0") == 140
    with pytest.raises(DataError):
        parse_gestation("19+6")
    assert (str(ages.Age(13)), str(ages.Age(14))) == ("13 d", "2 wk")


def test_an_age_that_is_known_exactly_agrees_with_itself() -> None:
    assert ages.Age(3, 0.0).agrees_with(ages.Age(3, 0.0))
    assert ages.Age(3, 0.0).agrees_with(ages.Age(3))
    assert ages.Age(3).agrees_with(ages.Age(3, 0.0))
    assert not ages.Age(4, 0.0).agrees_with(ages.Age(3))


def test_a_resolution_is_a_length_of_time() -> None:
    for resolution in (-5.0, math.nan, math.inf):
        with pytest.raises(DataError, match="is not possible"):
            ages.Age(3, resolution)


@pytest.mark.parametrize("born", ["1900-01-01", "1753-01-01", "1899-12-30T00:00", "1910-05-05"])
def test_a_date_of_birth_that_stands_for_none_gives_no_age(born: str) -> None:
    assert by_dates(born, "2024-05-31") is None
    assert by_dates("2024-05-28", "2024-05-31") == Age(3.0, 1.0)
    with pytest.raises(DataError, match="negative"):
        by_dates("2024-05-31", "2024-05-28")
    with pytest.raises(DataError):
        by_dates(born, "garbage")


@pytest.mark.parametrize("text", ["01.05", "05,11"])
def test_what_is_rather_a_date_is_no_age(text: str) -> None:
    with pytest.raises(DataError, match="is not an age"):
        ages.parse(text)


def test_a_fifth_birthday_is_five_years() -> None:
    assert Age("5y").agrees_with(Age(1826.0, 1 / 24))
    assert not Age("5y").agrees_with(Age(1820.0, 1 / 24))


@pytest.mark.parametrize("resolution", [1 / 24, 1.0])
def test_months_of_the_calendar_are_months(resolution: float) -> None:
    for year in (2023, 2024):
        for month in range(1, 13):
            for n in (1, 3, 5, 11):
                born = date(year, month, 1)
                there = date(year + (month - 1 + n) // 12, (month - 1 + n) % 12 + 1, 1)
                assert Age(f"{n}mo").agrees_with(Age(float((there - born).days), resolution))
    assert not Age("3mo").agrees_with(Age(85.0, resolution))


def test_the_oldest_stay_what_they_are_when_written() -> None:
    assert ages.written(Age("90+")) == "90+"
    assert ages.parse("90+") == Age("90+")
    assert ages.written(Age("104yr")) == "104 yr"
