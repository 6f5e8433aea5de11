"""Simulated reports: what they say, that they say it truly, how many there are, and that the text side understands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.age import ADULT_DAYS
from auricle.errors import UnknownNameError
from auricle.paediatrics import limits
from auricle.simulate import reports
from auricle.simulate.conditions import STAGES, TERRITORIES, Diagnosed, Diagnoses, choose, conditions
from auricle.simulate.streams import Streams
from auricle.text.findings import Statement, parse
from auricle.text.glossary import Translation, to_english
from auricle.text.reports import clean

WRITERS = ("cart", "cardiologist", "paediatrician", "resident", "doubter")
BLOCK, INFARCT, AVB = "bundle_branch_block", "myocardial_infarction", "av_block"
PARTS = {
    "IMI": "inferior", "ASMI": "anterior+septal", "AMI": "anterior", "ALMI": "anterior+lateral", "LMI": "lateral",
    "ILMI": "inferior+lateral", "PMI": "posterior", "IPMI": "inferior+posterior",
}  # fmt: skip
# What must be understood, whoever writes: (concept, side, degree, territory); the severity of degrees may vary.
MEANS: dict[str, tuple[tuple[str, ...], ...]] = {
    "STACH": (("sinus_tachycardia",),),
    "SBRAD": (("sinus_bradycardia",),),
    "SARRH": (("sinus_arrhythmia",),),
    "AFIB": (("atrial_fibrillation",),),
    "AFLT": (("atrial_flutter",),),
    "SVTAC": (("supraventricular_tachycardia",),),
    "EAT": (("ectopic_atrial_rhythm",),),
    "JET": (("junctional_rhythm",),),
    "VT": (("ventricular_tachycardia",),),
    "PACE": (("paced_rhythm",),),
    "1AVB": ((AVB, "", "first"),),
    "2AVB1": ((AVB, "", "second"), ("wenckebach",)),
    "2AVB2": ((AVB, "", "second"), ("mobitz_two",)),
    "3AVB": ((AVB, "", "third"),),
    "CCAVB": ((AVB, "", "third"), ("congenital_block",)),
    "PAC": (("premature_atrial",),),
    "PVC": (("premature_ventricular",),),
    "BIGU": (("bigeminy",), ("premature_ventricular",)),
    "TRIGU": (("trigeminy",), ("premature_ventricular",)),
    "CRBBB": ((BLOCK, "right"),),
    "IRBBB": ((BLOCK, "right", "incomplete"),),
    "CLBBB": ((BLOCK, "left"),),
    "ILBBB": ((BLOCK, "left", "incomplete"),),
    "WPW": (("preexcitation",),),
    "IVCD": (("intraventricular_delay",),),
    "LAFB": (("fascicular_block", "left anterior"),),
    "LPFB": (("fascicular_block", "left posterior"),),
    "RVH": (("ventricular_hypertrophy", "right"),),
    "LVH": (("ventricular_hypertrophy", "left"),),
    "RAO/RAE": (("atrial_enlargement", "right"),),
    "LAO/LAE": (("atrial_enlargement", "left"),),
    "ASD": (("atrial_septal_defect",), (BLOCK, "right", "incomplete")),
    "AVSD": (("atrioventricular_septal_defect",), ("axis", "superior"), (BLOCK, "right", "incomplete")),
    "TA": (
        ("tricuspid_atresia",),
        ("axis", "left"),
        ("atrial_enlargement", "right"),
        ("ventricular_hypertrophy", "left"),
    ),
    "TOFPO": (("tetralogy_of_fallot",), (BLOCK, "right"), ("ventricular_hypertrophy", "right")),
    "EBST": (("ebstein_anomaly",), (BLOCK, "right"), ("atrial_enlargement", "right")),
    "SV": (("single_ventricle",),),
    "HCM": (("hypertrophic_cardiomyopathy",), ("ventricular_hypertrophy", "left")),
    "ALCAPA": (("anomalous_coronary",), (INFARCT, "", "", "anterior+lateral")),
    "KDMI": (("kawasaki_disease",), (INFARCT, "", "", "inferior")),
    "RVPH": (
        ("pulmonary_hypertension",),
        ("ventricular_strain", "right"),
        ("ventricular_hypertrophy", "right"),
        ("atrial_enlargement", "right"),
    ),
    "BRUG": (("brugada",),),
    "DEXTRO": (("dextrocardia",),),
    **{code: ((INFARCT, "", "", parts),) for code, parts in PARTS.items()},
    "STD_": (("st_depression",),),
    "NST_": (("st_t_changes",),),
    "ISC_": (("ischaemia",),),
    "ISCAL": (("ischaemia", "", "", "anterior+lateral"),),
    "ISCIN": (("ischaemia", "", "", "inferior"),),
    "ISCAS": (("ischaemia", "", "", "anterior+septal"),),
    "NDT": (("t_changes",),),
    "INVT": (("t_inversion",),),
    "LNGQT": (("qt_interval", "", "prolonged"),),
    "SQT": (("qt_interval", "", "short"),),
    "DIG": (("digitalis",),),
    "HYPERK": (("potassium", "hyper"), ("tall_t",)),
    "HYPOK": (("potassium", "hypo"), ("u_waves",)),
    "HYPOCA": (("calcium", "hypo"), ("qt_interval", "", "prolonged")),
    "HYPERCA": (("calcium", "hyper"), ("qt_interval", "", "short")),
    "PERI": (("pericarditis",),),
    "MYOC": (("myocarditis",),),
    "LVOLT": (("low_voltage",),),
    "EREPOL": (("early_repolarisation",),),
}
# What a wording may say besides: the signs by which the thing was seen.
SIGNS = {
    "AFIB": {"p_wave", "ventricular_response"},
    "SVTAC": {"p_wave"},
    "JET": {"av_dissociation"},
    "3AVB": {"av_dissociation", "escape_beats"},
    "CCAVB": {"av_dissociation", "escape_beats"},
    "1AVB": {"pr_interval"},
    "WPW": {"pr_interval"},
    "RAO/RAE": {"p_wave"},
    "EBST": {"p_wave"},
    "HCM": {"q_waves", "t_inversion"},
    "ALCAPA": {"q_waves"},
    "KDMI": {"q_waves"},
    "HYPOK": {"t_changes"},
    "PERI": {"st_elevation"},
    "MYOC": {"st_t_changes"},
    **{code: {"q_waves", "st_elevation", "t_inversion"} for code in PARTS},
}
SEVERITIES = {"mild", "moderate", "marked"}
HEALTHY = ("STACH", "SBRAD", "SARRH", "EREPOL")


def made(
    n: int,
    seed: int = 0,
    wanted: Diagnosed = "default",
    language: str = "en",
    age: float | None = None,
    own: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Streams, Diagnoses, list[str]]:
    """Streams, diagnoses and reports of n records with made-up measurements, or some of one's own."""
    streams = Streams(seed, np.arange(n))
    diagnoses = choose(streams, wanted)
    chance = np.random.default_rng(seed)
    age_days = np.full(n, age) if age else 10 ** chance.uniform(0, 4.4, n)
    sex = np.where(chance.random(n) < 0.5, "F", "M")
    measurements = {
        name: np.full(n, own[name]) if name in own else limits.quantile(trait, age_days, sex, chance.normal(size=n))
        for name, trait in (("heart_rate", "heart_rate"), ("qrs_axis_deg", "qrs_axis"))
    }
    texts = reports.write(streams, diagnoses, measurements, age_days, age_days, sex, language=language)  # type: ignore[arg-type]
    return streams, diagnoses, texts


@cache
def english(text: str) -> Translation:
    return to_english(clean(text))


@cache
def parsed(text: str) -> tuple[Statement, ...]:
    return parse(english(text).text)


def kind(statement: Statement) -> tuple[str, str, str, str]:
    degree = "" if statement.degree in SEVERITIES else statement.degree
    return (statement.concept, statement.side, degree, statement.territory)


def alone(code: str, language: str, severity: float) -> dict[str, set[str]]:
    """Reports, by variant, of many children who have one condition and what it implies."""
    n = 300
    streams = Streams(7, np.arange(n))
    drawn = choose(streams, {code: 1.0})
    diagnoses = Diagnoses(drawn.present, {name: np.full(n, severity) for name in drawn.severity}, drawn.scatter)
    age_days = np.where(np.arange(n) % 2, 4000.0, 12000.0)
    sex = np.full(n, "F")
    rate = np.where(np.arange(n) % 4 < 2, 1.0, 3.0) if code == "AFIB" else 1.0
    measurements = {
        "heart_rate": limits.median("heart_rate", age_days, sex) * rate,
        "qrs_axis_deg": np.full(n, 60.0),
    }
    texts = reports.write(streams, diagnoses, measurements, age_days, age_days, sex, language=language)  # type: ignore[arg-type]
    if code == "STE_":
        names = [TERRITORIES[number] for number in diagnoses.territory()]
    elif code in PARTS:
        names = [STAGES[number] for number in diagnoses.stage(code)]
    else:
        names = [""] * n
    return {name: {text for text, own in zip(texts, names, strict=True) if own == name} for name in set(names)}


def expected(code: str, variant: str) -> set[tuple[str, str, str, str]]:
    means = (("st_elevation", "", "", variant),) if code == "STE_" else MEANS[code]
    return {(*meaning, "", "", "")[:4] for meaning in means}  # type: ignore[misc]


def explained(diagnoses: Diagnoses, row: int) -> tuple[set[tuple[str, str, str, str]], set[str]]:
    """All that a report of a record may affirm: statements, and concepts that are signs of them."""
    means: set[tuple[str, str, str, str]] = set()
    signs = {"sinus_rhythm", "axis", "normal_ecg", "abnormal_ecg", "sinus_tachycardia", "sinus_bradycardia"}
    for code, present in diagnoses.present.items():
        if present[row] and all(diagnoses.present[part][row] for part in conditions()[code].implies):
            means |= expected(code, TERRITORIES[diagnoses.territory()[row]] if code == "STE_" else "")
            signs |= SIGNS.get(code, set())
    return means, signs


@pytest.mark.parametrize("language", reports.LANGUAGES)
@pytest.mark.parametrize("code", list(conditions()))
def test_every_wording_of_every_condition_is_understood(code: str, language: str) -> None:
    written: set[str] = set()
    for severity in (0.1, 0.5, 0.9):
        for variant, texts in alone(code, language, severity).items():
            wanted = expected(code, variant)
            allowed = {concept for concept, *_ in wanted} | SIGNS.get(code, set())
            allowed |= {"sinus_rhythm", "axis", "normal_ecg", "abnormal_ecg"}
            for text in texts:
                assert english(text).untranslated == (), text
                affirmed = {kind(statement) for statement in parsed(text) if not statement.negated}
                assert wanted <= affirmed, text
                assert {concept for concept, *_ in affirmed} <= allowed, text
                assert {own for own in affirmed if own[0] in {concept for concept, *_ in wanted}} == wanted, text
            written |= texts
    assert len(written) >= len(WRITERS)


@pytest.mark.parametrize("language", reports.LANGUAGES)
def test_there_are_fewer_than_20000_texts_and_all_are_translated(language: reports.Language) -> None:
    texts = set(reports.every(language))
    assert 10_000 < len(texts) < 20_000
    for text in sorted(texts)[::17]:
        translation = english(text)
        assert translation.untranslated == (), text
        if language == "en":
            assert translation.language == "en", text


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    codes=st.lists(
        st.sampled_from(list(conditions())), min_size=1, max_size=8, unique_by=lambda code: conditions()[code].group
    ),
    language=st.sampled_from(reports.LANGUAGES),
    rate=st.sampled_from([20.0, 80.0, 250.0, np.nan]),
    axis=st.sampled_from([-80.0, 60.0, 200.0, np.nan]),
)
def test_no_cohort_leaves_the_list(
    seed: int, codes: list[str], language: reports.Language, rate: float, axis: float
) -> None:
    _, _, texts = made(30, seed, dict.fromkeys(codes, 1.0), language, own={"heart_rate": rate, "qrs_axis_deg": axis})
    assert set(texts) <= everything(language)


@cache
def everything(language: reports.Language) -> frozenset[str]:
    return frozenset(reports.every(language))


@pytest.mark.parametrize("language", reports.LANGUAGES)
def test_reports_are_true_and_say_nearly_everything(language: str) -> None:
    n = 1500
    _, diagnoses, texts = made(n, 3, language=language)
    named = present = 0
    for row, text in enumerate(texts):
        affirmed = {kind(statement) for statement in parsed(text) if not statement.negated}
        denied = {statement.concept for statement in parsed(text) if statement.negated}
        means, signs = explained(diagnoses, row)
        assert {own for own in affirmed if own[0] not in signs} <= means, text
        assert not denied & {concept for concept, *_ in means}, text
        for code, there in diagnoses.present.items():
            if there[row]:
                variant = TERRITORIES[diagnoses.territory()[row]] if code == "STE_" else ""
                present += 1
                named += expected(code, variant) <= affirmed
    assert named > 0.90 * present


def test_the_languages_say_the_same() -> None:
    n = 600
    written = [made(n, 5, language=language)[2] for language in reports.LANGUAGES]
    for row, texts in enumerate(zip(*written, strict=True)):
        signs = explained(made_diagnoses(n, 5), row)[1] - {"axis", "sinus_tachycardia", "sinus_bradycardia"}
        en, de, zh = (
            {("not", s.concept) if s.negated else kind(s) for s in parsed(text) if s.concept not in signs}
            for text in texts
        )
        assert en == de == zh, texts


@cache
def made_diagnoses(n: int, seed: int) -> Diagnoses:
    return choose(Streams(seed, np.arange(n)), "default")


@pytest.mark.parametrize("language", reports.LANGUAGES)
def test_the_healthy_are_called_normal_and_nobody_else(language: str) -> None:
    _, diagnoses, texts = made(1500, 8, language=language)
    for row, text in enumerate(texts):
        healthy = all(conditions()[code].normal for code, there in diagnoses.present.items() if there[row])
        assert any(s.concept == "normal_ecg" for s in parsed(text)) == healthy, text


def test_a_rhythm_that_is_not_sinus_is_never_left_out() -> None:
    ectopic = [code for code, own in conditions().items() if own.group == "rhythm" and code not in HEALTHY]
    many = {"CRBBB": 1.0, "LVH": 1.0, "RVH": 1.0, "LVOLT": 1.0, "LNGQT": 1.0, "DIG": 1.0}
    for code in ectopic:
        _, _, texts = made(20, 1, {code: 1.0, **many})
        for text in texts:
            said = {statement.concept for statement in parsed(text)}
            assert MEANS[code][0][0] in said, text
            assert "sinus_rhythm" not in said, text


def test_a_report_depends_on_seed_and_number_alone() -> None:
    streams, diagnoses, texts = made(40, 2)
    assert len(set(texts)) > 15
    age = 10 ** np.random.default_rng(2).uniform(0, 4.4, 40)
    part = slice(10, 25)
    some = Streams(2, np.arange(40)[part])
    own = choose(some, "default")
    rate, sex = np.full(15, np.nan), np.full(15, "F")
    first = reports.write(some, own, {"heart_rate": rate, "qrs_axis_deg": rate}, age[part], age[part], sex)
    whole = {"heart_rate": np.full(40, np.nan), "qrs_axis_deg": np.full(40, np.nan)}
    assert first == reports.write(streams, diagnoses, whole, age, age, np.full(40, "F"))[part]


def test_severity_stage_place_and_age_are_worded() -> None:
    by_severity = [" ".join(set().union(*alone("LVH", "en", severity).values())) for severity in (0.1, 0.5, 0.9)]
    for words, own in zip(("mild", "moderate", "marked"), by_severity, strict=True):
        assert [words in text.lower() for text in by_severity].count(True) == 1
        assert words in own.lower()
    assert "possible" in by_severity[0].lower()
    assert "possible" not in by_severity[2].lower()
    mild = [s for texts in alone("AFIB", "de", 0.1).values() for text in texts for s in parsed(text)]
    assert any(s.possible for s in mild if s.concept == "atrial_fibrillation")
    stages = alone("IMI", "de", 0.5)
    assert all("Zustand nach" not in text and "Z. n." not in text for text in stages["acute"])
    assert any("Zustand nach inferiorem Infarkt" in text for text in stages["old"])
    assert all("inferior" in text.lower() for text in alone("STE_", "en", 0.5)["inferior"])
    _, _, children = made(400, 4, {"NORM": 1.0}, age=2000.0)
    _, _, adults = made(400, 4, {"NORM": 1.0}, age=ADULT_DAYS + 1.0)
    assert any("for age" in text for text in children)
    assert not any("for age" in text for text in adults)


def test_rate_and_axis_are_judged_by_the_age() -> None:
    rate = {"heart_rate": 140.0, "qrs_axis_deg": 130.0}
    newborn, adult = (made(50, 6, {"NORM": 1.0}, age=age, own=rate)[2] for age in (3.0, 12000.0))
    concepts = [{s.concept for s in parsed(text)} for text in newborn]
    assert not any("sinus_tachycardia" in own for own in concepts)
    assert all({"sinus_tachycardia", "axis"} <= {s.concept for s in parsed(text)} for text in adult)
    assert {s.side for text in newborn for s in parsed(text) if s.concept == "axis"} == {"normal"}
    assert {s.side for text in adult for s in parsed(text) if s.concept == "axis"} == {"right"}
    superior = made(50, 6, {"NORM": 1.0}, age=3000.0, own={"heart_rate": 85.0, "qrs_axis_deg": 220.0})[2]
    assert {s.side for text in superior for s in parsed(text) if s.concept == "axis"} == {"superior"}


@pytest.mark.parametrize("language", reports.LANGUAGES)
def test_there_are_no_numbers_but_of_leads(language: reports.Language) -> None:
    for text in everything(language):
        assert not re.search(r"\d", re.sub(r"V[1-6]", "", text)), text


def test_another_language_is_named() -> None:
    with pytest.raises(UnknownNameError, match="language of reports"):
        made(1, language="fr")
