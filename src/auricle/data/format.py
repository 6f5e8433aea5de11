"""What the bytes of a store mean: versions, columns, and samples as steps. Writer and reader share it.

Samples are native millivolts as int16 with one gain per record (so Einthoven's law survives), -32768 for a missing
sample as in WFDB. They lie as they are (`raw`, memory-mapped) or compressed record by record (`pcodec`: fewer bytes,
slower).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.batch import MISSING_STEP
from auricle.errors import require

Size = tuple[int, int]
# The rate of a store unless another is asked for.
RATE_HZ: Final = 500.0
# (height, width) of stored pictures, what image networks usually read.
IMAGE_SIZE: Final[Size] = (224, 224)
# Where the picture of a record would begin that has none.
NO_PICTURE: Final = -1
# Increased by one whenever files of an older version would be misread.
STORE_VERSION: Final = 2
# What a store is made of; written last, so that a folder without it holds no finished store.
INFO: Final = "store.json"
MISSING: Final = np.int16(MISSING_STEP)
MOST_STEPS: Final = 32_767
Form = Literal["raw", "pcodec"]
# One microvolt per step unless the record needs more range: finer than any cart, and exact for 1000 counts per mV.
FINEST_GAIN_MV: Final = 0.001
# The range of a record: so many times what this share of the samples of its largest lead stays below.
_USUAL, _HEADROOM = 0.995, 2.0

# Prefixes of the columns of laboratory values and of their times.
LAB_COLUMN, MINUTES_COLUMN = "lab:", "lab_minutes:"
# Of values that are limits: -1 where the true one lies below, 1 where it lies above.
BOUND_COLUMN: Final = "lab_bound:"
# Of measurements that came with the records.
MEASURED_COLUMN: Final = "measured:"


def quantise(signal: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Millivolts (lead, time), NaN where missing, as int16 and the gain in mV per step.

    The step follows what all but one in two hundred samples of each lead need, so that a single artefact of volts does
    not coarsen the heart beside it. What lies beyond the range of such steps is missing in the result.
    """
    gain = max(FINEST_GAIN_MV, _HEADROOM * _usual_mv(signal) / MOST_STEPS)
    steps = np.rint(signal / np.float32(gain))
    inside = np.isfinite(steps) & (np.abs(steps) <= MOST_STEPS)
    return np.where(inside, steps, MISSING).astype(np.int16), gain


def _usual_mv(signal: NDArray[np.float32]) -> float:
    """The size that all but one in two hundred samples of every lead stay below; 0 where no sample is there."""
    size = np.abs(signal)
    if size.size and np.isfinite(size).all():
        return float(np.quantile(size, _USUAL, axis=1).max())
    rows = [row[np.isfinite(row)] for row in size]
    return max((float(np.quantile(row, _USUAL)) for row in rows if len(row)), default=0.0)


def dequantise(steps: NDArray[np.int16], gain_mv: float) -> NDArray[np.float32]:
    """Millivolts as float32 with NaN for missing samples: the inverse of `quantise` to half a step."""
    signal = steps.astype(np.float32) * np.float32(gain_mv)
    signal[steps == MISSING] = np.nan
    return signal


def pack(steps: NDArray[np.int16], form: Form) -> bytes:
    """The bytes of one record's steps (lead, time), raw or compressed.

    Raises:
        MissingExtraError: form `pcodec` without the package.
    """
    if form == "raw":
        return steps.tobytes()
    config = require("pcodec", "train").ChunkConfig()
    packed: bytes = require("pcodec.standalone", "train").simple_compress(steps.reshape(-1), config)
    return packed


def unpack(packed: NDArray[np.uint8], form: Form, n_leads: int, n_samples: int) -> NDArray[np.int16]:
    """The steps (lead, time) of `pack`ed bytes; of raw ones a view, without a copy.

    Raises:
        ValueError: the bytes are damaged.
    """
    if form == "raw":
        return packed.view(np.int16).reshape(n_leads, n_samples)
    try:
        steps: NDArray[np.int16] = require("pcodec.standalone", "train").simple_decompress(packed.tobytes())
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return steps.reshape(n_leads, n_samples)
