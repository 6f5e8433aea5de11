"""What can be audited: weights of auricle, a graph that `auricle export` wrote, or any function of a recording."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from scipy.special import expit, softmax

from auricle.config import validate
from auricle.data.collate import windows_of
from auricle.data.shard import at_rate
from auricle.errors import ConfigError, DataError
from auricle.export.folder import CONFIG, FORMAT, GRAPH
from auricle.export.graph import tensors_of
from auricle.nn.runtime import session
from auricle.over_age import AnswerSets
from auricle.predict import BATCH, Predictor
from auricle.recording import Recording
from auricle.signal.preprocess import InputSpec

Scores = Mapping[str, float]
"""By class, larger means more likely."""
_PROBABILITY: Final = "probability"


class Model(Protocol):
    """Something that gives scores by class.

    Attributes:
        name: as it is told on a page.
        task: the task whose classes it answers; empty where it does not say.
        is_probability: whether its scores are probabilities.
        digest: changes with what it answers, as far as that can be told.
        sources: data sets it was trained on, as far as it says.
        sets: of answers that stand beside its scores; None where it has none, or they are not known.
        classes: that it answers; empty where it does not say.
    """

    name: str
    task: str
    is_probability: bool
    digest: str
    sources: tuple[str, ...]
    sets: AnswerSets | None
    classes: Sequence[str]

    def scores(self, recordings: Sequence[Recording]) -> list[Scores | str]:
        """The scores of each recording, or the line that says why there are none."""
        ...


def model_of(asked: str) -> Model:
    """The model of a command line.

    Args:
        asked: weights that come along by their name, a run folder or saved weights; a folder that `auricle export`
            wrote, or its `model.onnx`; or `module:function`, a Python function that takes a `Recording` and gives its
            scores by class.

    Raises:
        ConfigError, CheckpointError: there is no such model.
    """
    place = Path(asked)
    if place.suffix == ".onnx":
        return Onnx(place)
    if (place / GRAPH).is_file():
        return Onnx(place / GRAPH)
    module, _, function = asked.partition(":")
    if function and not place.exists():
        return Function(module, function)
    return Weights(asked)


class Weights:
    """Weights of auricle.

    Args:
        where: as `Predictor.from_pretrained` takes them.

    Raises:
        CheckpointError: nothing there, weights of another version, or weights that answer no question.
    """

    def __init__(self, where: str) -> None:
        self.predictor = Predictor.from_pretrained(where)
        self.name = Path(where).name
        self.task = str(self.predictor.about.get("about", {}).get("task") or self.predictor.task)
        self.is_probability = self.predictor.kind == _PROBABILITY
        self.digest = self.predictor.digest
        self.sets = self.predictor.sets
        self.classes: Sequence[str] = self.predictor.classes
        self.sources = _sources(self.predictor.about.get("about", {}))

    def scores(self, recordings: Sequence[Recording]) -> list[Scores | str]:
        """The scores of each recording, or the line that says why there are none."""
        found: list[Scores | str] = []
        for first in range(0, len(recordings), BATCH):
            some = recordings[first : first + BATCH]
            try:
                found += [one.scores for one in self.predictor(some, ())]
            except DataError:  # of one of them: alone each says its own
                found += [self._alone(one) for one in some]
        return found

    def _alone(self, recording: Recording) -> Scores | str:
        try:
            return self.predictor(recording, ()).scores
        except DataError as error:
            return str(error)


class Onnx:
    """A graph of `auricle export`, asked through onnxruntime. It refuses nothing: that is in the weights beside it.

    Args:
        path: the graph; its `config.json` lies beside it.

    Raises:
        ConfigError: no graph of `auricle export`, or one that answers no question.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        config = _config_beside(path)
        self._path = path
        self.name, self.task = path.resolve().parent.name, str(config["task"])
        self.classes: Sequence[str] = config["classes"]
        self.is_probability = config["kind"] == _PROBABILITY
        self._is_one_of_all = bool(config.get("one_of_all", False))
        self.digest = hashlib.sha256(path.read_bytes() + path.with_name(CONFIG).read_bytes()).hexdigest()
        self.sources: tuple[str, ...] = ()
        self.sets = validate(AnswerSets, config["sets"], str(path)) if config.get("sets") else None
        self._rate_hz = float(config["rate_hz"])
        # Windows are cut by it and nothing else: filters and scale are in the graph.
        self._spec = InputSpec(
            leads=tuple(config["leads"]),
            rate_hz=self._rate_hz,
            seconds=float(config["seconds"]),
            band_hz=(0.0, self._rate_hz / 2),
        )
        self._n_labs = next((one["shape"][1] for one in config["inputs"] if one["name"] == "labs"), 0)
        try:
            self._session = session(path)
        except Exception as error:  # onnxruntime raises classes of its own
            raise ConfigError(f"{path}: cannot be run ({str(error).splitlines()[0]})") from None
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._asked = "logits" if self.is_probability else "similarities"
        given = [one.name for one in self._session.get_outputs()]
        if self._asked not in given or not set(self._inputs) <= {one["name"] for one in config["inputs"]}:
            raise ConfigError(f"{path}: takes {', '.join(self._inputs)} and gives {', '.join(given)}: not ours")

    def scores(self, recordings: Sequence[Recording]) -> list[Scores | str]:
        """The scores of each recording, or the line that says why there are none."""
        return [self._one(recording) for recording in recordings]

    def _one(self, recording: Recording) -> Scores | str:
        try:
            windows = windows_of(at_rate(recording, self._rate_hz), self._spec)
        except DataError as error:
            return str(error)
        held = tensors_of(windows, self._n_labs)
        try:
            given = self._session.run([self._asked], {name: held[name].numpy() for name in self._inputs})[0]
        except Exception as error:  # onnxruntime raises classes of its own
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"{self._path}: does not read what its {CONFIG} says ({why}): export it again") from None
        # Windows are pooled as logits and become one probability at the end.
        values = np.asarray(given, dtype=np.float64).mean(axis=0)
        if self.is_probability:
            values = softmax(values) if self._is_one_of_all else expit(values)
        return dict(zip(self.classes, map(float, values), strict=True))


class Function:
    """A Python function of a recording.

    Args:
        module, function: where it is; modules of the working folder are found.

    Raises:
        ConfigError: there is none.
    """

    def __init__(self, module: str, function: str) -> None:
        self.name, self.task = f"{module}:{function}", ""
        self.sources: tuple[str, ...] = ()
        self.sets: AnswerSets | None = None
        self.classes: Sequence[str] = ()
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found = import_module(module)
            self._ask: Callable[[Recording], Any] = getattr(found, function)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.name}: no such function ({error}); write module:function") from None
        self.is_probability = True
        file = getattr(found, "__file__", None)
        # What the function reads beside its own file cannot be told.
        self.digest = hashlib.sha256(self.name.encode() + (Path(file).read_bytes() if file else b"")).hexdigest()

    def scores(self, recordings: Sequence[Recording]) -> list[Scores | str]:
        """The scores of each recording, or the line that says why there are none."""
        return [self._one(recording) for recording in recordings]

    def _one(self, recording: Recording) -> Scores | str:
        try:
            given = self._ask(recording)
        except DataError as error:
            return str(error)
        except Exception as error:  # of somebody else's program; its text may be about a patient
            kind = type(error).__name__
            raise ConfigError(
                f"{self.name}: fails with {kind} at {recording.record_id}; raise DataError where there is no answer"
            ) from None
        if not isinstance(given, Mapping):
            raise ConfigError(f"{self.name}: gives {type(given).__name__} and not its scores by class, as a dict")
        try:
            scores = {str(name): float(value) for name, value in given.items()}
        except (TypeError, ValueError):
            raise ConfigError(f"{self.name}: gives a score that is no number") from None
        wrong = [name for name, value in scores.items() if not 0 <= value <= 1]
        if wrong:
            raise ConfigError(f"{self.name}: gives {scores[wrong[0]]:g} for {wrong[0]}: give probabilities, 0 to 1")
        return scores


def _config_beside(path: Path) -> Mapping[str, Any]:
    remedy = "audit takes what `auricle export` wrote; for another graph write a function of a recording (module:name)"
    try:
        config = json.loads(path.with_name(CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(f"{path}: no {CONFIG} of an export beside it: {remedy}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT or not path.is_file():
        raise ConfigError(f"{path}: is no export: {remedy}")
    if "classes" not in config:
        raise ConfigError(f"{path}: embeds and answers no question: export weights that were fine-tuned")
    return config


def _sources(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Data sets that weights, or those they were begun from, were trained on."""
    found: list[str] = []
    step: Mapping[str, Any] | None = about
    while step:
        found += str(step["source"]).split(" + ") if step.get("source") else []
        step = step.get("donor")
    return tuple(dict.fromkeys(found))
