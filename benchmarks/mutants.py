"""Which small faults in what makes the systems no test notices.

Each fault (a mutant) changes one place: a comparison, an operator, a constant, a condition, a returned value, or a call
that is left out. The tests that run its line are run against a copy of the project with that one fault; a test that
fails kills it. Faults are drawn by a fixed seed.

python benchmarks/mutants.py FOLDER [--n 400] [--seed 1]      draw and try; goes on where it was when it was killed
python benchmarks/mutants.py FOLDER --survivors               try those again that lived, against the tests of now
python benchmarks/mutants.py FOLDER --parts                   leave out each part that makes a system, named in the TOML
python benchmarks/mutants.py FOLDER --report                  benchmarks/results/mutants.json, from what was tried

FOLDER, outside of the project, keeps the copy, the lines of each test (tests.json) and one line per tried fault
(tried.jsonl). benchmarks/mutants.toml names the parts, and why a survivor may live, by what is changed and not by line.
After a change of the tests remove tests.json, or lines that they did not run before are thought to be untested.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
TARGETS: Final = (
    "encoders/lead_groups*.py", "nn/film.py", "nn/age_code.py", "losses/*.py", "methods/*.py", "age.py",
)  # fmt: skip
# Folders and files of tests that are about these. Others run the same lines and ask for something else.
TESTS: Final = (
    "tests/test_age.py", "tests/test_age_and_leads.py", "tests/contracts/test_methods.py",
    "tests/contracts/test_encoders.py", "tests/encoders", "tests/nn", "tests/losses", "tests/methods",
)  # fmt: skip
LONGEST_S: Final = 60
# So many seconds of tests are tried against one fault, the quickest first; `left_out` counts the others.
TESTS_S: Final = 15.0
# Without rewritten assertions a process starts in half the time; that packages were imported before it is no fault.
_QUIET: Final = (
    "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip


_COMPARISONS: Final[dict[type, type]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: Final[dict[type, type]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: what stands at a place, and what is put there."""

    file: str
    line: int
    column: int
    kind: str
    function: str
    before: str
    after: str
    # Offsets in the file, in bytes, as ast counts them.
    first: int
    last: int
    # Whether it runs when the file is imported, and so in whichever test comes first.
    at_import: bool = False

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.kind} {self.after}"


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """All faults of a file, in order. Annotations, docstrings, presets, errors and assertions are left as they are."""
    source = path.read_text(encoding="utf-8")
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []

    def visit(node: ast.AST, function: str, at_import: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
        for kind, after in _faults(node):
            assert isinstance(node, ast.expr | ast.stmt)
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            first = starts[node.lineno - 1] + node.col_offset
            last = starts[node.end_lineno - 1] + node.end_col_offset
            before = " ".join(source.encode()[first:last].decode().split())
            place = str(path.relative_to(root)), node.lineno, node.col_offset
            found.append(Mutant(*place, kind, function, before, after, first, last, at_import))
        for child in _children(node):
            visit(child, function, at_import and not isinstance(node, ast.FunctionDef | ast.Lambda))

    visit(ast.parse(source), "", True)
    return found


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node may have faults."""
    if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            target = getattr(child, "target", None)
            if isinstance(target, ast.Name) and target.id == "PRESETS":
                continue
            if isinstance(child, ast.AST):
                yield child


def _faults(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(kind, new source) of every fault of one node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        swapped = ast.Compare(node.left, [_COMPARISONS[type(node.ops[0])]()], node.comparators)
        yield "comparison", f"({ast.unparse(swapped)})"
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        other = ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
        yield "operator", f"({ast.unparse(other)})"
    elif isinstance(node, ast.UnaryOp):
        yield "negation", f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.BoolOp):
        yield (
            "boolean",
            f"({ast.unparse(ast.BoolOp({ast.And: ast.Or, ast.Or: ast.And}[type(node.op)](), node.values))})",
        )
    elif isinstance(node, ast.IfExp):
        yield "condition", f"({ast.unparse(node.body)})"
        yield "condition", f"({ast.unparse(node.orelse)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield "constant", str(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield "constant", repr(2 * node.value if node.value else 1.0)
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return", "return None"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and "super()" not in ast.unparse(node.value):
        yield "call", "pass"
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
            yield "call", f"({ast.unparse(node.func.value)})"
        elif node.args and not isinstance(node.args[0], ast.Starred):
            yield "call", f"({ast.unparse(node.args[0])})"
    if isinstance(node, ast.If | ast.While) and ast.unparse(node.test) != "TYPE_CHECKING":
        yield "condition", _negated(node)


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "F", "nn", "math", "np", "re", "dist", "lead_names")


def _negated(node: ast.If | ast.While) -> str:
    """A statement with its condition negated; what it holds is written as deep as the statement itself stands."""
    changed = type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    return ("\n" + " " * node.col_offset).join(ast.unparse(ast.fix_missing_locations(changed)).splitlines())


def parts(root: Path) -> list[Mutant]:
    """The parts that make the systems, each of which is left out by one change of a text that its file has once."""
    found = []
    for part in tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text(encoding="utf-8"))["part"]:
        source = (root / part["file"]).read_text(encoding="utf-8")
        assert source.count(part["before"]) == 1, f"{part['what']}: its text is not once in {part['file']}"
        first = len(source.partition(part["before"])[0].encode())
        line = source[: source.index(part["before"])].count("\n") + 1
        last = first + len(part["before"].encode())
        place = part["file"], line, 0
        found.append(Mutant(*place, "part", part["what"], part["before"], part["after"], first, last))
    return found


def drawn(root: Path, n: int, seed: int) -> list[Mutant]:
    """`n` faults by a fixed seed, in the order of the draw."""
    paths = sorted({path for pattern in TARGETS for path in (root / "src/auricle").glob(pattern)})
    every = [mutant for path in paths for mutant in mutants_of(path, root)]
    return random.Random(seed).sample(every, min(n, len(every)))


class Lines:
    """A pytest plugin that writes down which lines of the targets each test runs, and how long it takes."""

    def __init__(self, files: set[str]) -> None:
        self.files = files
        self.tests: dict[str, dict[str, Any]] = {}
        self._now: set[tuple[str, int]] = set()

    def _trace(self, frame: Any, event: str, argument: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self.files:
            return None
        self._now.add((frame.f_code.co_filename, frame.f_lineno))
        return self._trace

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        self._now, self._began = set(), time.monotonic()
        sys.settrace(self._trace)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        sys.settrace(None)
        lines: dict[str, list[int]] = {}
        for file, line in sorted(self._now):
            lines.setdefault(file, []).append(line)
        self.tests[nodeid] = {"seconds": round(time.monotonic() - self._began, 3), "lines": lines}


class Chosen:
    """A pytest plugin that runs the named tests, in the order of the names."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: number for number, name in enumerate(names)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = report.nodeid


def in_child(work: Callable[[], int], log: Path, longest_s: float) -> int | None:
    """The exit status of `work` in a forked process, its output in `log`; None where it ran past `longest_s`."""
    child = os.fork()
    if not child:
        status = 99
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    ends = time.monotonic() + longest_s
    try:
        while time.monotonic() < ends:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        # The child where it is late or this process is told to end, and what its tests started themselves.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


class Tree:
    """A copy of the project in which faults are made, one at a time, and the tests of the copy."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "tree"
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        for name in ("src", "tests", "benchmarks", "docs", "examples"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("*.*"):
            if path.is_file():
                shutil.copy2(path, self.root / path.name)
        os.environ["PYTHONPATH"] = f"{self.root / 'src'}{os.pathsep}{self.root / 'tests'}"
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
        sys.path[:0] = [str(self.root / "src"), str(self.root / "tests")]
        # What every child would import; of the project itself nothing, because the fault must be read.
        import hypothesis
        import lightning
        import matplotlib
        import pandas
        import pytest
        import scipy.signal
        import sklearn.linear_model
        import torch
        import transformers

        assert "auricle" not in sys.modules
        del hypothesis, lightning, matplotlib, pandas, scipy, sklearn, torch, transformers
        self.pytest = pytest.main

    def run(self, arguments: list[str], plugin: object, log: str, longest_s: float, after: Callable[[], None]) -> Any:
        """The exit status of pytest in a process of its own, with `after` called there at its end; None if too long."""

        def work() -> int:
            os.chdir(self.root)
            status = int(self.pytest([*arguments, *_QUIET], plugins=[plugin]))
            import auricle

            assert str(auricle.__file__).startswith(str(self.root))
            after()
            return status

        return in_child(work, self.folder / log, longest_s)

    def lines(self) -> dict[str, dict[str, Any]]:
        """Of every test, the lines of the targets that it runs and its seconds; kept in tests.json."""
        kept = self.folder / "tests.json"
        if not kept.exists():
            files = {str(p) for pattern in TARGETS for p in (self.root / "src/auricle").glob(pattern)}
            files |= {str(self.root / part.file) for part in parts(self.root)}
            plugin = Lines(files)

            def write() -> None:
                text = json.dumps(plugin.tests).replace(f"{self.root}/", "")
                kept.write_text(text)

            paths = [path for path in TESTS if (self.root / path).exists()]
            status = self.run(paths, plugin, "lines.log", 3600, write)
            assert status == 0, f"tests fail without any fault: see {self.folder / 'lines.log'}"
        tests: dict[str, dict[str, Any]] = json.loads(kept.read_text())
        return tests

    def attempt(self, mutant: Mutant, names: list[str]) -> tuple[str, str]:
        """(`killed`, the test) or (`survived`, "") or (`timeout`, ""): what became of a fault."""
        path = self.root / mutant.file
        whole, seen = path.read_bytes(), path.stat()
        said = self.folder / "failed.txt"
        said.write_text("")
        plugin = Chosen(names)
        try:
            path.write_bytes(whole[: mutant.first] + mutant.after.encode() + whole[mutant.last :])
            # Compiled files are told from their sources by size and time.
            os.utime(path, (seen.st_atime, seen.st_mtime + 1000))
            sys.dont_write_bytecode = True
            files = sorted({name.partition("::")[0] for name in names})
            status = self.run([*files, "-x"], plugin, "last.log", LONGEST_S, lambda: _write(said, plugin.failed))
        finally:
            path.write_bytes(whole)
            os.utime(path, (seen.st_atime, seen.st_mtime))
        assert status != 5, f"no test was collected: see {self.folder / 'last.log'}"
        verdict = {0: "survived", None: "timeout"}.get(status, "killed")
        return verdict, said.read_text() or ("import" if verdict == "killed" else "")


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def tests_for(mutant: Mutant, tests: dict[str, dict[str, Any]], last_line: int) -> list[str]:
    """The tests that run a line of the fault, the quickest first; for what runs at import, those that run the file."""
    lines = set(range(mutant.line, last_line + 1))
    inside = {name for name, test in tests.items() if lines & set(test["lines"].get(mutant.file, ()))}
    chosen = (not mutant.at_import and inside) or {name for name, test in tests.items() if mutant.file in test["lines"]}
    return sorted(chosen, key=lambda name: (tests[name]["seconds"], name))


def quickest(names: list[str], tests: dict[str, dict[str, Any]]) -> list[str]:
    """As many of them, in order, as run in `TESTS_S`; always the first."""
    total, kept = 0.0, []
    for name in names:
        total += tests[name]["seconds"]
        if kept and total > TESTS_S:
            break
        kept.append(name)
    return kept


def tried(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each fault last, by its name."""
    path = folder / "tried.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []
    return {row["name"]: row for row in rows}


def try_all(folder: Path, n: int, seed: int, only: str) -> None:
    tree = Tree(folder)
    tests, before = tree.lines(), tried(folder)
    faults = parts(tree.root) if only == "parts" else drawn(tree.root, n, seed)
    if only == "survivors":
        faults = [m for m in faults if before.get(m.name, {}).get("status") in ("survived", "timeout", "no test")]
    elif only != "parts":
        faults = [m for m in faults if m.name not in before]
    for number, mutant in enumerate(faults, start=1):
        began = time.monotonic()
        source = (tree.root / mutant.file).read_bytes()
        last_line = mutant.line + source[mutant.first : mutant.last].count(b"\n")
        names = tests_for(mutant, tests, last_line)
        kept = quickest(names, tests)
        status, by = tree.attempt(mutant, kept) if kept else ("no test", "")
        row = {
            "name": mutant.name, **asdict(mutant), "status": status, "by": by, "tests": len(kept),
            "left_out": len(names) - len(kept), "seconds": round(time.monotonic() - began, 1),
        }  # fmt: skip
        with (folder / "tried.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{number}/{len(faults)} {status:9} {mutant.name}", flush=True)


def reason_for(row: dict[str, Any], reasons: list[dict[str, str]]) -> str:
    """Why a survivor may live, from the first entry of benchmarks/mutants.toml that matches; empty without one."""
    for entry in reasons:
        if all(entry.get(key, row[key]) == row[key] for key in ("file", "function", "kind", "before", "after")):
            return entry["why"]
    return ""


def report(folder: Path, seed: int) -> None:
    """Counts by file, and the survivors with their reasons."""
    reasons = tomllib.loads((ROOT / "benchmarks/mutants.toml").read_text(encoding="utf-8"))["survivor"]
    rows = list(tried(folder).values())
    left_out = [
        {key: row[key] for key in ("function", "file", "status", "by")} for row in rows if row["kind"] == "part"
    ]
    faults = [row for row in rows if row["kind"] != "part"]
    counts: dict[str, dict[str, int]] = {}
    for row in faults:
        of_file = counts.setdefault(row["file"], {"killed": 0, "survived": 0, "timeout": 0, "no test": 0})
        of_file[row["status"]] += 1
    lived = [
        {key: row[key] for key in ("file", "line", "function", "kind", "before", "after", "status", "left_out")}
        | {"why": reason_for(row, reasons)}
        for row in sorted(faults, key=lambda row: (row["file"], row["line"], row["column"]))
        if row["status"] != "killed"
    ]
    total = {
        status: sum(of_file[status] for of_file in counts.values())
        for status in ("killed", "survived", "timeout", "no test")
    }
    result = {
        "seed": seed,
        "drawn": len(faults),
        "total": total,
        "parts": left_out,
        "files": dict(sorted(counts.items())),
        "lived": lived,
    }
    (ROOT / "benchmarks/results/mutants.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print("| file | killed | survived | timeout | no test |\n|---|---:|---:|---:|---:|")
    for file, of_file in [*sorted(counts.items()), ("all", total)]:
        print(f"| {file} | " + " | ".join(str(number) for number in of_file.values()) + " |")
    for row in lived:
        place = f"{row['file']}:{row['line']} {row['function']}"
        print(f"{place}: {row['before']} -> {row['after']}: {row['why'] or 'NO REASON'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    for only in ("survivors", "parts", "report"):
        parser.add_argument(f"--{only}", dest="only", action="store_const", const=only, default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if given.only == "report":
        report(given.folder, given.seed)
    else:
        try_all(given.folder.resolve(), given.n, given.seed, given.only)
