"""`--fhir`, `--sr`: what a verb answers, for other systems, kept and written when all is done, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from auricle.atomic import write_bytes
from auricle.cli.output import check_place, written_where
from auricle.errors import ConfigError, require

Keep = Callable[[Any], None]


@dataclass(frozen=True)
class Kind:
    """A kind of file that answers are written as.

    Attributes:
        option: that asks for it.
        one: the suffix of a file of one answer.
        many: that of a file of any number; empty where there is none such.
        module: without which it is not made, and the `extra` that brings that.
        encode: an answer as the bytes of its file, or of its part of a file of many.
    """

    option: str
    one: str
    many: str
    module: str
    extra: str
    encode: Callable[[Any, bool], bytes]


def _json(bundle: Any, alone: bool) -> bytes:
    return (json.dumps(bundle, ensure_ascii=False, indent=1 if alone else None) + "\n").encode()


FHIR: Final = Kind("--fhir", ".json", ".ndjson", "fhir.resources.R4B.bundle", "fhir", _json)
SR: Final = Kind("--sr", ".dcm", "", "pydicom", "io", lambda content, alone: bytes(content))


@contextmanager
def bundles_into(path: Path | None, n_given: int, with_table: bool, kind: Kind = FHIR) -> Iterator[Keep]:
    """Something that keeps answers, which are written at the end, also of a run of which some recordings failed.

    A run that was stopped, or that broke off, writes nothing: a file with a part of them could not be told from a
    whole one.

    Args:
        path: with a suffix of `kind`; None keeps nothing.
        n_given: how many recordings there are.
        with_table: whether a table is asked for as well.
        kind: what is written.

    Raises:
        ConfigError: another suffix, that of one for several recordings, a table beside it, or it cannot be written
            there.
        typer.Exit: as it was raised inside, by a run of which some recordings failed.
        MissingExtraError: what makes such files is not installed.
    """
    if path is None:
        yield lambda answer: None
        return
    alone = _check(path, n_given, with_table, kind)
    require(kind.module, kind.extra)
    kept: list[bytes] = []
    failed: typer.Exit | None = None
    try:
        yield lambda answer: kept.append(kind.encode(answer, alone))
    except typer.Exit as error:
        failed = error
    if kept:
        with written_where(kind.option, path):
            write_bytes(path, b"".join(kept))
    if failed is not None:
        raise failed


def _check(path: Path, n_given: int, with_table: bool, kind: Kind) -> bool:
    """Whether a file is of one answer."""
    suffix, further = path.suffix.casefold(), f" (one recording) or {kind.many} (one a line)" if kind.many else ""
    if suffix not in {kind.one, kind.many} - {""}:
        raise ConfigError(f"{kind.option} {path}: give a name that ends in {kind.one}{further}")
    if suffix == kind.one and n_given > 1:
        remedy = f"name it {path.stem}{kind.many} for {n_given}" if kind.many else "give one file"
        raise ConfigError(f"{kind.option} {path}: holds one recording; {remedy}")
    check_place(kind.option, path)
    if with_table:
        raise ConfigError(f"{kind.option} and --out: give one of them")
    return suffix == kind.one
