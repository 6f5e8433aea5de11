"""The simulator: physics that holds exactly, norms that are followed, diseases that do what their labels say."""

import re
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.age import DAYS_PER_YEAR
from auricle.errors import ConfigError, UnknownNameError
from auricle.leads import STANDARD
from auricle.paediatrics import limits as norms
from auricle.simulate import CODES, cohort, rhythm
from auricle.simulate.pathology import choose
from auricle.simulate.streams import Streams, draw

ROW = {name: row for row, name in enumerate(STANDARD)}
NEWBORN, INFANT, ADULT = 1.0, 250.0, 45 * DAYS_PER_YEAR
QUICK = {"rate_hz": 100.0, "seconds": 3.0}
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


def test_limb_leads_obey_einthoven_and_goldberger():
    signal = cohort(16, 3, **QUICK).signal.double()
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
def test_every_record_is_a_finite_ecg(seed, start, rate_hz):
    made = cohort(2, seed, start=start, rate_hz=rate_hz, seconds=2.0)
    assert made.signal.shape == (2, 12, round(2 * rate_hz))
    assert torch.isfinite(made.signal).all()
    assert made.signal.abs().max() < 20
    assert (made.signal.amax(dim=2) - made.signal.amin(dim=2)).amax(dim=1).min() > 0.2


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
    assert abs(np.median(z)) < 0.25
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
    assert upright[4] > 0.85


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
@pytest.mark.parametrize(("code", "least", "most"), [("CRBBB", 1.2, 1.8), ("CLBBB", 1.3, 1.95)])
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
    assert (measured(right, "r_v1_mv") > measured(healthy, "r_v1_mv")).mean() > 0.7
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


def test_fibrillation_is_irregular_and_has_no_p_wave():
    numbers = np.arange(200)
    streams = Streams(0, numbers)
    ages, rate = np.full(200, ADULT), np.full(200, 80.0)

    def spread(fibrillating):
        placed = rhythm.beats(streams, draw(streams), ages, rate, np.full(200, fibrillating), 10.0)
        rr = np.diff(placed.onset_s, axis=1)[:, :13]
        assert (rr >= 0.25 - 1e-9).all()
        assert (placed.onset_s[:, 0] < 0).all()
        assert (placed.onset_s[:, -1] > 10).all()
        return rr.std(axis=1) / rr.mean(axis=1)

    assert np.median(spread(True)) > 3 * np.median(spread(False))
    assert all("pr_ms" not in values for values in at_age(ADULT, 20, {"AFIB": 1.0}).measurements)


def test_heart_rate_is_what_the_onsets_say():
    numbers = np.arange(50)
    streams = Streams(0, numbers)
    placed = rhythm.beats(
        streams, draw(streams), np.full(50, ADULT), np.linspace(45, 190, 50), np.zeros(50, dtype=bool), 10
    )
    for onsets, rate in zip(placed.onset_s, placed.rate_per_min, strict=True):
        inside = onsets[(onsets >= 0) & (onsets < 10)]
        assert rate == pytest.approx(60 / np.diff(inside).mean())


@pytest.mark.parametrize(
    ("territory", "up", "down"), [("anterior", "V3", "III"), ("inferior", "III", "aVL"), ("lateral", "aVL", "III")]
)
def test_st_elevation_has_its_territory_and_its_mirror(territory, up, down):
    healthy, ill = same_people("STE_", n=120)
    rows = [row for row, report in enumerate(ill.report) if territory in report.lower()]
    assert len(rows) > 20
    # Noise and rhythm are the same in both: the difference of the traces is the disease.
    change = (ill.signal - healthy.signal)[rows]
    assert (change[:, ROW[up]].mean(dim=1) > 0).float().mean() > 0.95
    assert (change[:, ROW[down]].mean(dim=1) < 0).float().mean() > 0.8


def test_severity_reaches_down_into_the_normal():
    ill, healthy = at_age(ADULT, diagnoses={"RVH": 1.0}), at_age(ADULT)
    assert measured(ill, "r_v1_mv").min() < np.quantile(measured(healthy, "r_v1_mv"), 0.98)


def test_default_prevalences():
    made = cohort(2000, 4, rate_hz=20.0, seconds=1.0)
    assert 0.34 < np.mean([labels == ("NORM",) for labels in made.labels]) < 0.42
    assert np.mean([len(labels) > 1 for labels in made.labels]) > 0.1
    for code in CODES[1:]:
        assert np.mean([code in labels for labels in made.labels]) == pytest.approx(0.125, abs=0.045)
    for labels in made.labels:
        assert not {"CRBBB", "CLBBB"} <= set(labels)
        assert not {"AFIB", "1AVB"} <= set(labels)
        assert "NORM" not in labels or labels == ("NORM",)


def test_disease_does_not_depend_on_age():
    assert at_age(2.0, 100, None).labels == at_age(ADULT, 100, None).labels


def test_the_healthy_share_is_kept_first():
    draws = draw(Streams(0, np.arange(2000)))
    chosen = choose(draws, {"NORM": 0.5, "RVH": 1.0})
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


def test_reports_are_few_without_numbers_and_say_what_is_there():
    made = cohort(2000, 8, rate_hz=20.0, seconds=1.0)
    assert 100 < len(set(made.report)) < 900
    said = {"AFIB": r"fibrillation|\bAF\b", "STE_": r"ST elevation|ST segment elevation|STE"}
    for report, labels in zip(made.report, made.labels, strict=True):
        numbers = re.sub(r"V1", "", report)
        assert not re.search(r"\d", numbers)
        for code, words in said.items():
            stated = re.search(words, re.sub(r"No [^.]*\.", "", report)) is not None
            assert stated == (code in labels), report
        if labels != ("NORM",):
            assert not re.search(r"Normal ECG|Normal for age|Within normal limits\.$|Nil abnormal", report)
    assert any("No ST elevation" in report for report in made.report)
    assert any("mild" in report.lower() for report in made.report)
    assert any("for age" in report for report in made.report)


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
    made = cohort(3, 7, start=5, rate_hz=250.0, seconds=2.0)
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


@pytest.mark.parametrize("options", [{"diagnoses": {"RBBB": 0.1}}, {"ages": "adult"}])
def test_unknown_names_are_refused_with_the_nearest(options):
    with pytest.raises(UnknownNameError, match=r"CRBBB|adults"):
        cohort(3, **options)
