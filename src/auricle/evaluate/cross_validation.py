"""Cross-validation for small cohorts: every labelled record is predicted once, by a head that saw none of its patient.

Source: the protocol of LS-EMVAE (arXiv 2503.13470): frozen features, a head of one hidden layer (128, ReLU, dropout
.5), stratified five-fold. Folds are of patients. Of the folds that do not test, one says when to stop, the others
train. Scores of all folds go into one predictions file; five heads are not calibrated to each other, so the mean of
the folds' AUROC stands beside the pooled one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auricle.batch import ECGBatch
from auricle.errors import DataError
from auricle.evaluate.predictions import patient_codes
from auricle.evaluate.protocols import Setting, predictions_of, save
from auricle.evaluate.ranking import auroc, macro
from auricle.evaluate.reference import NO_FRESH, rocket_kernels, untrained
from auricle.evaluate.robustness import only_leads
from auricle.losses.supervised import masked_bce

PROTOCOL: Final = "cross_validated"
N_FOLDS: Final = 5
_HIDDEN: Final = 128
_DROPOUT: Final = 0.5
_LR: Final = 1e-3
_WEIGHT_DECAY: Final = 1e-2
_BATCH: Final = 64
_MOST_EPOCHS: Final = 100
# Epochs without a better loss on the fold that says when to stop.
_PATIENCE: Final = 10


def stratified_folds(
    truth: NDArray[np.floating], patients: Sequence[str | None], n_folds: int = N_FOLDS, seed: int = 0
) -> NDArray[np.int64]:
    """(n,) the fold of each record: a patient is in one fold, and each class has about its share in every fold.

    Patients are dealt one by one, those with the rarest classes first, to the fold that most lacks their classes.

    Args:
        truth: (n, c) 0/1, NaN where not annotated.
        patients: patient of each record; None counts as a person of its own.
        n_folds: number of folds.
        seed: decides among patients of equal rank.

    Raises:
        DataError: a class has fewer patients with it than there are folds.
    """
    codes = patient_codes(patients)
    n_patients = int(codes.max()) + 1 if len(codes) else 0
    # (patient, class + 1) records of every class, and records, of each patient.
    brings = np.zeros((n_patients, truth.shape[1] + 1))
    np.add.at(brings, codes, np.column_stack([np.nan_to_num(truth), np.ones(len(truth))]))
    fewest = int((brings > 0).sum(axis=0).min()) if n_patients else 0
    if fewest < n_folds:
        raise DataError(f"{n_folds} folds need {n_folds} patients with every class, and one has {fewest}")
    # Patients in the order in which they are dealt.
    totals = brings.sum(axis=0)
    order = np.random.default_rng(seed).permutation(n_patients)
    weight = (brings / totals).max(axis=1)
    order = order[np.argsort(-weight[order], kind="stable")]
    has, fold_of = np.zeros((n_folds, brings.shape[1])), np.zeros(n_patients, dtype=np.int64)
    for patient in order:
        # How much nearer to equal shares a fold would come by this patient; of equal folds the emptiest.
        lacking = totals / n_folds - has
        gain = (lacking * brings[patient] / totals**2).sum(axis=1)
        fold = int(np.lexsort((has[:, -1], -gain.round(12)))[0])
        fold_of[patient], has[fold] = fold, has[fold] + brings[patient]
    return fold_of[codes]


def cross_validated(
    setting: Setting,
    n_folds: int = N_FOLDS,
    *,
    seed: int = 0,
    leads: Sequence[str] | None = None,
    features: Callable[[ECGBatch], Tensor] | None = None,
) -> Path:
    """Frozen features and a small head, on all labelled records of the task, whatever part they are in.

    Args:
        setting: the method, the store and the task.
        n_folds: at least 3: one tests, one says when to stop, the rest trains.
        seed: of the folds and of the heads.
        leads: what the method may read, for example six limb leads; by default all that was recorded. Tables name them.
        features: what the head reads, (b, d) of a batch; by default the method's embedding.

    Returns:
        The folder of the result.

    Raises:
        DataError: fewer than three folds, or a class has fewer patients than folds.
    """
    if n_folds < 3:
        raise DataError(f"cross-validation needs 3 folds or more, not {n_folds}: one tests, one says when to stop")
    change = None if leads is None else partial(only_leads, leads=leads)
    # Features (n, d) of all labelled records, and the fold of each.
    rows = np.sort(np.concatenate(list(setting.parts("train").values())))
    truth = setting.targets(rows).astype(np.float64)
    patients = [str(patient) for patient in setting.store.patients[rows]]
    fold = stratified_folds(truth, patients, n_folds, seed)
    inputs = torch.from_numpy(setting.each(features or setting.method.embed, rows, change))
    target = torch.from_numpy(truth).float()
    # Each fold is scored by a head that saw none of its patients.
    score = np.zeros_like(truth)
    for number in range(n_folds):
        test, stop = fold == number, fold == (number + 1) % n_folds
        score[test] = _fit_and_score(inputs, target, ~test & ~stop, stop, test, seed + number)
    per_fold = np.array(
        [float(macro(auroc(truth[fold == number], score[fold == number]))) for number in range(n_folds)]
    )
    # One predictions file of all folds, with the folds' own AUROC in its notes.
    if leads is not None:  # a row of its own in every table
        setting = replace(setting, preset=f"{setting.preset}, {' '.join(leads)}".removeprefix(", "))
    # Every record is a test record here, those of the task's training part included.
    setting = replace(setting, overlap=setting.overlap or setting.store.info["source"] in setting.pretrained_on)
    learned = round(len(rows) * (n_folds - 2) / n_folds)  # by each head: one fold tests, one says when to stop
    predictions = predictions_of(setting, rows, score, protocol=PROTOCOL, fraction=1.0, seed=seed, n_train=learned)
    notes = {
        **predictions.meta.notes,
        "folds": n_folds,
        "auroc_mean_of_folds": float(per_fold.mean()),
        "auroc_sd_of_folds": float(per_fold.std(ddof=1)),
        "leads": "as recorded" if leads is None else ", ".join(leads),
    }
    predictions = replace(predictions, meta=predictions.meta.model_copy(update={"notes": notes}))
    folder = "-".join([PROTOCOL, str(n_folds), str(seed), *(leads or ())])
    return save(setting, folder, predictions, None)


def cross_validated_rows(setting: Setting, rows: Sequence[str], leads: Sequence[str] | None = None) -> list[Path]:
    """The reference rows among `rows` that have features, `random_encoder` and `rocket`, under the same protocol."""
    plain = replace(setting, pretrained_on=(), overlap=False, preset="cross-validated", notes={})
    saved = []
    if "random_encoder" in rows and setting.method.encoder.is_fixed:
        warnings.warn(NO_FRESH, stacklevel=2)
    elif "random_encoder" in rows:
        fresh = replace(plain, name="random_encoder", method=untrained(setting.method))
        saved.append(cross_validated(fresh, leads=leads))
    if "rocket" in rows:
        kernels = rocket_kernels(setting)
        saved.append(cross_validated(replace(plain, name="rocket"), leads=leads, features=kernels.features))
    return saved


def _fit_and_score(
    inputs: Tensor,
    target: Tensor,
    fit: NDArray[np.bool_],
    stop: NDArray[np.bool_],
    test: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.float64]:
    """Probabilities of the test records by a head of the training ones; the same numbers for the same seed."""
    at_fit, at_stop, at_test = (torch.from_numpy(np.flatnonzero(mask)) for mask in (fit, stop, test))
    mean, scale = inputs[at_fit].mean(0), inputs[at_fit].std(0, correction=0)
    # A feature that is nearly constant in training must not become a large number in the test.
    ready = (inputs - mean) / scale.clamp_min(1e-3 * float(scale.max()) + 1e-12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = _train_head(ready, target, at_fit, at_stop)
        with torch.no_grad():
            probabilities: NDArray[np.float64] = head(ready[at_test]).sigmoid().double().numpy()
    return probabilities


def _train_head(inputs: Tensor, target: Tensor, fit: Tensor, stop: Tensor) -> nn.Module:
    """A head at its best epoch, by the loss on the `stop` records."""
    head = nn.Sequential(
        nn.Linear(inputs.shape[1], _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(_HIDDEN, target.shape[1])
    )
    optimiser = torch.optim.AdamW(head.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    best, best_loss, since = {name: value.clone() for name, value in head.state_dict().items()}, float("inf"), 0
    for _ in range(_MOST_EPOCHS):
        head.train()
        for rows in torch.split(fit[torch.randperm(len(fit))], _BATCH):
            optimiser.zero_grad()
            torch.autograd.backward(masked_bce(head(inputs[rows]), target[rows]))
            optimiser.step()
        head.eval()
        with torch.no_grad():
            loss = float(masked_bce(head(inputs[stop]), target[stop]))
        since += 1
        if loss < best_loss:
            best, best_loss, since = {name: value.clone() for name, value in head.state_dict().items()}, loss, 0
        if since >= _PATIENCE:
            break
    head.load_state_dict(best)
    return head.eval()
