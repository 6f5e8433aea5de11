"""A folder to try everything in: recordings of simulated people, a manifest, a task, and a table of normal values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from auricle.age import Age
from auricle.atomic import write_bytes
from auricle.errors import ConfigError
from auricle.io.wfdb_writer import write_wfdb
from auricle.measure.measurements import CAME_WITH
from auricle.recording import Recording
from auricle.simulate.cohort import cohort

# Healthy, each with an age in days and a seed of its own.
_PEOPLE: Final = {"newborn": (3.0, 9), "child": (1826.0, 7), "adult": (14610.0, 4)}
_RATE_HZ, _SECONDS = 250.0, 10.0
_COHORT_SECONDS: Final = 5.0
_COHORT_SEED, _NORMALS_SEED, _N_NORMALS = 1, 2, 600
_ASKED: Final = frozenset({"NORM", "RVH", "CRBBB"})
_MANIFEST, _TASK, _NORMALS, _FILES = "records.csv", "mine.toml", "normals.csv", "files"


def write_samples(folder: Path, n_cohort: int = 240) -> list[Path]:
    """Write the samples: the same ones every time.

    `newborn`, `child` and `adult` are WFDB recordings of healthy people. `records.csv` is a manifest of them and of
    further children in `files/`, some with right ventricular hypertrophy or a right bundle branch block; `mine.toml` is
    a task that asks for these, and `normals.csv` a table of normal people's measurements.

    Args:
        folder: made if needed.
        n_cohort: how many further children.

    Returns:
        What was written, without the recordings in `files/`.

    Raises:
        ConfigError: something of these names lies there, or the folder cannot be written to.
    """
    named = [*(f"{name}.hea" for name in _PEOPLE), _MANIFEST, _TASK, _NORMALS, _FILES]
    taken = [name for name in named if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder}: has {taken[0]} already; give a new folder")
    try:
        return _write(folder, n_cohort)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror})") from None


def _write(folder: Path, n_cohort: int) -> list[Path]:
    people = {name: _person(*who) for name, who in _PEOPLE.items()}
    headers = [write_wfdb(folder / name, one) for name, one in people.items()]
    rows = [_row(f"{name}.hea", name, one) for name, one in people.items()]
    children = cohort(
        n_cohort, _COHORT_SEED, ages="children", diagnoses={"RVH": 0.3, "CRBBB": 0.25}, rate_hz=_RATE_HZ,
        seconds=_COHORT_SECONDS, quality="clean",
    )  # fmt: skip
    for number, child in enumerate(children.recordings()):
        assert child.age is not None
        child = replace(child, age=Age(float(round(child.age.days))))  # as the manifest writes it
        header = write_wfdb(folder / _FILES / f"{number:04d}", child)
        rows.append(_row(f"{_FILES}/{header.name}", f"p{number:04d}", child))
    task = files("auricle.simulate").joinpath(_TASK).read_bytes()
    _write_csv(folder / _NORMALS, _normals())
    write_bytes(folder / _TASK, task)
    _write_csv(folder / _MANIFEST, [["file", "patient_id", "age", "sex", "report", "labels"], *rows])
    return [*headers, folder / _MANIFEST, folder / _TASK, folder / _NORMALS]


def _person(age_days: float, seed: int) -> Recording:
    who = cohort(1, seed, ages=[age_days], diagnoses={}, rate_hz=_RATE_HZ, seconds=_SECONDS, quality="clean")
    return next(who.recordings())


def _row(file: str, patient: str, person: Recording) -> list[str]:
    """A line of the manifest."""
    assert person.age is not None
    labels = ";".join(label for label in person.labels if label in _ASKED)
    return [file, patient, f"{person.age.days:.0f}d", person.sex or "", person.report or "", labels]


def _normals() -> list[list[str]]:
    """What was put into the ECGs of simulated healthy people, as a hospital's program would list it."""
    people = list(
        cohort(
            _N_NORMALS, _NORMALS_SEED, ages="children", diagnoses={}, rate_hz=_RATE_HZ, seconds=1.0, quality="clean"
        ).recordings()
    )
    names = list(people[0].measurements)
    rows = [["age_days", "sex", *(CAME_WITH.get(name, name.removesuffix("_mv")) for name in names)]]
    for one in people:
        assert one.age is not None
        values = [f"{one.measurements[name]:.4g}" if name in one.measurements else "" for name in names]
        rows.append([f"{one.age.days:.0f}", one.sex or "", *values])
    return rows


def _write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_bytes(path, text.getvalue().encode())
