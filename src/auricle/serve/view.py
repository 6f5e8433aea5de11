"""What the page shows, as plain data with every sentence ready in its language: the page itself only lays it out."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from auricle.measure.measurements import Measurements
from auricle.paediatrics import wording
from auricle.paediatrics.assessment import Assessment, Finding, Row
from auricle.paediatrics.changes import Change, changes, findings_changed
from auricle.paediatrics.findings import assess, main_rows
from auricle.pages.ages import AGES, PARAMETERS
from auricle.pages.beat import beat_svg
from auricle.pages.prediction import likeliest
from auricle.recording import Recording

if TYPE_CHECKING:
    from auricle.prediction import Prediction

Measured = tuple[Recording, Measurements, Assessment]
# So much of a trace is sent at once: a day of a Holter would be a quarter of a gigabyte.
_SECONDS: Final = 60.0
_BEAT_GAIN_MM_MV: Final = 10.0


def of_recording(
    recording: Recording,
    measurements: Measurements,
    assessment: Assessment,
    answered: Prediction | str,
    titles: Mapping[str, str],
    knows: Sequence[str],
    *,
    language: str,
    start_s: float = 0.0,
) -> dict[str, Any]:
    """All that the page shows of one recording.

    Args:
        recording: as it was read.
        measurements: of it.
        assessment: of them, at its age.
        answered: what the weights say, the reason why they say nothing, or empty without weights.
        titles: their classes in words.
        knows: what they were trained and tested on, in sentences.
        language: "en", "zh" or "de".
        start_s: from where on the trace is sent.

    Raises:
        UnknownNameError: a language without words.
    """
    said = wording.words(language)
    return {
        "recording": _trace(recording, start_s),
        "person": _person(recording, language),
        "remarks": _remarks(recording, measurements, assessment, language),
        "values": [_value(row, measurements, language) for row in main_rows(assessment, measurements)],
        "findings": _findings(assessment.findings, assessment, language),
        "summary": wording.summary_text(assessment, language),
        "basis": wording.age_basis_text(assessment, language),
        "sources": wording.source_lines(assessment, language),
        "beats_s": [round(float(beat) / recording.rate_hz, 4) for beat in measurements.beats],
        "beat_svg": beat_svg(measurements, _BEAT_GAIN_MM_MV) if measurements.median_beat.size else "",
        "ages": [_at_age(recording, measurements, number, language) for number in range(len(AGES))],
        "answer": _answer(answered, titles, knows, language),
        "disclaimer": said["research"],
    }


def in_order(one: Measured, other: Measured) -> tuple[Measured, Measured]:
    """Two recordings of one person, the earlier first by their dates, else by the ages; else as they were given."""
    dates = one[0].recorded, other[0].recorded
    if dates[0] and dates[1]:
        return (other, one) if dates[1] < dates[0] else (one, other)
    ages = one[0].age, other[0].age
    if ages[0] and ages[1]:
        return (other, one) if ages[1].best_days < ages[0].best_days else (one, other)
    return one, other


def of_changes(before: Measured, now: Measured, language: str) -> dict[str, Any]:
    """What changed from one recording to another of the same person, for the values that the page shows.

    Args:
        before, now: recording, measurements and assessment of each.
        language: "en", "zh" or "de".
    """
    shown = {row.parameter for row in main_rows(now[2], now[1])}
    differ = findings_changed(before[2], now[2])
    ids = before[0].patient_id, now[0].patient_id
    return {
        "before": _person(before[0], language),
        "now": _person(now[0], language),
        # Two ids that differ are two persons, or one whose id changed: people have to say which.
        "other_person": bool(ids[0] and ids[1] and ids[0] != ids[1]),
        "values": [_change(one, language) for one in changes(before[2], now[2]) if one.parameter in shown],
        "appeared": _findings(differ.appeared, now[2], language),
        "gone": _findings(differ.gone, before[2], language),
        "not_sought_before": _findings(differ.not_sought_before, now[2], language),
        "not_sought_now": _findings(differ.not_sought_now, before[2], language),
        "comparable": differ.comparable,
        "disclaimer": wording.words(language)["research"],
    }


def summary(recording: Recording, measurements: Measurements, assessment: Assessment) -> dict[str, Any]:
    """One line of a list of recordings: person, date, age in days, sex, and whether anything stands out.

    Args:
        recording, measurements, assessment: of one recording.
    """
    return {
        "patient": recording.patient_id,
        "recorded": recording.recorded,
        "age_days": None if recording.age is None else recording.age.best_days,
        "sex": recording.sex,
        "acceptable": measurements.quality.acceptable,
        "outside": sum(finding.kind in ("flag", "outside") for finding in assessment.findings),
    }


def _trace(recording: Recording, start_s: float) -> dict[str, Any]:
    first = min(max(0, round(start_s * recording.rate_hz)), max(0, recording.signal.shape[1] - 1))
    shown = recording.signal[:, first : first + math.ceil(_SECONDS * recording.rate_hz)]
    packed = base64.b64encode(np.ascontiguousarray(shown, dtype="<f4").tobytes()).decode("ascii")
    return {
        "id": recording.record_id,
        "leads": list(recording.leads),
        "rate_hz": recording.rate_hz,
        "seconds": recording.seconds,
        "start_s": first / recording.rate_hz,
        # (lead, time) little-endian float32 millivolts; a missing sample is not a number.
        "signal": packed,
        "samples": int(shown.shape[1]),
        "amplitude_known": recording.amplitude_known,
    }


def _person(recording: Recording, language: str) -> dict[str, Any]:
    return {
        "record": recording.record_id,
        "patient": recording.patient_id,
        "recorded": recording.recorded,
        "age": wording.age_text(recording.age, language),
        "age_days": None if recording.age is None else recording.age.best_days,
        "sex": wording.sex_text(recording.sex, language),
        "rate": f"{recording.original_hz:g} Hz",
    }


def _remarks(
    recording: Recording, measurements: Measurements, assessment: Assessment, language: str
) -> list[dict[str, str]]:
    refused = wording.quality_text(measurements.quality, language)
    told = [("grave", refused)] if refused else []
    if not recording.amplitude_known:
        told.append(("grave", wording.words(language)["service"]["no_millivolts"]))
    told += [("grave", wording.remark_text(remark, language)) for remark in assessment.remarks]
    told += [("note", wording.note_text(note, language)) for note in recording.notes]
    return [{"kind": kind, "text": text} for kind, text in told]


def _value(row: Row, measurements: Measurements, language: str) -> dict[str, Any]:
    refused = row.refused == "age_unknown"
    return {
        "code": row.parameter,
        "name": wording.parameter_name(row.parameter, language),
        "result": wording.result_text(row, language),
        "cart": wording.cart_number(measurements, row.parameter),
        "centile": wording.interval_text(row),
        "limits": wording.limits_text(row),
        "note": "" if refused else "; ".join(wording.notes(row, language, measurements.recorded_hz)),
        **_place(row),
    }


def _place(row: Row) -> dict[str, Any]:
    """Where a value stands, in standard deviations of the norm; None where its centile was refused."""
    if row.refused:
        return {"z": None, "z_low": None, "z_high": None, "position": None}
    low, high = (max(-99.0, min(99.0, end)) for end in row.z_interval)
    return {"z": max(-99.0, min(99.0, row.z)), "z_low": low, "z_high": high, "position": row.position}


def _findings(found: Sequence[Finding], assessment: Assessment, language: str) -> list[dict[str, str]]:
    at = assessment.compared_age
    return [{"kind": one.kind, "text": wording.sentence(one, at, language)} for one in found]


def _at_age(recording: Recording, measurements: Measurements, number: int, language: str) -> dict[str, Any]:
    """The same trace read at one of four ages."""
    assessment = assess(measurements, AGES[number], recording.sex)
    rows = [row for name in PARAMETERS if (row := assessment.row(name)) is not None]
    outside = [one for one in assessment.findings if one.kind in ("flag", "outside")]
    return {
        "age": wording.age_text(AGES[number], language),
        "values": [
            {
                "name": wording.parameter_name(row.parameter, language),
                "centile": wording.interval_text(row),
                "word": wording.direction_word(row.parameter, row.position, language)
                if row.position in ("low", "high")
                else "",
                **_place(row),
            }
            for row in rows
        ],
        "findings": _findings(outside, assessment, language),
    }


def _answer(
    answered: Prediction | str, titles: Mapping[str, str], knows: Sequence[str], language: str
) -> dict[str, Any] | None:
    if isinstance(answered, str):
        return {"refused": wording.note_text(answered, language), "weights": list(knows)} if answered else None
    first, rest = likeliest(answered.scores, answered.kind)
    without, said = answered.scores_without_age or {}, wording.words(language)["prediction"]
    return {
        "kind": answered.kind,
        "sets": wording.sets_text(answered.coverage, answered.age_days, language) if answered.sets else "",
        "classes": [
            {
                "code": name,
                "title": titles.get(name, name),
                "score": score,
                "may_be": said[answered.sets[name]] if answered.sets else "",
                "without_age": without.get(name),
                "others": [scores[name] for _, scores in answered.age_effect],
                "tested": wording.tested_text(answered.tested[name], language),
                "unlikely": place >= len(first),
            }
            for place, (name, score) in enumerate([*first, *rest])
        ],
        "other_ages": [wording.age_text(days, language) for days, _ in answered.age_effect],
        "groups": {wording.group_text(name, language): share for name, share in answered.group_contributions.items()},
        "notes": [wording.note_text(note, language) for note in answered.notes],
        "weights": list(knows),
    }


def _change(one: Change, language: str) -> dict[str, Any]:
    unit = one.now.measured.unit
    error = f" ± {wording.number(one.uncertainty, unit)}" if math.isfinite(one.uncertainty) else ""
    sign = "+" if one.difference > 0 else ""
    moved = one.z_difference
    return {
        "name": wording.parameter_name(one.parameter, language),
        "before": wording.result_text(one.before, language),
        "now": wording.result_text(one.now, language),
        "difference": f"{sign}{wording.number(one.difference, unit)}{error}",
        "clear": one.is_clear,
        "centile_before": wording.interval_text(one.before),
        "centile_now": wording.interval_text(one.now),
        "z_difference": None if math.isnan(moved) else round(moved, 2),
    }
