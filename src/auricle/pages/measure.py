"""The page of `auricle measure`: the ECG in true millimetres, the median beat with its marks, values, findings.

A page like any other, whose sections are markup made here: the figures keep their millimetres instead of shrinking to
the column, and printing on A4 landscape at 100 % gives paper to put a ruler on.
"""

from __future__ import annotations

from html import escape
from typing import Final

from auricle.measure.measurements import Measurements
from auricle.paediatrics import wording
from auricle.paediatrics.assessment import Assessment, Row
from auricle.paediatrics.findings import main_rows
from auricle.paediatrics.limits import Z_98
from auricle.pages.beat import SPEED_MM_S as BEAT_SPEED_MM_S
from auricle.pages.beat import beat_svg
from auricle.pages.page import Banner, Page, Section
from auricle.pages.sheets import SHEET_STYLE, image, sheets
from auricle.recording import Recording

_BAR_WIDTH, _BAR_HEIGHT = 180.0, 14.0
_Z_SHOWN: Final = 4.0
_STYLE: Final = """
.bar { display: block; color: var(--muted); }
.bar .normal { fill: #00875f; } .bar .outside { fill: #c4302b; } .bar .open { fill: #9a6700; }
.number { white-space: nowrap; }
.findings { margin: .2rem 0 .9rem; padding-left: 1.2rem; max-width: 60rem; }
.findings li { margin: .25rem 0; }
.findings .is-flag, .findings .is-outside { font-weight: 600; }
.findings .is-borderline { font-weight: 500; }
"""


def measure_page(
    recording: Recording,
    measurements: Measurements,
    assessment: Assessment,
    language: str = "en",
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    *,
    title: str = "",
    command: str = "",
) -> Page:
    """The page of one recording.

    Args:
        recording: what was measured.
        measurements: its values, median beat and marks.
        assessment: their centiles and findings.
        language: "en", "zh" or "de".
        speed_mm_s: of the paper.
        gain_mm_mv: of the paper and of the median beat.
        title: what the recording is called; its id where empty.
        command: the command line that made the page.
    """
    heads = wording.words(language)["table"]
    who = {"age": wording.age_text(assessment.age, language), "sex": wording.sex_text(assessment.sex, language)}
    name = title or recording.record_id
    page = Page(
        heads["title"].format(file=name, **who),
        heads["page"],
        command,
        language=language,
        banner=Banner(heads["banner_strong"], heads["banner"]),
        style=SHEET_STYLE + _STYLE,
    )
    for heading, html in (
        (heads["quality"], _quality(recording, assessment, measurements, language)),
        (heads["findings"], _findings(assessment, language)),
        (heads["values"], _values(assessment, measurements, language)),
        (heads["amplitudes"], _amplitudes(measurements, language)),
        (heads["paper"], sheets(recording, language, speed_mm_s, gain_mm_mv, name)),
        (heads["beat"], _beat(measurements, language, gain_mm_mv)),
        (heads["sources"], _sources(assessment, language)),
    ):
        page.add(Section(heading, html=html))
    return page


def bar_svg(row: Row) -> str:
    """p2 to p98 as a band, p50 as a tick, the value as a mark with its interval; the same scale of z in every row."""
    if row.refused:
        return ""

    def x(z: float) -> float:
        return (max(-_Z_SHOWN, min(_Z_SHOWN, z)) + _Z_SHOWN) / (2 * _Z_SHOWN) * _BAR_WIDTH

    middle, kind = _BAR_HEIGHT / 2, {"normal": "normal", None: "open"}.get(row.position, "outside")
    low, high = (x(end) for end in row.z_interval)
    wide = x(Z_98) - x(-Z_98)
    band = f'<rect x="{x(-Z_98):.1f}" y="3" width="{wide:.1f}" height="8" fill="currentColor" opacity=".25"/>'
    whole = f'<path d="M0 {middle}H{_BAR_WIDTH:g}" stroke="currentColor" stroke-width=".6" opacity=".5"/>'
    tick = f'<path d="M{x(0):.1f} 1V13" stroke="currentColor" stroke-width="1"/>'
    reach = f'<rect class="{kind}" x="{low:.1f}" y="{middle - 1}" width="{max(high - low, 1):.1f}" height="2"/>'
    mark = _mark(kind, x(row.z), middle)
    label = escape(wording.interval_text(row), quote=True)
    size = f'width="{_BAR_WIDTH:g}" height="{_BAR_HEIGHT:g}" viewBox="0 0 {_BAR_WIDTH:g} {_BAR_HEIGHT:g}"'
    return f'<svg class="bar" {size} role="img" aria-label="{label}">{whole}{band}{tick}{reach}{mark}</svg>'


def _mark(kind: str, x: float, y: float) -> str:
    """The mark of a value: a disc within the limits, a diamond outside, a square where that is open."""
    if kind == "normal":
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="4"/>'
    if kind == "outside":
        return f'<path class="{kind}" d="M{x - 5:.1f} {y}l5 -5l5 5l-5 5z"/>'
    return f'<rect class="{kind}" x="{x - 3.5:.1f}" y="{y - 3.5}" width="7" height="7"/>'


def _quality(recording: Recording, assessment: Assessment, measurements: Measurements, language: str) -> str:
    heads = wording.words(language)["table"]
    refused = wording.quality_text(measurements.quality, language)
    remarks = [refused] if refused else []
    remarks += [wording.remark_text(remark, language) for remark in assessment.remarks]
    used = heads["beats"].format(
        used=measurements.n_used, n=len(measurements.beats), rate=f"{measurements.recorded_hz:g}"
    )
    shown = [f'<p class="note remark">{escape(text)}</p>' for text in remarks]
    colon = wording.words(language)["colon"]
    read = [f"{heads['notes']}{colon}{wording.note_text(note, language)}" for note in recording.notes]
    shown += [f'<p class="note">{escape(said)}</p>' for said in read]
    shown = shown or [f"<p>{escape(heads['no_remarks'])}</p>"]
    basis = wording.age_basis_text(assessment, language)
    shown += [f"<p>{escape(basis)}</p>"] if basis else []
    return "\n".join([*shown, f"<p>{escape(used)}</p>"])


def _findings(assessment: Assessment, language: str) -> str:
    said = wording.words(language)
    items = [
        f'<li class="is-{finding.kind}">{escape(wording.sentence(finding, assessment.compared_age, language))}</li>'
        for finding in assessment.findings
    ]
    lines = (
        [f'<ul class="findings">{"".join(items)}</ul>'] if items else [f"<p>{escape(said['table']['none_found'])}</p>"]
    )
    whole = wording.summary_text(assessment, language)
    lines += [f"<p>{escape(whole)}</p>"] if whole else []
    return "\n".join([*lines, f'<p class="note">{escape(said["weak"])} {escape(said["research"])}</p>'])


def _values(assessment: Assessment, measurements: Measurements, language: str) -> str:
    said = wording.words(language)
    heads = said["table"]
    columns = ("value", "result", "cart", "centile", "place", "limits", "note")
    names = [heads[key] for key in columns]
    hidden = set() if assessment.compared_age is not None else {"centile", "place", "limits"}
    hidden |= set() if measurements.cart else {"cart"}
    keep = [number for number, key in enumerate(columns) if key not in hidden]
    lines = []
    for row in main_rows(assessment, measurements):
        notes = said["joint"].join(wording.notes(row, language, measurements.recorded_hz))
        cells = [
            f'<th scope="row">{escape(wording.parameter_name(row.parameter, language))}</th>',
            f'<td class="number">{escape(wording.result_text(row, language))}</td>',
            f'<td class="number">{escape(wording.cart_number(measurements, row.parameter))}</td>',
            f"<td>{escape(wording.interval_text(row))}</td>",
            f"<td>{bar_svg(row)}</td>",
            f'<td class="number">{escape(wording.limits_text(row))}</td>',
            f'<td class="absent">{escape("" if row.refused == "age_unknown" else notes)}</td>',
        ]
        lines.append(f"<tr>{''.join(cells[number] for number in keep)}</tr>")
    head = "".join(f'<th scope="col">{escape(names[number])}</th>' for number in keep)
    legend = f"<p>{escape(heads['legend'])}</p>" if assessment.compared_age is not None else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll">{table}</div>{legend}'


def _amplitudes(measurements: Measurements, language: str) -> str:
    """Leads down, waves across, in millivolts: what has no centile is here too."""
    said = wording.words(language)
    head = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in ("", *said["waves"].values()))
    lines = []
    for lead in measurements.leads:
        found = [measurements.values.get(f"{wave}_{lead.casefold()}") for wave in said["waves"]]
        if not any(one is not None and one.measurable for one in found):
            continue
        cells = (wording.number(one.value, "mV") if one is not None and one.measurable else "–" for one in found)
        row = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(lead)}</th>{row}</tr>')
    if not lines:
        return f"<p>{escape(said['none'])}</p>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _beat(measurements: Measurements, language: str, gain: float) -> str:
    heads = wording.words(language)["table"]
    if not measurements.median_beat.size:
        return f"<p>{escape(heads['no_marks'])}</p>"
    caption = heads["beat_caption"].format(speed=f"{BEAT_SPEED_MM_S:g}", gain=f"{gain:g}")
    missing = "" if measurements.marks_ms else f" {heads['no_marks']}"
    return image(beat_svg(measurements, gain, heads["beat"]), caption + missing, heads["shrunk"])


def _sources(assessment: Assessment, language: str) -> str:
    heads = wording.words(language)["table"]
    by_source: dict[tuple[str, ...], list[str]] = {}
    for row in assessment.rows:
        if row.limits is not None:
            origin = (row.limits.source, row.limits.population, row.limits.method)
            said = tuple(wording.origin_text(text, language) for text in origin)
            by_source.setdefault(said, []).append(wording.parameter_name(row.parameter, language))
    if not by_source:
        return f"<p>{escape(heads['none_found'] if assessment.age else wording.summary_text(assessment, language))}</p>"
    names = ("source", "population", "method", "values")
    head = "".join(f'<th scope="col">{escape(heads[name])}</th>' for name in names)
    joint = wording.words(language)["joint"]
    lines = (
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (*key, joint.join(found)))}</tr>"
        for key, found in by_source.items()
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
