"""From two texts to a weight: who shares a diagnosis repels less, and nobody else does. Weights of 1 fail all of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from auricle.data.corpus import Corpus
from auricle.losses.diag_sim import DiagSimConfig, diag_sim_weights, fit_ramp_to
from auricle.simulate import cohort
from auricle.text.findings import FindingsSpace, parse
from auricle.text.glossary import to_english
from auricle.text.reports import clean

# Whose reports the ramp is fitted on: what is compared below, and what else hospitals write.
WRITTEN = (
    "atrial fibrillation. left bundle branch block. anterior infarction",
    "atrial fibrillation. right ventricular hypertrophy. prolonged qt",
    "complete right bundle branch block. left anterior fascicular block",
    "incomplete right bundle branch block. left anterior fascicular block",
    "complete right bundle branch block", "incomplete right bundle branch block", "left bundle branch block",
    "st elevation in anterior leads", "no st elevation", "first degree av block", "third degree av block",
    "sinus rhythm. normal axis. normal ecg", "sinus rhythm. normal axis. left ventricular hypertrophy",
    "sinus rhythm. normal axis. t wave inversion", "abnormal ecg. sinus rhythm. prolonged qt",
    "abnormal ecg. sinus rhythm. low voltage",
)  # fmt: skip


def corpus_of(texts: list[str]) -> Corpus:
    distinct = sorted(set(texts))
    space = FindingsSpace.fit(distinct)
    findings, diagnoses = (torch.from_numpy(matrix) for matrix in space.encode(distinct))
    counts = torch.tensor([texts.count(text) for text in distinct])
    return Corpus(tuple(distinct), counts, None, space, findings, diagnoses)


def weights_of(corpus: Corpus) -> torch.Tensor:
    """a_ij of all pairs of distinct reports, with the ramp that `prepare` would fit."""
    batch = corpus.text_batch(np.arange(len(corpus.english)))
    ramp = fit_ramp_to(corpus, "findings")
    assert ramp is not None
    return diag_sim_weights(DiagSimConfig(), ramp, batch, batch)[0]


@pytest.fixture(scope="module")
def weight_of() -> dict[tuple[str, str], float]:
    corpus = corpus_of(list(WRITTEN))
    weights = weights_of(corpus)
    pairs = itertools.product(range(len(corpus.english)), repeat=2)
    return {(corpus.english[i], corpus.english[j]): float(weights[i, j]) for i, j in pairs}


@pytest.mark.parametrize(
    ("one", "other"), [(WRITTEN[0], WRITTEN[1]), (WRITTEN[2], WRITTEN[3]), (WRITTEN[2], WRITTEN[4])]
)
def test_a_shared_diagnosis_weakens_repulsion_whatever_else_differs(
    weight_of: dict[tuple[str, str], float], one: str, other: str
) -> None:
    assert weight_of[one, other] == weight_of[other, one] < 0.9


@pytest.mark.parametrize(
    ("one", "other"),
    [(WRITTEN[4], WRITTEN[5]), (WRITTEN[4], WRITTEN[6]), (WRITTEN[7], WRITTEN[8]), (WRITTEN[9], WRITTEN[10])],
)
def test_one_concept_of_another_degree_side_or_denied_is_not_shared(
    weight_of: dict[tuple[str, str], float], one: str, other: str
) -> None:
    assert weight_of[one, other] == weight_of[other, one] == 1


@pytest.mark.parametrize(
    ("one", "other"), [(WRITTEN[11], WRITTEN[12]), (WRITTEN[12], WRITTEN[13]), (WRITTEN[14], WRITTEN[15])]
)
def test_sinus_rhythm_a_normal_axis_and_abnormal_are_no_diagnosis(
    weight_of: dict[tuple[str, str], float], one: str, other: str
) -> None:
    assert weight_of[one, other] == 1


@pytest.mark.parametrize("ages", ["adults", "children"])
def test_on_a_corpus_weights_follow_what_reports_share(ages: str) -> None:
    made = cohort(500, seed=9, ages=ages, rate_hz=50, seconds=1.0)
    corpus = corpus_of([to_english(clean(recording.report or "")).text for recording in made.recordings()])
    weights = weights_of(corpus)

    def diagnoses(text: str) -> set[tuple[str, str]]:
        return {
            (said.concept, said.value)
            for said in parse(text)
            if not said.negated
            and said.concept not in {"sinus_rhythm", "normal_ecg", "abnormal_ecg"}
            and (said.concept, said.side) != ("axis", "normal")
        }

    named = [diagnoses(text) for text in corpus.english]
    n_records = corpus.n_records.float()
    tally = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for i, j in itertools.combinations(range(len(named)), 2):
        sharing = bool(named[i] & named[j])
        if not sharing and weights[i, j] == 0:
            continue  # equal in all they say, which is nothing but "normal"
        right = (weights[i, j] < 1) == sharing
        share = float(n_records[i] * n_records[j])
        tally[sharing][0] += share * float(right)
        tally[sharing][1] += share
    assert tally[True][0] / tally[True][1] >= 0.9
    assert tally[False][0] / tally[False][1] >= 0.95
