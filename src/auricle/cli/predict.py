"""auricle predict: an answer for one recording, for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from auricle.errors import DataError, UnreadableError
    from auricle.predict import Prediction
    from auricle.recording import Sex

_BAR_WIDTH = 10
# Every second of the ages asked, so that the table fits a terminal; JSON has them all.
_AGES_SHOWN = slice(0, None, 2)
_HEADING = {"probability": "prob.", "similarity": "cosine"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("predict")(predict)


def predict(
    files: Annotated[list[Path], typer.Argument(help="Recordings in any readable format.", show_default=False)],
    weights: Annotated[
        str | None, typer.Option(help="Run folder, folder of weights, or a name on the hub; by default those shipped.")
    ] = None,
    age: Annotated[str | None, typer.Option(help="3d, 6wk, 16mo, 2.4yr, 5y4m ...; goes before the file's own.")] = None,
    sex: Annotated[str | None, typer.Option(help="F or M.")] = None,
    task: Annotated[str | None, typer.Option(help="Which stored prompts to ask, for zero-shot weights.")] = None,
    lab: Annotated[
        list[str] | None,
        typer.Option(
            help="'troponin=35 ng/L', 'CRP<5', or 'K=4.1 @ -30' drawn 30 min before the ECG. May be given again."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="A picture of the same ECG, beside its file, for weights that read pictures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per recording and line.")] = False,
) -> None:
    """Predict. Research use, not a diagnosis."""
    from auricle import age as ages
    from auricle.errors import ConfigError, DataError, UnreadableError
    from auricle.io import read
    from auricle.io.picture import read_picture
    from auricle.predict import SHIPPED_WEIGHTS, Predictor

    known_age, known_sex = ages.given(age), parse_sex(sex)
    if image is not None and len(files) > 1:
        raise ConfigError("--image is the picture of one recording: give one file")
    picture = read_picture(image) if image is not None else None
    values = known_labs(lab or [])
    predictor = Predictor.from_pretrained(weights or SHIPPED_WEIGHTS, task)
    console = Console()
    failed = False
    for file in files:
        # One recording that cannot be answered for does not keep the answers for the others.
        try:
            recording = read(file, age=known_age, sex=known_sex, image=picture, **values)
            prediction = predictor(recording)
        except DataError as error:
            failed = True
            typer.echo(f"auricle: {named(error, file)}", err=True)
            if as_json and isinstance(error, UnreadableError):
                typer.echo(json.dumps(refusal(file, error)))
            continue
        if as_json:
            typer.echo(json.dumps(prediction.to_dict()))
        else:
            show(prediction, console, file.name)
    if failed:
        raise typer.Exit(2)


def named(error: DataError, file: Path) -> str:
    """The message of an error, with the file in front where it does not say which."""
    from auricle.io.names import record_name

    text = str(error).removeprefix(f"{record_name(file)}: ")
    return text if file.name in text or str(file) in text else f"{file}: {text}"


def refusal(file: Path, error: UnreadableError) -> dict[str, object]:
    """What JSON says of a recording without an answer."""
    from auricle.io.names import record_name

    return {"record_id": record_name(file), "scores": {}, "quality": error.quality, "refused": str(error)}


def known_labs(texts: Sequence[str]) -> dict[str, Mapping[str, object] | None]:
    """What `--lab` says, as context of a recording.

    Raises:
        DataError: a value that is none, in an unknown unit or not possible, or a test given twice.
        UnknownNameError: no such test.
    """
    from auricle.errors import DataError
    from auricle.labs import parse_lab

    given = [parse_lab(text) for text in texts]
    names = [value.name for value in given]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"--lab gives {twice[0]} twice: give one value")
    minutes = {value.name: value.minutes for value in given if value.minutes is not None}
    bounds = {value.name: value.bound for value in given if value.bound is not None}
    return {
        "labs": {value.name: value.value for value in given} or None,
        "lab_minutes": minutes or None,
        "lab_bounds": bounds or None,
    }


def parse_sex(text: str | None) -> Sex | None:
    """F or M from what people type, in the words that files have.

    Raises:
        DataError: neither: "Mädchen" begins with an M and is none.
    """
    from auricle.errors import DataError
    from auricle.io.header_comments import sex_of

    known = sex_of(text)
    if text is not None and known is None:
        raise DataError(f"--sex {text!r}: give F or M, or leave it out")
    return known


def show(prediction: Prediction, console: Console, title: str) -> None:
    """A table a person can read."""
    from auricle.age import describe

    age = "unknown" if prediction.age_days is None else describe(prediction.age_days)
    without, ages = prediction.scores_without_age, prediction.age_effect[_AGES_SHOWN]
    aside = " (right: the same trace without it and at others)" if without else ""
    console.print(f"[bold]{title}[/bold], age {age}{aside}", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    headings = ["class", _HEADING[prediction.kind], ""] + (["no age"] if without else [])
    for number, heading in enumerate(headings + [describe(days) for days, _ in ages]):
        table.add_column(heading, justify="left" if number in (0, 2) else "right", no_wrap=True)
    for name, score in sorted(prediction.scores.items(), key=lambda item: -item[1]):
        filled = round(max(0.0, min(1.0, score)) * _BAR_WIDTH)
        row = [name, f"{score:.2f}", "█" * filled + "·" * (_BAR_WIDTH - filled)]
        if without:
            row.append(f"{without[name]:.2f}")
        table.add_row(*row, *(f"{scores[name]:.2f}" for _, scores in ages))
    console.print(table)
    if prediction.group_contributions:
        shares = "  ".join(f"{name} {share:.0%}" for name, share in prediction.group_contributions.items())
        console.print(f"lead groups: {shares}", highlight=False)
    for note in prediction.notes:
        console.print(f"note: {note}", highlight=False)
    console.print(f"[bold]{prediction.disclaimer}[/bold]")
