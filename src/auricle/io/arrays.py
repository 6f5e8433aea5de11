"""Arrays as recordings: from memory, and from .npy and .npz files (never unpickled).

An .npz holds `signal` (lead, time), `rate_hz`, `leads`, and optionally `unit`, `age`, `sex` and what else is known,
also as others spell these keys (`fs`, `lead_names`, `units`). A bare .npy holds the signal; rate and leads come from
the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auricle.errors import DataError, ReadError
from auricle.io.keys import key_of, known_of
from auricle.io.names import record_name
from auricle.io.units import is_without_volts, millivolts_per
from auricle.recording import Recording, make_recording

# No ECG is recorded with more leads than this; more rows than it means time runs down the rows.
_MOST_LEADS: Final = 64
_ZIP: Final = b"PK\x03\x04"


def from_array(
    signal: ArrayLike,
    rate_hz: float,
    leads: Sequence[str],
    *,
    unit: str | Sequence[str] | None = None,
    record_id: str = "array",
    **context: object,
) -> Recording:
    """A recording from an array (lead, time).

    Args:
        signal: (lead, time) numbers in `unit`, NaN where missing.
        rate_hz: samples per second.
        leads: a name for each row.
        unit: "mV", "uV" or "V", one for all rows or one for each; "counts" where there is none. By default floating
            numbers are millivolts, and whole numbers are counts, whose amplitude is unknown.
        record_id: identity of the record.
        **context: further fields of `Recording`; None leaves a field as it is.

    Raises:
        DataError: a shape that does not fit the lead names or is transposed, an unknown unit, no lead name that is
            known, or no usable sample.
    """
    values = np.asarray(signal)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{record_id}: an array of numbers (lead, time) is needed, not {values.dtype} {values.shape}")
    if values.shape[0] != len(leads):
        turned = values.shape[1] == len(leads) or values.shape[0] > _MOST_LEADS
        hint = "it looks transposed: time runs along the second axis" if turned else "name every row"
        raise DataError(f"{record_id}: {values.shape[0]} rows for {len(leads)} lead names; {hint}")
    factors, doubt = _factors(unit, values, record_id)
    millivolts = values.astype(np.float32) * factors[:, None]
    known: dict[str, object] = {}
    if context.get("amplitude_known") is False:
        known["amplitude_known"] = False
    elif doubt:
        known |= {"amplitude_known": False, "notes": (doubt,)}
    recording = make_recording(millivolts, rate_hz, list(leads), record_id, **known)
    return recording.with_context(**context)


def _factors(unit: str | Sequence[str] | None, values: NDArray[Any], record_id: str) -> tuple[NDArray[np.float32], str]:
    """(lead,) millivolts per number, and why the amplitude is not known; empty where it is."""
    remedy = "amplitudes are treated as unknown: give the unit (mV, uV or V)"
    if unit is None:
        whole = np.issubdtype(values.dtype, np.integer)
        return np.ones(len(values), np.float32), f"whole numbers without a unit are counts; {remedy}" if whole else ""
    units = [unit] * len(values) if isinstance(unit, str) else list(unit)
    if len(units) == 1:
        units *= len(values)
    if len(units) != len(values):
        raise DataError(f"{record_id}: {len(units)} units for {len(values)} rows; give one, or one for each")
    without = [each for each in units if is_without_volts(each)]
    factors = [1.0 if is_without_volts(each) else millivolts_per(each) for each in units]
    return np.array(factors, np.float32), f"the unit {without[0]!r} is no voltage; {remedy}" if without else ""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the bytes are a numpy array or an archive of them."""
    del path
    return head.startswith(b"\x93NUMPY") or (head.startswith(_ZIP) and b".npy" in head)


def read(path: Path, **context: object) -> Recording:
    """A recording from .npy or .npz.

    Raises:
        ReadError: damaged, pickled, or without rate and leads.
    """
    stored, pickled = _load(path)
    return named(path, stored, context, unread=pickled)


def named(
    path: Path, stored: Mapping[str, Any], context: Mapping[str, object], unread: Iterable[str] = ()
) -> Recording:
    """A recording from the arrays of a file by name.

    Args:
        path: the file.
        stored: arrays, text and numbers by name, in any of the spellings of `auricle.io.keys`.
        context: what the caller knows; it counts more than the file, None counts nothing.
        unread: names of what is in the file and could not be opened.

    Raises:
        ReadError: no signal among them, or neither the file nor the caller knows rate and leads.
    """
    known, notes = known_of(stored)
    given = {name: value for name, value in context.items() if value is not None}
    closed = {name: key_of(name) for name in unread}
    needed = [
        name for name, key in closed.items() if key in {"signal", "rate_hz", "leads", "unit"} and key not in given
    ]
    if needed:
        raise ReadError(
            f"{path}: {', '.join(needed)} in it is a pickled object, which is never opened; store it as numbers or text"
        )
    if "signal" not in known:
        raise ReadError(f"{path}: no array named signal in it, only {', '.join(sorted(stored)) or 'nothing'}")
    if closed:
        notes = (*notes, f"{', '.join(closed)} in the file is pickled and not read")
    signal = known.pop("signal")
    notes = (*notes, *given.pop("notes", ()))  # type: ignore[misc]
    return bare(path, signal, {**known, **given, "notes": notes})


def bare(path: Path, signal: ArrayLike, context: Mapping[str, object]) -> Recording:
    """A recording from the array of a file; what the array does not say (`rate_hz`, `leads`) is in `context`.

    Raises:
        ReadError: rate or leads are not known.
    """
    rest = dict(context)
    rate_hz, leads, unit = rest.pop("rate_hz", None), rest.pop("leads", None), rest.pop("unit", None)
    record_id = str(rest.pop("record_id", None) or record_name(path))
    if rate_hz is None or leads is None:
        what = "neither rate nor leads" if rate_hz is None and leads is None else "no rate" if leads else "no leads"
        raise ReadError(f"{path}: says {what}; store an .npz with signal, rate_hz and leads")
    if not isinstance(leads, Sequence):
        raise ReadError(f"{path}: leads must be a list of names")
    try:
        rate = float(np.asarray(rate_hz).item())
    except (ValueError, TypeError):
        raise ReadError(f"{path}: rate_hz must be one number") from None
    return from_array(signal, rate, list(leads), unit=unit, record_id=record_id, **rest)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name; a bare .npy is `signal`. Nothing is unpickled: what is pickled is left out.

    Raises:
        ReadError: damaged or missing.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The arrays, and the names of those that are pickled."""
    found: dict[str, NDArray[Any]] = {}
    pickled: list[str] = []
    try:
        with path.open("rb") as file:
            if not file.read(2).startswith(b"PK"):
                # Mapped, the array is as large as the file, whatever its header claims.
                return {"signal": np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))}, ()
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                for name in archive.files:
                    try:
                        found[name] = archive[name]
                    except ValueError as error:
                        if "allow_pickle" not in str(error):
                            raise
                        pickled.append(name)
    except Exception as error:  # numpy's header parser raises whatever Python's tokenizer trips over
        raise ReadError(f"{path}: not a readable array ({type(error).__name__}); copy it again") from None
    return found, tuple(pickled)
