"""What a process of the service does with one recording: read it, measure it, ask the weights, say it in a format.

Every function here takes an `Ask` and returns an `Answer` in bytes, so that the process that listens does nothing but
listen. What a file does to the process (a crash, a hang, too much memory) it does to this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auricle import age as ages
from auricle.birth import parse_gestation
from auricle.errors import AuricleError, DataError, MissingExtraError, UnreadableError
from auricle.fhir import measured_bundle, predicted_bundle
from auricle.io import read
from auricle.io.header_comments import given_sex
from auricle.io.wfdb_header import files_of
from auricle.measure.recording import measure_recording
from auricle.origin import origin
from auricle.paediatrics.findings import assess
from auricle.paediatrics.report import to_dict
from auricle.recording import Recording
from auricle.serve import view
from auricle.serve.view import Measured

if TYPE_CHECKING:
    from auricle.predict import Predictor
    from auricle.prediction import Prediction

JSON, FHIR_JSON, HTML = "application/json", "application/fhir+json", "text/html; charset=utf-8"
# What was asked cannot be done with what was sent; the text says why.
UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about one recording.

    Attributes:
        path: its file, or the folder into which its files were put.
        age, sex, gestation: as people type them; empty for unknown, which leaves what the file says.
        language: "en", "zh" or "de".
        start_s: from where on the page is shown the trace.
        fhir: answer with a FHIR Bundle.
        previous: the same about an earlier recording of the same person, for `changed`.
    """

    path: Path
    age: str = ""
    sex: str = ""
    gestation: str = ""
    language: str = "en"
    start_s: float = 0.0
    fhir: bool = False
    previous: Ask | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Attributes:
        status: of HTTP.
        kind: media type of the content.
        content: the bytes.
        files: for the audit log, the SHA-256 of each file of the recording, signal files too, in the order of their
            names; empty where no process read them.
        previous: those of the earlier recording it was compared with.
    """

    status: int
    kind: str
    content: bytes
    files: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()


def refusal(status: int, reason: str) -> Answer:
    """Why there is no answer, in a line: `{"error": ...}`."""
    return Answer(status, JSON, to_json({"error": reason}))


def begin(weights: Path | str | None, memory_bytes: int) -> None:
    """Make a new process ready: silent, limited, and with the weights loaded.

    Args:
        weights: as `Predictor.from_pretrained` takes them; None for none.
        memory_bytes: of its own that it may have.
    """
    global _weights, _failure
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Readers warn with the names of files, and libraries write what they like: none of it belongs into a log.
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _weights = weights
    try:
        if weights is not None:
            import torch

            torch.set_num_threads(1)
            predictor()
    except AuricleError as error:
        _failure = str(error)
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        _failure = f"the weights cannot be loaded ({type(error).__name__}); is there enough memory (--memory-gb)?"


_weights: Path | str | None = None
_failure = ""


def failure() -> str:
    """What is wrong with the weights; empty once this process has begun and nothing is."""
    return _failure


@cache
def predictor() -> Predictor:
    """The weights of this process.

    Raises:
        DataError: the service was started without any.
    """
    if _weights is None:
        raise DataError("this service measures only: it was started without weights")
    from auricle.predict import Predictor

    return Predictor.from_pretrained(_weights)


def _answering(function: Callable[[Ask], tuple[str, bytes]]) -> Callable[[Ask], Answer]:
    """What a function says, or the one line why it cannot, without the folder in which the files lie."""

    @wraps(function)
    def run(ask: Ask) -> Answer:
        try:
            kind, content = function(ask)
        except AuricleError as error:
            told = {"error": _line(error, ask), **_quality(error)}
            status, kind, content = UNPROCESSABLE, JSON, to_json(told)
        else:
            status = 200
        return Answer(status, kind, content, _digests(ask), _digests(ask.previous) if ask.previous else ())

    return run


@_answering
def measured(ask: Ask) -> tuple[str, bytes]:
    """The values of a recording, as `auricle measure --json` says them, or as a FHIR Bundle."""
    recording, values, assessment = _measured(ask)
    plain = to_dict(assessment, values, recording.notes)
    if ask.fhir:
        return FHIR_JSON, to_json(measured_bundle(recording, plain, ask.language))
    return JSON, to_json({"record_id": recording.record_id, **origin(), **plain})


@_answering
def predicted(ask: Ask) -> tuple[str, bytes]:
    """The answer of the weights, as `auricle predict --json` says it, or as a FHIR Bundle."""
    recording = _read(ask)
    plain = predictor()(recording).to_dict()
    if ask.fhir:
        titles, snomed = predictor().titles(ask.language), predictor().snomed()
        return FHIR_JSON, to_json(predicted_bundle(recording, plain, titles, ask.language, snomed))
    return JSON, to_json({"record_id": recording.record_id, **origin(), **plain})


@_answering
def viewed(ask: Ask) -> tuple[str, bytes]:
    """All that the page shows of a recording: the trace, its values, the answer, four ages."""
    found = _measured(ask)
    answered: Prediction | str = ""
    if _weights is not None:
        try:
            answered = predictor()(found[0])
        except DataError as error:
            answered = _line(error, ask)
    named = (predictor().titles(ask.language), predictor().knows(ask.language)) if _weights is not None else ({}, [])
    return JSON, to_json(view.of_recording(*found, answered, *named, language=ask.language, start_s=ask.start_s))


@_answering
def changed(ask: Ask) -> tuple[str, bytes]:
    """What changed since an earlier recording of the same person; which is the earlier is told by their dates."""
    if ask.previous is None:
        raise DataError("no earlier recording was sent to compare with")
    before, now = view.in_order(_measured(ask.previous), _measured(ask))
    return JSON, to_json(view.of_changes(before, now, ask.language))


@_answering
def reported(ask: Ask) -> tuple[str, bytes]:
    """The page of `auricle measure`, which needs no service to be looked at."""
    from auricle.pages.measure import measure_page

    recording, values, assessment = _measured(ask)
    page = measure_page(recording, values, assessment, ask.language, title=recording.record_id)
    return HTML, page.to_html().encode()


@_answering
def summarised(ask: Ask) -> tuple[str, bytes]:
    """What a list of recordings says of one: person, date, age, and its findings in short."""
    return JSON, to_json(view.summary(*_measured(ask)))


def _read(ask: Ask) -> Recording:
    """The one recording that was sent.

    Raises:
        DataError: none, several, or one that cannot be read.
    """
    return read(_file_of(ask.path), **told_of(ask.age, ask.sex, ask.gestation))


def told_of(age: str, sex: str, gestation: str) -> dict[str, Any]:
    """What was typed of a person, as `auricle.io.read` takes it; empty for unknown.

    Raises:
        DataError: one of them cannot be.
    """
    return {
        "age": ages.given(age or None),
        "sex": given_sex(sex or None, "sex"),
        "gestation_days": parse_gestation(gestation) if gestation else None,
    }


def _file_of(path: Path) -> Path:
    """The file that stands for the recording: the only one, or the only WFDB header, of those that were sent."""
    if not path.is_dir():
        return path
    files = [one for one in sorted(path.rglob("*")) if one.is_file()]
    headers = [one for one in files if one.suffix.casefold() == ".hea"]
    if len(files) == 1 or len(headers) == 1:
        return (headers or files)[0]
    raise DataError(
        f"{len(headers) or len(files)} recordings were sent; send one: a file, or a WFDB header with its signal files"
    )


def _measured(ask: Ask) -> Measured:
    recording = _read(ask)
    values = measure_recording(recording)
    return recording, values, assess(values, recording.age, recording.sex, gestation_days=recording.gestation_days)


def _line(error: AuricleError, ask: Ask) -> str:
    """The message of an error; of the place where the files lie for a moment only the names are left."""
    if isinstance(error, MissingExtraError):
        return f"the service lacks a package: {error}"
    text = str(error)
    for one in (ask, ask.previous):
        if one is not None:
            folder = one.path if one.path.is_dir() else one.path.parent
            text = text.replace(f"{folder}/", "").replace(str(folder), "the upload")
    return text


def _quality(error: AuricleError) -> Mapping[str, Any]:
    return {"refused": str(error), "quality": error.quality} if isinstance(error, UnreadableError) else {}


def to_json(value: Mapping[str, Any]) -> bytes:
    """Plain data as JSON in UTF-8.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _digests(ask: Ask) -> tuple[str, ...]:
    """SHA-256 of the content of each file of a recording; a file that is gone by now has none."""
    found = []
    for file in sorted(ask.path.rglob("*") if ask.path.is_dir() else files_of(ask.path)):
        with contextlib.suppress(OSError):
            if file.is_file():
                with file.open("rb") as opened:
                    found.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return tuple(found)
