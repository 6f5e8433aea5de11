"""auricle predict: answers for recordings, for a person, as JSON or as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from auricle.cli.bundles import bundles_into
from auricle.cli.options import WeightsOption
from auricle.cli.output import check_not_read, check_page_name, check_table_name, command_line, speak, write_page
from auricle.cli.recordings import (
    AgeOption,
    ExecutorOption,
    FhirOption,
    FilesArgument,
    GestationOption,
    JsonOption,
    Large,
    SchemaOption,
    SexOption,
    TableOption,
    Verb,
    WorkersOption,
    go_through,
    only_here,
    only_one,
    seen_from,
)
from auricle.errors import ConfigError

if TYPE_CHECKING:
    from auricle.data.inputs import Input
    from auricle.errors import DataError
    from auricle.predict import Predictor, Prepared
    from auricle.prediction import Prediction

_BAR_WIDTH = 4
# Every second of the ages asked, so that the table fits a terminal; JSON has them all.
_AGES_SHOWN = slice(0, None, 2)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("predict")(predict)


def predict(
    files: FilesArgument,
    weights: WeightsOption = None,
    age: AgeOption = None,
    sex: SexOption = None,
    gestation: GestationOption = None,
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
    lang: Annotated[str, typer.Option(help="en, zh or de: of the terminal and of the page.")] = "en",
    page: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page of one recording here: paper, scores, what the weights know."),
    ] = None,
    as_json: JsonOption = False,
    show_schema: SchemaOption = False,
    out: TableOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    fhir: FhirOption = None,
) -> None:
    """Predict. Research use, not a diagnosis."""
    from auricle import age as ages
    from auricle.birth import given_gestation
    from auricle.data.inputs import inputs
    from auricle.fhir import predicted_bundle
    from auricle.io.header_comments import given_sex
    from auricle.io.picture import read_picture
    from auricle.labs import given_labs
    from auricle.methods import SHIPPED_WEIGHTS, files_of
    from auricle.pages.prediction import prediction_page
    from auricle.predict import OTHER_AGES_DAYS, Predictor
    from auricle.scope import FILE as SCOPE

    del show_schema  # its callback has answered
    speak(lang)
    known: dict[str, object] = {"age": ages.given(age), "sex": given_sex(sex, "--sex"), **given_labs(lab or [])}
    known["gestation_days"] = given_gestation(gestation)
    if image is not None:
        known["image"] = read_picture(image)
    check_page_name("--page", page)
    check_table_name("--out", out)
    predictor = Predictor.from_pretrained(weights or SHIPPED_WEIGHTS, task)
    given = inputs(seen_from(files, executor), pictures=predictor.method.picture_size is not None)
    card, tensors = files_of(weights or SHIPPED_WEIGHTS)
    read = [*files, image, card, tensors, card.with_name(SCOPE), *(one.path for one in given)]
    check_not_read({"--out": out, "--fhir": fhir, "--page": page}, read)
    only_one(given, "--image", image is not None)
    only_one(given, "--page", page is not None)
    only_here(executor, "--page", page is not None)
    if lab and any(one.listed for one in given):
        raise ConfigError("--lab is of one recording: write the values of a manifest into its columns `lab:NAME`")
    console, titles, knows = Console(), predictor.titles(lang), predictor.knows(lang)
    snomed = predictor.snomed()
    # A table has no place for other ages.
    other_ages = () if out is not None and not as_json and len(given) > 1 else OTHER_AGES_DAYS

    told = {"--weights": None if weights is None else Path(weights).name, "--age": age, "--sex": sex}
    told |= {"--gestation": gestation, "--task": task}

    def answer(prepared: Sequence[Prepared]) -> list[Prediction]:
        predictions = predictor.answer(prepared, other_ages)
        if page is not None:
            (one,), (prediction,), file = prepared, predictions, given[0].path
            plain, made_by = prediction.to_dict(), command_line("predict", file, told)
            write_page(
                "--page",
                page,
                lambda: prediction_page(one.recording, plain, titles, knows, lang, title=file.name, command=made_by),
            )
        for ready, prediction in zip(prepared, predictions, strict=True) if fhir is not None else ():
            keep(predicted_bundle(ready.recording, prediction.to_dict(), titles, lang, snomed))
        return predictions

    verb = replace(
        _table_verb(predictor, known),
        answer=answer,
        show=lambda prediction, one, is_further: show(prediction, console, one.path.name, titles, lang),
        closing=lambda: show_weights(knows, console, lang),
    )
    # Only a table asks whether the weights are those of before.
    digest = "" if out is None else predictor.digest
    again = partial(_table_verb_of, weights or SHIPPED_WEIGHTS, task, digest, known)
    plan = {"options": [age, sex, gestation, lab, task], "weights": digest}
    with bundles_into(fhir, len(given), out is not None) as keep:
        go_through(given, verb, as_json, out, workers, Large(executor, again, plan))
    for path in (page, fhir):
        if path is not None and not as_json:
            typer.echo(f"{path}")


@lru_cache(maxsize=1)
def _predictor_of(weights: str | Path, task: str | None, digest: str) -> Predictor:
    """The weights, read once in a process that makes many parts of a table.

    Raises:
        ConfigError: they are others than where the work was handed out.
    """
    from auricle.predict import Predictor

    predictor = Predictor.from_pretrained(weights, task)
    if predictor.digest != digest:
        raise ConfigError(f"{weights}: other weights lie there where parts of the table are made")
    return predictor


def _table_verb_of(
    weights: str | Path, task: str | None, digest: str, known: Mapping[str, object]
) -> Verb[Prepared, Prediction]:
    """`_table_verb` in another process, which reads the weights itself."""
    return _table_verb(_predictor_of(weights, task, digest), known)


def _table_verb(predictor: Predictor, known: Mapping[str, object]) -> Verb[Prepared, Prediction]:
    """The verb as far as a table needs it: no other ages, and nobody who looks on."""
    from auricle.predict import BATCH
    from auricle.prediction import to_row

    return Verb(
        "predict",
        prepare=_Reading(predictor, known),
        answer=lambda prepared: predictor.answer(prepared, ()),
        to_dict=lambda prediction, one: prediction.to_dict(),
        to_row=to_row,
        show=lambda *_: None,
        refusal=refusal,
        batch=BATCH,
    )


@dataclass(frozen=True)
class _Reading:
    """Reads an input and prepares it for the weights, here or in another process."""

    predictor: Predictor
    known: Mapping[str, object]

    def __call__(self, one: Input) -> Prepared:
        return self.predictor.prepare(one.read(**self.known))


def refusal(error: DataError) -> dict[str, object]:
    """What JSON says beside the message of a recording without an answer."""
    from auricle.errors import UnreadableError

    if not isinstance(error, UnreadableError):
        return {}
    return {"scores": {}, "quality": error.quality, "refused": str(error)}


def show(prediction: Prediction, console: Console, title: str, titles: Mapping[str, str], language: str) -> None:
    """A table a person can read, and what its classes are in words."""
    from auricle.paediatrics import wording
    from auricle.pages.prediction import RARELY, likeliest

    said = wording.words(language)
    heads = said["prediction"]
    without, ages = prediction.scores_without_age, prediction.age_effect[_AGES_SHOWN]
    unknown = prediction.age_days is None
    age = wording.age_text(prediction.age_days, language)
    shown = heads["title"].format(file=escape(title), age=age if unknown else heads["age"].format(age=age))
    console.print(f"[bold]{shown}[/bold]{heads['aside'] if without else ''}", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    in_order, rest = likeliest(prediction.scores, prediction.kind)
    headings = [heads["class"], heads[prediction.kind], ""]
    headings += [heads["set"]] if prediction.sets else []
    headings += [heads["no_age"]] if without else []
    headings += [wording.age_text(days, language) for days, _ in ages]
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number in (0, 2) else "right", no_wrap=True)
    for name, score in in_order:
        filled = round(max(0.0, min(1.0, score)) * _BAR_WIDTH)
        row = [escape(name), f"{score:.2f}", "█" * filled + "·" * (_BAR_WIDTH - filled)]
        if prediction.sets:
            row.append(heads[prediction.sets[name]])
        if without:
            row.append(f"{without[name]:.2f}")
        table.add_row(*row, *(f"{scores[name]:.2f}" for _, scores in ages))
    console.print(table)
    if rest:
        console.print(
            f" {heads['rest'].format(n=len(rest), score=f'{RARELY:.2f}')}", style="dim", highlight=False, markup=False
        )
    if prediction.sets:
        about = wording.sets_text(prediction.coverage, prediction.age_days, language)
        console.print(f" {about}", style="dim", highlight=False, markup=False)
    grid = Table.grid(padding=(0, 1))
    for name in (name for name, _ in in_order if name in titles):
        people = prediction.tested[name]
        tested = f"{heads['tested_on']} {wording.tested_text(people, language)}" if people else ""
        grid.add_row(Text(f" {name}"), Text(titles[name], style="dim"), Text(tested, style="dim"))
    if grid.row_count:
        console.print(heads["classes"], style="bold", highlight=False)
        console.print(grid)
    if prediction.group_contributions:
        named = {wording.group_text(name, language): share for name, share in prediction.group_contributions.items()}
        shares = "  ".join(f"{name} {share:.0%}" for name, share in named.items())
        console.print(f"{heads['groups']}: {shares}", highlight=False, markup=False)
    for note in prediction.notes:
        text = wording.note_text(note, language)
        console.print(f"{heads['note']}{said['colon']}{text}", highlight=False, markup=False)
    console.print(f"[bold]{said['research']}[/bold]")


def show_weights(knows: Sequence[str], console: Console, language: str) -> None:
    """What the weights were trained on and how they were tested."""
    from auricle.paediatrics import wording

    console.print(wording.words(language)["prediction"]["weights"], style="bold", highlight=False)
    for line in knows:
        console.print(f" {line}", highlight=False, markup=False)
