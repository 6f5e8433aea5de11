"""A small vocabulary learnt from reports, for methods that train their own text encoder and need no hub.

Source: byte pair encoding (Sennrich et al. 2016), learnt inside words, read by the longest match (as WordPiece reads).
Idea: (1) a cleaned report is cut into words that carry the space before them, single digits and single marks; (2) the
pair of neighbouring pieces that is most frequent becomes a piece, again and again; (3) what no piece covers is spelled
in bytes, so nothing is unknown, and decoding gives the cleaned text back; there is no "unknown" entry because it could
never occur. Fitting is deterministic: equally frequent pairs are taken in the order of their letters.

The pieces fit into an array of fixed shape, so they are saved as a tensor among the weights that were trained on them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.text.reports import clean

PAD, CLS, MASK = 0, 1, 2
_FIRST_BYTE: Final = 3
_FIRST_PIECE: Final = _FIRST_BYTE + 256
# Room for the longest piece that is kept, in bytes; a longer word is read as two pieces.
_PIECE_BYTES: Final = 24
# A pair seen only once is not learnt: most are typing errors.
_LEAST_COUNT: Final = 2
MOST_TOKENS: Final = 128
# Entries that end a sentence of a report, unless a digit follows, and what is no word by itself.
SENTENCE_ENDS: Final = tuple(_FIRST_BYTE + ord(mark) for mark in ".;:!?")
SPACE: Final = _FIRST_BYTE + ord(" ")
DIGITS: Final = tuple(_FIRST_BYTE + ord(digit) for digit in "0123456789")
LEAST_SIZE: Final = _FIRST_PIECE + 1
# A mark that ends a sentence never joins the space before it, so that it is one entry wherever it stands.
_WORD: Final = re.compile(r" ?(?:[^\W\d_]+|\d|[^\w\s.;:!?]|_)|[.;:!?]| ")


class Vocabulary:
    """Pieces of words by number: padding, the start, the mask, all bytes, then what was learnt.

    Args:
        pieces: the learnt ones; the first letter of one that begins a word is a space.
    """

    def __init__(self, pieces: Iterable[str] = ()) -> None:
        self.pieces = tuple(pieces)

    @classmethod
    def fit(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """Learn from cleaned texts, each counted as often as it is given.

        Args:
            texts: reports.
            size: most entries, special ones and bytes included.

        Raises:
            ConfigError: there is no room for a single piece.
        """
        if size < LEAST_SIZE:
            raise ConfigError(f"a vocabulary needs {LEAST_SIZE} entries or more (256 of them are bytes), not {size}")
        words: Counter[str] = Counter()
        for text in texts:
            words.update(_words(text))
        return cls(_learn(words, size - _FIRST_PIECE))

    def __len__(self) -> int:
        return _FIRST_PIECE + len(self.pieces)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {piece: _FIRST_PIECE + number for number, piece in enumerate(self.pieces)}

    def encode(self, text: str, most: int = MOST_TOKENS) -> list[int]:
        """Entries of a text after cleaning it, the start first; what lies beyond the `most`-th is cut off."""
        found = [CLS]
        for word in _words(clean(text)):
            if len(found) >= most:
                break
            found += self._spell(word)
        return found[:most]

    def _spell(self, word: str) -> list[int]:
        found, first = [], 0
        while first < len(word):
            lasts = range(min(len(word), first + _PIECE_BYTES), first, -1)
            last = next((end for end in lasts if word[first:end] in self._numbers), None)
            if last is None:
                last = first + 1
                found += [_FIRST_BYTE + byte for byte in word[first].encode()]
            else:
                found.append(self._numbers[word[first:last]])
            first = last
        return found

    def decode(self, entries: Iterable[int]) -> str:
        """The cleaned text that was encoded; padding, start and masks are left out."""
        parts = []
        for entry in entries:
            if entry >= _FIRST_PIECE:
                parts.append(self.pieces[entry - _FIRST_PIECE].encode())
            elif entry >= _FIRST_BYTE:
                parts.append(bytes([entry - _FIRST_BYTE]))
        return b"".join(parts).decode(errors="replace").removeprefix(" ")

    def table(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """(n, token) entries of texts, padded to the longest, and where they are not padding."""
        rows = [self.encode(text) for text in texts]
        entries = np.full((len(rows), max(map(len, rows), default=1)), PAD, dtype=np.int32)
        for number, row in enumerate(rows):
            entries[number, : len(row)] = row
        return entries, entries != PAD

    def to_bytes(self, size: int) -> NDArray[np.uint8]:
        """The learnt pieces as (size - fixed entries, bytes) of UTF-8, zero beyond the end of each.

        Raises:
            ConfigError: more pieces than there is room for.
        """
        if len(self) > size:
            raise ConfigError(f"a vocabulary of {len(self)} entries does not fit into {size}: raise vocabulary_size")
        rows = np.zeros((size - _FIRST_PIECE, _PIECE_BYTES), dtype=np.uint8)
        for row, piece in zip(rows, self.pieces, strict=False):
            encoded = piece.encode()
            row[: len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
        return rows

    @classmethod
    def from_bytes(cls, rows: NDArray[np.uint8]) -> Vocabulary:
        """The vocabulary of the pieces that `to_bytes` wrote, (entry, bytes)."""
        pieces = (row.tobytes().rstrip(b"\0").decode() for row in rows)
        return cls(piece for piece in pieces if piece)


def _words(text: str) -> list[str]:
    """Runs of letters, digits and marks one by one; what follows a space keeps it, so that joining gives the text."""
    return _WORD.findall(f" {text}") if text else []


def _learn(words: Counter[str], most: int) -> list[str]:
    """Up to `most` pieces, each the most frequent pair of neighbours when it was made."""
    spelled = {word: list(word) for word in words}
    counts: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def count(word: str, sign: int) -> None:
        for pair in zip(spelled[word], spelled[word][1:], strict=False):
            counts[pair] += sign * words[word]
            where[pair].add(word)

    for word in words:
        count(word, 1)
    # Letters that are not ASCII would cost two bytes or more each; frequent ones are pieces as any other.
    letters: Counter[str] = Counter()
    for word, number in words.items():
        letters.update(dict.fromkeys(word, number))
    pieces = [letter for letter in sorted(letters) if not letter.isascii() and letters[letter] >= _LEAST_COUNT][:most]
    known = set(pieces)
    while len(pieces) < most and counts:
        best = max(counts, key=lambda pair: (counts[pair], pair))
        if counts[best] < _LEAST_COUNT:
            break
        joined = "".join(best)
        if len(joined.encode()) > _PIECE_BYTES:
            del counts[best]
            continue
        if joined not in known:
            known.add(joined)
            pieces.append(joined)
        for word in where.pop(best):
            count(word, -1)
            spelled[word] = _join(spelled[word], best)
            count(word, 1)
        counts.pop(best, None)
    return pieces


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        # A piece that was just joined cannot match again: it is longer than the first of the pair.
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined
