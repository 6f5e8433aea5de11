"""Measurements as a DICOM Structured Report: the values as measured, nothing that is not known, nobody's diagnosis."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.age import Age
from auricle.dicom_sr import measured_report
from auricle.io.dicom_writer import write_dicom
from auricle.io.wfdb_writer import write_wfdb
from auricle.measure.recording import measure_recording
from auricle.paediatrics.findings import assess
from auricle.paediatrics.report import to_dict
from auricle.recording import Recording
from auricle.simulate.newborn import newborn
from running import auricle, refused

pydicom = pytest.importorskip("pydicom", reason="needs the extra io")
concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts

MADE = datetime(2024, 3, 7, 8, 0, 1)
# Of PS3.16, and not in pydicom's tables: concepts of templates that belong to no context group.
NOT_IN_TABLES = {
    ("28010-7", "LN"), ("2:16016", "MDC"), ("{H.B.}/min", "UCUM"), ("en", "RFC5646"), ("de", "RFC5646"),
    ("zh", "RFC5646"),
}  # fmt: skip
# Those of a rate, of intervals and of a QT must be in it by its template.
NOTHING = {"value": None, "unit": "ms", "not_measurable": "no beat was found"}
DEMANDED = {"2:16016", "2:16160", "2:15872", "2:16156", "2:16168"}


@cache
def child() -> Recording:
    return replace(newborn(), age=Age("3d"), sex="F", patient_id="P7", recorded="2024-03-06T14:20:05")


def answered(recording: Recording) -> dict[str, Any]:
    values = measure_recording(recording)
    return to_dict(assess(values, recording.age, recording.sex), values, recording.notes)


@cache
def child_answered() -> dict[str, Any]:
    return answered(child())


def document(recording: Recording, plain: dict[str, Any] | None = None, language: str = "en") -> Any:
    return pydicom.dcmread(BytesIO(measured_report(recording, plain or child_answered(), MADE, language)))


def items(data: Any) -> Iterator[Any]:
    """All content items, a parent before its children."""
    for item in data.get("ContentSequence") or ():
        yield item
        yield from items(item)


def code_of(item: Any) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def numbers(data: Any) -> dict[str, tuple[float, str] | None]:
    """Global numbers with their units by their codes; None without a value."""
    made = {}
    for group in (item for item in items(data) if code_of(item) == "122158"):
        for item in (one for one in group.ContentSequence if one.ValueType == "NUM"):
            values = item.MeasuredValueSequence
            made[code_of(item)] = (
                (float(values[0].NumericValue), str(values[0].MeasurementUnitsCodeSequence[0].CodeValue))
                if values
                else None
            )
    return made


def text_of(data: Any) -> str:
    return str(next(item for item in items(data) if code_of(item) == "271921002").TextValue)


def test_the_values_are_those_measured() -> None:
    plain = child_answered()
    found = numbers(document(child(), plain))
    expected = {
        "2:16016": ("heart_rate", "{H.B.}/min"), "2:16160": ("qt", "ms"), "2:15876": ("qtc_bazett", "ms"),
        "2:15872": ("pr", "ms"), "2:16156": ("qrs", "ms"), "2:16168": ("rr", "ms"), "2:16184": ("p_duration", "ms"),
        "2:16128": ("p_axis", "deg"), "2:16132": ("qrs_axis", "deg"), "2:16136": ("t_axis", "deg"),
        "2:15892": ("qtc_fridericia", "ms"),
    }  # fmt: skip
    assert set(found) == set(expected)
    for code, (name, unit) in expected.items():
        assert found[code] == (round(plain["values"][name]["value"], 1), unit)


def test_a_corrected_qt_says_by_which_formula() -> None:
    qtc = next(item for item in items(document(child())) if code_of(item) == "2:15876")
    assert qtc.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "122730"  # Bazett's


def test_a_lead_has_its_amplitudes_upright_or_inverted() -> None:
    plain = child_answered()
    leads = {}
    for group in (item for item in items(document(child(), plain)) if code_of(item) == "122159"):
        named, *waves = group.ContentSequence
        values = {code_of(item): float(item.MeasuredValueSequence[0].NumericValue) for item in waves}
        leads[str(named.ConceptCodeSequence[0].CodeMeaning).removeprefix("Lead ").partition(",")[0]] = values
    assert list(leads) == plain["leads"]
    for lead, values in leads.items():
        measured = {wave: plain["values"][f"{wave}_{lead.lower()}"]["value"] for wave in ("p", "r", "st", "t")}
        p, t = ("2:1280", "2:1536")[measured["p"] < 0], ("2:2560", "2:2816")[measured["t"] < 0]
        assert values == pytest.approx(
            {p: measured["p"], "2:2048": measured["r"], "2:768": measured["st"], t: measured["t"]}, abs=0.00051
        )


def test_every_code_is_one_of_the_standard() -> None:
    known = {
        (code, scheme)
        for scheme, words in concepts.items()
        for meanings in words.values()
        for code in meanings
    }  # fmt: skip
    flat = {**child_answered(), "values": dict.fromkeys(child_answered()["values"], NOTHING)}
    for data in (document(child()), document(child(), language="zh"), document(child(), flat, "de")):
        used = {
            (str(one.CodeValue), str(one.CodingSchemeDesignator))
            for _, sequence in all_sequences(data)
            for one in sequence
            if "CodeValue" in one
        }
        assert used - known <= NOT_IN_TABLES


def all_sequences(data: Any) -> Iterator[tuple[Any, Any]]:
    for element in data:
        if element.VR == "SQ":
            yield element.keyword, element.value
            for one in element.value:
                yield from all_sequences(one)


def test_what_was_not_measured_has_no_value() -> None:
    flat = replace(child(), signal=np.zeros_like(child().signal))
    plain = answered(flat)
    data = document(flat, plain)
    assert numbers(data) == dict.fromkeys(DEMANDED)
    assert not [item for item in items(data) if code_of(item) == "122159"]
    failed = next(item for item in items(data) if code_of(item) == "2:16156")
    assert failed.NumericValueQualifierCodeSequence[0].CodeValue == "114006"
    assert failed.ContentSequence[0].TextValue == plain["values"]["qrs"]["not_measurable"]
    one = replace(child(), signal=child().signal[:1], leads=("I",))
    assert not {"2:16128", "2:16132", "2:16136"} & set(numbers(document(one, answered(one))))


def test_it_is_for_research_and_nobody_verified_it() -> None:
    plain = child_answered()
    data = document(child(), plain)
    assert (data.VerificationFlag, data.CompletionFlag, data.PreliminaryFlag) == (
        "UNVERIFIED", "PARTIAL", "PRELIMINARY"
    )  # fmt: skip
    *said, last = text_of(data).split("\r\n")
    assert last == "Research use, not a diagnosis."
    assert {finding["sentence"]["en"] for finding in plain["findings"]} < set(said)
    assert "Research use, not a diagnosis." in data.SeriesDescription
    german = document(child(), plain, "de")
    assert plain["findings"][0]["sentence"]["de"] in text_of(german)
    assert german.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "de"


def test_what_a_reader_must_know_first_stands_first() -> None:
    plain = {
        **child_answered(),
        "notes": ["channel PLETH is no ECG lead and is left out"],
        "remarks": [{"sentence": {"en": "The arms are swapped."}}],
    }
    noted, remark, *_ = text_of(document(child(), plain)).split("\r\n")
    assert noted.startswith("channel PLETH is no ECG lead")
    assert remark == "The arms are swapped."


def test_of_the_patient_it_says_what_the_recording_says() -> None:
    data = document(child())
    assert (data.PatientID, data.PatientSex, data.PatientAge) == ("P7", "F", "003D")
    assert (data.StudyDate, data.StudyTime) == ("20240306", "142005")
    assert (data.ContentDate, data.ContentTime) == ("20240307", "080001")
    assert data.ContentTemplateSequence[0].TemplateIdentifier == "3700"
    assert next(item for item in items(data) if item.ValueType == "DATETIME").DateTime == "20240306142005"


def test_what_is_unknown_is_empty_and_the_template_that_needs_it_is_not_claimed() -> None:
    data = document(replace(child(), age=None, sex=None, patient_id=None, recorded=None))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        assert not data[keyword].value
    assert not data.PatientAge
    assert not [item for item in items(data) if item.ValueType == "DATETIME"]
    assert "ContentTemplateSequence" not in data


def test_the_same_document_is_the_same_file() -> None:
    plain = child_answered()
    first, second = (measured_report(child(), plain, MADE) for _ in range(2))
    assert first == second


def test_another_document_of_a_recording_is_another_instance_in_its_study(tmp_path: Path) -> None:
    plain = child_answered()
    data = document(child(), plain)
    later = pydicom.dcmread(BytesIO(measured_report(child(), plain, MADE.replace(hour=9))))
    assert later.SOPInstanceUID != data.SOPInstanceUID
    assert later.SeriesInstanceUID == data.SeriesInstanceUID
    waveform = pydicom.dcmread(write_dicom(tmp_path / "w.dcm", child()))
    assert waveform.StudyInstanceUID == data.StudyInstanceUID
    assert waveform.SeriesInstanceUID != data.SeriesInstanceUID


def test_two_records_of_one_name_are_two_studies() -> None:
    plain = child_answered()
    other = replace(child(), signal=child().signal + np.float32(0.001))
    assert document(child(), plain).StudyInstanceUID != document(other, plain).StudyInstanceUID


def test_the_command_writes_one_report_of_one_recording(tmp_path: Path) -> None:
    one, two = write_wfdb(tmp_path / "a", child()), write_wfdb(tmp_path / "b", child())
    done = auricle("measure", one, "--sr", tmp_path / "a.dcm")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "a.dcm") in done.stdout
    assert pydicom.dcmread(tmp_path / "a.dcm").SOPClassUID.name == "Comprehensive SR Storage"
    for arguments, why in (
        ((one, two, "--sr", tmp_path / "x.dcm"), "holds one recording"),
        ((one, "--sr", tmp_path / "x.json"), "ends in .dcm"),
        ((one, "--sr", tmp_path / "x.dcm", "--out", tmp_path / "t.csv"), "give one of them"),
        ((tmp_path / "a.dcm",), "DICOM without a waveform"),
    ):
        refused(auricle("measure", *arguments), why)
    assert not (tmp_path / "x.dcm").exists()


@pytest.mark.parametrize(("tool", "package"), [("dciodvfy", "dicom3tools"), ("dsrdump", "dcmtk")])
def test_validators_find_no_error(tmp_path: Path, tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: apt-get install {package})")
    plain = child_answered()
    unknown = replace(child(), age=None, sex=None, patient_id=None, recorded=None)
    nothing = {**plain, "values": dict.fromkeys(plain["values"], NOTHING)}
    for n, (recording, known, language) in enumerate(
        ((child(), plain, "en"), (child(), plain, "zh"), (unknown, plain, "de"), (child(), nothing, "en"))
    ):
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(measured_report(recording, known, MADE, language))
        done = subprocess.run([tool, path], capture_output=True, check=False)
        lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        assert done.returncode == 0, lines
        assert not [line for line in lines if line.startswith(("Error", "E:", "F:"))]
