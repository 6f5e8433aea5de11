"""The files of a manifest: each is read once and a few facts are kept, or the reason why it cannot be read.

A reason never holds a file's name, which may name the patient.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from auricle.amplitude import doubt_of
from auricle.data.format import RATE_HZ
from auricle.data.manifest import found, missing
from auricle.data.shard import at_rate, judged
from auricle.doctor.case import Case, Remark, Trace
from auricle.doctor.model import Finding, Severity
from auricle.errors import AuricleError, DataError
from auricle.io import read
from auricle.io.names import header_of, suffix_of
from auricle.io.picture import read_picture
from auricle.io.wfdb_header import read_header
from auricle.progress import OnProgress, counted
from auricle.recording import Recording
from auricle.signal.acceptance import Acceptance

_SUFFIXES: Final = frozenset({".npy", ".npz", ".mat", ".h5", ".hdf5", ".hdf"})
# A reader's message names the file, which may name the patient: only its kind is told. First match wins.
_REASONS: Final = (
    (r"no such file|is a folder", missing("")),
    (r"signal file .* is missing", "the signal file that belongs to the header is missing"),
    (r"cannot be opened|denied", "the file cannot be opened: look at its permissions"),
    (r"truncated", "the signal file is truncated: copy it again"),
    (r"header is wrong", "the header does not fit its signal file: wrong length or number of signals"),
    (r"several segments", "a record of several segments: give one of its segments"),
    (r"outside of its folder", "the header names a signal file outside of its folder"),
    (r"every lead is constant", "every lead is constant: there is no ECG in it"),
    (r"no lead has a usable sample|holds no sample", "no lead has a usable sample"),
    (r"are no millivolts", "values that no millivolt has: look at the unit and the gain"),
    (r"sampling rate", "a sampling rate that is not possible"),
    (r"a lead occurs twice|none of them is used", "a lead occurs twice"),
    (r"two bytes of every sample", "the bytes of the samples are in another order than the header says"),
    (r"unknown unit", "the unit is not known: mV, uV or V"),
    (r"is not installed", "this format needs an optional package that is not installed (pip install 'auricle[wfdb]')"),
    (r"no ECG that auricle reads|is no WFDB header", "the content is no format that auricle reads"),
    (r"is an ECG lead|no ECG to read", "none of its channels is an ECG lead"),
    (r"neither rate nor leads", "the array says neither rate nor leads: store an .npz with signal, rate_hz and leads"),
    (r"damaged|not a readable|different lengths|cannot read it", "the file is damaged"),
)
# Kinds of notes of readers by words in them, with the code and the sentence of each; the first match wins. What has an
# empty code is told elsewhere.
_NOTES: Final = (
    (r"amplitude|no gain|are counts|scaled copy", "", ""),
    (r"is used; the file says|\bages?\b|\bsex\b", "", ""),
    (r"left out", "channel_left_out", "channels that are no ECG leads auricle knows are left out"),
    (r"both signs|upside down", "lead_turned", "a lead is upside down, or there with both signs: turned or taken once"),
    (r"is there \d+ times", "lead_twice", "a lead is there more than once: of different ones none is used"),
    (r"at the limit of the amplifier", "lead_lost", "leads are constant or at the limit of the amplifier: missing"),
    (
        r"contradict|no three limb leads", "limb_leads_contradict",
        "limb leads contradict each other: what can be is derived from the others",
    ),
    (r"dark ground|its pixels", "picture_repaired", "a picture of unusual tones was brought to dark on light"),
    (r"treated as unknown", "field_unknown", "a field of the file cannot be read and is treated as unknown"),
    (r"not read", "content_not_read", "the file also holds what is not read"),
)  # fmt: skip
_OTHER_NOTE: Final = ("reader_note", "its reader found something to say: read the file with `auricle measure`")
_NO_PICTURE: Final = "the picture cannot be read; `auricle ingest` tells the whole reason in its rejected.parquet"
_OTHER_REASON: Final = "the file cannot be read; `auricle ingest` tells the whole reason in its rejected.parquet"


def read_traces(root: Path, cases: Sequence[Case], on_progress: OnProgress | None) -> list[Finding]:
    """Give every case its trace, and return what cannot be read.

    Args:
        root: the folder that the paths of the manifest start from.
        cases: changed in place.
        on_progress: called with (files done, files in all).
    """
    reasons: dict[Remark, list[int]] = defaultdict(list)
    remarks: dict[Remark, list[int]] = defaultdict(list)
    for case in counted(cases, len(cases), on_progress):
        for named, look in ((case.row.file, _trace), (case.row.image, _no_picture)):
            if not named:
                continue
            path = found(root, named)
            result = ("file_missing", missing(named)) if path is None else look(path)
            if isinstance(result, Trace):
                case.trace = result
                for remark in result.remarks:
                    remarks[remark].append(case.line)
            elif result:
                reasons[result].append(case.line)
                case.rejected = True
    kinds: tuple[tuple[Severity, dict[Remark, list[int]]], ...] = (("error", reasons), ("warning", remarks))
    return [
        Finding(severity, code, message, tuple((line,) for line in lines))
        for severity, found_so in kinds
        for (code, message), lines in found_so.items()
    ]


def _trace(path: Path) -> Trace | Remark:
    """The facts of a file, or why it cannot be used."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            recording = read(path)
        odd_age = any(re.search(r"\bage\b", str(warning.message)) for warning in caught)
    except AuricleError as error:
        reason = _reason(str(error), path)
        return "file_missing" if reason == missing("") else "file_unreadable", reason
    except Exception:  # one odd file must not end the report on all others, and a traceback would print its name
        return "file_unreadable", _OTHER_REASON
    try:
        accepted, _ = judged(at_rate(recording.trimmed(), RATE_HZ))
    except DataError as error:
        return "no_ecg", str(error)
    return _facts(path, recording, odd_age, _remarks(recording, accepted))


def _remarks(recording: Recording, quality: Acceptance) -> tuple[Remark, ...]:
    """Kinds of what was found wrong in a recording that can be read; lines are gathered by them."""
    said = [
        next(((code, kind) for words, code, kind in _NOTES if re.search(words, note)), _OTHER_NOTE)
        for note in recording.notes
    ]
    said += [("not_acceptable", f"the trace is not acceptable: {reason}") for reason in quality.reasons]
    return tuple(dict.fromkeys((code, kind) for code, kind in said if code))


def _no_picture(path: Path) -> Remark | None:
    """Why a picture cannot be read; None if it can."""
    if not path.is_file():
        return "file_missing", missing("")
    try:
        read_picture(path)
    except AuricleError:
        return "file_unreadable", _NO_PICTURE
    return None


def _reason(message: str, path: Path) -> str:
    for name in (str(path), str(path.with_suffix("")), path.name):
        message = message.replace(name, "")
    return next((reason for pattern, reason in _REASONS if re.search(pattern, message)), _OTHER_REASON)


def _facts(path: Path, recording: Recording, odd_age: bool, remarks: tuple[Remark, ...]) -> Trace:
    """What is kept of a recording that could be read."""
    signal = np.ascontiguousarray(recording.signal)
    # Leads are part of the identity, rate and age are not: the same samples under another rate are the same signal.
    named = ",".join(recording.leads).encode() + str(signal.shape).encode()
    return Trace(
        rate_hz=recording.rate_hz,
        leads=recording.leads,
        seconds=recording.seconds,
        format=_format(path),
        doubt=_doubt(recording),
        digest=hashlib.blake2b(named + signal.tobytes(), digest_size=16).digest(),
        age=recording.age,
        sex=recording.sex,
        labels=recording.labels,
        odd_age=odd_age,
        remarks=remarks,
    )


def _format(path: Path) -> str:
    """The kind of file; for WFDB with the number of its sample format, which differs between recorders."""
    header = path if suffix_of(path) == ".hea" else header_of(path)
    if header is None or not header.is_file():
        return suffix_of(path)[1:] if suffix_of(path) in _SUFFIXES else "other"
    formats = sorted({channel.format for channel in read_header(header).channels})
    return "WFDB " + "+".join(map(str, formats))


def _doubt(recording: Recording) -> str | None:
    """Why the numbers of a recording are no millivolts, by what its reader found."""
    if recording.amplitude_known:
        return None
    found = doubt_of(recording.signal, recording.rate_hz)
    return found.kind if found else "unknown"
