"""Laboratory values from a manifest to a batch, their code, and what they do to a method and to a prediction."""

from __future__ import annotations

import json
import math
import unicodedata
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from auricle.age import DAYS_PER_YEAR, Age
from auricle.cli import app
from auricle.config import validate
from auricle.data.ingest import ingest
from auricle.data.loader import View, windows
from auricle.data.manifest import read_manifest
from auricle.data.panel import DEFAULT_TESTS, LabPanel
from auricle.data.store import Store
from auricle.doctor import examine
from auricle.errors import ConfigError, DataError, UnknownNameError
from auricle.labs import given_labs, in_canonical_unit, lab_test, list_labs, parse_lab, parse_value, source
from auricle.methods import Progress, create_method, init_encoder_from, load_method, save_method
from auricle.nn.lab_code import LabCode
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.signal.preprocess import InputSpec
from auricle.simulate import cohort
from auricle.simulate import labs as simulated_labs
from auricle.simulate.conditions import choose
from auricle.simulate.labs import PANEL, risen
from auricle.simulate.rhythm import over_age
from auricle.simulate.streams import Streams
from auricle.train.config import RunConfig
from auricle.train.setup import build, finetune_values
from conftest import make_batch

SPEC = InputSpec(rate_hz=100, seconds=2.0, band_hz=(0.5, 45))
TINY = {"rate_hz": 100, "seconds": 2.0, "band_hz": (0.5, 45)}
ADULT = 40 * DAYS_PER_YEAR


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("store")
    options = {"n": 64, "rate_hz": 100.0, "seconds": 3.0}
    ingest("simulated", Path(), out, options=options, rate_hz=100, shard_records=32, workers=1)
    return Store(out)


def without_labs(store: Store, out: Path) -> Store:
    """The same records as an older store, or one of a hospital that sent none."""
    import pyarrow as pa

    (out / "shards").symlink_to(store.path / "shards")
    (out / "reports.parquet").symlink_to(store.path / "reports.parquet")
    kept = [name for name in store.table.column_names if not name.startswith("lab") or name == "labels"]
    table = store.table.select([name for name in kept if name != "image_offset"])
    with pa.OSFile(str(out / "records.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    old = {name: value for name, value in store.info.items() if name not in {"image_size", "n_pictures"}}
    (out / "store.json").write_text(json.dumps(old))
    return Store(out)


# ---- names, units, ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("troponin", "troponin_ng_l"), ("hs-cTnT", "troponin_ng_l"), ("hsTnI", "troponin_ng_l"),
        ("NT-proBNP", "nt_probnp_ng_l"), ("nt probnp", "nt_probnp_ng_l"),
        ("BNP", "bnp_ng_l"), ("K", "potassium_mmol_l"),
        ("K+", "potassium_mmol_l"), ("Hb", "haemoglobin_g_l"), ("HGB", "haemoglobin_g_l"), ("WBC", "white_cells_g_l"),
        ("CRP", "crp_mg_l"), ("D-Dimer", "d_dimer_ug_l"), ("CK-MB", "ck_mb_ug_l"), ("CK", "creatine_kinase_u_l"),
        ("肌钙蛋白", "troponin_ng_l"), ("TROPONIN_NG_L", "troponin_ng_l"),
    ],
)  # fmt: skip
def test_names_as_hospitals_write_them(written: str, name: str) -> None:
    assert lab_test(written).name == name


def test_every_alias_names_one_test_and_every_canonical_unit_is_one() -> None:
    assert len(list_labs()) >= 18
    assert set(PANEL) <= set(list_labs())
    assert "textbook" in source()
    for name in list_labs():
        test = lab_test(name)
        assert test.conversions[test.unit] == 1
        assert {lab_test(alias).name for alias in test.aliases} == {name}
        assert test.plausible[0] > 0 or not test.log


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        # from the molar mass: mg/dL are 10 mg/L
        ("potassium", "mg/dL", 10 / 39.0983), ("sodium", "mg/dL", 10 / 22.9898), ("calcium", "mg/dL", 10 / 40.078),
        ("magnesium", "mg/dL", 10 / 24.305), ("glucose", "mg/dL", 10 / 180.156), ("lactate", "mg/dL", 10 / 90.078),
        ("creatinine", "mg/dL", 1e4 / 113.118), ("bilirubin", "mg/dL", 1e4 / 584.66),
        ("Hb", "mmol/L", 16.114), ("Hb", "g/dL", 10), ("BNP", "pmol/L", 3.464), ("NT-proBNP", "pmol/L", 8.457),
        ("calcium", "mEq/L", 0.5), ("magnesium", "meq/l", 0.5), ("K", "mEq/L", 1),
        ("troponin", "µg/L", 1000), ("troponin", "ng/mL", 1000), ("troponin", "pg/ml", 1), ("CRP", "mg/dL", 10),
        ("WBC", "x10^9/L", 1), ("WBC", "10*3/uL", 1), ("WBC", "10⁹/L", 1), ("WBC", "K/µL", 1), ("WBC", "/μL", 0.001),
        ("D-dimer", "mg/L FEU", 1000), ("D-dimer", "ng/mL DDU", 2), ("ALT", "µkat/L", 60), ("TSH", "µIU/mL", 1),
    ],
)  # fmt: skip
def test_conversions(name: str, unit: str, factor: float) -> None:
    test = lab_test(name)
    value = float(np.sqrt(np.prod(test.plausible)))
    assert in_canonical_unit(name, value / factor, unit) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("troponine", 5.0, None), "did you mean 'troponin'"),
        (("Hb", 13.5, None), r"haemoglobin_g_l is not possible in g/L .*may be in g/dL"),
        (("calcium", 9.5, None), "not possible in mmol/L"),
        (("creatinine", 0.9, "umol/L"), r"may be in .*mg/dL"),
        (("troponin", 0.014, None), r"may be in .*ug/L"),
        (("K", 4.0, "mg"), "unknown unit; known: mmol/L"),
        (("K", float("nan"), None), "not possible"),
        (("K", -1.0, None), "not possible"),
        (("K", 0.0, None), "not possible"),
    ],
)
def test_what_is_refused_is_one_line_without_the_value(call: tuple[str, float, str | None], message: str) -> None:
    with pytest.raises((DataError, UnknownNameError), match=message) as caught:
        in_canonical_unit(*call)
    assert "\n" not in str(caught.value)
    assert f"{call[1]:g} " not in str(caught.value).replace("1 to 15", "")


def test_zero_is_below_what_a_skewed_test_sees() -> None:
    assert in_canonical_unit("troponin", 0.0) == 0
    code = LabCode(LabPanel(tests=("troponin",))).eval()
    male = torch.zeros(1)
    assert torch.isfinite(code(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), torch.tensor([9.0]), male)).all()


@given(st.sampled_from(list_labs()), st.floats(0, 130 * DAYS_PER_YEAR), st.sampled_from(["F", "M", None]))
def test_reference_ranges_are_ranges_and_continuous(name: str, age: float, sex: str | None) -> None:
    test = lab_test(name)
    low, high = test.reference(age, sex)  # type: ignore[arg-type]
    assert 0 <= low < high <= test.plausible[1]
    again = test.reference(age + 0.01, sex)  # type: ignore[arg-type]
    assert np.abs(np.subtract(again, (low, high))).max() < 0.06 * (high - low)
    if sex is None:
        assert low == min(test.reference(age, one)[0] for one in ("F", "M"))


def test_a_newborns_troponin_is_an_adults_infarction() -> None:
    test = lab_test("troponin")
    assert test.reference(2)[1] > 100
    assert test.reference(ADULT)[1] == pytest.approx(14)
    assert lab_test("Hb").reference(ADULT, "M")[0] > lab_test("Hb").reference(ADULT, "F")[0]
    with pytest.raises(DataError, match="needs an age"):
        test.reference(float("nan"))


def test_simulated_healthy_medians_lie_in_the_reference_range_at_every_age() -> None:
    ages = np.expm1(np.linspace(0, np.log1p(90 * DAYS_PER_YEAR), 400))
    for name, test in PANEL.items():
        medians = np.exp(over_age(ages, test.years, tuple(np.log(test.medians))))
        for sex in ("F", "M"):
            factor = over_age(ages, (12.0, 17.0), (1.0, 1.09)) if (name, sex) == ("haemoglobin_g_l", "M") else 1.0
            limits = np.array([lab_test(name).reference(age, sex) for age in ages.tolist()])  # type: ignore[arg-type]
            assert (medians * factor > limits[:, 0]).all(), (name, sex)
            assert (medians * factor < limits[:, 1]).all(), (name, sex)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("troponin=35 ng/L", ("troponin_ng_l", 35.0, None)),
        ("Hb = 13.1 g/dL", ("haemoglobin_g_l", 131.0, None)),
        ("K=4.1", ("potassium_mmol_l", 4.1, None)),
        ("hs-cTnT=0.04 ng/mL @ -30", ("troponin_ng_l", 40.0, -30.0)),
        ("WBC=7.1 x10^9/L@15 min", ("white_cells_g_l", 7.1, 15.0)),
        ("K=4,1", ("potassium_mmol_l", 4.1, None)),
        ("troponin=<5 ng/L", ("troponin_ng_l", 5.0, None)),
    ],
)
def test_values_as_one_types_them(text: str, expected: tuple[str, float, float | None]) -> None:
    value = parse_lab(text)
    assert (value.name, value.minutes) == (expected[0], expected[2])
    assert value.value == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("text", "number", "bound"),
    [
        ("CRP<5", 5.0, "below"), ("CRP = <5 mg/L", 5.0, "below"), ("CRP <= 0,5", 0.5, "below"), ("CRP≤5", 5.0, "below"),
        ("CRP > 300 mg/L @ -10", 300.0, "above"), ("CRP=≥300", 300.0, "above"), ("CRP=5,25", 5.25, None),
    ],
)  # fmt: skip
def test_limits_of_a_method_and_decimal_commas_as_one_types_them(text: str, number: float, bound: str | None) -> None:
    value = parse_lab(text)
    assert (value.value, value.bound) == (number, bound)


@given(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 4)),
    st.sampled_from(["", "<", ">", "≤ ", "> "]),
)
def test_a_result_means_the_same_with_a_point_and_with_a_comma(number: float, sign: str) -> None:
    written = f"{number:.4f}"
    bound = {"": None, "<": "below", "≤": "below", ">": "above"}[sign.strip()]
    assert parse_value(sign + written) == (number, bound)
    assert parse_value(sign + written.replace(".", ",")) == (number, bound)


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(["", "-"]))
def test_a_comma_that_may_part_thousands_is_never_guessed(front: int, back: int, sign: str) -> None:
    with pytest.raises(DataError, match="thousands or decimals"):
        parse_value(f"{sign}{front},{back:03}")


@given(st.text(max_size=8))
def test_what_a_cell_may_hold_is_a_number_or_refused(cell: str) -> None:
    with suppress(DataError):
        number, _ = parse_value(cell)
        assert math.isfinite(number)
        plain = unicodedata.normalize("NFKC", cell).replace("\u2212", "-")
        assert set(plain.strip()) <= set("0123456789.,+-eE<>≤≥≦≧= \t"), (
            "what Python takes for a number beside: 1_0, inf"
        )


@pytest.mark.parametrize("cell", ["1_0", "inf", "nan", "0x10", "1,2,3", "1.2.3", "<", "<<5", "5>", "hemolyzed"])
def test_what_is_no_result_is_no_number(cell: str) -> None:
    with pytest.raises(DataError):
        parse_value(cell)


@pytest.mark.parametrize(
    "text", ["troponin", "troponin=", "=4", "<4", "K=4.1.2", "K=four", "", "K=4 mmol/L @ noon", "K=1,234", "K==4"]
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is no laboratory value"):
        parse_lab(text)


# ---- manifest --------------------------------------------------------------------------------------------


def manifest(folder: Path, text: str) -> Path:
    path = folder / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_gives_canonical_values_and_times(tmp_path: Path) -> None:
    text = "file,lab:hs-cTnT [ng/mL],lab_minutes:troponin,lab:K,lab:Hb [g/dL],lab_minutes:Hb\na,0.04,-30,4.1,,5\n"
    (row,) = read_manifest(manifest(tmp_path, text))
    assert row.labs == {"troponin_ng_l": pytest.approx(40), "potassium_mmol_l": 4.1}
    assert row.lab_minutes == {"troponin_ng_l": -30}, "the time of a value that is not there says nothing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,lab:troponine\na,3\n", r"m.csv:1: unknown laboratory test .*did you mean 'troponin'"),
        ("file,lab:K [stones]\na,3\n", r"m.csv:1: .*unknown unit"),
        ("file,lab:K,lab:potassium [mEq/L]\na,3,3\n", r"m.csv:1: columns .* are both potassium_mmol_l"),
        ("file,lab_minutes:K\na,3\n", r"m.csv:1: .*has no column `lab:potassium_mmol_l`"),
        ("file,lab:K,lab_minutes:K [h]\na,3,3\n", "counts minutes"),
    ],
)
def test_a_manifests_wrong_columns_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manifest(manifest(tmp_path, text))


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("13.57,0", "lab:Hb: haemoglobin_g_l is not possible in g/L"),
        ("120,soon", "lab_minutes:Hb should be a number"),
        ("high,", "lab:Hb should be a number"),
        ('"1,234",', "lab:Hb may mean thousands or decimals"),
        ("1_0,", "lab:Hb should be a number"),
    ],
)
def test_a_wrong_value_rejects_its_row_and_is_never_repeated(tmp_path: Path, cells: str, problem: str) -> None:
    good, bad = read_manifest(manifest(tmp_path, f"file,lab:Hb,lab_minutes:Hb\na,120,0\nb,{cells}\n"))
    assert not good.problem
    assert bad.problem.startswith(problem)
    assert not {"13.57", "soon", "high", "1,234"} & set(bad.problem.split())


def test_a_remark_in_place_of_a_number_is_a_missing_value_and_a_note(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,lab:K,lab:Hb\na,Hemolyzed!,120\nb,溶血,\nc,n/a,\n")
    one, two, three = read_manifest(path)
    assert (one.labs, one.problem, two.labs) == ({"haemoglobin_g_l": 120.0}, "", {})
    assert "remark of the laboratory" in one.notes[0]
    assert "emoly" not in one.notes[0]
    assert three.notes == ()
    (finding,) = (each for each in examine(path, read_files=False).warnings if each.code == "lab_remark")
    assert finding.lines == ((2,), (3,))


def test_laboratories_write_commas_and_limits(tmp_path: Path) -> None:
    text = "file;lab:troponin [ng/L];lab:K\na;<5;4,1\nb;>1000;≥ 6,5\nc;35;\n"
    low, high, plain = read_manifest(manifest(tmp_path, text))
    assert low.labs == {"troponin_ng_l": 5, "potassium_mmol_l": 4.1}
    assert low.lab_bounds == {"troponin_ng_l": "below"}
    assert high.labs == {"troponin_ng_l": 1000, "potassium_mmol_l": 6.5}
    assert high.lab_bounds == {"troponin_ng_l": "above", "potassium_mmol_l": "above"}
    assert not plain.lab_bounds


def test_the_doctor_collects_what_is_wrong_with_laboratory_columns(tmp_path: Path) -> None:
    header = "file,lab:Hb,lab_minutes:Hb,lab:xyzzy,lab:K [stones],lab:hgb [g/dL]"
    text = f"{header}\na,13.5,0,1,2,3\nb,x,0,1,2,3\nc,130,z,1,2,3\n"
    report = examine(manifest(tmp_path, text), read_files=False)
    messages = [finding.message for finding in report.errors if finding.code == "header"]
    assert len(messages) == 3
    assert any("xyzzy" in message for message in messages)
    assert any("both haemoglobin_g_l" in message for message in messages)
    lines = sorted(line for finding in report.errors if finding.code == "lab" for (line,) in finding.lines)
    assert lines == [2, 3, 4]
    assert report.n_records == 0, "ingest rejects them"


# ---- store and panel -------------------------------------------------------------------------------------


def test_a_store_gives_values_and_times_back(store: Store) -> None:
    expected = list(cohort(64, 0, rate_hz=100, seconds=3).recordings())
    for row in (0, 17, 63):
        recording = store.recording(row)
        assert recording.labs == pytest.approx(dict(expected[row].labs))
        assert recording.lab_minutes == dict(expected[row].lab_minutes)
        assert recording.image is None
    assert store.image_size is None


def test_a_panel_reads_stores_and_recordings_alike(store: Store) -> None:
    rows = np.array([5, 3, 40])
    for panel in (
        LabPanel(),
        LabPanel(tests=("Hb", "lactate"), latest_min=0),
        LabPanel(earliest_min=10, latest_min=1e9, needs_time=True),
    ):
        values, mask = panel.of_store(store, rows)
        again, other = panel.of_recordings([store.recording(row) for row in rows.tolist()])
        assert np.array_equal(mask, other)
        np.testing.assert_allclose(values, again, rtol=1e-6)
        assert not values[~mask].any()
        assert values.shape == (3, len(panel.tests))


def test_the_window_of_time_decides_what_is_seen() -> None:
    labs = {"troponin_ng_l": 40.0, "potassium_mmol_l": 4.0, "haemoglobin_g_l": 130.0}
    minutes = {"troponin_ng_l": 30.0, "potassium_mmol_l": -60.0}
    recording = Recording(np.zeros((1, 9), dtype=np.float32), 100, ("II",), "r", labs=labs, lab_minutes=minutes)
    tests = ("troponin", "K", "Hb", "CRP")

    def seen(**window: object) -> list[bool]:
        return LabPanel(tests=tests, **window).of_recordings([recording])[1][0].tolist()  # type: ignore[arg-type]

    assert seen() == [False, True, True, False], "by default nothing from after the ECG"
    assert seen(latest_min=1e9) == [True, True, True, False]
    assert seen(latest_min=0) == [False, True, True, False]
    assert seen(latest_min=30) == [True, True, True, False]
    assert seen(earliest_min=-30, latest_min=1e9) == [True, False, True, False]
    assert seen(latest_min=1e9, needs_time=True) == [True, True, False, False]
    assert seen(latest_min=0, needs_time=True) == [False, True, False, False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tests": ["troponine"]}, "did you mean"),
        ({"tests": ["K", "potassium"]}, "twice"),
        ({"tests": []}, "tests"),
        ({"earliest_min": 5, "latest_min": 0}, "is after"),
    ],
)
def test_panels_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(LabPanel, values)


def test_batches_carry_the_panel(store: Store) -> None:
    panel = LabPanel(tests=("K", "Hb"), latest_min=0)
    view = View(store, np.arange(40), SPEC, panel=panel)
    values, mask = panel.of_store(store, np.arange(40))
    for positions, batch in windows(view, 16):
        assert batch.labs is not None
        assert batch.labs_mask is not None
        assert np.array_equal(batch.labs.numpy(), values[positions])
        assert np.array_equal(batch.labs_mask.numpy(), mask[positions])
        assert batch.image is None
    assert 0 < mask.mean() < 1
    assert View(store, np.arange(4), SPEC).batch(np.arange(4), np.zeros(4, dtype=np.int64)).labs is None


def test_an_older_store_still_opens(store: Store, tmp_path: Path) -> None:
    old = without_labs(store, tmp_path)
    assert old.recording(3).labs == {}
    assert old.image_size is None
    values, mask = LabPanel().of_store(old, np.arange(5))
    assert not mask.any()
    assert not values.any()


# ---- code ------------------------------------------------------------------------------------------------


def fitted_code(**panel: object) -> LabCode:
    code = LabCode(LabPanel(**panel)).eval()  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(2, 1, (400, len(code.panel.tests)))).astype(np.float32)
    code.fit(values, rng.random(values.shape) < 0.7)
    return code


def test_scale_is_the_median_and_quartiles_of_the_values_seen() -> None:
    code = LabCode(LabPanel(tests=("troponin", "K", "CRP"))).eval()
    rng = np.random.default_rng(1)
    troponin, potassium = np.exp(rng.normal(3, 1.5, 999)), rng.normal(4.2, 0.4, 999)
    values = np.stack([troponin, potassium, np.full(999, 1e9)], axis=1).astype(np.float32)
    mask = np.stack([np.arange(999) % 3 > 0, np.arange(999) % 5 > 0, np.zeros(999, dtype=bool)], axis=1)
    before = code.median[2].item()
    code.fit(values, mask)
    first, middle, last = np.percentile(np.log(troponin[mask[:, 0]]), [25, 50, 75])
    assert code.median[0].item() == pytest.approx(middle, abs=1e-4)
    assert code.spread[0].item() == pytest.approx(last - first, abs=1e-4)
    assert code.median[1].item() == pytest.approx(np.median(potassium[mask[:, 1]]), abs=1e-4)
    assert code.median[2].item() == before, "a test nobody had keeps the scale of healthy adults"


def test_the_torch_reference_is_the_tables() -> None:
    code = LabCode(LabPanel(tests=tuple(list_labs()))).eval()
    ages = torch.tensor([0.0, 0.5, 3.0, 9.0, 40.0, 200.0, 900.0, 5000.0, 20000.0, 40000.0])
    for sex, male in (("F", 0.0), ("M", 1.0), (None, float("nan"))):
        limits = np.array(
            [[lab_test(name).reference(age, sex) for name in list_labs()] for age in ages.tolist()]  # type: ignore[arg-type]
        )
        low, high = (torch.tensor(limits[..., side], dtype=torch.float32) for side in (0, 1))
        is_male = torch.full((len(ages),), male)
        for values, expected in ((low, -1.0), (high, 1.0), ((low + high) / 2, 0.0)):
            assert (code.place(values, ages, is_male) - expected).abs().max() < 0.05
        beyond = code.place(high + (high - low) * 50, ages, is_male)
        assert ((beyond > 4) & (beyond < 7)).all()
    assert not code.place(low, torch.full_like(ages, torch.nan), is_male).any()


def test_code_says_value_place_and_whether_known() -> None:
    code = fitted_code(tests=("troponin", "K"))
    values = torch.tensor([[14.0, 4.0], [140.0, 99.0], [1e6, 5.0]])
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    ages, male = torch.tensor([ADULT, 2.0, torch.nan]), torch.tensor([torch.nan, 1.0, 0.0])
    coded = code(values, mask, ages, male).view(3, 2, 3)
    assert coded[..., 2].tolist() == [[1, 1], [1, 0], [1, 1]]
    assert coded[0, 0, 1].item() == pytest.approx(1.0, abs=0.02)
    assert coded[1, 0, 1].item() == pytest.approx(1.0, abs=0.02)
    assert not coded[1, 1].any()
    assert not coded[2, :, 1].any(), "at an unknown age no place is known"
    assert coded[2, 0, 0].item() == 5.0
    poisoned = torch.where(mask, values, torch.nan)
    assert torch.equal(coded, code(poisoned, mask, ages, male).view(3, 2, 3))


def test_what_is_not_known_has_a_learned_code() -> None:
    code, batch = fitted_code(), make_batch(4)
    assert torch.equal(code.of(batch), code.unknown.expand(4, -1))
    mask = torch.zeros(4, 7, dtype=torch.bool)
    mask[1, 0] = True
    coded = code.of(
        replace(batch, labs=torch.full((4, 7), torch.nan).index_fill(0, torch.tensor([1]), 20.0), labs_mask=mask)
    )
    assert torch.equal(coded[[0, 2, 3]], code.unknown.expand(3, -1))
    assert not torch.equal(coded[1], code.unknown)


def test_training_hides_panels_and_single_values() -> None:
    code = fitted_code(tests=("troponin", "K"), unknown_share=0.3, missing_share=0.2).train()
    torch.manual_seed(0)
    n = 4000
    coded = code(torch.full((n, 2), 4.0), torch.ones(n, 2, dtype=torch.bool), torch.full((n,), 50.0), torch.zeros(n))
    whole = (coded == code.unknown).all(-1)
    assert whole.float().mean().item() == pytest.approx(0.3 + 0.7 * 0.04, abs=0.03)
    assert (coded.view(n, 2, 3)[~whole][..., 2] == 0).float().mean().item() == pytest.approx(0.2 * 0.8 / 0.96, abs=0.03)


# ---- methods ---------------------------------------------------------------------------------------------


def with_labs(batch, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(len(batch), 7, generator=generator) < 0.7
    values = torch.rand(len(batch), 7, generator=generator) * 30 + 1
    return replace(batch, labs=torch.where(mask, values, 0.0), labs_mask=mask)


def opened(method, seed: int = 1) -> None:
    """Give fresh films something to do: they start as the identity."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in method.encoder.named_parameters():
            if ".films." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))


def test_labs_start_as_the_identity_and_then_matter() -> None:
    batch = with_labs(make_batch())
    torch.manual_seed(0)
    method = create_method("supervised", "tiny", labs={}).eval()
    with torch.no_grad():
        bare = replace(batch, labs=None, labs_mask=None)
        assert torch.equal(method.embed(batch), method.embed(bare))
        opened(method)
        assert not torch.allclose(method.embed(batch), method.embed(bare))
        assert torch.isfinite(method.embed(batch)).all()


def test_labs_train_and_travel_with_the_weights(store: Store, tmp_path: Path) -> None:
    values = {
        "model": {"name": "supervised", "preset": "tiny", "input": TINY, "labs": {"latest_min": 0.0}, "gate": {}},
        "data": {"store": str(store.path), "task": "simulated/diagnosis"},
        "train": {"steps": 2, "batch_size": 8},
    }
    _, method, steps = build(validate(RunConfig, values, "test"))
    code = method.encoder.codes["labs"]
    assert isinstance(code, LabCode)
    assert bool(code.fitted)
    batch = steps[0]
    assert batch.labs is not None
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    method.train()
    for number in range(2):
        optimiser.zero_grad()
        method.step(batch, Progress(number, 2)).loss.backward()
        optimiser.step()
    assert code.unknown.grad is not None
    films = [p for n, p in method.encoder.named_parameters() if ".films.labs." in n]
    assert films
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in films)
    method.eval()
    save_method(method, tmp_path / "w")
    loaded = load_method(tmp_path / "w")
    assert loaded.config.labs == LabPanel(latest_min=0.0)
    with torch.no_grad():
        assert torch.equal(method.embed(batch), loaded.embed(batch))


def test_an_age_gate_on_top_keeps_what_the_donor_learned_of_labs(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(0)
    donor = create_method("merl", "tiny", input=TINY, labs={"tests": ["troponin", "K"], "latest_min": 0.0})
    donor.encoder.codes["labs"].fit(np.array([[9.0, 3.0], [99.0, 5.0]], dtype=np.float32), np.ones((2, 2), dtype=bool))
    opened(donor)
    save_method(donor.eval(), tmp_path / "w")
    values = finetune_values({
        "model": {"name": "supervised", "gate": {}},
        "data": {"store": str(store.path), "task": "simulated/diagnosis"},
        "train": {"steps": 1, "batch_size": 8},
        "init_from": str(tmp_path / "w"),
    })  # fmt: skip
    _, method, steps = build(validate(RunConfig, values, "test"))
    method.eval()
    batch = steps[0]
    assert method.config.labs == donor.config.labs
    assert torch.equal(method.encoder.codes["labs"].median, donor.encoder.codes["labs"].median)
    with torch.no_grad():
        bare = replace(batch, labs=None, labs_mask=None)
        assert torch.equal(method.embed(batch), donor.embed(batch)), "the fresh age gate is the identity"
        assert not torch.equal(method.embed(batch), method.embed(bare)), "the donor's films still act"
        opened(method, 5)
        assert not torch.allclose(method.embed(batch), method.embed(batch.without_age()))


def test_a_store_without_any_value_is_refused_in_training_only(store: Store, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = without_labs(store, tmp_path / "old")
    method = create_method("merl", "tiny", input=TINY, labs={})
    view = View(old, np.arange(8), method.config.input, panel=method.config.labs)
    with pytest.raises(ConfigError, match=r"no training record has a value of troponin_ng_l.*lab:NAME"):
        method.prepare(view)
    batch = view.batch(np.arange(8), np.zeros(8, dtype=np.int64))
    with torch.no_grad():
        assert torch.isfinite(method.eval().embed(batch)).all()
    init = create_method("merl", "tiny", input=TINY, labs={})
    init.prepare(View(store, np.arange(8), init.config.input, panel=init.config.labs))
    save_method(init, tmp_path / "w")
    init_encoder_from(method, tmp_path / "w")
    with pytest.warns(UserWarning, match="none of the laboratory values"):
        method.prepare(view)


# ---- prediction ------------------------------------------------------------------------------------------


def test_a_prediction_says_what_was_absent_and_what_is_unusual() -> None:
    torch.manual_seed(0)
    method = create_method("supervised", "tiny", input=TINY, labs={"tests": ["troponin", "K", "Hb"], "latest_min": 0.0})
    opened(method)
    predictor = Predictor(method)
    bare = next(cohort(1, rate_hz=100, seconds=3).recordings()).with_context(age=Age(ADULT), sex="F")
    known = replace(
        bare,
        labs={"troponin_ng_l": 900.0, "potassium_mmol_l": 4.1, "haemoglobin_g_l": 90.0, "tsh_mu_l": 1.0},
        lab_minutes={"haemoglobin_g_l": 60.0},
    )
    answer, without = predictor(known, ()), predictor(replace(bare, labs={}, lab_minutes={}), ())
    notes = "\n".join(answer.notes)
    assert "troponin_ng_l 900 is above the usual for the age (0 to 14 ng/L" in notes
    assert "potassium_mmol_l" not in notes
    assert "do not read: tsh_mu_l" in notes
    assert "left out for the time they were drawn at: haemoglobin_g_l" in notes
    assert answer.scores != without.scores
    assert any("no laboratory value was seen" in note for note in without.notes)
    assert "Research use" in answer.disclaimer
    newborn = predictor(replace(known, age=Age(2.0), labs={"troponin_ng_l": 100.0}, lab_minutes={}), ())
    assert not any("above" in note for note in newborn.notes)
    assert any("not given: potassium_mmol_l, haemoglobin_g_l" in note for note in newborn.notes)
    ageless = predictor(replace(known, age=None), ())
    assert any("no reference range" in note for note in ageless.notes)
    plain = Predictor(create_method("supervised", "tiny", input=TINY))
    assert "these weights do not use laboratory values" in plain(known, ()).notes


def test_values_on_the_command_line() -> None:
    assert given_labs(["troponin=>1000 ng/L"])["lab_bounds"] == {"troponin_ng_l": "above"}
    values = given_labs(["troponin=35 ng/L", "Hb=13.1 g/dL @ -20"])
    assert values == {
        "labs": {"troponin_ng_l": 35.0, "haemoglobin_g_l": pytest.approx(131)},
        "lab_minutes": {"haemoglobin_g_l": -20.0},
        "lab_bounds": None,
    }
    assert given_labs(["CRP<5", "K=4,1"]) == {
        "labs": {"crp_mg_l": 5.0, "potassium_mmol_l": 4.1}, "lab_minutes": None, "lab_bounds": {"crp_mg_l": "below"},
    }  # fmt: skip
    assert given_labs([]) == {"labs": None, "lab_minutes": None, "lab_bounds": None}
    with pytest.raises(DataError, match="twice"):
        given_labs(["K=4", "potassium=5"])


def test_the_command_line_lists_tests() -> None:
    result = CliRunner().invoke(app, ["list", "labs"], env={"COLUMNS": "300"})
    assert result.exit_code == 0
    assert all(name in result.output for name in list_labs())
    assert "textbook" in result.output


# ---- simulation ------------------------------------------------------------------------------------------


def simulated(n: int, age_days: float | None = None, diagnoses: object = None, start: int = 0):
    """Values and times by test, without the cost of traces."""
    streams = Streams(3, np.arange(start, start + n, dtype=np.int64))
    ages = np.full(n, age_days) if age_days is not None else np.expm1(np.linspace(0, np.log1p(90 * DAYS_PER_YEAR), n))
    sex = np.where(np.arange(n) % 2, "F", "M")
    return simulated_labs.panel(streams, ages, sex, choose(streams, diagnoses))  # type: ignore[arg-type]


def test_simulated_values_are_plausible_timed_and_in_the_default_panel() -> None:
    assert tuple(PANEL) == DEFAULT_TESTS
    values, minutes = simulated(3000)
    for name in PANEL:
        known = ~np.isnan(values[name])
        assert np.array_equal(known, ~np.isnan(minutes[name]))
        assert all(lab_test(name).check(value) == value for value in values[name][known].tolist())
    drawn = np.concatenate([column[~np.isnan(column)] for column in minutes.values()])
    assert 0.85 < ((drawn >= -90) & (drawn <= 240)).mean() < 0.97
    assert 0.25 < (drawn < 0).mean() < 0.5
    some, _ = simulated(10, start=20, age_days=9.0)
    every, _ = simulated(40, age_days=9.0)
    assert np.array_equal(some["crp_mg_l"], every["crp_mg_l"][20:30], equal_nan=True)


def test_a_later_troponin_knows_more_of_an_acute_infarction() -> None:
    def troponin(diagnoses: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        values, minutes = simulated(3000, ADULT, diagnoses)
        known = ~np.isnan(values["troponin_ng_l"])
        return np.log(values["troponin_ng_l"][known]), minutes["troponin_ng_l"][known]

    (ill, drawn), (well, at) = troponin({"STE_": 1.0}), troponin({"NORM": 1.0})
    before, after = (np.median(ill[part]) - np.median(well) for part in (drawn < 0, drawn > 120))
    assert 0 < before < 0.6 * after
    assert abs(np.median(well[at < 0]) - np.median(well[at > 120])) < 0.15, "a healthy value does not move"
    rise = risen(np.array([-1.0, 0.0, 0.5, 2.5, 24.0]))
    assert rise[0] == rise[1] == 0
    assert rise[2] < 0.05
    assert rise[3] == pytest.approx(0.5)
    assert rise[4] > 0.95
