"""auricle predict: answers for recordings, for a person, as JSON or as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from auricle.cli.options import parse_sex
from auricle.cli.output import check_table_name
from auricle.cli.recordings import (
    AgeOption,
    FilesArgument,
    JsonOption,
    SchemaOption,
    SexOption,
    TableOption,
    Verb,
    go_through,
    only_one,
)
from auricle.errors import ConfigError

if TYPE_CHECKING:
    from auricle.errors import DataError
    from auricle.predict import Prediction

_BAR_WIDTH = 10
# Every second of the ages asked, so that the table fits a terminal; JSON has them all.
_AGES_SHOWN = slice(0, None, 2)
_HEADING = {"probability": "prob.", "similarity": "cosine"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("predict")(predict)


def predict(
    files: FilesArgument,
    weights: Annotated[
        str | None, typer.Option(help="Run folder, folder of weights, or a name on the hub; by default those shipped.")
    ] = None,
    age: AgeOption = None,
    sex: SexOption = None,
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
    as_json: JsonOption = False,
    show_schema: SchemaOption = False,
    out: TableOption = None,
) -> None:
    """Predict. Research use, not a diagnosis."""
    from auricle import age as ages
    from auricle.data.inputs import inputs
    from auricle.io.picture import read_picture
    from auricle.predict import BATCH, OTHER_AGES_DAYS, SHIPPED_WEIGHTS, Predictor, to_row

    del show_schema  # its callback has answered
    known: dict[str, object] = {"age": ages.given(age), "sex": parse_sex(sex), **known_labs(lab or [])}
    if image is not None:
        known["image"] = read_picture(image)
    check_table_name("--out", out, files)
    predictor = Predictor.from_pretrained(weights or SHIPPED_WEIGHTS, task)
    given = inputs(files, pictures=predictor.method.picture_size is not None)
    only_one(given, "--image", image is not None)
    if lab and any(one.listed for one in given):
        raise ConfigError("--lab is of one recording: write the values of a manifest into its columns `lab:NAME`")
    console = Console()
    # A table has no place for other ages.
    other_ages = () if out is not None and not as_json and len(given) > 1 else OTHER_AGES_DAYS
    verb = Verb(
        "predict",
        prepare=lambda one: predictor.prepare(one.read(**known)),
        answer=lambda prepared: predictor.answer(prepared, other_ages),
        to_dict=lambda prediction, one: prediction.to_dict(),
        to_row=to_row,
        show=lambda prediction, one, is_further: show(prediction, console, one.path.name),
        refusal=refusal,
        batch=BATCH,
    )
    go_through(given, verb, as_json, out)


def refusal(error: DataError) -> dict[str, object]:
    """What JSON says beside the message of a recording without an answer."""
    from auricle.errors import UnreadableError

    if not isinstance(error, UnreadableError):
        return {}
    return {"scores": {}, "quality": error.quality, "refused": str(error)}


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
