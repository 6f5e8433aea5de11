"""The command line: one file per verb. Wrong input is one line and exit status 2; a bug keeps its traceback."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from rich.console import Console

from auricle import __version__
from auricle.cli import (
    ablate,
    check,
    demo,
    evaluate,
    finetune,
    ingest,
    measure,
    norms,
    predict,
    pretrain,
    reconstruct,
    robustness,
    simulate,
    table,
    text,
)
from auricle.cli import list as list_verb
from auricle.cli.output import note, speak
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import AuricleError, StoppedError

app = typer.Typer(
    name="auricle",
    help="Learns from electrocardiograms together with what else a hospital knows, and is right about children. "
    + RESEARCH_USE,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_VERBS = (
    demo, simulate, check, measure, norms, ingest, pretrain, finetune, evaluate, ablate, robustness, table, predict,
    reconstruct, text, list_verb,
)  # fmt: skip
for verb in _VERBS:
    verb.register(app)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"auricle {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line."""
    console = Console(stderr=True)
    speak("en")
    warnings.showwarning = lambda message, *_: console.print(
        f"auricle: {note(str(message))}", highlight=False, markup=False, soft_wrap=True
    )
    try:
        app()
    except StoppedError as error:
        console.print(f"auricle: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(128 + error.signal)
    except AuricleError as error:
        console.print(f"auricle: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("auricle: stopped", highlight=False)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
