"""Units of voltage, the one place where they are converted to millivolts."""

from __future__ import annotations

from typing import Final

from auricle.errors import DataError

UNITS_PER_MV: Final = {"mv": 1.0, "uv": 1000.0, "µv": 1000.0, "v": 0.001, "nv": 1e6}


def millivolts_per(unit: str) -> float:
    """Millivolts per unit: a value in `unit` times this is in millivolts.

    Raises:
        DataError: an unknown unit of voltage.
    """
    if unit.strip().casefold() not in UNITS_PER_MV:
        raise DataError(f"unknown unit {unit!r}: give mV, uV or V")
    return 1 / UNITS_PER_MV[unit.strip().casefold()]
