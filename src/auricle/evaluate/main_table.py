"""The published table, whole, beside ours: six tasks, three shares of the labels and zero-shot, in one of two tracks.

Source: the LISA proposal, section 4.1. Ours is read from result files; what was not run says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from auricle.errors import DataError
from auricle.evaluate.caption import Result
from auricle.evaluate.table import (
    FRACTIONS,
    PUBLISHED_NOTE,
    SANITY_ROWS,
    Table,
    column_of,
    published_rows,
    row_name,
    rows_of,
)
from auricle.tasks import TRACKS

# As the columns of the document are called.
TASKS: Final = {
    "ptb_xl/rhythm": "PTBXL-Rhythm",
    "ptb_xl/sub": "PTBXL-Sub",
    "ptb_xl/form": "PTBXL-Form",
    "ptb_xl/super": "PTBXL-Super",
    "cpsc2018": "CPSC2018",
    "csn": "CSN",
}
# Stands where nothing was published.
_NOTHING: Final = "–"
SYSTEMS: Final = ("lisa", "merl", "mirage", "ls_emvae", "cg_dmer", "acl_ecg")
# Our implementations of what else is in the table of the document, in its order.
BASELINES: Final = (
    "simclr", "byol", "barlow_twins", "moco_v3", "simsiam", "ts_tcc", "clocs", "wcr", "astcl", "crt", "st_mem",
    "heartlang", "melp",
)  # fmt: skip
_TRACK_NOTES: Final = {
    "clean": (
        "Track clean: labels from the records, whole codes only; subsets of 1 and 10 % by patient and nested; chosen "
        "on the validation part."
    ),
    "legacy": (
        "Track legacy: parts and labels of the published split files, with their faults (`--published FOLDER --track "
        "legacy`), so that rows stand beside the published ones; subsets by patient as in the other track."
    ),
}
_HOW_NOTE: Final = (
    'Filled by `auricle evaluate RUN STORE RESULTS --task TASK` for each run and task, of stores that `auricle ingest` '
    'made of PTB-XL, CPSC2018 and CSN; then `auricle table main RESULTS`; each training says at its start how long it '
    'will take, and docs/study.md what MIMIC-IV-ECG would. "MELP (Ours)" is what the document calls the row: its '
    "numbers are those of MELP (2025)."
)  # fmt: skip


def main_table(results: Iterable[Result], track: str = "clean") -> Table:
    """The published rows, the reference rows and ours: 1, 10 and 100 % of the labels and zero-shot for each task.

    Macro AUROC in per cent of linear probes; ours with standard deviation over seeds and interval over patients.
    Every reference row, every system and every baseline has a row, whether it was run or not.

    Args:
        results: as from `auricle.evaluate.table.collect`; there may be none.
        track: `clean` or `legacy`.

    Raises:
        DataError: no such track.
    """
    if track not in TRACKS:
        raise DataError(f"there is no track {track!r}: {' or '.join(TRACKS)}")
    ours = [
        r
        for r in results
        if r["meta"]["task"] in TASKS and r["meta"].get("track", "clean") == track and _is_asked(r["meta"]["protocol"])
    ]
    by_row = rows_of(ours)
    known = {key[0] for key in by_row}
    order = [*SANITY_ROWS, *SYSTEMS, *BASELINES]
    for name in order:
        if name not in known:
            by_row[name, "", track] = []
    keys = sorted(by_row, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key))
    header = ["method"]
    for title in TASKS.values():
        header += [*(f"{title} {100 * fraction:g} %" for fraction in FRACTIONS), f"{title} zero-shot"]
    rows = [*_published(), *((row_name(key[0], key[1], ""), *_cells(by_row[key])) for key in keys)]
    caption = f"**Linear probe and zero-shot, six tasks** (LISA proposal, section 4.1), track {track}: macro AUROC, %."
    notes = [_TRACK_NOTES[track], PUBLISHED_NOTE, _HOW_NOTE]
    saw = sorted({f"{r['meta']['method']} ({r['meta']['task']})" for r in ours if r["meta"].get("overlap")})
    if saw:
        notes.insert(0, f"Pre-training saw, or may have seen, signals of the test part: {', '.join(saw)}.")
    return Table(tuple(header), tuple(rows), caption, tuple(notes))


def _is_asked(protocol: str) -> bool:
    return protocol in ("linear_probe", "zero_shot", "finetune")


def _cells(results: Sequence[Result]) -> list[str]:
    """24 cells of one row."""
    cells = []
    for task in TASKS:
        own = [result for result in results if result["meta"]["task"] == task]
        cells += [column_of(own, fraction, "auroc") for fraction in (*FRACTIONS, None)]
    return cells


def _published() -> list[tuple[str, ...]]:
    """The rows of the document, in its order, as other people's; zero-shot was not published there."""
    of_task = {task: {row.title: row for row in published_rows(task)} for task in TASKS}
    titles = list(dict.fromkeys(title for rows in of_task.values() for title in rows))
    lines = []
    for title in titles:
        cells = []
        for task in TASKS:
            auroc = of_task[task][title].auroc if title in of_task[task] else {}
            cells += [f"*{auroc[fraction]:.2f}*" if fraction in auroc else _NOTHING for fraction in FRACTIONS]
            cells.append(_NOTHING)
        lines.append((f"*{title}*", *cells))
    return lines


def task_by_task(table: Table) -> str:
    """The main table in Markdown, one table under the other, because 24 columns are no page."""
    width = len(FRACTIONS) + 1
    parts = [table.caption]
    for place, (task, title) in enumerate(TASKS.items()):
        columns = slice(1 + width * place, 1 + width * (place + 1))
        header = ("method", *(name.removeprefix(f"{title} ") for name in table.header[columns]))
        rows = tuple((row[0], *row[columns]) for row in table.rows if set(row[columns]) != {_NOTHING})
        parts.append(Table(header, rows, f"**{title}** (`{task}`)", ()).to_markdown().rstrip())
    return "\n\n".join([*parts, *table.notes]) + "\n"
