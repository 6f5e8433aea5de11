"""The audit of any model: weights, a graph, a function, a table; what is wrong with them is one line."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from auricle.audit.scores import read_scores
from auricle.errors import DataError
from auricle.predict import Predictor
from running import auricle, refused

N = 60
OWN = """
def called(recording):
    \"\"\"Calls whoever is a newborn.\"\"\"
    days = recording.age.best_days if recording.age else 99999.0
    return {"RVH": 0.9 if days < 30 else 0.1, "LVH": 0.5, "not a class": 0.5}

def breaks(recording):
    return ["RVH"]

def cosine(recording):
    return {"RVH": -0.3}

def other(recording):
    return {"RVH": 0.2, "LVH": 0.3}

def fails(recording):
    raise KeyError("Anna Muster")

def refuses(recording):
    from auricle.errors import DataError
    raise DataError("too short for me")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Simulated people of all ages, all of them test."""
    folder = tmp_path_factory.mktemp("audited")
    assert auricle("simulate", folder / "store", "-n", N, "--seed", 3, "--rate-hz", 100).returncode == 0
    (folder / "task.toml").write_text(
        'id = "own/rvh"\ntitle = "RVH"\nsource = "simulated"\nclasses_of = "ecg/findings"\n'
        '[split]\nby = "patient"\ntrain = 0\nvalidation = 0\ntest = 1\n',
        encoding="utf-8",
    )
    (folder / "own_model.py").write_text(OWN, encoding="utf-8")
    return folder


def audited(store: Path, model: str, out: Path, *options: object):
    return auricle("audit", model, "store", "--task", "task.toml", "--out", out, "--bootstrap", 30, *options, cwd=store)


def test_a_function_is_asked_and_its_newborns_are_found(store, tmp_path):
    done = audited(store, "own_model:called", tmp_path / "out", "--threshold", 0.5)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert found["n_records"] + found["n_without_age"] == N  # with --threshold all are reported
    assert found["n_asked"] == sum(band["n"] for band in found["people"]) == N
    assert set(found["classes"]) | set(found["left_out"]) == {"RVH", "LVH"}
    rvh = found["classes"]["RVH"]["curves"]["false_positives"]["value"]
    ages = np.array(found["ages_days"])
    assert all(value in (None, pytest.approx(1, abs=0.3)) for value in np.array(rvh, dtype=object)[ages < 3])
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "Research use" in page
    assert "false positives" in page
    assert "<script" not in page
    again = audited(store, "own_model:called", tmp_path / "out", "--threshold", 0.5)
    assert "asked before" in again.stderr
    same = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert same["classes"] == found["classes"]
    # Another function of the same file is another model, and so is another question.
    other = audited(store, "own_model:other", tmp_path / "out", "--threshold", 0.5)
    assert "asked before" not in other.stderr
    assert read_scores(tmp_path / "out" / "scores.parquet", "t", "m").predictions.score.max() == pytest.approx(0.3)
    task = (store / "task.toml").read_text(encoding="utf-8")
    (store / "task.toml").write_text(task.replace('title = "RVH"', 'title = "another"'), encoding="utf-8")
    assert "asked before" not in audited(store, "own_model:other", tmp_path / "out", "--threshold", 0.5).stderr
    (store / "task.toml").write_text(task, encoding="utf-8")


def test_weights_are_asked_as_predict_asks_them(store, tmp_path):
    done = audited(store, "lisa-nano", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scored = read_scores(tmp_path / "out" / "scores.parquet", "t", "m")
    from auricle.data.store import Store

    opened, predictor = Store(store / "store"), Predictor.from_pretrained()
    names = [str(name) for name in opened.column("record_id")]
    for row in (0, 7):
        recording = opened.recording(names.index(scored.predictions.record_id[row]))
        scores = predictor(recording, ()).scores
        ours = dict(zip(scored.predictions.classes, scored.predictions.score[row], strict=True))
        for name in ("RVH", "SR"):
            assert ours[name] == pytest.approx(scores[name], abs=1e-5)
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert found["sets_from"] == "those of the model"
    assert any("covered_with" in one["overall"] for one in found["classes"].values())
    assert "trained on" in done.stdout  # these are simulated people, and so were those it learned from


def test_a_table_of_another_program_is_read(tmp_path):
    draw = np.random.default_rng(0)
    lines = ["record_id,patient_id,age_days,refused,y:RVH,p:RVH"]
    for number in range(400):
        days, ill = draw.uniform(0, 20000), draw.random() < 0.3
        score = 0.9 if days < 300 or ill else 0.1
        lines.append(f"{number},,{days:.1f},,{int(ill)},{score}")
    lines += ["r1,,5,noise,,", "r2,,,,1,0.9"]
    (tmp_path / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    done = auricle("audit", "scores.csv", "--threshold", 0.5, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert found["n_refused"] == 1
    assert found["n_without_age"] == 1
    assert found["n_records"] == 400


def test_sets_of_any_model_are_fitted_on_half_of_the_people_and_asked_of_the_other(tmp_path):
    draw = np.random.default_rng(0)
    lines = ["record_id,age_days,y:RVH,p:RVH"]
    for number in range(3000):
        # A model that knows everything of grown children and nothing of newborns.
        is_newborn, ill = number % 2, draw.random() < 0.4
        days = draw.uniform(0, 25) if is_newborn else draw.uniform(4000, 6000)
        score = draw.random() if is_newborn else 0.8 * ill + 0.2 * draw.random()
        lines.append(f"{number},{days:.1f},{int(ill)},{score:.4f}")
    (tmp_path / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    done = auricle("audit", "scores.csv", "--bootstrap", 30, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Sets of answers: fitted on the same other people" in done.stdout
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))["classes"]["RVH"]
    bands = {rate: {cell["band"]: cell["value"] for cell in cells} for rate, cells in found["bands"].items()}
    for rate in ("covered_with", "covered_without"):
        assert bands[rate]["3-30 d"] > 0.85
        assert bands[rate]["8-16 yr"] > 0.85
    assert bands["decided"]["3-30 d"] < 0.4
    assert not [where for where in found["unfit"] if where["rate"].startswith("covered")]
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "covered of those with it" in page
    # With one threshold for all there are no other people to fit them on.
    done = auricle("audit", "scores.csv", "--threshold", 0.5, "--bootstrap", 30, "--out", "all", cwd=tmp_path)
    assert "Sets of answers" not in done.stdout


def test_what_is_no_model_is_said_in_one_line(store, tmp_path, monkeypatch):
    monkeypatch.chdir(store)
    (tmp_path / "other.onnx").write_bytes(b"x")
    for asked, why in (
        ("own_model:nothing", "no such function"),
        ("nowhere:nothing", "no such function"),
        (str(tmp_path / "other.onnx"), "config.json"),
        (str(tmp_path / "none"), "none"),
    ):
        refused(audited(store, asked, tmp_path / "out"), why)
    refused(audited(store, "own_model:breaks", tmp_path / "out"), "list and not its scores")
    refused(audited(store, "own_model:cosine", tmp_path / "out2"), "probabilities")
    failed = audited(store, "own_model:fails", tmp_path / "out6")
    refused(failed, "fails with KeyError at")
    assert "Muster" not in failed.stderr
    refused(audited(store, "own_model:called", tmp_path / "out7", "--threshold", 90), "--threshold")
    refused(audited(store, "own_model:refuses", tmp_path / "out3"), "none of 60", "too short for me")
    refused(auricle("audit", "own_model:called", "store", "--out", tmp_path / "out4", cwd=store), "--task")
    refused(auricle("audit", "lisa-nano", "--out", tmp_path / "out5"), "give the records")
    own = (store / "task.toml").read_text()
    (tmp_path / "other.toml").write_text(
        own.replace('classes_of = "ecg/findings"\n', "") + '[[classes]]\nname = "X"\ncodes = ["X"]\n', encoding="utf-8"
    )
    refused(
        auricle(
            "audit", "lisa-nano", "store", "--task", tmp_path / "other.toml", "--out", tmp_path / "out8", cwd=store
        ),
        "answers none of the classes of own/rvh (X): choose another --task",
    )
    assert not (tmp_path / "out8").exists()
    refused(auricle("audit", "lisa-nano", "store", "--specificity", 1.5, cwd=store), "--specificity")


def table(path: Path, columns: str, rows: list[str]) -> Path:
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_table_may_come_from_any_spreadsheet(tmp_path, codec):
    (tmp_path / "t.csv").write_bytes("record_id;age_days;y:A;p:A\r\nä;3;1;0.5\r\n".encode(codec))
    found = read_scores(tmp_path / "t.csv", "t", "m").predictions
    assert found.record_id == ("ä",)
    assert found.score.tolist() == [[0.5]]


def test_cells_are_numbers_as_programs_and_countries_write_them(tmp_path):
    head = "record_id;age_days;y:A;p:A"
    path = table(tmp_path / "t.csv", head, ["r1;nan;1;0,594", "r2;1826,5;NaN;1e-05", "r3;-999;0;0,1"])
    found = read_scores(path, "t", "m").predictions
    assert found.score[:, 0].tolist() == [0.594, 1e-05, 0.1]
    assert found.truth[:, 0].tolist() == pytest.approx([1, math.nan, 0], nan_ok=True)
    assert found.age_days.tolist() == pytest.approx([math.nan, 1826.5, math.nan], nan_ok=True)
    for cell, column in (("1,825", "age_days"), ("5y", "age_days")):
        path = table(tmp_path / "t.csv", head, [f"r1;{cell};1;0.5"])
        with pytest.raises(DataError, match=rf"column {column}: the cell of recording 1 is no number; write days"):
            read_scores(path, "t", "m")


def test_people_are_told_apart_as_programs_write_them(tmp_path):
    rows = [f"r{n},{patient},{source},300,1,0.5" for n, (patient, source) in enumerate(
        [("0", "a"), ("0", "a"), ("0", "b"), ("", "a"), ("nan", "a"), ("NA", "a"), ("17", "")]
    )]  # fmt: skip
    path = table(tmp_path / "t.csv", "record_id,patient_id,source,age_days,y:A,p:A", rows)
    assert read_scores(path, "t", "m").predictions.patient_id == ("a/0", "a/0", "b/0", None, None, None, "/17")


def test_scores_that_are_no_probabilities_are_not_asked_for_their_calibration(tmp_path):
    rows = [f"{n},{100 * n},{n % 2},{3.0 * (n % 2) - 1}" for n in range(200)]
    table(tmp_path / "t.csv", "record_id,age_days,y:A,p:A", rows)
    done = auricle("audit", "t.csv", "--out", "out", "--bootstrap", 20, cwd=tmp_path)
    assert "no probabilities" in done.stdout
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert set(found["classes"]["A"]["curves"]) == {"sensitivity", "false_positives"}


def test_nothing_that_could_be_tested_is_no_all_clear(tmp_path):
    rows = [f"{n},{3 if n < 4 else 9000},{n % 2},0.5" for n in range(8)]
    table(tmp_path / "t.csv", "record_id,age_days,y:A,p:A", rows)
    done = auricle("audit", "t.csv", "--out", "out", "--threshold", 0.5, "--bootstrap", 20, cwd=tmp_path)
    assert "Nothing could be tested" in done.stdout
    one = table(
        tmp_path / "one.csv", "record_id,patient_id,age_days,y:A,p:A", [f"{n},p,300,{n % 2},0.5" for n in range(9)]
    )
    refused(auricle("audit", one, "--out", tmp_path / "out"), "one half of the patients")
    two = table(tmp_path / "two.csv", "record_id,patient_id,age_days,y:A,p:A", ["1,p,,1,0.5", "2,q,,0,0.5"])
    refused(auricle("audit", two, "--out", tmp_path / "out"), "no record has an age")


def test_what_could_not_be_read_says_why(store, tmp_path):
    (tmp_path / "records.csv").write_text("file,age\nnone.hea,3d\n", encoding="utf-8")
    done = auricle(
        "audit", "own_model:called", tmp_path / "records.csv", "--task", "task.toml", "--out", tmp_path / "o", cwd=store
    )
    refused(done, "none of 1 recordings", "none.hea")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("record_id,y:A,p:A\n1,1,0.5\n", "age_days"),
        ("record_id,age_days,p:A\n1,3,0.5\n", "y:CLASS"),
        ("record_id,age_days,y:A,p:A\n1,3,1,\n", "no score p:A"),
        ("record_id,age_days,y:A,p:A\n1,3,1,high\n", "p:A"),
        ("record_id,age_days,y:A,p:A\n1,3,1,0.5\n1,3,1,0.5\n", "twice"),
        ("record_id,age_days,y:A,p:A,p:A\n1,3,1,0.5,0.6\n", "two columns p:A"),
        ('record_id,age_days,y:A,p:A\n1,3,1,"0.5\n', "line 2"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, text, why):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(why)):
        read_scores(tmp_path / "t.csv", "t", "m")
