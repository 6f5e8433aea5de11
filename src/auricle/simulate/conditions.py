"""What a simulated heart can have, read from `conditions.toml`, and who has it.

Every condition has a severity that is uniform in [0, 1] and begins inside the normal range, so that mild disease and
healthy variation overlap. A label says what was simulated; nothing is thresholded. How often a condition occurs does
not depend on age, on purpose: age alone predicts nothing, age with the ECG much. Mixes for adults and for children
exist for cohorts of adults and of children.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from auricle.errors import ConfigError, UnknownNameError
from auricle.simulate.streams import Floats, Stream, Streams

NORMAL: Final = "NORM"
SINUS: Final = "SR"
System = Literal["scp", "snomed", "aha"]
_NORMAL_CODES: Final[Mapping[str, Mapping[System, tuple[str, ...]]]] = {
    NORMAL: {"scp": ("NORM",), "snomed": (), "aha": ("1",)},
    SINUS: {"scp": ("SR",), "snomed": ("426783006",), "aha": ("20",)},
}
# Standard normal deviates of its own that every condition may use; the last one decides on its stage or place.
N_SCATTER: Final = 4
# A group of which every member has an age, of the event and not of the patient.
INFARCTION: Final = "infarction"
STAGES: Final = ("acute", "recent", "old")
_STAGE_BOUNDS: Final = (-1.0, -0.4)  # of the standard normal: 16 % acute, 19 % recent, 65 % old
TERRITORIES: Final = ("anterior", "inferior", "lateral")
_TERRITORY_BOUNDS: Final = (-0.43, 0.43)  # a third each


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing a heart can have.

    Attributes:
        code: our name, PTB-XL's SCP code where there is exactly one.
        title: in plain words.
        codes: coding system -> codes; empty where none is confirmed.
        group: of one group a heart has at most one.
        share: default, adult, child -> share of records.
        normal: compatible with a normal ECG.
        implies: conditions that come along.
        often: conditions that often come along where they are wanted at all, and in what share.
        excludes: groups and codes that cannot be seen beside it.
        effects: what it does, see `conditions.toml`.
    """

    code: str
    title: str
    codes: Mapping[System, tuple[str, ...]]
    group: str
    share: Mapping[str, float]
    normal: bool
    implies: tuple[str, ...]
    often: Mapping[str, float]
    excludes: tuple[str, ...]
    effects: Mapping[str, Any]


@cache
def conditions() -> Mapping[str, Condition]:
    """All conditions by code, in the order in which chance is drawn."""
    table = _table()
    columns = table["mixes"]["columns"]
    return {
        code: Condition(
            code,
            entry["title"],
            {
                "scp": tuple(entry.get("scp", ())),
                "snomed": tuple(entry.get("snomed", ())),
                "aha": tuple(entry.get("aha", ())),
            },
            entry["group"],
            dict(zip(columns, entry["share"], strict=True)),
            entry.get("normal", False),
            tuple(entry.get("implies", ())),
            entry.get("often", {}),
            tuple(entry.get("excludes", ())),
            entry["effects"],
        )
        for code, entry in table["conditions"].items()
    }


@cache
def pattern(name: str) -> Floats:
    """(axis,) how strongly a pattern is seen on x, y and V1-V6; see `morphology.AXES`."""
    angle, frontal, *chest = _table()["patterns"][name]
    direction = np.radians(angle)
    return np.array([frontal * np.cos(direction), frontal * np.sin(direction), *chest])


@cache
def groups() -> Mapping[str, tuple[str, ...]]:
    """group -> its codes, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for code, condition in conditions().items():
        found[condition.group] = (*found.get(condition.group, ()), code)
    return found


def codes(labels: tuple[str, ...], system: System) -> tuple[str, ...]:
    """The codes of a record's labels in another system, without repeats; what has no confirmed code is left out."""
    known = conditions()
    found: dict[str, None] = {}
    for label in labels:
        table = known[label].codes if label in known else _NORMAL_CODES.get(label)
        found.update(dict.fromkeys(table[system] if table else ()))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """What each record has.

    Attributes:
        present: code -> (record,) for every condition.
        severity: code -> (record,) in [0, 1]; meaningful where present.
        scatter: code -> (record, N_SCATTER) standard normal deviates.
    """

    present: Mapping[str, NDArray[np.bool_]]
    severity: Mapping[str, Floats]
    scatter: Mapping[str, Floats]

    def labels(self, record: int) -> tuple[str, ...]:
        """Codes of one record: NORM where nothing takes it away, SR where nothing but the sinus node drives it, then
        SCP codes where there are, our own name where it says more, and how old an infarction is."""
        found = [code for code, present in self.present.items() if present[record]]
        known = conditions()
        spoken = dict.fromkeys(label for code in found for label in (*known[code].codes["scp"], code))
        healthy = all(known[code].normal for code in found)
        sinus = not any(known[code].group == "rhythm" for code in found)
        infarcts = [code for code in found if known[code].group == INFARCTION]
        stages = dict.fromkeys(f"{INFARCTION}:{STAGES[self.stage(code)[record]]}" for code in infarcts)
        return (*((NORMAL,) if healthy else ()), *((SINUS,) if sinus else ()), *spoken, *stages)

    def stage(self, code: str) -> NDArray[np.int64]:
        """(record,) index into STAGES of an infarction."""
        return np.searchsorted(_STAGE_BOUNDS, self.scatter[code][:, -1])

    def territory(self) -> NDArray[np.int64]:
        """(record,) index into TERRITORIES of an ST elevation."""
        return np.searchsorted(_TERRITORY_BOUNDS, self.scatter["STE_"][:, -1])

    def any(self, *names: str) -> NDArray[np.bool_]:
        """(record,) where at least one of these conditions is present."""
        return np.asarray(np.any([self.present[name] for name in names], axis=0))


Diagnosed = str | Mapping[str, float] | None


def choose(streams: Streams, wanted: Diagnosed = None) -> Diagnoses:
    """Decide who has what.

    Args:
        streams: chance.
        wanted: a mix ("default", "adult", "child", "core"), or code -> share of records that have it; what is left out
            does not occur except where a condition implies it. `NORM` itself, if given, is a share kept healthy before
            the others are drawn among the rest.

    Raises:
        UnknownNameError: a mix or code that is not simulated.
        ConfigError: a share outside [0, 1], or exclusive conditions whose shares add up to more than one.
    """
    shares = shares_of(wanted)
    known, n_groups = conditions(), len(groups())
    uniforms = streams.uniforms(Stream.CONDITIONS, 1 + n_groups)
    severities = streams.uniforms(Stream.SEVERITIES, len(known))
    normals = streams.normals(Stream.CONDITION_SCATTER, len(known) * N_SCATTER).reshape(-1, len(known), N_SCATTER)
    ill = uniforms[:, 0] >= shares.get(NORMAL, 0.0)
    # At most one condition of each group.
    present: dict[str, NDArray[np.bool_]] = {}
    for number, members in enumerate(groups().values()):
        taken, chance = 0.0, uniforms[:, 1 + number]
        for code in members:
            share = shares.get(code, 0.0)
            present[code] = ill & (chance >= taken) & (chance < taken + share)
            taken += share
    # Conditions that come along, in place of others of their group.
    for code, condition in known.items():
        chance_of = ndtr(normals[:, list(known).index(code), 2])
        companions = {name: share for name, share in condition.often.items() if shares.get(name, 0.0)}
        for implied, share in {**dict.fromkeys(condition.implies, 1.0), **companions}.items():
            along = present[code] & (chance_of < share)
            for rival in groups()[known[implied].group]:
                if rival != code:
                    present[rival] = present[rival] & ~along
            present[implied] = present[implied] | along
    # Conditions that cannot be seen beside another.
    for code, condition in known.items():
        for name in condition.excludes:
            for hidden in groups().get(name, (name,)):
                present[hidden] = present[hidden] & ~present[code]
    return Diagnoses(
        {code: present[code] for code in known},
        {code: severities[:, number] for number, code in enumerate(known)},
        {code: normals[:, number] for number, code in enumerate(known)},
    )


def mixes() -> tuple[str, ...]:
    """Names of the ready-made mixes."""
    table = _table()["mixes"]
    return (*table["columns"], *(name for name in table if name != "columns"))


def shares_of(wanted: Diagnosed) -> Mapping[str, float]:
    """The share of records that are drawn for each condition, by code.

    Args:
        wanted: as for `choose`.

    Raises:
        UnknownNameError, ConfigError: as by `choose`.
    """
    if wanted is None or isinstance(wanted, str):
        name = wanted or mixes()[0]
        if name not in mixes():
            raise UnknownNameError("mix of diagnoses", name, mixes())
        listed: Mapping[str, float] = _table()["mixes"].get(name, {})
        return listed or {code: condition.share[name] for code, condition in conditions().items()}
    for code, share in wanted.items():
        if code not in (NORMAL, *conditions()):
            raise UnknownNameError("simulated diagnosis", code, (NORMAL, *conditions()))
        if not 0 <= share <= 1:
            raise ConfigError(f"prevalence of {code} is {share:g}: give a share between 0 and 1")
    for members in groups().values():
        if sum(wanted.get(code, 0.0) for code in members) > 1 + 1e-9:
            named = " and ".join(code for code in members if code in wanted)
            raise ConfigError(f"{named} exclude each other: their prevalences must not exceed 1 together")
    return wanted


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("auricle.simulate") / "conditions.toml").read_text(encoding="utf-8"))
