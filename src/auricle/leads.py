"""Leads: canonical names and order, anatomical groups, and the algebra that ties limb leads together.

The twelve standard leads carry eight independent signals: Einthoven's and Goldberger's equations give four of the
limb leads from any two of I, II, III. `derive_limb` uses exactly those and nothing learned.
"""

from __future__ import annotations

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

_BY_FOLDED_NAME: Final = {name.casefold(): name for name in CANONICAL}
# Frank leads and names of measured non-ECG channels: known, and deliberately not leads of ours.
_NOT_A_LEAD: Final = frozenset({"vx", "vy", "vz", "x", "y", "z", "resp", "abp", "pleth", "time", "t"})


def canonical(name: str) -> str:
    """The canonical spelling of a lead name: `AVR`, `avr`, `Lead aVR`, `MDC_ECG_LEAD_aVR`, `DI`, `ECG V1` all work.

    Raises:
        UnknownNameError: the name is no electrocardiographic lead we know.
    """
    folded = name.strip().casefold().removeprefix("mdc_ecg_").removeprefix("ecg").removeprefix("lead")
    folded = folded.strip(" _-:").removeprefix("lead").strip(" _-:")
    for candidate in (folded, folded.removeprefix("d"), folded.replace(" ", "")):
        if candidate in _BY_FOLDED_NAME:
            return _BY_FOLDED_NAME[candidate]
    raise UnknownNameError("lead", name, CANONICAL)


def is_other_channel(name: str) -> bool:
    """Whether this is a channel that recorders store beside an ECG (Frank leads, respiration): to be left out."""
    return name.strip().casefold() in _NOT_A_LEAD


def derive_limb(signal: NDArray[np.float32], leads: Sequence[str]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Add the limb leads that follow from two measured ones, by Einthoven (III = II - I) and Goldberger.

    Args:
        signal: (lead, time), millivolts.
        leads: canonical names, one per row.

    Returns:
        The signal with the derived rows appended and everything sorted in canonical order, and the new names.
        Present leads are returned untouched; with fewer than two of I, II, III only the order changes.

    Raises:
        DataError: a lead occurs twice.
    """
    rows = dict(zip(leads, signal, strict=True))
    if len(rows) != len(leads):
        raise DataError(f"a lead occurs twice among {', '.join(leads)}")
    if "III" in rows and "II" not in rows and "I" in rows:
        rows["II"] = rows["I"] + rows["III"]
    if "III" in rows and "I" not in rows and "II" in rows:
        rows["I"] = rows["II"] - rows["III"]
    if "I" in rows and "II" in rows:
        lead_i, lead_ii = rows["I"], rows["II"]
        rows.setdefault("III", lead_ii - lead_i)
        rows.setdefault("aVR", -(lead_i + lead_ii) / 2)
        rows.setdefault("aVL", lead_i - lead_ii / 2)
        rows.setdefault("aVF", lead_ii - lead_i / 2)
    names = tuple(name for name in CANONICAL if name in rows)
    return np.stack([rows[name] for name in names]).astype(np.float32, copy=False), names


@lru_cache(maxsize=256)
def rows_onto(leads: tuple[str, ...], onto: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of a signal with `leads`, and the rows of the lead axis `onto` they go to; leads not on it are left out."""
    pairs = [(leads.index(name), row) for row, name in enumerate(onto) if name in leads]
    return tuple(source for source, _ in pairs), tuple(target for _, target in pairs)


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
