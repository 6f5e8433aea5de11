"""Own norms: known curves come back, too few normals give no curve, and a file keeps all of it."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from scipy.special import ndtr

from auricle.age import Age
from auricle.data.measured import read_measured
from auricle.data.normals import read_normals
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.leads import STANDARD
from auricle.paediatrics import limits, lms, quantile_splines
from auricle.paediatrics.findings import assess
from auricle.paediatrics.fit import Settings, fit_norms
from auricle.paediatrics.normal_records import NormalRecords, gather, parameter_of
from auricle.paediatrics.own_norms import OwnNorms
from auricle.pages.norms import compare, norms_page
from auricle.recording import Recording
from auricle.simulate.cohort import cohort
from fakes import write_wfdb
from measurements import measured
from running import auricle, refused

Z = np.array([-limits.Z_98, 0.0, limits.Z_98])
# Ages inside the range of the records, where their ends do not bend the curves.
ASKED = np.expm1(np.linspace(np.log1p(14), np.log1p(13 * 365), 40))
PARAMETERS = ("heart_rate", "qrs", "qrs_axis", "r_v1", "s_v1", "rs_ratio_v1")
QUICK = Settings(bootstrap=0, folds=3)


def children(n=2400, parameters=PARAMETERS, seed=0, sexes=("F", "M"), oldest=16 * 365.0):
    """People whose values follow the published limits exactly."""
    rng = np.random.default_rng(seed)
    days = np.expm1(rng.uniform(np.log1p(5), np.log1p(oldest), n))
    sex = rng.choice(np.array(sexes), n)
    known = np.array([one or None for one in sex.tolist()], dtype=object)
    values = {name: limits.quantile(name, days, known, rng.normal(size=n)) for name in parameters}
    return NormalRecords(days, sex, np.array([f"p{row}" for row in range(n)]), values)


def error(own, parameter, sex):
    """Of p2, p50 and p98: median distance over age from the truth, as a share of the normal range."""
    truth = limits.centiles(parameter, ASKED, sex)
    width = (truth[:, 2] - truth[:, 0])[:, None]
    mine = own.centiles(parameter, ASKED, sex)
    assert np.isfinite(mine).all(axis=1).mean() > 0.85
    return np.nanmedian(np.abs(mine - truth) / width, axis=0)


@pytest.fixture(scope="module")
def records():
    return children()


@pytest.fixture(scope="module")
def own(records):
    return fit_norms(records, Settings(bootstrap=8, folds=3, name="Test Hospital"))


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("sex", ["F", "M"])
def test_known_curves_come_back(own, parameter, sex):
    p2, p50, p98 = error(own, parameter, sex)
    assert p50 < 0.06
    assert max(p2, p98) < 0.12


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_z_of_the_fitted_is_standard_normal(own, records, parameter):
    z = own.z_score(parameter, records.age_days, records.sex, records.values[parameter])
    z = z[np.isfinite(z)]
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1, abs=0.07)
    assert np.mean(z > limits.Z_98) == pytest.approx(0.02, abs=0.012)


def test_quantile_splines_bring_them_back_too():
    own = fit_norms(children(1200, ("qrs", "s_v1", "qrs_axis")), Settings(method="quantile", bootstrap=0))
    for parameter in own.parameters():
        p2, p50, p98 = error(own, parameter, None)
        assert p50 < 0.08
        assert max(p2, p98) < 0.16
    levels = own.quantile("s_v1", ASKED[:, None], None, np.linspace(-3, 3, 25))
    assert (np.diff(levels, axis=1) >= 0).all()
    assert (levels >= 0).all()


@pytest.mark.parametrize("parameter", PARAMETERS)
@settings(max_examples=25, deadline=None)
@given(days=st.floats(10, 5000), z=st.floats(-2.5, 2.5), sex=st.sampled_from(["F", "M", None]))
def test_quantile_and_z_are_inverse(own, parameter, days, z, sex):
    value = float(own.quantile(parameter, days, sex, z))
    if parameter.startswith(("r_", "s_")) and value <= 0.03:
        return  # no wave: every z below means the same
    assert float(own.z_score(parameter, days, sex, value)) == pytest.approx(z, abs=1e-6)


def test_curves_have_no_steps_over_age(own):
    days = np.expm1(np.linspace(np.log1p(10), np.log1p(5000), 3000))
    for parameter in PARAMETERS:
        curves = own.centiles(parameter, days, "F")
        width = np.median(curves[:, 2] - curves[:, 0])
        assert np.abs(np.diff(curves, axis=0)).max() < 0.02 * width


def test_bands_hold_the_curve_and_narrow_with_more_people(own):
    few = fit_norms(children(400, ("qrs",)), Settings(bootstrap=8, folds=3, least=15))
    widths = []
    for norms in (few, own):
        fitted = norms.fitted("qrs")
        inside = norms.centiles("qrs", fitted.grid_days)
        low, high = fitted.bands[..., 0], fitted.bands[..., 1]
        assert np.mean((inside >= low) & (inside <= high)) > 0.8
        widths.append(np.median(high - low, axis=0))
    assert (widths[1] < widths[0]).all()


def test_where_there_are_too_few_there_is_no_curve():
    one = children(900, ("qrs",), oldest=60.0)
    other = children(900, ("qrs",), seed=1)
    late = other.age_days > 6 * 365
    both = NormalRecords(
        np.r_[one.age_days, other.age_days[late]],
        np.r_[one.sex, other.sex[late]],
        np.array([f"q{n}" for n in range(900 + late.sum())]),
        {"qrs": np.r_[one.values["qrs"], other.values["qrs"][late]]},
    )
    own = fit_norms(both, QUICK)
    assert np.isnan(own.centiles("qrs", [2.0, 365.0, 80 * 365.0])).all()
    assert np.isfinite(own.centiles("qrs", [20.0, 8 * 365.0])).all()
    row = assess(measured({"qrs": (70.0, 1.0)}), Age(365.0), "F", own).row("qrs")
    assert row.refused == "too_few"
    with pytest.raises(DataError, match="too few normals"):
        fit_norms(children(40, ("qrs",)), QUICK)


def test_one_patient_recorded_often_is_one_patient():
    many = children(300, ("qrs",))
    repeated = NormalRecords(many.age_days, many.sex, np.array([f"p{n % 20}" for n in range(300)]), many.values)
    with pytest.raises(DataError, match="20 patients"):
        fit_norms(repeated, QUICK)


def test_sex_is_optional_and_missing_values_are_left_out():
    some = children(2000, ("qrs", "pr"), sexes=("",))
    gaps = dict(some.values)
    gaps["pr"] = np.where(np.random.default_rng(0).random(2000) < 0.2, np.nan, gaps["pr"])
    own = fit_norms(NormalRecords(some.age_days, some.sex, some.patient, gaps), QUICK)
    assert set(own.curves) == {("qrs", "both"), ("pr", "both")}
    assert own.fitted("pr").n_records == np.isfinite(gaps["pr"]).sum()
    np.testing.assert_allclose(own.centiles("qrs", ASKED, "F"), own.centiles("qrs", ASKED))
    assert error(own, "pr", None).max() < 0.15


def test_gross_mistakes_do_not_move_the_curves(records):
    values = records.values["qrs"].copy()
    values[::300] = 400.0
    spoilt = NormalRecords(records.age_days, records.sex, records.patient, {"qrs": values})
    own = fit_norms(spoilt, QUICK)
    assert 8 <= own.fitted("qrs").n_outliers <= 10  # eight mistakes, and a rare value or two
    assert error(own, "qrs", None).max() < 0.08


def test_axes_are_circular(records):
    axis = records.values["qrs_axis"]
    turned = {"qrs_axis": np.where(np.arange(len(axis)) % 2, axis - 360, axis)}
    same = fit_norms(NormalRecords(records.age_days, records.sex, records.patient, turned), QUICK)
    straight = fit_norms(NormalRecords(records.age_days, records.sex, records.patient, {"qrs_axis": axis}), QUICK)
    np.testing.assert_allclose(same.centiles("qrs_axis", ASKED), straight.centiles("qrs_axis", ASKED), atol=1e-6)
    np.testing.assert_allclose(
        same.z_score("qrs_axis", ASKED, None, 135.0), same.z_score("qrs_axis", ASKED, None, 135.0 - 360)
    )


def test_a_file_keeps_everything(own, tmp_path):
    own.write(tmp_path / "own.json")
    again = OwnNorms.read(tmp_path / "own.json")
    for parameter in PARAMETERS:
        np.testing.assert_array_equal(again.centiles(parameter, ASKED, "M"), own.centiles(parameter, ASKED, "M"))
        np.testing.assert_array_equal(again.fitted(parameter).bands, own.fitted(parameter).bands)
    assert again.name == "Test Hospital"
    (tmp_path / "bad.json").write_text('{"format": "another"}')
    with pytest.raises(DataError, match="no file of norms"):
        OwnNorms.read(tmp_path / "bad.json")


def test_it_answers_like_the_published_limits(own):
    found = own.limits("qrs", 700.0, "F")
    assert found.unit == "ms"
    assert found.source == "Test Hospital"
    assert "patients, girls" in found.population
    assert (found.p2, found.p50, found.p98) == tuple(own.centiles("qrs", 700.0, "F"))
    sexes = np.array(["F", "M", None], dtype=object)
    mixed = own.centiles("qrs", [700.0] * 3, sexes)
    for row, sex in zip(mixed, sexes, strict=True):
        np.testing.assert_array_equal(row, own.centiles("qrs", 700.0, sex))
    for asked in (lambda: own.centiles("qrs", -1.0), lambda: own.centiles("qrs", 1.0, "X")):
        with pytest.raises(DataError):
            asked()
    with pytest.raises(UnknownNameError, match="qrs"):
        own.limits("qrz", 1.0)


def test_findings_read_own_curves(own):
    found = assess(measured(), Age(20.0), "M", own)
    assert found.row("qrs").limits.source == "Test Hospital"
    assert found.row("t_v1").refused == "no_limits"
    assert any("normal_for_age" in finding.kind for finding in found.findings)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_the_slopes_of_the_likelihood_are_its_derivatives(floor):
    rng = np.random.default_rng(3)
    basis, logs = lms.design(rng.uniform(0, 1, 30), 0, 1, 6), np.log(rng.uniform(0.05, 3, 30))
    logs[:3] = np.log(0.1)
    censored = logs <= np.log(0.1) + 1e-9 if floor else np.zeros(30, dtype=bool)
    weight, at = rng.uniform(0, 2, 30), rng.normal(0, 0.3, 18)

    def cost(point):
        parts = [part[:, None] for part in np.split(point, 3)]
        total, slopes = lms._likelihood(basis, logs[:, None], weight[:, None], censored, parts)
        return float(total[0]), [slope[:, 0] for slope in slopes]

    numeric = approx_fprime(at, lambda point: cost(point)[0], 1e-6)
    np.testing.assert_allclose(np.concatenate(cost(at)[1]), numeric, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("order", "freedom"), [(1, 1.5), (2, 3.0), (2, 8.0)])
def test_a_penalty_leaves_the_freedom_asked_for(order, freedom):
    basis = lms.design(np.linspace(0, 1, 500), 0, 1, 15)
    gram = basis.T @ basis + 1e-9 * np.eye(15)
    left = np.trace(np.linalg.solve(gram + lms.penalty(gram, order, freedom), gram))
    assert left == pytest.approx(freedom, rel=1e-3)


def test_a_wave_that_most_people_lack_is_not_rare_where_it_is_absent():
    draw = np.random.default_rng(0)
    ages = np.exp(draw.uniform(np.log(300), np.log(4000), 600))
    for share, expected in ((0.7, 50.0), (0.3, 25.0)):
        q = np.where(draw.random(600) < share, 0.0, 0.05 + 0.1 * draw.random(600))
        records = NormalRecords(ages, np.array([""] * 600), np.array([f"p{row}" for row in range(600)]), {"q_v6": q})
        own = fit_norms(records, replace(QUICK, method="quantile"))
        centile = 100 * ndtr(own.z_score("q_v6", [600.0, 1500.0, 3000.0], None, [0.0] * 3))
        np.testing.assert_allclose(centile, expected, atol=1.0)
        assert (own.z_score("q_v6", [1500.0], None, [0.14]) > 1).all()


def test_an_axis_beyond_the_cut_keeps_its_side():
    draw = np.random.default_rng(0)
    ages = np.exp(draw.uniform(np.log(300), np.log(4000), 600))
    values = {"t_axis": draw.normal(50, 20, 600)}
    own = fit_norms(
        NormalRecords(ages, np.array([""] * 600), np.array([f"p{row}" for row in range(600)]), values), QUICK
    )
    z = own.z_score("t_axis", [1500.0] * 4, None, [-80.0, -91.0, -100.0, 180.0])
    assert (z[:3] < -4).all()
    assert z[3] > 4


def test_a_quantile_has_its_share_of_records_below():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 1, 2000), rng.exponential(size=2000)
    basis = lms.design(x, 0, 1, 6)
    fitted = quantile_splines.fit_quantiles(basis, y * (1 + x), np.ones(2000))
    below = [(y * (1 + x) <= basis @ one).mean() for one in fitted]
    np.testing.assert_allclose(below, quantile_splines.LEVELS, atol=0.01)


def test_values_of_a_simulated_cohort_give_the_norms_it_was_made_from():
    people = cohort(800, seed=6, ages="children", diagnoses={}, rate_hz=100.0, seconds=1.0)
    made = gather(((person, person.measurements) for person in people.recordings()), "NORM")
    own = fit_norms(made, QUICK, ["heart_rate", "qrs", "qrs_axis", "r_v1"])
    for parameter in own.parameters():
        assert error(own, parameter, None)[1] < 0.12, parameter


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_a_csv_is_read_as_hospitals_write_it(tmp_path):
    path = write(
        tmp_path / "a.csv",
        ["age", "sex", "patient_id", "labels", "QRS_ms", "r_v1_mv", "hr", "#note"],
        [
            ["3d", "F", "p1", "NORM", "60", "1.2", "", "x"],
            ["5y4m", "男", "p1", "NORM;SR", "nan", "0.5", "90", ""],
            ["", "M", "p2", "NORM", "80", "0.5", "90", ""],
            ["7yr", "M", "p2", "RVH", "80", "0.5", "90", ""],
        ],
    )
    read = read_measured(path)
    assert len(read) == 2
    assert read.left_out == {"age unknown": 1, "not NORM": 1}
    assert read.sex.tolist() == ["F", "M"]
    assert read.patient.tolist() == ["p1", "p1"]
    assert set(read.values) == {"qrs", "r_v1", "heart_rate"}
    np.testing.assert_array_equal(read.values["qrs"], [60, np.nan])
    assert len(read_measured(path, None)) == 3
    assert parameter_of("T_V4R") == "t_v4r"
    assert parameter_of("weight") is None


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        (["age", "qsr"], ["3d", "60"], "did you mean 'qrs'"),
        (["sex", "qrs"], ["F", "60"], "no column with ages"),
        (["age", "age_days", "qrs"], ["3d", "3", "60"], "several columns"),
        (["age", "sex"], ["3d", "F"], "no column with measurements"),
        (["age", "qrs", "qrs_ms"], ["3d", "6", "6"], "two columns"),
        (["age", "qrs"], ["3d", "wide"], "a.csv:2: qrs should be a number"),
        (["age", "qrs"], ["John Smith", "60"], "a.csv:2: the age cannot be read"),
        (["age_days", "qrs"], ["-4", "60"], "a.csv:2: negative age: the dates or numbers are wrong"),
        (["age", "qrs"], ["3d"], "a.csv:2: has another number of cells"),
    ],
)
def test_a_wrong_csv_is_one_clear_line(tmp_path, header, row, words):
    with pytest.raises(DataError) as caught:
        read_measured(write(tmp_path / "a.csv", header, [row]))
    assert words in str(caught.value)
    assert "Smith" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"method": "magic"}, {"least": 2}, {"folds": 1}, {"bootstrap": -1}):
        with pytest.raises(ConfigError):
            Settings(**wrong)


def test_the_page_compares_with_the_published(own, records):
    rows = compare(own)
    assert {row.parameter for row in rows} == set(PARAMETERS)
    assert np.mean([row.differs for row in rows]) < 0.15
    shifted = NormalRecords(records.age_days, records.sex, records.patient, {"qrs": records.values["qrs"] + 15})
    longer = fit_norms(shifted, Settings(bootstrap=10, folds=3))
    assert np.mean([row.differs for row in compare(longer)]) > 0.9
    html = norms_page(longer, records, "auricle norms fit").to_html()
    assert "Normal limits of" in html
    assert html.count("data:image/svg+xml") == 1
    assert "esearch use" in html


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    some = children(700, ("qrs", "heart_rate"))
    rows = [
        [f"{days:.2f}", sex, patient, "NORM", f"{qrs:.1f}", f"{rate:.1f}"]
        for days, sex, patient, qrs, rate in zip(
            some.age_days, some.sex, some.patient, some.values["qrs"], some.values["heart_rate"], strict=True
        )
    ]
    header = ["age_days", "sex", "patient_id", "labels", "qrs", "heart_rate"]
    return write(tmp_path_factory.mktemp("norms") / "normals.csv", header, rows)


def test_norms_fit_and_measure_with_them(table, tmp_path):
    out, page = tmp_path / "own.json", tmp_path / "own.html"
    done = auricle("norms", "fit", table, out, "--page", page, "--bootstrap", "10", "--name", "Our Clinic")
    assert done.returncode == 0, done.stderr
    assert "Our Clinic: 700 normal records of 700 patients" in done.stdout
    assert "published" in done.stdout
    assert json.loads(out.read_text())["curves"][0]["n_patients"] == 700
    assert "Our Clinic" in page.read_text()
    (person,) = cohort(1, seed=2, ages=[900.0], diagnoses={}).recordings()
    np.savez(tmp_path / "child.npz", signal=person.signal, rate_hz=person.rate_hz, leads=list(person.leads))
    shown = auricle("measure", tmp_path / "child.npz", "--age", "900d", "--json", "--norms", out)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["values"]["heart_rate"]["limits"]["source"] == "Our Clinic"


def test_a_manifest_is_measured(tmp_path):
    people = cohort(20, seed=8, ages=np.full(20, 2000.0), diagnoses={}, seconds=5.0)
    rows = []
    for number, person in enumerate(people.recordings()):
        signal = person.signal[[STANDARD.index("II"), STANDARD.index("V1")]]
        np.savez(tmp_path / f"{number}.npz", signal=signal, rate_hz=person.rate_hz, leads=["II", "V1"])
        rows.append([f"{number}.npz", f"p{number}", f"{1800 + 40 * number}d", person.sex, "NORM"])
    manifest = write(tmp_path / "list.csv", ["file", "patient_id", "age", "sex", "labels"], rows)
    done = auricle(
        "norms",
        "fit",
        manifest,
        tmp_path / "own.json",
        "--least",
        "10",
        "--bootstrap",
        "0",
        "--parameter",
        "heart_rate",
    )
    assert done.returncode == 0, done.stderr
    own = OwnNorms.read(tmp_path / "own.json")
    measured_at = own.fitted("heart_rate")
    truth = [truth["heart_rate"] for truth in people.measurements]
    assert measured_at.n_patients == 20
    assert min(truth) < float(own.median("heart_rate", 2000.0)) < max(truth)
    assert float(own.median("heart_rate", 2000.0)) == pytest.approx(np.median(truth), rel=0.15)


def test_wrong_input_to_norms_fit_is_one_line(table, tmp_path):
    refused(auricle("norms", "fit", tmp_path / "none.csv", tmp_path / "a.json"), "none.csv", "no such file")
    refused(auricle("norms", "fit", table, tmp_path / "a.txt"), ".json")
    refused(auricle("norms", "fit", table, tmp_path / "a.json", "--method", "magic"), "lms or quantile")
    refused(auricle("norms", "fit", table, tmp_path / "a.json", "--label", "RVH"), "too few normals")
    refused(auricle("norms", "fit", table, tmp_path / "a.json", "--parameter", "pr"), "no records have pr")
    assert not (tmp_path / "a.json").exists()


def test_gathering_keeps_patients_and_labels():
    def person(number, age, label):
        signal = np.zeros((1, 100), dtype=np.float32)
        return Recording(signal, 100.0, ("II",), f"r{number}", patient_id=None, age=age, labels=(label,))

    rows = [(person(0, Age(3), "NORM"), {"qrs_ms": 60.0}), (person(1, None, "NORM"), {}), (person(2, Age(9), "X"), {})]
    made = gather(rows, "NORM")
    assert made.patient.tolist() == ["record:r0"]
    assert made.left_out == {"age unknown": 1, "not NORM": 1}


def test_no_curve_says_what_is_missing(tmp_path):
    rows = [f"{3000 + 4 * number},M,SICK,{80 + number % 9}" for number in range(150)]
    sick = tmp_path / "sick.csv"
    sick.write_text("\n".join(["age_days,sex,labels,qrs", *rows]))
    refused(auricle("norms", "fit", sick, tmp_path / "out.json"), "150 left out", "--label")
    narrow = tmp_path / "narrow.csv"
    narrow.write_text("\n".join(["age_days,sex,labels,qrs", *rows]).replace("SICK", "NORM"))
    refused(auricle("norms", "fit", narrow, tmp_path / "out.json", "--bootstrap", "0"), "3000 to 3596 days")


def of_values(ages_days, **values):
    n = len(ages_days)
    return NormalRecords(
        np.asarray(ages_days, dtype=float),
        np.array((["F", "M"] * n)[:n], dtype=np.str_),
        np.array([str(i) for i in range(n)], dtype=np.str_),
        {name: np.asarray(column, dtype=float) for name, column in values.items()},
    )


@pytest.mark.parametrize("method", ["lms", "quantile"])
@pytest.mark.parametrize("n", [0, 1, 3, 10, 30])
@pytest.mark.parametrize("kind", ["usual", "one_age", "all_the_same", "no_wave", "missing"])
def test_small_samples_end_in_a_sentence_or_in_curves_that_are_numbers(n, kind, method):
    rng = np.random.default_rng(n)
    ages = np.full(n, 365.0) if kind == "one_age" else np.expm1(rng.uniform(5.7, 6.5, n))
    values = {
        "usual": rng.normal(100, 12, n), "one_age": rng.normal(100, 12, n), "all_the_same": np.full(n, 100.0),
        "no_wave": np.zeros(n), "missing": np.full(n, np.nan),
    }[kind]  # fmt: skip
    name = "q_v1" if kind == "no_wave" else "heart_rate"
    settings = Settings(method=method, least=10, bootstrap=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind != "usual" or n < 30:
            with pytest.raises(DataError, match=r"too few|are the same"):
                fit_norms(of_values(ages, **{name: values}), settings)
            return
        own = fit_norms(of_values(ages, **{name: values}), settings)
    for fitted in own.curves.values():
        assert np.isfinite(fitted.curve.value(fitted.grid_days, np.array(0.0))).all()
        assert np.isfinite(fitted.bands).all()


def test_a_parameter_that_cannot_be_fitted_does_not_keep_the_others_from_it():
    rng = np.random.default_rng(0)
    ages = np.expm1(rng.uniform(5.7, 6.5, 60))
    few_waves = np.where(np.arange(60) < 4, 0.1, 0.0)
    own = fit_norms(
        of_values(ages, heart_rate=rng.normal(100, 12, 60), pr=np.full(60, 120.0), q_v1=few_waves),
        Settings(least=20, bootstrap=0),
    )
    assert own.parameters() == ("heart_rate",)
    assert "all 60 values are the same" in own.skipped["pr"]
    assert "only 4 of 60 values are above" in own.skipped["q_v1"]


@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_resamples_fitted_at_once_are_those_fitted_one_by_one(floor):
    rng = np.random.default_rng(1)
    x = rng.uniform(3, 8, 150)
    y = np.abs(rng.normal(1.2 - 0.05 * x, 0.3)) + 1e-3
    y = np.where(rng.uniform(size=150) < 0.1, 0.0, y) if floor else y
    basis, freedom = lms.design(x, x.min(), x.max()), lms.Freedom(5, 3, 1)
    start = lms.fit_lms(basis, y, floor, freedom)
    weights = np.stack([np.bincount(rng.integers(150, size=150), minlength=150) for _ in range(6)], axis=1).astype(
        float
    )
    found = lms.fit_resamples(basis, y, weights, floor, freedom, start)
    once = np.ones(150)
    frame = lms._frame(basis, once, lms._start(basis, lms._logs(y, floor), once)[2], freedom)
    for number in range(6):
        cost_and_slope = lms._objective(basis, y, weights[:, [number]], floor, frame, start)

        def one(free, cost_and_slope=cost_and_slope):
            cost, slope = cost_and_slope(free[:, None])
            return float(cost[0]), slope[:, 0]

        alone = minimize(one, np.zeros(72), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-12})
        median = lms._coefficients(alone.x[:, None], frame, start)[1][:, 0]
        moved = np.abs(basis @ (median - start[1])).max()
        assert np.abs(basis @ (median - found[1][:, number])).max() < 0.05 * moved
    same = lms.fit_resamples(basis, y, np.ones((150, 1)), floor, freedom, start)
    assert np.abs(basis @ (same[1][:, 0] - start[1])).max() < 0.01


def test_a_file_that_is_missing_is_counted_and_named(tmp_path):
    rows = ["file,patient_id,age,sex,labels"]
    for number, recording in enumerate(cohort(3, 0, ages="children", rate_hz=250.0).recordings()):
        write_wfdb(tmp_path / f"r{number}.hea", recording.signal, recording.leads, recording.rate_hz)
        rows.append(f"r{number}.hea,p{number},{recording.age.days:.0f}d,F,NORM")
    rows += ["absent.hea,p7,3d,F,NORM", "gone.hea,p8,4d,F,NORM", "r0.hea,p9,old,F,NORM"]
    (tmp_path / "normals.csv").write_text("\n".join(rows))
    records = read_normals(tmp_path / "normals.csv", "NORM")
    assert len(records) == 3
    ((why, count),) = records.left_out.items()
    assert count == 3
    assert "could not be read" in why
    assert "absent.hea" in why
    with pytest.raises(DataError, match=r"3 left out: could not be read, the first: .*absent\.hea"):
        fit_norms(records)
