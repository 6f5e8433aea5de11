"""Splits: patient-disjoint parts of a store, by the source's own folds or by a hash of the patient."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.age import DAYS_PER_MONTH
from auricle.data.store import Store
from auricle.errors import DataError

Parts = dict[str, NDArray[np.int64]]
SALT: Final = "auricle"


def by_fold(store: Store, folds: Mapping[str, Sequence[int]], rows: NDArray[np.int64] | None = None) -> Parts:
    """Row numbers of each part by the source's folds; of `rows` only, if given.

    Args:
        store: the store.
        folds: folds of each part.
        rows: row numbers to choose from, by default all.

    Raises:
        DataError: a part is empty, or a patient is in two of them.
    """
    column = store.column("fold").astype(float)
    return _checked(store, _within(rows, {name: np.isin(column, list(numbers)) for name, numbers in folds.items()}))


def by_patient(
    store: Store, shares: Mapping[str, float], rows: NDArray[np.int64] | None = None, salt: str = SALT
) -> Parts:
    """Row numbers of each part by a hash of the patient: a patient lands in the same part in every store.

    Args:
        store: the store.
        shares: size of each part; they need not add up to 1, and a part of 0 stays empty.
        rows: row numbers to choose from, by default all.
        salt: text that is hashed with the patient; another salt gives another split.

    Raises:
        DataError: a part is empty.
    """
    number = hashed_parts(store.patients, list(shares.values()), salt)
    parts = _within(rows, {name: number == i for i, name in enumerate(shares)})
    _checked(store, {name: part for name, part in parts.items() if shares[name]})
    return parts


def hashed_parts(
    patients: Sequence[str] | NDArray[np.str_], shares: Sequence[float], salt: str = SALT
) -> NDArray[np.int64]:
    """(n,) the number of the part each patient falls into by a hash of the name: the same in every store.

    Args:
        patients: names.
        shares: of the parts, of any sum.
        salt: another one gives another split.
    """
    total = sum(shares)
    edges = np.cumsum([share / total for share in shares])
    place = np.array([zlib.crc32(f"{salt}/{patient}".encode()) / 2**32 for patient in patients])
    number: NDArray[np.int64] = np.searchsorted(edges, place, side="right").clip(max=len(edges) - 1)
    return number


def spread_over(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """(k,) so many of (n,) rows at even distances, or all: a store may be ordered by age or date."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def by_record(store: Store, ids: Mapping[str, Sequence[str]], rows: NDArray[np.int64] | None = None) -> Parts:
    """Row numbers of each part by lists of record ids, as published split files give them.

    A patient in two parts is a warning and not an error: published splits of CPSC2018 and CSN are by record.

    Args:
        store: the store.
        ids: record ids of each part.
        rows: row numbers to choose from, by default all.

    Raises:
        DataError: a part has no record in this store.
    """
    records = store.column("record_id").astype(str)
    parts = _within(rows, {name: np.isin(records, list(listed)) for name, listed in ids.items()})
    _not_empty(store, parts)
    absent = sum(map(len, ids.values())) - sum(map(len, parts.values()))
    shared = _shared_patient(store, parts)
    if absent:
        warnings.warn(f"{store.path}: {absent} records of the published split are not in this store", stacklevel=2)
    if shared:
        warnings.warn(f"{store.path}: the published split has a patient in both {' and '.join(shared)}", stacklevel=2)
    return parts


def _within(rows: NDArray[np.int64] | None, masks: Mapping[str, NDArray[np.bool_]]) -> Parts:
    parts = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    return parts if rows is None else {name: np.intersect1d(part, rows) for name, part in parts.items()}


def _checked(store: Store, parts: Parts) -> Parts:
    _not_empty(store, parts)
    shared = _shared_patient(store, parts)
    if shared:
        raise DataError(f"{store.path}: a patient is in both {' and '.join(shared)}")
    return parts


def _not_empty(store: Store, parts: Parts) -> None:
    empty = [name for name, rows in parts.items() if not len(rows)]
    if empty:
        raise DataError(f"{store.path}: no record falls into {', '.join(empty)}: too few records or folds missing")


def _shared_patient(store: Store, parts: Parts) -> tuple[str, str] | None:
    """The names of two parts that share a patient."""
    patients = store.patients
    known = {name: np.unique(patients[rows]) for name, rows in parts.items()}
    for first, second in combinations(known, 2):
        if len(np.intersect1d(known[first], known[second], assume_unique=True)):
            return first, second
    return None


def share_of_patients(patients: Sequence[str] | NDArray[np.str_], share: float, seed: int) -> NDArray[np.int64]:
    """Positions of the records of a random share of the patients, in their old order; at least one patient.

    For one seed the shares are nested: the patients of 1 % are among those of 10 %, so a larger share adds patients and
    exchanges none.

    Args:
        patients: patient of each record.
        share: of the patients, in (0, 1].
        seed: of the random choice.

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


def share_of_newborns(age_days: NDArray[np.floating], share: float, seed: int) -> NDArray[np.int64]:
    """Positions of records of which a given share is of the first month of life, in their old order.

    Of the group that there are too many of, some are left out at random; for one seed a smaller group is part of a
    larger one. Records of unknown age stay, and are in neither group.

    Args:
        age_days: (n,) NaN where unknown.
        share: of those of known age, in [0, 1].
        seed: of the random choice.

    Raises:
        DataError: nobody of known age is left, or no newborn where some are asked for.
    """
    order = np.random.default_rng(seed).permutation(len(age_days))
    newborns, older = order[age_days[order] < DAYS_PER_MONTH], order[age_days[order] >= DAYS_PER_MONTH]
    wanted_newborns = len(newborns) if share == 1 else round(share / (1 - share) * len(older))
    wanted_older = len(older) if share == 0 else round((1 - share) / share * len(newborns))
    newborns, older = newborns[:wanted_newborns], older[:wanted_older]
    if not len(newborns) + len(older) or (share and not len(newborns)):
        raise DataError(f"{share:.0%} of the training records of known age cannot be of the first month: too few are")
    return np.sort(np.concatenate([newborns, older, np.flatnonzero(np.isnan(age_days))]))
