"""From the parts of a mixture, as a run names them, to its batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.data.loader import Steps, View
from auricle.data.mixture import Mixture, Sample, StreamSteps
from auricle.data.reading import Reading
from auricle.data.store import Store
from auricle.data.stream import Stream, numbers_of
from auricle.errors import ConfigError, UnknownNameError
from auricle.methods import Method
from auricle.progress import stage
from auricle.tasks import Task, load_task
from auricle.train.config import PartConfig, RunConfig

# What a method may need of reports.
TEXT_NEEDS: Final = frozenset({"embedding", "findings", "tokens"})
# Records of each stream from which methods are prepared, and what reports say is learned.
_SAMPLED: Final = 1024
_SIMULATED: Final = "simulated"


def mix(config: RunConfig, method: Method, text: tuple[str, frozenset[str], int]) -> tuple[RunConfig, Mixture]:
    """The batches of a mixture, and the run with what its streams are known again by.

    Args:
        config: a run with `data.parts`.
        method: what they are for.
        text: tower, needs and size of the vocabulary, as `Reading.fit` takes them.

    Raises:
        ConfigError: stores of several rates, a batch of fewer records than parts, a method that aligns with reports
            and no stream, or a stream that is not what it was.
        DataError: a store cannot be used.
    """
    parts = {name: _probed(part) for name, part in config.data.parts.items()}
    config = config.model_copy(update={"data": config.data.model_copy(update={"parts": parts})})
    task = config.data.load_task() if "target" in method.needs else None
    spec, seed = method.config.input, config.train.seed
    stores = {name: Store(part.store) for name, part in parts.items() if part.store is not None}
    streams = {name: part.stream for name, part in parts.items() if part.stream is not None}
    rate_hz = _one_rate(stores) or spec.rate_hz
    if method.same_patient and not stores:
        warnings.warn(
            f"{method.name} compares recordings of one person, and everybody whom a stream makes has one: what is "
            "compared are parts of one recording alone",
            stacklevel=2,
        )
    with stage("a sample of what is made"):
        reading, sample = _sampled({name: parts[name] for name in streams}, method, text, task)
    sizes = shared_out(config.train.batch_size, {name: part.share for name, part in parts.items()})
    steps: list[StreamSteps | Steps] = []
    facts, known = [], [] if sample.targets is None else [sample.targets]
    times = [np.full(_SAMPLED, sizes[name] / _SAMPLED) for name in streams] if known else []
    for name, part in parts.items():
        if part.stream is not None:
            answers = partial(_answers, task, part.open) if task else None
            stream = Stream(part.stream, spec.leads, rate_hz, spec.seconds, reading, answers)
            steps.append(StreamSteps(stream, sizes[name], sample))
            about: dict[str, Any] = {"source": _SIMULATED, "n_records": None, "settings": part.stream.model_dump()}
        else:
            view = _part_of(stores[name], part, method, task)
            steps.append(Steps(view, sizes[name], seed, config.train.shuffle.wanted_by(method.same_patient)))
            if view.targets is not None:
                known.append(view.targets[view.rows])
                times.append(np.full(len(view.rows), sizes[name] / len(view.rows)))
            about = _facts(stores[name], part, len(view.rows))
        facts.append({"name": name, "records_a_step": sizes[name], "open": list(part.open), **about})
    targets = np.concatenate(known) if known else None
    rows, met = np.arange(0 if targets is None else len(targets)), np.concatenate([*times, []]).astype(np.float32)
    whole = Sample(rows, sample.corpus, targets, sample.numbers, met if known else None)
    return config, Mixture(steps, whole, facts, reading)


def shared_out(batch_size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of a batch's records each part has: by its share, rounded so that they add up, at least one.

    Raises:
        ConfigError: the batch has fewer records than there are parts.
    """
    if batch_size < len(shares):
        raise ConfigError(f"a batch of {batch_size} cannot hold {len(shares)} parts: raise train.batch_size")
    total = sum(shares.values())
    exact = {name: batch_size * share / total for name, share in shares.items()}
    sizes = {name: max(1, int(size)) for name, size in exact.items()}
    while sum(sizes.values()) != batch_size:  # the one that is farthest from its share gives or takes one
        step = 1 if sum(sizes.values()) < batch_size else -1
        movable = [name for name in sizes if step > 0 or sizes[name] > 1]
        sizes[max(movable, key=lambda name: step * (exact[name] - sizes[name]))] += step
    return sizes


def facts_of_mixture(parts: Sequence[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """What to keep with weights that learned from a mixture for some steps of all processes."""
    told = [
        {**part, "n_records": part["records_a_step"] * steps if part["n_records"] is None else part["n_records"]}
        for part in parts
    ]
    sources = dict.fromkeys(part["source"] for part in told)
    return {"source": " + ".join(sources), "n_records": sum(part["n_records"] for part in told), "parts": told}


def _probed(part: PartConfig) -> PartConfig:
    return part if part.stream is None else part.model_copy(update={"stream": part.stream.probed()})


def _one_rate(stores: Mapping[str, Store]) -> float | None:
    """The rate of all stores, None without any; streams are made at it."""
    rates = {name: store.rate_hz for name, store in stores.items()}
    if len(set(rates.values())) > 1:
        told = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
        raise ConfigError(f"the stores of a mixture have several rates (Hz: {told}): ingest them with one --rate-hz")
    return next(iter(rates.values()), None)


def _sampled(
    parts: Mapping[str, PartConfig], method: Method, text: tuple[str, frozenset[str], int], task: Task | None
) -> tuple[Reading | None, Sample]:
    """The reader of the reports, and some records of each stream."""
    streams = [(part, part.stream) for part in parts.values() if part.stream is not None]
    seconds = method.config.input.seconds
    made = [stream.make(0, _SAMPLED, rate_hz=20.0, seconds=seconds) for _, stream in streams]
    pairs = zip(streams, made, strict=True)
    answers = [_answers(task, part.open, one.labels) for (part, _), one in pairs] if task else []
    targets = np.concatenate(answers) if answers else None
    rows = np.arange(sum(len(one.labels) for one in made))
    numbers = np.concatenate([numbers_of(one) for one in made]) if made else None
    if not method.needs & TEXT_NEEDS:
        return None, Sample(rows, None, targets, numbers)
    if not made:
        raise ConfigError(f"{method.name} aligns with reports: the mixture needs a stream, stores come without them")
    reading, corpus = Reading.fit([report for one in made for report in one.report], *text)
    return reading, Sample(rows, corpus, targets, numbers)


def _answers(task: Task, left_open: Sequence[str], labels: Iterable[Sequence[str]]) -> NDArray[np.float32]:
    """(record, class) of simulated records, NaN for the classes that are left open."""
    targets = task.targets(labels)
    targets[:, _columns(task, left_open)] = np.nan
    return targets


def _columns(task: Task, names: Sequence[str]) -> list[int]:
    """The columns of some classes.

    Raises:
        UnknownNameError: the task has no such class.
    """
    for name in names:
        if name not in task.class_names:
            raise UnknownNameError(f"class of {task.id}", name, task.class_names)
    return [task.class_names.index(name) for name in names]


def _part_of(store: Store, part: PartConfig, method: Method, task: Task | None) -> View:
    """The recordings of a store that a mixture sees."""
    split = load_task(part.split) if part.split else None
    rows: NDArray[np.int64] = np.arange(len(store)) if split is None else split.parts(store)[part.part]
    rows = rows[store.column("n_samples")[rows] > 0]
    targets = None
    if task is not None and part.labels:
        targets = task.store_targets(store)
        # A vocabulary in which nobody of this store was given a class says nothing of it.
        targets[:, ~(targets[rows] == 1).any(0)] = np.nan
        targets[:, _columns(task, part.open)] = np.nan
    return View(store, rows, method.config.input, targets=targets)


def _facts(store: Store, part: PartConfig, n: int) -> dict[str, Any]:
    split = load_task(part.split) if part.split else None
    said = {
        "source": store.info["source"],
        "others_left_out": bool(store.info["options"].get("leave_out")),
        "labels": part.labels,
        "n_records": n,
    }
    if split is None:
        return {**said, "task": None, "part": None}
    return {**said, "task": split.id, "part": part.part, "split": split.split_facts()}
