"""The languages and their words, from `wording.toml`, and what other rooms say in English in those languages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from auricle.errors import UnknownNameError

_PLACEHOLDER: Final = re.compile(r"\\\{(\w+)\\\}")
# What a placeholder stands for; one that is not here stands for anything. Lists of names have no colon in them, so that
# a sentence that begins with names is not found with the name of a file in front of it.
_STANDS_FOR: Final = {"n": r"[\d.]+", "leads": "[^:;]+?", "names": "[^:;]+?", "name": "[^:;]+?"}


def languages() -> tuple[str, ...]:
    """The languages that have words: "en", "zh", "de"."""
    return tuple(_toml("wording.toml"))


def words(language: str) -> Mapping[str, Any]:
    """All words of a language.

    Raises:
        UnknownNameError: a language without words.
    """
    everything = _toml("wording.toml")
    if language not in everything:
        raise UnknownNameError("language", language, languages())
    table: Mapping[str, Any] = everything[language]
    return table


def translated(text: str, language: str) -> str | None:
    """What a reader, a measurement or a table of limits says in English, in a language; None where that is not known.

    Readers and measurements lie below this room and speak English; `translations.toml` has their sentences, with
    placeholders for the names and numbers in them, which stay as they are unless they are sentences or ages themselves.

    Args:
        text: an English sentence, such as a note of `Recording.notes` or the reason of a `Measured`.
        language: as in `languages`.

    Raises:
        UnknownNameError: a language without words.
    """
    if words(language) is words("en"):
        return text
    for pattern, into in _patterns(language):
        found = pattern.fullmatch(text)
        if found:
            return into.format(**{name: _inside(part, language) for name, part in found.groupdict().items()})
    return None


def _inside(text: str, language: str) -> str:
    """A part of a sentence: a sentence, an age or a list of them in the language, and anything else as it is."""
    whole = translated(text, language)
    if whole is not None:
        return whole
    for separator, joint in (("; ", "semicolon"), (", ", "joint")):
        parts = [translated(part, language) for part in text.split(separator)]
        if len(parts) > 1 and None not in parts:
            return str(words(language)[joint]).join(part for part in parts if part is not None)
    return text


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """English sentences as patterns, the longest first, each with its translation."""
    said = {text: entry[language] for entry in _toml("translations.toml")["said"] for text in _texts(entry["en"])}
    quality = {code: text for code, text in words("en")["quality"].items() if code != "title"}
    for code, text in quality.items():
        own = str(words(language)["quality"][code])
        said |= {text: own, f"{{leads}}: {text}": f"{{leads}}{words(language)['colon']}{own}"}
    longest_first = sorted(said, key=lambda text: -len(_without_placeholders(text)))
    return tuple((re.compile(_PLACEHOLDER.sub(_group, re.escape(text))), said[text]) for text in longest_first)


def _group(placeholder: re.Match[str]) -> str:
    name = placeholder[1]
    return f"(?P<{name}>{_STANDS_FOR.get(name, '.+?')})"


def _texts(en: str | list[str]) -> list[str]:
    return [en] if isinstance(en, str) else en


def _without_placeholders(text: str) -> str:
    return re.sub(r"\{\w+\}", "", text)


@cache
def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((files("auricle.paediatrics") / name).read_text(encoding="utf-8"))
