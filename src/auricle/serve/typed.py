"""What was typed into a form: which fields may be sent, and what they say of the person and of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.datastructures import FormData

from auricle.errors import DataError
from auricle.paediatrics.languages import words
from auricle.serve.answers import told_of

_LONGEST_S: Final = 1e7
_SHOWN: Final = 40


def check_fields(form: Any, query: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what would otherwise be lost in silence: a field that is misspelt, sent twice, or sent in the address.

    Args:
        form: as Starlette's form parser gives it.
        query: names in the query of the address.
        known: what may be sent; a field whose name ends in `file` may be sent any number of times.

    Raises:
        DataError: a field of another name, one that was sent twice, or a name in the query.
    """
    if query:
        raise DataError(f"{query[0][:_SHOWN]}: was sent in the address; send it as a field of the form")
    names = [name for name, _ in form.multi_items()]
    for name in names:
        if name not in known:
            raise DataError(f"{name[:_SHOWN]}: no such field here; there are {', '.join(known)}")
        if names.count(name) > 1 and not name.endswith("file"):
            raise DataError(f"{name}: was sent twice")


def text_of(form: Mapping[str, Any], name: str) -> str:
    """A text field of a form; empty where it is not there.

    Raises:
        DataError: a file was sent in its place.
    """
    value = form.get(name, "")
    if not isinstance(value, str):
        raise DataError(f"{name}: is a text, and a file was sent")
    return value.strip()


def told(form: FormData, prefix: str = "") -> dict[str, str]:
    """What was typed of the person.

    Raises:
        DataError: an age, a sex or a gestation that cannot be.
    """
    said = {name: text_of(form, f"{prefix}{name}") for name in ("age", "sex", "gestation")}
    try:
        told_of(**said)
    except DataError as error:
        raise DataError(f"of the earlier recording: {error}" if prefix else str(error)) from None
    return said


def is_fhir(form: FormData) -> bool:
    """Whether a FHIR Bundle is asked for.

    Raises:
        DataError: neither 1 nor 0 was sent.
    """
    asked = text_of(form, "fhir")
    if asked not in ("", "0", "1"):
        raise DataError(f"fhir {asked[:20]!r}: is 1 for a FHIR Bundle, or 0")
    return asked == "1"


def language(form: FormData) -> str:
    """The language of the answer, English where none was sent.

    Raises:
        UnknownNameError: there are no words in it.
    """
    asked = text_of(form, "language") or "en"
    words(asked)
    return asked


def seconds(form: FormData) -> float:
    """From which second on a trace is sent.

    Raises:
        DataError: it is no time from the beginning of a recording.
    """
    text = text_of(form, "start_s") or "0"
    try:
        start_s = float(text)
    except ValueError:
        start_s = math.nan
    if not 0 <= start_s < _LONGEST_S:
        raise DataError(f"start_s {text[:20]!r}: give seconds from the beginning, such as 12.5")
    return start_s
