"""Arrays as recordings: from memory, and from .npy and .npz files (never unpickled).

An .npz holds `signal` (lead, time), `rate_hz`, `leads`, and optionally `unit` ("mV" or "uV"), `age`, `sex`.
A bare .npy holds the signal; rate and leads come from the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle import age as ages
from auricle.errors import DataError, ReadError
from auricle.io.units import millivolts_per
from auricle.recording import Recording, make_recording

# No ECG is recorded with more leads than this; more rows than it means time runs down the rows.
_MOST_LEADS: Final = 64


def from_array(
    signal: ArrayLike,
    rate_hz: float,
    leads: Sequence[str],
    *,
    unit: str = "mV",
    record_id: str = "array",
    **context: object,
) -> Recording:
    """A recording from an array (lead, time).

    Args:
        signal: (lead, time) numbers in `unit`, NaN where missing.
        rate_hz: samples per second.
        leads: a name for each row.
        unit: "mV", "uV" or "V".
        record_id: identity of the record.
        **context: further fields of `Recording`; None leaves a field as it is.

    Raises:
        DataError: a shape that does not fit the lead names or is transposed, an unknown unit or lead name, or no
            usable sample.
    """
    values = np.asarray(signal)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{record_id}: an array of numbers (lead, time) is needed, not {values.dtype} {values.shape}")
    if values.shape[0] != len(leads):
        turned = values.shape[1] == len(leads) or values.shape[0] > _MOST_LEADS
        hint = "it looks transposed: time runs along the second axis" if turned else "name every row"
        raise DataError(f"{record_id}: {values.shape[0]} rows for {len(leads)} lead names; {hint}")
    millivolts = values.astype(np.float32) * np.float32(millivolts_per(unit))
    calibrated = {"amplitude_known": False} if context.get("amplitude_known") is False else {}
    recording = make_recording(millivolts, rate_hz, list(leads), record_id, **calibrated)
    return recording.with_context(**context)


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes are a numpy array or an archive of them."""
    return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\x03\x04") and path.suffix == ".npz")


def read(path: Path, **context: object) -> Recording:
    """A recording from .npy or .npz.

    Raises:
        ReadError: damaged, pickled, or without rate and leads.
    """
    stored = load_arrays(path)
    if "signal" not in stored:
        raise ReadError(f"{path}: no array named signal in it, only {', '.join(sorted(stored)) or 'nothing'}")
    known: dict[str, object] = {"unit": str(stored.get("unit", "mV"))}
    if "rate_hz" in stored:
        known["rate_hz"] = stored["rate_hz"]
    if "leads" in stored:
        known["leads"] = [str(lead) for lead in stored["leads"]]
    if "age" in stored:
        known["age"] = ages.parse(str(stored["age"]))
    if str(stored.get("sex", "")) in {"F", "M"}:
        known["sex"] = str(stored["sex"])
    given = {name: value for name, value in context.items() if value is not None}
    return bare(path, stored["signal"], {**known, **given})


def bare(path: Path, signal: ArrayLike, context: Mapping[str, object]) -> Recording:
    """A recording from the array of a file; what the array does not say (`rate_hz`, `leads`) is in `context`.

    Raises:
        ReadError: rate or leads are not known.
    """
    rest = dict(context)
    rate_hz, leads = rest.pop("rate_hz", None), rest.pop("leads", None)
    unit, record_id = str(rest.pop("unit", "mV")), str(rest.pop("record_id", None) or path.stem)
    if rate_hz is None or leads is None:
        raise ReadError(f"{path}: says neither rate nor leads; store an .npz with signal, rate_hz and leads")
    if not isinstance(leads, Sequence):
        raise ReadError(f"{path}: leads must be a list of names")
    try:
        rate = float(np.asarray(rate_hz).item())
    except (ValueError, TypeError):
        raise ReadError(f"{path}: rate_hz must be one number") from None
    return from_array(signal, rate, list(leads), unit=unit, record_id=record_id, **rest)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name; a bare .npy is `signal`. Nothing is unpickled.

    Raises:
        ReadError: damaged or missing.
    """
    try:
        with path.open("rb") as file:
            if not file.read(2).startswith(b"PK"):
                # Mapped, the array is as large as the file, whatever its header claims.
                return {"signal": np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))}
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy's header parser raises whatever Python's tokenizer trips over
        raise ReadError(f"{path}: not a readable array ({type(error).__name__}); copy it again") from None
