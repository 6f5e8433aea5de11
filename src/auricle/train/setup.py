"""From a run's configuration to what the loop needs: the method, ready to train, and its batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.config import dump, read_toml, validate, with_overrides
from auricle.data.corpus import Corpus
from auricle.data.loader import Batches, Steps, View
from auricle.data.splits import share_of_newborns, share_of_patients
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.leads import canonical
from auricle.methods import (
    METHODS,
    Method,
    ReadsEmbeddings,
    ReadsTokens,
    build_method,
    check_store,
    init_encoder_from,
    init_from,
    load_card,
)
from auricle.registry import merge
from auricle.signal.preprocess import InputSpec
from auricle.tasks import Task
from auricle.tasks.answers import check_answers, count_answers
from auricle.train.config import RunConfig, read_recipe
from auricle.train.mixing import TEXT_NEEDS, mix

_NO_EFFECT = {"train.checkpoint_every", "train.keep_last", "train.log_every", "train.workers"}


def run_values(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    train: Mapping[str, Any],
    config: str | Path | None = None,
    settings: Iterable[str] = (),
) -> dict[str, Any]:
    """A run's configuration: the file, then the options that were given, then the settings.

    Args:
        model, data, train: options by the names of `RunConfig`; None stands for not given.
        config: a recipe by name, or a TOML file, laid under them; a method it names goes before the one of `model`.
        settings: dotted assignments laid over all, such as `train.precision=bf16-mixed`.

    Raises:
        ConfigError: no such recipe or file, a setting is not of the form key=value, or steps and epochs are both given.
    """
    under: dict[str, Any] = {"model": {"name": model.get("name")}}
    from_file = read_recipe(config) if config else {}
    options = {"model": _given(model), "data": _given(data), "train": _given(train)}
    if {"steps", "epochs"} <= options["train"].keys():
        raise ConfigError("a run counts in steps or in epochs: give one of the two")
    if "steps" in options["train"]:  # what is typed goes before what a file says
        from_file.get("train", {}).pop("epochs", None)
    if "name" in from_file.get("model", {}):
        options["model"].pop("name", None)
    return with_overrides(merge(merge(under, from_file), options), settings)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items() if value is not None}


def finetune_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what `init_from` reads, and its encoder, under a fine-tuning configuration: they must be the donor's."""
    donor, _ = load_card(values["init_from"])
    return {**values, "model": as_donor(donor["config"], values.get("model", {}))}


def as_donor(donor: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method that goes on from another's encoder, reads what it reads, and may read fewer of its leads.

    Args:
        donor: settings of the other method, whole.
        model: settings of this one.

    Raises:
        ConfigError: leads that the other's encoder does not know.
    """
    kept = {key: donor[key] for key in ("input", "encoder", "labs") if key in donor}
    leads = model.get("input", {}).get("leads")
    if leads is not None and "input" in kept:
        read = validate(InputSpec, kept["input"], "input").narrowed([canonical(lead) for lead in leads])
        rest = {key: value for key, value in model["input"].items() if key != "leads"}
        model = {**model, "input": merge({"only": list(read.only)}, rest)}
    return merge({"name": "supervised", **kept}, model)


def with_classes(config: RunConfig, task: Task | None) -> RunConfig:
    """Tell a method that classifies which classes its task has.

    Raises:
        ConfigError: the method needs targets and there is no task.
    """
    if "target" not in METHODS.get(config.model.name).cls.needs:
        return config
    if task is None:
        raise ConfigError(f"{config.model.name} needs labels: give a task, for example data.task=ptb_xl/super")
    return config.with_model(classes=task.class_names, task=task.id)


def training_rows(store: Store, config: RunConfig, task: Task | None) -> NDArray[np.int64]:
    """Row numbers the run trains on."""
    if task is None:
        rows = np.arange(len(store))
    elif "target" in METHODS.get(config.model.name).cls.needs:
        part = config.data.part
        rows = task.annotated_parts(store, (part,))[part]  # what is not annotated teaches no class
    else:
        rows = task.parts(store)[config.data.part]
    if config.data.label_share < 1:
        rows = rows[share_of_patients(store.patients[rows], config.data.label_share, config.train.seed)]
    if config.data.newborn_share is not None:
        ages = store.columns.age_days[rows]
        rows = rows[share_of_newborns(ages, config.data.newborn_share, config.train.seed)]
    return rows


def build(config: RunConfig) -> tuple[RunConfig, Method, Batches]:
    """The completed configuration, the method ready for its first step, and its batches by step number."""
    config = with_classes(config, config.data.load_task())
    torch.manual_seed(config.train.seed)
    method = build_method(config.model)
    if config.init_heads and not config.init_from:
        raise ConfigError("init_heads takes the heads of saved weights: name them with init_from=RUN")
    if config.init_from and config.init_heads:
        init_from(method, config.init_from)
    elif config.init_from:
        init_encoder_from(method, config.init_from)
    if method.encoder.is_fixed:
        warnings.warn(
            "the encoder is a finished graph, which cannot be trained: the head and the gates behind it learn alone",
            stacklevel=2,
        )
    steps: Batches
    if config.data.parts:
        config, steps = mix(config, method, text_side(method))
    else:
        view = _view(config, method)
        config = _with_steps(config, len(view.rows))
        shuffle = config.train.shuffle.wanted_by(method.same_patient)
        steps = Steps(view, config.train.batch_size, config.train.seed, shuffle)
    method.prepare(steps.seen)
    return config, method, steps


def _with_steps(config: RunConfig, n_records: int) -> RunConfig:
    """The run with as many steps as its epochs are; as it is where it counts in steps."""
    train = config.train
    if train.epochs is None:
        return config
    at_once = train.batch_size * train.accumulate * train.devices * train.nodes
    steps = max(1, math.ceil(train.epochs * n_records / at_once))
    return config.model_copy(update={"train": train.model_copy(update={"steps": steps})})


def _view(config: RunConfig, method: Method) -> View:
    """The training records of a store as a method wants to see them."""
    assert config.data.store is not None
    store, task = Store(config.data.store), config.data.load_task()
    rows, corpus = training_rows(store, config, task), None
    if method.needs & TEXT_NEEDS:
        if not method.report_optional:
            reported = store.column("report_id")[rows] >= 0
            if not reported.all():  # there is nothing to align the others with
                told = f"{int((~reported).sum())} of {len(rows)} training records have no report"
                warnings.warn(f"{told}: {method.name} learns nothing from them", stacklevel=2)
            rows = rows[reported]
        corpus = Corpus.from_store(store, rows, *text_side(method))
    if method.picture_size is None:
        rows = rows[store.column("n_samples")[rows] > 0]  # a picture alone teaches nothing to who reads signals
    check_store(method, store, lambda: rows)
    targets = None
    if task and "target" in method.needs:
        targets = task.store_targets(store)
        check_answers(task, store, count_answers(task, targets[rows]))
    return View(store, rows, method.config.input, corpus, targets, method.config.labs)


def text_side(method: Method) -> tuple[str, frozenset[str], int]:
    """The tower that embeds the reports for a method, what it needs, and the size of its vocabulary.

    Raises:
        ConfigError: the method needs what it does not say how to make.
    """
    tower, size = "", 0
    if "embedding" in method.needs:
        if not isinstance(method, ReadsEmbeddings):
            raise ConfigError(
                f"{method.name} needs embedded reports and has no `text_tower` that names who embeds them"
            )
        tower = method.text_tower
    if "tokens" in method.needs:
        if not isinstance(method, ReadsTokens):
            raise ConfigError(f"{method.name} needs reports as tokens and has no `vocabulary_size`")
        size = method.vocabulary_size
    return tower, method.needs, size


def load_run(folder: Path) -> RunConfig:
    """The configuration a run folder was made with."""
    return validate(RunConfig, read_toml(folder / "run.toml"), str(folder / "run.toml"))


def same_run(one: RunConfig, other: RunConfig) -> list[str]:
    """Dotted keys in which two configurations differ, those aside that cannot change what is learned."""
    first, second = _flat(dump(one)), _flat(dump(other))
    # Whoever counts in epochs learns the number of steps from the store.
    counted = {"train.steps"} if "train.epochs" in first.keys() & second.keys() else set()
    keys = sorted((first.keys() | second.keys()) - counted)
    return [key for key in keys if first.get(key) != second.get(key) and key not in _NO_EFFECT]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
