"""Normal limits: the tables are met at their bin centres, and nothing jumps or crosses between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.errors import DataError, UnknownNameError
from auricle.leads import wrap_axis_deg
from auricle.paediatrics import limits as norms

OLDEST_DAYS = 100 * DAYS_PER_YEAR
WITH_SPREAD = tuple(name for name in norms.parameters() if np.isfinite(norms.limits(name, 400).p98))
spread_parameters = st.sampled_from(WITH_SPREAD)
ages = st.floats(0, OLDEST_DAYS)
sexes = st.sampled_from(["F", "M", None])


@pytest.mark.parametrize(
    ("parameter", "sex", "centre_days", "expected"),
    [
        ("heart_rate", "F", (31 + 91) / 2, (126, 154, 200)),
        ("pr", "M", (2923 + 4383) / 2, (105, 134, 174)),
        ("qrs", "M", (183 + 365) / 2, (52, 69, 86)),
        ("qtc_bazett", "F", (4384 + 5844) / 2, (370, 414, 457)),
        ("qrs_axis", "M", (92 + 182) / 2, (-6, 66, 107)),
        ("rs_ratio_v1", "F", (1096 + 1826) / 2, (0.2, 0.7, 1.8)),
    ],
)
def test_the_table_is_met_at_bin_centres(parameter, sex, centre_days, expected):
    assert norms.centiles(parameter, centre_days, sex) == pytest.approx(expected)


def test_newborn_rows_come_from_davignon_and_are_called_unverified():
    found = norms.limits("heart_rate", 2, "F")
    assert (found.p2, found.p50, found.p98) == pytest.approx((91, 123, 159))
    assert found.unverified
    assert not found.extrapolated
    assert "Davignon" in found.source
    assert "unverified" in found.source
    assert "Rijnbeek" not in found.source


def test_amplitudes_with_a_missing_centile_are_completed_on_the_square_root_scale():
    printed = norms.limits("r_v1", 0.5)  # Davignon 0-1 d: p2 .5, p98 2.6, no median
    assert (printed.p2, printed.p98) == pytest.approx((0.5, 2.6))
    assert np.sqrt(printed.p50) == pytest.approx((np.sqrt(0.5) + np.sqrt(2.6)) / 2)
    child = norms.limits("s_v6", (1096 + 1826) / 2, "F")  # Rijnbeek: p50 .3, p98 .61, no p2
    assert (child.p50, child.p98) == pytest.approx((0.3, 0.61))
    assert 0 < child.p2 < child.p50


def test_qrs_is_held_below_day_11_and_never_mixed_with_v5():
    newborn, first_bin = norms.limits("qrs", 1, "M"), norms.limits("qrs", (11 + 30) / 2, "M")
    assert newborn.p50 == first_bin.p50 == 67
    assert newborn.extrapolated
    assert not newborn.unverified
    assert not norms.limits("qrs", 11, "M").extrapolated
    assert "Davignon" not in newborn.source


def test_the_blend_runs_over_days_7_to_20():
    assert "Rijnbeek" not in norms.limits("heart_rate", 6.9).source
    both = norms.limits("heart_rate", 12)
    assert "Davignon" in both.source
    assert "Rijnbeek" in both.source
    assert norms.limits("heart_rate", 20).source == "Rijnbeek 2001"


def test_adult_values_are_joined_from_14_and_reached_at_20_years():
    assert not norms.limits("pr", 13.9 * DAYS_PER_YEAR).unverified
    joining = norms.limits("pr", 17 * DAYS_PER_YEAR, "M")
    assert joining.unverified
    assert 139 < joining.p50 < 160
    grown = norms.limits("pr", 20 * DAYS_PER_YEAR, "M")
    assert (grown.p2, grown.p98) == (120, 200)
    assert norms.centiles("pr", 80 * DAYS_PER_YEAR, "M") == pytest.approx(norms.centiles("pr", 20 * DAYS_PER_YEAR, "M"))
    assert "Rijnbeek" not in grown.source


def test_heart_rate_rises_in_the_first_month_and_falls_afterwards():
    rising = norms.median("heart_rate", [1, 3, 7, 14, 25])
    assert (np.diff(rising) > 0).all()
    assert rising[0] == pytest.approx(123, abs=1)
    assert rising[-1] == pytest.approx(157, abs=3)
    falling = norms.median("heart_rate", DAYS_PER_YEAR * np.array([0.1, 0.5, 1, 3, 6, 10, 14, 20]))
    assert (np.diff(falling) < 0).all()


def test_the_rs_ratio_of_boys_is_not_monotone_in_the_first_year():
    ratio = norms.median("rs_ratio_v1", [20, 61, 274], "M")
    assert ratio[0] < ratio[1] > ratio[2]


@given(spread_parameters, ages, sexes)
def test_centiles_never_cross(parameter, age, sex):
    p2, p50, p98 = norms.centiles(parameter, age, sex)
    assert p2 < p50 < p98


@given(st.sampled_from(norms.parameters()), ages, sexes)
def test_age_is_continuous(parameter, age, sex):
    # A hundredth on log(1 + days) is 2 h in a newborn and 2 months at 16 years: nothing may move by a fifth there.
    near = np.expm1(np.log1p(age) + 0.01)
    here, there = norms.centiles(parameter, age, sex), norms.centiles(parameter, near, sex)
    width = np.ptp(here) if parameter in WITH_SPREAD else here[1]
    assert np.nanmax(np.abs(there - here)) < 0.05 * width


@given(spread_parameters, ages, sexes, st.floats(-1.5, 3))
def test_z_score_inverts_quantile(parameter, age, sex, z):
    value = norms.quantile(parameter, age, sex, z)
    if value > 0 or parameter == "qrs_axis":
        assert norms.z_score(parameter, age, sex, value) == pytest.approx(z, abs=1e-6)


@given(spread_parameters, ages, sexes)
def test_the_printed_centiles_are_z_of_two(parameter, age, sex):
    ends = norms.quantile(parameter, age, sex, [-norms.Z_98, 0, norms.Z_98])
    assert ends == pytest.approx(norms.centiles(parameter, age, sex), abs=1e-9)


@given(ages, st.floats(-8, 8))
def test_amplitudes_are_never_negative(age, z):
    assert norms.quantile("s_v6", age, None, z) >= 0


@given(st.sampled_from(norms.parameters()), ages)
def test_an_unknown_sex_is_the_mean_of_both(parameter, age):
    girl, boy, unknown = (norms.centiles(parameter, age, sex) for sex in ("F", "M", None))
    np.testing.assert_allclose(unknown, (girl + boy) / 2)


def test_records_are_independent_of_each_other():
    together = norms.quantile("r_v1", [1, 400, 9000], ["F", None, "M"], [0.3, -1, 2])
    alone = [norms.quantile("r_v1", age, sex, z) for age, sex, z in ((1, "F", 0.3), (400, None, -1), (9000, "M", 2))]
    np.testing.assert_allclose(together, alone)
    assert norms.centiles("r_v1", np.ones((2, 3))).shape == (2, 3, 3)
    assert norms.centiles("r_ii", 400.0, ["F", "M"]).shape == (2, 3)


def test_a_superior_axis_is_compared_across_the_cut():
    assert wrap_axis_deg([-100, 270, 190, -90]).tolist() == [260, -90, 190, -90]
    newborn = norms.z_score("qrs_axis", 1, None, [-160, 200])
    assert newborn[0] == pytest.approx(newborn[1])
    assert 2 < newborn[0] < 3


def test_lead_medians_have_no_spread():
    found = norms.limits("r_ii", (1827 + 2922) / 2)
    assert found.p50 == 1.24
    assert np.isnan(found.p98)
    assert found.method == "median only"
    assert found.population == "Dutch boys"
    with pytest.raises(DataError, match="median"):
        norms.quantile("r_ii", 400, None, 0)


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf")])
def test_an_impossible_age_is_refused(age):
    with pytest.raises(DataError, match="ages"):
        norms.limits("pr", age)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="heart_rate"):
        norms.limits("heartrate", 400)
    with pytest.raises(DataError, match="sex"):
        norms.centiles("pr", 400, "male")
