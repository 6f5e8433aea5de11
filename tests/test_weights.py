"""The weights that come along: what their card says holds, they need no network, and refuse what they cannot know."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from auricle.about import FEWEST_POSITIVE
from auricle.age import Age
from auricle.data.ingest import ingest
from auricle.data.sources.ptb_xl import PtbXl
from auricle.data.store import Store
from auricle.errors import AuricleError, CheckpointError, ConfigError, ReadingNote, UnreadableError
from auricle.evaluate.calibration import calibrate
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.protocols import answered as answered_by
from auricle.evaluate.ranking import auroc
from auricle.evaluate.run import evaluate_run
from auricle.io import read
from auricle.leads import STANDARD
from auricle.methods import SHIPPED_WEIGHTS, AlignsText, load_card
from auricle.predict import Predictor
from auricle.prediction import Prediction
from auricle.recording import Recording, make_recording
from auricle.scope import FILE
from auricle.simulate import cohort
from auricle.tasks import load_task
from running import auricle

SUPERCLASSES = {"NORM", "MI", "STTC", "CD", "HYP"}
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained("lisa-nano")


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return load_card(SHIPPED_WEIGHTS)[0]["about"]


def test_by_name_and_by_default_they_are_the_same_few_megabytes(predictor: Predictor) -> None:
    assert predictor.method.config == Predictor.from_pretrained().method.config
    assert sum(path.stat().st_size for path in SHIPPED_WEIGHTS.iterdir()) < 5e6
    assert (SHIPPED_WEIGHTS / FILE).exists()
    with pytest.raises(CheckpointError, match="lisa-nana"):
        Predictor.from_pretrained("lisa-nana")


def test_their_name_is_enough_to_ask_them_and_to_go_on_from_them(tmp_path: Path) -> None:
    options = {"n": 40, "seed": 4, "rate_hz": 100.0}
    ingest("simulated", Path(), tmp_path / "store", options=options, rate_hz=100, workers=1)
    question = "--task", "simulated/diagnosis"
    asked = auricle("evaluate", "lisa-nano", tmp_path / "store", tmp_path / "results", "--task", "ecg/findings",
                    "--protocol", "finetune", "--rows", "", cwd=tmp_path)  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "| lisa-nano" in asked.stdout
    tuned = auricle("finetune", tmp_path / "store", tmp_path / "run", "--from", "lisa-nano", *question, "--steps", 1,
                    "--batch-size", 4, cwd=tmp_path)  # fmt: skip
    assert tuned.returncode == 0, tuned.stderr
    about = load_card(tmp_path / "run")[0]["about"]
    assert about["init_from"] == "lisa-nano"
    assert {part["source"] for part in about["donor"]["parts"]} == {"simulated", "ptb_xl", "csn"}


def test_nothing_is_written_into_them(tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in SHIPPED_WEIGHTS.iterdir()}
    with pytest.raises(ConfigError, match="stays as it is: copy"):
        calibrate("lisa-nano", [(tmp_path / "store", "ecg/findings")])
    with pytest.raises(ConfigError, match="stays as it is: copy"):
        evaluate_run(SHIPPED_WEIGHTS, tmp_path / "store", tmp_path / "results", to_card=True)
    assert {path.name: path.read_bytes() for path in SHIPPED_WEIGHTS.iterdir()} == before


def test_a_folder_of_ones_own_goes_before_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_card("lisa-nano")[1] == load_card(Path("lisa-nano"))[1] == SHIPPED_WEIGHTS
    Path("lisa-nano").mkdir()
    assert load_card("lisa-nano")[1] == SHIPPED_WEIGHTS  # it holds no weights
    shutil.copytree(SHIPPED_WEIGHTS, "lisa-nano/model")
    assert load_card(Path("./lisa-nano"))[1] == Path("lisa-nano/model")


def test_classes_are_those_of_the_task_and_prompts_are_inside(predictor: Predictor) -> None:
    assert set(predictor.classes) >= SUPERCLASSES
    assert predictor.classes == load_task("ecg/findings").class_names
    assert isinstance(predictor.method, AlignsText)
    by_sentence = Predictor.from_pretrained("lisa-nano", task="ecg/findings")
    assert (predictor.kind, by_sentence.kind) == ("probability", "similarity")
    assert by_sentence.classes == predictor.classes
    assert set(predictor.titles("zh")) == set(predictor.classes)


def test_every_class_is_calibrated_and_says_on_whom_it_was_tested(predictor: Predictor, card: dict[str, Any]) -> None:
    calibrated = {one["class"]: one["source"] for one in card["calibrated"]}
    assert calibrated.keys() == set(predictor.classes)
    assert all(calibrated[name] == "ptb_xl" for name in SUPERCLASSES)
    assert all(predictor.tested[name] for name in predictor.classes)
    assert all("real_adults" in predictor.tested[name] for name in SUPERCLASSES)


@pytest.mark.parametrize("is_told", [True, False])
def test_sets_hold_for_most_people_whether_the_age_is_told_or_not(predictor: Predictor, is_told: bool) -> None:
    sets = predictor.sets
    assert sets is not None
    assert sets.has.keys() == set(predictor.classes)
    task, made = load_task("ecg/findings"), cohort(130, 1902, rate_hz=100)
    recordings = [one if is_told else replace(one, age=None) for one in made.recordings()]
    truth = task.targets([recording.labels for recording in recordings])
    held: dict[bool, list[bool]] = {True: [], False: []}
    n_decided = 0
    for answer, true in zip(answered(predictor, recordings), truth, strict=True):
        for name, is_there in zip(task.class_names, true, strict=True):
            if answer is not None and not np.isnan(is_there):
                told = answer.sets[name]
                held[bool(is_there)].append(told in ("either", "yes" if is_there else "no"))
                n_decided += told in ("yes", "no")
    # Nine in ten are promised; the people are of all ages, and a few hundred answers.
    assert np.mean(held[True]) > 0.85
    assert np.mean(held[False]) > 0.85
    assert n_decided > 0.5 * sum(map(len, held.values()))


def test_a_set_depends_on_the_age_and_says_what_may_be(predictor: Predictor) -> None:
    recording = next(iter(cohort(1, 7, ages="adults", diagnoses={}, rate_hz=100).recordings()))
    answer = predictor(recording)
    assert answer.coverage == 0.9
    assert set(answer.sets.values()) <= {"yes", "no", "either"}
    assert answer.sets["VT"] == "no"
    assert predictor.sets is not None
    assert all(
        predictor.sets.answer(name, score, answer.age_days) == answer.sets[name]
        for name, score in answer.scores.items()
    )
    by_sentence = Predictor.from_pretrained("lisa-nano", task="ecg/findings")(recording)
    assert (by_sentence.sets, by_sentence.coverage) == ({}, None)


def test_what_they_learned_from_is_said_and_holds_no_share_alike_data(card: dict[str, Any]) -> None:
    assert {part["source"] for part in card["parts"]} == {"simulated", "ptb_xl", "csn"}
    (real,) = [part for part in card["parts"] if part["source"] == "ptb_xl"]
    assert real["labels"]
    assert real["split"]["train"] == [1, 2, 3, 4, 5, 6, 7]


def answered(predictor: Predictor, recordings: list[Recording]) -> list[Prediction | None]:
    """The answer for each recording, None where there is none."""
    found: list[Prediction | None] = []
    for recording in recordings:
        try:
            found.append(predictor(recording, other_ages_days=()))
        except UnreadableError:
            found.append(None)
    return found


def answers(predictor: Predictor, recordings: list[Recording]) -> np.ndarray:
    """(n, c) probabilities, NaN where there is no answer."""
    none = [np.nan] * len(predictor.classes)
    return np.array([none if one is None else list(one.scores.values()) for one in answered(predictor, recordings)])


def told(card: dict[str, Any], source: str) -> dict[str, Any]:
    (test,) = [one for one in card["tests"] if one["source"] == source and one["protocol"] == "finetune"]
    return test


def test_on_real_adults_they_give_the_numbers_of_the_card(
    predictor: Predictor, card: dict[str, Any], real_data: Path
) -> None:
    task, found, labels = load_task(EXAMPLES / "tasks" / "ptb_xl_findings.toml"), [], []
    for folder in ("ptb-xl", "ptb-xl-more"):
        source = PtbXl(rate_hz=100)
        table = source.index(real_data / folder)
        for _, row in table[table["strat_fold"].astype(int).isin([9, 10])].iterrows():
            try:
                found.append(source.read(real_data / folder, row.to_dict()))
            except AuricleError:
                continue
            labels.append(found[-1].labels)
    predictions, truth = answered(predictor, found), task.targets(labels)
    scores = np.array([[np.nan] * truth.shape[1] if one is None else list(one.scores.values()) for one in predictions])
    is_answered = ~np.isnan(scores[:, 0])
    assert is_answered.mean() > 0.95
    test = told(card, "ptb_xl")
    assert test["n_records"] == len(found)
    given = dict(zip(task.class_names, auroc(truth[is_answered], scores[is_answered]), strict=True))
    # Those that are refused here were scored there.
    for name in SUPERCLASSES:
        assert given[name] == pytest.approx(test["auroc"][name], abs=0.01), name
    for name, n in test["positive"].items():
        if n >= FEWEST_POSITIVE:
            assert given[name] == pytest.approx(test["auroc"][name], abs=0.03), name
    # The shares that sets are right about, of those with a class and without it, as the page has them.
    page = (Path(__file__).parent.parent / "docs" / "weights.md").read_text(encoding="utf-8")
    row = next(
        line for line in page.splitlines() if line.startswith("| PTB-XL, folds 9 and 10 |") and line.count("/") > 1
    )
    classes = [k for k, n in enumerate(np.sum(truth == 1, axis=0)) if n >= FEWEST_POSITIVE]
    assert row.split("|")[3].strip() == str(len(classes))
    sets = [[one.sets[task.class_names[k]] for k in classes] for one in predictions if one is not None]
    has, said = truth[np.ix_(is_answered, classes)], np.array(sets)
    for value, against, cell in ((1, "no", 4), (0, "yes", 5)):
        share = 100 * (said != against)[has == value].mean()
        assert share == pytest.approx(float(row.split("|")[cell].split()[0]), abs=1.0)


@pytest.mark.parametrize(
    ("source", "task", "wanted"),
    [("csn", "csn_findings.toml", r"JS\d+"), ("challenge2021", "elsewhere_findings.toml", r"[AEQ]\d+")],
)
def test_on_real_adults_of_other_countries_they_give_the_numbers_of_the_card(
    card: dict[str, Any], real_data: Path, tmp_path: Path, source: str, task: str, wanted: str
) -> None:
    (tmp_path / "raw").mkdir()
    for folder in ("csn", "csn-more", "challenge-2021", "challenge-more"):
        for path in (real_data / folder).rglob("*"):
            if re.fullmatch(wanted, path.stem) and path.suffix in (".hea", ".mat", ".dat"):
                (tmp_path / "raw" / path.name).unlink(missing_ok=True)  # some lie in two folders: the last one counts
                (tmp_path / "raw" / path.name).symlink_to(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingNote)
        ingest(source, tmp_path / "raw", tmp_path / "store", rate_hz=100, workers=1)
    asked = setting_of(
        SHIPPED_WEIGHTS, Store(tmp_path / "store"), load_task(EXAMPLES / "tasks" / task), tmp_path / "out"
    )
    predictions, test = answered_by(asked, protocol="finetune")[0], told(card, source)
    assert len(predictions) == test["n_records"]
    given = dict(zip(predictions.classes, auroc(predictions.truth, predictions.score), strict=True))
    enough = [name for name, n in test["positive"].items() if n >= FEWEST_POSITIVE]
    assert len(enough) >= 5
    for name in enough:
        assert given[name] == pytest.approx(test["auroc"][name], abs=0.005), name


def test_on_simulated_people_of_the_test_they_give_the_numbers_of_the_card(
    predictor: Predictor, card: dict[str, Any]
) -> None:
    test, n = told(card, "simulated"), 240
    recordings = list(cohort(n, 1901, rate_hz=100).recordings())
    scores = answers(predictor, recordings)
    answered = ~np.isnan(scores[:, 0])
    assert answered.mean() > 0.95
    truth = load_task("ecg/findings").targets(recording.labels for recording in recordings)[answered]
    given = auroc(truth, scores[answered])
    enough = [i for i in range(len(predictor.classes)) if 12 <= (truth[:, i] == 1).sum() <= len(truth) - 12]
    assert len(enough) >= 6
    wanted = [test["auroc"][predictor.classes[i]] for i in enough]
    assert np.abs(given[enough] - wanted).max() < 0.12
    assert given[enough].mean() == pytest.approx(np.mean(wanted), abs=0.03)


def made(signal: np.ndarray) -> Recording:
    return make_recording(signal.astype(np.float32), 500.0, list(STANDARD), "made", age=Age(12000.0))


def syllables() -> np.ndarray:
    """What a microphone may give: bursts of a tone that glides."""
    t, phase = np.arange(5000) / 500, np.random.default_rng(0).uniform(0, 2 * np.pi, (12, 1))
    return 0.5 * np.sin(2 * np.pi * 3 * t + 4 * np.sin(2 * np.pi * 0.9 * t + phase)) * (np.sin(2 * np.pi * 1.3 * t) > 0)


@pytest.mark.parametrize("what", ["noise", "flat", "square", "syllables"])
def test_what_is_no_ecg_gets_no_answer(predictor: Predictor, what: str) -> None:
    t = np.arange(5000) / 500
    signals = {
        "noise": 0.3 * np.random.default_rng(0).normal(size=(12, 5000)),
        "flat": np.zeros((12, 5000)),
        "square": ((t % 0.8) < 0.2) * np.ones((12, 1)),
        "syllables": syllables(),
    }
    with pytest.raises(AuricleError):
        predictor(made(signals[what]))


def test_limb_leads_that_contradict_each_other_get_no_answer(predictor: Predictor) -> None:
    recording = next(cohort(1, 5, ages=[12000.0], diagnoses={"NORM": 1.0}, quality="clean").recordings())
    signal = recording.signal.copy()
    signal[:6] = signal[6:]  # chest leads under the names of limb leads
    wrong = make_recording(signal, recording.rate_hz, list(recording.leads), "wrong", age=recording.age)
    with pytest.raises(UnreadableError, match="no answer: the limb leads contradict each other"):
        predictor(wrong)
    signal = recording.signal.copy()
    signal[2] = -signal[2]  # one that the five others contradict is derived from them
    assert predictor(make_recording(signal, recording.rate_hz, list(recording.leads), "one", age=recording.age)).scores


def test_an_age_that_cannot_be_is_not_answered(predictor: Predictor) -> None:
    newborn = next(cohort(1, 5, ages=[3.0], diagnoses={"NORM": 1.0}, quality="clean").recordings())
    assert predictor(newborn).scores
    with pytest.raises(UnreadableError, match="no answer"):
        predictor(replace(newborn, age=Age(120 * 365.25)))


def real(folder: Path, n: int) -> Iterator[Recording]:
    for header in sorted(folder.rglob("*.hea"))[:n]:
        try:
            yield read(header)
        except AuricleError:
            continue


def test_nearly_all_good_recordings_from_elsewhere_are_answered(predictor: Predictor, real_data: Path) -> None:
    refused = total = 0
    for folder in ("csn-more", "challenge-more", "brugada-huca"):
        for recording in real(real_data / folder, 25):
            try:
                total += predictor([recording], other_ages_days=())[0].quality["acceptable"]
            except UnreadableError as error:
                good = bool(error.quality["acceptable"])
                refused, total = refused + good, total + good
    assert total > 60
    assert refused <= 0.05 * total


def test_no_child_with_a_normal_trace_is_called_infarction(predictor: Predictor, real_data: Path) -> None:
    normal = {"P00073_E02", "P01062_E01", "P05372_E01", "P08950_E01"}  # by what was written of them
    for recording in real(real_data / "zzu-pecg", 20):
        if recording.record_id in normal:
            prediction = predictor([recording], other_ages_days=())[0]
            for name in ("MI", "STE_", "AMI", "IMI", "LMI", "PMI"):
                assert prediction.scores[name] < 0.5, recording.record_id
                assert prediction.sets[name] != "yes", recording.record_id
            at_75 = resample_poly(recording.signal, 75, round(recording.rate_hz), axis=1).astype(np.float32)
            with pytest.raises(UnreadableError, match="sampled 75 times a second"):
                predictor(replace(recording, signal=at_75, rate_hz=75.0))


def test_one_lead_and_another_rate_are_answered(predictor: Predictor) -> None:
    recording = next(cohort(1, 5, ages=[12000.0], diagnoses={"NORM": 1.0}, quality="clean", rate_hz=250).recordings())
    lead = replace(recording, signal=recording.signal[1:2], leads=("II",))
    at_62 = next(cohort(1, 5, ages=[12000.0], diagnoses={"NORM": 1.0}, quality="clean", rate_hz=62.5).recordings())
    for one in (lead, at_62):
        prediction = predictor(one)
        assert all(torch.isfinite(torch.tensor(list(prediction.scores.values()))))
    assert predictor(lead).leads_missing
    assert any("nothing above 31.2 Hz" in note for note in predictor(at_62).notes)
