"""Keep the tables of ablations and write those of docs/results from them.

    python benchmarks/ablations.py                 # write the tables from what is kept
    python benchmarks/ablations.py NAME=OUT ...    # keep the table of an ablation's folder first

NAME is one of `ABLATIONS`, OUT the folder of its runs. Rows that were not run there stay as they were kept. The command
of the rows stands above each table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final, NamedTuple

from markers import with_table

from auricle.evaluate.ablate import ablation_table
from auricle.evaluate.ablation import load_ablation
from auricle.evaluate.table import NOT_RUN
from auricle.tasks import load_task

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "benchmarks" / "results" / "ablations.json"
PAGES: Final = ROOT / "docs" / "results"

Rows = dict[str, dict[str, str]]


class Asked(NamedTuple):
    """An ablation, the task it asks (a file is named from the root), and the row that the others are compared with."""

    ablation: str
    task: str
    compared_with: str


class Shown(NamedTuple):
    """A table of a page: whose rows, and columns as the page calls them and as the ablation does."""

    page: str
    name: str
    columns: tuple[tuple[str, str], ...]


_FEW: Final = "examples/ptb_xl_few.toml"
ABLATIONS: Final = {
    "age_gate_20000": Asked("age_gate", "simulated/children", "B3 lisa"),
    "age_gate_20000_above_b4": Asked("age_gate", "simulated/children", "B4 lisa, age gate"),
    "ls_emvae": Asked("ls_emvae", _FEW, "corrected"),
    "cg_dmer": Asked("cg_dmer", _FEW, "cg_dmer"),
    "acl_ecg": Asked("acl_ecg", _FEW, "acl_ecg"),
    "mirage": Asked("mirage", "simulated/infarction", "Full model"),
    "mirage_contrast": Asked("mirage_contrast", "simulated/infarction", "contrast 0.445"),
    "mirage_temperature": Asked("mirage_temperature", "simulated/infarction", "temperature 0.1"),
}


def _probes(name: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    first = tuple((f"{share} %", f"AUROC at {share} %") for share in (1, 10, 100))
    row = ABLATIONS[name].compared_with
    return (*first, *more, (f"above {row}, all labels", f"AUROC above {row}"))


def _classes(name: str) -> tuple[tuple[str, str], ...]:
    row = ABLATIONS[name].compared_with
    plain = tuple((metric, metric) for metric in ("accuracy", "F1", "AUROC", "AUPRC"))
    return (*plain, (f"AUROC above {row}", f"AUROC above {row}"))


def _at_ages(above: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{what}{':' if number == 0 else ''} {ages}" if number == 0 else ages, f"RVH {what}, {ages}{above}")
        for what in ("falsely called", "found", "told apart")
        for number, ages in enumerate(("first month", "from one year on", "all ages"))
    )


_MONTH: Final = tuple((what, f"RVH {what}, first month") for what in ("falsely called", "found", "told apart"))
_ABOVE_B3: Final = " above B3 lisa"
TABLES: Final = {
    "the pair": Shown("age.md", "age_gate_20000", (
        ("AUROC", "AUROC"),
        *((f"RVH {what}, first month" if n == 0 else what, key) for n, (what, key) in enumerate(_MONTH)),
        ("AUROC above B3", f"AUROC{_ABOVE_B3}"), *((f"{what} above B3", f"{key}{_ABOVE_B3}") for what, key in _MONTH),
    )),
    "the pair at all ages": Shown("age.md", "age_gate_20000", _at_ages("")),
    "the pair above B3 at all ages": Shown("age.md", "age_gate_20000", _at_ages(_ABOVE_B3)),
    "above B4 at all ages": Shown("age.md", "age_gate_20000_above_b4", _at_ages(" above B4 lisa, age gate")),
    "ls_emvae": Shown("systems.md", "ls_emvae", _probes("ls_emvae")),
    "cg_dmer": Shown("systems.md", "cg_dmer", _probes("cg_dmer", ("zero-shot", "AUROC zero-shot"))),
    "acl_ecg": Shown("systems.md", "acl_ecg", (
        *_probes("acl_ecg"), ("AUPRC at 100 %", "AUPRC at 100 %"),
    )),
    "mirage": Shown("systems.md", "mirage", _classes("mirage")),
    "contrast of mirage": Shown("systems.md", "mirage_contrast", _classes("mirage_contrast")),
    "temperature of mirage": Shown("systems.md", "mirage_temperature", _classes("mirage_temperature")),
}  # fmt: skip


def read(name: str, out: Path) -> Rows:
    """What was run of an ablation, by row and column."""
    asked = ABLATIONS[name]
    task = load_task(str(ROOT / asked.task) if asked.task.endswith(".toml") else asked.task)
    made = ablation_table(load_ablation(asked.ablation).against(asked.compared_with), task, out)
    rows = {row[0]: dict(zip(made.header[1:], row[1:], strict=True)) for row in made.rows}
    return {row: cells for row, cells in rows.items() if set(cells.values()) - {NOT_RUN, "–"}}


def table(kept: dict[str, Rows], name: str) -> str:
    """One of `TABLES` as Markdown: the rows that are kept, in the order of the ablation."""
    shown = TABLES[name]
    rows = kept.get(shown.name, {})
    lines = [
        "| row | " + " | ".join(title for title, _ in shown.columns) + " |",
        "| --- |" + " ---: |" * len(shown.columns),
    ]
    for row in load_ablation(ABLATIONS[shown.name].ablation).rows:
        cells = [rows.get(row.name, {}).get(column, NOT_RUN) for _, column in shown.columns]
        if set(cells) - {NOT_RUN, "–"}:
            lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(page: str, kept: dict[str, Rows], names: list[str]) -> str:
    """A page with some tables between their markers made anew."""
    for name in names:
        page = with_table(page, name, table(kept, name))
    return page


def main() -> None:
    """Keep and write."""
    kept: dict[str, Rows] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for given in sys.argv[1:]:
        name, _, place = given.partition("=")
        kept.setdefault(name, {}).update(read(name, Path(place)))
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for page in {shown.page for shown in TABLES.values()}:
        names = [name for name, shown in TABLES.items() if shown.page == page]
        place = PAGES / page
        place.write_text(written(place.read_text(encoding="utf-8"), kept, names), encoding="utf-8")


if __name__ == "__main__":
    main()
