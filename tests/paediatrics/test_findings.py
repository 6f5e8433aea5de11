"""Findings: what a value means at an age, how sure that is, and when nothing may be said."""

from __future__ import annotations

import json
import string
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.age import Age, parse
from auricle.errors import UnknownNameError
from auricle.measure.measurements import Measured, Remark
from auricle.paediatrics import limits, rules, wording
from auricle.paediatrics.findings import assess, main_rows
from auricle.paediatrics.report import to_dict
from auricle.signal.acceptance import Acceptance, Reason
from measurements import NEWBORN, measured

WITH_CENTILES = [name for name in limits.parameters() if np.isfinite(limits.limits(name, 1000.0).p98)]


def codes(assessment):
    return {finding.code for finding in assessment.findings}


def one(parameter, value, error=0.0, age="3d", sex="M", **more):
    return assess(measured({parameter: (value, error)}, **more), parse(age), sex)


def test_the_same_axis_is_right_for_an_adult_and_normal_in_a_newborn():
    newborn, adult = (assess(measured(), parse(age), "M") for age in ("3d", "30yr"))
    (finding,) = (found for found in newborn.findings if found.rests_on == ("qrs_axis",))
    assert finding.adult_differs
    assert finding.kind == "normal_for_age"
    said = wording.sentence(finding, newborn.age, "en")
    assert "135°" in said
    assert "right for an adult, normal at 3 d" in said
    assert "qrs_axis.high" in codes(adult)
    assert not any(found.kind in {"outside", "flag"} for found in newborn.findings)


def test_a_rate_normal_for_adults_is_slow_for_a_newborn_and_says_so():
    slow = one("heart_rate", 75.0, 1.0)
    (finding,) = slow.findings
    assert (finding.code, finding.kind, finding.adult_differs) == ("heart_rate.low", "outside", True)
    assert "an adult's reading would call it normal" in wording.sentence(finding, slow.age, "en")


@pytest.mark.parametrize(
    ("parameter", "value", "age", "code"),
    [
        ("pr", 190.0, "2yr", "pr.high"),
        ("pr", 70.0, "10yr", "pr.low"),
        ("qrs", 105.0, "2yr", "qrs.high"),
        ("qtc_bazett", 500.0, "10yr", "qtc_bazett.high"),
        ("qtc_bazett", 310.0, "10yr", "qtc_bazett.low"),
        ("heart_rate", 230.0, "1mo", "heart_rate.high"),
        ("qrs_axis", -60.0, "5yr", "qrs_axis.low"),
    ],
)
def test_named_findings(parameter, value, age, code):
    assert code in codes(one(parameter, value, 1.0, age))


def test_without_an_age_there_are_values_and_nothing_else():
    unknown = assess(measured(), None, "M")
    assert all(row.refused == "age_unknown" and row.centile is None and row.interval is None for row in unknown.rows)
    assert unknown.findings == ()
    assert all(row.measured.measurable for row in unknown.rows)


@pytest.mark.parametrize(
    ("parameter", "remark", "age", "reason"),
    [
        ("r_v1", Remark("band_too_narrow", (), {"low_pass_hz": 40.0}), "3mo", "band_too_narrow"),
        ("qrs", Remark("band_too_narrow"), "3mo", "band_too_narrow"),
        ("qrs_axis", Remark("arms_swapped"), "3mo", "electrodes"),
        ("qrs_axis", Remark("dextrocardia"), "3mo", "electrodes"),
        ("r_v6", Remark("dextrocardia"), "3mo", "electrodes"),
        ("r_v6", Remark("poor_contact", ("V6",)), "3mo", "bad_lead"),
        ("pr", Remark("paced"), "3mo", "paced"),
    ],
)
def test_a_centile_that_would_only_look_exact_is_refused(parameter, remark, age, reason):
    row = assess(measured(remarks=[remark]), parse(age), "F").row(parameter)
    assert row.refused == reason
    assert row.centile is None
    assert wording.refusal_text(row, "en")
    assert assess(measured(), parse(age), "F").row(parameter).centile is not None


def test_a_narrow_band_only_warns_in_older_children():
    row = assess(measured(remarks=[Remark("band_too_narrow")]), parse("9yr"), "F").row("r_v1")
    assert row.centile is not None
    assert "band_too_narrow" in row.warnings


def test_qrs_at_100_hz_has_no_centile_and_others_are_warned():
    coarse = assess(measured(recorded_hz=100.0), parse("5yr"), "F")
    assert coarse.row("qrs").refused == "rate_too_low"
    assert "coarse_sampling" in coarse.row("pr").warnings
    assert not any("qrs" in found.rests_on for found in coarse.findings)
    assert "100 Hz" in wording.refusal_text(coarse.row("qrs"), "en", 100.0)


def test_an_axis_of_few_samples_is_no_finding():
    superior = replace(measured()).values | {"qrs_axis": Measured(214.0, 5.0, "deg")}
    for recorded_hz, is_found in ((500.0, True), (62.0, True), (30.0, False)):
        found = assess(replace(measured(recorded_hz=recorded_hz), values=superior), parse("2.6yr"), "M")
        assert any("qrs_axis" in one.rests_on for one in found.findings) == is_found
        assert (found.row("qrs_axis").refused == "rate_too_low") != is_found


def test_what_has_no_limits_says_why():
    newborn = assess(measured(), parse("3d"), "M")
    assert newborn.row("qtc_fridericia").refused == "fridericia"
    assert newborn.row("r_ii").refused == "median_only"
    assert newborn.row("t_v1").refused == "no_limits"
    lost = replace(measured(), values={"pr": Measured(np.nan, np.nan, "ms", "no P wave found")})
    row = assess(lost, parse("3d"), "M").row("pr")
    assert wording.refusal_text(row, "en") == "not measurable: no P wave found"


def test_a_value_less_certain_than_the_normal_range_has_no_centile():
    assert one("qrs", 80.0, 60.0).row("qrs").refused == "too_uncertain"
    assert not one("qrs", 262.0, 217.0).findings


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(WITH_CENTILES), st.floats(0, 7000), st.floats(-2, 2), st.floats(0, 0.3),
    st.sampled_from(["F", "M", None]),
)  # fmt: skip
def test_a_centile_lies_in_its_interval_which_grows_with_error_and_coarser_ages(parameter, days, z, error, sex):
    value = float(limits.quantile(parameter, days, sex, z))
    if parameter == "qrs_axis" and not -80 < value < 170:
        return
    spread = float(np.diff(limits.centiles(parameter, days, sex)[[0, 2]])[0]) * error / 4

    def asked(age, reach):
        return assess(measured({parameter: (value, reach)}), age, sex).row(parameter)

    exact, unsure, coarse = asked(Age(days, 0.0), 0.0), asked(Age(days, 0.0), spread), asked(Age(days, 40.0), spread)
    assert value == 0 or exact.z == pytest.approx(z, abs=1e-6)
    for row in (exact, unsure, coarse):
        if row.refused:
            assert row.refused == "too_uncertain"
            continue
        assert row.interval[0] <= row.centile + 1e-9
        assert row.centile <= row.interval[1] + 1e-9
    assert unsure.z_interval[0] <= exact.z_interval[0] + 1e-9
    assert unsure.z_interval[1] >= exact.z_interval[1] - 1e-9
    assert coarse.z_interval[0] <= unsure.z_interval[0] + 1e-9
    assert coarse.z_interval[1] >= unsure.z_interval[1] - 1e-9


def test_a_whole_year_of_age_is_less_than_a_day_of_it():
    day, year = (one("heart_rate", 150.0, 0.0, age).row("heart_rate") for age in ("400d", "1yr"))
    assert day.z_interval[1] - day.z_interval[0] < 0.05 < year.z_interval[1] - year.z_interval[0]


def test_a_value_whose_interval_crosses_the_limit_says_so():
    limit = limits.limits("qrs", 1000.0, "M").p98
    inside = one("qrs", limit - 1, 2.0, "1000d")
    outside = one("qrs", limit + 1, 2.0, "1000d")
    sure = one("qrs", limit + 20, 2.0, "1000d")
    assert [found.code for found in inside.findings] == ["qrs.borderline_high"]
    assert "crosses the limit" in wording.sentence(outside.findings[0], outside.age, "en")
    assert "crosses the limit" not in wording.sentence(sure.findings[0], sure.age, "en")


def test_a_superior_axis_is_called_by_its_name_and_has_no_centile():
    child = one("qrs_axis", 250.0, 3.0, "5yr")
    assert child.row("qrs_axis").refused == "superior_axis"
    assert "qrs_axis.superior" in codes(child)
    assert "northwest" in wording.sentence(child.findings[0], child.age, "en")
    assert one("qrs_axis", -110.0, 3.0, "5yr").row("qrs_axis").refused == "superior_axis"
    # A newborn's norms reach beyond 180.
    assert one("qrs_axis", 188.0, 1.0, "1d").row("qrs_axis").centile is not None
    assert "qrs_axis.superior" not in codes(one("qrs_axis", 188.0, 1.0, "1d"))
    assert "qrs_axis.superior" in codes(assess(measured({"qrs_axis": (250.0, 3.0)})))
    paced = measured({"qrs_axis": (250.0, 3.0)}, [Remark("paced", ())])
    assert "qrs_axis.superior" not in codes(assess(paced, parse("5yr"))), "it is where the pacemaker put it"


def test_an_axis_whose_error_reaches_from_left_to_right_is_not_called_superior():
    unsure = one("qrs_axis", 192.3, 150.0, "5yr")
    assert unsure.row("qrs_axis").refused == "too_uncertain"
    assert "qrs_axis.superior" not in codes(unsure)


def test_a_superior_axis_is_outside_only_where_the_norm_of_the_age_says_so():
    kinds = {
        finding.kind: one_of.row("qrs_axis").refused
        for degrees in range(180, 270, 3)
        for uncertainty in (0.5, 5.0, 20.0, 60.0)
        for age in ("1d", "14d", "5yr")
        for one_of in [one("qrs_axis", float(degrees), uncertainty, age)]
        for finding in one_of.findings
        if finding.code == "qrs_axis.superior" and one_of.row("qrs_axis").refused != "superior_axis"
    }
    assert set(kinds) <= {"note"}


@pytest.mark.parametrize(
    ("values", "age", "code"),
    [
        ({"r_v1": (1.2, 0.02), "s_v1": (0.0, 0.0)}, "3d", "flag.pure_r_v1"),
        ({"r_v1": (2.7, 0.02), "s_v1": (0.5, 0.0)}, "3d", "flag.r_v1"),
        ({"qrs_axis": (200.0, 1.0)}, "3d", "flag.axis_beyond_195"),
        ({"t_v1": (0.2, 0.01)}, "12d", "flag.t_v1_upright"),
        ({"t_v1": (0.2, 0.01)}, "3yr", "flag.t_v1_upright"),
        ({"r_v6": (1.8, 0.02)}, "3d", "flag.r_v6"),
        ({"r_v6": (2.6, 0.02)}, "20d", "flag.r_v6"),
        ({"s_v1": (2.1, 0.02)}, "3d", "flag.s_v1"),
    ],
)
def test_flags_of_hypertrophy_in_the_first_month(values, age, code):
    assert code in codes(assess(measured(values), parse(age), "M"))
    lower = {name: (min(value, 0.9), error) for name, (value, error) in values.items()} | {}
    if "t_v1" not in values:
        assert code not in codes(assess(measured(lower), parse(age), "M"))
        assert code not in codes(assess(measured(values), parse("10yr"), "M"))


def test_flags_know_their_week_and_their_uncertainty():
    assert "flag.r_v6" not in codes(one("r_v6", 1.8, 0.0, "20d"))
    assert "flag.t_v1_upright" not in codes(one("t_v1", 0.2, 0.01, "3d"))
    near = one("s_v1", 2.02, 0.05, "3d")
    flag = next(found for found in near.findings if found.code == "flag.s_v1")
    assert "crosses the limit" in wording.sentence(flag, near.age, "en")


@pytest.mark.parametrize("sex", ["F", "M", None])
def test_t_in_v1_is_a_probability_over_age_and_no_rule(sex):
    days = np.expm1(np.linspace(0, np.log1p(15000), 400))
    shares = np.array([rules.t_v1_inverted_share(float(day), sex) for day in days])
    assert ((shares > 0) & (shares < 1)).all()
    assert shares[0] < 0.3
    assert shares[np.searchsorted(days, 1000)] > 0.9
    assert 0.2 < shares[-1] < 0.8
    assert np.abs(np.diff(shares)).max() < 0.1


def test_t_in_v1_within_its_error_has_no_sign():
    assert codes(one("t_v1", 0.02, 0.02, "3yr")) == {"t_v1.flat"}


def test_bazett_at_a_fast_rate_points_to_fridericia():
    fast = assess(
        measured({"heart_rate": (170.0, 1.0), "qtc_bazett": (480.0, 2.0), "qtc_fridericia": (400.0, 2.0)}),
        parse("3mo"),
        "F",
    )
    (note,) = (found for found in fast.findings if found.code == "qtc_bazett.fast_rate")
    assert "400 ms" in wording.sentence(note, fast.age, "en")


def test_the_median_is_the_50th_centile_and_tails_are_clipped():
    for parameter in WITH_CENTILES:
        value = float(limits.median(parameter, 1000.0, "M"))
        assert one(parameter, value, 0.0, "1000d").row(parameter).centile == pytest.approx(50)
    assert wording.centile_text(0.02) == "<1"
    assert wording.centile_text(99.7) == ">99"
    assert wording.interval_text(one("heart_rate", 60.0, 0.0).row("heart_rate")) == "<1"


def test_flags_come_first_and_notes_last():
    kinds = [
        found.kind
        for found in assess(measured(NEWBORN | {"s_v1": (2.5, 0.01), "pr": (300.0, 1.0)}), Age(3), "M").findings
    ]
    order = ["flag", "outside", "borderline", "normal_for_age", "note"]
    assert [order.index(kind) for kind in kinds] == sorted(order.index(kind) for kind in kinds)


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_words_and_placeholders():
    english = wording.words("en")

    def same(one, other, path):
        assert set(one) == set(other), path
        for key, value in one.items():
            if isinstance(value, dict):
                same(value, other[key], f"{path}.{key}")
            else:
                assert placeholders(value) == placeholders(other[key]), f"{path}.{key}"

    for language in wording.languages():
        same(english, wording.words(language), language)
    assert set(wording.languages()) >= {"en", "zh"}
    with pytest.raises(UnknownNameError, match="language"):
        wording.words("english")


EVERYTHING = [
    ({**NEWBORN, "qrs_axis": (250.0, 2.0), "s_v1": (2.5, 0.3), "r_v6": (2.0, 0.01)}, "3d"),
    ({**NEWBORN, "t_v1": (-0.2, 0.01), "qtc_bazett": (520.0, 5.0)}, "3yr"),
    ({"unheard_of": (1.0, 0.1), "p_v4r": (0.1, 0.01), "qrs_axis": (250.0, 1.0)}, ""),
]


@pytest.mark.parametrize("language", ["en", "zh", "de"])
@pytest.mark.parametrize(("values", "age"), EVERYTHING)
def test_everything_can_be_said_in_every_language(values, age, language):
    remarks = [Remark(code, ("V1", "V6"), {"share": 0.3}) for code in wording.words("en")["remarks"]] + [
        Remark("new_one")
    ]
    for chosen in ([], remarks):
        found = assess(measured(values, remarks=chosen), parse(age), "F")
        said = [wording.sentence(finding, found.age, language) for finding in found.findings]
        said += [wording.remark_text(remark, language) for remark in found.remarks]
        said += [text for row in found.rows for text in wording.notes(row, language, 500.0)]
        assert all(text and "{" not in text and "None" not in text for text in said)


def test_plain_data_are_json_with_every_sentence_and_source():
    given = replace(
        measured(remarks=[Remark("few_leads", ("V2",), {"leads": 4.0})]),
        values={**measured().values, "p_axis": Measured(np.nan, np.nan, "deg", "no P wave found")},
        marks_ms={"qrs_onset": -30.0, "t_offset": np.nan},
    )
    plain = json.loads(json.dumps(to_dict(assess(given, parse("3d"), "M"), given), allow_nan=False))
    axis = plain["values"]["qrs_axis"]
    assert axis["limits"]["source"] == "Davignon 1979 (unverified)"
    assert axis["limits"]["unverified"]
    assert axis["centile_interval"][0] <= axis["centile"] <= axis["centile_interval"][1]
    assert plain["values"]["p_axis"]["value"] is None
    assert plain["values"]["p_axis"]["not_measurable"] == "no P wave found"
    assert all(set(finding["sentence"]) == set(wording.languages()) for finding in plain["findings"])
    assert "esearch" in plain["disclaimer"]


def test_leads_that_were_not_recorded_are_not_listed():
    values = dict(measured().values) | {"r_v6": Measured(np.nan, np.nan, "mV", "lead V6 was not recorded")}
    given = replace(measured(leads=("I", "II", "V1")), values=values)
    shown = {row.parameter for row in main_rows(assess(given, parse("3d"), "M"), given)}
    assert "r_v6" not in shown
    assert {"r_v1", "t_v1", "qrs"} <= shown
    assert "r_ii" not in shown


def test_too_little_compared_is_not_called_normal():
    empty = replace(measured(), values={})
    assert assess(empty, parse("3d"), "M").summary == "not_compared"
    assert assess(measured(), parse("3d"), "M").summary == "within"


def test_what_a_refusal_says_of_a_value_holds_for_its_flag_too():
    for code in ("paced", "dextrocardia", "band_too_narrow"):
        given = measured({"r_v1": (1.6, 0.01), "s_v1": (0.0, 0.01), "t_v1": (0.3, 0.01)}, remarks=[Remark(code)])
        said = assess(given, parse("12d"), "M").findings
        flags = {"flag.pure_r_v1"} if code == "band_too_narrow" else {"flag.pure_r_v1", "flag.t_v1_upright"}
        assert not {finding.code for finding in said} & flags, code


def test_few_leads_have_no_centile_of_qrs():
    row = assess(replace(measured(), remarks=(Remark("few_leads"),)), parse("3d"), "M").row("qrs")
    assert row is not None
    assert row.refused == "few_leads"


def ratio_of(value, bound, error=0.5, age="3d"):
    values = {**measured().values, "rs_ratio_v1": Measured(value, error, "1", bound=bound)}
    given = replace(measured(), values=values)
    return assess(given, parse(age), "M"), given


def test_a_ratio_known_from_one_side_is_compared_on_that_side():
    sure, given = ratio_of(26.83, "above")
    row = sure.row("rs_ratio_v1")
    assert (row.position, row.adult, row.refused) == ("high", "high", "")
    assert row.z_interval[1] == np.inf
    assert row.interval[1] == 100
    (finding,) = (found for found in sure.findings if "rs_ratio_v1" in found.rests_on)
    assert wording.sentence(finding, sure.age, "en").startswith("R/S in V1 above 26: high for 3 d (centile >99;")
    assert wording.sentence(finding, sure.age, "de").startswith("R/S in V1 über 26:")
    assert "高于 26" in wording.sentence(finding, sure.age, "zh")
    assert wording.result_text(row, "en") == "> 26"
    plain = json.loads(json.dumps(to_dict(sure, given), allow_nan=False))["values"]["rs_ratio_v1"]
    assert (plain["bound"], plain["value"], plain["centile_interval"][1]) == ("above", 26.83, 100)


def test_a_bound_inside_the_limits_decides_nothing():
    open_row = ratio_of(3.5, "above", 0.2)[0].row("rs_ratio_v1")
    assert (open_row.position, open_row.crossing) == (None, "high")
    assert wording.interval_text(open_row).startswith(">9")
    codes_of = {found.code for found in ratio_of(3.5, "above", 0.2)[0].findings}
    assert "rs_ratio_v1.borderline_high" in codes_of
    assert ratio_of(3.5, "above", 0.2)[0].summary == "within_as_measured"
    # So low a bound says nothing at all.
    assert ratio_of(0.05, "above", 0.01)[0].row("rs_ratio_v1").refused == "too_uncertain"
    low = ratio_of(0.012, "below", 0.001, "5yr")[0]
    assert low.row("rs_ratio_v1").position == "low"
    assert "below 0.012: low" in wording.sentence(
        next(f for f in low.findings if f.code == "rs_ratio_v1.low"), low.age, "en"
    )


def test_bounds_are_rounded_to_the_side_on_which_they_hold():
    assert [wording.bound_number(value, "above") for value in (26.99, 9.48, 0.0538, 312.0)] == [
        "26", "9.4", "0.053", "310",
    ]  # fmt: skip
    assert [wording.bound_number(value, "below") for value in (26.01, 0.0531)] == ["27", "0.054"]


def test_a_low_amplitude_is_said_and_is_not_within_the_limits():
    values = NEWBORN | {"r_v6": (0.02, 0.001)}
    found = assess(measured(values), parse("5yr"), "M")
    assert wording.interval_text(found.row("r_v6")).startswith("<1")
    (finding,) = (one for one in found.findings if one.code == "r_v6.low")
    assert finding.kind == "note"
    assert "a small wave is common in health" in wording.sentence(finding, found.age, "en")
    assert found.summary == "outside"


def test_a_value_at_a_limit_is_inside_of_it():
    p98 = limits.limits("s_v6", 3.0, "M").p98
    for value in (0.0, p98):
        assert one("s_v6", value).row("s_v6").position == "normal"


def test_a_refused_value_outside_of_its_limits_leaves_the_whole_open():
    wide = measured(NEWBORN | {"qrs": (180.0, 2.0)}, remarks=[Remark("few_leads")])
    found = assess(wide, parse("3d"), "M")
    assert found.row("qrs").refused == "few_leads"
    assert found.summary == "not_compared"


@pytest.mark.parametrize(
    ("code", "parameter", "word"),
    [("irregular", "qtc_bazett", "irregular rhythm"), ("pause", "heart_rate", "a pause"),
     ("rate_doubtful", "qtc_bazett", "rate in doubt"), ("rate_doubtful", "pr", "rate in doubt")],
)  # fmt: skip
def test_a_finding_on_a_doubtful_value_says_the_doubt(code, parameter, word):
    value = float(limits.quantile(parameter, 3.0, "M", 4.0))
    given = measured(NEWBORN | {parameter: (value, 1.0)}, remarks=[Remark(code)])
    found = assess(given, parse("3d"), "M")
    (finding,) = (one for one in found.findings if one.code == f"{parameter}.high")
    assert f"to be doubted: {word}" in wording.sentence(finding, found.age, "en")
    sure = assess(measured(NEWBORN | {parameter: (value, 1.0)}), parse("3d"), "M")
    assert not any("doubted" in wording.sentence(one, sure.age, "en") for one in sure.findings)


def test_a_rate_in_doubt_is_not_called_normal():
    assert assess(measured(remarks=[Remark("rate_doubtful")]), parse("3d"), "M").summary == "not_compared"


def test_a_value_of_a_lead_whose_trace_is_poor_is_marked():
    quality = Acceptance(False, True, (Reason("moving", ("V1",)),))
    found = assess(replace(measured(), quality=quality), parse("3d"), "M")
    assert found.row("r_v1").warnings[-1] == "poor_trace"
    assert "poor_trace" not in found.row("r_v6").warnings


def test_right_sided_leads_are_listed_and_notes_are_in_the_report():
    given = measured({"heart_rate": (130.0, 1.0), "r_v4r": (0.5, 0.02), "s_v4r": (0.3, 0.02), "t_v4r": (0.1, 0.02)},
                     leads=("I", "V1", "V4R"))  # fmt: skip
    found = assess(given, parse("3d"), "M")
    assert [row.parameter for row in main_rows(found, given)] == ["heart_rate", "r_v4r", "s_v4r"]
    assert wording.parameter_name("r_v4r", "en") == "R in V4R"
    assert to_dict(found, given, ("channel PLETH is left out",))["notes"] == ["channel PLETH is left out"]


def test_a_child_born_early_is_compared_at_its_corrected_age():
    early = assess(measured(), Age(100.0), "M", gestation_days=30 * 7)
    assert (early.age, early.age_basis, early.compared_age) == (Age(100.0), "corrected", Age(30.0))
    at_30_days = assess(measured(), Age(30.0), "M")
    assert str(early.rows) == str(at_30_days.rows)  # a NaN is not itself
    assert early.findings == at_30_days.findings
    assert early.row("heart_rate").centile != assess(measured(), Age(100.0), "M").row("heart_rate").centile
    said = wording.age_basis_text(early, "en")
    assert "corrected age of 4.3 wk" in said
    assert "30+0" in said
    plain = to_dict(early, measured())
    assert (plain["age_days"], plain["age_basis"], plain["compared_age_days"]) == (100.0, "corrected", 30.0)


@pytest.mark.parametrize(("age", "weeks"), [(100.0, 37), (100.0, None), (800.0, 30)])
def test_all_others_are_compared_at_their_age_since_birth(age, weeks):
    found = assess(measured(), Age(age), "M", gestation_days=None if weeks is None else 7.0 * weeks)
    assert found.age_basis == "postnatal"
    assert str(found.rows) == str(assess(measured(), Age(age), "M").rows)
    assert bool(wording.age_basis_text(found, "en")) == (weeks is not None)


@pytest.mark.parametrize("language", wording.languages())
def test_before_term_there_is_no_centile(language):
    found = assess(measured(), Age(20.0), "M", gestation_days=30 * 7)
    assert found.compared_age is None
    assert all(row.refused in {"before_term", "not_measurable"} and row.centile is None for row in found.rows)
    assert wording.refusal_text(found.row("heart_rate"), language)
    assert "30+0" in wording.age_basis_text(found, language)
    assert not any(finding.kind in {"flag", "outside"} for finding in found.findings)
    assert to_dict(found, measured())["compared_age_days"] is None
