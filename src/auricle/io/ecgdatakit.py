"""Waveforms that the ecgdatakit package decodes (SCP-ECG, MFER): its errors made ours, its leads in millivolts.

Of the person nothing is taken from it but an identifier: it rounds ages down to whole years.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import DataError, ReadError, require
from auricle.io.carts import Channel
from auricle.io.units import millivolts_per


def parsed(path: Path, module: str, parser: str, kind: str) -> Any:
    """What a parser of ecgdatakit makes of a file.

    Args:
        path: the file.
        module: of the package, below its `parsing.parsers`.
        parser: its class.
        kind: of the file, for messages.

    Raises:
        ReadError: it is damaged.
    """
    found = require(f"ecgdatakit.parsing.parsers.{module}", "io")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on checksums, which hand-held devices write wrongly
            return getattr(found, parser)().parse(path)
    except Exception as error:  # the package raises its own errors and whatever its parsers trip over
        reason = " ".join(str(error).split())[:80]
        raise ReadError(f"{path}: is damaged as {kind} ({reason}); export it again") from None


def channels_of(record: Any) -> list[Channel]:
    """The leads of a record of ecgdatakit."""
    return [_channel(lead) for lead in record.leads]


def _channel(lead: Any) -> Channel:
    samples = np.asarray(lead.samples, dtype=np.float64)
    unit = str(lead.resolution_unit if lead.is_raw else lead.units)
    try:
        per = millivolts_per(unit)
    except DataError:
        return Channel(str(lead.label), samples, float(lead.sampling_rate), in_millivolts=False)
    if lead.is_raw:
        samples = samples * float(lead.resolution) + float(lead.offset)
    return Channel(str(lead.label), samples * per, float(lead.sampling_rate))
