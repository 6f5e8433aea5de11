"""What verbs say and write beside what they print: notes in a language; pages, pictures and tables, named first."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auricle.atomic import write_with
from auricle.errors import ConfigError, require
from auricle.tables import CSV, PARQUET, Row, write_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from auricle.pages.page import Page

_PAGES: Final = (".html", ".htm")
_PICTURES: Final = (".png", ".svg", ".pdf")

_ENGLISH: Final = "en"
_spoken = _ENGLISH


def speak(language: str) -> None:
    """Say the notes of this run in a language; a verb calls it that was asked for one.

    Raises:
        UnknownNameError: a language without words.
    """
    global _spoken
    if language != _ENGLISH:  # importing the words takes a second, which a verb without notes does not need
        from auricle.paediatrics import wording

        wording.words(language)
    _spoken = language


def note(message: str) -> str:
    """A warning as a note, in the language of `speak`; one that is in that language already stays as it is."""
    if _spoken == _ENGLISH:
        return f"note: {message}"
    from auricle.paediatrics import wording

    said = wording.words(_spoken)
    text = message if message == said["no_font"] else wording.note_text(message, _spoken)
    return f"{said['page']['notice']}{said['colon']}{text}"


def check_page_name(option: str, path: Path | None) -> None:
    """Refuse a page that is not called like one, or that cannot lie there.

    Raises:
        ConfigError: another suffix than .html, a folder, or a file on the way to it.
    """
    if path is None:
        return
    if path.suffix.casefold() not in _PAGES:
        raise ConfigError(f"{option} {path}: is an HTML page; give a name that ends in .html")
    check_place(option, path)


def check_picture_name(option: str, path: Path | None) -> None:
    """Refuse a picture that is not called like one, that cannot lie there, or that nothing here can draw.

    Raises:
        ConfigError: another suffix than .png, .svg or .pdf, a folder, or a file on the way to it.
        MissingExtraError: without matplotlib.
    """
    if path is None:
        return
    if path.suffix.casefold() not in _PICTURES:
        raise ConfigError(f"{option} {path}: is a picture; give a name that ends in {' or '.join(_PICTURES)}")
    check_place(option, path)
    require("matplotlib.figure", "train")


def check_table_name(option: str, path: Path | None) -> None:
    """Refuse a table that is not called like one, that cannot lie there, or that nothing here can write.

    Raises:
        ConfigError: another suffix than .csv or .parquet, a folder, or a file on the way to it.
        MissingExtraError: .parquet without pyarrow.
    """
    if path is None:
        return
    if path.suffix.casefold() not in (CSV, PARQUET):
        raise ConfigError(f"{option} {path}: is a table; give a name that ends in {CSV} or {PARQUET}")
    check_place(option, path)
    if path.suffix.casefold() == PARQUET:
        require("pyarrow.parquet", "train")


def check_place(option: str, path: Path) -> None:
    """Refuse the name of a file where none can lie, before the work that it is to hold.

    Raises:
        ConfigError: it is a folder, a file stands where its folder would be, or nobody may write there.
    """
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; give the name of a file")
    for folder in path.parents:
        if folder.is_dir():
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ConfigError(f"{option} {path}: {folder} may not be written to; name another folder")
            return
        if folder.exists():
            raise ConfigError(f"{option} {path}: {folder} is a file; name a folder")


def check_not_read(written: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Refuse to replace what is read.

    Args:
        written: what is to be written, by option.
        read: the recordings, lists of them, pictures and weights that are read.

    Raises:
        ConfigError: one of them is written, under whatever name.
    """
    places = {path.resolve(): f"{option} {path}" for option, path in written.items() if path is not None}
    for path in read if places else ():
        if path is not None and (named := places.get(path.resolve())) is not None:
            raise ConfigError(f"{named}: is read here, and would be replaced; give another name")


def command_line(verb: str, file: Path, given: Mapping[str, str | None]) -> str:
    """What made a page, with the options that were given and without the folder, which can name a person."""
    options = [part for name, value in given.items() if value for part in (name, value)]
    return " ".join(["auricle", verb, shlex.quote(file.name), *map(shlex.quote, options)])


def write_page(option: str, path: Path | None, make: Callable[[], Page]) -> None:
    """Make a page and write it where an option says; nothing where there is none.

    Raises:
        ConfigError: it cannot be written there.
    """
    if path is not None:
        page = make()
        with written_where(option, path):
            page.write(path)


def write_picture(option: str, path: Path, figure: Figure, dpi: int, tight: bool = False) -> None:
    """Write a figure where an option says, whole or not at all.

    Args:
        option: for the message.
        path: its suffix decides the format.
        figure: of matplotlib.
        dpi: pixels per inch of a .png.
        tight: cut the margins off.

    Raises:
        ConfigError: it cannot be written there.
    """
    kind = path.suffix.casefold().removeprefix(".")
    cut = "tight" if tight else None
    with written_where(option, path):
        write_with(path, lambda place: figure.savefig(place, dpi=dpi, format=kind, bbox_inches=cut))


def write_table(option: str, path: Path, rows: Sequence[Row]) -> None:
    """Write lines of cells where an option says, whole or not at all.

    Args:
        option: for the message.
        path: its suffix decides the format: CSV in UTF-8, or Parquet.
        rows: the columns are those of all rows, in the order in which they first occur; what a row lacks is missing.

    Raises:
        ConfigError: it cannot be written there.
    """
    with written_where(option, path):
        write_rows(path, rows)


@contextmanager
def written_where(option: str, path: Path) -> Iterator[None]:
    """Say of an option's file that it cannot be written, where it cannot.

    Raises:
        ConfigError: so it is.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror})") from None
