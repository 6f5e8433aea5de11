"""`--fhir`: what a verb answers, kept as FHIR and written when all is done, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from auricle.atomic import write_bytes
from auricle.errors import ConfigError, require

_ONE, _LINES = ".json", ".ndjson"
Keep = Callable[[dict[str, Any]], None]
_OPTION: Final = "--fhir"


@contextmanager
def bundles_into(path: Path | None, n_given: int, with_table: bool) -> Iterator[Keep]:
    """Something that keeps Bundles, which are written at the end, also of a run of which some recordings failed.

    Args:
        path: .json for one recording, .ndjson for any number; None keeps nothing.
        n_given: how many recordings there are.
        with_table: whether a table is asked for as well.

    Raises:
        ConfigError: another suffix, .json for several recordings, a table beside it, or it cannot be written there.
        MissingExtraError: fhir.resources is not installed.
    """
    if path is None:
        yield lambda bundle: None
        return
    suffix = path.suffix.casefold()
    if suffix not in (_ONE, _LINES):
        raise ConfigError(f"{_OPTION} {path}: give a name that ends in {_ONE} (one recording) or {_LINES} (one a line)")
    if suffix == _ONE and n_given > 1:
        raise ConfigError(f"{_OPTION} {path}: holds one recording; name it {path.stem}{_LINES} for {n_given}")
    if with_table:
        raise ConfigError(f"{_OPTION} and --out: give one of them")
    require("fhir.resources.R4B.bundle", "fhir")
    kept: list[str] = []
    try:
        yield lambda bundle: kept.append(json.dumps(bundle, ensure_ascii=False, indent=1 if suffix == _ONE else None))
    finally:
        if kept:
            try:
                write_bytes(path, ("\n".join(kept) + "\n").encode())
            except OSError as error:
                raise ConfigError(f"{_OPTION} {path}: cannot be written ({error.strerror})") from None
