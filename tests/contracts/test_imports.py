"""The order of the house: a package imports from packages left of it and never the other way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

import auricle
from auricle.methods import SHIPPED_WEIGHTS

ROOT = Path(auricle.__file__).parent
ORDER = [
    "errors", "disclaimer", "origin", "progress", "pool", "executors", "atomic", "tables", "moments", "numerals", "age",
    "birth", "age_axis", "leads", "labs", "amplitude", "gaps", "einthoven", "recording", "processes", "tracing",
    "safe_weights", "batch", "registry", "config", "signal", "io", "measure", "paediatrics", "simulate",
    "text", "image", "data", "tasks", "doctor", "pages", "deidentify", "convert", "fhir", "dicom_sr",
    "over_age", "nn", "augment", "losses", "encoders", "methods", "train", "scope", "evaluate", "explain", "caveats",
    "shown_in", "prediction", "about", "predict", "export", "audit", "study", "serve", "cli", "__main__",
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


def imported_files(path: Path, names: Mapping[str, Path]) -> set[str]:
    """What a file imports of the house, by dotted name; inside functions and under TYPE_CHECKING as anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: name the module that is imported from, so that this test can see it"
            assert not node.level, f"{path}: a relative import hides from this test"
            # A name may be a file of its own, or something inside the module it is imported from.
            longer = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in longer}
    return found & names.keys()


def test_no_file_imports_itself_by_way_of_others() -> None:
    paths = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    names = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: imported_files(path, names) - {name} for name, path in names.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"files import each other in a circle: {' <- '.join(error.args[1])}")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_prediction_needs_no_training_library() -> None:
    loaded = loaded_after("import auricle.predict, auricle.io")
    assert not loaded & {"lightning", "transformers", "pandas", "pyarrow", "sklearn", "matplotlib"}


def test_measuring_needs_neither_models_nor_tables_nor_figures() -> None:
    """A file is measured in a second or two; each of these takes that long to import."""
    needed = "auricle.measure.recording, auricle.io, auricle.paediatrics.findings, auricle.paediatrics.report"
    loaded = loaded_after(f"import {needed}, auricle.pages.measure, auricle.cli")
    assert not loaded & {"torch", "lightning", "transformers", "pandas", "pyarrow", "sklearn", "matplotlib"}


def test_finding_beats_loads_the_detector_and_not_the_rest_of_its_package() -> None:
    used = "from auricle.signal.detector import detector\ndetector()"
    assert not loaded_after(used) & {"requests", "yaml", "tqdm", "sleepecg"}
    # Whoever wants the package has all of it, before and after.
    whole = "import sleepecg\nassert sleepecg.detect_heartbeats and sleepecg.heartbeats.detect_heartbeats"
    assert "requests" in loaded_after(f"{used}\n{whole}")
    same = "assert detector() is sleepecg.detect_heartbeats"
    assert "requests" in loaded_after(f"{whole}\n{used}\n{same}")


def test_importing_auricle_costs_nothing() -> None:
    assert "torch" not in loaded_after("import auricle")


def test_every_public_name_can_be_called_after_every_room_was_imported(tmp_path: Path) -> None:
    """An imported room hides a function of its name, so nothing public may be called like one."""
    for module in walk_packages(auricle.__path__, "auricle."):
        import_module(module.name)
    hidden = [name for name in auricle.__all__ if isinstance(getattr(auricle, name), ModuleType)]
    assert not hidden
    nowhere = tmp_path / "nowhere"
    values = auricle.measure_recording(next(auricle.cohort(1, rate_hz=250, seconds=5).recordings())).values
    assert values["heart_rate"].measurable
    assert auricle.Age(3).days == 3
    assert auricle.InputSpec().n_samples == 5000
    assert auricle.create_method("lisa", "tiny").name in auricle.list_methods()
    assert auricle.Predictor.from_pretrained().method.config == auricle.load_method(SHIPPED_WEIGHTS).config
    refused = {
        "read": lambda: auricle.read(nowhere),
        "ingest": lambda: auricle.ingest("manifest", nowhere, tmp_path / "store"),
        "pretrain": lambda: auricle.pretrain(nowhere, tmp_path / "run"),
        "finetune": lambda: auricle.finetune(nowhere, tmp_path / "run", task="simulated/diagnosis"),
        "evaluate_run": lambda: auricle.evaluate_run(SHIPPED_WEIGHTS, nowhere, tmp_path / "results"),
    }
    for call in refused.values():
        with pytest.raises(auricle.AuricleError, match="nowhere"):
            call()
