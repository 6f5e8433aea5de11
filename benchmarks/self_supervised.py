"""Keep the rows of `auricle ablate self_supervised` and write the tables of docs/results/systems.md from them.

    python benchmarks/self_supervised.py            # write the tables from what is kept
    python benchmarks/self_supervised.py OUT ...    # keep the rows of these ablation folders first
    python benchmarks/self_supervised.py precision=OUT    # for the table of precision and rank alone

OUT is the folder of an ablation, at equal steps or in equal time (`--minutes`); rows that were not run there stay as
they were kept. The command of the rows stands above the tables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from markers import with_table

from auricle.evaluate.ablation import load_ablation, slug

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "benchmarks" / "results" / "self_supervised.json"
PAGE: Final = ROOT / "docs" / "results" / "systems.md"
NOT_RUN: Final = "not run"
_ZERO_SHOT: Final = "AUROC zero-shot"
# What stands where: marker, kind of row, and columns as the page calls them and as the ablation does.
_ALL: Final = (
    ("1 %", "AUROC at 1 %"), ("10 %", "AUROC at 10 %"), ("100 %", "AUROC at 100 %"),
    ("zero-shot", _ZERO_SHOT), ("above random convolutions", "AUROC above random convolutions"),
)  # fmt: skip
_LEADS: Final = (
    ("all leads", "AUROC at 100 %"), ("9", "AUROC, 9 leads"), ("6, of the limbs", "AUROC, 6 limb leads"),
    ("3 (I, II, V2)", "AUROC, 3 leads (I, II, V2)"), ("1 (I)", "AUROC, 1 lead (I)"),
)  # fmt: skip
_PRECISION: Final = (("AUROC", "AUROC at 100 %"), ("AUPRC", "AUPRC at 100 %"), ("effective rank", "rank"))
TABLES: Final = {
    "equal steps": ("steps", _ALL),
    "fewer leads": ("steps", _LEADS),
    "precision and rank": ("precision", _PRECISION),
    "equal time": ("minutes", (("steps", "steps"), *_ALL)),
}
# Tables of the rows alone that were asked so.
_PARTIAL: Final = ("fewer leads", "precision and rank")

Rows = dict[str, dict[str, str]]


def read(out: Path) -> tuple[str, Rows]:
    """The kind of an ablation's rows ("steps" or "minutes"), and what was run of them, by column."""
    lines = [line for line in (out / "table.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[2:]}
    rows = {name: {**row, **_rank(out, name)} for name, row in rows.items() if set(row.values()) - {NOT_RUN, "–"}}
    timed = out / "equal_time.json"
    if not timed.exists():
        return "steps", rows
    steps = json.loads(timed.read_text(encoding="utf-8"))["steps"]
    return "minutes", {name: {"steps": str(steps.get(name, "–")), **row} for name, row in rows.items()}


def _rank(out: Path, row: str) -> dict[str, str]:
    """The effective rank of a row's features at the end of its training, mean over seeds; none where it has no log."""
    logs = sorted((out / "runs").glob(f"{slug(row)}-[0-9]*/log.jsonl"))
    last = [[line for line in map(json.loads, log.read_text().splitlines()) if "rank" in line] for log in logs]
    ranks = [lines[-1]["rank"] for lines in last if lines]
    return {"rank": f"{sum(ranks) / len(ranks):.0f}"} if ranks else {}


def keep(kept: dict[str, Rows], kind: str, rows: Rows) -> None:
    """Put rows that were run in place of those that are kept."""
    for name, row in rows.items():
        kept.setdefault(kind, {})[name] = row


def table(kept: dict[str, Rows], name: str, order: dict[str, bool]) -> str:
    """One of `TABLES` as Markdown.

    Args:
        kept: rows by kind.
        name: of the table.
        order: rows in the order of the ablation, and whether each can be asked zero-shot.
    """
    kind, columns = TABLES[name]
    lines = [
        "| row | " + " | ".join(title for title, _ in columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for row, answers in order.items():
        missing = {_ZERO_SHOT: NOT_RUN if answers else "–"} if row in kept.get(kind, {}) else {}
        known = missing | kept.get(kind, {}).get(row, {})
        cells = [known.get(column, "–" if column == "rank" else NOT_RUN) for _, column in columns]
        if name in _PARTIAL and set(cells[1:]) <= {NOT_RUN, "–"}:
            continue
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(page: str, kept: dict[str, Rows], order: dict[str, bool]) -> str:
    """The page with its tables between their markers made anew."""
    for name in TABLES:
        page = with_table(page, name, table(kept, name, order))
    return page


def row_names() -> dict[str, bool]:
    """Rows of the ablation in its order, and whether each compares recordings with sentences."""
    from auricle.methods import METHODS

    def answers(model: dict[str, Any]) -> bool:
        return "name" in model and hasattr(METHODS.get(model["name"]).cls, "prompt_scores")

    return {row.name: answers(row.run.get("model", {})) for row in load_ablation("self_supervised").rows}


def main() -> None:
    """Keep and write."""
    kept: dict[str, Rows] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for given in sys.argv[1:]:
        named, _, place = given.rpartition("=")
        kind, rows = read(Path(place))
        keep(kept, named or kind, rows)
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), kept, row_names()), encoding="utf-8")


if __name__ == "__main__":
    main()
