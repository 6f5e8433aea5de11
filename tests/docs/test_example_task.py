"""Example tasks ask what the tasks that come along ask, with parts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.config import read_toml
from auricle.errors import ConfigError
from auricle.tasks import load_task

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = EXAMPLES / "ptb_xl_few.toml"
RHYTHM = EXAMPLES / "tasks" / "elsewhere_rhythm.toml"


def test_classes_are_those_of_the_task_that_comes_along_and_no_fold_is_in_two_parts() -> None:
    assert load_task(FEW).classes == load_task("ptb_xl/super").classes
    split = read_toml(FEW)["split"]
    folds = [fold for part in ("train", "validation", "test") for fold in split[part]]
    assert sorted(folds) == list(range(1, 11))


def test_some_classes_of_another_task_keep_what_they_mean_there() -> None:
    whole = {entry.name: entry for entry in load_task("ecg/findings").classes}
    asked = load_task(RHYTHM)
    assert asked.class_names == ("SR", "STACH", "SBRAD", "AFIB", "PAC", "PVC")
    assert all(entry == whole[entry.name] for entry in asked.classes)


def test_a_class_that_the_other_task_does_not_have_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(RHYTHM.read_text(encoding="utf-8").replace('"SR"', '"SINUS"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own\.toml: only: ecg/findings has no class SINUS"):
        load_task(own)
