"""Measurements as no recording gave them: a healthy newborn's, or values that a test writes down."""

from __future__ import annotations

import numpy as np

from auricle.measure.measurements import UNITS, Measured, Measurements

NEWBORN = {
    "heart_rate": (135.0, 2.0), "pr": (105.0, 3.0), "qrs": (66.0, 2.0), "qtc_bazett": (420.0, 6.0),
    "qtc_fridericia": (390.0, 6.0), "qrs_axis": (135.0, 4.0), "r_v1": (1.6, 0.05), "s_v1": (0.6, 0.04),
    "rs_ratio_v1": (2.4, 0.2), "r_v6": (0.6, 0.03), "s_v6": (0.4, 0.03), "t_v1": (0.1, 0.02), "r_ii": (0.7, 0.02),
}  # fmt: skip


def measured(values=NEWBORN, remarks=(), recorded_hz=500.0, leads=("I", "II", "V1", "V6")):
    known = {name: Measured(value, error, UNITS.get(name, "mV")) for name, (value, error) in values.items()}
    beat = np.zeros((len(leads), 10), dtype=np.float32)
    return Measurements(known, tuple(remarks), leads, beat, 500.0, 5, {}, np.arange(10), 9, recorded_hz)
