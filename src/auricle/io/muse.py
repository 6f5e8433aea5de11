"""GE MUSE XML (`RestingECG`): eight or more leads as bytes in Base64, the other limb leads following from I and II.

Source: the public document type `restecg.dtd`. Read from files made after it; no export of a MUSE system was at hand.
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

_SAMPLE_BYTES: Final = 2
_LARGEST_EXPONENT: Final = 6
_NUMBERS: Final = {
    "heart_rate": "VentricularRate", "p_ms": "PDuration", "pr_ms": "PRInterval", "qrs_ms": "QRSDuration",
    "qt_ms": "QTInterval", "qtc_ms": "QTCorrected", "p_axis_deg": "PAxis", "qrs_axis_deg": "RAxis",
    "t_axis_deg": "TAxis",
}  # fmt: skip
# MUSE writes the high-pass in hundredths of a hertz: 16 is .16 Hz.
_HIGH_PASS_PER_HZ: Final = 100.0
# What a statement's flag says of the line it stands in.
_ENDS_LINE: Final = "ENDSLINE"


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an XML document of a MUSE system."""
    return xml.root_name(path, head) == "RestingECG"


def read(path: Path, **context: object) -> Recording:
    """A recording from a MUSE XML file: its rhythm, not its median beat.

    Raises:
        ReadError: damaged, or without a rhythm.
    """
    root = xml.parse(path)
    rhythm = next((one for one in root.findall("Waveform") if xml.text_of(one, "WaveformType") == "Rhythm"), None)
    if rhythm is None:
        held = ", ".join(xml.text_of(one, "WaveformType")[:20] for one in root.findall("Waveform")) or "none"
        raise ReadError(f"{path}: is MUSE XML without a rhythm (waveforms: {held}); export it with waveforms")
    person = xml.person(path, root, "PatientDemographics")
    years, unit = xml.text_of(person, "PatientAge"), xml.text_of(person, "AgeUnits") or "YEARS"
    test = root.find("TestDemographics")
    high_pass = number_of(xml.text_of(rhythm, "HighPassFilter"))
    return recording_of(
        path,
        Export(
            channels=_channels(path, rhythm),
            ages=[f"{years} {unit}"] if number_of(years) is not None else [],
            born=_date(xml.text_of(person, "DateofBirth")),
            recorded=_date(xml.text_of(test, "AcquisitionDate"), xml.text_of(test, "AcquisitionTime")),
            sex=xml.text_of(person, "Gender"),
            patient_id=xml.text_of(person, "PatientID"),
            statements=_statements(root),
            measurements={
                name: number_of(xml.text_of(root, f"RestingECGMeasurements/{tag}")) for name, tag in _NUMBERS.items()
            },
            band_hz=(
                None if high_pass is None else high_pass / _HIGH_PASS_PER_HZ,
                number_of(xml.text_of(rhythm, "LowPassFilter")),
            ),
        ),
        context,
    )


def _channels(path: Path, rhythm: Element) -> list[Channel]:
    base, exponent = number_of(xml.text_of(rhythm, "SampleBase")), number_of(xml.text_of(rhythm, "SampleExponent"))
    if not base or abs(exponent or 0) > _LARGEST_EXPONENT:
        raise ReadError(f"{path}: says no sampling rate")
    rate_hz = base * 10.0 ** (exponent or 0)
    return [_channel(path, lead, rate_hz) for lead in rhythm.findall("LeadData")]


def _channel(path: Path, lead: Element, rate_hz: float) -> Channel:
    name = xml.text_of(lead, "LeadID")
    if number_of(xml.text_of(lead, "LeadSampleSize") or "2") != _SAMPLE_BYTES:
        raise ReadError(f"{path}: its samples of lead {name[:20]!r} are not of two bytes each, which is not read")
    counts = xml.words_16(path, xml.text_of(lead, "WaveFormData"))
    announced = number_of(xml.text_of(lead, "LeadSampleCountTotal"))
    if announced is not None and len(counts) < announced:
        raise ReadError(f"{path}: announces {announced:.0f} samples a lead and holds {len(counts)}; export it again")
    per_count = number_of(xml.text_of(lead, "LeadAmplitudeUnitsPerBit"))
    unit = millivolts_per(xml.text_of(lead, "LeadAmplitudeUnits") or "uV")
    baseline = number_of(xml.text_of(lead, "FirstSampleBaseline")) or 0.0
    return Channel(name, (counts - baseline) * (per_count or 1.0) * unit, rate_hz, bool(per_count))


def _statements(root: Element) -> list[str]:
    """Lines of the diagnosis, of which each is one or several statements."""
    lines, line = [], ""
    for statement in root.findall("Diagnosis/DiagnosisStatement"):
        line = f"{line} {xml.text_of(statement, 'StmtText')}"
        if any(xml.text_of(flag) == _ENDS_LINE for flag in statement.findall("StmtFlag")):
            lines.append(line)
            line = ""
    return [*lines, line]


def _date(day: str, clock: str = "") -> str:
    """A date of MUSE, month first (05-31-2024), and a time of day (14:20:05)."""
    parts = re.fullmatch(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})", day)
    if parts is None:
        return day
    time = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", clock)
    exact = (int(time[1]), int(time[2]), int(time[3] or 0)) if time else None
    return date_of(int(parts[3]), int(parts[1]), int(parts[2]), exact)
