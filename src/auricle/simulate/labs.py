"""Laboratory values that go with age and disease: a newborn's troponin and NT-proBNP would alarm in an adult.

Blood is drawn around the ECG, from an hour and a half before it to four hours after it as a rule. The troponin of an
acute infarction rises for hours after its onset, so an early sample is nearly normal, and one drawn after the ECG holds
information from after the ECG. A model that is trained on it therefore needs the time it was drawn at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.labs import lab_test
from auricle.simulate.conditions import STAGES, Diagnoses, groups
from auricle.simulate.rhythm import over_age
from auricle.simulate.streams import Floats, Stream, Streams


@dataclass(frozen=True, slots=True)
class _Test:
    """How one test behaves: healthy medians over age in years, log spread, disease factors, how often it is absent."""

    years: tuple[float, ...]
    medians: tuple[float, ...]
    log_spread: float
    # code (or group:stage of an infarction) -> factor on the median at no and at full severity; between them geometric
    factors: Mapping[str, tuple[float, float]]
    missing: float
    # Whether an acute infarction shows with the hours since its onset, and not at once.
    rises: bool = False


# Round figures after usual paediatric and adult reference ranges; canonical units are in the names.
PANEL: Final[Mapping[str, _Test]] = {
    "troponin_ng_l": _Test(
        (0, 0.02, 0.08, 0.5, 1, 18, 60, 90), (40, 45, 30, 12, 6, 4, 7, 14), 0.55,
        {"STE_": (2.5, 120.0), "LVH": (1.1, 2.0), "RVH": (1.0, 1.6), "AFIB": (1.1, 1.6), "MYOC": (3.0, 80.0),
         "PERI": (1.0, 4.0), "infarction:acute": (2.5, 150.0), "infarction:recent": (1.3, 12.0)}, 0.45, True,
    ),
    "nt_probnp_ng_l": _Test(
        (0, 0.008, 0.02, 0.08, 1, 10, 18, 50, 70, 90), (2500, 3000, 1500, 350, 160, 65, 35, 50, 130, 350), 0.65,
        {"RVH": (1.3, 5.0), "LVH": (1.3, 5.0), "AFIB": (2.0, 6.0), "CLBBB": (1.2, 2.5), "STE_": (1.1, 3.0),
         "MYOC": (3.0, 20.0), "RVPH": (2.0, 8.0), "infarction:acute": (1.2, 4.0),
         "infarction:recent": (1.3, 4.0)}, 0.50,
    ),
    "potassium_mmol_l": _Test(
        (0, 0.08, 1, 10, 18, 90), (5.1, 5.0, 4.5, 4.2, 4.2, 4.3), 0.09,
        {"AFIB": (1.0, 0.94), "HYPERK": (1.35, 1.9), "HYPOK": (0.78, 0.58)}, 0.20,
    ),
    "haemoglobin_g_l": _Test(
        (0, 0.02, 0.2, 0.5, 2, 12, 18, 60, 90), (185, 175, 112, 118, 123, 135, 138, 138, 128), 0.09, {}, 0.25
    ),
    "white_cells_g_l": _Test(
        (0, 0.02, 0.08, 1, 6, 12, 18, 90), (18, 12, 11, 10.5, 8, 7, 6.8, 6.8), 0.28,
        {"STE_": (1.1, 1.6), "PERI": (1.1, 1.8), "MYOC": (1.1, 1.8)}, 0.25,
    ),
    "calcium_mmol_l": _Test(
        (0, 0.01, 0.08, 1, 18, 90), (2.35, 2.15, 2.45, 2.45, 2.37, 2.33), 0.035,
        {"HYPOCA": (0.84, 0.62), "HYPERCA": (1.18, 1.55)}, 0.40,
    ),
    "crp_mg_l": _Test(
        (0, 0.01, 0.08, 1, 18, 90), (0.6, 2.5, 0.8, 0.7, 0.8, 1.8), 0.9,
        {"PERI": (5.0, 90.0), "MYOC": (3.0, 60.0), "infarction:acute": (1.5, 15.0), "infarction:recent": (2.0, 20.0)},
        0.45,
    ),
}  # fmt: skip
# Men have more haemoglobin from puberty on.
_MALE_HAEMOGLOBIN: Final = 1.09
_PUBERTY_YEARS: Final = (12.0, 17.0)
# What counts as an acute infarction.
_ACUTE: Final = ("STE_", "infarction:acute")
# Minutes after the ECG at which blood is drawn, by share of patients; tests of one patient lie a few minutes apart.
_DRAWN_SHARE: Final = (0.0, 0.05, 0.5, 0.95, 1.0)
_DRAWN_MIN: Final = (-180.0, -80.0, 30.0, 230.0, 480.0)
_APART_MIN: Final = 20.0
# Hours from onset to the ECG, spread evenly over their logarithm, and how troponin follows: half of its rise, in
# logarithms, after two and a half.
_ONSET_HOURS: Final = (0.5, 12.0)
_HALF_RISE_HOURS: Final = 2.5
_RISE_POWER: Final = 3.0


def panel(
    streams: Streams, age_days: Floats, sex: NDArray[np.str_], diagnoses: Diagnoses
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Laboratory values of the records, and when they were drawn.

    Args:
        streams: chance.
        age_days: (record,)
        sex: (record,) "F" or "M".
        diagnoses: what the records have.

    Returns:
        Test name (with its unit) -> (record,) values, NaN where the test was not done; and test name -> (record,)
        minutes after the ECG.
    """
    minutes, hours_before = _drawn(streams)
    normals = streams.normals(Stream.LABS, len(PANEL))
    uniforms = streams.uniforms(Stream.MISSING_LABS, len(PANEL))
    values: dict[str, Floats] = {}
    for column, (name, test) in enumerate(PANEL.items()):
        log_value = over_age(age_days, test.years, tuple(np.log(test.medians))) + test.log_spread * normals[:, column]
        for code, (mild, severe) in test.factors.items():
            present, severity = _state(diagnoses, code)
            effect = np.log(mild) + severity * np.log(severe / mild)
            if test.rises and code in _ACUTE:
                effect = effect * risen(hours_before + minutes[:, column] / 60)
            log_value = log_value + np.where(present, effect, 0)
        if name == "haemoglobin_g_l":
            log_value += np.where(sex == "M", over_age(age_days, _PUBERTY_YEARS, (0.0, np.log(_MALE_HAEMOGLOBIN))), 0)
        value = np.clip(np.exp(log_value), *lab_test(name).plausible)
        values[name] = np.where(uniforms[:, column] < test.missing, np.nan, value)
    drawn = {name: np.where(np.isnan(values[name]), np.nan, minutes[:, column]) for column, name in enumerate(PANEL)}
    return values, drawn


def risen(hours: Floats) -> Floats:
    """Share of a troponin's rise, in logarithms, that is reached some hours after an infarction's onset: 0 to 1."""
    since: Floats = np.maximum(hours, 0.0) ** _RISE_POWER
    share: Floats = since / (since + _HALF_RISE_HOURS**_RISE_POWER)
    return share


def _drawn(streams: Streams) -> tuple[Floats, Floats]:
    """(record, test) minutes from the ECG to each draw, and (record,) hours from an infarction's onset to the ECG."""
    chance = streams.uniforms(Stream.LAB_TIMES, 2 + len(PANEL))
    first, last = np.log(_ONSET_HOURS)
    together = np.interp(chance[:, 1], _DRAWN_SHARE, _DRAWN_MIN)
    minutes = np.rint(together[:, None] + _APART_MIN * (chance[:, 2:] - 0.5))
    return minutes, np.exp(first + chance[:, 0] * (last - first))


def _state(diagnoses: Diagnoses, name: str) -> tuple[NDArray[np.bool_], Floats]:
    """(record,) who has it, and how much: a condition, or an infarction of one stage wherever it is."""
    group, _, stage = name.partition(":")
    if not stage:
        return diagnoses.present[name], diagnoses.severity[name]
    members = groups()[group]
    present = [diagnoses.present[code] & (diagnoses.stage(code) == STAGES.index(stage)) for code in members]
    severity = [np.where(has, diagnoses.severity[code], 0) for has, code in zip(present, members, strict=True)]
    return np.any(present, axis=0), np.max(severity, axis=0)
