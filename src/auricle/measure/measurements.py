"""What was measured on a trace: values with their uncertainty, marks, and remarks about the recording itself.

Values have the names of the limits (`heart_rate`, `pr`, `qrs`, `qtc_bazett`, `qrs_axis`, `r_v1` ...).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.signal.acceptance import Acceptance

UNITS: Final[Mapping[str, str]] = {
    "heart_rate": "1/min", "rr": "ms", "p_duration": "ms", "pr": "ms", "qrs": "ms", "qt": "ms", "qtc_bazett": "ms",
    "qtc_fridericia": "ms", "p_axis": "deg", "qrs_axis": "deg", "t_axis": "deg", "rs_ratio_v1": "1",
}  # fmt: skip
"""Units of the global measurements; the amplitudes of a lead (`q_`, `r_`, `s_`, `st_`, `t_`, `p_` + lead) are in mV."""

DECIMALS: Final[Mapping[str, int]] = {"1/min": 1, "ms": 1, "deg": 1, "mV": 3, "1": 2}
"""To how many decimals a measurement is told to other systems, by its unit."""

CAME_WITH: Final[Mapping[str, str]] = {
    "heart_rate": "heart_rate", "rr_ms": "rr", "p_ms": "p_duration", "pr_ms": "pr", "qrs_ms": "qrs", "qt_ms": "qt",
    "qtc_ms": "qtc_bazett", "p_axis_deg": "p_axis", "qrs_axis_deg": "qrs_axis", "t_axis_deg": "t_axis",
}  # fmt: skip
"""What `Recording.measurements` calls the numbers that came with a recording, by the names of values here."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One value.

    Attributes:
        value: in `unit`; NaN where not measurable.
        uncertainty: one standard error in `unit`, from how the beats and leads disagree; NaN where not measurable.
        unit: "1/min", "ms", "deg", "mV" or "1".
        reason: why it is not measurable, in a few words ("no P wave found"); empty where it is.
        bound: "above" where all that can be said is that it lies above `value` (R over an S that vanishes), "below"
            where it lies below; empty where `value` is the value.
    """

    value: float
    uncertainty: float
    unit: str
    reason: str = ""
    bound: Literal["", "above", "below"] = ""

    @property
    def measurable(self) -> bool:
        """Whether there is a value."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about the recording that a reader must know before any value.

    Attributes:
        code: stable name: "arms_swapped", "leg_electrode_swapped", "dextrocardia", "poor_contact",
            "artefact", "band_too_narrow", "rate_too_low", "saturated", "paced", "few_leads", "irregular", "pause",
            "rate_doubtful", "few_beats".
        leads: the leads concerned, empty for all.
        detail: numbers for the sentence, by name.
    """

    code: str
    leads: tuple[str, ...] = ()
    detail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything measured on one recording.

    Attributes:
        values: by name, in a fixed order; what could not be measured is there with its reason.
        remarks: about the recording, the gravest first.
        leads: leads of the median beat, the standard twelve first; leads beside them (V3R, V7 ...) are measured
            between the marks of the twelve and change none of their values.
        median_beat: (lead, time) millivolts; sample `r_index` is where the beats were aligned.
        rate_hz: samples per second of the median beat.
        r_index: sample of the median beat where the beats were aligned.
        marks_ms: global `p_onset`, `p_offset`, `qrs_onset`, `qrs_offset`, `t_offset`, from `r_index`; absent where
            not found.
        beats: sample numbers of all QRS complexes in the recording.
        n_used: how many of them form the median beat (those of the dominant shape).
        recorded_hz: sampling rate at which the recording was made.
        quality: whether the trace is acceptable, and why not; its rhythm does not count.
        cart: what the cart wrote of the values, by their names, for comparison; empty where its file says nothing. A
            corrected QT is by the cart's own formula.
    """

    values: Mapping[str, Measured]
    remarks: tuple[Remark, ...]
    leads: tuple[str, ...]
    median_beat: NDArray[np.float32]
    rate_hz: float
    r_index: int
    marks_ms: Mapping[str, float]
    beats: NDArray[np.int64]
    n_used: int
    recorded_hz: float
    quality: Acceptance = field(default_factory=lambda: Acceptance(True, True))
    cart: Mapping[str, float] = field(default_factory=dict)


def unmeasured(name: str, reason: str) -> Measured:
    """A value that is not there, with the reason; of a name that is no scalar it is an amplitude in mV."""
    return Measured(math.nan, math.nan, UNITS.get(name, "mV"), reason or "not found")
