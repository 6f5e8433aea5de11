"""The command line: one file per verb. Wrong input is one line and exit status 2; a bug keeps its traceback."""

from __future__ import annotations

import errno
import signal
import sys
import warnings
from typing import Annotated, Final

import typer
from rich.console import Console

from auricle import __version__
from auricle.atomic import is_full
from auricle.cli import (
    ablate,
    audit,
    calibrate,
    check,
    convert,
    demo,
    evaluate,
    export,
    figures,
    finetune,
    ingest,
    measure,
    norms,
    predict,
    pretrain,
    reconstruct,
    robustness,
    sample,
    serve,
    simulate,
    study,
    table,
    text,
    throughput,
)
from auricle.cli import list as list_verb
from auricle.cli.output import note, speak
from auricle.cli.stop import interruptible, leave, stoppable, was_interrupted
from auricle.disclaimer import RESEARCH_USE
from auricle.errors import AuricleError, StoppedError
from auricle.progress import shown

app = typer.Typer(
    name="auricle",
    help="Learns from electrocardiograms together with what else a hospital knows, and is right about children. "
    + RESEARCH_USE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# What an operating system says of a place that a file or folder cannot have, or may not be read from.
_NO_PLACE: Final = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS)
_VERBS = (
    demo, sample, simulate, check, convert, measure, norms, ingest, pretrain, finetune, calibrate, evaluate, ablate,
    audit, robustness, figures, table, study, predict, serve, export, reconstruct, text, throughput, list_verb,
)  # fmt: skip
for verb in _VERBS:
    verb.register(app)
for one in (app, *(group.typer_instance for group in app.registered_groups)):
    for command in one.registered_commands if one is not None else ():
        command.callback = stoppable(command.callback) if command.callback else None


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

    def say(text: str) -> None:
        console.print(f"auricle: {text}", highlight=False, markup=False, soft_wrap=True)

    speak("en")
    warnings.showwarning = lambda message, *_: say(note(str(message)))
    try:
        with interruptible(say), shown(console):
            app()
    except StoppedError as error:
        say(str(error))
        if error.signal == signal.SIGINT:
            leave(128 + error.signal)
        sys.exit(128 + error.signal)
    except AuricleError as error:
        say(str(error))
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit):
        if not was_interrupted():
            raise
        say("stopped before anything was begun")
        leave(128 + signal.SIGINT)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if is_full(error):
            remedy = "no room is left on the disk: make room; what is whole was kept, and long work goes on from there"
        elif error.errno in _NO_PLACE and error.filename is not None:
            remedy = (
                f"cannot be used ({error.strerror}); look what lies there and who may use it, or name another place"
            )
        else:
            raise
        say(f"{error.filename}: {remedy}" if error.filename is not None else remedy)
        sys.exit(2)
