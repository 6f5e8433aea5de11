"""Writing a recording as a DICOM waveform: twelve-lead ECG where it is one, else general ECG; steps of a microvolt.

Source: DICOM PS3.3 A.34.3 and A.34.4, C.10.9. Identifiers follow from the recording's own, so that the same recording
makes the same file.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle import __version__
from auricle.age import DAYS_PER_MONTH, DAYS_PER_YEAR, Age
from auricle.atomic import write_bytes
from auricle.errors import DataError, require
from auricle.io.steps import MISSING, PER_MV, steps_of
from auricle.leads import STANDARD
from auricle.recording import Recording

_TWELVE_LEAD: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
_GENERAL: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
# What the standard allows of twelve-lead ECGs: rates and samples a channel.
_TWELVE_HZ, _TWELVE_SAMPLES = (200, 1000), 16384
_MOST_GENERAL: Final = 24
# Codes of SCP-ECG, which DICOM names leads by (CID 3001).
_LEAD_CODES: Final = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8, "V7": 9, "V3R": 11, "V4R": 12, "V5R": 13,
    "V6R": 14, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "V8": 66, "V9": 67,
}  # fmt: skip
_NUMBERS: Final = {
    "heart_rate": ("8867-4", "LN", "Heart rate", "{H.B.}/min"), "rr_ms": ("5.10.2.1-3", "SCPECG", "RR Interval", "ms"),
    "pr_ms": ("5.13.5-7", "SCPECG", "PR Interval", "ms"), "qrs_ms": ("5.13.5-9", "SCPECG", "QRS Duration", "ms"),
    "qt_ms": ("5.13.5-11", "SCPECG", "QT Interval", "ms"), "qtc_ms": ("5.10.2.5-5", "SCPECG", "QTc Interval", "ms"),
    "p_axis_deg": ("5.10.3-11", "SCPECG", "P Axis", "deg"), "qrs_axis_deg": ("5.10.3-13", "SCPECG", "QRS Axis", "deg"),
    "t_axis_deg": ("5.10.3-15", "SCPECG", "T Axis", "deg"),
}  # fmt: skip
_LARGEST_AGE: Final = 999


def write_dicom(path: Path, recording: Recording, deidentified: str = "") -> Path:
    """Write a recording as one DICOM file.

    Args:
        path: the file; what lies there is replaced.
        recording: with leads, in millivolts.
        deidentified: by what method its identity was removed; empty where it was not.

    Returns:
        The file.

    Raises:
        DataError: nothing to write, an unknown amplitude, or more than 24 leads.
        MissingExtraError: pydicom is not installed.
    """
    pydicom = require("pydicom", "io")
    if len(recording.leads) > _MOST_GENERAL:
        raise DataError(f"{recording.record_id}: DICOM holds {_MOST_GENERAL} leads, not {len(recording.leads)}")
    data = _identity(pydicom, recording, deidentified)
    data.WaveformSequence = pydicom.Sequence([_group(pydicom, recording)])
    notes = _annotations(pydicom, recording)
    if notes:
        data.WaveformAnnotationSequence = pydicom.Sequence(notes)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of identifiers that a hospital wrote and the standard does not allow
        pydicom.dcmwrite(content, data, enforce_file_format=True)
    write_bytes(path, content.getvalue())
    return path


def _identity(pydicom: Any, recording: Recording, deidentified: str) -> Any:
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    twelve = (
        recording.leads == STANDARD
        and _TWELVE_HZ[0] <= recording.rate_hz <= _TWELVE_HZ[1]
        and recording.signal.shape[1] <= _TWELVE_SAMPLES
    )
    own = [recording.source, recording.patient_id or "", recording.record_id, recording.recorded or ""]
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = _TWELVE_LEAD if twelve else _GENERAL
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance", *own])
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study", *own])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *own])
    data.SpecificCharacterSet = "ISO_IR 192"
    day, clock = _moment(recording.recorded)
    data.StudyDate, data.StudyTime, data.ContentDate, data.ContentTime = day, clock, day, clock
    data.AcquisitionDateTime = f"{day}{clock}"
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "ECG", "auricle", f"auricle {__version__}"
    data.PatientName, data.PatientID, data.PatientBirthDate = "", recording.patient_id or "", ""
    data.PatientSex, data.PatientAge = recording.sex or "", "" if recording.age is None else age_string(recording.age)
    data.AccessionNumber, data.ReferringPhysicianName, data.StudyID = "", "", ""
    data.SeriesNumber, data.InstanceNumber = 1, 1
    data.AcquisitionContextSequence = pydicom.Sequence([])
    if deidentified:
        data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", deidentified
    return data


def age_string(age: Age) -> str:
    """An age as DICOM has it, three digits and a unit, in the finest unit that it fits and that it was known to.

    The middle of what it may be counts: a child of 2.6 to 3.6 days is one of three.
    """
    for letter, days in (("D", 1.0), ("W", 7.0), ("M", DAYS_PER_MONTH), ("Y", DAYS_PER_YEAR)):
        number = int((age.days + age.resolution_days / 2) / days)
        if number <= _LARGEST_AGE and age.resolution_days < 2 * days:
            return f"{number:03d}{letter}"
    return f"{int(age.days / DAYS_PER_YEAR):03d}Y"


def _moment(recorded: str | None) -> tuple[str, str]:
    digits = re.sub(r"\D", "", recorded or "")
    return digits[:8], digits[8:14]


def _group(pydicom: Any, recording: Recording) -> Any:
    steps = steps_of(recording)
    made = pydicom.Dataset()
    made.MultiplexGroupTimeOffset, made.TriggerTimeOffset = "0", "0"
    made.WaveformOriginality, made.MultiplexGroupLabel = "ORIGINAL", "RHYTHM"
    made.NumberOfWaveformChannels, made.NumberOfWaveformSamples = steps.shape
    made.SamplingFrequency = f"{recording.rate_hz:.10g}"
    made.WaveformBitsAllocated, made.WaveformSampleInterpretation = 16, "SS"
    made.WaveformPaddingValue = np.int16(MISSING).astype("<i2").tobytes()
    made.ChannelDefinitionSequence = pydicom.Sequence([_channel(pydicom, lead, recording) for lead in recording.leads])
    made.WaveformData = np.ascontiguousarray(steps.T).astype("<i2").tobytes()
    return made


def _channel(pydicom: Any, lead: str, recording: Recording) -> Any:
    made = pydicom.Dataset()
    made.ChannelSourceSequence = _coded(pydicom, f"5.6.3-9-{_LEAD_CODES[lead]}", "SCPECG", f"Lead {lead}")
    made.ChannelSensitivity, made.ChannelSensitivityCorrectionFactor = f"{1000 / PER_MV:g}", "1"
    made.ChannelSensitivityUnitsSequence = _coded(pydicom, "uV", "UCUM", "microvolt")
    made.ChannelBaseline, made.ChannelSampleSkew, made.WaveformBitsStored = "0", "0", 16
    if recording.cart_band_hz is not None:
        high_pass, low_pass = recording.cart_band_hz
        made.FilterLowFrequency, made.FilterHighFrequency = f"{high_pass:g}", f"{low_pass:g}"
    return made


def _annotations(pydicom: Any, recording: Recording) -> list[Any]:
    """What the cart said, line by line, and what it measured."""
    notes = []
    for line in (recording.report or "").splitlines():
        note = pydicom.Dataset()
        note.UnformattedTextValue = line
        notes.append(note)
    for name, value in recording.measurements.items():
        if name in _NUMBERS:
            code, scheme, meaning, unit = _NUMBERS[name]
            note = pydicom.Dataset()
            note.ConceptNameCodeSequence = _coded(pydicom, code, scheme, meaning)
            note.MeasurementUnitsCodeSequence = _coded(pydicom, unit, "UCUM", unit)
            note.NumericValue = f"{value:.10g}"
            notes.append(note)
    for note in notes:
        note.ReferencedWaveformChannels, note.AnnotationGroupNumber = [1, 0], 0
    return notes


def _coded(pydicom: Any, value: str, scheme: str, meaning: str) -> Any:
    one = pydicom.Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, meaning
    return pydicom.Sequence([one])
