"""Numbers as people write them: what a table proves about its decimals is used, what stays open is refused."""

from __future__ import annotations

import pytest

from auricle.errors import DataError
from auricle.numerals import Mark, decimal_mark, read_number


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("4,1", "", 4.1),
        ("4.1", ",", 4.1),
        ("0,123", "", 0.123),
        ("-0,5", "", -0.5),
        (".5", "", 0.5),
        ("12,3456", "", 12.3456),
        ("1.234,5", "", 1234.5),
        ("1,234.5", "", 1234.5),
        ("1,234,567", "", 1234567),
        ("1.234.567", "", 1234567),
        ("1,234", ",", 1.234),
        ("1.234", ".", 1.234),
        ("1.234", "", 1.234),
        ("１２", "", 12),
        ("\u22123", "", -3),
        ("4e3", "", 4000),
        ("4,2e3", "", 4200),
    ],
)
def test_numbers(text: str, mark: Mark, number: float) -> None:
    assert read_number(text, mark) == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "mark"), [("1,234", ""), ("-1,234", ""), ("1,234", "."), ("7.531", ","), ("+12,345", "")]
)
def test_a_mark_that_may_be_of_thousands_is_refused(text: str, mark: Mark) -> None:
    with pytest.raises(DataError, match="thousands or decimals") as caught:
        read_number(text, mark)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "five", "1_0", "4 1", "1,2,3", "nan", "inf", "1e999", "<5", "5 mg", "1,23.4"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(DataError, match="should be a number"):
        read_number(text)


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["4,1", "1,234", "7"], ","),
        (["<0,5"], ","),
        (["4.1", "x"], "."),
        (["1,234", "1.234"], ""),
        (["4,1", "4.1"], ""),
        ([], ""),
    ],
)
def test_what_a_table_proves(cells: list[str], mark: Mark) -> None:
    assert decimal_mark(cells) == mark
