"""Units of voltage, the one place where they are converted to millivolts."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from auricle.errors import DataError

# Small letters throughout: nobody records megavolts, so MV is written for mV. The micro sign and the Greek mu are one
# letter once compatible forms are folded.
_PREFIXES: Final = {
    "": 0.001, "m": 1.0, "milli": 1.0, "u": 1000.0, "μ": 1000.0, "mc": 1000.0, "micro": 1000.0, "mikro": 1000.0,
    "n": 1e6, "nano": 1e6,
}  # fmt: skip
_VOLTS: Final = re.compile(r"(?P<prefix>[a-zμ]*?)(?:v|volts?)")
_CHINESE: Final = {"伏": 0.001, "毫伏": 1.0, "微伏": 1000.0, "纳伏": 1e6}
# What files write where a number is a count or a multiple of something and no voltage.
_WITHOUT_VOLTS: Final = frozenset({
    "nu", "au", "a.u.", "adu", "lsb", "count", "counts", "digit", "digits", "raw", "sd", "z", "zscore", "z-score",
    "std", "none", "1", "dimensionless", "normalized", "normalised",
})  # fmt: skip


def millivolts_per(unit: str) -> float:
    """Millivolts per unit: a value in `unit` times this is in millivolts.

    Raises:
        DataError: an unknown unit of voltage.
    """
    word = _folded(unit)
    found = _VOLTS.fullmatch(word)
    per_mv = _PREFIXES.get(found["prefix"]) if found else _CHINESE.get(word)
    if per_mv is None:
        raise DataError(f"unknown unit {unit!r}: give mV, uV or V")
    return 1 / per_mv


def is_without_volts(unit: str) -> bool:
    """Whether a unit says that numbers have none: counts of a converter, or a standardised signal."""
    return _folded(unit) in _WITHOUT_VOLTS


def _folded(unit: str) -> str:
    return unicodedata.normalize("NFKC", unit).strip().casefold()
