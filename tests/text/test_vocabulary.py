"""The learnt vocabulary: any text goes in, its cleaned form comes out; a corpus learns it from training reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.data.corpus import Corpus
from auricle.data.ingest import ingest
from auricle.data.store import Store
from auricle.errors import ConfigError
from auricle.text.reports import clean
from auricle.text.vocabulary import CLS, LEAST_SIZE, PAD, Vocabulary

REPORTS = (
    "sinus rhythm. left bundle branch block.",
    "sinus rhythm. right bundle branch block.",
    "sinus tachycardia. left axis deviation.",
    "sinus rhythm. normal ecg.",
)
FITTED = Vocabulary.fit(REPORTS, 500)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_encodes_and_decodes_to_its_cleaned_form(text: str) -> None:
    entries = FITTED.encode(text, most=10_000)
    assert entries[0] == CLS
    assert max(entries) < len(FITTED)
    assert FITTED.decode(entries) == clean(text)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(alphabet="abä é字1.-_ ", max_size=30), max_size=8), st.integers(LEAST_SIZE, 320))
def test_whatever_it_was_fitted_on_it_stays_within_its_size(texts: list[str], size: int) -> None:
    cleaned = [clean(text) for text in texts]
    vocabulary = Vocabulary.fit(cleaned, size)
    assert len(vocabulary) <= size
    assert [vocabulary.decode(vocabulary.encode(text)) for text in cleaned] == cleaned
    again = Vocabulary.from_bytes(vocabulary.to_bytes(size))
    assert again.pieces == vocabulary.pieces


def test_frequent_words_become_one_entry_and_others_are_spelled() -> None:
    assert len(FITTED.encode("sinus rhythm")) == 3
    assert len(FITTED.encode("bundle branch")) == 3
    assert " tachycardia" not in FITTED.pieces, "seen once"
    assert len(FITTED.encode("zzz")) == 1 + len(" zzz")
    assert FITTED.encode("Sinus  RHYTHM") == FITTED.encode("sinus rhythm")


def test_fitting_does_not_depend_on_the_order_of_texts() -> None:
    assert Vocabulary.fit(reversed(REPORTS), 500).pieces == FITTED.pieces


def test_a_long_text_is_cut_and_a_table_is_padded() -> None:
    assert len(FITTED.encode("q" * 500, most=20)) == 20
    entries, mask = FITTED.table(["sinus rhythm", "", "zzz"])
    assert entries.shape == mask.shape
    assert mask.sum(1).tolist() == [3, 1, 5]
    assert (entries[~mask] == PAD).all()


def test_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs 260 entries"):
        Vocabulary.fit(REPORTS, 100)
    with pytest.raises(ConfigError, match="raise vocabulary_size"):
        FITTED.to_bytes(LEAST_SIZE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("vocabulary") / "store"
    options = {"n": 60, "diagnoses": "core", "rate_hz": 100.0, "seconds": 2.0}
    ingest("simulated", Path(), folder, options=options, rate_hz=100)
    return Store(folder)


def test_the_corpus_learns_it_from_training_reports_and_fills_the_batch(store: Store) -> None:
    rows = np.arange(30)
    corpus = Corpus.from_store(store, rows, "", {"tokens"}, 400)
    ids = store.column("report_id")
    seen = [report["english"] for number, report in enumerate(store.reports) if number in set(ids[rows].tolist())]
    assert corpus.vocabulary is not None
    assert corpus.vocabulary.pieces == Vocabulary.fit(seen, 400).pieces
    text = corpus.text_batch(np.array([ids[0], -1, ids[-1]]))
    assert text.embedding is None
    assert text.token_ids is not None
    assert text.token_mask is not None
    for row, number in ((0, ids[0]), (2, ids[-1])):
        assert corpus.vocabulary.decode(text.token_ids[row].tolist()) == store.reports[number]["english"]
    assert not text.token_mask[1].any()
    assert (text.token_ids[1] == PAD).all()
    assert text.token_mask.any(0).all(), "no column that is padding everywhere"
    assert text.token_ids.dtype == torch.long


def test_a_corpus_that_was_not_asked_has_none(store: Store) -> None:
    corpus = Corpus.from_store(store, np.arange(30), "", {"findings"})
    assert corpus.vocabulary is None
    assert corpus.text_batch(np.array([0])).token_ids is None
