"""What the site is made of: no source, task, room or public name is left out, and links work on GitHub too."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import auricle
from auricle.data.sources import list_sources
from auricle.tasks import list_tasks, load_task

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What a person who opens a file of the map should find in it.
FILES = {
    "src/auricle/losses/diag_sim.py": "diag_sim_weights",
    "src/auricle/nn/film.py": "FiLM",
    "src/auricle/methods/_gate.py": "AgeGateConfig",
    "src/auricle/io/units.py": "millivolts_per",
    "src/auricle/age.py": "parse",
    "src/auricle/data/sources/__init__.py": "Source",
    "src/auricle/data/sources/csn.py": "Csn",
    "src/auricle/evaluate/protocols.py": "zero_shot",
    "src/auricle/evaluate/ranking.py": "auroc",
    "src/auricle/batch.py": "ECGBatch",
    "src/auricle/paediatrics/limits.py": "limits",
    "src/auricle/predict.py": "Predictor",
    "src/auricle/serve/app.py": "create_app",
    "src/auricle/train/fit.py": "fit",
}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("auricle_docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_source_task_room_and_public_name_has_its_place(hooks: ModuleType) -> None:
    pages = hooks.pages()
    for name in list_sources():
        assert f"sources/{name}.md" in pages
        assert f"[`{name}`]({name}.md)" in pages["sources/index.md"]
    for name in list_tasks():
        page = pages[f"tasks/{name}.md"]
        for entry in load_task(name).classes:
            assert f"`{entry.name}`" in page
            assert all(f"`{code}`" in page for code in entry.codes)
            assert all(sentence in page for sentences in entry.prompts.values() for sentence in sentences)
    for folder in (ROOT / "src" / "auricle").iterdir():
        if (folder / "__init__.py").exists():
            assert f"reference/{folder.name}.md" in pages
    for name in hooks.public_names():
        assert f"auricle.{name}" in pages["reference/public.md"]
    assert set(hooks.public_names()) == set(auricle.__all__) - {"__version__"}


def test_public_names_are_found_where_they_are_written(hooks: ModuleType) -> None:
    for name, module in hooks.public_names().items():
        assert getattr(auricle, name).__module__ == hooks.defined_in(module, name), name


def test_every_source_says_where_it_is_from_and_how_it_is_licensed(hooks: ModuleType) -> None:
    for module in hooks.sources():
        title, fields, rest = hooks.read_source(module.docstring)
        assert title.endswith(".")
        said = " ".join([*fields, *rest]).casefold()
        for word in ("source", "licence", "format", "labels", "split"):
            assert word in said, f"{module.dotted} does not say its {word}"
        words = set(module.docstring.split())
        lost = words - {word for text in (title, *fields.values(), *rest) for word in text.split()}
        assert all(word.endswith(":") or f"{word} values:" in module.docstring for word in lost), lost


def test_a_first_sentence_ends_where_a_reader_would_end_it(hooks: ModuleType) -> None:
    assert hooks.first_sentence("One `a.b` and .5 of it. Two.\n\nThree.") == "One `a.b` and .5 of it."
    assert hooks.first_sentence("After Lin et al. 2020\nand others. Two.") == "After Lin et al. 2020 and others."


def test_links_to_files_of_the_repository_become_their_pages(hooks: ModuleType) -> None:
    turned = hooks.with_links_inside(
        "[a](../../src/auricle/age.py) [b](../results/log.md#x) [c](https://x.org)", "methods/x.md"
    )
    assert turned == "[a](../files/src/auricle/age.py.md) [b](../results/log.md#x) [c](https://x.org)"
    assert hooks.with_links_inside("[t](../src/auricle/tasks)", "index.md") == "[t](tasks/index.md)"
    assert hooks.with_links_inside("[c](../CONTRIBUTING.md)", "index.md") == "[c](contributing.md)"


def test_links_of_the_documents_lead_somewhere_on_github() -> None:
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").glob("*.md")]:
        text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in LINK.findall(text):
            if not re.match(r"[a-z]+:|#", target):
                path = page.parent / target.partition("#")[0]
                assert path.exists(), f"{page.relative_to(ROOT)}: {target}"


def test_the_map_names_the_right_files() -> None:
    table = (DOCS / "index.md").read_text(encoding="utf-8").partition("## Which file do I open?")[2]
    assert re.findall(r"\[`([^`]+)`\]\(\.\./\1\)", table) == list(FILES)
    for file, name in FILES.items():
        nodes = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        assert name in {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}, file
