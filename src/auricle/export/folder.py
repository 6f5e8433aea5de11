"""A folder to give away: the graph, what it needs to be asked rightly, its card, and the weights themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from auricle import __version__
from auricle.about import about_of, is_calibrated
from auricle.atomic import PARTIAL, write_bytes, write_json
from auricle.config import dump
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import ConfigError, require
from auricle.export.card import UNKNOWN_LICENCE, model_card
from auricle.export.graph import Graph
from auricle.export.onnx import OPSET, check, write_onnx
from auricle.methods import SHIPPED, SHIPPED_WEIGHTS, AlignsText, Classifies, Method, load_card, load_method
from auricle.nn.runtime import EXTRA
from auricle.predict import Predictor
from auricle.scope import FILE as SCOPE
from auricle.scope import Scope

FORMAT: Final = "auricle-onnx"
FORMAT_VERSION: Final = 1
GRAPH, CONFIG, PAGE = "model.onnx", "config.json", "README.md"
# What the folder may hold, and what each file is.
FILES: Final[Mapping[str, str]] = {
    GRAPH: "the graph, for onnxruntime",
    CONFIG: "its classes, leads, rate, inputs and outputs",
    PAGE: "this card",
    "auricle.json": "the card of the weights, for auricle",
    "model.safetensors": "the weights",
    SCOPE: "for what the weights can answer",
}
# The licence of weights that come along with auricle.
_SHIPPED_LICENCE: Final = "apache-2.0"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        folder: where it lies.
        n_bytes: size of the graph.
        differences: by output, the largest absolute difference between onnxruntime and PyTorch on simulated recordings.
    """

    folder: Path
    n_bytes: int
    differences: Mapping[str, float]


def export_onnx(
    where: Path | str = SHIPPED_WEIGHTS,
    folder: Path | str = "onnx",
    *,
    task: str | None = None,
    rate_hz: float | None = None,
    licence: str | None = None,
) -> Exported:
    """Write saved weights as a folder for onnxruntime, for the hub, and for `Predictor.from_pretrained`.

    The graph has all preprocessing inside and takes batches of any size. It is compared with PyTorch on simulated
    recordings before the folder appears, whole or not at all.

    Args:
        where: weights that come along by their name, a run folder, saved weights, or a name on the hub.
        folder: a new or an empty one, or one that this function made before, which is replaced.
        task: which of the stored prompt sets the graph asks, as in `Predictor`.
        rate_hz: of the signals that the graph takes; by default the rate of the weights.
        licence: of the weights, as the hub spells it (`cc-by-4.0`); by default that of auricle for weights that come
            along with it, and unknown for others.

    Raises:
        CheckpointError: no such weights; the graph cannot be made, or does not answer as they do.
        ConfigError: the folder holds something else, or `rate_hz` is no rate.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, EXTRA)
    folder = Path(folder)
    _check_place(folder)
    card, weights = load_card(where)
    method = load_method(weights)
    answers = _asked(method, card, weights, task)
    graph = Graph(method, answers, rate_hz)
    is_shipped = weights.resolve() in {path.resolve() for path in SHIPPED.values()}
    licence = licence or (_SHIPPED_LICENCE if is_shipped else UNKNOWN_LICENCE)
    name = next((name for name, path in SHIPPED.items() if path.resolve() == weights.resolve()), folder.resolve().name)
    made = folder.resolve().with_name(f".{folder.resolve().name}.{uuid4().hex}{PARTIAL}")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        write_onnx(graph, made / GRAPH)
        found = check(graph, made / GRAPH)
        copied = [file for file in FILES if (weights / file).exists() and file not in (GRAPH, CONFIG, PAGE)]
        for file in copied:
            write_bytes(made / file, (weights / file).read_bytes())
        files = {file: what for file, what in FILES.items() if file in (GRAPH, CONFIG, PAGE, *copied)}
        write_json(made / CONFIG, _config(card, graph, licence, found))
        write_bytes(made / PAGE, model_card(name, card, answers, graph, licence, files).encode())
        _put(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Exported(folder, (folder / GRAPH).stat().st_size, found)


def _asked(method: Method, card: Mapping[str, Any], weights: Path, task: str | None) -> Predictor | None:
    """What asks the weights; None where they answer no question, and none was named."""
    can_answer = isinstance(method, Classifies) or (isinstance(method, AlignsText) and method.prompt_sets)
    if not can_answer and task is None:
        return None
    return Predictor(method, about_of(card), task, Scope.load(weights, method.encoder.width, is_calibrated(card)))


def _config(card: Mapping[str, Any], graph: Graph, licence: str, found: Mapping[str, float]) -> dict[str, Any]:
    """What a program must know to ask the graph."""
    spec, answers = graph.spec, graph.answers
    asked = (
        {}
        if answers is None
        else {
            "kind": answers.kind,
            "task": answers.task,
            "classes": list(answers.classes),
            "one_of_all": graph.is_one_of_all,
        }
    )
    titles = {} if answers is None else answers.titles()
    sets = None if answers is None or answers.sets is None else dump(answers.sets)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "use": RESEARCH_USE,
        "licence": licence,
        "auricle": __version__,
        "method": card["method"],
        "encoder": graph.method.encoder.config.name,
        "opset": OPSET,
        **(asked or {"kind": "embedding"}),
        "titles": titles,
        "sets": sets,
        "leads": list(spec.leads),
        "groups": list(graph.method.encoder.group_names),
        "rate_hz": graph.rate_hz,
        "seconds": spec.seconds,
        "n_samples": graph.n_samples,
        "read_at_hz": spec.rate_hz,
        "band_hz": list(spec.band_hz),
        "scale": spec.scale,
        "clip_mv": spec.clip_mv,
        "unknown": "NaN: an age, a sex, a laboratory value, a sample; an age of 0 is a newborn's",
        "inputs": [asdict(port) for port in graph.inputs],
        "outputs": [asdict(port) for port in graph.outputs],
        "largest_difference_from_torch": dict(found),
    }


def _check_place(folder: Path) -> None:
    """Refuse a place that holds something else.

    Raises:
        ConfigError: a file, or a folder with anything in it that an export did not write.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    if not folder.exists():
        return
    held = sorted(entry.name for entry in folder.iterdir())
    others = [name for name in held if name not in FILES]
    if held and (others or not _is_export(folder)):
        raise ConfigError(
            f"{folder}: holds {(others or held)[0]}, which no export wrote; name a new or an empty folder"
        )


def _is_export(folder: Path) -> bool:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT


def _put(made: Path, folder: Path) -> None:
    """Give a finished folder its place, in which there may be nothing, an empty folder or an earlier export."""
    _check_place(folder)  # again: making it took a while
    if not folder.exists() or not any(folder.iterdir()):
        made.replace(folder)
        return
    earlier = made.with_name(f"{made.name}.earlier{PARTIAL}")
    folder.replace(earlier)
    made.replace(folder)
    for file in FILES:
        (earlier / file).unlink(missing_ok=True)
    earlier.rmdir()
