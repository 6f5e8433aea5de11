"""Tables of results: one row for each method, beside reference rows.

The reference rows (`class_prior`, `random_encoder`, `rocket`, `supervised`) are in every table, marked "not run" where
they were not run. Published numbers can stand beside ours, marked as other people's under another protocol.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from auricle.errors import DataError
from auricle.evaluate.caption import FEWEST_PATIENTS, Result, caption, remarks
from auricle.evaluate.predictions import OVERLAP_NOTE, UNKNOWN

FRACTIONS: Final = (0.01, 0.1, 1.0)
SANITY_ROWS: Final = ("class_prior", "random_encoder", "rocket", "supervised")
NOT_RUN: Final = "not run"
_ZERO_SHOT: Final = "zero_shot"
# What results hold of each age band.
BAND_METRICS: Final = ("auroc", "auprc")
# Protocols that learn from a share of the labels.
TRAINED: Final = ("linear_probe", "finetune")
PUBLISHED_NOTE: Final = (
    "Rows in italics are other people's numbers, copied as published and obtained under the published protocol (other "
    "training subsets, other label matching, other model selection). They are for orientation and not comparable to "
    "within a point."
)


# A cell as `cell` writes it: mean, deviation over seeds, interval.
_NUMBER: Final = re.compile(r"(-?\d+\.\d+)(?: ± (\d+\.\d+))?(?: \[(-?\d+\.\d+), (-?\d+\.\d+)\])?")
_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "²": r"$^2$",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Published macro AUROC in per cent of one method on one task, by fraction of the training part."""

    method: str
    reference: str
    auroc: Mapping[float, float]

    @property
    def title(self) -> str:
        """The method with whom it is by, as the document writes it."""
        return f"{self.method} ({self.reference})" if self.reference else self.method


@dataclass(frozen=True, slots=True)
class Table:
    """A table of strings: `header`, `rows`, a `caption` above and `notes` below."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    notes: tuple[str, ...]

    def to_markdown(self) -> str:
        """The table in Markdown, with its caption and notes as paragraphs."""
        lines = [_line(self.header), _line(["---"] + ["---:"] * (len(self.header) - 1)), *map(_line, self.rows)]
        return "\n\n".join([self.caption, "\n".join(lines), *self.notes]) + "\n"

    def to_csv(self) -> str:
        """The table as CSV; a column of numbers becomes four: the mean, its deviation over seeds, and its interval.

        Caption and notes are left out, and cells without a number are as in the table.
        """
        numbers = [[_NUMBER.fullmatch(cell) for cell in row] for row in self.rows]
        split = [any(row[place] for row in numbers) for place in range(len(self.header))]
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        header = []
        for name, wide in zip(self.header, split, strict=True):
            header += [f"{name}{part}" for part in ("", " sd", " low", " high")] if wide else [name]
        writer.writerow(header)
        for row, found in zip(self.rows, numbers, strict=True):
            cells: list[str] = []
            for text, number, wide in zip(row, found, split, strict=True):
                cells += [value or "" for value in number.groups()] if number else [text]
                cells += ["", "", ""] if wide and not number else []
            writer.writerow(cells)
        return written.getvalue()

    def to_latex(self) -> str:
        """The table as a LaTeX `table` that needs no package, notes below it."""
        body = [" & ".join(map(_latex, cells)) + r" \\" for cells in (self.header, *self.rows)]
        notes = [rf"\par\footnotesize {_latex(note)}" for note in self.notes]
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(self.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            r"\hline",
            body[0],
            r"\hline",
            *body[1:],
            r"\hline",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def collect(folder: str | Path) -> list[Result]:
    """Every `result.json` under a folder, in the order of their paths.

    Raises:
        DataError: no such folder, no result in it, or a file that is no result.
    """
    paths = sorted(Path(folder).rglob("result.json"))
    if not paths:
        raise DataError(f"{folder}: no result.json in or under this folder; run an evaluation first")
    return [_read(path) for path in paths]


def _read(path: Path) -> Result:
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = result["meta"]["method"], result["macro"]["auroc"]["value"], result["n_records"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a result of this version ({error}); run the evaluation again") from error
    return result


def published_rows(task: str) -> list[PublishedRow]:
    """The published rows that have a number for this task (LISA proposal, section 4.1), in their published order."""
    data = tomllib.loads(files("auricle.evaluate").joinpath("published.toml").read_text(encoding="utf-8"))
    rows = []
    for row in data["row"]:
        numbers = dict(zip(data["fractions"], row["auroc"].get(task, []), strict=False))
        known = {fraction: value for fraction, value in numbers.items() if not math.isnan(value)}
        if known:
            rows.append(PublishedRow(row["method"], row.get("reference", ""), known))
    return rows


def asked_of(results: Iterable[Result], task: str) -> list[Result]:
    """The results of one task; one that lies in several folders, a copy, counts once and is no further seed.

    Raises:
        DataError: there are none; names the tasks there are results of.
    """
    results = list(results)
    own = [result for result in results if result["meta"]["task"] == task]
    if not own:
        there = sorted({str(result["meta"]["task"]) for result in results})
        raise DataError(f"no result of the task {task}; there are results of {', '.join(there)}: give one as the task")
    return [result for number, result in enumerate(own) if result not in own[:number]]


def to_markdown(
    results: Iterable[Result],
    task: str,
    *,
    protocols: Sequence[str] = TRAINED,
    metric: str = "auroc",
    fractions: Sequence[float] = FRACTIONS,
    published: bool = False,
) -> str:
    """The table of one task as Markdown; see `build`."""
    return build(
        results, task, protocols=protocols, metric=metric, fractions=fractions, published=published
    ).to_markdown()


def build(
    results: Iterable[Result],
    task: str,
    *,
    protocols: Sequence[str] = TRAINED,
    metric: str = "auroc",
    fractions: Sequence[float] = FRACTIONS,
    published: bool = False,
) -> Table:
    """One row for each method and preset, one column for each training fraction and one for zero-shot.

    A cell is the mean over seeds in per cent, its standard deviation over seeds, and the 95 % patient-bootstrap
    interval (bounds averaged over seeds). Results of other tasks and protocols are left out.

    Args:
        results: as from `collect`.
        task: task id.
        protocols: what fills the columns of fractions; fine-tuned weights are rows of their own beside probed ones.
        metric: of `auricle.evaluate.metrics.METRICS`, macro; F1 and accuracy at thresholds chosen on validation,
            sensitivity at a specificity of 90 %.
        fractions: shares of the training patients.
        published: add the published rows; they exist for the linear probe's AUROC only.

    Raises:
        DataError: published rows are asked for where there are none.
    """
    shown = (*protocols, _ZERO_SHOT)
    # A sanity row stands in every table, by whatever protocol it was made: `supervised` is trained, not probed.
    ours = [
        r
        for r in results
        if r["meta"]["task"] == task
        and (
            r["meta"]["protocol"] in shown or (r["meta"]["method"] in SANITY_ROWS and "/" not in r["meta"]["protocol"])
        )
    ]
    by_row = rows_of(ours)
    missing = [(name, "", "") for name in SANITY_ROWS if not any(key[0] == name for key in by_row)]
    order = sorted([*by_row, *missing], key=lambda key: (_sanity_rank(key[0]), key))
    rows = [_row(key, by_row.get(key, []), metric, fractions) for key in order]
    notes = remarks(ours, metric)
    if published:
        rows += _published_cells(task, protocols, metric, fractions)
        notes.append(PUBLISHED_NOTE)
    header = ("method", *(f"{_percent(fraction)} %" for fraction in fractions), "zero-shot", "saw test signals")
    return Table(header, tuple(rows), caption(ours, task, protocols, metric), tuple(notes))


def rows_of(results: Iterable[Result]) -> dict[tuple[str, str, str], list[Result]]:
    """Results by the row they stand in: method, preset and track."""
    by_row: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        meta = result["meta"]
        by_row.setdefault((meta["method"], _how(meta), meta.get("track", "clean")), []).append(result)
    return by_row


def column_of(results: Sequence[Result], fraction: float | None, metric: str) -> str:
    """The cell of a row's results in the column of a share of the training patients; of None, in that of zero-shot."""
    if fraction is None:
        return cell([r for r in results if r["meta"]["protocol"] == _ZERO_SHOT], metric)
    trained = [r for r in results if r["meta"]["protocol"] != _ZERO_SHOT]
    return cell([r for r in trained if _same(r["meta"]["fraction"], fraction)], metric)


def band_table(results: Iterable[Result], task: str, *, metric: str = "auroc") -> Table:
    """One row for each method and preset, one column for each age band in which there are records.

    Of what learned from labels, only what learned from all training patients, and what was asked zero-shot. A cell is
    as in `build`. "undefined" is a band in which no class has both a positive and a negative.

    Args:
        results: as from `collect`.
        task: task id.
        metric: `auroc` or `auprc`, macro.

    Raises:
        DataError: another metric, or no result of this kind.
    """
    if metric not in BAND_METRICS:
        raise DataError(f"by age there are {' and '.join(BAND_METRICS)}, and no {metric}")
    whole = [
        r
        for r in results
        if r["meta"]["task"] == task
        and (
            r["meta"]["protocol"] == _ZERO_SHOT
            or (_same(r["meta"]["fraction"], 1.0) and "/" not in r["meta"]["protocol"])
        )
    ]
    if not whole:
        raise DataError(
            f"no result of {task} from all training patients, or zero-shot: there is nothing to show by age"
        )
    by_row: dict[tuple[str, ...], list[Result]] = {}
    for r in whole:
        meta = r["meta"]
        asked = "zero-shot" if meta["protocol"] == _ZERO_SHOT else ""
        by_row.setdefault((meta["method"], _how(meta), meta.get("track", "clean"), asked), []).append(r)
    sizes: dict[str, set[int]] = {}
    for r in whole:
        for band in r.get("bands", ()):
            if band["n_records"]:
                sizes.setdefault(band["name"], set()).add(band["n_records"])
    rows = []
    for key in sorted(by_row, key=lambda key: (_sanity_rank(key[0]), key)):
        cells = [cell([_band(r, name) for r in by_row[key]], metric) for name in sizes]
        rows.append((row_name(*key[:3]) + (f", {key[3]}" if key[3] else ""), *cells))
    header = ("method", *(f"{name} (n={' or '.join(map(str, sorted(n)))})" for name, n in sizes.items()))
    caption = f"**{task}** by age: macro {metric.upper()} in per cent, learned from all training patients or zero-shot."
    note = "Bands differ in the classes that somebody has, so that a column is not comparable with its neighbour."
    notes = [note]
    few = [name for name in sizes if any(0 < _n_patients(r, name) < FEWEST_PATIENTS for r in whole)]
    if few:
        notes.append(
            f"Fewer than {FEWEST_PATIENTS} patients, of whom intervals of a bootstrap are too narrow: {', '.join(few)}."
        )
    if any(len(n) > 1 for n in sizes.values()):
        notes.append("WARNING: the rows do not share one test part.")
    return Table(header, tuple(rows), caption, tuple(notes))


def _n_patients(result: Result, band: str) -> int:
    """How many people of an age band were tested; 0 where a result of before does not say."""
    return next((one.get("n_patients", 0) for one in result.get("bands", ()) if one["name"] == band), 0)


def _band(result: Result, name: str) -> Result:
    """A result of one age band, as `cell` takes it."""
    macro: Mapping[str, Any] = next((band["macro"] for band in result.get("bands", ()) if band["name"] == name), {})
    return {"macro": macro or {"auroc": None, "auprc": None}}


def per_class(result: Result) -> list[list[str]]:
    """One result class by class, as rows with a header: positives, AUROC and AUPRC with intervals, in per cent."""
    rows = [["class", "positives", "AUROC", "AUPRC"]]
    for name, entry in result["classes"].items():
        cells = [cell([{"macro": {metric: entry[metric]}}], metric) for metric in ("auroc", "auprc")]
        rows.append([name, f"{entry['n_positive']} of {entry['n']}", *cells])
    return rows


def _how(meta: Mapping[str, Any]) -> str:
    """The preset, with ", fine-tuned" for fine-tuned rows other than reference rows."""
    preset = str(meta.get("preset", ""))
    if meta["protocol"] != "finetune" or meta["method"] in SANITY_ROWS:
        return preset
    return f"{preset}, fine-tuned".removeprefix(", ")


def _sanity_rank(method: str) -> int:
    return SANITY_ROWS.index(method) if method in SANITY_ROWS else len(SANITY_ROWS)


def _row(
    key: tuple[str, str, str], results: Sequence[Result], metric: str, fractions: Sequence[float]
) -> tuple[str, ...]:
    cells = [column_of(results, fraction, metric) for fraction in (*fractions, None)]
    return (row_name(*key), *cells, _saw(results))


def _saw(results: Sequence[Result]) -> str:
    """Whether pre-training saw signals of the test part, as a cell."""
    if not results:
        return "–"
    saw = [r["meta"] for r in results if r["meta"].get("overlap")]
    if saw and all(meta.get("notes", {}).get(OVERLAP_NOTE) == UNKNOWN for meta in saw):
        return "**may have**"
    return "**yes**" if saw else "no"


def row_name(method: str, preset: str, track: str) -> str:
    """What a row is called: its method, its preset, and its track where that is not `clean`."""
    return method + (f" ({preset})" if preset else "") + (f" [{track}]" if track not in ("", "clean") else "")


def _same(fraction: float | None, asked: float) -> bool:
    return fraction is not None and math.isclose(fraction, asked)


def cell(results: Sequence[Result], metric: str) -> str:
    """A cell of a table: mean over seeds in per cent, standard deviation over seeds, and interval.

    "not run" stands where there is no result, "undefined" where the metric has no value.
    """
    if not results:
        return NOT_RUN
    # Results of before have plain numbers, and not every metric.
    entries = [r["macro"].get(metric) for r in results]
    entries = [entry if isinstance(entry, Mapping) else {"value": entry, "low": None} for entry in entries]
    measured = [entry for entry in entries if entry["value"] is not None]
    if not measured:
        return "undefined"
    values = [100 * entry["value"] for entry in measured]
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    bounds = [(100 * entry["low"], 100 * entry["high"]) for entry in measured if entry["low"] is not None]
    low, high = (fmean(side) for side in zip(*bounds, strict=True)) if bounds else (math.nan, math.nan)
    interval = f" [{low:.1f}, {high:.1f}]" if bounds else ""
    return f"{fmean(values):.1f}{spread}{interval}"


def _published_cells(
    task: str, protocols: Sequence[str], metric: str, fractions: Sequence[float]
) -> list[tuple[str, ...]]:
    if "linear_probe" not in protocols or metric != "auroc":
        under = ", ".join(protocols)
        raise DataError(f"published rows are linear-probe AUROC; there are none for {metric} under {under}")
    rows = published_rows(task)
    if not rows:
        raise DataError(f"there are no published rows for {task}; leave them out")
    return [
        (
            f"*{row.title}*",
            *(f"*{row.auroc[f]:.2f}*" if f in row.auroc else "–" for f in fractions),
            "–",
            "–",
        )
        for row in rows
    ]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g}"


def _latex(text: str) -> str:
    """Text for LaTeX, with the emphasis of Markdown as that of LaTeX."""
    escaped = "".join(_LATEX.get(letter, letter) for letter in text)
    bold = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)
    return re.sub(r"\*(.+?)\*", r"\\emph{\1}", bold)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
