"""Short reports as a cart or a cardiologist writes them, in a few habits of wording, without numbers.

The number of distinct texts is bounded (`_STYLES` x rhythm x axis x findings, a few thousand): as in a hospital, most
reports are repeats. To keep it so, a report names at most two findings, the axis only beside at most one, and every
writer has one wording for each thing. What is left out is left out, as in life; the labels have everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import ADULT_DAYS
from auricle.paediatrics import limits as norms
from auricle.simulate.pathology import TERRITORIES, Diagnoses
from auricle.simulate.streams import Draws, Floats

_N_STYLES: Final = 4
_MOST_FINDINGS: Final = 2
_MARKED_FROM: Final = 0.6
_SILENT_AXIS_SHARE: Final = 0.3
_CHILD_WORDING_SHARE: Final = 0.6
_DENIAL_SHARE: Final = 0.4
_NO_ST_SHARE: Final = 0.3
# What the reader mentions first. The rhythm line carries AFIB.
_ORDER: Final = ("STE_", "CLBBB", "CRBBB", "RVH", "LVH", "1AVB")

# One entry per style: the cart, two cardiologists, a terse resident.
_RHYTHM: Final[Mapping[str, tuple[str, ...]]] = {
    "normal": ("Sinus rhythm.", "Normal sinus rhythm.", "Regular sinus rhythm at a normal rate.", "SR."),
    "fast": (
        "Sinus tachycardia.",
        "Sinus rhythm, fast for age.",
        "Regular sinus rhythm at a high rate.",
        "Sinus tachy.",
    ),
    "slow": (
        "Sinus bradycardia.",
        "Sinus rhythm, slow for age.",
        "Regular sinus rhythm at a low rate.",
        "Sinus brady.",
    ),
    "af": (
        "Atrial fibrillation.",
        "Atrial fibrillation with controlled ventricular response.",
        "Irregularly irregular rhythm without P waves: atrial fibrillation.",
        "AF.",
    ),
    "af_fast": (
        "Atrial fibrillation with rapid ventricular response.",
        "Atrial fibrillation, fast ventricular response.",
        "Irregularly irregular fast rhythm without P waves: atrial fibrillation.",
        "AF, fast.",
    ),
}
_AXIS: Final[Mapping[str, tuple[str, ...]]] = {
    "normal": ("Normal axis.", "QRS axis normal for age.", "Axis within normal limits.", "Axis normal."),
    "left": ("Left axis deviation.", "QRS axis to the left for age.", "Leftward axis.", "LAD."),
    "right": ("Right axis deviation.", "QRS axis to the right for age.", "Rightward axis.", "RAD."),
    "superior": ("Northwest axis.", "Superior QRS axis.", "Extreme axis deviation.", "Extreme axis."),
}
_FINDING: Final[Mapping[str, tuple[str, ...]]] = {
    "CRBBB": (
        "Complete right bundle branch block.",
        "rsR' in V1 with wide QRS: right bundle branch block.",
        "Right bundle branch block, complete.",
        "RBBB.",
    ),
    "CLBBB": (
        "Complete left bundle branch block.",
        "Broad notched R in the lateral leads: left bundle branch block.",
        "Left bundle branch block, complete.",
        "LBBB.",
    ),
    "1AVB": (
        "First degree AV block.",
        "PR interval prolonged for age.",
        "AV conduction delayed, first degree block.",
        "Long PR.",
    ),
    "RVH": (
        "{degree} right ventricular hypertrophy.",
        "{degree} increase of right ventricular forces for age, right ventricular hypertrophy.",
        "Right ventricular hypertrophy, {degree}.",
        "RVH, {degree}.",
    ),
    "LVH": (
        "{degree} left ventricular hypertrophy.",
        "{degree} increase of left ventricular voltages for age, left ventricular hypertrophy.",
        "Left ventricular hypertrophy, {degree}.",
        "LVH, {degree}.",
    ),
    "STE_": (
        "{degree} ST elevation in the {territory} leads, consider acute infarction.",
        "{degree} {territory} ST segment elevation.",
        "ST elevation, {degree}, {territory} wall.",
        "{territory} STE, {degree}.",
    ),
}
# For the healthy: a wording for everyone and one for a child; the last of each denies findings one by one.
_NORMAL: Final = ("Normal ECG.", "Within normal limits.", "No pathological findings.", "Nil abnormal.")
_OTHERWISE: Final = ("Otherwise normal ECG.", "Otherwise unremarkable.", "No other findings.", "Otherwise OK.")
_NORMAL_CHILD: Final = ("Normal ECG for age.", "Normal for age.", "Age appropriate ECG.", "Normal for age.")
_DENIALS: Final = (
    "No ST elevation. No conduction delay.",
    "No ventricular hypertrophy and no bundle branch block.",
    "No evidence of acute ischaemia, no hypertrophy.",
    "No STE, no BBB.",
)
_NO_ST: Final = ("No ST elevation.", "No acute ST changes.", "ST segments isoelectric.", "No STE.")


def write(
    draws: Draws,
    diagnoses: Diagnoses,
    measurements: Mapping[str, Floats],
    age_days: Floats,
    norm_age_days: Floats,
    sex: NDArray[np.str_],
) -> list[str]:
    """One report per record.

    Args:
        draws: chance, which chooses the writer.
        diagnoses: what the record has.
        measurements: `heart_rate` and `qrs_axis_deg` of the noise-free record.
        age_days: the patient's age, which the wording may mention.
        norm_age_days: the age whose norms the trace was made after, against which rate and axis are judged.
        sex: "F" or "M" per record.
    """
    rate = _rate_words(measurements["heart_rate"], norm_age_days, sex, diagnoses.present["AFIB"])
    axis = _axis_words(measurements["qrs_axis_deg"], norm_age_days, sex)
    return [
        _report(draws, diagnoses, record, rate[record], axis[record], bool(age_days[record] < ADULT_DAYS))
        for record in range(len(age_days))
    ]


def _report(draws: Draws, diagnoses: Diagnoses, record: int, rate: str, axis: str, child: bool) -> str:
    def chance(name: str) -> float:
        return float(draws.uniform[name][record])

    style = int(chance("report_style") * _N_STYLES)
    found = [code for code in _ORDER if diagnoses.present[code][record]][:_MOST_FINDINGS]
    lines = [_RHYTHM[rate][style]]
    if len(found) < _MOST_FINDINGS and (axis != "normal" or chance("report_omit") >= _SILENT_AXIS_SHARE):
        lines.append(_AXIS[axis][style])
    lines += [_finding(diagnoses, code, record, style) for code in found]
    if found or rate.startswith("af"):
        lines += [_NO_ST[style]] if "STE_" not in found and chance("report_normal") < _NO_ST_SHARE else []
    elif rate == "normal" and axis == "normal":
        lines += _all_normal(chance("report_normal"), style, child)
    else:
        lines.append(_OTHERWISE[style])
    return " ".join(lines)


def _all_normal(chance: float, style: int, child: bool) -> list[str]:
    wording = _NORMAL_CHILD if child and chance < _CHILD_WORDING_SHARE else _NORMAL
    # The hundredths of the draw decide on the denials, independently of what its tenths decided.
    return [wording[style], *([_DENIALS[style]] if chance * 10 % 1 < _DENIAL_SHARE else [])]


def _finding(diagnoses: Diagnoses, code: str, record: int, style: int) -> str:
    degree = "marked" if diagnoses.severity[code][record] >= _MARKED_FROM else "mild"
    text = _FINDING[code][style].format(degree=degree, territory=TERRITORIES[diagnoses.territory[record]])
    return text[0].upper() + text[1:] if not text.startswith("rsR'") else text


def _rate_words(rate: Floats, age_days: Floats, sex: NDArray[np.str_], fibrillating: NDArray[np.bool_]) -> list[str]:
    p2, _, p98 = norms.centiles("heart_rate", age_days, sex).T
    sinus = np.where(rate > p98, "fast", np.where(rate < p2, "slow", "normal"))
    words = np.where(fibrillating, np.where(rate > p98, "af_fast", "af"), sinus)
    return [str(word) for word in words]


def _axis_words(axis_deg: Floats, age_days: Floats, sex: NDArray[np.str_]) -> list[str]:
    """Relative to the norm of the age; a superior axis outside that norm is called by name."""
    p2, _, p98 = norms.centiles("qrs_axis", age_days, sex).T
    outside = np.where(axis_deg > 180, "superior", np.where(axis_deg > p98, "right", "left"))
    words = np.where((axis_deg >= p2) & (axis_deg <= p98), "normal", outside)
    return [str(word) for word in words]
