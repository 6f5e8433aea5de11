"""What stands above and under a table of results: whom it is of, and what a reader must know before believing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from auricle.evaluate.metrics import OF_THRESHOLDS

# The content of a `result.json`.
Result = Mapping[str, Any]
# Of fewer test patients a table says that it is a rehearsal.
FEWEST_PATIENTS: Final = 50
_TWO_ACCURACIES: Final = (
    "Rows that answer one of all classes have the share of records whose highest score is right; the others the mean "
    "over classes of those on the right side of a threshold. The two are not comparable."
)


def caption(results: Sequence[Result], task: str, protocols: Sequence[str], metric: str) -> str:
    """What a table shows, and of how many records, people and classes; a warning where rows differ in these."""
    how = " or ".join(protocol.replace("_", " ") for protocol in protocols)
    what = f"**{task}**: macro {metric.upper()} in per cent, {how} by share of training patients"
    sizes = sorted({(r["n_records"], r["n_patients"], r["n_classes"], r["n_skipped"]) for r in results})
    if not sizes:
        return f"{what}; nothing was run."
    parts = [
        f"{records} test records of {patients} patients, {classes - skipped} of {classes} classes"
        for records, patients, classes, skipped in sizes
    ]
    if len(sizes) > 1:
        return f"{what}. WARNING: the rows do not share one test part: {'; '.join(parts)}."
    differing = _differing_labels(results)
    if differing:
        return (
            f"{what}; {parts[0]}. WARNING: the rows do not share one truth: {', '.join(differing)}. They were asked by "
            "different definitions of the task: ask them again by one."
        )
    return f"{what}; {parts[0]}."


def _differing_labels(results: Sequence[Result]) -> list[str]:
    """The classes that other numbers of the same records have in one row than in another, of those known to be with it
    or without it; with these numbers.

    Tracks take their labels from other places, and their rows say so.
    """
    counts: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for result in results:
        for name, column in result.get("classes", {}).items():
            counts.setdefault((result["meta"]["track"], name), set()).add((column["n_positive"], column["n"]))
    return [
        f"{name} {' or '.join(f'{positive} of {n}' for positive, n in sorted(found))}"
        for (_, name), found in counts.items()
        if len(found) > 1
    ]


def remarks(results: Sequence[Result], metric: str) -> list[str]:
    """Sentences under a table: what cells are, who is too few, which classes are left out, whose weights these are."""
    if not results:
        return []
    seeds = sorted({r["meta"]["seed"] for r in results})
    notes = [
        f"Mean over seeds ({', '.join(map(str, seeds))}) ± standard deviation over seeds, and the 95 % interval of a "
        "bootstrap over patients (its bounds averaged over seeds)."
    ]
    fewest = min(r["n_patients"] for r in results)
    if fewest < FEWEST_PATIENTS:
        notes.append(
            f"{fewest} test patients are too few for a bootstrap: its intervals are too narrow then, and of no width "
            "where all of them are told apart. A rehearsal, and no result."
        )
    skipped = sorted({name for r in results for name in r.get("skipped", ())})
    if skipped:
        notes.append(f"Left out of the macro mean for want of a positive or a negative: {', '.join(skipped)}.")
    needing = [r for r in results if metric == "f1" or r["meta"].get("answers") != "single_label"]
    unchosen = sorted({name for r in needing for name in r.get("unchosen", ()) if name not in skipped})
    if unchosen and metric in OF_THRESHOLDS:
        notes.append(f"No positive to choose a threshold by, and left out of the mean as well: {', '.join(unchosen)}.")
    if metric == "accuracy" and len({r["meta"].get("answers", "multi_label") for r in results}) > 1:
        notes.append(_TWO_ACCURACIES)
    told = [r["meta"].get("notes", {}) for r in results]
    foreign = {note["foreign_weights"]: note for note in told if "foreign_weights" in note}
    for weights, note in sorted(foreign.items()):
        licence = [f"Licence: {note['licence']}"] if note.get("licence") else []
        notes.append(". ".join([weights, *(note[key] for key in ("citation",) if note.get(key)), *licence]) + ".")
    return notes
