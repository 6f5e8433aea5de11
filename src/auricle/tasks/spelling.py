"""How labels are spelt: which say the same, and which are written like a code of a task and are none."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from auricle.recording import DOUBT

# Words before a label under which it neither says a class nor that somebody was looked at for it.
_DOUBTED: Final = re.compile(
    r"^(?:\?+\s*|[vz]\.\s*[an]\.?\s*|susp\.\s*|疑似|可疑|可能|疑|无|未见"
    r"|(?:va|verdacht(?: auf)?|fraglich|suspected|suspicion of|susp|possibl[ey]|probabl[ey]|rule[ -]out|r/o)\s+"
    r"|(?:keine?|nicht|ohne|no evidence of|no|not|without)\s+)|\s*(?:\(\?+\)|[?!]+)$",
    re.IGNORECASE,
)


def family(label: str) -> str:
    """A label in lower case without spaces, hyphens and underscores: equal for spellings of one label."""
    return "".join(letter for letter in label.casefold() if letter not in " \t\u00a0-_")


@lru_cache(maxsize=65536)
def codes_like(label: str, codes: frozenset[str], known: frozenset[str]) -> tuple[str, ...]:
    """The codes that a label is written like: but for capitals, blanks, dashes, and words of doubt or denial about it.

    Args:
        label: any. One that is a code resembles none, nor does a code in doubt (`RVH?`), nor a code of another task,
            unless capitals alone tell it from one of these.
        codes: that are asked for.
        known: codes of all tasks that come along.
    """
    certain = label.removesuffix(DOUBT).rstrip()
    if certain in codes:
        return ()
    written, capitals = _by_letters(codes)
    if certain in known and certain.casefold() not in capitals:
        return ()
    return written.get(_letters(label), ())


@lru_cache(maxsize=64)
def _by_letters(codes: frozenset[str]) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """The codes by their letters, and all of them in small ones."""
    found: dict[str, tuple[str, ...]] = {}
    for code in sorted(codes):
        found[_letters(code)] = (*found.get(_letters(code), ()), code)
    return found, frozenset(map(str.casefold, codes))


@lru_cache(maxsize=65536)
def _letters(label: str) -> str:
    """The `family` of a label without words and marks of doubt or denial about it."""
    core, longer = unicodedata.normalize("NFKC", label).strip(), ""
    while core != longer:
        longer, core = core, _DOUBTED.sub("", core).strip()
    return family(core)
