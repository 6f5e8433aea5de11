"""Thresholds that are chosen on other people than those who are reported."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from auricle.evaluate.predictions import Predictions, patient_codes
from auricle.evaluate.ranking import SPECIFICITY, Values

# Fewer people without a class give no threshold.
_FEWEST_FOR_THRESHOLD: Final = 10


def halves_of_people(predictions: Predictions) -> tuple[Predictions, Predictions]:
    """Two halves with different patients, the same ones whenever it is asked: one to choose thresholds, one to report.

    A record without a patient is a person of its own.
    """
    names = [
        record if patient is None else patient
        for record, patient in zip(predictions.record_id, predictions.patient_id, strict=True)
    ]
    first = np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in names], dtype=bool)
    return predictions.select(np.flatnonzero(first)), predictions.select(np.flatnonzero(~first))


def thresholds_at(predictions: Predictions, specificity: float = SPECIFICITY) -> Values:
    """(c,) the lowest score of each class from which on no more than 1 - `specificity` of those without it are called.

    NaN where there is none: fewer than ten people are without the class, or so many of them have the highest score of
    all (a model that says yes or no) that nobody could be called.
    """
    chosen, people = np.full(len(predictions.classes), np.nan), patient_codes(predictions.patient_id)
    for column in range(len(chosen)):
        score, truth = predictions.score[:, column], predictions.truth[:, column]
        without = np.sort(score[truth == 0])[::-1]
        if len(set(people[truth == 0].tolist())) < _FEWEST_FOR_THRESHOLD:
            continue
        allowed = int(np.floor((1 - specificity) * len(without) + 1e-9))
        # Ties are called whole or not at all.
        threshold = np.nextafter(without[allowed], np.inf) if allowed < len(without) else -np.inf
        if (score[~np.isnan(truth)] >= threshold).any():
            chosen[column] = threshold
    return chosen
