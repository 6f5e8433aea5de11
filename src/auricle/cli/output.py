"""What verbs say and write beside what they print: notes in a language; pages and pictures, checked by name first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auricle.atomic import write_with
from auricle.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from auricle.pages.page import Page

_PAGES: Final = (".html", ".htm")
_PICTURES: Final = (".png", ".svg", ".pdf")


_spoken = "en"


def speak(language: str) -> None:
    """Say the notes of this run in a language; a verb calls it that was asked for one.

    Raises:
        UnknownNameError: a language without words.
    """
    from auricle.paediatrics import wording

    global _spoken
    wording.words(language)
    _spoken = language


def note(message: str) -> str:
    """A warning as a note, in the language of `speak`; one that is in that language already stays as it is."""
    from auricle.paediatrics import wording

    said = wording.words(_spoken)
    text = message if message == said["no_font"] else wording.note_text(message, _spoken)
    return f"{said['page']['notice']}{said['colon']}{text}"


def check_page_name(option: str, path: Path | None) -> None:
    """Refuse a page that is not called like one.

    Raises:
        ConfigError: another suffix than .html.
    """
    if path is not None and path.suffix.casefold() not in _PAGES:
        raise ConfigError(f"{option} {path}: is an HTML page; give a name that ends in .html")


def check_picture_name(option: str, path: Path | None) -> None:
    """Refuse a picture that is not called like one.

    Raises:
        ConfigError: another suffix than .png, .svg or .pdf.
    """
    if path is not None and path.suffix.casefold() not in _PICTURES:
        raise ConfigError(f"{option} {path}: is a picture; give a name that ends in {' or '.join(_PICTURES)}")


def write_page(option: str, path: Path | None, make: Callable[[], Page]) -> None:
    """Make a page and write it where an option says; nothing where there is none.

    Raises:
        ConfigError: it cannot be written there.
    """
    if path is not None:
        page = make()
        with _refused(option, path):
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
    with _refused(option, path):
        write_with(path, lambda place: figure.savefig(place, dpi=dpi, format=kind, bbox_inches=cut))


@contextmanager
def _refused(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror})") from None
