"""GE CardioSoft XML (`CardiologyXML`, `RestECG`): counts as text, microvolts a count.

Source: the structure of the export as published with the UK Biobank's resting ECGs (data field 20205). Read from files
made after it; no export of a CardioSoft system was at hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from auricle.errors import ReadError
from auricle.io import xml
from auricle.io.carts import Channel, Export, date_of, number_of, recording_of
from auricle.recording import Recording

# Where a whole recording may stand; the median beat is none.
_STRIPS: Final = ("StripData", "FullDisclosure")
_NUMBERS: Final = {
    "heart_rate": "VentricularRate", "rr_ms": "RRInterval", "p_ms": "PDuration", "pr_ms": "PQInterval",
    "qrs_ms": "QRSDuration", "qt_ms": "QTInterval", "qtc_ms": "QTCInterval", "p_axis_deg": "PAxis",
    "qrs_axis_deg": "RAxis", "t_axis_deg": "TAxis",
}  # fmt: skip
_STATEMENTS: Final = ("Diagnosis/DiagnosisText", "Conclusion/ConclusionText")


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an XML document of CardioSoft."""
    return xml.root_name(path, head) == "CardiologyXML"


def read(path: Path, **context: object) -> Recording:
    """A recording from a CardioSoft XML file.

    Raises:
        ReadError: damaged, or without the samples of a rhythm.
    """
    root = xml.parse(path)
    strip = next((found for found in (root.find(name) for name in _STRIPS) if found is not None), None)
    if strip is None:
        raise ReadError(f"{path}: is CardioSoft XML without a rhythm; export it with its strip data")
    person = xml.person(path, root, "PatientInfo")
    age = person.find("Age")
    said = root.find("Interpretation")
    measured = root.find("RestingECGMeasurements")
    return recording_of(
        path,
        Export(
            channels=_channels(path, strip),
            ages=[] if age is None or not xml.text_of(age) else [f"{xml.text_of(age)} {age.get('units') or 'years'}"],
            born=_date(person.find("BirthDateTime")),
            recorded=_date(root.find("ObservationDateTime")),
            sex=xml.text_of(person, "Gender"),
            patient_id=xml.text_of(person, "PID"),
            statements=[] if said is None else [xml.text_of(node) for tag in _STATEMENTS for node in said.findall(tag)],
            measurements={name: number_of(xml.text_of(measured, tag)) for name, tag in _NUMBERS.items()},
            band_hz=(number_of(xml.text_of(root, "FilterSetting/HighPass")), _low_pass(root)),
        ),
        context,
    )


def _low_pass(root: Element) -> float | None:
    return number_of(xml.text_of(root, "FilterSetting/LowPass"))


def _channels(path: Path, strip: Element) -> list[Channel]:
    rate_hz, microvolts = number_of(xml.text_of(strip, "SampleRate")), number_of(xml.text_of(strip, "Resolution"))
    if not rate_hz:
        raise ReadError(f"{path}: says no sampling rate")
    scale = microvolts / 1000 if microvolts else 1.0
    announced = number_of(xml.text_of(strip, "ChannelSampleCountTotal")) or 0
    channels = [
        Channel(lead.get("lead") or "", xml.counts(path, xml.text_of(lead)) * scale, rate_hz, bool(microvolts))
        for lead in strip.findall("WaveformData")
    ]
    shortest = min((len(channel.samples) for channel in channels), default=0)
    if shortest < announced:
        raise ReadError(f"{path}: announces {announced:.0f} samples a lead and holds {shortest}; export it again")
    return channels


def _date(node: Element | None) -> str:
    """A date that is written by its parts."""
    parts = [number_of(xml.text_of(node, part)) for part in ("Year", "Month", "Day")]
    clock = [number_of(xml.text_of(node, part)) for part in ("Hour", "Minute", "Second")]
    if any(part is None for part in parts):
        return ""
    year, month, day = (int(part or 0) for part in parts)
    hour, minute, second = (int(part or 0) for part in clock)
    return date_of(year, month, day, None if any(part is None for part in clock) else (hour, minute, second))
