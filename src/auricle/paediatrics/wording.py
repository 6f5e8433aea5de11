"""Findings, remarks, refusals and notes in words: English, Chinese, German. The words lie in `wording.toml`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from auricle.age import Age, describe
from auricle.birth import describe_gestation
from auricle.leads import CANONICAL
from auricle.measure.measurements import UNITS, Measurements, Remark
from auricle.paediatrics.assessment import Assessment, Finding, Row, lead_of
from auricle.paediatrics.languages import languages, translated, words
from auricle.signal.acceptance import Acceptance

_DECIMALS: Final[Mapping[str, int]] = {"mV": 2, "1": 2}
_SIGNS: Final[Mapping[str, str]] = {"above": ">", "below": "<"}
_LEADS: Final = {name.casefold(): name for name in CANONICAL}

__all__ = [
    "age_basis_text", "age_text", "bound_number", "centile_text", "direction_word", "interval_text", "languages",
    "limits_text", "note_text", "notes", "number", "origin_text", "parameter_name", "quality_text", "quantity",
    "refusal_text", "remark_text", "result_text", "sentence", "sex_text", "source_lines", "summary_text", "words",
]  # fmt: skip


def parameter_name(parameter: str, language: str) -> str:
    """The name of a parameter, such as `heart rate` or `R in V1`; without words it is the parameter's own name."""
    book = words(language)
    if parameter in book["names"]:
        return str(book["names"][parameter])
    lead, wave = lead_of(parameter), parameter.partition("_")[0]
    if lead in _LEADS and wave in book["waves"]:
        return str(book["amplitude"]).format(wave=book["waves"][wave], lead=_LEADS[lead])
    return parameter


def age_text(age: Age | float | None, language: str) -> str:
    """An age in the unit usual at that age: `3 d`, `3 天`, `3 Tg.`; its resolution is not shown."""
    if age is None:
        return str(words(language)["table"]["age_unknown"])
    number, _, unit = describe(age.days if isinstance(age, Age) else age).partition(" ")
    return str(words(language)["age"][unit]).format(n=number)


def age_basis_text(assessment: Assessment, language: str) -> str:
    """At which age a child was compared of whom the gestation is known; empty for all others."""
    if assessment.age is None or assessment.gestation_days is None:
        return ""
    compared = assessment.compared_age
    key = "before_term" if compared is None else f"compared_{assessment.age_basis}"
    filled = {"age": age_text(compared, language), "gestation": describe_gestation(assessment.gestation_days)}
    return str(words(language)["table"][key]).format(**filled)


def sex_text(sex: str | None, language: str) -> str:
    """A sex in words: `female`, `女`, `weiblich`; None is "sex unknown"."""
    return str(words(language)["table"][sex or "sex_unknown"])


def number(value: float, unit: str) -> str:
    """A value with the number of decimals that is usual for its unit, without the unit."""
    text = f"{value:.{_DECIMALS.get(unit, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def quantity(value: float, unit: str, language: str) -> str:
    """A value with its unit in a language, such as `135/min` or `0.4 mV`."""
    unit_text = str(words(language)["units"].get(unit, unit))
    close = not unit_text or unit_text[0] in "°/"
    return f"{number(value, unit)}{'' if close else ' '}{unit_text}"


def centile_text(centile: float, bound: str = "") -> str:
    """A centile as `<1`, `37` or `>99`: limits made of p2, p50 and p98 are no more precise in the tails.

    The centile of a value that is known from one side only has the sign of that side: `>91`.
    """
    if centile < 1 or centile > 99:
        return "<1" if centile < 1 else ">99"
    if not bound:
        return f"{centile:.0f}"
    return f"{_SIGNS[bound]}{math.floor(centile) if bound == 'above' else math.ceil(centile)}"


def interval_text(row: Row) -> str:
    """A row's centile with its interval, such as `37 [21–55]`; empty where the centile was refused."""
    if row.centile is None or row.interval is None:
        return ""
    low, high = (centile_text(end) for end in row.interval)
    centile = centile_text(row.centile, row.measured.bound)
    return f"{centile} [{low}–{high}]" if low != high else centile


def bound_number(value: float, bound: str) -> str:
    """What a value lies above or below, with two digits, rounded to the side on which it holds."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    whole = math.floor(value / step + 1e-9) if bound == "above" else math.ceil(value / step - 1e-9)
    return f"{whole * step:.2g}" if step < 1 else f"{whole * step:.0f}"


def result_text(row: Row, language: str) -> str:
    """A row's value with its standard error, such as `135 ± 2 /min`; `> 26` for one known from one side only.

    A dash where it was not measurable.
    """
    measured = row.measured
    if not measured.measurable:
        return "-"
    unit = words(language)["units"].get(measured.unit, measured.unit)
    unit = unit if unit == "°" else f" {unit}"
    if measured.bound:
        return f"{_SIGNS[measured.bound]} {bound_number(measured.value, measured.bound)}{unit}".rstrip()
    error = f" ± {number(measured.uncertainty, measured.unit)}" if math.isfinite(measured.uncertainty) else ""
    return f"{number(measured.value, measured.unit)}{error}{unit}".rstrip()


def cart_number(measurements: Measurements, parameter: str) -> str:
    """What the cart wrote of a value, in the unit of ours; empty where it wrote nothing."""
    value = measurements.cart.get(parameter)
    return "" if value is None else number(value, UNITS[parameter])


def cart_text(measurements: Measurements, language: str) -> str:
    """What the cart wrote of the main values, in a line; empty where it wrote nothing."""
    said = words(language)
    parts = [
        f"{parameter_name(name, language)} {cart_number(measurements, name)}"
        for name in measurements.cart
        if not name.endswith("_axis")
    ]
    return f"{said['table']['cart']}{said['colon']}{said['joint'].join(parts)}" if parts else ""


def limits_text(row: Row) -> str:
    """A row's p2, p50 and p98 in the value's unit; empty without limits."""
    if row.limits is None:
        return ""
    three = (row.limits.p2, row.limits.p50, row.limits.p98)
    return " · ".join(number(value, row.limits.unit) if math.isfinite(value) else "–" for value in three)


def refusal_text(row: Row, language: str, recorded_hz: float = float("nan")) -> str:
    """Why a row has no centile, with the reason of the measurement where there is one; empty where it has a centile."""
    if not row.refused:
        return ""
    book = words(language)
    refusal = str(book["refusals"][row.refused]).format(rate=f"{recorded_hz:g}")
    reason = row.measured.reason if row.refused == "not_measurable" else ""
    return f"{refusal}{book['colon']}{note_text(reason, language)}" if reason else refusal


def notes(row: Row, language: str, recorded_hz: float = float("nan")) -> list[str]:
    """A row's refusal, or its warnings, each as a short text."""
    if row.refused:
        return [refusal_text(row, language, recorded_hz)]
    return [str(words(language)["warnings"][code]) for code in row.warnings]


def remark_text(remark: Remark, language: str) -> str:
    """A remark as a sentence with its numbers; a code without words is shown as it is."""
    book = words(language)
    leads = str(book["joint"]).join(remark.leads)
    text = str(book["remarks"].get(remark.code, remark.code.replace("_", " ") + ": {leads}"))
    shown = text.format(leads=leads).rstrip(":： ")
    if leads and "{leads}" not in text:
        shown = f"{shown} ({leads})"
    numbers = str(book["joint"]).join(
        str(book["details"].get(name, f"{name.replace('_', ' ')} {{value}}")).format(value=f"{value:.4g}")
        for name, value in remark.detail.items()
    )
    return f"{shown} [{numbers}]" if numbers else shown


def conclusion_lines(plain: Mapping[str, Any], language: str) -> list[str]:
    """All that is said of a recording, for other systems: what a reader must know before any value, then the findings.

    Args:
        plain: as `auricle.paediatrics.report.to_dict` gives it.
        language: as in `languages`.

    Returns:
        Notes of the reader, remarks (swapped electrodes ...), findings, summary, quality, and that it is no diagnosis.
    """
    said = [note_text(note, language) for note in plain["notes"]]
    said += [one["sentence"][language] for one in (*plain["remarks"], *plain["findings"])]
    said += [plain["summary"]["sentence"][language], plain["quality"]["sentence"][language], plain["disclaimer"]]
    return [line for line in said if line]


def note_text(note: str, language: str) -> str:
    """What a reader or a measurement said in English, in a language; marked as English where there are no words for it.

    Args:
        note: a note of `Recording.notes`, the reason of a `Measured`, or a warning of either, which may have the name
            of a file in front.
        language: as in `languages`.
    """
    whole = translated(note, language)
    if whole is not None:
        return whole
    name, _, rest = note.partition(": ")
    behind_name = translated(rest, language)
    if behind_name is not None:
        return f"{name}{words(language)['colon']}{behind_name}"
    return str(words(language)["untranslated"]).format(text=note)


def group_text(group: str, language: str) -> str:
    """The name of a lead group in a language; one of a user's own stays as it is."""
    return translated(group, language) or group


def sets_text(coverage: float | None, age_days: float | None, language: str) -> str:
    """What a set of answers promises, in a sentence.

    Args:
        coverage: the share of people who are told what is so; None where the recording lacks what that rests on.
        age_days: the age that was told; None for an unknown one.
        language: "en", "zh" or "de".
    """
    said = words(language)["prediction"]
    if coverage is None:
        return str(said["sets_about_part"])
    return str(said["sets_about_all" if age_days is None else "sets_about"]).format(coverage=f"{coverage:.0%}")


def tested_text(people: Sequence[str], language: str) -> str:
    """On whom a class was tested, `real_adults`, `real_children` and `simulated`, in a language."""
    said = words(language)["prediction"]
    names = {"simulated": said["simulated_people"], **{name: said[name] for name in ("real_adults", "real_children")}}
    return str(words(language)["joint"]).join(names[one] for one in people) or str(said["nobody"])


def origin_text(origin: str, language: str) -> str:
    """A source, population or method of limits in a language; the name of a hospital's own curves stays as it is."""
    parts = [translated(part, language) for part in (origin, *origin.split(", "))]
    if parts[0] is not None:
        return parts[0]
    known = [part or own for part, own in zip(parts[1:], origin.split(", "), strict=True)]
    return str(words(language)["joint"]).join(known) if any(parts) else origin


def source_lines(assessment: Assessment, language: str) -> list[str]:
    """Each source of the limits that values were compared with, and its population, once."""
    separator = words(language)["semicolon"]
    seen = [
        separator.join(origin_text(text, language) for text in (row.limits.source, row.limits.population))
        for row in assessment.rows
        if row.limits and not row.refused
    ]
    return list(dict.fromkeys(seen))


def quality_text(quality: Acceptance, language: str) -> str:
    """Why a trace is not acceptable, as a sentence; empty where it is."""
    if quality.acceptable:
        return ""
    book = words(language)
    said = [
        (f"{book['joint'].join(reason.leads)}{book['colon']}" if reason.leads else "")
        + str(book["quality"][reason.code])
        for reason in quality.reasons
    ]
    return str(book["quality"]["title"]).format(reasons=str(book["semicolon"]).join(said))


def summary_text(assessment: Assessment, language: str) -> str:
    """What an assessment says as a whole, as a sentence; empty where its findings say it."""
    return str(words(language)["summary"].get(assessment.summary, ""))


def sentence(finding: Finding, age: Age | None, language: str) -> str:
    """A finding as one sentence."""
    book, facts = words(language), finding.facts
    sentences, parameter, unit = book["sentences"], str(facts["parameter"]), str(facts["unit"])
    filled = {
        "name": parameter_name(parameter, language),
        "value": _value(book, facts, unit, language),
        "age": age_text(age, language),
        "word": _word(book, parameter, facts.get("direction")),
        "centile": centile_text(facts.get("centile", 0.0), facts.get("bound", "")),
        **{name: number(facts[name], unit) for name in ("p2", "p98") if name in facts},
        "share": f"{100 * facts.get('share', 0.0):.0f} %",
        "rate": number(facts.get("rate", 0.0), "1/min"),
        "threshold": quantity(facts.get("threshold", 0.0), unit, language),
        "fridericia": quantity(facts["fridericia"], unit, language) if facts.get("fridericia") else book["unknown"],
    }
    template = sentences.get(finding.code) or sentences[finding.kind]
    parts = [str(template).format(**filled)]
    if finding.kind == "outside" and "direction" in facts:
        parts += [_adult_reading(book, finding, parameter)] if finding.adult_differs else []
    if facts.get("crosses") and finding.kind in {"flag", "outside", "normal_for_age"}:
        parts.append(str(sentences["crosses"]))
    if facts.get("doubts"):
        doubts = str(book["joint"]).join(str(book["warnings"][code]) for code in facts["doubts"])
        parts.append(str(sentences["doubts"]).format(doubts=doubts))
    hint = book["hints"].get(finding.code)
    return str(book["semicolon"]).join([*parts, *([str(hint)] if hint else [])])


def _value(book: Mapping[str, Any], facts: Mapping[str, Any], unit: str, language: str) -> str:
    bound = facts.get("bound")
    if not bound:
        return quantity(facts["value"], unit, language)
    return str(book["bounds"][bound]).format(value=bound_number(facts["value"], bound))


def direction_word(parameter: str, direction: str, language: str) -> str:
    """The word for "high" or "low" of a parameter: fast, long, right, tall."""
    return _word(words(language), parameter, direction)


def _adult_reading(book: Mapping[str, Any], finding: Finding, parameter: str) -> str:
    adult = finding.facts["adult"]
    if adult == "normal":
        return str(book["sentences"]["adult_normal"])
    return str(book["sentences"]["adult_other"]).format(word=_word(book, parameter, adult))


def _word(book: Mapping[str, Any], parameter: str, direction: str | None) -> str:
    if direction is None:
        return ""
    return str(book["words"].get(f"{parameter}.{direction}", book["words"][direction]))
