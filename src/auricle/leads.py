"""Leads: canonical names and order, anatomical groups, and the algebra that ties limb leads together.

The twelve standard leads carry eight independent signals: Einthoven's and Goldberger's equations give four of the
limb leads from any two of the six. `derive_limb` uses exactly those and nothing learned.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.errors import DataError, UnknownNameError

STANDARD: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB: Final = STANDARD[:6]
# Right-sided and posterior leads a children's hospital records; never part of the standard twelve.
EXTRA: Final = ("V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9")
CANONICAL: Final = STANDARD + EXTRA

# Lateral, Inferior, Septal, Anterior: the grouping of the LISA proposal, section 3.1 (aVR counts as lateral there).
LISA_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "lateral": ("I", "aVL", "V5", "V6", "aVR"),
    "inferior": ("II", "III", "aVF"),
    "septal": ("V1", "V2"),
    "anterior": ("V3", "V4"),
}

# Each limb lead as a sum of I and II (Einthoven; Goldberger).
IN_I_AND_II: Final[Mapping[str, tuple[float, float]]] = {
    "I": (1.0, 0.0), "II": (0.0, 1.0), "III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0),
}  # fmt: skip
# Right-sided leads are written V4R and, by some recorders, rV4; no lead is called rV1 or rV2.
# C1 to C6, the names that IEC has for the chest electrodes, are those of an electroencephalogram too, and no lead here.
_BY_FOLDED_NAME: Final = {name.casefold(): name for name in CANONICAL} | {
    f"r{name[:-1]}".casefold(): name for name in EXTRA if name.endswith("R")
}
_PREFIXES: Final = ("mdc_ecg_", "ecg", "ekg", "lead")
_SEPARATOR: Final = re.compile(r" - |[-_:] ?| ")
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
# The words of a sign, before the name ("-aVR", "inverted aVR") and behind it (MDC_ECG_LEAD_AVRneg).
_SIGN_BEFORE: Final = re.compile(r"(?:\(-\)|-|minus|negative|neg|inverted|inverse|inv)[ _.]*(?=\S)")
_SIGN_BEHIND: Final = re.compile(r"[ _]*(?:\(-\)|\((?:inverted|inv|neg)\)|negative|neg|inverted|inv)$")
_SHOWN_LETTERS: Final = 40


def canonical(name: str) -> str:
    """The canonical spelling of a lead name: `AVR`, `avr`, `Lead aVR`, `MDC_ECG_LEAD_aVR`, `DI`, `LII`, `ECG V1` all
    work.

    Raises:
        UnknownNameError: the name is no electrocardiographic lead we know, or has a minus sign.
    """
    lead, sign = signed(name)
    if sign < 0:
        raise UnknownNameError("lead", name, CANONICAL)
    return lead


@lru_cache(maxsize=4096)
def signed(name: str) -> tuple[str, int]:
    """The canonical spelling of a lead name, and -1 if it stands for the lead upside down (`-aVR` of Cabrera's order).

    A dash that ties a name to a word before it (`ECG-II`) is punctuation. One behind the name (`II-`) may be either,
    and such a name is not known.

    Raises:
        UnknownNameError: the name is no electrocardiographic lead we know.
    """
    text = unicodedata.normalize("NFKC", name).translate(_DASHES).casefold().strip(" _:\t")
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    before = _SIGN_BEFORE.match(text)
    text = _without_prefix(text[before.end() :] if before else text)
    within = None if before else _SIGN_BEFORE.match(text)  # "Lead -aVR"
    text = text[within.end() :] if within else text
    behind = None if before or within else _SIGN_BEHIND.search(text)
    text = text[: behind.start()] if behind else text
    for candidate in (text, text.removeprefix("d"), text.removeprefix("l"), text.replace(" ", "")):
        if candidate in _BY_FOLDED_NAME:
            return _BY_FOLDED_NAME[candidate], -1 if before or within or behind else 1
    raise UnknownNameError("lead", name, CANONICAL)


def _without_prefix(text: str) -> str:
    """Text without the words that say it is a lead, and the punctuation behind each."""
    for prefix in _PREFIXES:
        if text.startswith(prefix) and text != prefix:
            text = text.removeprefix(prefix)
            separator = _SEPARATOR.match(text)
            text = text[separator.end() :] if separator else text
    return text


def is_lead(name: str) -> bool:
    """Whether this is the name of a lead we know; recorders store other channels beside an ECG."""
    try:
        signed(name)
    except UnknownNameError:
        return False
    return True


def shown(names: Sequence[str]) -> str:
    """Names of channels as a message has them, each once and shortened, a blank one as such."""
    return ", ".join(dict.fromkeys(" ".join(name.split())[:_SHOWN_LETTERS] or "(no name)" for name in names))


def derive_limb(signal: NDArray[np.float32], leads: Sequence[str]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Add the limb leads that follow from two measured ones of the six, by Einthoven (III = II - I) and Goldberger.

    Args:
        signal: (lead, time), millivolts.
        leads: canonical names, one per row.

    Returns:
        The signal with the derived rows appended and everything sorted in canonical order, and the new names.
        Present leads are returned untouched; with fewer than two limb leads only the order changes.

    Raises:
        DataError: a lead occurs twice.
    """
    rows = dict(zip(leads, signal, strict=True))
    if len(rows) != len(leads):
        raise DataError(f"a lead occurs twice among {', '.join(leads)}")
    measured = [name for name in LIMB if name in rows][:2]
    if len(measured) == 2:
        of_two = np.linalg.inv([IN_I_AND_II[name] for name in measured]).astype(np.float32)
        lead_i, lead_ii = (
            rows.get(name, one * rows[measured[0]] + other * rows[measured[1]])
            for name, (one, other) in zip(("I", "II"), of_two, strict=True)
        )
        for name, (of_i, of_ii) in IN_I_AND_II.items():
            rows.setdefault(name, of_i * lead_i + of_ii * lead_ii)
    names = tuple(name for name in CANONICAL if name in rows)
    return np.stack([rows[name] for name in names]).astype(np.float32, copy=False), names


@lru_cache(maxsize=256)
def rows_onto(leads: tuple[str, ...], onto: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of a signal with `leads`, and the rows of the lead axis `onto` they go to; leads not on it are left out."""
    pairs = [(leads.index(name), row) for row, name in enumerate(onto) if name in leads]
    return tuple(source for source, _ in pairs), tuple(target for _, target in pairs)


def block_of(rows: Sequence[int]) -> slice | list[int]:
    """Row numbers as a slice where they follow one another: what it reads is not copied."""
    if not rows:
        return slice(0, 0)
    first, last = rows[0], rows[-1]
    return slice(first, last + 1) if list(rows) == list(range(first, last + 1)) else list(rows)


def group_index(groups: Mapping[str, Sequence[str]], leads: Sequence[str]) -> list[int]:
    """The number of each lead's group, in the order of `groups`; -1 for a lead in no group.

    Raises:
        DataError: a lead is in two groups.
    """
    owner: dict[str, int] = {}
    for number, (name, members) in enumerate(groups.items()):
        for lead in members:
            if lead in owner:
                raise DataError(f"lead {lead} is in two groups, the second being {name!r}")
            owner[lead] = number
    return [owner.get(lead, -1) for lead in leads]


def wrap_axis_deg(axis_deg: ArrayLike) -> NDArray[np.float64]:
    """An axis in degrees, of any shape, brought into [-90, 270).

    Newborn axes lie around +135 degrees, so a range that ends at 180 would split their distribution in two.
    """
    wrapped: NDArray[np.float64] = (np.asarray(axis_deg, dtype=np.float64) + 90.0) % 360.0 - 90.0
    return wrapped
