"""An assessment as plain data with stable keys, for programs, with its sentences in all languages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from auricle.measure.measurements import CAME_WITH, Measurements
from auricle.paediatrics import limits, wording
from auricle.paediatrics.assessment import Assessment, Row


def to_dict(assessment: Assessment, measurements: Measurements, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The content of `auricle measure --json`; a number that does not exist is None.

    Args:
        assessment: of `measurements`.
        measurements: the values, the beats and the marks.
        notes: what the reader of the recording found wrong (`Recording.notes`).
    """
    age, compared = assessment.age, assessment.compared_age
    return {
        "age_days": None if age is None else age.days,
        "age_resolution_days": None if age is None else age.resolution_days,
        "gestation_days": assessment.gestation_days,
        "age_basis": assessment.age_basis,
        "compared_age_days": None if compared is None else compared.days,
        "sex": assessment.sex,
        "quality": {
            **measurements.quality.to_dict(),
            "sentence": {
                language: wording.quality_text(measurements.quality, language) for language in wording.languages()
            },
        },
        "notes": list(notes),
        "summary": {
            "code": assessment.summary,
            "sentence": {language: wording.summary_text(assessment, language) for language in wording.languages()},
        },
        "remarks": [
            {
                "code": remark.code,
                "leads": list(remark.leads),
                "detail": {name: _finite(value) for name, value in remark.detail.items()},
                "sentence": {language: wording.remark_text(remark, language) for language in wording.languages()},
            }
            for remark in assessment.remarks
        ],
        "values": {row.parameter: _row(row, measurements.recorded_hz) for row in assessment.rows},
        "findings": [
            {
                "code": finding.code,
                "kind": finding.kind,
                "rests_on": list(finding.rests_on),
                "adult_reading_differs": finding.adult_differs,
                "sentence": {
                    language: wording.sentence(finding, compared, language) for language in wording.languages()
                },
            }
            for finding in assessment.findings
        ],
        "cart": {name: measurements.cart.get(name) for name in CAME_WITH.values()},
        "marks_ms": {name: _finite(value) for name, value in measurements.marks_ms.items()},
        "leads": list(measurements.leads),
        "beats": len(measurements.beats),
        "beats_used": measurements.n_used,
        "recorded_hz": measurements.recorded_hz,
        "disclaimer": wording.words("en")["research"],
    }


def to_row(plain: Mapping[str, Any]) -> dict[str, str | float | int | bool | None]:
    """What `to_dict` gives, as one line of a table: a missing number is None, several texts are separated by `; `.

    Every measurement has its name (`qrs`, `r_v1`, units as in `auricle.measure.measurements.UNITS`) and, with
    `_uncertainty`, its standard error; those with limits have `_centile` and `_position` ("low", "normal", "high",
    empty where that was refused) as well. What the cart wrote of it is `_cart`.
    """
    row: dict[str, Any] = {
        "age_days": plain["age_days"],
        "gestation_days": plain["gestation_days"],
        "compared_age_days": plain["compared_age_days"],
        "sex": plain["sex"] or "",
        "acceptable": plain["quality"]["acceptable"],
        "quality_reasons": "; ".join(plain["quality"]["reasons"]),
        "remarks": "; ".join(remark["code"] for remark in plain["remarks"]),
        "notes": "; ".join(plain["notes"]),
        "summary": plain["summary"]["code"],
        "findings": "; ".join(finding["code"] for finding in plain["findings"]),
        "beats": plain["beats"],
        "recorded_hz": plain["recorded_hz"],
    }
    with_limits = set(limits.parameters())
    for name, value in plain["values"].items():
        row |= {name: value["value"], f"{name}_uncertainty": value["uncertainty"]}
        if name in with_limits or value["limits"] is not None:
            row |= {f"{name}_centile": value["centile"], f"{name}_position": value["position"] or ""}
    return row | {f"{name}_cart": value for name, value in plain["cart"].items()}


def _row(row: Row, recorded_hz: float) -> dict[str, Any]:
    known, interval = row.limits, row.interval
    return {
        "value": _finite(row.measured.value),
        "uncertainty": _finite(row.measured.uncertainty),
        "unit": row.measured.unit,
        "bound": row.measured.bound,
        "not_measurable": row.measured.reason,
        "centile": _finite(row.centile),
        "centile_text": wording.interval_text(row),
        "centile_interval": None if interval is None else [_finite(end) for end in interval],
        "z": None if row.refused else _finite(row.z),
        "position": row.position,
        "adult_position": row.adult,
        "crosses_limit": row.crossing,
        "refused": row.refused,
        "refusal": wording.refusal_text(row, "en", recorded_hz),
        "warnings": list(row.warnings),
        "limits": None
        if known is None
        else {
            "p2": _finite(known.p2),
            "p50": _finite(known.p50),
            "p98": _finite(known.p98),
            "source": known.source,
            "population": known.population,
            "method": known.method,
            "extrapolated": known.extrapolated,
            "unverified": known.unverified,
        },
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
