"""A hospital's normal records as a table: ages, sexes, patients and values, gathered from recordings or rows.

What a value is called, by whatever program, is settled here (`parameter_of`); `auricle.data.normals` reads the files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import Age
from auricle.birth import corrected
from auricle.errors import AuricleError
from auricle.leads import CANONICAL
from auricle.measure.measurements import UNITS, Measured
from auricle.measure.recording import measure_recording
from auricle.recording import Recording, Sex

Floats = NDArray[np.float64]

# Names under which carts, other programs and the simulator hand over the same values, without separators.
_ALIASES: Final[Mapping[str, str]] = {
    "rate": "heart_rate", "hr": "heart_rate", "ventricularrate": "heart_rate", "vrate": "heart_rate",
    "herzfrequenz": "heart_rate", "hf": "heart_rate", "rrinterval": "rr", "pwaveduration": "p_duration",
    "printerval": "pr", "prduration": "pr", "pq": "pr", "pqinterval": "pr", "qrsduration": "qrs", "qrsd": "qrs",
    "qrsdur": "qrs", "qrsinterval": "qrs", "qrscomplex": "qrs", "qtinterval": "qt", "qtc": "qtc_bazett",
    "qtcb": "qtc_bazett", "qtcinterval": "qtc_bazett", "qtcf": "qtc_fridericia", "axis": "qrs_axis",
    "raxis": "qrs_axis",
}  # fmt: skip
_BY_FOLDED: Final = {**{name.replace("_", ""): name for name in UNITS}, **_ALIASES}
_UNIT: Final = re.compile(r"\s*[\[(]\s*(?P<unit>[^\[\]()]*?)\s*[\])]\s*$")
_UNIT_SUFFIX: Final = re.compile(r"[_\s](?P<unit>ms|s|sec|mv|uv|µv|deg|bpm)$", re.IGNORECASE)
_AMPLITUDE: Final = re.compile(r"(?P<wave>st|[qrstp])(?:wave|amplitude|amp)?(?:in|lead)?(?P<lead>[a-z0-9]+)")
_LEADS: Final = frozenset(name.casefold() for name in CANONICAL)


@dataclass(frozen=True, slots=True)
class NormalRecords:
    """Values of normal people.

    Attributes:
        age_days: (record,).
        sex: (record,) "F", "M" or "".
        patient: (record,) names; a record without a patient stands for itself.
        values: parameter -> (record,), NaN where missing, in the units of the limits.
        left_out: reason -> how many records were not used.
    """

    age_days: Floats
    sex: NDArray[np.str_]
    patient: NDArray[np.str_]
    values: Mapping[str, Floats]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.age_days)


def parameter_of(name: str) -> str | None:
    """The parameter a column or measurement means (`qrs_ms`, `QRS [ms]`, `HeartRate`, `R in V6`), or None."""
    return _named(name) or _named(_UNIT.sub("", name)) or _named(_UNIT_SUFFIX.sub("", _UNIT.sub("", name)))


def unit_in(name: str) -> str:
    """The unit that the name of a column ends in, as written (`QRS [s]`, `r_v6_uv`); empty where there is none."""
    if _named(name):
        return ""  # the bracket of "QTc (Bazett)" is no unit
    match = _UNIT.search(name) or _UNIT_SUFFIX.search(name)
    return match["unit"] if match else ""


def _named(name: str) -> str | None:
    """The parameter of a name without a unit."""
    folded = re.sub(r"[^\w]|_", "", name).casefold()
    if folded in _BY_FOLDED:
        return _BY_FOLDED[folded]
    match = _AMPLITUDE.fullmatch(folded)
    if match is None or match["lead"] not in _LEADS:
        return None
    return f"{match['wave']}_{match['lead']}"


def gather(rows: Iterable[tuple[Recording, Mapping[str, float]]], label: str | None) -> NormalRecords:
    """A table from recordings and their values, by any names `parameter_of` knows.

    Args:
        rows: recordings (their signals are not read) with values; NaN where missing.
        label: only records with this label; None takes all.
    """
    table = Gathered(label)
    for recording, values in rows:
        known = {parameter_of(name): value for name, value in values.items()}
        table.add(
            recording.age, recording.gestation_days, recording.sex,
            recording.patient_id or f"record:{recording.record_id}", recording.labels,
            {name: value for name, value in known.items() if name is not None},
        )  # fmt: skip
    return table.done()


def with_values(recordings: Iterable[Recording], given: bool) -> Iterator[tuple[Recording, Mapping[str, float]]]:
    """Each recording with its values: those that came with it, or those measured on it.

    What cannot be measured has no value, and its curves are fitted without it.

    Args:
        recordings: of normal people.
        given: take the measurements that came with them.
    """
    for recording in recordings:
        if given:
            yield recording, recording.measurements
            continue
        try:
            values = values_of(measure_recording(recording).values)
        except AuricleError:
            values = {}
        yield recording, values


def values_of(measured: Mapping[str, Measured]) -> dict[str, float]:
    """Plain numbers of measurements, NaN where not measurable."""
    return {name: one.value if one.measurable else math.nan for name, one in measured.items()}


class Gathered:
    """Rows as they come; what has another label or no age to compare at is counted and left out."""

    def __init__(self, label: str | None) -> None:
        """Rows with this label; None takes all."""
        self.label = label
        self.rows: list[tuple[float, str, str, Mapping[str, float]]] = []
        self.left_out: dict[str, int] = {}

    def add(
        self,
        age: Age | None,
        gestation_days: float | None,
        sex: Sex | None,
        patient: str,
        labels: Iterable[str],
        values: Mapping[str, float],
    ) -> None:
        """One record, at the age at which a child born early is compared (`auricle.birth.corrected`)."""
        compared = None if age is None else corrected(age, gestation_days)
        reason = "age unknown" if age is None else "before term" if compared is None else ""
        if self.label is not None and self.label not in labels:
            reason = f"not {self.label}"
        if reason or compared is None:
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
            return
        self.rows.append((compared.best_days, sex or "", patient, values))

    def done(self) -> NormalRecords:
        """The table."""
        names = list(dict.fromkeys(name for *_, values in self.rows for name in values))
        columns = {
            name: np.array([row[3].get(name, math.nan) for row in self.rows], dtype=np.float64) for name in names
        }
        return NormalRecords(
            np.array([row[0] for row in self.rows], dtype=np.float64),
            np.array([row[1] for row in self.rows], dtype=np.str_),
            np.array([row[2] for row in self.rows], dtype=np.str_),
            columns,
            self.left_out,
        )
