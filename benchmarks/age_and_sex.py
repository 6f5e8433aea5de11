"""Whether age and sex can be told from the features of weights, beside random convolutions of the same recordings.

    python benchmarks/age_and_sex.py STORE TASK [--weights WEIGHTS]

Age: held-out R^2 of a ridge regression over all records with an age (cross-validated by patient, 95 % interval of a
bootstrap over patients). Sex: AUROC of a logistic regression trained on the training part, its penalty chosen on the
validation part, on the test part of TASK, with the interval of 2,000 draws of its people. Weights are asked without
the age, or they would be told what they are asked. 2,000 random kernels, seed 0. Prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from auricle.batch import ECGBatch
from auricle.data.store import Store
from auricle.evaluate.lineage import setting_of
from auricle.evaluate.probe import fit_probe, recovery
from auricle.evaluate.protocols import Setting
from auricle.evaluate.ranking import auroc
from auricle.evaluate.reference import rocket_kernels
from auricle.methods import SHIPPED_WEIGHTS
from auricle.tasks import load_task

DRAWS, N_KERNELS = 2000, 2000


def sex_auroc(setting: Setting, features: NDArray[np.float32]) -> str:
    """AUROC of male on the test part, in per cent."""
    store, parts = setting.store, setting.task.parts(setting.store)
    male = store.columns.male[:, None]
    train, validation, test = (parts[name] for name in ("train", "validation", "test"))
    probe = fit_probe(features[train], male[train], features[validation], male[validation])
    known = test[np.isfinite(male[test, 0])]
    score, truth = probe.predict(features[known]), male[known]
    people, owner = np.unique(store.patients[known], return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(len(people), np.full(len(people), 1 / len(people)), size=DRAWS)
    draws = 100 * auroc(truth, score, drawn[:, owner])[:, 0]
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return f"{100 * auroc(truth, score)[0]:.1f} [{low:.1f}, {high:.1f}]"


def main(folder: Path, task: str, weights: str) -> None:
    store = Store(folder)
    setting = setting_of(Path(weights), store, load_task(task), Path(), "weights")
    method, every = setting.method, np.arange(len(store))
    years = store.columns.age_days.astype(float) / 365.25
    patients = [str(patient) for patient in store.patients]
    asked: dict[str, Callable[[ECGBatch], torch.Tensor]] = {
        "weights": lambda batch: method.embed(batch.without_age()),
        "rocket": rocket_kernels(setting, N_KERNELS).features,
    }
    print("| features | width | age, R² | sex, AUROC |\n| --- | ---: | ---: | ---: |")
    for name, function in asked.items():
        features = setting.each(function, every)
        age = recovery(features, {"age": years}, patients)["age"]
        print(f"| {name} | {features.shape[1]} | {age} | {sex_auroc(setting, features)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("task")
    parser.add_argument("--weights", default=str(SHIPPED_WEIGHTS))
    given = parser.parse_args()
    main(given.store, given.task, given.weights)
