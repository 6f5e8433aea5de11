"""Splits: patient-disjoint parts of a store, by the source's own folds or by a hash of the patient."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auricle.data.store import Store
from auricle.errors import DataError

Parts = dict[str, NDArray[np.int64]]


def by_fold(store: Store, folds: Mapping[str, Sequence[int]]) -> Parts:
    """Row numbers of each part by the source's folds.

    Raises:
        DataError: a part is empty, or a patient is in two of them.
    """
    column = store.column("fold").astype(float)
    parts = {name: np.flatnonzero(np.isin(column, list(numbers))) for name, numbers in folds.items()}
    return _checked(store, parts)


def by_patient(store: Store, shares: Mapping[str, float], salt: str = "auricle") -> Parts:
    """Row numbers of each part by a hash of the patient: the same patient lands in the same part in every store."""
    total = sum(shares.values())
    edges = np.cumsum([share / total for share in shares.values()])
    place = np.array([zlib.crc32(f"{salt}/{patient}".encode()) / 2**32 for patient in store.patients])
    number = np.searchsorted(edges, place, side="right").clip(max=len(edges) - 1)
    return _checked(store, {name: np.flatnonzero(number == i) for i, name in enumerate(shares)})


def _checked(store: Store, parts: Parts) -> Parts:
    empty = [name for name, rows in parts.items() if not len(rows)]
    if empty:
        raise DataError(f"{store.path}: no record falls into {', '.join(empty)}: too few records or folds missing")
    seen: dict[str, str] = {}
    for name, rows in parts.items():
        for patient in np.unique(store.patients[rows]):
            if seen.setdefault(str(patient), name) != name:
                raise DataError(f"{store.path}: a patient is in both {seen[str(patient)]} and {name}")
    return parts


def share_of_patients(patients: Sequence[str] | NDArray[np.str_], share: float, seed: int) -> NDArray[np.int64]:
    """Positions of the records of a random share of the patients, in their old order; at least one patient.

    For one seed the shares are nested: the patients of 1 % are among those of 10 %, so a curve over shares grows by
    adding patients and not by exchanging them.

    Raises:
        DataError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise DataError(f"a training fraction of {share:g} is not possible: give a number in (0, 1]")
    names, codes = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    # 1e-9 forgives binary fractions: .07 * 100 is 7.000000000000001.
    chosen = order[: max(1, math.ceil(share * len(names) - 1e-9))]
    return np.flatnonzero(np.isin(codes, chosen))
