"""Writing a recording as a DICOM waveform: twelve-lead ECG where it is one, else general ECG; steps of a microvolt.

Source: DICOM PS3.3 A.34.3 and A.34.4, C.10.9. Identifiers follow from the recording's own and from its trace, so that
the same recording makes the same file and two records of one name are never one study.
"""

from __future__ import annotations

import hashlib
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
# The numbers of leads in SCP-ECG and in ISO/IEEE 11073, which DICOM names leads by (CID 3001).
LEAD_NUMBERS: Final = {
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
# Of coding schemes whose codes mean nothing without one (PS3.3 8.2).
_VERSIONS: Final = {"SCPECG": "1.3"}
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
    write_bytes(path, content_of(data))
    return path


def content_of(data: Any) -> bytes:
    """A data set as the bytes of a DICOM file."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of identifiers that a hospital wrote and the standard does not allow
        require("pydicom", "io").dcmwrite(content, data, enforce_file_format=True)
    return content.getvalue()


def _identity(pydicom: Any, recording: Recording, deidentified: str) -> Any:
    twelve = (
        recording.leads == STANDARD
        and _TWELVE_HZ[0] <= recording.rate_hz <= _TWELVE_HZ[1]
        and recording.signal.shape[1] <= _TWELVE_SAMPLES
    )
    data = about(recording, _TWELVE_LEAD if twelve else _GENERAL, "ECG")
    data.ContentDate, data.ContentTime = data.StudyDate, data.StudyTime
    data.AcquisitionDateTime = f"{data.StudyDate}{data.StudyTime}"
    data.AcquisitionContextSequence = pydicom.Sequence([])
    if deidentified:
        data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", deidentified
    return data


def about(recording: Recording, sop_class: str, modality: str, *more: str) -> Any:
    """What each file of a recording says: whose it is, of when, by which program; unknown things are empty.

    Args:
        recording: whose identifiers, sex, age and moment are taken as they are.
        sop_class: what kind of file it is.
        modality: what a series of such files is; all series of a recording lie in one study.
        *more: what tells this file from others of its series.

    Returns:
        A data set of pydicom.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    pydicom, uid = require("pydicom", "io"), require("pydicom.uid", "io")
    own = [recording.patient_id or "", recording.record_id, recording.recorded or ""]
    # Names such as `ecg1` occur in every ward.
    own.append(hashlib.sha256(recording.signal.tobytes()).hexdigest())
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    instance = uid.generate_uid(entropy_srcs=["instance", modality, *own, *more])
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = instance
    data.StudyInstanceUID = uid.generate_uid(entropy_srcs=["study", *own])
    data.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["series", modality, *own])
    data.SpecificCharacterSet = "ISO_IR 192"
    data.StudyDate, data.StudyTime = moment_of(recording.recorded)
    data.Modality, data.Manufacturer, data.ManufacturerModelName = modality, "auricle", f"auricle {__version__}"
    # A backslash would make two values of one.
    patient = (recording.patient_id or "").replace("\\", "/")
    data.PatientName, data.PatientID, data.PatientBirthDate = "", patient, ""
    data.PatientSex, data.PatientAge = recording.sex or "", "" if recording.age is None else age_string(recording.age)
    data.AccessionNumber, data.ReferringPhysicianName, data.StudyID = "", "", ""
    data.SeriesNumber, data.InstanceNumber = 1, 1
    return data


# From these years on DICOM's de-identification (PS3.15) joins ages.
_OLD_YEARS: Final = 89


def age_string(age: Age) -> str:
    """An age as DICOM has it, three digits and a unit, in the finest unit that it fits and that it was known to.

    The middle of what it may be counts: a child of 2.6 to 3.6 days is one of three. Empty where the age is known to
    two years or more (`5-7 y`): no unit is as coarse, and a year of it would say what nobody knew. `90+` is 090Y, as
    the standard's own de-identification writes it.
    """
    if age.resolution_days >= 2 * DAYS_PER_YEAR and age.days < _OLD_YEARS * DAYS_PER_YEAR:
        return ""
    for letter, days in (("D", 1.0), ("W", 7.0), ("M", DAYS_PER_MONTH), ("Y", DAYS_PER_YEAR)):
        number = int((age.days + age.resolution_days / 2) / days)
        if number <= _LARGEST_AGE and age.resolution_days < 2 * days:
            return f"{number:03d}{letter}"
    return f"{int(age.days / DAYS_PER_YEAR):03d}Y"


def moment_of(recorded: str | None) -> tuple[str, str]:
    """Day and time of a recording as DICOM writes them; empty where they are not known."""
    digits = re.sub(r"\D", "", recorded or "")
    return digits[:8], digits[8:14]


def _group(pydicom: Any, recording: Recording) -> Any:
    steps = steps_of(recording)
    made = pydicom.Dataset()
    made.TriggerTimeOffset = "0"
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
    made.ChannelSourceSequence = coded(pydicom, f"5.6.3-9-{LEAD_NUMBERS[lead]}", "SCPECG", f"Lead {lead}")
    made.ChannelSensitivity, made.ChannelSensitivityCorrectionFactor = f"{1000 / PER_MV:g}", "1"
    made.ChannelSensitivityUnitsSequence = coded(pydicom, "uV", "UCUM", "microvolt")
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
            note.ConceptNameCodeSequence = coded(pydicom, code, scheme, meaning)
            note.MeasurementUnitsCodeSequence = coded(pydicom, unit, "UCUM", unit)
            note.NumericValue = f"{value:.10g}"
            notes.append(note)
    for note in notes:
        note.ReferencedWaveformChannels, note.AnnotationGroupNumber = [1, 0], 0
    return notes


def coded(pydicom: Any, value: str, scheme: str, meaning: str) -> Any:
    """A sequence of one code."""
    one = pydicom.Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, meaning
    if scheme in _VERSIONS:
        one.CodingSchemeVersion = _VERSIONS[scheme]
    return pydicom.Sequence([one])
