"""Taking a person's identity from a recording: pseudonyms and shifted dates by a secret key, ages kept.

A pseudonym is a keyed hash (HMAC-SHA-256) of the identifier, so one person keeps one name through many exports, nobody
can go back without the key, and the key's holder can by hashing the identifiers at hand. Dates of a person move by one
number of days, so that intervals between recordings stay. Ages stay as they are; above 89 years only that is kept
(the safe-harbor rule of HIPAA, 45 CFR 164.514(b)).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from auricle.age import DAYS_PER_YEAR, Age
from auricle.atomic import write_with
from auricle.errors import ConfigError
from auricle.recording import NO_CLASS, Recording

METHOD: Final = "auricle: identifiers and texts removed, dates shifted"
"""What a file says of it, in the 64 letters that DICOM allows."""
_KEY_BYTES: Final = 32
_LETTERS: Final = 16
_SHIFT_DAYS: Final = 3 * 365
_OLDEST_YEARS: Final = 90
# SCP, SNOMED CT and their like; a word in small letters may be a name.
_CODE: Final = re.compile(r"[A-Z0-9_/+.-]{1,16}\??")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Names and shifts of dates by a secret key.

    Args:
        key: at least 32 bytes that nobody else knows.
    """

    key: bytes

    @classmethod
    def read(cls, path: Path) -> Pseudonyms:
        """The key in a file; a new one is made and written where there is none, readable by its owner alone.

        Raises:
            ConfigError: the file holds something else.
        """
        if not path.exists():
            text = secrets.token_hex(_KEY_BYTES) + "\n"
            write_with(path, lambda place: _write_secret(place, text))
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            key = b""
        if len(key) < _KEY_BYTES:
            raise ConfigError(f"{path}: holds no key of auricle (64 hexadecimal digits); name a new file to make one")
        return cls(key)

    @property
    def digest(self) -> str:
        """What tells this key from others and says nothing of it."""
        return self._digest("key", "").hex()

    def name(self, kind: str, identifier: str) -> str:
        """The pseudonym of an identifier of a kind ("patient", "record"), 16 letters and digits behind its initial."""
        return kind[0].upper() + self._digest(kind, identifier).hex()[:_LETTERS]

    def shift_days(self, identifier: str) -> int:
        """By how many days dates of a person are moved back: 1 to 1,095."""
        return 1 + int.from_bytes(self._digest("dates", identifier)[:8], "big") % _SHIFT_DAYS

    def _digest(self, kind: str, identifier: str) -> bytes:
        return hmac.new(self.key, f"{kind}/{identifier}".encode(), hashlib.sha256).digest()


def deidentified(recording: Recording, record_name: str, pseudonyms: Pseudonyms) -> tuple[Recording, tuple[str, ...]]:
    """A recording without its person's identity, and what was removed or replaced.

    Kept are the trace, age, sex, gestation, laboratory values, measurements, rate and band, and labels that look like
    codes (capitals and digits). Reports and other labels go, because anybody may be named in them.

    Args:
        recording: as read.
        record_name: what the record was called, of which its new name is made.
        pseudonyms: of the export.

    Returns:
        The recording, and a word for each thing that was done ("patient_id replaced"), without any value.
    """
    person = recording.patient_id if recording.patient_id is not None else f"record:{record_name}"
    done = ["record_id replaced"]
    done += ["patient_id replaced"] if recording.patient_id is not None else []
    done += ["report removed"] if recording.report else []
    done += ["source removed"] if recording.source else []
    labels = tuple(label for label in recording.labels if _CODE.fullmatch(label) or label == NO_CLASS)
    done += ["labels that are no codes removed"] if labels != recording.labels else []
    done += ["date shifted"] if recording.recorded else []
    age = recording.age
    if age is not None and age.days >= _OLDEST_YEARS * DAYS_PER_YEAR:
        age = Age(f"{_OLDEST_YEARS}+")
        done.append("age above 89 joined")
    kept = replace(
        recording,
        record_id=pseudonyms.name("record", f"{person}/{record_name}"),
        patient_id=None if recording.patient_id is None else pseudonyms.name("patient", person),
        report=None,
        labels=labels,
        source="",
        age=age,
        recorded=_shifted(recording.recorded, pseudonyms.shift_days(person)),
        image=None,
        # A note may quote names of files and channels.
        notes=(),
    )
    done += ["picture removed"] if recording.image is not None else []
    return kept, tuple(done)


def _shifted(recorded: str | None, days: int) -> str | None:
    """A moment some days earlier; its time of day stays."""
    if not recorded or not re.match(r"\d{4}-\d{2}-\d{2}", recorded):
        return None
    return (date.fromisoformat(recorded[:10]) - timedelta(days=days)).isoformat() + recorded[10:]


def _write_secret(place: Path, text: str) -> None:
    place.touch(mode=0o600)
    place.write_text(text, encoding="ascii")
