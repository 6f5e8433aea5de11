"""What changed between two recordings: against the errors of both, at the age of each."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.age import Age
from auricle.measure.measurements import Measured
from auricle.paediatrics.changes import changes, findings_changed
from auricle.paediatrics.findings import assess
from measurements import NEWBORN, measured


def assessed(age=3.0, **values):
    return assess(measured(NEWBORN | values), None if age is None else Age(age), "F")


def change(before, now, name):
    return next(one for one in changes(before, now) if one.parameter == name)


def test_a_change_is_clear_beyond_the_error_of_both():
    before = assessed(qrs=(66.0, 3.0))
    assert change(before, assessed(qrs=(76.0, 4.0)), "qrs").is_clear  # 10 against 1.96 * 5 = 9.8
    assert not change(before, assessed(qrs=(75.0, 4.0)), "qrs").is_clear
    assert change(before, assessed(qrs=(75.0, 4.0)), "qrs").uncertainty == pytest.approx(5)


def test_a_value_without_an_error_is_never_a_clear_change():
    assert not change(assessed(qrs=(66.0, math.nan)), assessed(qrs=(166.0, 2.0)), "qrs").is_clear


@given(st.floats(-90, 269), st.floats(-90, 269))
def test_an_axis_turns_the_shorter_way(before, now):
    turned = change(assessed(qrs_axis=(before, 4.0)), assessed(qrs_axis=(now, 4.0)), "qrs_axis").difference
    assert -180 <= turned < 180
    assert math.remainder(before + turned - now, 360) == pytest.approx(0, abs=1e-6)


@given(st.floats(40, 150), st.floats(40, 150))
def test_there_and_back_is_the_same_change(first, second):
    one, other = assessed(qrs=(first, 2.0)), assessed(age=4000.0, qrs=(second, 3.0))
    there, back = change(one, other, "qrs"), change(other, one, "qrs")
    assert there.difference == -back.difference
    assert there.uncertainty == back.uncertainty
    assert there.is_clear == back.is_clear
    assert there.z_difference == pytest.approx(-back.z_difference)


def test_who_grows_as_health_does_has_not_moved():
    newborn, child = assessed(), assessed(age=3000.0)
    # At another age the same z is another value.
    same_z = child.row("qrs").limits.p50
    at_birth = newborn.row("qrs").limits.p50
    moved = change(assessed(qrs=(at_birth, 2.0)), assessed(age=3000.0, qrs=(same_z, 2.0)), "qrs")
    assert moved.z_difference == pytest.approx(0, abs=1e-6)
    assert moved.difference == pytest.approx(same_z - at_birth)
    assert moved.is_clear


def test_without_an_age_there_is_a_difference_and_no_move():
    one = change(assessed(age=None), assessed(qrs=(90.0, 2.0)), "qrs")
    assert one.difference == pytest.approx(24)
    assert math.isnan(one.z_difference)


def test_what_one_of_them_lacks_or_has_only_a_bound_of_is_left_out():
    few = {name: value for name, value in NEWBORN.items() if name != "pr"}
    before = assess(measured(few), Age(3), "F")
    bound = measured()
    bound.values["r_v1"] = Measured(1.0, math.nan, "mV", bound="above")
    names = {one.parameter for one in changes(before, assess(bound, Age(3), "F"))}
    assert "pr" not in names
    assert "r_v1" not in names
    assert "qrs" in names


def codes(found):
    return [one.code for one in found]


def test_findings_that_came_and_went():
    before, now = assessed(heart_rate=(220.0, 2.0)), assessed(qrs=(110.0, 2.0))
    differ = findings_changed(before, now)
    assert codes(differ.appeared) == ["qrs.high"]
    assert "heart_rate.high" in codes(differ.gone)
    assert differ.not_sought_before == differ.not_sought_now == ()
    assert differ.comparable
    same = findings_changed(now, now)
    assert same.appeared == same.gone == same.not_sought_before == same.not_sought_now == ()


def test_what_could_not_be_looked_for_is_not_gone():
    before = assessed(heart_rate=(220.0, 2.0), qrs=(110.0, 2.0))
    few = {name: value for name, value in NEWBORN.items() if name != "qrs"}
    differ = findings_changed(before, assess(measured(few), Age(3), "F"))
    assert codes(differ.not_sought_now) == ["qrs.high"]
    assert "heart_rate.high" in codes(differ.gone)
    back = findings_changed(assess(measured(few), Age(3), "F"), before)
    assert codes(back.not_sought_before) == ["qrs.high"]
    assert "heart_rate.high" in codes(back.appeared)


def test_without_an_age_nothing_came_or_went():
    abnormal = assessed(heart_rate=(220.0, 2.0), qrs=(110.0, 2.0))
    differ = findings_changed(abnormal, assessed(age=None))
    assert differ.gone == ()
    assert {"heart_rate.high", "qrs.high"} <= set(codes(differ.not_sought_now))
    assert not differ.comparable


def test_a_sign_without_centiles_comes_and_goes_as_any_other():
    inverted, upright = assessed(age=365.0, t_v1=(-0.2, 0.02)), assessed(age=730.0, t_v1=(0.3, 0.02))
    assert "flag.t_v1_upright" in codes(findings_changed(inverted, upright).appeared)
    assert "flag.t_v1_upright" in codes(findings_changed(upright, inverted).gone)


@pytest.mark.parametrize(("later", "where"), [(25.0, "gone"), (40.0, "not_sought_now")])
def test_a_rule_of_the_first_month_is_not_asked_of_the_second(later, where):
    tall = {"r_v1": (2.9, 0.05), "s_v1": (0.6, 0.05)}
    before, now = assessed(age=20.0, **tall), assessed(age=later, r_v1=(1.0, 0.05), s_v1=(0.6, 0.05))
    assert "flag.r_v1" in codes(before.findings)
    assert "flag.r_v1" in codes(getattr(findings_changed(before, now), where))
    back = findings_changed(now, before)
    assert "flag.r_v1" in codes(back.appeared if where == "gone" else back.not_sought_before)


def test_an_upright_t_of_the_first_week_says_nothing_later():
    first, second = assessed(age=3.0, t_v1=(0.3, 0.02)), assessed(age=20.0, t_v1=(0.3, 0.02))
    differ = findings_changed(first, second)
    assert "flag.t_v1_upright" in codes(differ.not_sought_before)
    assert "flag.t_v1_upright" not in codes(differ.appeared)
