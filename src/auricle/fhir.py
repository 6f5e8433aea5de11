"""Answers as FHIR resources: a Bundle of one DiagnosticReport and its Observations, checked by `fhir.resources` (R4B).

Every resource is `preliminary`, and says that it is for research use. A value's reference range is the 2nd to the 98th
centile at the age, with its source; a value that could not be measured has its reason. Codes are LOINC's of values and
SNOMED CT's of classes where there is one, words elsewhere. Source: HL7 FHIR R4, Observation and DiagnosticReport.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from auricle.age import DAYS_PER_YEAR
from auricle.errors import require
from auricle.measure.measurements import DECIMALS, UNITS
from auricle.paediatrics import wording
from auricle.recording import Recording

_LOINC, _SNOMED, _UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
_CODES: Final = {
    "heart_rate": ("8867-4", "Heart rate"), "pr": ("8625-6", "P-R Interval"), "qrs": ("8633-0", "QRS duration"),
    "qt": ("8634-8", "Q-T interval"), "qtc_bazett": ("8636-3", "Q-T interval corrected"),
    "p_axis": ("8626-4", "P wave axis"), "qrs_axis": ("8632-2", "QRS axis"), "t_axis": ("8638-9", "T wave axis"),
}  # fmt: skip
_STUDY: Final = ("11524-6", "EKG study")
_UCUM_UNITS: Final = {"1/min": "/min", "ms": "ms", "deg": "deg", "mV": "mV", "1": "1"}
_DIGITS: Final = {**DECIMALS, "%": 1}
_CATEGORY: Final = ("http://terminology.hl7.org/CodeSystem/observation-category", "procedure", "Procedure")
_SERVICE: Final = ("http://terminology.hl7.org/CodeSystem/v2-0074", "EC", "Electrocardiac (e.g., EKG, EEC, Holter)")
_INTERPRETATIONS: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_POSITIONS: Final = {"low": ("L", "Low"), "high": ("H", "High"), "normal": ("N", "Normal")}
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
# Names of resources follow from the recording, so that the same answer has the same names.
_NAMES: Final = uuid.UUID("7c0d1a52-5d0f-4f0e-9c5e-6f1d3b2a9e10")


def measured_bundle(recording: Recording, plain: Mapping[str, Any], language: str = "en") -> dict[str, Any]:
    """Measurements of a recording with their centiles, and what they mean.

    Args:
        recording: whose `patient_id` becomes the subject's identifier and whose day of recording the effective date.
        plain: as `paediatrics.report.to_dict` gives it.
        language: of the findings: "en", "zh" or "de".

    Raises:
        MissingExtraError: fhir.resources is not installed.
    """
    shown = {name: value for name, value in plain["values"].items() if name in UNITS or value["limits"] is not None}
    observations = [_measured(recording, name, value, plain, language) for name, value in shown.items()]
    return _bundle(recording, observations, wording.conclusion_lines(plain, language), language)


def predicted_bundle(
    recording: Recording,
    plain: Mapping[str, Any],
    titles: Mapping[str, str],
    language: str = "en",
    snomed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Scores of a recording by class, each beside what it had been without the age.

    Args:
        recording: as in `measured_bundle`.
        plain: as `Prediction.to_dict` gives it.
        titles: classes in words.
        language: of `titles`.
        snomed: SNOMED CT codes of classes, as far as they have one.

    Raises:
        MissingExtraError: fhir.resources is not installed.
    """
    observations = []
    for name, score in plain["scores"].items():
        code: dict[str, Any] = {"text": f"{titles.get(name, name)} ({name})"}
        if name in (snomed or {}):
            # Without a display: a display must be SNOMED CT's own words, and no release was at hand.
            code["coding"] = [{"system": _SNOMED, "code": (snomed or {})[name]}]
        made = _observation(recording, f"score/{name}", code, plain["disclaimer"])
        made["valueQuantity"] = {"value": round(score, 4), "unit": plain["kind"], "system": _UCUM, "code": "1"}
        without = (plain["scores_without_age"] or {}).get(name)
        if without is not None:
            quantity = {"value": round(without, 4), "unit": plain["kind"], "system": _UCUM, "code": "1"}
            made["component"] = [{"code": {"text": "had the age been unknown"}, "valueQuantity": quantity}]
        model = plain["model"]
        made["method"] = {"text": f"auricle {model.get('auricle', '')} {model.get('method', '')}".strip()}
        observations.append(made)
    said = [wording.note_text(note, language) for note in plain["notes"]]
    return _bundle(recording, observations, [*said, plain["disclaimer"]], language)


def _measured(
    recording: Recording, name: str, value: Mapping[str, Any], plain: Mapping[str, Any], language: str
) -> dict[str, Any]:
    code: dict[str, Any] = {"text": wording.parameter_name(name, language)}
    if name in _CODES:
        code["coding"] = [_coding(_LOINC, *_CODES[name])]
    made = _observation(recording, f"measured/{name}", code, plain["disclaimer"])
    if value["value"] is None:
        made["dataAbsentReason"] = {
            "coding": [_coding(_ABSENT, "unknown", "Unknown")],
            "text": wording.note_text(value["not_measurable"], language),
        }
        return made
    made["valueQuantity"] = _quantity(value["value"], value["unit"])
    if value["uncertainty"] is not None:
        error = _quantity(value["uncertainty"], value["unit"])
        made["component"] = [{"code": {"text": "standard error"}, "valueQuantity": error}]
    if value["position"] is not None:
        made["interpretation"] = [{"coding": [_coding(_INTERPRETATIONS, *_POSITIONS[value["position"]])]}]
    limits = value["limits"]
    if limits is not None and plain["compared_age_days"] is not None and (limits["p2"], limits["p98"]) != (None, None):
        years = _quantity(round(plain["compared_age_days"] / DAYS_PER_YEAR, 4), "a")
        text = f"2nd to 98th centile at the age ({limits['source']}; {limits['population']})"
        reference: dict[str, Any] = {"age": {"low": years, "high": years}, "text": text}
        for end, bound in (("low", "p2"), ("high", "p98")):
            if limits[bound] is not None:
                reference[end] = _quantity(limits[bound], value["unit"])
        made["referenceRange"] = [reference]
        if value["centile"] is not None:
            made.setdefault("component", []).append(
                {"code": {"text": "centile for the age"}, "valueQuantity": _quantity(round(value["centile"], 1), "%")}
            )
    return made


def _quantity(value: float, unit: str) -> dict[str, Any]:
    digits = _DIGITS.get(unit, 4)
    return {"value": round(value, digits), "unit": unit, "system": _UCUM, "code": _UCUM_UNITS.get(unit, unit)}


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def _observation(recording: Recording, what: str, code: Mapping[str, Any], disclaimer: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": _name(recording, what),
        "status": "preliminary",
        "category": [{"coding": [_coding(*_CATEGORY)]}],
        "code": dict(code),
        **_about(recording),
        "note": [{"text": disclaimer}],
    }


def _about(recording: Recording) -> dict[str, Any]:
    """The subject by the identifier that its file has, and the day; a time of day would need the zone of the place."""
    subject = {"subject": {"identifier": {"value": recording.patient_id}}} if recording.patient_id else {}
    return subject | ({"effectiveDateTime": recording.recorded[:10]} if recording.recorded else {})


def _name(recording: Recording, what: str) -> str:
    person, moment = recording.patient_id or "", recording.recorded or ""
    return str(uuid.uuid5(_NAMES, "/".join((recording.source, person, recording.record_id, moment, what))))


def _bundle(recording: Recording, observations: list[dict[str, Any]], said: list[str], language: str) -> dict[str, Any]:
    report = {
        "resourceType": "DiagnosticReport",
        "id": _name(recording, "report"),
        "language": language,
        "status": "preliminary",
        "category": [{"coding": [_coding(*_SERVICE)]}],
        "code": {"coding": [_coding(_LOINC, *_STUDY)]},
        **_about(recording),
        "result": [{"reference": f"urn:uuid:{one['id']}"} for one in observations],
        "conclusion": "\n".join(said),
    }
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in (report, *observations)]
    made = require("fhir.resources.R4B.bundle", "fhir").Bundle.model_validate(
        {"resourceType": "Bundle", "type": "collection", "entry": entries}
    )
    plain: dict[str, Any] = made.model_dump(mode="json")
    return plain
