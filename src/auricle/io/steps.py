"""A recording as whole steps of 16 bits, which is how every format of the field stores it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import DataError
from auricle.recording import Recording

PER_MV: Final = 1000
"""Steps to a millivolt: a step is a microvolt."""
MISSING: Final = -32768
"""What stands for a missing sample."""
_LARGEST: Final = 32767


def steps_of(recording: Recording) -> NDArray[np.int16]:
    """(lead, time) microvolts, `MISSING` where a sample is missing.

    Raises:
        DataError: no lead, an unknown amplitude, or one that 16 bits do not hold.
    """
    if not recording.leads or not recording.amplitude_known:
        if not recording.leads:
            raise DataError(f"{recording.record_id}: has no lead that could be written")
        raise DataError(
            f"{recording.record_id}: its amplitude is not known, and only millivolts can be written: give the gain in "
            "its file"
        )
    steps = np.rint(recording.signal.astype(np.float64) * PER_MV)
    if np.nanmax(np.abs(steps), initial=0.0) > _LARGEST:
        raise DataError(
            f"{recording.record_id}: more than {_LARGEST / PER_MV:.0f} mV cannot be written: check its unit, and take "
            "a constant offset of the electrodes away"
        )
    return np.where(np.isfinite(steps), steps, MISSING).astype(np.int16)
