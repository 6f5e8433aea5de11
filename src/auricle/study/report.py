"""A study as one page and as one Markdown text for a paper, with the items of TRIPOD+AI that it can fill.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, whose items are named here in our words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from auricle import __version__
from auricle.about import FEWEST_POSITIVE
from auricle.age import ADULT_DAYS, AGE_BANDS, describe
from auricle.age_axis import known_ages
from auricle.atomic import write_bytes
from auricle.data.store import is_store
from auricle.disclaimer import RESEARCH_USE
from auricle.evaluate.by_age import InBand, Rate
from auricle.evaluate.conformal import COVERAGE
from auricle.evaluate.table import Table
from auricle.explain.figures import rates_over_age
from auricle.pages.page import Page, Section
from auricle.study.paediatric import BEFORE, GATED, SHUFFLED, WITHOUT, Studied

# Of fewer test recordings a study says that it is a rehearsal.
_FEWEST_TESTED: Final = 100
_TO_WRITE: Final = "*by the authors*"
_RATES: Final[tuple[tuple[Rate, str], ...]] = (
    ("false_positives", "falsely called"),
    ("sensitivity", "found"),
)


def write_report(found: Studied, out: Path) -> tuple[Path, Path]:
    """Write `study.html` and `study.md`; returns their places."""
    page = Page(
        f"What the age is worth: {found.task.title}",
        _lead(found),
        f"auricle study paediatric --data {found.config.data.name}",
    )
    page.add(Section("Who was asked", _people_words(found), table=_people(found)))
    page.add(
        Section(
            "All rows", table=[list(found.table.header), *map(list, found.table.rows)],
            caption=found.table.caption.replace("**", ""), note="\n\n".join(found.table.notes),
        )
    )  # fmt: skip
    for name in found.classes:
        page.add(
            Section(
                f"{name} over age",
                f"{_row_words(found)} Thresholds of each row let a tenth of those without the class pass in the "
                "validation part, of all ages.",
                table=rate_rows(found, name), figure=rates_over_age(found.rates, name),
                caption="Left: called among those who have it. Right: among those who have it not.",
            )
        )  # fmt: skip
    page.add(Section("Answers that hold", _coverage_words(found), table=coverage_rows(found)))
    page.add(
        Section(
            "More figures",
            "Features by age and diagnosis, what the gate does over age, lead groups by disease, and the trace behind "
            "an answer: figures/figures.html in the same folder.",
        )
    )
    page.write(out / "study.html")
    write_bytes(out / "study.md", markdown(found).encode())
    return out / "study.html", out / "study.md"


def rate_rows(found: Studied, name: str) -> list[list[str]]:
    """The rates of a class within age bands, a line a band, as rows with a header."""
    by_row = {
        row: {one.name: one for one in by_age.classes}.get(name) for row, by_age in found.rates.items()
    }  # fmt: skip
    header = ["age", *(f"{words}, {row}" for _, words in _RATES for row in by_row)]
    rows = [header]
    for place, band in enumerate(AGE_BANDS):
        cells, there = [], False
        for rate, _ in _RATES:
            for one in by_row.values():
                cell = one.bands[rate][place] if one is not None and rate in one.bands else None
                there = there or (cell is not None and cell.n > 0)
                cells.append(_cell(cell))
        if there:
            rows.append([band.name, *cells])
    return rows


def coverage_rows(found: Studied) -> list[list[str]]:
    """What the sets of answers of the gated row hold, a line for each class and age band, as rows with a header."""
    rows = [["class", "age", "covered of those with it", "covered of those without", "decided"]]
    for one in () if found.covered is None else found.covered.classes:
        if one.name not in found.classes or "decided" not in one.bands:
            continue
        for place, band in enumerate(AGE_BANDS):
            cells = [one.bands[rate][place] for rate in ("covered_with", "covered_without", "decided")]
            if any(cell.n for cell in cells):
                rows.append([one.name, band.name, *map(_cell, cells)])
    return rows


def _cell(cell: InBand | None) -> str:
    if cell is None or not cell.n or not np.isfinite(cell.value):
        return "–"
    return f"{100 * cell.value:.0f} % [{100 * max(0.0, cell.low):.0f}, {100 * cell.high:.0f}], n {cell.n}"


def _coverage_words(found: Studied) -> str:
    if found.covered is None:
        return found.calibrated
    return (
        f"“{GATED}”, first seed, calibrated: sets of answers by age (yes, no, or open), fitted on the validation part "
        f"so that {COVERAGE:.0%} of those with a class and as many of those without it are told what is so. Decided: "
        "told one answer. Where fewer than nine children near an age have a class, nothing is promised of it. "
        f"{found.calibrated}"
    )


def _shuffled_words(found: Studied) -> str:
    """What ages of others can show, which depends on whether the gate knew ages before."""
    if not found.brings_gate:
        return ", so that the gate has its weights and nothing to tell apart by them"
    return (
        f"; the gate of {found.weights} knew ages before, so that this row says what wrong ages cost and not what the "
        "weights of a gate are worth"
    )


def _row_words(found: Studied) -> str:
    age = ", told the age" if found.brings_gate else ""
    told = f"“{BEFORE}” is {found.weights} as it came{age}; " if BEFORE in found.rates else ""
    return (
        f"{told}“{WITHOUT}” and “{GATED}” are that adapted to the training children, who were told no age and their "
        "own, first seed. Intervals are 95 % over patients."
    )


def _lead(found: Studied) -> str:
    sizes = found.counts
    return (
        f"{sizes['records']} recordings of {sizes['patients']} {_who(found)}; {found.weights} adapted for "
        f"{found.config.epochs:g} epochs, {found.config.seeds} seeds. The gate that reads the age has {found.n_gate:,} "
        f"of {found.n_weights:,} weights. {_few_words(found)}{_seen_words(found)}{RESEARCH_USE}"
    )


def _who(found: Studied) -> str:
    """Children, where nobody of a known age is grown up."""
    grown = found.store.columns.age_days >= ADULT_DAYS
    return "people, some of them adults" if grown.any() else "children"


def _few_words(found: Studied) -> str:
    """That too few are tested, or have a class where thresholds are chosen, for anything to be told from them."""
    parts, words = found.task.annotated_parts(found.store), ""
    if len(parts["test"]) < _FEWEST_TESTED:
        words = f"Only {len(parts['test'])} recordings are tested: a rehearsal, which shows that the study runs and "
        words += "nothing of the age. "
    answers = found.task.store_targets(found.store)[parts["validation"]]
    columns = {name: answers[:, found.task.class_names.index(name)] for name in found.classes}
    few = [name for name, column in columns.items() if (column == 1).sum() < FEWEST_POSITIVE]
    if few:
        words += f"Fewer than {FEWEST_POSITIVE} of the validation part have {', '.join(few)}: what was chosen there "
        words += "of them is chance. "
    return words


def _seen_words(found: Studied) -> str:
    if not found.overlap:
        return ""
    return (
        f"The training of {found.weights} saw, or may have seen, recordings of the test part: nothing here is a test. "
    )


def _people_words(found: Studied) -> str:
    refused = found.counts["refused"]
    more = (
        f" {refused} recordings of the manifest could not be stored; check.html says which and why." if refused else ""
    )
    alone = found.counts["records"] == found.counts["patients"]
    parted = (
        "Every recording is a patient of its own here, or the manifest does not say whose it is: then a child with "
        "several recordings may be in two parts."
        if alone
        else "Parts are drawn by patient, so that no child is in two of them."
    )
    return parted + more


def _people(found: Studied) -> list[list[str]]:
    parts = found.task.annotated_parts(found.store)
    ages, targets = found.store.columns.age_days, found.task.store_targets(found.store)
    rows = [["", *parts, "youngest", "oldest"]]
    for band in AGE_BANDS:
        inside = band.holds(ages)
        counts = [int(inside[chosen].sum()) for chosen in parts.values()]
        if any(counts):
            own = ages[inside]
            rows.append([band.name, *map(str, counts), describe(float(own.min())), describe(float(own.max()))])
    unknown = [int((~known_ages(ages[chosen])).sum()) for chosen in parts.values()]
    if any(unknown):
        rows.append(["age unknown", *map(str, unknown), "–", "–"])
    for column, name in enumerate(found.task.class_names):
        rows.append([name, *(str(int((targets[chosen, column] == 1).sum())) for chosen in parts.values()), "–", "–"])
    return rows


def markdown(found: Studied) -> str:
    """The study as a text to begin a paper with."""
    lines = [
        f"# {found.task.title}: what the age of a child is worth to a model that reads its ECG",
        "", f"*Made by auricle {__version__}. {RESEARCH_USE}*", "", _lead(found), "", "## Children", "",
        _people_words(found), "", _pipe(_people(found)), "", "## Models", "",
        f"* Weights: {found.weights}; encoder and preprocessing are theirs ({_input_words(found)}).",
        f"* {GATED}: gamma and beta of every block by age (FiLM), fresh or those of the weights, {found.n_gate:,} of "
        f"{found.n_weights:,} weights; a tenth of the training records is told no age.",
        f"* {WITHOUT}: the same weights and training, nobody told any age. {SHUFFLED}: each child told the age of "
        f"another, in training as in testing{_shuffled_words(found)}.",
        f"* {found.config.epochs:g} epochs of the training part in batches of {found.config.batch_size}, backbone "
        f"{found.config.backbone}, {found.config.seeds} seeds. Thresholds are of "
        "the validation part, and no setting was chosen on the test part; which classes are shown, and of which age "
        "false calls are counted, follows from how many of it have them.",
        "", "## Results", "", found.table.to_markdown(),
    ]  # fmt: skip
    for name in found.classes:
        lines += [f"### {name} within age bands", "", _row_words(found), "", _pipe(rate_rows(found, name)), ""]
    lines += ["### Answers that hold", "", _coverage_words(found), "", _pipe(coverage_rows(found)), ""]
    lines += [
        "## TRIPOD+AI",
        "",
        "What this study can fill; the rest is for its authors.",
        "",
        _pipe(_tripod(found)),
        "",
    ]
    return "\n".join(lines)


def _input_words(found: Studied) -> str:
    rate = found.store.rate_hz
    return f"records stored at {rate:g} Hz"


def _pipe(rows: list[list[str]]) -> str:
    header, *body = map(tuple, rows)
    return Table(header, tuple(body), "", ()).to_markdown().strip()


def _source_words(found: Studied) -> str:
    """What the records are of: a manifest, or a store that was there before."""
    if not is_store(found.config.data):
        return "one manifest of recordings"
    return f"one store of recordings, ingested before from {found.store.info['source']}"


def _tripod(found: Studied) -> list[list[str]]:
    """Items of TRIPOD+AI, and what of them this study says."""
    parts = {name: len(rows) for name, rows in found.task.annotated_parts(found.store).items()}
    sizes = ", ".join(f"{name} {n}" for name, n in parts.items())
    checked = "" if is_store(found.config.data) else "check.html, "
    origin = "simulator" if found.store.info["source"] == "simulated" else "hospital"
    filled = {
        "5 data sources": f"{_source_words(found)} ({found.config.data.name}); split {found.task.split.by}",
        "6 participants": f"{found.counts['patients']} {_who(found)}; setting and dates: {_TO_WRITE}",
        "7 data preparation": f"auricle's reader and quality check of every file; {checked}docs/formats.md",
        "8 outcome": f"classes of {found.task.id}: {', '.join(found.task.class_names)}; who read them: {_TO_WRITE}",
        "9 predictors": "the ECG as recorded, and the age in days where known",
        "10 sample size": f"{sizes} records" + ("; check.html has what each label's number allows" if checked else ""),
        "11 missing data": "missing leads and samples are masked, a missing age has a code of its own; none is imputed",
        "12 analysis": "docs/methods/supervised.md; bootstrap over patients; rows compared over the same ones",
        "13 class imbalance": "none was balanced away; prevalences above",
        "14 fairness": "rates within age bands above; by sex and origin: " + _TO_WRITE,
        "15 output": "a probability for each class; thresholds from the validation part",
        "16 training and evaluation": "one source, parts by patient: no external evaluation",
        "18f code": f"auricle {__version__}, Apache-2.0",
        "20 participants (results)": "tables above",
        "21 development": f"{sizes} records, positives above",
        "22 specification": "runs/: weights (safetensors) and configuration of every row and seed",
        "23 performance": "tables above, with intervals; figures/ for curves over age",
        "26 limitations": f"one {origin}, {found.config.seeds} seeds; further: {_TO_WRITE}",
    }
    open_items = (
        "1 title, 2 abstract, 3 background, 4 objectives", "17 ethics",
        "18a-e funding, conflicts, protocol, registration, data",
        "19 patients and the public", "24 updating", "25 interpretation", "27 usability",
    )  # fmt: skip
    return [["item", "here"], *([key, text] for key, text in filled.items()), *([key, _TO_WRITE] for key in open_items)]
