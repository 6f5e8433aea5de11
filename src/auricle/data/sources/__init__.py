"""Sources: data sets as they come. A source is one file here whose class has the file's name in CamelCase.

The docstring of such a file gives source, licence, format, labels, what their absence means, split origin and paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final, Protocol

from auricle.errors import ConfigError, UnknownNameError
from auricle.recording import Recording

if TYPE_CHECKING:
    import pandas as pd


# Sources with recordings in common: a model trained on one has seen test records of the other.
_SAME_RECORDINGS: Final = (
    {"ptb_xl", "ptb_xl_mini", "challenge2021/ptb_xl"},
    {"cpsc2018", "challenge2021/cpsc"},
    {"csn", "challenge2021/chapman", "challenge2021/ningbo"},
)


def share_recordings(one: str, other: str) -> bool:
    """Whether two sources are editions of the same recordings, in whole or in part.

    Args:
        one, other: sources, or one collection of a source of several: `challenge2021/chapman`.
    """

    def is_of(source: str, group: set[str]) -> bool:
        return source in group or any(member.startswith(f"{source}/") for member in group)

    return one == other or any(is_of(one, group) and is_of(other, group) for group in _SAME_RECORDINGS)


class Source(Protocol):
    """A data set: what it lists, and how one of its records is read."""

    name: str

    def index(self, root: Path) -> pd.DataFrame:
        """A row per record, from the data set's own list file; `record_id` first and unique, then what `read` needs.

        Raises:
            DataError: the list is missing or damaged.
        """
        ...

    def read(self, root: Path, row: Mapping[str, Any]) -> Recording:
        """The record of one row of the index.

        Raises:
            ReadError: its file is missing or damaged.
        """
        ...


def list_sources() -> list[str]:
    """Names of all sources."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def describe_source(name: str) -> str:
    """The first line of a source's docstring."""
    return (import_module(f"{__name__}.{name}").__doc__ or "").strip().splitlines()[0]


def licence_of(name: str) -> str:
    """The licence that a source's docstring names; empty where it is the owner's affair."""
    said = " ".join((import_module(f"{__name__}.{name}").__doc__ or "").split())
    found = re.search(r"\bLicence: (.+?)\.(?= [A-Z]|$)", said)
    return found.group(1) if found else ""


def get_source(name: str, **options: Any) -> Source:
    """A source by name, with its own options.

    Raises:
        UnknownNameError: no such source.
        ConfigError: an option it does not have.
    """
    if name not in list_sources():
        raise UnknownNameError("source", name, list_sources())
    camel = "".join(part.capitalize() for part in name.split("_"))
    cls = getattr(import_module(f"{__name__}.{name}"), camel)
    try:
        source: Source = cls(**options)
    except TypeError as error:
        raise ConfigError(f"source {name}: {str(error).partition(') ')[2] or error}") from None
    return source
