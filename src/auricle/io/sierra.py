"""Philips Sierra XML (PageWriter, HeartStart, IntelliSpace ECG), versions 1.03 to 1.04.02, plain and compressed.

Compressed samples (XLI) are decompressed by ecgdatakit; III, aVR, aVL and aVF are stored there as what they differ from
the sums and differences of I and II, and are put together again here. Source: the Sierra ECG schema as documented by
the sierra-ecg-tools project.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ReadError, require
from auricle.io import xml
from auricle.io.carts import Channel, Export, number_of, recording_of
from auricle.leads import LIMB, STANDARD
from auricle.recording import Recording

_VERSIONS: Final = ("1.03", "1.04", "1.04.01", "1.04.02")
_TWELVE: Final = frozenset({"STD-12", "10-WIRE"})
_UNCOMPRESSED: Final = frozenset({"", "none", "uncompressed"})
_MOST_CHANNELS: Final = 32
_NUMBERS: Final = {
    "heart_rate": ("heartrate", "meanventrate"), "rr_ms": ("rrint", "meanrrint"), "p_ms": ("pdur",),
    "pr_ms": ("print", "meanprint"), "qrs_ms": ("qrsdur", "meanqrsdur"), "qt_ms": ("qtint", "meanqtint"),
    "qtc_ms": ("qtcb", "meanqtc"), "p_axis_deg": ("pfrontaxis",), "qrs_axis_deg": ("qrsfrontaxis",),
    "t_axis_deg": ("tfrontaxis",),
}  # fmt: skip


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an XML document of a Philips cart."""
    return xml.root_name(path, head) == "restingecgdata"


def read(path: Path, **context: object) -> Recording:
    """A recording from a Philips XML file.

    Raises:
        ReadError: damaged, of another version, or compressed in another way.
    """
    root = xml.parse(path)
    version = xml.text_of(root, "documentinfo/documentversion")
    if version not in _VERSIONS:
        raise ReadError(
            f"{path}: is Philips XML of version {version[:20]!r}; read are {', '.join(_VERSIONS)}: export it as one"
        )
    waves = next(root.iter("parsedwaveforms"), None)
    acquired = next(root.iter("signalcharacteristics"), None)
    if waves is None or acquired is None:
        raise ReadError(f"{path}: is Philips XML without waveforms; export it with them")
    report = root.find("reportinfo")
    moment = {} if report is None else report.attrib
    person = xml.person(path, root, "generalpatientdata")
    return recording_of(
        path,
        Export(
            channels=_channels(path, waves, acquired),
            ages=_ages(person),
            born=xml.text_of(person, "age/dateofbirth"),
            recorded=f"{moment.get('date', '')}T{moment.get('time', '')}".strip("T"),
            sex=xml.text_of(person, "sex"),
            patient_id=xml.text_of(person, "patientid"),
            statements=_statements(root),
            measurements=_measurements(root),
            band_hz=_band(waves, acquired),
        ),
        context,
    )


def _channels(path: Path, waves: Element, acquired: Element) -> list[Channel]:
    rate_hz = number_of(waves.get("samplespersecond")) or number_of(xml.text_of(acquired, "samplingrate"))
    if not rate_hz:
        raise ReadError(f"{path}: says no sampling rate")
    names = _names(path, waves, acquired)
    rows = _rows(path, waves, names)
    # What is behind the announced duration fills the last block of a compressed lead.
    duration_ms = number_of(waves.get("durationperchannel"))
    length = round(duration_ms * rate_hz / 1000) if duration_ms and duration_ms > 0 else max(map(len, rows))
    if min(map(len, rows)) < length:
        raise ReadError(f"{path}: announces {length} samples a lead and holds {min(map(len, rows))}; export it again")
    microvolts = number_of(waves.get("resolution") or xml.first(acquired, "resolution", "signalresolution"))
    zero = number_of(waves.get("signaloffset") or xml.text_of(acquired, "signaloffset")) or 0.0
    scale = microvolts / 1000 if microvolts else 1.0
    return [
        Channel(name, (row[:length] - zero) * scale, rate_hz, bool(microvolts))
        for name, row in zip(names, rows, strict=False)
    ]


def _names(path: Path, waves: Element, acquired: Element) -> list[str]:
    """Names of the channels, by the labels of newer versions or by the set of leads of older ones."""
    count = number_of(waves.get("numberofleads") or xml.text_of(acquired, "numberchannelsallocated"))
    names: Sequence[str] = (waves.get("leadlabels") or "").split()
    if not names and xml.first(acquired, "acquisitiontype", "leadset") in _TWELVE:
        names = STANDARD
    count = len(names) if count is None else int(count)
    if not names or not 0 < count <= _MOST_CHANNELS:
        raise ReadError(f"{path}: does not say which leads it holds")
    return [names[row] if row < len(names) else f"channel {row + 1}" for row in range(count)]


def _rows(path: Path, waves: Element, names: Sequence[str]) -> list[NDArray[np.float64]]:
    text, encoding = xml.text_of(waves), waves.get("dataencoding") or "Base64"
    compression = (waves.get("compression") or waves.get("compressmethod") or "").casefold()
    if (waves.get("compressflag") or "").casefold() == "false":
        compression = ""
    if compression not in _UNCOMPRESSED:
        if compression != "xli":
            raise ReadError(f"{path}: its samples are compressed as {compression[:20]!r}, which is not read")
        return _decompressed(path, xml.decoded(path, text), names)
    n_rows = len(names)
    signed = (waves.get("signalsigned") or "").casefold() != "false"
    values = xml.words_16(path, text, signed) if encoding == "Base64" else xml.counts(path, text)
    if len(values) < n_rows:
        raise ReadError(f"{path}: holds no samples")
    return list(values[: len(values) // n_rows * n_rows].reshape(n_rows, -1))


def _decompressed(path: Path, content: bytes, names: Sequence[str]) -> list[NDArray[np.float64]]:
    """Rows in the order of `names`, the limb leads put together from what they differ from I and II by."""
    xli = require("ecgdatakit.parsing.codecs.xli", "io")
    try:
        rows: list[NDArray[Any]] = xli.xli_decode(content)
    except Exception as error:  # the codec raises whatever it trips over
        raise ReadError(
            f"{path}: its compressed samples are damaged ({type(error).__name__}); export it again"
        ) from None
    if len(rows) < len(names):
        raise ReadError(f"{path}: holds {len(rows)} leads where it announces {len(names)}; export it again")
    length = min(map(len, rows))
    rows = [row[:length].astype(np.int64) for row in rows[: len(names)]]
    if tuple(names[:6]) == LIMB:
        one, two, three, right, left, foot = rows[:6]
        three = two - one - three
        rows[2:6] = [three, -right - (one + two) // 2, (one - three) // 2 - left, (two + three) // 2 - foot]
    return [row.astype(np.float64) for row in rows]


def _ages(person: Element) -> list[str]:
    """The age where it is given by its parts: `years`, `months`, `days`, `hours`."""
    units = ("years", "months", "weeks", "days", "hours")
    parts = [(number_of(xml.text_of(person, f"age/{unit}")), unit) for unit in units]
    known = [(number, unit) for number, unit in parts if number is not None]
    said = [f"{number:g} {unit}" for number, unit in known if number] or [f"0 {unit}" for _, unit in known[-1:]]
    return [" ".join(said)] if said else []


def _statements(root: Element) -> list[str]:
    said = []
    for statement in root.iter("statement"):
        left, right = xml.text_of(statement, "leftstatement"), xml.text_of(statement, "rightstatement")
        said.append(f"{left}; {right}" if left and right else left or right)
    return said + [xml.text_of(node).strip("- ") for node in root.iter("severity")]


def _measurements(root: Element) -> dict[str, float | None]:
    """What the interpretation used, which a reader may have corrected, then what the cart measured."""
    places = [
        node
        for name in ("interpretationmeasurements", "globalmeasurements", "crossleadmeasurements")
        for node in root.iter(name)
    ]
    found: dict[str, float | None] = {}
    for name, spellings in _NUMBERS.items():
        values = (number_of(xml.text_of(node, spelling)) for node in places for spelling in spellings)
        found[name] = next((value for value in values if value is not None), None)
    return found


def _band(waves: Element, acquired: Element) -> tuple[float | None, float | None]:
    """The band of the samples (of the printed report it may be narrower)."""
    high = waves.get("hipass") or xml.text_of(acquired, "hipass")
    low = waves.get("lowpass") or xml.text_of(acquired, "lowpass")
    if not low:
        high, _, low = xml.text_of(acquired, "signalbandwidth").partition("-")
    return number_of(high), number_of(low)
