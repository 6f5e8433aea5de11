"""What the site shows beside the pages of this folder: made from the code at each build, so that it cannot fall behind.

MkDocs calls the functions named `on_...`. Pages are made for the public names, every room of the package, every data
source and every task; docstrings are read from the source text, and nothing of auricle is imported. A link of a page to
a file of the repository outside of `docs/` works on GitHub as it stands; here that file becomes a page of its own.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "src" / "auricle"
# Files that are not Python and hold what a person would look for in a room: shown as text below the room's modules.
_DATA_OF_ROOMS: Final = (".toml",)
# What a source's docstring says, by the words it begins with.
_FIELD: Final = re.compile(
    r"(?:^|(?<=[.;] ))(Source|Licence|Format|Labels?|Split|Reports?|Ages?|Laboratory values|Papers?): "
)
# Sentences between fields that belong to none of them.
_FREE: Final = re.compile(r"(?<=[.;] )(?:Reports|Ages) (?:are|keep) .*?\.(?= [A-Z`]|$)")
_LINK: Final = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_LANGUAGES: Final = {"en": "English", "de": "German", "zh": "Chinese"}
_LEXERS: Final = {".py": "python", ".toml": "toml", ".sh": "bash", ".csv": "text", ".json": "json", "": "make"}
_NOT_SEARCHED: Final = "---\nsearch:\n  exclude: true\n---\n\n"
# Published beside the pages under their own names, with links set right.
_DOCUMENTS: Final = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# Folders that made pages stand for: GitHub shows the folder, the site what is in it.
_FOLDERS: Final = {
    "src/auricle": "reference/index.md",
    "src/auricle/data/sources": "sources/index.md",
    "src/auricle/tasks": "tasks/index.md",
}


# What is in the code


@dataclass(frozen=True)
class Module:
    """A Python file of the package.

    Attributes:
        dotted: its import name, `auricle.losses.diag_sim`.
        path: where it lies.
        docstring: its docstring, empty if it has none.
    """

    dotted: str
    path: Path
    docstring: str

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return first_sentence(self.docstring)


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_at(path: Path) -> Module:
    """The module of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    dotted = ".".join(part for part in parts if part != "__init__")
    return Module(dotted, path, ast.get_docstring(parsed(path)) or "")


def first_sentence(text: str) -> str:
    """The first sentence of a docstring on one line; a full stop inside a name or a number does not end it."""
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    end = re.search(r"(?<!et al)(?<! e\.g)\.(?= [A-Z`(])", paragraph)
    return paragraph[: end.end()] if end else paragraph


def path_of(dotted: str) -> Path:
    """The file of an import name."""
    stem = PACKAGE.parent.joinpath(*dotted.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def public_names() -> dict[str, str]:
    """Name -> module of what `import auricle` offers, as `auricle/__init__.py` lists it."""
    for node in parsed(PACKAGE / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PUBLIC":
            found: dict[str, str] = ast.literal_eval(node.value)
            return found
    raise LookupError("auricle/__init__.py has no _PUBLIC")


def defined_in(dotted: str, name: str) -> str:
    """The module in which a name is written down, followed through the `from ... import` of packages.

    Raises:
        LookupError: it is nowhere.
    """
    for node in parsed(path_of(dotted)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return dotted
        if isinstance(node, ast.ImportFrom) and node.module and name in {a.asname or a.name for a in node.names}:
            return defined_in(node.module, name)
    raise LookupError(f"{dotted} does not define {name}")


def summary_of(dotted: str, name: str) -> str:
    """The first sentence of the docstring of a class or function."""
    for node in parsed(path_of(dotted)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return first_sentence(ast.get_docstring(node) or "")
    raise LookupError(f"{dotted} does not define {name}")


def rooms() -> dict[str, list[Module]]:
    """Room -> its modules, the room itself first; `auricle` is the files that lie at the root."""
    found = {"auricle": [module_at(path) for path in sorted(PACKAGE.glob("*.py"))]}
    for folder in sorted(PACKAGE.iterdir()):
        if (folder / "__init__.py").exists():
            paths = sorted(folder.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name))
            found[folder.name] = [module_at(path) for path in paths]
    return found


def sources() -> list[Module]:
    """The data sources."""
    folder = PACKAGE / "data" / "sources"
    return [module_at(path) for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def task_files() -> dict[str, Path]:
    """Id -> file of the tasks."""
    folder = PACKAGE / "tasks"
    return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.rglob("*.toml"))}


# Pages


def pages() -> dict[str, str]:
    """Place in the site -> Markdown of every page that is made."""
    made = {"reference/index.md": _reference_index(), "reference/public.md": _public_page()}
    made |= {f"reference/{room}.md": _room_page(room, modules) for room, modules in rooms().items()}
    made["sources/index.md"] = _sources_index()
    made |= {f"sources/{module.path.stem}.md": _source_page(module) for module in sources()}
    made["tasks/index.md"] = _tasks_index()
    made |= {f"tasks/{name}.md": _task_page(name, path) for name, path in task_files().items()}
    return made


def navigation() -> list[Any]:
    """The made pages as MkDocs' `nav` writes them."""
    by_folder: dict[str, list[Any]] = {}
    for name in task_files():
        folder, _, own = name.rpartition("/")
        by_folder.setdefault(folder, []).append({own: f"tasks/{name}.md"})
    tasks = by_folder.pop("", [])
    tasks = [*tasks, *({folder: entries} for folder, entries in by_folder.items())]
    return [
        {"Data sources": ["sources/index.md", *({m.path.stem: f"sources/{m.path.stem}.md"} for m in sources())]},
        {"Tasks": ["tasks/index.md", *tasks]},
        {
            "Reference": [
                "reference/index.md",
                {"Public names": "reference/public.md"},
                *({_room_title(room): f"reference/{room}.md"} for room in rooms()),
            ]
        },
    ]


def _room_title(room: str) -> str:
    return "auricle (root)" if room == "auricle" else f"auricle.{room}"


def _reference_index() -> str:
    lines = [
        "# Reference",
        "",
        "Made from the docstrings. `import auricle` offers the [public names](public.md), each imported on first use; "
        "everything else is imported from its room.",
        "",
        "## Public names",
        "",
        "| name | what it is |",
        "|---|---|",
    ]
    for name, module in public_names().items():
        home = defined_in(module, name)
        lines.append(f"| [`auricle.{name}`][{home}.{name}] | {_cell(summary_of(home, name))} |")
    lines += ["", "## Rooms", "", "| room | what lives there |", "|---|---|"]
    for room, modules in rooms().items():
        lines.append(f"| [`{_room_title(room)}`]({room}.md) | {_cell(_room_sentence(room, modules))} |")
    lines += [
        "",
        "A room may import from those before it, never the other way: "
        "[architecture](../architecture.md) has the order, and a test holds the code to it.",
    ]
    return "\n".join(lines) + "\n"


def _room_sentence(room: str, modules: list[Module]) -> str:
    if room == "auricle":
        return "What every room stands on: recordings, batches, ages, leads, laboratory values, configuration, errors."
    return modules[0].summary


def _public_page() -> str:
    lines = ["# Public names", "", "What `import auricle` offers. Each is imported on first use.", ""]
    for name, module in public_names().items():
        home = defined_in(module, name)
        options = {"heading": f"auricle.{name}", "toc_label": f"auricle.{name}"}
        lines += _directive(
            f"{home}.{name}", heading_level=2, show_root_heading=True, show_root_toc_entry=True,
            skip_local_inventory=True, **options,
        )  # fmt: skip
        lines += [f"Written in {_code_link(path_of(home), 'reference/public.md')}.", ""]
    return "\n".join(lines) + "\n"


def _room_page(room: str, modules: list[Module]) -> str:
    here = f"reference/{room}.md"
    lines = [f"# {_room_title(room)}", "", _room_sentence(room, modules), "", "| file | what it holds |", "|---|---|"]
    for module in modules:
        if module.docstring:
            lines.append(f"| {_code_link(module.path, here, PACKAGE)} | {_cell(module.summary)} |")
    folder = PACKAGE if room == "auricle" else PACKAGE / room
    data = folder.glob("*") if room == "auricle" else folder.rglob("*")
    for path in sorted(data):
        if path.suffix in _DATA_OF_ROOMS and folder.name != "tasks":
            lines.append(f"| {_code_link(path, here, PACKAGE)} | data |")
    lines.append("")
    for module in modules:
        if module.docstring:
            lines += [f"## {module.dotted}", "", *_directive(module.dotted, heading_level=3)]
    return "\n".join(lines) + "\n"


def _sources_index() -> str:
    lines = [
        "# Data sources",
        "",
        "`auricle ingest SOURCE FOLDER STORE [option=value ...]`. How they go together, and their traps: "
        "[data sets](../data.md). A new source is one file: [contributing](../contributing.md).",
        "",
        "| source | what it is | tasks |",
        "|---|---|---|",
    ]
    for module in sources():
        name = module.path.stem
        tasks = ", ".join(f"[{task}](../tasks/{task}.md)" for task in _tasks_of(name))
        lines.append(f"| [`{name}`]({name}.md) | {_cell(module.summary)} | {tasks} |")
    return "\n".join(lines) + "\n"


def _source_page(module: Module) -> str:
    name = module.path.stem
    here = f"sources/{name}.md"
    title, fields, rest = read_source(module.docstring)
    lines = [f"# {name}", "", title, ""]
    if fields:
        lines += ["| | |", "|---|---|", *(f"| **{field}** | {_cell(text)} |" for field, text in fields.items()), ""]
    lines += [line for text in rest for line in (text, "")]
    root = "records.csv" if name == "manifest" else "." if name == "simulated" else "FOLDER"
    lines += ["```sh", f"auricle ingest {name} {root} STORE", "```", ""]
    tasks = _tasks_of(name)
    if tasks:
        lines += ["**Tasks:** " + ", ".join(f"[{task}](../tasks/{task}.md)" for task in tasks), ""]
    lines += [f"**Code:** {_code_link(module.path, here)}", "", "## Options", ""]
    camel = "".join(part.capitalize() for part in name.split("_"))
    if has_options(module.path, camel):
        lines += ["Written behind the store as `option=value`.", ""]
        lines += _directive(
            f"{module.dotted}.{camel}",
            heading_level=3,
            show_root_heading=True,
            skip_local_inventory=True,
            members=False,
        )
    else:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def read_source(docstring: str) -> tuple[str, dict[str, str], list[str]]:
    """A source's docstring as its title, what it says field by field, and the paragraphs that are no field.

    Text before the first field of a paragraph belongs to no field, and nor do sentences such as "Ages are days.".
    """
    title, _, body = docstring.strip().partition("\n\n")
    fields: dict[str, str] = {}
    rest: list[str] = []
    for paragraph in body.split("\n\n"):
        text = " ".join(paragraph.split())
        free = " ".join(_FREE.findall(text))
        text = " ".join(_FREE.sub("", text).split())
        marks = list(_FIELD.finditer(text))
        before = text[: marks[0].start()].strip() if marks else text
        rest += [said for said in (before, free) if said]
        for mark, after in zip(marks, [*marks[1:], None], strict=True):
            said = text[mark.end() : after.start() if after else len(text)].strip()
            fields[mark[1]] = f"{fields[mark[1]]} {said}" if mark[1] in fields else said
    return " ".join(title.split()), fields, rest


def has_options(path: Path, name: str) -> bool:
    """Whether the class of a source takes any argument."""
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            return any(len(one.args.args) + len(one.args.kwonlyargs) > 1 for one in made)
    raise LookupError(f"{path} does not define {name}")


def _tasks_of(source: str) -> list[str]:
    return [name for name, path in task_files().items() if read_task(path)["source"] == source]


@cache
def read_task(path: Path) -> dict[str, Any]:
    """A task's TOML."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _tasks_index() -> str:
    lines = [
        "# Tasks",
        "",
        "A task is a question as data: the classes, by whole codes, the sentences a text tower reads for each, and a "
        "split in which no patient is in two parts. A TOML file of the same form is a task of your own: "
        "`--task mine.toml`.",
        "",
        "| task | title | source | classes | split |",
        "|---|---|---|---:|---|",
    ]
    for name, path in task_files().items():
        task = read_task(path)
        lines.append(
            f"| [`{name}`]({name}.md) | {_cell(task['title'])} | [{task['source']}](../sources/{task['source']}.md) "
            f"| {len(task['classes'])} | by {task['split']['by']} |"
        )
    return "\n".join(lines) + "\n"


def _task_page(name: str, path: Path) -> str:
    task = read_task(path)
    here = f"tasks/{name}.md"
    up = "../" * here.count("/")
    lines = [f"# {name}", "", f"**{task['title']}**", "", *_leading_comment(path)]
    facts = {
        "source": f"[{task['source']}]({up}sources/{task['source']}.md)"
        + (f", its part `{task['subset']}`" if task.get("subset") else ""),
        "split": split_in_words(task["split"]),
        "records without any of the classes": "left out" if task.get("require_any") else "kept",
        "published split files": published_in_words(task.get("published")),
        "version of the prompts": str(task.get("prompts_version", 1)),
        "file": _code_link(path, here),
    }
    lines += ["| | |", "|---|---|", *(f"| **{key}** | {value} |" for key, value in facts.items() if value), ""]
    lines += [
        "```sh",
        f"auricle evaluate RUN STORE RESULTS --task {name}",
        "```",
        "",
        f"## {len(task['classes'])} classes",
        "",
        "| class | title | codes | prompts in English |",
    ]
    lines += ["|---|---|---|---|"]
    for entry in task["classes"]:
        codes = ", ".join(f"`{code}`" for code in entry["codes"])
        prompts = "<br>".join(map(_cell, prompts_of(entry).get("en", ())))
        lines.append(f"| `{_cell(entry['name'])}` | {_cell(entry.get('title', ''))} | {_cell(codes)} | {prompts} |")
    others = [code for code in _LANGUAGES if code != "en" and any(code in prompts_of(e) for e in task["classes"])]
    for code in others:
        lines += ["", f"## Prompts in {_LANGUAGES[code]}", "", "| class | prompts |", "|---|---|"]
        for entry in task["classes"]:
            said = "<br>".join(map(_cell, prompts_of(entry).get(code, ())))
            lines.append(f"| `{_cell(entry['name'])}` | {said} |")
    return "\n".join(lines) + "\n"


def _leading_comment(path: Path) -> list[str]:
    """The comment a task's file begins with, as a paragraph."""
    said = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        said.append(line.removeprefix("#").strip())
    return [" ".join(said), ""] if said else []


def prompts_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The prompts of a class by language; a bare list is English."""
    prompts = entry.get("prompts", {})
    return prompts if isinstance(prompts, Mapping) else {"en": prompts}


def split_in_words(split: Mapping[str, Any]) -> str:
    """A split as a person would say it."""
    parts = [(part, split[part]) for part in ("train", "validation", "test")]
    if split["by"] == "fold":
        return "by the source's folds: " + "; ".join(f"{part} {', '.join(map(str, folds))}" for part, folds in parts)
    return "by a hash of the patient: " + ", ".join(f"{part} {share:.0%}" for part, share in parts)


def published_in_words(published: Mapping[str, Any] | None) -> str:
    """The split files others published, and the column that names the record; empty where there are none."""
    if not published:
        return ""
    files = ", ".join(f"{part} `{published[part]}`" for part in ("train", "validation", "test") if part in published)
    return f"{files} (`--published FOLDER`)"


def _directive(identifier: str, **options: Any) -> list[str]:
    lines = [f"::: {identifier}", "    options:"]
    return [*lines, *(f"      {key}: {json.dumps(value)}" for key, value in options.items()), ""]


def _cell(text: str) -> str:
    """Text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


# Files of the repository that pages point to


def _code_link(path: Path, here: str, below: Path = ROOT) -> str:
    """A link to the page of a file of the repository, which is named as seen from the folder `below`."""
    inside = path.relative_to(ROOT).as_posix()
    return f"[`{path.relative_to(below).as_posix()}`]({posixpath.relpath(_page_of(inside), posixpath.dirname(here))})"


def _page_of(inside: str) -> str:
    """Place in the site of a file of the repository."""
    return {**_DOCUMENTS, **_FOLDERS}.get(inside, f"files/{inside}.md")


def _outside(target: str, here: str) -> str | None:
    """The file of the repository that a link leads to if it is none of the site; `here` is relative to `docs/`."""
    inside = _target(target, posixpath.join("docs", posixpath.dirname(here)))
    return None if inside is None or inside.startswith("docs/") else inside


def _target(link: str, folder: str) -> str | None:
    """What a relative link leads to, from the root of the repository; a folder is its README or the page made of it.

    None where it leads out of the repository, to another site or to nothing.
    """
    inside = posixpath.normpath(posixpath.join(folder, link))
    if re.match(r"[a-z]+:|/", link) or inside.startswith("../"):
        return None
    if (ROOT / inside).is_dir() and inside not in _FOLDERS:
        inside = f"{inside}/README.md"
    return inside if inside in _FOLDERS or (ROOT / inside).is_file() else None


def links_out(markdown: str, here: str) -> Iterator[str]:
    """Files of the repository outside of `docs/` that a page links to."""
    for match in _LINK.finditer(markdown):
        found = _outside(match[2], here)
        if found is not None:
            yield found


def with_links_inside(markdown: str, here: str) -> str:
    """The page with its links to files of the repository turned to the pages of these files."""

    def turned(match: re.Match[str]) -> str:
        found = _outside(match[2], here)
        if found is None:
            return match[0]
        place = posixpath.relpath(_page_of(found), posixpath.dirname(here) or ".")
        return f"{match[1]}{place}{match[3] or ''}{match[4]}"

    return _LINK.sub(turned, markdown)


def file_page(inside: str) -> str:
    """The page of a file: a document as it reads, anything else as text with numbered lines."""
    text = (ROOT / inside).read_text(encoding="utf-8")
    if inside.endswith(".ipynb"):
        text = notebook(text)
    if inside.endswith((".md", ".ipynb")):
        return _moved(text, inside)
    lexer = _LEXERS.get(Path(inside).suffix, "text")
    fence = "`" * (3 + max((len(run) - 2 for run in re.findall(r"`{3,}", text)), default=0))
    return f'{_NOT_SEARCHED}# {inside}\n\n{fence}{{ .{lexer} linenums="1" }}\n{text.rstrip()}\n{fence}\n'


def notebook(text: str) -> str:
    """The cells of a notebook as Markdown: prose, code, and what the code printed."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            elif "image/png" in output.get("data", {}):
                parts.append(f"![What the cell drew](data:image/png;base64,{output['data']['image/png']})")
    return "\n\n".join(parts) + "\n"


def _moved(markdown: str, inside: str) -> str:
    """A document from elsewhere in the repository with its relative links as seen from its place in the site."""
    place = posixpath.dirname(_page_of(inside)) or "."

    def turned(match: re.Match[str]) -> str:
        target = _target(match[2], posixpath.dirname(inside))
        if target is None:
            return match[0]
        page = target.removeprefix("docs/") if target.startswith("docs/") else _page_of(target)
        return f"{match[1]}{posixpath.relpath(page, place)}{match[3] or ''}{match[4]}"

    return _LINK.sub(turned, markdown)


def repository_pages(linked: Iterable[str]) -> dict[str, str]:
    """Place -> Markdown of the pages of files of the repository, and of files that those link to in turn."""
    made: dict[str, str] = {}
    waiting = [*_DOCUMENTS, *linked]
    while waiting:
        inside = waiting.pop()
        place = _page_of(inside)
        if place in made or inside in _FOLDERS:
            continue
        made[place] = file_page(inside)
        if inside.endswith((".md", ".ipynb")):
            text = (ROOT / inside).read_text(encoding="utf-8")
            text = notebook(text) if inside.endswith(".ipynb") else text
            targets = (_target(match[2], posixpath.dirname(inside)) for match in _LINK.finditer(text))
            waiting += [target for target in targets if target is not None and not target.startswith("docs/")]
    return made


# What MkDocs calls


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the made pages into the navigation, behind those that are written."""
    parsed.cache_clear()  # `mkdocs serve` builds many times in one process
    read_task.cache_clear()
    config.nav = [*(config.nav or []), *navigation()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and the files of the repository that any page links to."""
    from mkdocs.structure.files import File

    made = pages()
    linked = [inside for file in files.documentation_pages() for inside in links_out(file.content_string, file.src_uri)]
    for text in made.values():
        linked += [match[2] for match in re.finditer(r"\]\(((?:\.\./)*files/(\S+?)\.md)\)", text)]
    for place, text in {**made, **repository_pages(linked)}.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave `docs/`; made pages have none."""
    del config, files
    return markdown if page.file.generated_by else with_links_inside(markdown, page.file.src_uri)
