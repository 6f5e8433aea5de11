"""Writing a recording as a table of numbers: a line for each moment, a column for each lead, in millivolts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.atomic import write_bytes
from auricle.io.steps import MISSING, PER_MV, steps_of
from auricle.recording import Recording


def write_csv(path: Path, recording: Recording) -> Path:
    """Write a recording as CSV with `time_s` in front, to a microvolt; a missing sample is an empty cell.

    Args:
        path: the file; what lies there is replaced.
        recording: with leads, in millivolts.

    Returns:
        The file.

    Raises:
        DataError: nothing to write, or an unknown amplitude.
    """
    steps = steps_of(recording)
    lines = [",".join(("time_s", *recording.leads))]
    seconds = np.arange(steps.shape[1]) / recording.rate_hz
    for moment, row in zip(seconds.tolist(), steps.T.tolist(), strict=True):
        time_s = f"{moment:.6f}".rstrip("0").rstrip(".")
        lines.append(",".join((time_s, *("" if step == MISSING else f"{step / PER_MV:g}" for step in row))))
    write_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))
    return path
