"""Schiller XML (SEMA, `examdescript`): counts as text, the gain and the rate beside them.

Source: the elements that public readers of the export use. Read from files made after them; no export of a SEMA system
was at hand, and of its measurements and its statements nothing is read but plain text.
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

_RHYTHM: Final = "ecg_rhythms"
_ROOT: Final = "examdescript"


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is an XML document of a Schiller system."""
    return xml.root_name(path, head).endswith((_ROOT, "schilleredi"))


def read(path: Path, **context: object) -> Recording:
    """A recording from a Schiller XML file.

    Raises:
        ReadError: damaged, or without the samples of a rhythm.
    """
    root = xml.parse(path)
    waves = next((one for one in root.iter("wavedata") if xml.text_of(one, "type").casefold() == _RHYTHM), None)
    if waves is None:
        raise ReadError(f"{path}: is Schiller XML without a rhythm; export it with its rhythm strips")
    person = xml.person(path, root, "patdata")
    begun = next(root.iter("startdatetime"), None)
    return recording_of(
        path,
        Export(
            channels=_channels(path, waves),
            ages=[text for text in [xml.text_of(person, "age")] if re.search(r"[^\W\d_]", text)],
            born=_date(xml.first(person, "birthdate", "birthday", "dateofbirth")),
            recorded=_date(xml.text_of(begun, "date"), xml.text_of(begun, "time")),
            sex=xml.first(person, "gender", "sex"),
            patient_id=xml.first(person, "id", "patid"),
            statements=[xml.text_of(node) for name in ("statement", "interpretation") for node in root.iter(name)],
        ),
        context,
    )


def _channels(path: Path, waves: Element) -> list[Channel]:
    rate_hz = number_of(xml.text_of(waves, "resolution/samplerate/value"))
    if not rate_hz:
        raise ReadError(f"{path}: says no sampling rate")
    per_count = number_of(xml.text_of(waves, "resolution/yres/unitperbit"))
    unit = millivolts_per(xml.text_of(waves, "resolution/yres/units") or "uV")
    return [
        Channel(
            xml.text_of(channel, "name"),
            xml.counts(path, xml.text_of(channel, "data")) * (per_count or 1.0) * unit,
            rate_hz,
            bool(per_count),
        )
        for channel in waves.findall("channel")
    ]


def _date(day: str, clock: str = "") -> str:
    """A date as it stands, or of eight digits, with a time of day of six."""
    parts = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", day)
    if parts is None:
        return day
    time = re.match(r"(\d{2}):?(\d{2}):?(\d{2})", clock)
    exact = (int(time[1]), int(time[2]), int(time[3])) if time else None
    return date_of(int(parts[1]), int(parts[2]), int(parts[3]), exact)
