"""The simulator: physics that holds exactly, norms that are followed, diseases that do what their labels say."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.errors import ConfigError, UnknownNameError
from auricle.leads import STANDARD
from auricle.paediatrics import limits as norms
from auricle.simulate import codes, cohort, conditions
from auricle.simulate.acquisition import SWAPS
from auricle.simulate.conditions import STAGES, TERRITORIES, choose, groups
from auricle.simulate.streams import Streams

ROW = {name: row for row, name in enumerate(STANDARD)}
NEWBORN, INFANT, ADULT = 1.0, 250.0, 45 * DAYS_PER_YEAR
QUICK = {"rate_hz": 100.0, "seconds": 3.0, "quality": "clean"}
HEALTHY: dict[str, float] = {}


def measured(made, name):
    return np.array([values.get(name, np.nan) for values in made.measurements])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors gain nothing from a second thread, and lose a scheduler's slice per operation on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def at_age(age_days, n=300, diagnoses=HEALTHY, **options):
    prevalence = None if diagnoses is None else tuple(diagnoses.items())
    return _at_age(age_days, n, prevalence, tuple({**QUICK, **options}.items()))


@cache
def _at_age(age_days, n, prevalence, options):
    """Cohorts are never changed by a test, so equal ones are made once."""
    return cohort(
        n, 11, ages=[age_days] * n, diagnoses=None if prevalence is None else dict(prevalence), **dict(options)
    )


@pytest.mark.parametrize("quality", ["clean", "hard"])
def test_limb_leads_obey_einthoven_and_goldberger(quality):
    made = cohort(64, 3, **{**QUICK, "quality": quality})
    signal = made.signal[made.signal.isfinite().all(dim=2).all(dim=1)].double()
    one, two, three, avr, avl, avf = (signal[:, ROW[name]] for name in STANDARD[:6])
    for difference in (one + three - two, avr + (one + two) / 2, avl - (one - three) / 2, avf - (two + three) / 2):
        assert difference.abs().max() < 1e-5


def assert_same_records(some, all_, offset):
    rows = slice(offset, offset + len(some))
    torch.testing.assert_close(some.signal, all_.signal[rows], atol=2e-5, rtol=0)
    for name in ("record_id", "sex", "labels", "report", "labs"):
        assert getattr(some, name) == getattr(all_, name)[rows], name
    np.testing.assert_array_equal(some.age_days, all_.age_days[rows])
    for name in some.measurements[0]:
        np.testing.assert_allclose(measured(some, name), measured(all_, name)[rows], rtol=1e-4, atol=1e-4)


def test_a_record_does_not_depend_on_the_shard_it_is_made_in():
    everything = cohort(300, 5, **QUICK)
    assert_same_records(cohort(10, 5, start=5, **QUICK), everything, 5)
    assert_same_records(cohort(150, 5, start=120, **QUICK), everything, 120)


def test_seeds_and_records_differ():
    made = cohort(2, 1, **QUICK)
    assert not torch.allclose(made.signal[0], made.signal[1])
    assert not torch.allclose(made.signal[0], cohort(1, 2, **QUICK).signal[0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), start=st.integers(0, 2**40), rate_hz=st.sampled_from([100.0, 257.0, 1000.0]))
@example(seed=137864653, start=0, rate_hz=100.0)
def test_every_record_is_a_finite_ecg(seed, start, rate_hz):
    made = cohort(2, seed, start=start, rate_hz=rate_hz, seconds=2.0, quality="clean")
    assert made.signal.shape == (2, 12, round(2 * rate_hz))
    assert torch.isfinite(made.signal).all()
    assert made.signal.abs().max() < 20
    # Two seconds of a slow heart in Wenckebach's block may hold a P wave and no QRS.
    assert (made.signal.amax(dim=2) - made.signal.amin(dim=2)).amax(dim=1).min() > 0.05


def test_truth_does_not_depend_on_rate_or_duration_of_the_recording():
    slow, fast = cohort(8, 1, rate_hz=100, seconds=10), cohort(8, 1, rate_hz=500, seconds=10)
    assert slow.measurements == fast.measurements
    assert slow.report == fast.report
    # The same heart, sampled more finely; what differs is muscle noise.
    assert (slow.signal - fast.signal[:, :, ::5]).abs().median() < 0.05


@pytest.mark.parametrize("age_days", [NEWBORN, 25.0, 300.0, 6 * DAYS_PER_YEAR, ADULT])
@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("heart_rate", "heart_rate"),
        ("pr", "pr_ms"),
        ("qrs", "qrs_ms"),
        ("qtc_bazett", "qtc_ms"),
        ("qrs_axis", "qrs_axis_deg"),
        ("r_v1", "r_v1_mv"),
        ("s_v1", "s_v1_mv"),
        ("r_v6", "r_v6_mv"),
        ("s_v6", "s_v6_mv"),
    ],
)
def test_healthy_people_have_the_medians_and_the_spread_of_their_age(parameter, name, age_days):
    made = at_age(age_days)
    z = norms.z_score(parameter, age_days, made.sex, measured(made, name))
    assert abs(np.median(z)) < 0.3
    assert 0.8 < np.std(z) < 1.35


def test_rs_ratio_in_v1_turns_over_with_age():
    newborn, infant, child, adult = (
        np.median(measured(at_age(age), "rs_ratio_v1")) for age in (NEWBORN, INFANT, 10 * DAYS_PER_YEAR, ADULT)
    )
    assert newborn > 1.3
    assert infant > 1
    assert child < 0.7
    assert adult < 0.5


def test_t_in_v1_is_upright_at_birth_then_inverted_then_upright_again():
    upright = [
        (measured(at_age(years * DAYS_PER_YEAR), "t_v1_mv") > 0).mean()
        for years in (1 / DAYS_PER_YEAR, 1.0, 5.0, 12.5, ADULT / DAYS_PER_YEAR)
    ]
    assert upright[0] > 0.9
    assert upright[1] < 0.05
    assert upright[2] < 0.25
    assert 0.25 < upright[3] < 0.75  # an age that differs by child
    assert upright[4] > 0.7


def test_an_adult_trace_has_the_polarities_of_every_lead():
    made = at_age(ADULT, n=60, seconds=10.0)
    centred = made.signal - made.signal.median(dim=2, keepdim=True).values
    up, down = centred.amax(dim=2), -centred.amin(dim=2)
    share_up = (up > down).float().mean(dim=0)
    assert share_up[ROW["aVR"]] < 0.1
    assert share_up[ROW["V1"]] < 0.2
    for lead in ("II", "V5", "V6"):
        assert share_up[ROW[lead]] > 0.85
    median_r = up.median(dim=0).values
    assert median_r[ROW["V1"]] < median_r[ROW["V2"]] < median_r[ROW["V3"]] < median_r[ROW["V4"]]


def same_people(code, age_days=ADULT, n=100):
    """The same people without and with a disease: chance does not know what they have."""
    return at_age(age_days, n), at_age(age_days, n, {code: 1.0})


@pytest.mark.parametrize("age_days", [2.0, 3 * DAYS_PER_YEAR, ADULT])
@pytest.mark.parametrize(("code", "least", "most"), [("CRBBB", 1.2, 1.8), ("CLBBB", 1.25, 1.95)])
def test_block_widens_qrs_relative_to_the_age(code, least, most, age_days):
    healthy, ill = same_people(code, age_days)
    ratio = measured(ill, "qrs_ms") / measured(healthy, "qrs_ms")
    assert (ratio >= least - 1e-6).all()
    assert (ratio <= most + 1e-6).all()
    if age_days == 2.0:
        assert measured(ill, "qrs_ms").min() < 100  # a newborn's block is narrower than an adult's normal QRS


def test_block_has_its_form():
    healthy, right = same_people("CRBBB")
    _, left = same_people("CLBBB")
    # The initial r stays what it was; R' is new, and the larger of the two in most.
    assert (measured(right, "r_v1_mv") > measured(healthy, "r_v1_mv")).mean() > 0.6
    assert np.median(measured(right, "r_v1_mv")) > 2 * np.median(measured(healthy, "r_v1_mv"))
    assert np.median(measured(right, "t_v1_mv")) < np.median(measured(healthy, "t_v1_mv"))
    assert np.median(measured(left, "rs_ratio_v1")) < 0.2
    assert np.median(measured(left, "t_v1_mv")) > np.median(measured(healthy, "t_v1_mv"))
    assert np.median(measured(left, "s_v6_mv")) < 0.05


@pytest.mark.parametrize("age_days", [2.0, 3 * DAYS_PER_YEAR, ADULT])
def test_hypertrophy_departs_from_the_norm_of_the_age(age_days):
    healthy, right = same_people("RVH", age_days)
    _, left = same_people("LVH", age_days)

    def moved(made, parameter, name):
        z = norms.z_score(parameter, age_days, made.sex, measured(made, name))
        return np.median(z - norms.z_score(parameter, age_days, made.sex, measured(healthy, name)))

    assert moved(right, "r_v1", "r_v1_mv") > 1.1
    assert moved(right, "qrs_axis", "qrs_axis_deg") > 0.9
    assert moved(left, "r_v6", "r_v6_mv") > 1.1
    assert moved(left, "s_v1", "s_v1_mv") > 1.0


def test_a_healthy_newborn_looks_like_an_adult_with_rvh():
    newborn = np.median(measured(at_age(NEWBORN), "rs_ratio_v1"))
    ill_adult = np.median(measured(at_age(ADULT, diagnoses={"RVH": 1.0}), "rs_ratio_v1"))
    assert newborn > 0.8 * ill_adult > 2 * np.median(measured(at_age(ADULT), "rs_ratio_v1"))


@pytest.mark.parametrize("age_days", [2.0, 3 * DAYS_PER_YEAR, ADULT])
def test_av_block_prolongs_pr_beyond_the_age(age_days):
    ill = at_age(age_days, 60, {"1AVB": 1.0})
    assert (measured(ill, "pr_ms") > norms.centiles("pr", age_days, ill.sex)[:, 2]).all()
    assert (measured(ill, "pr_ms") < 0.7 * 60_000 / measured(ill, "heart_rate")).all()


def beats(code, n=40, age_days=ADULT, **options):
    """(truth, rate per minute) of people with one rhythm, over 20 s."""
    made = at_age(age_days, n, {code: 1.0} if code else {}, **{"rate_hz": 50.0, "seconds": 20.0, **options})
    return made, made.truth


def spread_of_rr(truth):
    rr = np.diff(truth.qrs_s)
    return rr.std() / rr.mean()


def test_fibrillation_is_irregular_and_has_no_p_wave():
    made, ill = beats("AFIB")
    _, healthy = beats("")
    assert np.median([spread_of_rr(t) for t in ill]) > 3 * np.median([spread_of_rr(t) for t in healthy])
    assert all(len(t.p_s) == 0 for t in ill)
    assert all("pr_ms" not in values for values in made.measurements)


def test_heart_rate_is_what_the_onsets_say():
    for code in ("", "AFIB", "SVTAC", "3AVB", "PVC"):
        made, truths = beats(code)
        for values, truth in zip(made.measurements, truths, strict=True):
            if len(truth.qrs_s) > 1:
                assert values["heart_rate"] == pytest.approx(60 / np.diff(truth.qrs_s).mean(), rel=1e-6)


def test_in_sinus_rhythm_every_qrs_follows_a_p_after_pr():
    made, truths = beats("")
    for values, truth in zip(made.measurements, truths, strict=True):
        for onset in truth.qrs_s[1:]:
            assert np.abs(truth.p_s + values["pr_ms"] / 1000 - onset).min() < 1e-6


def test_sinus_arrhythmia_breathes_and_tachycardia_is_fast_for_the_age():
    assert np.median([spread_of_rr(t) for t in beats("SARRH", age_days=3000)[1]]) > 2 * np.median(
        [spread_of_rr(t) for t in beats("", age_days=3000)[1]]
    )
    for code, sign in (("STACH", 1), ("SBRAD", -1)):
        made, _ = beats(code, age_days=INFANT)
        z = norms.z_score("heart_rate", INFANT, made.sex, measured(made, "heart_rate"))
        assert np.median(sign * z) > 1.7


def test_premature_atrial_beats_come_early_with_a_p():
    for truth in beats("PAC")[1]:
        rr = np.diff(truth.qrs_s)
        early = np.flatnonzero(rr < 0.85 * np.median(rr))
        assert len(early) >= 1
        assert not truth.qrs_ventricular.any()


def test_premature_ventricular_beats_are_early_wide_and_followed_by_a_pause():
    for truth in beats("PVC")[1]:
        places = np.flatnonzero(truth.qrs_ventricular)
        assert len(places) >= 1
        rr = np.diff(truth.qrs_s)
        for place in places[(places > 1) & (places < len(rr) - 1)]:
            assert rr[place - 1] < 0.9 * np.median(rr)
            assert rr[place] > rr[place - 1]


@pytest.mark.parametrize(("code", "every"), [("BIGU", 2), ("TRIGU", 3)])
def test_ventricular_beats_take_turns(code, every):
    for truth in beats(code)[1]:
        places = np.flatnonzero(truth.qrs_ventricular)
        assert (np.diff(places) == every).all()
        assert len(places) > 2


def test_second_degree_block_drops_beats():
    for code in ("2AVB1", "2AVB2"):
        for truth in beats(code)[1]:
            assert len(truth.p_s) > len(truth.qrs_s) + 1
    constant = []
    for code in ("2AVB1", "2AVB2"):
        delays = []
        for truth in beats(code)[1]:
            before = [truth.p_s[truth.p_s < onset][-1] for onset in truth.qrs_s if (truth.p_s < onset).any()]
            delays.append(np.std(truth.qrs_s[-len(before) :] - np.array(before)))
        constant.append(np.median(delays))
    assert constant[0] > 0.02  # Wenckebach: PR grows
    assert constant[1] < 1e-6  # Mobitz II: it does not


def test_complete_block_dissociates_and_flutter_conducts_in_a_ratio():
    for code in ("3AVB", "CCAVB"):
        made, truths = beats(code)
        assert np.median([len(t.p_s) / max(1, len(t.qrs_s)) for t in truths]) > 1.4
        assert np.median(measured(made, "heart_rate")) < 60
    ratios = [len(t.p_s) / len(t.qrs_s) for t in beats("AFLT")[1]]
    assert min(ratios) > 1.7
    assert max(ratios) < 4.7


@pytest.mark.parametrize(
    ("code", "low", "high"), [("SVTAC", 140, 230), ("VT", 110, 260), ("EAT", 90, 160), ("JET", 90, 160)]
)
def test_tachycardias_have_their_rates(code, low, high):
    rate = measured(beats(code)[0], "heart_rate")
    assert low < np.median(rate) < high
    assert rate.min() > 80
    infants = measured(beats(code, age_days=60.0)[0], "heart_rate")
    assert np.median(infants) > np.median(rate)


def test_ventricular_and_paced_rhythms_are_wide():
    healthy = measured(at_age(ADULT), "qrs_ms")
    for code in ("VT", "PACE"):
        assert np.median(measured(at_age(ADULT, 60, {code: 1.0}), "qrs_ms")) > 1.5 * np.median(healthy)


def test_preexcitation_shortens_pr_and_widens_qrs_by_the_same():
    healthy, ill = same_people("WPW")
    shorter = measured(healthy, "pr_ms") - measured(ill, "pr_ms")
    wider = measured(ill, "qrs_ms") - measured(healthy, "qrs_ms")
    np.testing.assert_allclose(shorter, wider, atol=1e-6)
    assert wider.min() > 15


@pytest.mark.parametrize(("code", "low", "high"), [("LAFB", -90, -35), ("LPFB", 85, 150), ("AVSD", -115, -40)])
@pytest.mark.parametrize("age_days", [NEWBORN, ADULT])
def test_fascicles_set_the_axis_at_any_age(code, low, high, age_days):
    axis = (measured(at_age(age_days, 80, {code: 1.0}), "qrs_axis_deg") + 180) % 360 - 180
    assert low - 15 < np.median(axis) < high + 15
    assert np.mean((axis > low - 25) & (axis < high + 25)) > 0.9


@pytest.mark.parametrize(
    ("code", "leads"), [("IMI", ("II", "aVF")), ("ASMI", ("V2", "V3")), ("LMI", ("V6",)), ("ALMI", ("V4", "V5"))]
)
def test_infarction_loses_r_in_its_territory(code, leads):
    healthy, ill = same_people(code, n=120)
    measured_leads = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    for lead in leads:
        if lead in measured_leads:
            row = measured_leads.index(lead)
            r = [np.median([t.amplitudes_mv[row, 1] for t in made.truth]) for made in (healthy, ill)]
            q = [np.median([t.amplitudes_mv[row, 0] for t in made.truth]) for made in (healthy, ill)]
            assert r[1] < 0.9 * r[0], lead
            assert q[1] < q[0] - 0.05, lead


def test_the_stage_of_an_infarction_shows_in_st():
    ill = at_age(ADULT, 200, {"ASMI": 1.0})
    stage = choose(Streams(11, np.arange(200)), {"ASMI": 1.0}).stage("ASMI")
    st = np.array([truth.amplitudes_mv[3, 3] for truth in ill.truth])
    acute, recent, old = (np.median(st[stage == number]) for number in range(len(STAGES)))
    assert acute > recent > old


def test_posterior_infarction_is_seen_as_its_mirror_image():
    healthy, ill = same_people("PMI", n=120)
    r = [np.median([t.amplitudes_mv[3, 1] for t in made.truth]) for made in (healthy, ill)]
    assert r[1] > 1.1 * r[0]


def test_metabolism_changes_t_and_qt():
    healthy = at_age(ADULT)
    t = {code: np.median([abs(x.amplitudes_mv[5, 4]) for x in at_age(ADULT, 100, {code: 1.0} if code else {}).truth])
         for code in ("", "HYPERK", "HYPOK")}  # fmt: skip
    assert t["HYPERK"] > 1.5 * t[""] > 1.5 * t["HYPOK"]
    for code, sign in (("LNGQT", 1), ("SQT", -1), ("HYPOCA", 1), ("HYPERCA", -1)):
        z = norms.z_score("qtc_bazett", ADULT, healthy.sex[:100], measured(at_age(ADULT, 100, {code: 1.0}), "qtc_ms"))
        assert np.median(sign * z) > 1.5, code


def test_dextrocardia_inverts_one_and_loses_r_towards_v6():
    healthy, ill = same_people("DEXTRO")
    for one, other in zip(healthy.truth, ill.truth, strict=True):
        assert other.amplitudes_mv[0, 1] == pytest.approx(-one.amplitudes_mv[0, [0, 2]].min(), abs=1e-5)
        assert other.amplitudes_mv[0, 4] == pytest.approx(-one.amplitudes_mv[0, 4], abs=1e-5)
    r = np.median([t.amplitudes_mv[:, 1] for t in ill.truth], axis=0)
    assert r[2] > r[5] > r[7]


def test_swapped_electrodes_are_the_linear_map_they_are():
    right = cohort(400, 5, **QUICK)
    hard = cohort(400, 5, **{**QUICK, "quality": "hard"})
    found: dict[str, list[float]] = {name: [] for name in SWAPS}
    for row, truth in enumerate(hard.truth):
        name = str(truth.acquisition.get("swapped", ""))
        if name and not {"pops", "limit_mv", "loose_lead"} & set(truth.acquisition):
            expected = np.array(SWAPS[name]) @ right.signal[row, :2].numpy()
            for lead in (0, 1):
                if expected[lead].any():
                    found[name].append(np.corrcoef(expected[lead], hard.signal[row, lead].numpy())[0, 1])
    for name, likeness in found.items():
        assert len(likeness) > 0, name
        assert np.median(likeness) > 0.7, name


def test_what_was_done_to_a_recording_is_known():
    made = cohort(500, 9, **{**QUICK, "quality": "hard"})
    facts = [truth.acquisition for truth in made.truth]
    assert {fact["cart_low_pass_hz"] for fact in facts} >= {40.0, 100.0, 150.0}
    limited = [row for row, fact in enumerate(facts) if "limit_mv" in fact]
    for row in limited:
        measured_leads = made.signal[row, [0, 1, 6, 7, 8, 9, 10, 11]]
        assert measured_leads.nan_to_num().abs().max() <= facts[row]["limit_mv"] + 0.005
    n_leads = {len(recording.leads) for recording in made.recordings()}
    assert n_leads == {6, 9, 12}
    assert all(fact["step_mv"] > 0 for fact in facts)
    assert not any("swapped" in truth.acquisition for truth in cohort(200, 9, **QUICK).truth)


def test_conditions_agree_with_themselves():
    known = conditions()
    assert len(known) > 55
    for code, condition in known.items():
        assert all(0 <= share < 0.3 for share in condition.share.values()), code
        for name in (*condition.implies, *condition.excludes):
            assert name in known or name in groups(), (code, name)
    chosen = choose(Streams(0, np.arange(4000)), "default")
    for code, condition in known.items():
        for name in condition.excludes:
            for hidden in groups().get(name, (name,)):
                assert not (chosen.present[code] & chosen.present[hidden]).any(), (code, hidden)
        for name in condition.implies:
            assert (~chosen.present[code] | chosen.present[name]).mean() > 0.995, (code, name)
        assert chosen.present[code].any(), code


def test_companions_come_where_they_are_wanted():
    streams = Streams(0, np.arange(3000))
    alone = choose(streams, {"LVH": 1.0})
    assert not alone.present["ISC_"].any()
    together = choose(streams, {"LVH": 1.0, "ISC_": 0.01})
    assert together.present["ISC_"].mean() == pytest.approx(0.35, abs=0.04)


def test_codes_are_mapped():
    assert codes(("NORM", "SR"), "snomed") == ("426783006",)
    assert codes(("2AVB", "2AVB1"), "aha") == ("83",)
    assert codes(("CRBBB",), "scp") == ("CRBBB",)
    made = cohort(200, 2, rate_hz=20.0, seconds=1.0)
    assert all(len(row) <= 2 * len(labels) for row, labels in zip(made.codes("snomed"), made.labels, strict=True))


@pytest.mark.parametrize(
    ("territory", "up", "down"), [("anterior", "V3", "III"), ("inferior", "III", "aVL"), ("lateral", "aVL", "III")]
)
def test_st_elevation_has_its_territory_and_its_mirror(territory, up, down):
    healthy, ill = same_people("STE_", n=120)
    place = choose(Streams(11, np.arange(120)), {"STE_": 1.0}).territory()
    rows = np.flatnonzero(place == TERRITORIES.index(territory))
    assert len(rows) > 20
    # Noise and rhythm are the same in both: the difference of the traces is the disease.
    change = (ill.signal - healthy.signal)[rows]
    assert (change[:, ROW[up]].mean(dim=1) > 0).float().mean() > 0.95
    assert (change[:, ROW[down]].mean(dim=1) < 0).float().mean() > 0.8


def test_severity_reaches_down_into_the_normal():
    ill, healthy = at_age(ADULT, diagnoses={"RVH": 1.0}), at_age(ADULT)
    assert measured(ill, "r_v1_mv").min() < np.quantile(measured(healthy, "r_v1_mv"), 0.98)


def test_the_core_mix_is_seven_conditions():
    made = cohort(2000, 4, diagnoses="core", rate_hz=20.0, seconds=1.0)
    assert 0.34 < np.mean([labels == ("NORM", "SR") for labels in made.labels]) < 0.42
    for code in ("CRBBB", "CLBBB", "RVH", "LVH", "AFIB", "1AVB", "STE_"):
        assert np.mean([code in labels for labels in made.labels]) == pytest.approx(0.125, abs=0.045)
    for labels in made.labels:
        assert not {"CRBBB", "CLBBB"} <= set(labels)
        assert not {"AFIB", "1AVB"} <= set(labels)


def test_normal_is_what_nothing_takes_away():
    made = cohort(2000, 4, rate_hz=20.0, seconds=1.0)
    innocent = {code for code, condition in conditions().items() if condition.normal}
    for labels, truth in zip(made.labels, made.truth, strict=True):
        assert ("NORM" in labels) == (set(truth.severity) <= innocent)
    assert 0.25 < np.mean(["NORM" in labels for labels in made.labels]) < 0.45


def test_disease_does_not_depend_on_age():
    assert at_age(2.0, 100, None).labels == at_age(ADULT, 100, None).labels


def test_the_healthy_share_is_kept_first():
    chosen = choose(Streams(0, np.arange(2000)), {"NORM": 0.5, "RVH": 1.0})
    assert chosen.present["RVH"].mean() == pytest.approx(0.5, abs=0.04)


def test_without_age_interaction_age_leaves_no_mark_on_the_trace():
    young, old = (at_age(age, 20, None, age_interaction=False) for age in (1.0, 70 * DAYS_PER_YEAR))
    torch.testing.assert_close(young.signal, old.signal, atol=0, rtol=0)
    assert young.measurements == old.measurements
    assert young.labels == old.labels
    assert young.age_days[0] != old.age_days[0]
    assert not torch.allclose(at_age(1.0, 20, None).signal, old.signal)


def test_age_presets():
    def ages(preset):
        return cohort(1500, 6, ages=preset, rate_hz=20.0, seconds=1.0).age_days / DAYS_PER_YEAR

    every, adults, children = ages("all"), ages("adults"), ages("children")
    assert every.min() < 1 / DAYS_PER_YEAR
    assert every.max() > 85
    assert (every < 28 / DAYS_PER_YEAR).mean() > 0.15
    assert 0.3 < (every >= 18).mean() < 0.5
    assert adults.min() >= 18
    assert adults.max() <= 90
    assert children.max() <= 18
    assert (children < 28 / DAYS_PER_YEAR).mean() > 0.15


def test_ages_may_be_a_quantile_function_or_one_per_record():
    assert cohort(4, ages=lambda chance: 100 + chance, **QUICK).age_days == pytest.approx(100.5, abs=0.5)
    assert cohort(3, ages=[1, 2, 3], **QUICK).age_days.tolist() == [1, 2, 3]


def test_laboratory_values_follow_age_and_disease_and_are_often_missing():
    def known(made, name):
        return np.array([values[name] for values in made.labs if name in values])

    newborn, adult, infarction = at_age(2.0), at_age(ADULT), at_age(ADULT, diagnoses={"STE_": 1.0})
    assert np.median(known(newborn, "nt_probnp_ng_l")) > 10 * np.median(known(adult, "nt_probnp_ng_l"))
    assert np.median(known(newborn, "troponin_ng_l")) > 3 * np.median(known(adult, "troponin_ng_l"))
    assert np.median(known(infarction, "troponin_ng_l")) > 3 * np.median(known(adult, "troponin_ng_l"))
    assert np.median(known(newborn, "haemoglobin_g_l")) > 160
    for name in ("troponin_ng_l", "nt_probnp_ng_l", "potassium_mmol_l", "haemoglobin_g_l", "white_cells_g_l"):
        assert 0.3 < len(known(adult, name)) / len(adult) < 0.95


def test_recordings_carry_everything():
    made = cohort(3, 7, start=5, rate_hz=250.0, seconds=2.0, quality="clean")
    recordings = list(made.recordings())
    assert [recording.record_id for recording in recordings] == ["sim7-0000005", "sim7-0000006", "sim7-0000007"]
    assert len({recording.patient_id for recording in recordings}) == 3
    for row, recording in enumerate(recordings):
        np.testing.assert_array_equal(recording.signal, made.signal[row].numpy())
        assert recording.signal.dtype == np.float32
        assert recording.leads == STANDARD
        assert recording.rate_hz == 250
        assert recording.seconds == 2
        assert recording.age is not None
        assert recording.age.days == made.age_days[row]
        assert recording.sex == made.sex[row]
        assert (recording.labels, recording.report) == (made.labels[row], made.report[row])
        assert recording.source == "simulated"
        assert all(np.isfinite(value) for value in (*recording.labs.values(), *recording.measurements.values()))


def test_an_empty_cohort_is_a_cohort():
    made = cohort(0)
    assert len(made) == 0
    assert list(made.recordings()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"diagnoses": {"RVH": 1.5}}, "RVH"),
        ({"diagnoses": {"CRBBB": 0.6, "CLBBB": 0.6}}, "exclude"),
        ({"ages": [1.0, 2.0]}, "ages"),
        ({"ages": [1.0, -2.0, 3.0]}, "ages"),
        ({"seconds": 0.0}, "not possible"),
        ({"start": -1}, "not possible"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_cohorts_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        cohort(3, **options)


@pytest.mark.parametrize(
    "options", [{"diagnoses": {"RBBB": 0.1}}, {"ages": "adult"}, {"diagnoses": "cor", "ages": "adults"}]
)
def test_unknown_names_are_refused_with_the_nearest(options):
    with pytest.raises(UnknownNameError, match=r"RBBB|adults|core"):
        cohort(3, **options)
