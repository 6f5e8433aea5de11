"""German, Swedish and Chinese reports of carts and cardiologists in English, and abbreviations written out.

Carts write fixed phrases, so a phrase book translates them: from the left, the longest phrase that matches is replaced.
Words that it does not know pass through unchanged and are listed, so that its coverage can be measured. Matching allows
for spelling errors of data sets: `ä`, `ae` and `a` count as equal, and so do a lost umlaut (`#`, as in PTB-XL) and `ü`,
and `á` and `ß` (one code page read as another). Chinese has no spaces, so there each character is a word.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

_HAN: Final = "\u4e00-\u9fff"
_WORD: Final = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:#[^\W_{_HAN}]*)*|#[^\W_{_HAN}]+|[^\w\s]")
_IS_HAN: Final = re.compile(f"[{_HAN}]")
_PLURAL_IN_BRACKETS: Final = re.compile(r"(?<=\w)\((\w+)\)")
_FOLD: Final = str.maketrans({"ä": "a", "ö": "o", "ü": "u", "å": "a", "á": "s", "é": "e", "ß": "s", "#": "u", "ø": "o"})
_LONGEST_PHRASE: Final = 16


@dataclass(frozen=True, slots=True)
class Translation:
    """A report in English.

    Attributes:
        text: English, lower case.
        language: `en`, `de`, `sv` or `zh`: whose phrases matched most.
        untranslated: words of a foreign report that no phrase covers.
        n_words: words of the report.
    """

    text: str
    language: str
    untranslated: tuple[str, ...]
    n_words: int


@lru_cache(maxsize=1)
def _book() -> tuple[dict[tuple[str, ...], tuple[str, str]], frozenset[str]]:
    """Folded words of each phrase -> (language, English); and the English words a foreign report may contain."""
    table = tomllib.loads(files("auricle.text").joinpath("glossary.toml").read_text(encoding="utf-8"))
    phrases: dict[tuple[str, ...], tuple[str, str]] = {}
    for language in ("abbreviations", "de", "sv", "zh"):
        for phrase, english in table[language].items():
            key = tuple(fold(word) for word in words(phrase))
            if len(key) > _LONGEST_PHRASE:
                raise ValueError(f"glossary phrase {phrase!r} has more than {_LONGEST_PHRASE} words")
            phrases[key] = (language, english)
    return phrases, frozenset(table["international"]["words"])


@lru_cache(maxsize=1)
def english_words() -> frozenset[str]:
    """English words of the phrase book, in small letters: those it translates into and those it leaves as they are."""
    phrases, international = _book()
    into = {word.lower() for _, meaning in phrases.values() for word in words(meaning) if word.isalpha()}
    return international | into


def words(text: str) -> list[str]:
    """Words, Chinese characters and punctuation marks; `extrasystole(n)` is one word."""
    return _WORD.findall(_PLURAL_IN_BRACKETS.sub(r"\1", text))


def fold(word: str) -> str:
    """The form in which words are compared: no umlauts in any spelling, `ae` as `a`, doubled s as one."""
    plain = word.lower().translate(_FOLD)
    return plain.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("ss", "s")


def to_english(text: str) -> Translation:
    """Translate a cleaned report. English reports keep their words; only abbreviations are written out."""
    phrases, international = _book()
    originals = words(text)
    folded = [fold(word) for word in originals]
    votes = {"de": 0, "sv": 0, "zh": 0}
    english: list[str] = []
    unknown: list[str] = []
    position = 0
    while position < len(folded):
        length, match = _longest(phrases, folded, position)
        if match is None:
            word = originals[position]
            english.append(word)
            if word.isalpha() and (len(word) > 1 or _IS_HAN.match(word)) and word not in international:
                unknown.append(word)
            position += 1
            continue
        language, meaning = match
        if language in votes:
            votes[language] += length
        if meaning:
            english.append(meaning)
        position += length
    language = max(votes, key=lambda name: votes[name]) if any(votes.values()) else "en"
    n_words = sum(word.isalpha() for word in originals)
    # A word or two that two languages share does not make an English report foreign.
    if language != "en" and votes[language] <= len(unknown) * 0.2:
        language = "en"
    return Translation(_joined(english), language, () if language == "en" else tuple(unknown), n_words)


def _longest(
    phrases: dict[tuple[str, ...], tuple[str, str]], folded: list[str], position: int
) -> tuple[int, tuple[str, str] | None]:
    for length in range(min(_LONGEST_PHRASE, len(folded) - position), 0, -1):
        match = phrases.get(tuple(folded[position : position + length]))
        if match is not None:
            return length, match
    return 1, None


def _joined(parts: list[str]) -> str:
    text = re.sub(r"\s+([.,;:)!?])", r"\1", " ".join(parts)).replace("( ", "(")
    return re.sub(r"(\w)\s?([-/'])\s(?=\w)", r"\1\2", text).strip()
