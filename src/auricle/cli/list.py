"""auricle list: what there is by name."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from auricle.errors import UnknownNameError

_KINDS = ("methods", "encoders", "presets", "recipes", "sources", "tasks", "labs", "ablations", "formats")
_ADULT_YEARS = 40.0
_ALIASES_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("list")(list_names)


def list_names(kind: Annotated[str, typer.Argument(help=", ".join(_KINDS))] = "methods") -> None:
    """List methods, encoders, their presets, recipes, sources, tasks, laboratory tests, ablations or file formats."""
    from auricle.config import read_toml
    from auricle.data.sources import describe_source, list_sources
    from auricle.encoders import ENCODERS
    from auricle.evaluate.ablation import list_ablations, load_ablation
    from auricle.io import formats
    from auricle.methods import METHODS
    from auricle.tasks import list_tasks, load_task
    from auricle.train.config import RECIPES

    if kind not in _KINDS:
        raise UnknownNameError("kind", kind, _KINDS)
    if kind == "labs":
        _list_labs()
        return
    table = Table("name", "what it is", box=None, pad_edge=False)
    if kind == "tasks":
        for name in list_tasks():
            table.add_row(name, load_task(name).title)
    elif kind == "ablations":
        for name in list_ablations():
            table.add_row(name, load_ablation(name).title)
    elif kind == "recipes":
        for name in RECIPES.names():
            table.add_row(name, read_toml(RECIPES.find(name)).get("title", ""))
    elif kind == "sources":
        for name in list_sources():
            table.add_row(name, describe_source(name))
    elif kind == "formats":
        for name, line in formats().items():
            table.add_row(name, line)
    elif kind == "presets":
        for registry in (METHODS, ENCODERS):
            for name in registry.names():
                table.add_row(name, ", ".join(registry.get(name).presets))
    else:
        registry = METHODS if kind == "methods" else ENCODERS
        for name in registry.names():
            table.add_row(name, registry.get(name).summary.removeprefix(f"{name}: "))
    Console().print(table)


def _list_labs() -> None:
    """Laboratory tests with their units, an adult's reference range and other names."""
    from auricle.age import DAYS_PER_YEAR
    from auricle.labs import lab_test, list_labs, source

    table = Table("name", "what it is", "units", "usual at 40 yr", "also", box=None, pad_edge=False)
    for name in list_labs():
        test = lab_test(name)
        low, high = test.reference(_ADULT_YEARS * DAYS_PER_YEAR)
        usual = f"{low:.3g} to {high:.3g}"
        table.add_row(name, test.title, ", ".join(test.conversions), usual, ", ".join(test.aliases[:_ALIASES_SHOWN]))
    console = Console()
    console.print(table)
    console.print(source(), highlight=False)
