"""The README in Chinese says what the English one says: no block, link, name or section is in one of them only."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = "README.md", "README.zh.md"
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def texts() -> tuple[str, str]:
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in (ENGLISH, CHINESE))
    return english, chinese


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def links(text: str) -> Counter[str]:
    """Where the links lead; each README's link to the other one is its own."""
    return Counter(target for target in re.findall(r"\]\(([^)]+)\)", text) if target not in {ENGLISH, CHINESE})


def test_code_blocks_are_equal(texts: tuple[str, str]) -> None:
    english, chinese = map(BLOCK.findall, texts)
    assert english
    assert english == chinese


def test_links_are_equal_and_lead_somewhere(texts: tuple[str, str]) -> None:
    english, chinese = map(links, texts)
    assert english == chinese
    for target in english:
        assert target.startswith("http") or (ROOT / target.partition("#")[0]).exists(), target


def test_each_links_to_the_other(texts: tuple[str, str]) -> None:
    for text, other in zip(texts, (CHINESE, ENGLISH), strict=True):
        assert f"]({other})" in text.partition("\n## ")[0]


def test_headings_lists_and_tables_have_the_same_length(texts: tuple[str, str]) -> None:
    for start in ("#", "* ", "|", "!["):
        english, chinese = (sum(line.startswith(start) for line in prose(text).splitlines()) for text in texts)
        assert english == chinese, start


def test_names_and_commands_in_the_prose_are_equal(texts: tuple[str, str]) -> None:
    english, chinese = (
        Counter(" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose(text))) for text in texts
    )
    assert english == chinese


def test_numbers_are_equal(texts: tuple[str, str]) -> None:
    """Numbers that are written in digits in the prose; words such as "seventy" are not compared."""
    decimals = (Counter(re.findall(r"\d+\.\d+", prose(text))) for text in texts)
    english, chinese = decimals
    assert english == chinese
