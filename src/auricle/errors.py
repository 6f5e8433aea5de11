"""Every error auricle raises on purpose, drawn in one place.

AuricleError
├── DataError            a file, a record or a table cannot be used; the message names it and the remedy
│   ├── ReadError        one recording cannot be read
│   ├── UnreadableError  one recording was read, and no question can be answered of what is in it
│   └── StoreError       a store is missing, incomplete, locked or of another version
├── ConfigError          a configuration, a preset or an option is wrong
│   └── UnknownNameError a name that nothing is registered under; suggests the nearest
├── CheckpointError      weights or a resume point do not fit this code or this run
├── StoppedError         long work was asked to stop and has kept where it was
└── MissingExtraError    an optional dependency is not installed; says which extra brings it

ReadingNote is the one warning: a recording was read, with something wrong in it that its `notes` tell.

The command line prints the message of an AuricleError as one line and exits with status 2;
anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


class AuricleError(Exception):
    """Base of every error that is the input's fault and not the code's."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As it was raised, in another process: its text and attributes, whatever it was made of."""
        return _as_raised, (type(self), str(self), self.__dict__)


def _as_raised(kind: type[AuricleError], text: str, attributes: Mapping[str, object]) -> AuricleError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    error.__dict__.update(attributes)
    return error


class DataError(AuricleError):
    """A file, record or table cannot be used."""


class ReadError(DataError):
    """One recording cannot be read. Raised with the file and the remedy in one line."""


class UnreadableError(DataError):
    """A recording was read and no question can be asked of its trace. `quality` is what JSON says of it."""

    def __init__(self, message: str, quality: Mapping[str, object]) -> None:
        super().__init__(message)
        self.quality = dict(quality)


class StoreError(DataError):
    """A store is missing, incomplete, locked by another writer, or of another version."""


class ConfigError(AuricleError):
    """A configuration file, preset or option is wrong."""


class UnknownNameError(ConfigError):
    """Nothing goes by this name. `kind` says what was looked for, `known` what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        folded = {entry.casefold(): entry for entry in known}
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        hint = f"did you mean {folded[near[0]]!r}?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")


class CheckpointError(AuricleError):
    """Weights or a resume point do not fit this code or this run."""


class MissingExtraError(AuricleError):
    """An optional dependency is needed and not installed."""


class StoppedError(AuricleError):
    """Long work was stopped by a signal, after it had kept where it was. `signal` is the signal's number."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class ReadingNote(UserWarning):
    """A warning: a recording was read, and its reader found something wrong and says what it did about it."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency where it is used, or say which extra brings it.

    Raises:
        MissingExtraError: `module` is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise  # the package is there and one of *its* needs is missing: do not blame the extra
        raise MissingExtraError(f"{module} is not installed: pip install 'auricle[{extra}]'") from error
