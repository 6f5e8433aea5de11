"""HL7 annotated ECG (`AnnotatedECG`): samples as text between their origin and scale.

Source: HL7 aECG implementation guide, 21 March 2005. Codes are those of MDC (ISO 11073-10102), and a few that Mindray
writes beside them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from auricle.errors import ReadError
from auricle.io import xml
from auricle.io.carts import Channel, Export, date_of, number_of, recording_of
from auricle.io.units import millivolts_per
from auricle.recording import Recording

_RHYTHM: Final = "RHYTHM"
_TIMES: Final = ("TIME_ABSOLUTE", "TIME_RELATIVE")
_LEAD: Final = "MDC_ECG_LEAD_"
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_NUMBERS: Final = {
    "heart_rate": ("MDC_ECG_HEART_RATE",), "rr_ms": ("MDC_ECG_TIME_PD_RR",), "p_ms": ("MDC_ECG_TIME_PD_P",),
    "pr_ms": ("MDC_ECG_TIME_PD_PR",), "qrs_ms": ("MDC_ECG_TIME_PD_QRS",), "qt_ms": ("MDC_ECG_TIME_PD_QT",),
    "qtc_ms": ("MDC_ECG_TIME_PD_QTc", "MINDRAY_ECG_TIME_PD_QTcH"),
    "p_axis_deg": ("MDC_ECG_ANGLE_P_FRONT", "MINDRAY_ECG_P_AXIS"),
    "qrs_axis_deg": ("MDC_ECG_ANGLE_QRS_FRONT", "MINDRAY_ECG_QRS_AXIS"),
    "t_axis_deg": ("MDC_ECG_ANGLE_T_FRONT", "MINDRAY_ECG_T_AXIS"),
}  # fmt: skip
_STATEMENTS: Final = ("MDC_ECG_INTERPRETATION_STATEMENT", "MDC_ECG_INTERPRETATION_SUMMARY", "MDC_ECG_INTERPRETATION")
_LOW_PASS, _HIGH_PASS = "MDC_ECG_CTL_VBL_ATTR_FILTER_LOW_PASS", "MDC_ECG_CTL_VBL_ATTR_FILTER_HIGH_PASS"
_CUTOFF: Final = "MDC_ECG_CTL_VBL_ATTR_FILTER_CUTOFF_FREQ"
_REPORTED_AGE: Final = "21612-7"
# UCUM's year is "a"; the others are read as they stand.
_UCUM: Final = {"a": "yr", "mo": "mo", "wk": "wk", "d": "d", "h": "h"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an HL7 annotated ECG."""
    return xml.root_name(path, head) == "AnnotatedECG"


def read(path: Path, **context: object) -> Recording:
    """A recording from an annotated ECG: its first rhythm, not its representative beats.

    Raises:
        ReadError: damaged, or without a rhythm.
    """
    root = xml.parse(path)
    series = [one for one in root.iter("series") if one.find("component/sequenceSet") is not None]
    rhythm = next((one for one in series if _code(one) == _RHYTHM), series[0] if series else None)
    if rhythm is None:
        raise ReadError(f"{path}: is an annotated ECG without a series of waveforms; export it with them")
    person = xml.person(path, root, "subjectDemographicPerson")
    subject = xml.person(path, root, "trialSubject")
    return recording_of(
        path,
        Export(
            channels=_channels(path, rhythm),
            ages=_ages(root, person),
            born=_moment(_value(person, "birthTime")),
            recorded=_moment(_value(root, "effectiveTime/low") or _value(root, "effectiveTime/center")),
            sex=_attribute(person, "administrativeGenderCode", "code"),
            patient_id=_attribute(subject, "id", "extension") or xml.text_of(person, "PatientID"),
            statements=[xml.text_of(node, "value") for node in root.iter("annotation") if _code(node) in _STATEMENTS],
            measurements=_measurements(root),
            band_hz=(_cutoff(rhythm, _HIGH_PASS), _cutoff(rhythm, _LOW_PASS)),
        ),
        context,
    )


def _attribute(node: Element | None, place: str, name: str) -> str:
    """An attribute of what stands at a place below a node; empty where there is none."""
    found = None if node is None else node.find(place)
    return "" if found is None else found.get(name, "")


def _code(node: Element | None) -> str:
    return _attribute(node, "code", "code")


def _value(node: Element | None, place: str) -> str:
    return _attribute(node, place, "value")


def _channels(path: Path, rhythm: Element) -> list[Channel]:
    """The leads of the set of sequences, which share one time."""
    sets = [one for one in rhythm.findall("component/sequenceSet") if one.find("component/sequence") is not None]
    if len(sets) > 1:
        raise ReadError(f"{path}: holds leads that were recorded one after another (sequence sets), which is not read")
    sequences = sets[0].findall("component/sequence") if sets else []
    time = next((one for one in sequences if _code(one) in _TIMES), None)
    rate_hz = _rate_hz(time)
    if not rate_hz:
        raise ReadError(f"{path}: says no sampling rate")
    return [_channel(path, one, rate_hz) for one in sequences if _code(one) not in _TIMES and _code(one)]


def _rate_hz(time: Element | None) -> float | None:
    step = None if time is None else time.find("value/increment")
    seconds = None if step is None else number_of(step.get("value"))
    per = _SECONDS.get("s" if step is None else step.get("unit", "s"))
    # Steps are written with few digits: .002 s is 500 Hz and .0033333 s was 300.
    return round(1 / (seconds * per), 2) if seconds and per and seconds > 0 else None


def _channel(path: Path, sequence: Element, rate_hz: float) -> Channel:
    name = _code(sequence).removeprefix(_LEAD)
    digits = xml.counts(path, xml.text_of(sequence, "value/digits"))
    scale, origin = sequence.find("value/scale"), sequence.find("value/origin")
    per_count = None if scale is None else number_of(scale.get("value"))
    if per_count is None or scale is None:
        return Channel(name, digits, rate_hz, in_millivolts=False)
    unit = millivolts_per(scale.get("unit") or "uV")
    zero = 0.0 if origin is None else millivolts_per(origin.get("unit") or scale.get("unit") or "uV")
    begins = 0.0 if origin is None else number_of(origin.get("value")) or 0.0
    return Channel(name, digits * (per_count * unit) + begins * zero, rate_hz)


def _ages(root: Element, person: Element | None) -> list[str]:
    """Ages that are stated: as an observation (LOINC 21612-7), or in an element that some carts add."""
    said = []
    for observation in root.iter("relatedObservation"):
        value = observation.find("value")
        if _code(observation) == _REPORTED_AGE and value is not None and number_of(value.get("value")) is not None:
            said.append(f"{value.get('value')} {_UCUM.get(value.get('unit', 'a'), value.get('unit', ''))}")
    added = xml.text_of(person, "Age")
    return [*said, *([added] if re.search(r"\d\s*[^\W\d_]", added) else [])]


def _moment(text: str) -> str:
    """A time of HL7 (20021122091000.000-0500), of which the zone is left out."""
    found = re.match(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?", text)
    if found is None:
        return ""
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    return date_of(year, month, day, (int(found[4]), int(found[5]), int(found[6] or 0)) if found[4] else None)


def _measurements(root: Element) -> dict[str, float | None]:
    """The first annotation of each number: those of all leads stand before those of one."""
    by_code: dict[str, float | None] = {}
    for annotation in root.iter("annotation"):
        value, unit = number_of(_value(annotation, "value")), _attribute(annotation, "value", "unit")
        if value is not None and value != 0:
            by_code.setdefault(_code(annotation), value * 1000 * _SECONDS[unit] if unit in _SECONDS else value)
    return {name: next((by_code[code] for code in codes if code in by_code), None) for name, codes in _NUMBERS.items()}


def _cutoff(rhythm: Element, which: str) -> float | None:
    for variable in rhythm.iter("controlVariable"):
        if _code(variable) == which:
            for part in variable.findall("component/controlVariable"):
                if _code(part) == _CUTOFF:
                    return number_of(_value(part, "value"))
    return None
