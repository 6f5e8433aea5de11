"""The page of `auricle check`: what the doctor of manifests found, with figures. It names lines and never a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from auricle.doctor import Betrayal, Facts, Finding, Report
from auricle.pages.page import Page, Section
from auricle.pages.style import COLOURS, HATCHES, INK, MUTED, TEXT_PT, age_axis, age_place, canvas, legend, plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEX_NAMES: Final = {"F": "girls and women", "M": "boys and men", "unknown": "sex unknown"}
_SEX_COLOURS: Final = {"F": COLOURS[1], "M": COLOURS[0], "unknown": "#b9b7bf"}
_SEX_HATCHES: Final = dict(zip(("F", "M", "unknown"), HATCHES, strict=True))
_MOST_LABELS: Final = 24
_MOST_BETRAYALS: Final = 16
_MOST_TABLES: Final = 4
_MOST_KINDS: Final = 8
_LIGHT: Final = "#ffffff"


def check_page(report: Report, command: str = "") -> Page:
    """The page of one report.

    Args:
        report: what `auricle.doctor.examine` returned.
        command: the command line that made it.
    """
    page = Page(f"Check of {report.manifest}", _lead(report), command)
    page.add(_findings("Errors", report.errors, "Repair these before ingest.", "No error was found."))
    page.add(_findings("Warnings", report.warnings, "Somebody has to look at these.", "No warning."))
    for section in (_ages(report.facts), _labels(report.facts), _endpoints(report.facts)):
        page.add(section)
    _add_betrayals(page, report.betrayals)
    return page.add(_recordings(report))


def age_histogram(facts: Facts) -> Figure:
    """Recordings over age, on the logarithmic axis of the other figures, stacked by sex."""
    edges = np.array(facts.age_edges_days)
    figure, axes = canvas("Recordings by age and sex")
    place = age_place(edges)
    below = np.zeros(len(edges) - 1)
    for name, values in facts.age_histogram.items():
        if any(values):
            axes.bar(
                place[:-1], values, np.diff(place), bottom=below, align="edge", label=_SEX_NAMES[name],
                color=_SEX_COLOURS[name], hatch=_SEX_HATCHES[name], edgecolor="white", linewidth=0.6,
            )  # fmt: skip
            below += np.array(values)
    age_axis(axes, edges)
    axes.set_ylabel("recordings")
    axes.yaxis.set_major_locator(plotting("matplotlib.ticker").MaxNLocator(integer=True))
    axes.grid(False, axis="x")
    legend(axes)
    return figure


def labels_by_age(facts: Facts) -> Figure:
    """Patients of each label in each age band, as a table whose cells are coloured by the number."""
    labels = facts.labels[:_MOST_LABELS]
    counts = np.array(facts.labels_by_band[:_MOST_LABELS])
    figure, axes = canvas("Patients with each label, by age band", height=1.1 + 0.3 * len(labels))
    shades = np.log1p(counts) / max(1e-9, float(np.log1p(counts.max())))
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    axes.set_xticks(range(counts.shape[1]), [band.name for band in facts.bands])
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    for (row, column), count in np.ndenumerate(counts):
        colour = MUTED if not count else (_LIGHT if shades[row, column] > 0.7 else INK)
        axes.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=TEXT_PT, color=colour)
    return figure


def _lead(report: Report) -> str:
    errors, warnings = len(report.errors), len(report.warnings)
    kinds = (
        f"{errors} kind{'' if errors == 1 else 's'} of error, {warnings} kind{'' if warnings == 1 else 's'} of warning."
    )
    return f"{report.summary()} {kinds} Places are line numbers of the manifest; nothing on this page names a person."


def _findings(heading: str, findings: Sequence[Finding], prose: str, none: str) -> Section:
    if not findings:
        return Section(heading, none)
    rows = [(finding.message, finding.places() or "the manifest as a whole") for finding in findings]
    return Section(heading, prose, [("what", "where"), *rows])


def _ages(facts: Facts) -> Section:
    rows: list[tuple[object, ...]] = [("age band", "recordings", "patients", "F", "M", "sex unknown")]
    rows += [(b.name, b.records, b.patients, b.female, b.male, b.sex_unknown) for b in facts.bands]
    known = any(any(values) for values in facts.age_histogram.values())
    prose = (
        "A patient recorded in several bands counts in each. An age stands at the middle of what it says: 0mo is 15 d."
    )
    figure = age_histogram(facts) if known else None
    return Section("Ages", prose, rows, figure, "Recordings over age; the axis is log(1 + days)." if known else "")


def _labels(facts: Facts) -> Section:
    if not facts.labels:
        return Section("Labels by age", "No label of three patients or more.")
    more = []
    if len(facts.labels) > _MOST_LABELS:
        more.append(
            f"The {_MOST_LABELS} labels of most patients; {len(facts.labels) - _MOST_LABELS} more are in --json."
        )
    if facts.n_labels_unnamed:
        more.append(
            f"{facts.n_labels_unnamed} labels of fewer than three patients, or as long as a sentence, are not named."
        )
    caption = "Darker: more patients, on a logarithmic scale."
    return Section("Labels by age", " ".join(more), figure=labels_by_age(facts), caption=caption)


def _endpoints(facts: Facts) -> Section:
    if not facts.endpoints:
        return Section("Which endpoints are feasible", "No label of three patients or more.")
    parts = list(facts.endpoints[0].parts)
    rows: list[tuple[object, ...]] = [
        ("label", "recordings", "patients", *parts, "95 % interval", "verdict"),
        *(
            (
                endpoint.label, endpoint.records, endpoint.patients, *endpoint.parts.values(),
                "–" if endpoint.half_width is None else f"0.85 ± {endpoint.half_width:.2f}",
                endpoint.verdict if endpoint.verdict == "fine" else f"*{endpoint.verdict}*",
            )
            for endpoint in facts.endpoints
        ),
    ]  # fmt: skip
    prose = (
        f"Positive patients in each part ({facts.split}), and the interval to be expected around an AUROC of 0.85 in "
        "the test part (Hanley and McNeil 1982). Not feasible: fewer than 10 positive or 10 negative patients in the "
        "test part. Weak: an interval wider than ± 0.10. Patients without any label count as unknown, not as negative."
    )
    return Section("Which endpoints are feasible", prose, rows)


def _add_betrayals(page: Page, betrayals: Sequence[Betrayal]) -> None:
    prose = (
        "How well a property of the recording alone, without any heart in it, tells age or label. What betrays is "
        "learned before the heart is, and a test part drawn from the same place will not show it.\n\n"
        "Cramér's V runs from 0 to 1 and is corrected for chance; p is the share of random assignments that tell as "
        "much. A label that depends on age may be told through age: the column “age alone” says how well that works."
    )
    if not betrayals:
        nothing = "Nothing could be measured: no property varies among enough patients."
        page.add(Section("What betrays age or label", nothing))
        return
    rows: list[tuple[object, ...]] = [("property", "tells", "measure", "value", "age alone", "p", "verdict")]
    for each in betrayals[:_MOST_BETRAYALS]:
        age = "–" if each.age_alone is None or not np.isfinite(each.age_alone) else f"{each.age_alone:.2f}"
        verdict = "**betrays**" if each.betrays else "no"
        rows.append((each.category, each.target, each.measure, f"{each.value:.2f}", age, f"{each.p:.3f}", verdict))
    left = len(betrayals) - _MOST_BETRAYALS
    note = f"{left} weaker pairs were measured and are in --json." if left > 0 else ""
    page.add(Section("What betrays age or label", prose, rows, note=note))
    flagged = [each for each in betrayals if each.betrays]
    for each in flagged[:_MOST_TABLES]:
        # A band must not break at its hyphen, and a row whose name begins with a digit would be aligned as a number.
        table: list[Sequence[Any]] = [
            (each.category, *(column.replace("-", "\u2011").replace("> ", ">\u00a0") for column in each.columns))
        ]
        names = [f"with {level}" if level[0].isdigit() else level for level in each.levels]
        table += [(name, *counts) for name, counts in zip(names, each.counts, strict=True)]
        page.add(
            Section(
                f"The {each.category} betrays: {each.target}",
                f"Patients in each cell. {each.detail}.".removesuffix(" ."),
                table,
            )
        )


def _recordings(report: Report) -> Section:
    facts = report.facts
    rows: list[tuple[str, str, str]] = [("property", "value", "recordings")]
    for name, counted in (
        ("lead set", facts.lead_sets),
        ("sampling rate, Hz", facts.rates_hz),
        ("length, s", facts.seconds),
        ("file format", facts.formats),
    ):
        rows += [(name, value, str(count)) for value, count in counted[:_MOST_KINDS]]
        rest = sum(count for _, count in counted[_MOST_KINDS:])
        rows += [(name, f"{len(counted) - _MOST_KINDS} others", str(rest))] if rest else []
    rows += [("missing", name.replace("_", " "), f"{share:.0%}") for name, share in facts.missing.items()]
    note = "" if report.files_read is not None else "Made with --no-files: nothing is known about the signals."
    return Section("How it was recorded", "", rows, note=note)
