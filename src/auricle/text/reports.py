"""Cleaning reports, so that equal reports are equal strings and are handled once."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

# What a later human reader appended to a report of the cart is a label and not part of the report.
_EDIT: Final = re.compile(r"\bedit:.*", re.IGNORECASE | re.DOTALL)
# Carts mark unconfirmed reports with stars and underline with equals signs (MIMIC-IV-ECG).
_MARKS: Final = re.compile(r"[*=_]{2,}")
_SENTENCE: Final = re.compile(r"[.;:!?](?=\s|$)|\n")


def clean(text: str) -> str:
    """Lower case, one space between words, no control characters, no decoration, no appended labels. Idempotent."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(letter) in {"Cc", "Cf", "Co", "Cs"} else letter for letter in text)
    text = _EDIT.sub(" ", _MARKS.sub(" ", text)).lower()
    return unicodedata.normalize("NFC", " ".join(text.split()))


def report_key(text: str) -> str:
    """A stable name of a cleaned report: equal text, equal key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def sentences(text: str) -> list[str]:
    """The sentences of a cleaned report, without their full stops."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip(" .,")]
