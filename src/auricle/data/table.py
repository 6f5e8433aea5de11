"""A CSV as hospitals and spreadsheets write it: which encoding, which delimiter, where each record begins.

Excel writes UTF-8 with a mark, UTF-16 ("Unicode text"), or the code page of its country; it separates by comma,
semicolon or tab, may say which in a first line `sep=;`, and leaves empty columns and rows at the end. The manifest and
its doctor read the same table.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from auricle.errors import DataError
from auricle.numerals import Mark, decimal_mark

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# How a workbook of today begins, which is a ZIP archive, and one of before 2007.
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_DELIMITERS: Final = ",;\t"
# Two bytes from here to the end are a character of GB 2312, the common part of GBK; Latin-1 has letters one by one.
_GB_PAIRS: Final = re.compile(rb"(?:[\xb0-\xf7][\xa1-\xfe])+")
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Table:
    """The header, and each record with the line it begins on.

    Attributes:
        header: names of the columns, blanks cut off; empty names at its end are left out.
        records: (line, cells) of each record that is not empty; None instead of cells where the CSV is damaged.
        garbled: lines with characters that are not of the encoding; empty in a sound file.
        garbled_reason: what is wrong with the encoding, with the remedy; empty in a sound file.
    """

    header: tuple[str, ...]
    records: tuple[tuple[int, tuple[str, ...] | None], ...]
    garbled: tuple[int, ...] = ()
    garbled_reason: str = ""

    def decimal_mark(self, columns: Collection[int]) -> Mark:
        """What the numbers in some columns, by place, prove about the table's decimals."""
        cells = (record for _, record in self.records if record)
        return decimal_mark(record[column] for record in cells for column in columns if column < len(record))


def read_table(path: Path) -> Table:
    """Read a CSV without stopping at what is wrong in it.

    Raises:
        DataError: there is no such file, or it cannot be opened.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); give the CSV file itself") from None
    if content.startswith(_WORKBOOKS):
        raise DataError(f"{path}: is an Excel workbook or an archive: save its sheet as “CSV UTF-8” and give that")
    codec = next((codec for mark, codec in _MARKS if content.startswith(mark)), "utf-8")
    text = content.decode(codec, errors="replace")
    lines = list(io.StringIO(text, newline=""))
    garbled = tuple(number for number, line in enumerate(lines, start=1) if "\ufffd" in line)
    reason = _encoding_of(content) if garbled else ""
    delimiter, skipped = _delimiter(lines)
    records = list(_records(lines, delimiter, skipped))
    header = [name.strip() for name in (records[0][1] or ())] if records else []
    while header and not header[-1]:
        header.pop()
    body = [(line, _without_empty_end(cells, len(header))) for line, cells in records[1:]]
    filled = tuple((line, cells) for line, cells in body if cells is None or any(map(str.strip, cells)))
    return Table(tuple(header), filled, garbled, reason)


def cells_of(header: Sequence[str], values: Sequence[str] | None) -> dict[str | None, str | None]:
    """The cells of a record by column; None stands for a cell too many or too few.

    Raises:
        DataError: the record is damaged.
    """
    if values is None:
        raise DataError("the line is damaged CSV: look for a quotation mark that is not closed or not doubled")
    cells: dict[str | None, str | None] = dict(zip_longest(header, values[: len(header)]))
    if len(values) > len(header):
        cells[None] = None
    return cells


def _encoding_of(content: bytes) -> str:
    """What a file that is not UTF-8 seems to be, and the remedy. It is not guessed: a byte may be anybody's letter."""
    remedy = "save it as CSV UTF-8"
    if b"\0" in content:
        return f"is not UTF-8 but UTF-16 without its mark: {remedy}"
    if all(map(_GB_PAIRS.fullmatch, _NOT_ASCII.findall(content))):
        return f"is not UTF-8 but seems to be GBK, as a Chinese Windows writes it: {remedy} (iconv -f GB18030 -t UTF-8)"
    return f"is not UTF-8: {remedy}"


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """The delimiter, and how many lines come before the header: a spreadsheet may name it in a line `sep=;`."""
    first = lines[0] if lines else ""
    named = first.strip().casefold().removeprefix("sep=")
    if first.casefold().startswith("sep=") and len(named) <= 1:
        return named or "\t", 1
    return max(_DELIMITERS, key=first.count), 0


def _records(lines: Sequence[str], delimiter: str, start: int) -> Iterator[tuple[int, tuple[str, ...] | None]]:
    """The line on which each record begins, and its cells.

    A damaged record has None, and reading goes on with the next line: an open quotation mark must not swallow the rest.
    """
    while start < len(lines):
        rest = (lines[number] for number in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        begin = start
        try:
            for values in reader:
                yield begin + 1, tuple(values)
                begin = start + reader.line_num
            return
        except csv.Error:
            yield begin + 1, None
            start = begin + 1


def _without_empty_end(cells: tuple[str, ...] | None, n_columns: int) -> tuple[str, ...] | None:
    """The cells without empty ones beyond the header."""
    if cells is None:
        return None
    end = len(cells)
    while end > n_columns and not cells[end - 1].strip():
        end -= 1
    return cells[:end]
