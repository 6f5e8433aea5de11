"""WFDB: the PhysioNet format, a text header (`wfdb_header`) and signal files of counts (`wfdb_samples`).

Source: WFDB header specification header(5) and signal(5), physionet.org.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.errors import AuricleError, ReadError
from auricle.io.header_comments import known_of
from auricle.io.names import header_of, holds_signals, suffix_of
from auricle.io.units import is_without_volts, millivolts_per
from auricle.io.wfdb_header import Channel, begins_header, read_header
from auricle.io.wfdb_samples import in_time, read_counts
from auricle.leads import is_lead, shown
from auricle.recording import Recording, left_out, make_recording


def sniff(path: Path, head: bytes) -> bool:
    """Whether this is a WFDB header, or a signal file with its header beside it."""
    if holds_signals(path):
        return header_of(path) is not None
    return suffix_of(path) == ".hea" or begins_header(head)


def read(path: Path, **context: object) -> Recording:
    """A recording from a header and its signal files.

    Age, sex and diagnoses in the comments (`# Age: 7.5 yr`, `# Sex: F`, `# Dx: 426783006,...`) are used where the
    caller does not know better; an age that makes no sense is a warning and unknown, never the loss of the ECG.
    Channels that are no lead of ours are not read. Without a gain a signal is uncalibrated and its amplitude unknown.

    Raises:
        ReadError: damaged, truncated, multi-segment, or without a usable lead.
    """
    given = path
    if holds_signals(path):
        path = header_of(path) or path
    header = read_header(path)
    names = {channel.file.replace("\\", "/").rpartition("/")[2].casefold() for channel in header.channels}
    if given != path and given.name.casefold() not in names:
        raise ReadError(f"{given}: the header beside it is that of other signal files; give a header that names it")
    keep = [number for number, channel in enumerate(header.channels) if is_lead(channel.name)]
    if not keep:
        held = shown([channel.name for channel in header.channels])
        raise ReadError(
            f"{path}: none of its {len(header.channels)} channels is an ECG lead that auricle knows ({held}); "
            "name them I, II, III, aVR, aVL, aVF, V1 ... in the header"
        )
    chosen = [header.channels[number] for number in keep]
    per_frame = {channel.per_frame for channel in chosen}
    if len(per_frame) > 1:
        raise ReadError(f"{path}: its leads are sampled at different rates; write them at one rate")
    counts, found = read_counts(path, header, keep)
    try:
        factors = [np.float32(_millivolts_per_count(channel)) for channel in chosen]
        with np.errstate(over="ignore", invalid="ignore"):  # a senseless gain is refused by its result
            signal = np.stack(
                [(in_time(counts[number], header.channels[number]) * factor).astype(np.float32)
                 for number, factor in zip(keep, factors, strict=True)]
            )  # fmt: skip
        others = left_out([channel.name for channel in header.channels if not is_lead(channel.name)])
        uncalibrated = _uncalibrated(chosen)
        recording = make_recording(
            signal,
            header.rate_hz * per_frame.pop(),
            [channel.name for channel in chosen],
            header.name,
            notes=(*others, *found, *uncalibrated),
            amplitude_known=not uncalibrated,
        )
    except AuricleError as error:
        raise ReadError(f"{path}: {str(error).removeprefix(header.name + ': ')}") from None
    known, notes = known_of(header.comment_lines)
    own: dict[str, object] = {"source": path.parent.name, "notes": notes, **known}
    return recording.with_context(**own).with_context(**context)


def _millivolts_per_count(channel: Channel) -> float:
    """Millivolts that one count stands for; of a channel without a unit of voltage one count in 200.

    Raises:
        DataError: a unit of something else.
    """
    return (1.0 if is_without_volts(channel.unit) else millivolts_per(channel.unit)) / channel.gain


def _uncalibrated(channels: list[Channel]) -> tuple[str, ...]:
    """What is said of leads whose header gives no gain (0 or none, header(5)) or no unit of voltage."""
    names = [channel.name for channel in channels if not channel.calibrated or is_without_volts(channel.unit)]
    if not names:
        return ()
    which = "it gives" if len(names) == len(channels) else f"of {shown(names)} it gives"
    return (
        f"the header is uncalibrated: {which} no gain in counts per millivolt; amplitudes are treated as unknown: "
        "write the recorder's gain into the header",
    )
