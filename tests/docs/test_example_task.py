"""The task for a few PTB-XL records asks what `ptb_xl/super` asks, with other folds."""

from __future__ import annotations

from pathlib import Path

from auricle.config import read_toml
from auricle.tasks import load_task

FEW = Path(__file__).parents[2] / "examples" / "ptb_xl_few.toml"


def test_classes_are_those_of_the_task_that_comes_along_and_no_fold_is_in_two_parts() -> None:
    assert load_task(FEW).classes == load_task("ptb_xl/super").classes
    split = read_toml(FEW)["split"]
    folds = [fold for part in ("train", "validation", "test") for fold in split[part]]
    assert sorted(folds) == list(range(1, 11))
