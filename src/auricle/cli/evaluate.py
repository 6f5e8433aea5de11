"""auricle evaluate: predictions, then metrics, with the rows beside them without which a number means nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from auricle.cli.options import PublishedOption, StoreArgument, TrackOption
from auricle.errors import ConfigError
from auricle.leads import canonical

_ROWS = "class_prior,random_encoder,rocket,supervised"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder or folder of saved weights.")],
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(help="Folder for predictions and results; several runs may share one.")],
    task: Annotated[str, typer.Option(help="Task id or a TOML file of your own.")] = "ptb_xl/super",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="zero_shot, linear_probe, finetune, cross_validated or recovery; by default all the weights can do "
            "with the task's own parts."
        ),
    ] = None,
    rows: Annotated[str, typer.Option(help="Reference rows, comma-separated; empty for none.")] = _ROWS,
    fractions: Annotated[str, typer.Option(help="Shares of the training patients, in per cent.")] = "1,10,100",
    seeds: Annotated[int, typer.Option(help="Subset seeds per share below 100 %.", min=1)] = 3,
    name: Annotated[str | None, typer.Option(help="Name of the row; by default the run's.")] = None,
    published: PublishedOption = None,
    track: TrackOption = "clean",
    prompts: Annotated[Path | None, typer.Option(help="A published prompt file (JSON) for zero-shot.")] = None,
    leads: Annotated[
        str | None, typer.Option(help="Under cross_validated: the leads to read, such as I,II,III,aVR,aVL,aVF.")
    ] = None,
) -> None:
    """Evaluate saved weights on a task and print the table."""
    from rich.console import Console

    from auricle.data.store import Store
    from auricle.evaluate.cross_validation import PROTOCOL as CROSS_VALIDATED
    from auricle.evaluate.cross_validation import cross_validated_rows
    from auricle.evaluate.lineage import setting_of
    from auricle.evaluate.reference import ROWS, reference_rows
    from auricle.methods import load_card
    from auricle.tasks import load_task
    from auricle.train.watch import ConsoleWatcher

    kept, wanted_rows = _leads(leads, protocol), [row for row in rows.split(",") if row]
    opened, question = Store(store), load_task(task, published=published, track=track, prompts=prompts)
    if (name or run.resolve().name) in ROWS:
        raise ConfigError(f"a reference row is called {name or run.resolve().name!r}: choose another with --name")
    setting = setting_of(run, opened, question, out, name or "")
    shares = [_share(text) for text in fractions.split(",")]
    run_protocols(setting, protocol, shares, range(seeds), load_card(run)[0]["about"], kept)
    if CROSS_VALIDATED in (protocol or ()):
        cross_validated_rows(setting, wanted_rows, kept)
    if set(protocol or [""]) != {CROSS_VALIDATED}:
        reference_rows(setting, wanted_rows, shares, range(seeds), ConsoleWatcher("supervised"))
        print_table(out, question.id, Console())
    if CROSS_VALIDATED in (protocol or ()):
        print_table(out, question.id, Console(), CROSS_VALIDATED)


def _share(text: str) -> float:
    try:
        share = float(text) / 100
    except ValueError:
        raise ConfigError(f"--fractions: {text!r} is not a number; write for example 1,10,100") from None
    if not 0 < share <= 1:
        raise ConfigError(f"--fractions: {text} % is not between 0 and 100")
    return share


def _leads(text: str | None, protocols: list[str] | None) -> tuple[str, ...] | None:
    """The leads of --leads by their canonical names."""
    if text is None:
        return None
    if protocols != ["cross_validated"]:
        raise ConfigError(
            "--leads goes with --protocol cross_validated; for the other protocols see auricle robustness"
        )
    return tuple(dict.fromkeys(canonical(name) for name in text.split(",")))


def run_protocols(
    setting: Any,
    protocols: list[str] | None,
    shares: list[float],
    seeds: range,
    about: dict[str, Any],
    leads: tuple[str, ...] | None = None,
) -> None:
    """What was asked for, or all that the weights can do; a probe of weights that saw the labels only if asked for."""
    from auricle.evaluate.cross_validation import cross_validated
    from auricle.evaluate.protocols import finetuned, linear_probe, linear_recovery, zero_shot
    from auricle.methods import AlignsText, Classifies

    known: dict[str, Callable[[], Any]] = {
        "zero_shot": lambda: zero_shot(setting),
        "linear_probe": lambda: linear_probe(setting, shares, seeds),
        "finetune": lambda: finetuned(
            setting, about.get("label_share", 1.0), about.get("seed", 0), about.get("n_records")
        ),
        "cross_validated": lambda: cross_validated(setting, leads=leads),
        "recovery": lambda: _print_recovery(linear_recovery(setting)),
    }
    tuned = isinstance(setting.method, Classifies)
    able = {"zero_shot": isinstance(setting.method, AlignsText), "linear_probe": not tuned, "finetune": tuned}
    wanted = protocols or [name for name, is_able in able.items() if is_able]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"unknown protocol {name!r}: choose from {', '.join(known)}")
        known[name]()


def _print_recovery(scores: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measured of the record", "R² from frozen features", title="What the encoder can see")
    for name, value in scores.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)


def print_table(out: Path, task: str, console: Any, protocol: str | None = None) -> None:
    """The Markdown table of all results in a folder, under one protocol or all that go by shares of labels."""
    from auricle.evaluate.table import TRAINED, collect, to_markdown

    text = to_markdown(collect(out), task, protocols=(protocol,) if protocol else TRAINED)
    console.print(text, highlight=False, markup=False, soft_wrap=True)
