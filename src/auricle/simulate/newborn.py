"""The healthy newborn of the demo, the pictures and the examples."""

from __future__ import annotations

from typing import Final

import numpy as np

from auricle.recording import Recording
from auricle.simulate.cohort import cohort

# The newborn comes from a cohort that no training record comes from.
_SEED: Final = 7
_DAYS: Final = 3.0


def newborn() -> Recording:
    """A healthy newborn of three days: a tall R in V1, the axis to the right, the rate of an infant."""
    return next(cohort(1, _SEED, ages=np.array([_DAYS]), diagnoses={}).recordings())
