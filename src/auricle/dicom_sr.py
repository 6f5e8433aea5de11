"""What was measured as a DICOM Structured Report: a Comprehensive SR by the template of ECG reports, unverified.

It says that it is for research use, that no person has verified it and that it is partial. A value that could not be
measured has no item, or where the template demands one, an item without a value and with the reason. Source: DICOM
PS3.3 A.35.3 and C.17, PS3.16 TID 3700 with 3708, 3713, 3714 and 3717; codes are those of its context groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from auricle import __version__
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import require
from auricle.io.dicom_writer import LEAD_NUMBERS, about, coded, content_of, moment_of
from auricle.measure.measurements import DECIMALS, UNITS
from auricle.paediatrics import wording
from auricle.recording import Recording

_Code = tuple[str, str, str]
_COMPREHENSIVE: Final = "1.2.840.10008.5.1.4.1.1.88.33"
_MAPPING_RESOURCE: Final = "1.2.840.10008.8.1.1"
_CONTAINS, _OBSERVED, _MODIFIES, _IS = "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS PROPERTIES"

_REPORT: Final = ("28010-7", "LN", "ECG Report")
_LANGUAGE: Final = ("121049", "DCM", "Language of Content Item and Descendants")
_LANGUAGES: Final = {"en": "English", "de": "German", "zh": "Chinese"}
_OBSERVER: Final = ("121005", "DCM", "Observer Type")
_DEVICE: Final = ("121007", "DCM", "Device")
_DEVICE_UID: Final = ("121012", "DCM", "Device Observer UID")
_DEVICE_NAME: Final = ("121013", "DCM", "Device Observer Name")
_DEVICE_MODEL: Final = ("121015", "DCM", "Device Observer Model Name")
_PROCEDURE: Final = ("55111-9", "LN", "Current Procedure Descriptions")
_MOMENT: Final = ("122146", "DCM", "Procedure DateTime")
_QUANTITATIVE: Final = ("122144", "DCM", "Quantitative Analysis")
_GLOBAL: Final = ("122158", "DCM", "ECG Global Measurements")
_OF_LEAD: Final = ("122159", "DCM", "ECG Lead Measurements")
_LEAD: Final = ("122148", "DCM", "Lead ID")
_QUALITATIVE: Final = ("122145", "DCM", "Qualitative Analysis")
_FINDING: Final = ("271921002", "SCT", "ECG Finding")
_COMMENT: Final = ("121106", "DCM", "Comment")
_FAILED: Final = ("114006", "DCM", "Measurement failure")
_FORMULA: Final = ("111001", "DCM", "Algorithm Name")
_BAZETT: Final = ("122730", "DCM", "Bazett QT Correction Algorithm")

# In the order of the template, which counts.
_VALUES: Final[Mapping[str, _Code]] = {
    "heart_rate": ("2:16016", "MDC", "Ventricular Heart Rate"),
    "qt": ("2:16160", "MDC", "QT interval global"),
    "qtc_bazett": ("2:15876", "MDC", "QTc interval global"),
    "pr": ("2:15872", "MDC", "PR interval global"),
    "qrs": ("2:16156", "MDC", "QRS duration global"),
    "rr": ("2:16168", "MDC", "RR interval global"),
    "p_duration": ("2:16184", "MDC", "P duration global"),
    "p_axis": ("2:16128", "MDC", "P Axis"),
    "qrs_axis": ("2:16132", "MDC", "QRS axis"),
    "t_axis": ("2:16136", "MDC", "T axis"),
    # The template has one QTc; this one is an addition to it, by a code that names the formula.
    "qtc_fridericia": ("2:15892", "MDC", "QTc global using Fredericia formula"),
}
_DEMANDED: Final = ("heart_rate", "qt", "pr", "qrs", "rr")
_R: Final = ("2:2048", "MDC", "R amplitude, per lead")
_ST: Final = ("2:768", "MDC", "ST amplitude, per lead")
# A wave is its extreme, which is the largest value of an upright one and the smallest of an inverted one. Depths of Q
# and S are left out: nothing at hand says with which sign they are written.
_WAVES: Final[Mapping[str, tuple[_Code, _Code]]] = {
    "p": (("2:1280", "MDC", "P maximum amplitude, per lead"), ("2:1536", "MDC", "P minimum amplitude, per lead")),
    "r": (_R, _R),
    "st": (_ST, _ST),
    "t": (("2:2560", "MDC", "T maximum amplitude, per lead"), ("2:2816", "MDC", "T minimum amplitude, per lead")),
}
_AUGMENTED: Final = {"aVR": ", augmented voltage, right", "aVL": ", augmented voltage, left",
                     "aVF": ", augmented voltage, foot"}  # fmt: skip
_UNITS: Final[Mapping[str, _Code]] = {
    "1/min": ("{H.B.}/min", "UCUM", "BPM"), "ms": ("ms", "UCUM", "ms"), "deg": ("deg", "UCUM", "deg"),
    "mV": ("mV", "UCUM", "mV"),
}  # fmt: skip


def measured_report(recording: Recording, plain: Mapping[str, Any], made: datetime, language: str = "en") -> bytes:
    """Measurements of a recording and what they mean, as the content of a DICOM file.

    Args:
        recording: whose identifier, sex, age and moment are taken as they are; what is unknown is empty.
        plain: as `paediatrics.report.to_dict` gives it.
        made: when the document is made, in local time. The same document of another moment is another instance, of the
            same series.
        language: of the findings: "en", "zh" or "de".

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    pydicom = require("pydicom", "io")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of identifiers that a hospital wrote and the standard does not allow
        data = about(recording, _COMPREHENSIVE, "SR", f"{made:%Y%m%d%H%M%S}", language, repr(plain))
        _as_document(pydicom, data, made)
        moment = "".join(moment_of(recording.recorded))
        # The template demands the moment of the recording; where that is missing, the template is not claimed.
        root = _container(pydicom, _REPORT, _sections(pydicom, plain, moment, language), "3700" if moment else "")
        data.update({element.tag: element for element in root})
        return content_of(data)


def _as_document(pydicom: Any, data: Any, made: datetime) -> None:
    """What makes a data set a document, and what kind of one: nobody has looked at it."""
    data.ContentDate, data.ContentTime = f"{made:%Y%m%d}", f"{made:%H%M%S}"
    data.SeriesDescription = f"Measured by auricle. {RESEARCH_USE}"
    data.CompletionFlag, data.CompletionFlagDescription = "PARTIAL", "Measured by a program, read by nobody"
    data.VerificationFlag, data.PreliminaryFlag = "UNVERIFIED", "PRELIMINARY"
    data.ReferencedPerformedProcedureStepSequence = pydicom.Sequence([])
    data.PerformedProcedureCodeSequence = pydicom.Sequence([])


def _sections(pydicom: Any, plain: Mapping[str, Any], moment: str, language: str) -> list[Any]:
    """The items below the root, in the order of TID 3700."""
    device = pydicom.uid.generate_uid(entropy_srcs=["device", "auricle", __version__])
    made = [
        _code(pydicom, _LANGUAGE, (language, "RFC5646", _LANGUAGES[language]), _MODIFIES),
        _code(pydicom, _OBSERVER, _DEVICE, _OBSERVED),
        _item(pydicom, _OBSERVED, "UIDREF", _DEVICE_UID, UID=device),
        _item(pydicom, _OBSERVED, "TEXT", _DEVICE_NAME, TextValue="auricle"),
        _item(pydicom, _OBSERVED, "TEXT", _DEVICE_MODEL, TextValue=f"auricle {__version__}"),
    ]
    if moment:
        recorded = _item(pydicom, _CONTAINS, "DATETIME", _MOMENT, DateTime=moment)
        made.append(_container(pydicom, _PROCEDURE, [recorded], "3708"))
    numbers = [_container(pydicom, _GLOBAL, _values(pydicom, plain, language), "3713"), *_leads(pydicom, plain)]
    made.append(_container(pydicom, _QUANTITATIVE, numbers))
    said = _item(pydicom, _CONTAINS, "TEXT", _FINDING, TextValue="\r\n".join(wording.conclusion_lines(plain, language)))
    return [*made, _container(pydicom, _QUALITATIVE, [said], "3717")]


def _values(pydicom: Any, plain: Mapping[str, Any], language: str) -> list[Any]:
    """The global measurements; those that the template demands are there without a value where there is none."""
    made = []
    for name, code in _VALUES.items():
        value = plain["values"][name]
        if value["value"] is not None:
            formula = [_code(pydicom, _FORMULA, _BAZETT, _IS)] if name == "qtc_bazett" else []
            made.append(_number(pydicom, code, value["value"], value["unit"], formula))
        elif name in _DEMANDED:
            reason = wording.note_text(value["not_measurable"], language)
            why = _item(pydicom, _IS, "TEXT", _COMMENT, TextValue=reason)
            made.append(_number(pydicom, code, None, UNITS[name], [why]))
    return made


def _leads(pydicom: Any, plain: Mapping[str, Any]) -> list[Any]:
    """A container for each lead of which an amplitude was measured."""
    made = []
    for lead in plain["leads"]:
        found = {wave: plain["values"].get(f"{wave}_{lead.lower()}", {}).get("value") for wave in _WAVES}
        numbers = [
            _number(pydicom, _WAVES[wave][value < 0], value, "mV") for wave, value in found.items() if value is not None
        ]
        if numbers:
            named = f"{lead}{_AUGMENTED[lead]}" if lead in _AUGMENTED else f"Lead {lead}"
            code = (f"2:{LEAD_NUMBERS[lead]}", "MDC", named)
            made.append(_container(pydicom, _OF_LEAD, [_code(pydicom, _LEAD, code, _MODIFIES), *numbers], "3714"))
    return made


def _number(pydicom: Any, name: _Code, value: float | None, unit: str, further: Sequence[Any] = ()) -> Any:
    """A number with its unit; without a value, that it could not be measured."""
    made = _item(pydicom, _CONTAINS, "NUM", name, further)
    measured = []
    if value is None:
        made.NumericValueQualifierCodeSequence = coded(pydicom, *_FAILED)
    else:
        one = pydicom.Dataset()
        one.NumericValue = f"{round(value, DECIMALS[unit]) + 0.0:g}"  # nothing is written as -0
        one.MeasurementUnitsCodeSequence = coded(pydicom, *_UNITS[unit])
        measured.append(one)
    made.MeasuredValueSequence = pydicom.Sequence(measured)
    return made


def _code(pydicom: Any, name: _Code, value: _Code, relation: str) -> Any:
    return _item(pydicom, relation, "CODE", name, ConceptCodeSequence=coded(pydicom, *value))


def _container(pydicom: Any, name: _Code, items: Sequence[Any], template: str = "") -> Any:
    """Items under a heading, by a template of PS3.16 where they are one."""
    made = _item(pydicom, "" if name == _REPORT else _CONTAINS, "CONTAINER", name, items)
    made.ContinuityOfContent = "SEPARATE"
    if template:
        one = pydicom.Dataset()
        one.MappingResource, one.MappingResourceUID, one.TemplateIdentifier = "DCMR", _MAPPING_RESOURCE, template
        made.ContentTemplateSequence = pydicom.Sequence([one])
    return made


def _item(pydicom: Any, relation: str, kind: str, name: _Code, items: Sequence[Any] = (), **values: Any) -> Any:
    """A content item; the root is the one without a relation."""
    made = pydicom.Dataset()
    if relation:
        made.RelationshipType = relation
    made.ValueType, made.ConceptNameCodeSequence = kind, coded(pydicom, *name)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    if items:
        made.ContentSequence = pydicom.Sequence(list(items))
    return made
