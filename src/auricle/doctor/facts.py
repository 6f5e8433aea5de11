"""Facts: patients by age, how recordings were made, and which labels have enough patients to be evaluated.

Source of the expected interval: Hanley and McNeil, Radiology 143 (1982) 29-36. Patients are counted, so that it is not
too narrow where a patient has many recordings.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from auricle.age import ADULT_DAYS, DAYS_PER_YEAR
from auricle.data.splits import hashed_parts
from auricle.doctor.betrayal import lead_set
from auricle.doctor.case import BANDS, Case
from auricle.doctor.doubts import missing_shares
from auricle.doctor.model import BandCount, Endpoint, Facts
from auricle.recording import DOUBT, NO_CLASS

# The shares of a split by patient, as tasks that come along have them.
_SHARES: Final[Mapping[str, float]] = {"train": 0.7, "validation": 0.1, "test": 0.2}
_EXPECTED_AUROC: Final = 0.85
_Z: Final = 1.959964
_FEWEST_POSITIVE: Final = 10
# An interval wider than .75 to .95 around .85 cannot tell a good model from a fair one.
_WEAK_HALF_WIDTH: Final = 0.1
_BINS: Final = 24
_OLDEST_DAYS: Final = 100 * DAYS_PER_YEAR


def find_facts(cases: Sequence[Case], labels: Sequence[str]) -> Facts:
    """Facts of the usable lines.

    Args:
        cases: usable lines; lead sets, rates, lengths and formats need traces.
        labels: the labels that may be named.
    """
    traces = [case.trace for case in cases if case.trace]
    edges = _age_edges(cases)
    split, parts = split_of(cases)
    return Facts(
        bands=_bands(cases),
        labels=tuple(labels),
        labels_by_band=_labels_by_band(cases, labels),
        n_labels_unnamed=len({label for case in cases for label in case.labels} - set(labels)),
        missing=missing_shares(cases),
        lead_sets=_counted(lead_set(trace.leads) for trace in traces),
        rates_hz=_counted(f"{trace.rate_hz:g}" for trace in traces),
        seconds=_counted(f"{trace.seconds:.3g}" for trace in traces),
        formats=_counted(trace.format for trace in traces),
        age_edges_days=edges,
        age_histogram=_age_histogram(cases, edges),
        split=split,
        endpoints=_endpoints(cases, labels, parts),
    )


def half_width(n_positive: int, n_negative: int, auroc: float = _EXPECTED_AUROC) -> float | None:
    """Half the 95 % interval to be expected around an AUROC (Hanley and McNeil 1982); None without either class.

    Args:
        n_positive, n_negative: patients.
        auroc: the AUROC that is expected.
    """
    if n_positive < 1 or n_negative < 1:
        return None
    both_positive, both_negative = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = (
        auroc * (1 - auroc)
        + (n_positive - 1) * (both_positive - auroc**2)
        + (n_negative - 1) * (both_negative - auroc**2)
    ) / (n_positive * n_negative)
    return _Z * math.sqrt(variance)


def split_of(cases: Sequence[Case]) -> tuple[str, dict[str, str]]:
    """How the patients would be split, in words, and the part of each patient.

    By folds where all cases have one and there are three or more of them, else by a hash of the patient.
    """
    folds = sorted({case.row.fold for case in cases if case.row.fold is not None})
    if len(folds) >= 3 and all(case.row.fold is not None for case in cases):
        *_, validation, test = folds
        part_of_fold = {test: "test", validation: "validation"}
        parts: dict[str, str] = {}
        for case in cases:
            parts.setdefault(case.patient, part_of_fold.get(case.row.fold or 0, "train"))
        return f"by fold: {test} tests, {validation} validates, the others train", parts
    words = "by a hash of the patient: " + ", ".join(f"{name} {share:.0%}" for name, share in _SHARES.items())
    patients = list(dict.fromkeys(case.patient for case in cases))
    names, numbers = list(_SHARES), hashed_parts(patients, list(_SHARES.values())).tolist()
    return words, {patient: names[number] for patient, number in zip(patients, numbers, strict=True)}


def _bands(cases: Sequence[Case]) -> tuple[BandCount, ...]:
    counted = []
    for number, name in enumerate(BANDS):
        inside = [case for case in cases if case.band == number]
        sex: dict[str, str | None] = {}
        for case in inside:
            sex[case.patient] = sex.get(case.patient) or case.sex
        by_sex = Counter(sex.values())
        counted.append(BandCount(name, len(inside), len(sex), by_sex["F"], by_sex["M"], by_sex[None]))
    return tuple(counted)


def _labels_by_band(cases: Sequence[Case], labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    patients: dict[tuple[str, int], set[str]] = defaultdict(set)
    for case in cases:
        for label in case.labels:
            patients[label, case.band].add(case.patient)
    return tuple(tuple(len(patients[label, band]) for band in range(len(BANDS))) for label in labels)


def _counted(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(names).most_common())


def _age_edges(cases: Sequence[Case]) -> tuple[float, ...]:
    """Bounds of bins that are equally wide in log(1 + days), because birth has to be on the axis."""
    days = [case.middle_days for case in cases if case.middle_days is not None]
    top = min(_OLDEST_DAYS, 1.01 * max(days, default=ADULT_DAYS) + 1)
    return tuple(np.expm1(np.linspace(0, np.log1p(top), _BINS + 1)).tolist())


def _age_histogram(cases: Sequence[Case], edges: Sequence[float]) -> dict[str, tuple[int, ...]]:
    histogram = {}
    for name, sex in (("F", "F"), ("M", "M"), ("unknown", None)):
        days = [case.middle_days for case in cases if case.sex == sex and case.middle_days is not None]
        histogram[name] = tuple(np.histogram(np.clip(days, 0, edges[-1]), edges)[0].tolist())
    return histogram


def _endpoints(cases: Sequence[Case], labels: Sequence[str], parts: Mapping[str, str]) -> tuple[Endpoint, ...]:
    # A recording without labels is unknown, and unknown is no negative.
    labelled = {case.patient for case in cases if case.labels}
    in_test = {patient for patient in labelled if parts[patient] == "test"}
    carriers: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        for label in case.labels:
            carriers[label].append(case.patient)
    asked = [label for label in labels if label != NO_CLASS and not label.endswith(DOUBT)]
    return tuple(
        _endpoint(label, carriers[label], parts, in_test.difference(carriers[label + DOUBT])) for label in asked
    )


def _endpoint(label: str, carriers: Sequence[str], parts: Mapping[str, str], in_test: set[str]) -> Endpoint:
    patients = set(carriers)
    count = Counter(parts[patient] for patient in patients)
    negatives = len(in_test - patients)
    width = half_width(count["test"], negatives)
    if width is None or min(count["test"], negatives) < _FEWEST_POSITIVE:
        verdict = "not feasible"
    else:
        verdict = "weak" if width > _WEAK_HALF_WIDTH else "fine"
    by_part = {name: count[name] for name in _SHARES}
    return Endpoint(label, len(carriers), len(patients), by_part, negatives, width, verdict)
