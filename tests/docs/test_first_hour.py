"""The tutorial is run: every block of the page, in order, in an empty folder, with a tenth of its training steps."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

import auricle
from auricle.methods import load_card
from running import auricle as run

STEPS = re.compile(r"(?<=--steps )\d+")
PAGE = Path(__file__).parents[2] / "docs" / "first_hour.md"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, its text, and the line it begins on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m["language"], m["text"], text[: m.start()].count("\n") + 1) for m in BLOCK.finditer(text)]


def run_commands(block: Block) -> str:
    """What the commands of a block print; each must succeed."""
    printed = ""
    for line in STEPS.sub(lambda steps: str(int(steps[0]) // 10), block.text).splitlines():
        name, *arguments = shlex.split(line, comments=True) or [""]
        if not name:
            continue
        assert name == "auricle", f"line {block.line}: only auricle's own commands can be tested, not {line!r}"
        result = run(*arguments)
        assert result.returncode == 0, f"line {block.line}: {line}\n{result.stdout}{result.stderr}"
        printed += result.stderr + result.stdout
    return printed


def run_python(block: Block) -> str:
    """What a block of Python prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, f"{PAGE.name}:{block.line}", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def save_file(block: Block) -> None:
    """A block of TOML says in its first line which file it is."""
    name = block.text.partition("\n")[0].removeprefix("#").strip()
    tomllib.loads(block.text)
    Path(name).write_text(block.text, encoding="utf-8")


def words(text: str) -> set[str]:
    """Words of output that do not change with the last digit of a number."""
    return set(re.findall(r"[A-Za-z_]{3,}", text))


def test_every_block_of_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = ""
    for block in blocks(PAGE):
        if block.language == "sh":
            printed = run_commands(block)
        elif block.language == "python":
            printed = run_python(block)
        elif block.language == "toml":
            save_file(block)
        else:
            assert block.language == "text", f"line {block.line}: a {block.language} block is not tested"
            missing = words(block.text) - words(printed)
            assert not missing, (
                f"line {block.line}: the page shows {sorted(missing)}, which was not printed:\n{printed}"
            )
    for made in ("check.html", "newborn.html", "runs/lisa/model/auricle.json", "runs/gate/model/auricle.json"):
        assert (tmp_path / made).is_file(), made
    assert load_card(Path("runs/gate"))[0]["config"]["gate"] is not None, "the tutorial ends with an age-gated model"


def test_the_functions_that_the_tutorial_names_are_public() -> None:
    named = set(re.findall(r"`auricle\.(\w+)", PAGE.read_text(encoding="utf-8")))
    assert {"ingest", "pretrain", "finetune", "evaluate_run", "measure_recording"} <= named
    assert named - {"data"} <= set(auricle.__all__)
