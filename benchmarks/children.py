"""Real children one by one: what was written of each, what is measured, what weights answer with and without the age.

    AURICLE_REAL_DATA=FOLDER python benchmarks/children.py [--weights WEIGHTS]

prints the table of docs/results/children.md.

Every recording of a person under 18 in SETS. Measurements outside of the published limits of the age (2nd to 98th
centile) carry an arrow. Of the answers those of 20 % and more are told, and NORM in any case; behind them what the
same trace would be called if the age were unknown. In bold what the set of answers calls "yes", with "no" what it calls
so; all else is open. A star marks recordings that the weights learned from. The table
says nothing of how often an answer is right: that needs more children than are at hand.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from auricle.age import ADULT_DAYS, describe
from auricle.data.sources import get_source
from auricle.data.splits import hashed_parts
from auricle.errors import AuricleError, DataError, ReadingNote, UnreadableError
from auricle.io import read
from auricle.measure.recording import measure_recording
from auricle.methods import SHIPPED_WEIGHTS, load_card
from auricle.paediatrics.findings import assess
from auricle.predict import Predictor
from auricle.prediction import Prediction
from auricle.recording import Recording
from auricle.tasks import PARTS, load_task

SETS = ("zzu-pecg", "csn-more", "csn", "challenge-more", "challenge-2021", "cinc-2025", "ptb-xl-more", "ptb-xl")
WITHOUT_CHILDREN = ("csn",)
PARAMETERS = {"heart_rate": "rate", "qrs": "QRS", "qtc_bazett": "QTc", "qrs_axis": "axis"}
TOLD = 0.2
ARROWS = {"low": "↓", "high": "↑"}


def recordings(folder: Path) -> Iterator[tuple[Recording, int | None]]:
    """The recordings of a set with the fold of each, None where a set has no folds; what cannot be read is left out."""
    if (folder / "ptbxl_database.csv").exists():  # whose headers know no age
        source = get_source("ptb_xl", rate_hz=100)
        for row in source.index(folder).to_dict("records"):
            yield source.read(folder, row), int(row["strat_fold"])
        return
    for header in sorted(folder.rglob("*.hea")):
        try:
            yield read(header), None
        except AuricleError:
            continue


def children(data: Path) -> Iterator[tuple[str, Recording, int | None]]:
    """The recordings of children, with the set they are of and their fold.

    Raises:
        DataError: a set in which there is no child, so that it was left out or its ages were not read.
    """
    for name in SETS:
        found = 0
        for recording, fold in recordings(data / name):
            if recording.age is not None and recording.age.best_days < ADULT_DAYS:
                found += 1
                yield name, recording, fold
        if not found and name not in WITHOUT_CHILDREN:
            raise DataError(f"{data / name}: no child was found there: is the folder whole?")


def learned_from(weights: str) -> Callable[[str, int | None], bool]:
    """Whether weights learned from a record, by its name and fold: of PTB-XL, or of Chapman-Shaoxing-Ningbo, whose
    records (JS) lie in several folders."""
    parts = load_card(weights)[0]["about"].get("parts", ())
    folds = {fold for part in parts if part["source"] == "ptb_xl" for fold in part["split"]["train"]}
    shares = [[float(part["split"][name]) for name in PARTS] for part in parts if part["source"] == "csn"]

    def was_seen(record: str, fold: int | None) -> bool:
        if fold is not None:
            return fold in folds
        return record.startswith("JS") and any(hashed_parts([f"record:{record}"], own)[0] == 0 for own in shares)

    return was_seen


def statements(data: Path) -> dict[str, str]:
    """What was written of the children of ZZU-pECG: the group, the statements of the cart, the diseases."""
    with (data / "zzu-pecg" / "metadata.csv").open(encoding="utf-8") as file:
        return {row["record"]: f"{row['statements'] or row['aha']} ({row['icd10']})" for row in csv.DictReader(file)}


def names_of_codes() -> dict[str, str]:
    """Class by code, of the classes that the weights know."""
    return {code: entry.name for entry in reversed(load_task("ecg/findings").classes) for code in entry.codes}


def measured(recording: Recording) -> str:
    """Rate, QRS, QTc and axis, with an arrow where they are outside of the limits of the age."""
    assert recording.age is not None
    found = measure_recording(recording)
    rows = {row.parameter: row for row in assess(found, recording.age, recording.sex).rows}
    told = []
    for name, short in PARAMETERS.items():
        value = found.values[name].value
        row = rows.get(name)
        arrow = ARROWS.get(row.position, "") if row is not None and not row.refused else ""
        told.append(f"{short} {value:.0f}{arrow}" if value is not None and math.isfinite(value) else f"{short} ?")
    return ", ".join(told)


def answered(prediction: Prediction) -> str:
    """The likely classes, NORM in any case, and in brackets their scores without the age; bold where told "yes"."""
    without = prediction.scores_without_age or {}
    shown = [name for name, score in prediction.scores.items() if score >= TOLD or name == "NORM"]
    shown.sort(key=lambda name: -prediction.scores[name])
    told = []
    for name in shown:
        said = f"{name} {prediction.scores[name]:.2f} ({without.get(name, float('nan')):.2f})"
        answer = prediction.sets.get(name)
        told.append(f"**{said}**" if answer == "yes" else f"{said} no" if answer == "no" else said)
    return ", ".join(told)


def main(weights: str, data: Path) -> None:
    torch.set_num_threads(1)
    predictor, codes, said = Predictor.from_pretrained(weights), names_of_codes(), statements(data)
    was_seen = learned_from(weights)
    print("| recording | age | written | measured | answered (without the age) |")
    print("| --- | ---: | --- | --- | --- |")
    for name, recording, fold in children(data):
        assert recording.age is not None
        labels = ", ".join(dict.fromkeys(codes.get(label, label) for label in recording.labels))
        written = said.get(recording.record_id, labels) or "–"
        try:
            answer = answered(predictor([recording], other_ages_days=())[0])
        except UnreadableError as error:
            answer = f"no answer: {str(error).split('no answer: ')[-1]}"
        age = describe(recording.age.best_days)
        star = "*" if was_seen(recording.record_id, fold) else ""
        print(f"| {name}/{recording.record_id}{star} | {age} | {written} | {measured(recording)} | {answer} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=str(SHIPPED_WEIGHTS))
    given = parser.parse_args()
    warnings.simplefilter("ignore", ReadingNote)
    main(given.weights, Path(os.environ["AURICLE_REAL_DATA"]))
