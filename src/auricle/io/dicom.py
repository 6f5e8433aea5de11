"""DICOM waveforms: twelve-lead, general, ambulatory and the ECG channels of hemodynamic ones, by pydicom.

Samples are taken as they lie in the file and brought to millivolts by each channel's own sensitivity, correction,
baseline and unit; what a channel was sampled late by (its skew) is taken back. Source: DICOM PS3.3 C.10.9.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import DataError, ReadError, require
from auricle.io.carts import Channel, Export, date_of, number_of, recording_of
from auricle.io.units import millivolts_per
from auricle.leads import is_lead, shown
from auricle.recording import Recording

_PREAMBLE: Final = 128
# Files without a preamble begin with one of the first elements of their groups.
_BARE: Final = (b"\x08\x00\x05\x00", b"\x08\x00\x16\x00", b"\x08\x00\x00\x00", b"\x08\x00\x12\x00", b"\x02\x00\x00\x00")
_DTYPES: Final = {("SB", 8): "i1", ("UB", 8): "u1", ("SS", 16): "<i2", ("US", 16): "<u2", ("SL", 32): "<i4",
                  ("UL", 32): "<u4"}  # fmt: skip
_DEFLATED, _META_BYTES = b"1.2.840.10008.1.2.1.99", 2048
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
# By code of SCP-ECG and of LOINC, then by words for those who write another code.
_CODES: Final = {
    "8867-4": "heart_rate", "5.10.2.1-3": "rr_ms", "5.13.5-7": "pr_ms", "5.13.5-9": "qrs_ms", "5.13.5-11": "qt_ms",
    "5.10.2.5-5": "qtc_ms", "5.10.3-11": "p_axis_deg", "5.10.3-13": "qrs_axis_deg", "5.10.3-15": "t_axis_deg",
}  # fmt: skip
_WORDS: Final = {
    name: re.compile(pattern, re.I)
    for name, pattern in {
        "heart_rate": r"(heart|ventricular) rate", "rr_ms": r"\brr (interval|duration)", "p_ms": r"^p duration",
        "pr_ms": r"^p[rq] (interval|duration)", "qrs_ms": r"^qrs (duration|interval)",
        "qtc_ms": r"^qtc\w* (interval|duration)", "qt_ms": r"^qt (interval|duration)", "p_axis_deg": r"^p axis",
        "qrs_axis_deg": r"^(qrs|r) axis", "t_axis_deg": r"^t axis",
    }.items()
}  # fmt: skip
_LEAD_WORDS: Final = re.compile(r"\s*\((?:einthoven|goldberger|wilson|standard)[^)]*\)", re.I)
_PER_MS: Final = {"ms": 1.0, "s": 1000.0, "us": 0.001}


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is a DICOM file, with a preamble or without."""
    del path
    return head[_PREAMBLE : _PREAMBLE + 4] == b"DICM" or head.startswith(_BARE)


def read(path: Path, **context: object) -> Recording:
    """A recording from a DICOM waveform: its longest original group of channels, not its median beat.

    Raises:
        ReadError: an image or something else, damaged, or compressed samples.
    """
    pydicom = require("pydicom", "io")
    _refuse_deflated(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard does not allow and that harm nobody
            data = pydicom.dcmread(path, force=True)
            return recording_of(path, _export(path, data), context)
    except DataError:
        raise
    except Exception as error:  # the package raises whatever its parser trips over, when a value is first looked at
        raise ReadError(f"{path}: is damaged as DICOM ({type(error).__name__}); export it again") from None


def _refuse_deflated(path: Path) -> None:
    """A deflated file may be a thousand times its size when it is read; no cart writes one."""
    with path.open("rb") as file:
        if _DEFLATED in file.read(_META_BYTES):
            raise ReadError(f"{path}: is deflated DICOM, which is not read; export it as Explicit VR Little Endian")


def _export(path: Path, data: Any) -> Export:
    groups = list(data.get("WaveformSequence") or [])
    if not groups:
        kind = shown([str(getattr(data.get("SOPClassUID"), "name", "") or "of an unknown kind")])
        what = "a DICOM image" if "PixelData" in data or "Image" in kind else f"DICOM without a waveform ({kind})"
        raise ReadError(f"{path}: is {what}; export the ECG as a DICOM waveform, or its page as PNG")
    group = max(groups, key=_rank)
    high_pass, low_pass = _band(group)
    return Export(
        channels=_channels(path, group, str(data.file_meta.get("TransferSyntaxUID", "")) == _BIG_ENDIAN),
        ages=_ages(str(data.get("PatientAge") or "")),
        born=_date(str(data.get("PatientBirthDate") or ""), str(data.get("PatientBirthTime") or "")),
        recorded=_recorded(data),
        sex=str(data.get("PatientSex") or ""),
        patient_id=str(data.get("PatientID") or ""),
        statements=[
            str(note.get("UnformattedTextValue") or "") for note in data.get("WaveformAnnotationSequence") or []
        ],
        measurements=_measurements(data),
        band_hz=(high_pass, low_pass),
    )


def _rank(group: Any) -> tuple[int, int, float]:
    """Original before derived, more leads before fewer, longer before shorter."""
    leads = sum(is_lead(_name(channel)) for channel in group.ChannelDefinitionSequence)
    seconds = float(group.get("NumberOfWaveformSamples") or 0) / float(group.get("SamplingFrequency") or 1)
    return int(group.get("WaveformOriginality") == "ORIGINAL"), leads, seconds


def _channels(path: Path, group: Any, big_endian: bool) -> list[Channel]:
    definitions = list(group.ChannelDefinitionSequence)
    interpretation, bits = str(group.WaveformSampleInterpretation), int(group.WaveformBitsAllocated)
    dtype = _DTYPES.get((interpretation, bits))
    if dtype is None:
        raise ReadError(
            f"{path}: its samples are written as {shown([interpretation])} of {bits} bits, which is not read"
        )
    rate_hz = float(group.SamplingFrequency)
    kind = np.dtype(dtype).newbyteorder(">" if big_endian else "<")
    content = bytes(group.WaveformData)
    # How many samples there are is what the file holds; the announced number only says whether some are missing.
    held = len(content) // (kind.itemsize * len(definitions))
    announced = int(group.NumberOfWaveformSamples)
    if not held or held < announced:
        raise ReadError(f"{path}: announces {announced} samples a channel and holds {held}; export it again")
    counts = np.frombuffer(content, kind, count=announced * len(definitions)).reshape(announced, -1).T
    missing = _padded(counts, group, kind)
    return [
        _channel(definition, row, padded, rate_hz)
        for definition, row, padded in zip(definitions, counts, missing, strict=True)
    ]


def _padded(counts: NDArray[Any], group: Any, kind: np.dtype[Any]) -> NDArray[np.bool_]:
    """(channel, time) what is padding: a value at the end of the scale wherever it stands, and another one, such as the
    0 that some files name and every trace passes, only where all channels have it at once."""
    padding = group.get("WaveformPaddingValue")
    if not isinstance(padding, bytes) or len(padding) < kind.itemsize:
        return np.zeros(counts.shape, dtype=bool)
    value = np.frombuffer(padding, kind, count=1)[0]
    found: NDArray[np.bool_] = np.asarray(counts == value)
    limits = np.iinfo(kind)
    at_the_end = limits.min < 0 and value in (limits.min, limits.max)
    return found if at_the_end else np.broadcast_to(found.all(axis=0), found.shape)


def _channel(definition: Any, counts: NDArray[Any], missing: NDArray[np.bool_], rate_hz: float) -> Channel:
    name = _name(definition)
    samples = counts.astype(np.float64)
    samples[missing] = np.nan
    sensitivity = definition.get("ChannelSensitivity")
    in_millivolts = sensitivity is not None
    if in_millivolts:
        units = definition.get("ChannelSensitivityUnitsSequence") or []
        try:
            unit = millivolts_per(str(units[0].CodeValue) if units else "")
        except DataError:
            # Channels beside the ECG (pressures) are left out by their names.
            if is_lead(name):
                raise
            unit = 1.0
        factor = float(sensitivity) * float(definition.get("ChannelSensitivityCorrectionFactor") or 1)
        samples = (samples * factor + float(definition.get("ChannelBaseline") or 0)) * unit
    return Channel(name, _on_time(samples, _late(definition, rate_hz)), rate_hz, in_millivolts)


def _late(definition: Any, rate_hz: float) -> float:
    """By how many samples a channel was sampled after the first."""
    if definition.get("ChannelSampleSkew") is not None:
        return float(definition.ChannelSampleSkew)
    return float(definition.get("ChannelTimeSkew") or 0) * rate_hz


def _on_time(samples: NDArray[np.float64], late: float) -> NDArray[np.float64]:
    """Samples moved to the time at which the others were taken, between their neighbours for parts of a sample."""
    if not late or not np.isfinite(late) or abs(late) >= len(samples):
        return samples
    place = np.arange(len(samples))
    return np.interp(place, place + late, samples)


def _name(definition: Any) -> str:
    """The name of a channel: its source's words without those of who it is named after, or its label."""
    sources = definition.get("ChannelSourceSequence") or []
    words = [str(source.get("CodeMeaning") or "") for source in sources] + [str(definition.get("ChannelLabel") or "")]
    words = [_LEAD_WORDS.sub("", word).strip() for word in words if word]
    return next((word for word in words if is_lead(word)), words[0] if words else "")


def _band(group: Any) -> tuple[float | None, float | None]:
    """The band of the first lead; they are filtered alike."""
    lead = next((one for one in group.ChannelDefinitionSequence if is_lead(_name(one))), None)
    if lead is None:
        return None, None
    return number_of(str(lead.get("FilterLowFrequency") or "")), number_of(str(lead.get("FilterHighFrequency") or ""))


def _ages(text: str) -> list[str]:
    """An age of DICOM (007M) as others are written."""
    found = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip())
    units = {"D": "days", "W": "weeks", "M": "months", "Y": "years"}
    return [f"{int(found[1])} {units[found[2]]}"] if found else []


def _recorded(data: Any) -> str:
    moment = str(data.get("AcquisitionDateTime") or "")
    if moment:
        return _date(moment[:8], moment[8:])
    day = data.get("AcquisitionDate") or data.get("ContentDate") or data.get("StudyDate") or ""
    clock = data.get("AcquisitionTime") or data.get("ContentTime") or ""
    return _date(str(day), str(clock))


def _date(day: str, clock: str = "") -> str:
    found = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", day)
    if found is None:
        return ""
    time = re.match(r"(\d{2}):?(\d{2}):?(\d{2})", clock)
    exact = (int(time[1]), int(time[2]), int(time[3])) if time else None
    return date_of(int(found[1]), int(found[2]), int(found[3]), exact)


def _measurements(data: Any) -> dict[str, float | None]:
    """The first value of each number; those of the whole recording stand before those of single beats."""
    found: dict[str, float | None] = {}
    for note in data.get("WaveformAnnotationSequence") or []:
        concepts, value = note.get("ConceptNameCodeSequence") or [], note.get("NumericValue")
        if not concepts or value is None:
            continue
        words = str(concepts[0].get("CodeMeaning") or "")
        name = _CODES.get(str(concepts[0].get("CodeValue") or "")) or next(
            (name for name, pattern in _WORDS.items() if pattern.search(words)), None
        )
        units = note.get("MeasurementUnitsCodeSequence") or []
        unit = str(units[0].get("CodeValue") or "") if units else ""
        number = number_of(str(value[0] if isinstance(value, list | tuple) else value))
        if name and number is not None and (number != 0 or not name.endswith("_ms")):
            found.setdefault(name, number * _PER_MS.get(unit, 1.0) if name.endswith("_ms") else number)
    return found
