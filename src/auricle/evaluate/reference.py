"""The reference rows of every table, which a method has to beat.

`class_prior` reads no ECG; `random_encoder` is the same architecture untrained (in arXiv 2602.17531 it matches
pre-trained encoders on many tasks); `rocket` is random convolutions and a linear classifier; `supervised` is a
ResNet18-1D trained from scratch on the task's own labels. `age_and_sex`, in tables that ask for it, knows of each
record only whose it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.age_axis import age_scale, known_ages
from auricle.config import validate
from auricle.data.store import Store
from auricle.errors import UnknownNameError
from auricle.evaluate.probe import fit_probe
from auricle.evaluate.protocols import (
    Setting,
    finetuned,
    linear_probe,
    predictions_of,
    probe_features,
    protocol_folder,
    save,
)
from auricle.evaluate.rocket import N_KERNELS, Rocket
from auricle.methods import Method, is_saved, load_method
from auricle.progress import stage
from auricle.train.config import RunConfig
from auricle.train.fit import fit
from auricle.train.watch import Watcher

ROWS: Final = ("class_prior", "random_encoder", "rocket", "supervised")
# Made where they are asked for by name, and in no table unasked.
MORE_ROWS: Final = ("age_and_sex",)
# Places on the scale of ages at which the row `age_and_sex` may bend.
_KNOTS_DAYS: Final = (0, 3, 10, 30, 90, 180, 365, 1096, 2922, 5844, 10958, 18263, 25568)
# Passes over the training part for the supervised row; more of them overfit the small sets it is used on.
SUPERVISED_EPOCHS: Final = 12
# What is said where there can be no row `random_encoder`.
NO_FRESH: Final = "random_encoder is left out: a finished graph cannot be drawn afresh"
_SUPERVISED_BATCH: Final = 32
_ROCKET_EXAMPLES: Final = 64


def reference_rows(
    setting: Setting,
    rows: Sequence[str],
    fractions: Iterable[float],
    seeds: Iterable[int],
    watcher: Watcher,
    *,
    n_kernels: int = N_KERNELS,
    epochs: int = SUPERVISED_EPOCHS,
) -> None:
    """Make the named rows beside a setting's own results.

    Args:
        setting: the method beside which the rows stand, the store and the task.
        rows: names among `ROWS` and `MORE_ROWS`.
        fractions: shares of the training patients, for rows that are probed.
        seeds: of the training subsets.
        watcher: told of the progress of the supervised row.
        n_kernels: of the row `rocket`, two features each.
        epochs: passes over the training part for the row `supervised`.

    Raises:
        UnknownNameError: no such row.
    """
    plain = replace(setting, pretrained_on=(), overlap=False, preset="", notes={})
    for row in rows:
        if row == "class_prior":
            class_prior(replace(plain, name=row))
        elif row == "age_and_sex":
            age_and_sex(replace(plain, name=row))
        elif row == "random_encoder" and setting.method.encoder.is_fixed:
            warnings.warn(NO_FRESH, stacklevel=2)
        elif row == "random_encoder":
            linear_probe(replace(plain, name=row, method=untrained(setting.method)), fractions, seeds)
        elif row == "rocket":
            rocket(replace(plain, name=row, preset=f"{n_kernels} kernels"), fractions, seeds, n_kernels)
        elif row == "supervised":
            supervised(replace(plain, name=row, preset="resnet1d nano"), watcher, epochs)
        else:
            raise UnknownNameError("reference row", row, (*ROWS, *MORE_ROWS))


def class_prior(setting: Setting) -> Path:
    """Every record gets the training part's class frequencies."""
    parts = setting.parts()
    truth = setting.targets(parts["train"])
    known = (~np.isnan(truth)).sum(axis=0)
    prior = np.where(known > 0, np.nansum(truth, axis=0) / np.maximum(known, 1), 0.5)
    meta = {"protocol": "linear_probe", "fraction": 1.0, "n_train": len(parts["train"])}
    scored = {
        part: predictions_of(setting, parts[part], np.tile(prior, (len(parts[part]), 1)), **meta)
        for part in ("test", "validation")
    }
    return save(setting, protocol_folder("linear_probe"), scored["test"], scored["validation"])


def age_and_sex(setting: Setting) -> Path:
    """A logistic regression on age and sex alone: what a question can be answered by without reading the ECG.

    Age enters as a line bent at some ages, for boys and girls apart; an unknown age or sex is a value of its own.
    """
    parts = setting.parts()
    features = {part: _age_and_sex(setting.store, rows) for part, rows in parts.items()}
    targets = {part: setting.targets(rows) for part, rows in parts.items()}
    probe = fit_probe(features["train"], targets["train"], features["validation"], targets["validation"])
    meta = {"protocol": "linear_probe", "fraction": 1.0, "n_train": len(parts["train"])}
    scored = {
        part: predictions_of(setting, parts[part], probe.predict(features[part]), **meta)
        for part in ("test", "validation")
    }
    return save(setting, protocol_folder("linear_probe"), scored["test"], scored["validation"])


def _age_and_sex(store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, 3 * (knots + 1)) hinges of the age for everybody, for the male and for the female."""
    days, male = store.columns.age_days[rows], store.columns.male[rows]
    known = known_ages(days)
    place = age_scale(np.where(known, days, 0))[:, None] - age_scale(_KNOTS_DAYS)
    hinges = np.concatenate([known[:, None], np.where(known[:, None], place.clip(min=0), 0)], axis=1)
    return np.concatenate([hinges, hinges * (male == 1)[:, None], hinges * (male == 0)[:, None]], axis=1).astype("f4")


def untrained(method: Method, seed: int = 0) -> Method:
    """A method of the configuration of `method`, with fresh weights drawn by `seed`, in evaluation mode."""
    torch.manual_seed(seed)
    return type(method)(method.config).eval()


def rocket(
    setting: Setting, fractions: Iterable[float], seeds: Iterable[int], n_kernels: int = N_KERNELS
) -> list[Path]:
    """A linear probe on random convolutions of what the setting's method reads."""
    return probe_features(setting, rocket_kernels(setting, n_kernels).features, fractions, seeds)


def rocket_kernels(setting: Setting, n_kernels: int = N_KERNELS) -> Rocket:
    """Random convolutions of what the setting's method reads, their biases from a few training records."""
    view = setting.view(setting.parts()["train"])
    few = view.rows[:: max(1, len(view.rows) // _ROCKET_EXAMPLES)][:_ROCKET_EXAMPLES]
    with stage(f"{setting.name}: random kernels"):
        return Rocket(setting.method.config.input, view.batch(few, np.zeros(len(few), dtype=np.int64)), n_kernels)


def supervised(setting: Setting, watcher: Watcher, epochs: int = SUPERVISED_EPOCHS) -> Path:
    """A ResNet18-1D from scratch on all training labels, reading what the setting's method reads."""
    folder = setting.folder / "run"
    n_train = len(setting.parts()["train"])
    if not is_saved(folder / "model"):
        batch_size = min(_SUPERVISED_BATCH, n_train)
        encoder = {"name": "resnet1d", "preset": "nano"}
        values = {
            "model": {"name": "supervised", "encoder": encoder, "input": setting.method.config.input.model_dump()},
            "data": {
                "store": setting.store.path,
                "task": setting.task.origin,
                "published": setting.task.published_folder,
                "track": setting.task.track,
            },
            "train": {"steps": max(1, epochs * n_train // batch_size), "batch_size": batch_size},
        }
        config = validate(RunConfig, values, "supervised row")
        fit(config, folder, resume=(folder / "run.toml").exists(), watcher=watcher)
    return finetuned(replace(setting, method=load_method(folder / "model")), n_train=n_train)
