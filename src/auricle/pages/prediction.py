"""The page of `auricle predict`: the ECG on paper, the scores with and without the age, and what the weights know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from auricle.paediatrics import wording
from auricle.pages.page import Banner, Page, Section
from auricle.pages.sheets import SHEET_STYLE, sheets
from auricle.recording import Recording

# Of many classes those below this are told last, and some are always shown.
RARELY: Final = 0.05
_FEW_CLASSES, _SHOWN = 12, 6
_BAR_WIDTH, _BAR_HEIGHT = 40.0, 12.0
_STYLE: Final = """
.score { display: block; color: var(--muted); } .score .part { fill: #0072b2; }
.number, .head { white-space: nowrap; } .people { display: block; color: var(--muted); }
"""


def likeliest(scores: Mapping[str, float], kind: str) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Classes to be shown, and those that are left for last, both from the likeliest down.

    Args:
        scores: by class.
        kind: `probability`, of which small ones are left for last where there are many classes; or `similarity`.
    """
    in_order = sorted(scores.items(), key=lambda item: -item[1])
    if kind != "probability" or len(in_order) <= _FEW_CLASSES:
        return in_order, []
    n = max(_SHOWN, sum(score >= RARELY for _, score in in_order))
    return in_order[:n], in_order[n:]


def prediction_page(
    recording: Recording,
    plain: Mapping[str, Any],
    titles: Mapping[str, str],
    knows: Sequence[str],
    language: str = "en",
    *,
    title: str = "",
    command: str = "",
) -> Page:
    """The page of one prediction.

    Args:
        recording: what was asked about.
        plain: the prediction, as `Prediction.to_dict` gives it.
        titles: what classes are in words, as far as it is known.
        knows: what the weights were trained on and how they were tested, in sentences.
        language: "en", "zh" or "de".
        title: what the recording is called; its id where empty.
        command: the command line that made the page.
    """
    said = wording.words(language)
    heads, own = said["table"], said["prediction"]
    name = title or recording.record_id
    age = own["age"].format(age=wording.age_text(plain["age_days"], language))
    page = Page(
        own["title"].format(file=name, age=heads["age_unknown"] if plain["age_days"] is None else age),
        own["page"],
        command,
        language=language,
        banner=Banner(heads["banner_strong"], heads["banner"]),
        style=SHEET_STYLE + _STYLE,
    )
    page.add(Section(heads["quality"], html=_notes(plain, heads["no_remarks"], language)))
    about = own["answer_about"] if plain["scores_without_age"] else ""
    if plain["sets"]:
        promise = wording.sets_text(plain["coverage"], plain["age_days"], language)
        about = f"{about}\n\n{promise}".strip()
    page.add(Section(own["answer"], about, html=_scores(plain, titles, language), note=said["research"]))
    if recording.leads:
        page.add(Section(heads["paper"], html=sheets(recording, language, 25.0, 10.0, name)))
    shares = plain["group_contributions"]
    if shares:
        rows = [
            [own["groups"], "%"],
            *([wording.group_text(group, language), f"{share:.0%}"] for group, share in shares.items()),
        ]
        page.add(Section(own["looked"], own["looked_about"], table=rows))
    return page.add(Section(own["weights"], "\n\n".join(knows)))


def _notes(plain: Mapping[str, Any], none: str, language: str) -> str:
    told = [wording.note_text(note, language) for note in plain["notes"]]
    notes = [f'<p class="note remark">{escape(note)}</p>' for note in told]
    return "\n".join(notes or [f"<p>{escape(none)}</p>"])


def _scores(plain: Mapping[str, Any], titles: Mapping[str, str], language: str) -> str:
    """Classes down, the likeliest first; the score at the own age, without it, and at others across."""
    own = wording.words(language)["prediction"]
    without, others = plain["scores_without_age"], plain["age_effect"]
    sets = plain["sets"]
    names = [own["class"], own["words"], own[plain["kind"]], "", *([own["set"]] if sets else [])]
    names += [own["no_age"]] if without else []
    names += [wording.age_text(other["age_days"], language) for other in others]
    shown, rest = likeliest(plain["scores"], plain["kind"])
    lines = []
    for name, score in [*shown, *rest]:
        numbers = [*([without[name]] if without else []), *(other["scores"][name] for other in others)]
        cells = [
            f'<th scope="row">{escape(name)}</th>',
            f"<td>{escape(titles.get(name, ''))}{_people(plain['tested'][name], language)}</td>",
            f'<td class="number"><strong>{score:.2f}</strong></td>',
            f"<td>{_bar(score)}</td>",
            *([f'<td class="head">{escape(own[sets[name]])}</td>'] if sets else []),
            *(f'<td class="number">{number:.2f}</td>' for number in numbers),
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col" class="head">{escape(name)}</th>' for name in names)

    def table(body: Sequence[str]) -> str:
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'

    if not rest:
        return table(lines)
    told = escape(own["rest"].format(n=len(rest), score=f"{RARELY:.2f}"))
    return f"{table(lines[: len(shown)])}<details><summary>{told}</summary>{table(lines[len(shown) :])}</details>"


def _people(tested: Sequence[str], language: str) -> str:
    """On whom a class was tested, in a line of its own; nothing where nobody says it."""
    if not tested:
        return ""
    told = f"{wording.words(language)['prediction']['tested_on']} {wording.tested_text(tested, language)}"
    return f'<small class="people">{escape(told)}</small>'


def _bar(score: float) -> str:
    filled = max(0.0, min(1.0, score)) * _BAR_WIDTH
    size = f'width="{_BAR_WIDTH:g}" height="{_BAR_HEIGHT:g}" viewBox="0 0 {_BAR_WIDTH:g} {_BAR_HEIGHT:g}"'
    whole = f'<rect width="{_BAR_WIDTH:g}" height="{_BAR_HEIGHT:g}" fill="currentColor" opacity=".15"/>'
    part = f'<rect class="part" width="{filled:.1f}" height="{_BAR_HEIGHT:g}"/>'
    return f'<svg class="score" {size} role="img" aria-label="{score:.2f}">{whole}{part}</svg>'
