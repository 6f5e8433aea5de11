"""Ages that are told in place of people's own: places are changed among people, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.data.ingest import ingest
from auricle.data.loader import View, shuffled_ages
from auricle.data.store import Store
from auricle.signal.preprocess import InputSpec


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_people_change_places_with_all_their_records(people: list[int]) -> None:
    patients = np.array([f"p{number}" for number in people])
    own = np.array([np.nan if number == 3 else 100.0 * number for number in people], dtype=np.float32)
    told = shuffled_ages(own, patients)
    by_person = {name: set(np.nan_to_num(told[patients == name], nan=-1).tolist()) for name in patients}
    assert all(len(values) == 1 for values in by_person.values())
    of_people = sorted(-1 if number == 3 else 100 * number for number in set(people))
    assert sorted(value for values in by_person.values() for value in values) == of_people
    np.testing.assert_array_equal(told, shuffled_ages(own, patients))


def test_a_model_is_told_them_and_the_store_keeps_its_own(tmp_path: Path) -> None:
    options = {"n": 60, "rate_hz": 100, "seconds": 4}
    ingest("simulated", Path(), tmp_path / "store", options=options, rate_hz=100, workers=1)
    store = Store(tmp_path / "store")
    rows, starts = np.arange(60), np.zeros(60, dtype=np.int64)
    spec = InputSpec(rate_hz=100, seconds=4, band_hz=(0.5, 40))
    own = View(store, rows, spec).batch(rows, starts)
    told = View(store, rows, spec.model_copy(update={"age": "shuffled"})).batch(rows, starts)
    assert torch.equal(own.signal, told.signal)
    assert torch.equal(own.age_days.sort().values, told.age_days.sort().values)
    assert (own.age_days == told.age_days).float().mean() < 0.2
    assert torch.equal(own.age_days, torch.from_numpy(store.columns.age_days)), "and results are by the true age"
    some = np.array([7, 3])
    assert torch.equal(
        View(store, some, spec.model_copy(update={"age": "shuffled"})).batch(some, starts[:2]).age_days,
        told.age_days[some],
    ), "a part of the store is told what the whole is"
