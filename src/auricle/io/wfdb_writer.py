"""Writing a recording as WFDB: a header and a signal file of 16 bits, which every program of the field reads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from auricle import age as ages
from auricle.atomic import write_bytes
from auricle.io.steps import PER_MV, steps_of
from auricle.recording import Recording

_CHECKSUM: Final = 1 << 16


def write_wfdb(stem: Path, recording: Recording) -> Path:
    """Write a recording in steps of a microvolt; age, sex, band and labels become comments of the header.

    Args:
        stem: the record's name with its folder, without suffix; what lies there is replaced.
        recording: with leads, in millivolts.

    Returns:
        The header.

    Raises:
        DataError: nothing to write, an unknown amplitude, or one that 16 bits do not hold.
    """
    values = steps_of(recording).astype("<i2")
    rate, n_samples = f"{recording.rate_hz:.10g}", values.shape[1]
    lines = [f"{stem.name} {len(recording.leads)} {rate} {n_samples}"]
    for lead, row in zip(recording.leads, values, strict=True):
        # The sum of all samples in 16 bits with a sign, as the format has it.
        checksum = (int(row.astype(np.int64).sum()) + _CHECKSUM // 2) % _CHECKSUM - _CHECKSUM // 2
        lines.append(f"{stem.name}.dat 16 {PER_MV}(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"# Age: {ages.written(recording.age)}"] if recording.age else []
    lines += [f"# Sex: {recording.sex}"] if recording.sex else []
    lines += ["# Filter: {:g}-{:g} Hz".format(*recording.cart_band_hz)] if recording.cart_band_hz else []
    lines += [f"# Labels: {','.join(recording.labels)}"] if recording.labels else []
    # The header comes last: without it there is no record.
    write_bytes(stem.with_name(f"{stem.name}.dat"), np.ascontiguousarray(values.T).tobytes())
    header = stem.with_name(f"{stem.name}.hea")
    write_bytes(header, ("\n".join(lines) + "\n").encode())
    return header
