"""Answers as FHIR: valid resources that say what the terminal says, and nothing that was not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auricle.age import Age
from auricle.fhir import measured_bundle, predicted_bundle
from auricle.io.wfdb_writer import write_wfdb
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.paediatrics.report import to_dict
from auricle.predict import Predictor
from auricle.recording import Recording
from auricle.simulate.newborn import newborn
from auricle.tasks import load_task
from running import auricle

bundle_module = pytest.importorskip("fhir.resources.R4B.bundle", reason="needs the extra fhir")


def child() -> Recording:
    return replace(newborn(), age=Age("3d"), sex="F", patient_id="P7", recorded="2024-03-06T14:20:05")


def answered(recording: Recording) -> dict[str, Any]:
    values = measure_recording(recording)
    return to_dict(assess(values, recording.age, recording.sex), values)


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def of_code(bundle: dict[str, Any], code: str) -> dict[str, Any]:
    return next(
        one for one in resources(bundle, "Observation")
        if any(coding["code"] == code for coding in one["code"].get("coding", ()))
    )  # fmt: skip


def test_a_bundle_is_valid_and_its_report_names_every_value() -> None:
    bundle = measured_bundle(child(), answered(child()))
    bundle_module.Bundle.model_validate(bundle)
    (report,) = resources(bundle, "DiagnosticReport")
    names = {entry["fullUrl"] for entry in bundle["entry"]}
    assert {one["reference"] for one in report["result"]} < names
    assert len(names) == len(bundle["entry"])
    assert report["status"] == "preliminary"
    assert report["conclusion"].endswith("Research use, not a diagnosis.")
    assert json.loads(json.dumps(bundle)) == bundle


def test_what_a_reader_must_know_first_comes_first() -> None:
    plain = answered(child())
    plain["notes"] = ["a.hea: the age in the header was not understood"]
    plain["remarks"] = [{"sentence": {"en": "The electrodes of the arms are swapped.", "de": "", "zh": ""}}]
    (report,) = resources(measured_bundle(child(), plain), "DiagnosticReport")
    lines = report["conclusion"].split("\n")
    assert lines[0].startswith("a.hea")
    assert lines[1] == "The electrodes of the arms are swapped."


def test_a_value_has_its_reference_range_at_the_age_and_the_source() -> None:
    plain = answered(child())
    qrs = of_code(measured_bundle(child(), plain), "8633-0")
    assert qrs["valueQuantity"]["value"] == round(plain["values"]["qrs"]["value"], 1)
    assert qrs["valueQuantity"]["code"] == "ms"
    (reference,) = qrs["referenceRange"]
    assert reference["low"]["value"] == round(plain["values"]["qrs"]["limits"]["p2"], 1)
    assert reference["high"]["value"] == round(plain["values"]["qrs"]["limits"]["p98"], 1)
    assert reference["age"]["low"]["value"] == pytest.approx(3 / 365.25, abs=1e-4)
    assert plain["values"]["qrs"]["limits"]["source"] in reference["text"]
    assert qrs["effectiveDateTime"] == "2024-03-06"
    assert qrs["subject"]["identifier"]["value"] == "P7"


def test_without_an_age_there_is_no_range_and_without_a_patient_no_subject() -> None:
    unknown = replace(child(), age=None, patient_id=None, recorded=None)
    for one in resources(measured_bundle(unknown, answered(unknown)), "Observation"):
        assert not {"referenceRange", "interpretation", "subject", "effectiveDateTime"} & set(one)


def test_what_was_not_measured_has_its_reason_and_no_value() -> None:
    few = replace(child(), signal=child().signal[:1], leads=("I",))
    plain = answered(few)
    assert plain["values"]["qrs_axis"]["value"] is None
    axis = of_code(measured_bundle(few, plain), "8632-2")
    assert "valueQuantity" not in axis
    assert axis["dataAbsentReason"]["text"] == plain["values"]["qrs_axis"]["not_measurable"]


def test_scores_stand_beside_what_they_had_been_without_the_age() -> None:
    plain = {
        "scores": {"NORM": 0.8, "RVH": 0.1}, "scores_without_age": {"NORM": 0.3, "RVH": 0.6}, "kind": "probability",
        "notes": ["the age is unknown"], "disclaimer": "Research use, not a diagnosis.", "model": {"method": "lisa"},
    }  # fmt: skip
    bundle = predicted_bundle(child(), plain, {"NORM": "normal ECG"}, snomed={"RVH": "89792004"})
    first, second = resources(bundle, "Observation")
    assert first["code"]["text"] == "normal ECG (NORM)"
    assert (first["valueQuantity"]["value"], first["component"][0]["valueQuantity"]["value"]) == (0.8, 0.3)
    assert second["note"][0]["text"] == "Research use, not a diagnosis."
    assert "coding" not in first["code"]
    assert second["code"]["coding"] == [{"system": "http://snomed.info/sct", "code": "89792004"}]


def test_a_class_has_a_code_where_its_codes_mean_one_thing() -> None:
    known = load_task("ecg/findings").snomed()
    assert known["RVH"] == "89792004"
    assert known["CRBBB"] == "713427006"  # and 59118001, scored as the same
    assert not {"ISC_", "2AVB", "NORM"} & set(known)  # of several places, of several kinds, of none
    assert Predictor.from_pretrained().snomed() == known


def test_the_same_answer_has_the_same_names() -> None:
    first, second = (measured_bundle(child(), answered(child())) for _ in range(2))
    assert first == second


def test_the_command_writes_a_bundle_or_one_a_line(tmp_path: Path) -> None:
    one, two = write_wfdb(tmp_path / "a", child()), write_wfdb(tmp_path / "b", child())
    done = auricle("measure", one, "--fhir", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    bundle_module.Bundle.model_validate_json((tmp_path / "a.json").read_text())
    done = auricle("measure", one, two, tmp_path / "none.hea", "--fhir", tmp_path / "both.ndjson", "--json")
    assert done.returncode == 2
    lines = (tmp_path / "both.ndjson").read_text().splitlines()
    assert [json.loads(line)["resourceType"] for line in lines] == ["Bundle", "Bundle"]
    for arguments, why in (
        ((one, two, "--fhir", tmp_path / "x.json"), "holds one recording"),
        ((one, "--fhir", tmp_path / "x.xml"), "ends in .json"),
        ((one, "--fhir", tmp_path / "x.json", "--out", tmp_path / "t.csv"), "give one of them"),
    ):
        done = auricle("measure", *arguments)
        assert done.returncode == 2
        assert why in done.stderr
    assert not (tmp_path / "x.json").exists()
