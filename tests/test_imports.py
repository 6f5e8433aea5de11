"""The order of the house: a package imports from packages left of it and never the other way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import auricle

ROOT = Path(auricle.__file__).parent
ORDER = [
    "errors", "atomic", "age", "leads", "labs", "recording", "processes", "batch", "registry", "config",
    "signal", "io", "measure", "paediatrics", "simulate",
    "text", "image", "data", "tasks", "doctor", "pages",
    "nn", "augment", "losses", "encoders", "methods", "train", "evaluate", "explain", "predict", "cli", "serve",
]  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("auricle"):
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names if alias.name in ORDER}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("auricle.")}
    return rooms


def test_every_room_has_its_place() -> None:
    assert {room(path) for path in ROOT.rglob("*.py")} - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    own = room(path)
    if own == "__init__":
        return
    later = {name for name in imported_rooms(path) if ORDER.index(name) > ORDER.index(own)}
    assert not later, f"{own} imports from the right: {later}"


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_prediction_needs_no_training_library() -> None:
    loaded = loaded_after("import auricle.predict, auricle.io")
    assert not loaded & {"lightning", "transformers", "pandas", "pyarrow", "sklearn", "matplotlib"}


def test_importing_auricle_costs_nothing() -> None:
    assert "torch" not in loaded_after("import auricle")


def test_all_public_names_exist() -> None:
    for name in auricle.__all__:
        assert getattr(auricle, name) is not None
