"""What the service answers is what the library says; what it cannot answer is one line."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.paediatrics.report import to_dict
from auricle.predict import Predictor
from serving import recording_files


def refused(answer, *words, status=422):
    assert answer.status == status, answer.content
    text = answer.json["error"]
    assert "\n" not in text
    assert "/tmp" not in text
    for word in words:
        assert word in text


def test_measure_says_what_the_library_says(running, samples):
    answer = running.ask("/api/measure", {"age": "3d"}, recording_files(samples, "newborn"))
    recording = auricle.read(samples / "newborn.hea", age=auricle.Age(3))
    values = measure_recording(recording)
    told = to_dict(assess(values, recording.age, recording.sex), values, recording.notes)
    found = answer.json
    assert answer.status == 200
    assert {key: found[key] for key in told} == json.loads(json.dumps(told))
    assert "not a diagnosis" in found["disclaimer"]


def test_predict_says_what_the_library_says(running, samples):
    found = running.ask("/api/predict", {}, recording_files(samples, "newborn")).json
    told = Predictor.from_pretrained()(auricle.read(samples / "newborn.hea"))
    assert found["scores"] == pytest.approx(told.scores, abs=1e-5)
    assert found["scores_without_age"] == pytest.approx(told.scores_without_age, abs=1e-5)


def test_an_age_that_is_told_goes_before_the_files(running, samples):
    as_written = running.ask("/api/measure", {}, recording_files(samples, "newborn")).json
    older = running.ask("/api/measure", {"age": "30yr", "sex": "M"}, recording_files(samples, "newborn")).json
    assert as_written["age_days"] == 3
    assert older["age_days"] > 10_000
    assert older["sex"] == "M"
    assert as_written["values"]["qrs"]["value"] == older["values"]["qrs"]["value"]


def test_the_trace_comes_whole(running, samples):
    sent = running.ask("/api/view", {}, recording_files(samples, "newborn")).json["recording"]
    recording = auricle.read(samples / "newborn.hea")
    signal = np.frombuffer(base64.b64decode(sent["signal"]), "<f4").reshape(len(sent["leads"]), -1)
    assert tuple(sent["leads"]) == recording.leads
    np.testing.assert_array_equal(signal, recording.signal)


def test_the_page_is_told_four_ages_and_the_answer_with_and_without_age(running, samples):
    view = running.ask("/api/view", {"language": "de"}, recording_files(samples, "newborn")).json
    assert [age["age"] for age in view["ages"]] == ["3 Tg.", "3 Mon.", "3 J.", "30 J."]
    axis = [next(one for one in age["values"] if one["name"] == "QRS-Achse")["position"] for age in view["ages"]]
    assert axis[0] == "normal"
    assert axis[-1] == "high"
    likely = view["answer"]["classes"][0]
    assert likely["score"] != likely["without_age"]
    assert {one["may_be"] for one in view["answer"]["classes"]} <= {"ja", "nein", "offen"}
    assert "90%" in view["answer"]["sets"]
    assert "Forschung" in view["disclaimer"]


def test_a_fhir_bundle(running, samples):
    pytest.importorskip("fhir.resources")
    answer = running.ask("/api/measure", {"fhir": "1"}, recording_files(samples, "newborn"))
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.json["resourceType"] == "Bundle"


def test_a_report_needs_nothing_else(running, samples):
    answer = running.ask("/api/report", {"language": "zh"}, recording_files(samples, "newborn"))
    assert answer.headers["content-type"].startswith("text/html")
    assert "仅供研究" in answer.content.decode()
    assert "<script" not in answer.content.decode()


def test_what_changed_of_the_same_recording_is_nothing(running, samples):
    both = [*recording_files(samples, "newborn"), *recording_files(samples, "newborn", "previous_file")]
    found = running.ask("/api/changes", {}, both).json
    assert found["values"]
    assert not any(one["clear"] for one in found["values"])
    assert found["appeared"] == found["gone"] == []


def test_what_changed_from_newborn_to_child_whichever_is_sent_as_the_earlier(running, samples):
    both = [*recording_files(samples, "newborn"), *recording_files(samples, "child", "previous_file")]
    found = running.ask("/api/changes", {"previous_age": "6yr"}, both).json
    assert found["before"]["age"] == "3 d"
    assert found["now"]["age"] == "6 yr"
    axis = next(one for one in found["values"] if one["name"] == "QRS axis")
    assert axis["clear"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("scan.hea", b"nothing of the kind\n\x00", ()),
        ("empty.xml", b"", ()),
        ("bomb.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><restingecgdata>&b;</restingecgdata>', ()),
        ("many.zip", b"PK\x03\x04" + bytes(100), ("ZIP",)),
        ("../../etc/passwd", b"root", ("passwd",)),
        ("x.npy", b"\x93NUMPY\x01\x00", ()),
    ],
)
def test_what_cannot_be_read_is_one_line(running, name, content, words):
    refused(running.ask("/api/view", {}, [("file", name, content)]), *words)


def test_what_is_missing_or_wrong_is_one_line(running, samples):
    newborn = recording_files(samples, "newborn")
    refused(running.ask("/api/measure", {"age": "3d"}), "no file")
    refused(running.ask("/api/measure", {}, newborn[:1]), "newborn.dat is missing")
    refused(running.ask("/api/measure", {"age": "soon"}, newborn), "soon")
    refused(running.ask("/api/measure", {"sex": "Mädchen"}, newborn), "F or M")
    refused(running.ask("/api/measure", {"gestation": "x"}, newborn), "gestation")
    refused(running.ask("/api/measure", {"language": "fr"}, newborn), "language")
    refused(running.ask("/api/view", {"start_s": "nan"}, newborn), "start_s")
    refused(running.ask("/api/view", {"watched": "0"}), "no longer")
    refused(running.ask("/api/changes", {}, newborn), "earlier")
    refused(running.ask("/api/measure", {}, [*newborn, *newborn]), "twice")
    refused(running.ask("/api/measure", {}, [*newborn, *recording_files(samples, "child")]), "2 recordings")
    refused(running.ask("/api/measure", {}, [("age", "a", b"3d"), *newborn]), "age")
    refused(running.ask("/api/measure", {"agey": "5y"}, newborn), "agey: no such field")
    refused(running.ask("/api/measure", {"previous_age": "5y"}, newborn), "previous_age: no such field")
    refused(running.ask("/api/measure?age=3d", {}, newborn), "in the address")
    refused(running.ask("/api/measure", {"fhir": "false"}, newborn), "fhir")
    refused(running.ask("/api/jobs", {"age": "-3d"}, newborn), "negative age")
    refused(running.ask("/api/jobs", {"lang": "de"}, newborn), "lang: no such field")
    refused(running.ask("/api/nothing"), status=404)
    refused(running.ask("/api/words/fr"), status=404)


def test_noise_is_measured_and_gets_no_answer(running, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 5000)).astype(np.float32)
    np.savez(tmp_path / "noise.npz", signal=noise, rate_hz=500, leads=np.array(auricle.leads.STANDARD))
    view = running.ask("/api/view", {}, [("file", "noise.npz", (tmp_path / "noise.npz").read_bytes())]).json
    assert view["answer"]["refused"]
    assert running.ask("/api/predict", {}, [("file", "noise.npz", (tmp_path / "noise.npz").read_bytes())]).status == 422


def test_the_watched_folder_is_listed_and_read_by_number(running, samples):
    listed = running.until("/api/watched", lambda answer: answer.json["recordings"][0].get("sex")).json["recordings"]
    (child,) = [one for one in listed if one["name"] == "child.hea"]
    assert child["age_days"] > 1000
    view = running.ask("/api/view", {"watched": child["id"]}).json
    assert view["recording"]["id"] == "child"
    late = running.folder / "watched" / "ward" / "late.hea"
    late.parent.mkdir()
    for suffix in (".dat", ".hea"):
        text = (samples / f"newborn{suffix}").read_bytes().replace(b"newborn", b"late")
        late.with_suffix(suffix).write_bytes(text)
    new = running.until("/api/watched", lambda answer: len(answer.json["recordings"]) == 2).json["recordings"][0]
    assert new["name"] == "ward/late.hea"
    late.unlink()
    running.until("/api/watched", lambda answer: len(answer.json["recordings"]) == 1)
    refused(running.ask("/api/view", {"watched": new["id"]}), "no longer")


def test_a_job_answers_each_recording_once(running, samples):
    files = [
        ("file", f"{place}/{name}", content)
        for place in "ab"
        for _, name, content in recording_files(samples, "newborn")
    ]
    accepted = running.ask("/api/jobs", {"kind": "predict", "age": "5d"}, [*files, ("file", "bad.xml", b"<x/>")])
    assert accepted.status == 202
    name = accepted.json["id"]
    done = running.until(f"/api/jobs/{name}", lambda answer: answer.json["finished"]).json
    assert (done["n"], done["done"]) == (3, 3)
    lines = [json.loads(line) for line in running.ask(f"/api/jobs/{name}/results").content.splitlines()]
    assert [line["file"] for line in lines] == ["bad.xml", "a/newborn.hea", "b/newborn.hea"]
    assert lines[0]["error"]
    assert lines[1]["age_days"] == pytest.approx(5, abs=1)
    assert running.ask(f"/api/jobs/{name}", method="DELETE").status == 204
    assert not (running.folder / "jobs" / name).exists()
    refused(running.ask(f"/api/jobs/{name}"), status=404)


def test_a_job_without_a_recording_is_refused_and_leaves_nothing(running):
    before = sorted(path.name for path in (running.folder / "jobs").iterdir())
    refused(running.ask("/api/jobs", {}, [("file", "letter.txt", b"dear")]), "no recording")
    refused(running.ask("/api/jobs", {"kind": "cure"}, [("file", "a.xml", b"<x/>")]), "cure")
    assert sorted(path.name for path in (running.folder / "jobs").iterdir()) == before


def test_what_is_answered_is_described(running, samples):
    """`schemathesis` says the same of many thousand requests (docs/hospital.md)."""
    described = running.ask("/api/openapi.json").json["paths"]
    newborn = recording_files(samples, "newborn")
    asked = [
        ("/api/measure", "post", running.ask("/api/measure", {}, newborn)),
        ("/api/measure", "post", running.ask("/api/measure", {"fhir": "1"}, newborn)),
        ("/api/measure", "post", running.ask("/api/measure", {"file": "a text"})),
        ("/api/measure", "post", running.ask("/api/measure", {}, newborn, Host="evil.example")),
        ("/api/report", "post", running.ask("/api/report", {}, newborn)),
        ("/api/jobs", "post", running.ask("/api/jobs", {"file": "a text"})),
        ("/api/jobs/{job}", "get", running.ask("/api/jobs/none")),
        ("/api/jobs/{job}", "delete", running.ask("/api/jobs/none", method="DELETE")),
        ("/api/words/{language}", "get", running.ask("/api/words/xx")),
        ("/api/login", "post", running.ask("/api/login", {"token": "any"})),
        ("/metrics", "get", running.ask("/metrics")),
        ("/health", "get", running.ask("/health")),
    ]
    for path, method, answer in asked:
        known = described[path][method]["responses"]
        assert str(answer.status) in known, (path, answer.status)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        assert kind in known[str(answer.status)].get("content", {"": None}), (path, answer.status, kind)
        assert answer.status < 500
    assert running.ask("/api/measure").headers["allow"] == "POST"


def test_the_audit_log_has_files_by_digest_and_no_person(running, samples):
    running.ask("/api/measure", {"age": "77d"}, recording_files(samples, "newborn"))
    text = (running.folder / "audit.jsonl").read_text(encoding="utf-8")
    last = json.loads(text.splitlines()[-1])
    assert last["action"] == "measure"
    assert last["status"] == 200
    assert last["sha256"] == digests(samples, "newborn")
    assert last["weights"] == "lisa-nano"
    assert "newborn" not in text
    assert (running.folder / "audit.jsonl").stat().st_mode & 0o077 == 0


def digests(folder: Path, name: str) -> list[str]:
    files = sorted(folder.glob(f"{name}.*"))
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.suffix in (".dat", ".hea")]


def audited(running, action: str) -> list[dict]:
    lines = (running.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if line["action"] == action]


def test_the_audit_log_has_both_that_are_compared_and_the_signals_of_a_watched_one(running, samples):
    files = [*recording_files(samples, "newborn"), *recording_files(samples, "child", "previous_file")]
    assert running.ask("/api/changes", {}, files).status == 200
    last = audited(running, "changes")[-1]
    assert last["sha256"] == digests(samples, "newborn")
    assert last["previous_sha256"] == digests(samples, "child")
    number = running.ask("/api/watched").json["recordings"][0]["id"]
    assert running.ask("/api/view", {"watched": number}).status == 200
    assert sorted(audited(running, "view")[-1]["sha256"]) == sorted(digests(samples, "child"))


def test_the_audit_log_has_what_became_of_jobs(running, samples):
    job = running.ask("/api/jobs", {}, recording_files(samples, "newborn")).json["id"]
    running.until(f"/api/jobs/{job}", lambda answer: answer.json["finished"])
    running.ask(f"/api/jobs/{job}/results")
    running.ask(f"/api/jobs/{job}", method="DELETE")
    text = (running.folder / "audit.jsonl").read_text(encoding="utf-8")
    about = [line for line in map(json.loads, text.splitlines()) if line.get("job") == job[:8]]
    assert [line["action"] for line in about] == ["accept", "measure", "fetch", "delete"]
    assert about[1]["sha256"] == digests(samples, "newborn")
    assert job not in text  # whoever reads the log cannot fetch the answers


def test_log_and_metrics_say_nothing_of_people(running, samples):
    running.ask("/api/view", {"age": "77d"}, [("file", "Mueller_Anna.xml", b"<x/>")])
    running.ask("/api/Mueller_Anna?name=Mueller_Anna")
    running.ask("/api/jobs/Mueller_Anna")
    time.sleep(0.2)
    metrics = running.ask("/metrics").content.decode()
    for text in (running.log, metrics):
        assert "Mueller" not in text
        assert "newborn" not in text
    assert 'auricle_requests_total{route="/api/view",status="422"}' in metrics
    assert "auricle_request_seconds_bucket" in metrics
    assert "POST /api/view 422" in running.log


def test_nothing_is_left_behind_of_what_was_sent(running, samples):
    import tempfile

    running.ask("/api/view", {}, recording_files(samples, "newborn"))
    own = [path for path in Path(tempfile.gettempdir()).glob("auricle-uploads-*/*") if (path / "newborn.hea").exists()]
    assert own == []
