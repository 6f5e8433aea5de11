"""The model card of the weights that come along, from the card that lies with them and from measured results.

    python benchmarks/weights_card.py > docs/weights.md

The text is `benchmarks/weights_card.md`; every number is read from `auricle.json` (written by `auricle pretrain`,
`calibrate` and `evaluate --to-card`) or from `benchmarks/results/` (`abstention.json`, `reliability.md`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from abstention import RESULTS, tables

from auricle.about import FEWEST_POSITIVE
from auricle.age import describe
from auricle.export.card import auroc_of, interval
from auricle.methods import SHIPPED_WEIGHTS, load_card
from auricle.tasks import load_task

TASK: Final = "ecg/findings"
WHO: Final = {"simulated": "simulation", "ptb_xl": "PTB-XL", "csn": "CSN", "challenge2021": "elsewhere"}
RELIABILITY: Final = RESULTS.parent / "reliability.md"


def classes(about: Mapping[str, Any]) -> list[str]:
    """A row for each class: words, how it did on each test, what it was calibrated on."""
    tested = {test["source"]: test for test in about["tests"] if test["protocol"] == "finetune"}
    calibrated = {one["class"]: one for one in about["calibrated"]}
    heads = ["class", "in words", *(WHO[source] for source in tested), "calibrated on"]
    rows = [heads, ["---", "---", *["---:"] * len(tested), "---"]]
    for entry in load_task(TASK).classes:
        one = calibrated.get(entry.name)
        who = " and ".join(WHO[source] for source in one["source"].split(" + ")) if one else ""
        told = f"{who} ({one['positive']} with it)" if one else "not calibrated"
        rows.append([entry.name, entry.title, *(auroc_of(test, entry.name) for test in tested.values()), told])
    return [f"| {' | '.join(row)} |" for row in rows]


def tests(about: Mapping[str, Any]) -> list[str]:
    """What the tests were on."""
    heads = ["test", "recordings", "people", "ages", "classes", "mean AUROC", "of classes that ten or more had"]
    rows = [f"| {' | '.join(heads)} |", "| --- | ---: | ---: | --- | ---: | ---: | ---: |"]
    for test in about["tests"]:
        ages = " to ".join(map(describe, test["age_days"])) if test["age_days"] else "unknown"
        name = f"{WHO[test['source']]} (`{test['task']}`)"
        mean = interval(*(test["macro"][key] for key in ("value", "low", "high")))
        had = [score for one, score in test["auroc"].items() if test["positive"][one] >= FEWEST_POSITIVE]
        enough = f"{100 * sum(had) / len(had):.1f} ({len(had)})"
        told = [name, test["n_records"], test["n_patients"], ages, len(test["auroc"]), mean, enough]
        rows.append(f"| {' | '.join(map(str, told))} |")
    return rows


def trainings(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trainings of the weights, the first one first."""
    donor = about.get("donor")
    return [*(trainings(donor) if donor else []), about]


def learned(about: Mapping[str, Any]) -> list[str]:
    """What training saw."""
    rows = ["| training | part | of each batch | what |", "| --- | --- | ---: | --- |"]
    for number, training in enumerate(trainings(about), start=1):
        for part in training["parts"]:
            name = f"{number}: {training['steps']:,} steps of {training['batch_size']}"
            rows.append(f"| {name} | {part['name']} | {part['records_a_step']} | {what_of(part)} |")
    return rows


def what_of(part: Mapping[str, Any]) -> str:
    """What a part of a mixture was."""
    n = f"{part['n_records']:,}"
    if "settings" in part:
        made = part["settings"]
        kind = f"ages `{made['ages']}`, mix `{made['diagnoses']}`, recordings `{made['quality']}`, seed {made['seed']}"
        first = f" from number {made['first']:,} on" if made["first"] else ""
        return f"{n} simulated people, none twice: {kind}{first}; report, classes and numbers known"
    labels = "with their labels" if part["labels"] else "without their labels"
    learned, opened = part["split"]["train"], ", ".join(part.get("open", ()))
    which = f"folds {', '.join(map(str, learned))}" if isinstance(learned, list) else f"{100 * learned:.0f} %"
    but = f" (but for {opened})" if opened else ""
    return f"{n} recordings of {WHO[part['source']]}, {which}, {labels}{but}, without reports"


def page() -> str:
    """The page."""
    card, _ = load_card(SHIPPED_WEIGHTS)
    about, spec = card["about"], card["config"]["input"]
    low, high = spec["band_hz"]
    text = Template((Path(__file__).with_suffix(".md")).read_text(encoding="utf-8"))
    return text.substitute(
        method=card["method"],
        parameters=f"{card['n_parameters'] / 1e6:.2f} M",
        rate=f"{spec['rate_hz']:g} Hz",
        seconds=f"{spec['seconds']:g} s",
        band=f"{low:g} to {high:g} Hz",
        learned="\n".join(learned(about)),
        tests="\n".join(tests(about)),
        classes="\n".join(classes(about)),
        reliability=RELIABILITY.read_text(encoding="utf-8").rstrip(),
        refused="\n".join(tables(json.loads(RESULTS.read_text()))),
    )


if __name__ == "__main__":
    print(page(), end="")
