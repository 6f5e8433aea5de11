"""auricle measure: the values of recordings with their centiles at their age, and what they mean."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from auricle.cli.bundles import SR, bundles_into
from auricle.cli.output import (
    check_not_read,
    check_page_name,
    check_picture_name,
    check_table_name,
    command_line,
    speak,
    write_page,
    write_picture,
)
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
    from auricle.measure.measurements import Measurements
    from auricle.paediatrics.assessment import Assessment, Row
    from auricle.paediatrics.own_norms import OwnNorms
    from auricle.recording import Recording, Sex

    _Measured = tuple[Recording, Measurements, Assessment]

# The bar shows z from -3.4 to 3.4, three cells to a standard deviation. Characters whose width does not depend on the
# terminal's language ("neutral" in Unicode's East Asian Width), so that Chinese tables stay aligned.
_Z_SHOWN: Final = 3.4
_CELLS: Final = 21
_BAND, _MEDIAN, _OUTSIDE, _INTERVAL, _VALUE, _BELOW, _ABOVE = "╌", "╎", " ", "▬", "◼", "◂", "▸"
_WIDE_ENOUGH_FOR_LIMITS: Final = 105
_STYLES: Final = {
    "flag": "bold red",
    "outside": "red",
    "borderline": "yellow",
    "normal_for_age": "green",
    "note": "dim",
}
_SUMMARIES: Final = {"within": "green", "not_compared": "yellow"}
_SPEEDS, _GAINS = (25.0, 50.0), (5.0, 10.0)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("measure")(measure)


def measure(
    files: FilesArgument,
    age: AgeOption = None,
    sex: SexOption = None,
    gestation: GestationOption = None,
    lang: Annotated[str, typer.Option(help="en, zh or de: of the terminal and of the page.")] = "en",
    as_json: JsonOption = False,
    show_schema: SchemaOption = False,
    out: TableOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    fhir: FhirOption = None,
    sr: Annotated[
        Path | None, typer.Option(help="Write a DICOM Structured Report of one recording here (.dcm), unverified.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write an HTML page of one recording here: paper, median beat, table.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Paper speed of the page: 25 or 50 mm/s.")] = 25.0,
    gain: Annotated[float, typer.Option(help="Gain of the page: 5 or 10 mm/mV.")] = 10.0,
    norms: Annotated[Path | None, typer.Option(help="Curves of your own, by `auricle norms fit`.")] = None,
    ages_figure: Annotated[
        Path | None, typer.Option(help="Draw the values as read at 3 days, 3 months, 3 and 30 years (.png, .svg).")
    ] = None,
) -> None:
    """Measure recordings and place every value among people of their age. Research use, not a diagnosis."""
    from auricle import age as ages
    from auricle.birth import given_gestation
    from auricle.data.inputs import inputs
    from auricle.dicom_sr import measured_report
    from auricle.fhir import measured_bundle
    from auricle.io.header_comments import given_sex
    from auricle.paediatrics.report import to_dict

    del show_schema  # its callback has answered
    speak(lang)
    check_page_name("--page", page)
    check_picture_name("--ages-figure", ages_figure)
    check_table_name("--out", out)
    given = inputs(seen_from(files, executor))
    written = {"--out": out, "--fhir": fhir, "--sr": sr, "--page": page, "--ages-figure": ages_figure}
    check_not_read(written, [*files, norms, *(one.path for one in given)])
    only_one(given, "--page", page is not None)
    only_one(given, "--ages-figure", ages_figure is not None)
    only_here(executor, "--page", page is not None)
    only_here(executor, "--ages-figure", ages_figure is not None)
    if speed not in _SPEEDS or gain not in _GAINS:
        raise ConfigError(f"--speed {speed:g} --gain {gain:g}: a speed is 25 or 50 mm/s, a gain 5 or 10 mm/mV")
    known: dict[str, object] = {"age": ages.given(age), "sex": given_sex(sex, "--sex")}
    known["gestation_days"] = given_gestation(gestation)
    command = {"--age": age, "--sex": sex, "--gestation": gestation}
    measuring = _Measuring(known, _own_norms(norms))
    console = Console()

    def shown(found: _Measured, one: Input, is_further: bool) -> None:
        if is_further:
            console.print()
        show(found[2], found[1], console, one.path.name, lang)

    def kept(found: Sequence[_Measured]) -> Sequence[_Measured]:
        for recording, values, assessment in found:
            if page is not None:
                scale, file = (speed, gain), given[0].path
                made_by = command_line("measure", file, command)
                _write_page(page, recording, values, assessment, lang, scale, made_by, file.name)
            if ages_figure is not None:
                _draw_ages(recording, values, recording.sex, ages_figure, lang)
            if fhir is None and sr is None:
                continue
            plain = to_dict(assessment, values, recording.notes)
            if fhir is not None:
                keep_bundle(measured_bundle(recording, plain, lang))
            if sr is not None:
                keep_report(measured_report(recording, plain, datetime.now(), lang))
        return found

    large = Large(executor, partial(_table_verb, measuring), {"options": [age, sex, gestation, _digest_of(norms)]})
    n, with_table = len(given), out is not None
    with bundles_into(fhir, n, with_table) as keep_bundle, bundles_into(sr, n, with_table, SR) as keep_report:
        verb = replace(_table_verb(measuring), answer=kept, show=shown)
        go_through(given, verb, as_json, out, workers, large)
    for path in (page, ages_figure, fhir, sr):
        if path is not None and not as_json:
            typer.echo(f"{path}")


def _table_verb(measuring: _Measuring) -> Verb[_Measured, _Measured]:
    """The verb as far as a table needs it, which can be made in any process."""
    from auricle.paediatrics.report import to_dict, to_row

    def plain(found: _Measured, one: Input) -> dict[str, object]:
        recording, values, assessment = found
        return {"file": one.path.name, **to_dict(assessment, values, recording.notes)}

    return Verb("measure", measuring, list, plain, to_row, lambda *_: None)


def _digest_of(path: Path | None) -> str | None:
    """What a file holds, as a digest; None for no file."""
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class _Measuring:
    """Reads an input, measures it and places it among people of its age, here or in another process."""

    known: Mapping[str, object]
    own: OwnNorms | None

    def __call__(self, one: Input) -> _Measured:
        from auricle.measure.recording import measure_recording
        from auricle.paediatrics import limits
        from auricle.paediatrics.findings import assess

        recording = one.read(**self.known)
        values = measure_recording(recording)
        norms = limits if self.own is None else self.own
        return recording, values, assess(values, recording.age, recording.sex, norms, recording.gestation_days)


def _write_page(
    page: Path, recording: Recording, values: Measurements, assessment: Assessment, lang: str,
    scale: tuple[float, float], command: str, title: str,
) -> None:  # fmt: skip
    from auricle.pages.measure import measure_page

    write_page(
        "--page",
        page,
        lambda: measure_page(recording, values, assessment, lang, *scale, title=title, command=command),
    )


def _draw_ages(recording: Recording, values: Measurements, sex: Sex | None, path: Path, lang: str) -> None:
    from auricle.paediatrics import wording
    from auricle.pages.ages import ages_figure
    from auricle.pages.style import drawable

    if drawable(lang) != lang:
        warnings.warn(wording.words(lang)["no_font"], stacklevel=2)
    write_picture("--ages-figure", path, ages_figure(recording, values, sex=sex, language=lang), dpi=110)


def _own_norms(path: Path | None) -> OwnNorms | None:
    if path is None:
        return None
    from auricle.paediatrics.own_norms import OwnNorms

    return OwnNorms.read(path)


def show(assessment: Assessment, measurements: Measurements, console: Console, title: str, lang: str) -> None:
    """Remarks, the table, the findings: for a person at a terminal."""
    from auricle.paediatrics import wording
    from auricle.paediatrics.findings import main_rows, recorded_rows

    said = wording.words(lang)
    heads = said["table"]
    who = {"age": wording.age_text(assessment.age, lang), "sex": wording.sex_text(assessment.sex, lang)}
    console.print(f"[bold]{escape(heads['title'].format(file=title, **who))}[/bold]", highlight=False)
    basis = wording.age_basis_text(assessment, lang)
    if basis:
        console.print(f"   {basis}", highlight=False, markup=False)
    refused = wording.quality_text(measurements.quality, lang)
    if refused:
        console.print(Text.assemble((" ! ", "bold red"), refused))
    for remark in assessment.remarks:
        console.print(Text.assemble((" ! ", "bold red"), wording.remark_text(remark, lang)))
    used = heads["beats"].format(
        used=measurements.n_used, n=len(measurements.beats), rate=f"{measurements.recorded_hz:g}"
    )
    console.print(f"   {used}", style="dim", highlight=False, markup=False)
    by_cart = wording.cart_text(measurements, lang)
    if by_cart:
        console.print(f"   {by_cart}", style="dim", highlight=False, markup=False)
    table, notes = _table(assessment, measurements, heads, lang, console.width)
    console.print(table)
    hidden = len(recorded_rows(assessment, measurements)) - len(main_rows(assessment, measurements))
    notes += [heads["further"].format(n=hidden)] if hidden else []
    console.print(said["semicolon"].join(notes), style="dim", highlight=False)
    console.print(heads["findings"], style="bold", highlight=False)
    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(overflow="fold")  # a Chinese sentence is one long word, which is otherwise cut
    for finding in assessment.findings:
        sentence = Text(wording.sentence(finding, assessment.compared_age, lang))
        grid.add_row(Text(" -", style=_STYLES[finding.kind]), sentence)
    if assessment.findings:
        console.print(grid)
    whole = wording.summary_text(assessment, lang)
    if whole:
        console.print(f" {whole}", highlight=False, markup=False, style=_SUMMARIES.get(assessment.summary, ""))
    for line in wording.source_lines(assessment, lang):
        console.print(f"{heads['sources']}{said['colon']}{line}", style="dim", highlight=False, markup=False)
    console.print(f"{said['weak']} [bold]{said['research']}[/bold]", highlight=False)


def _table(
    assessment: Assessment, measurements: Measurements, heads: dict[str, str], lang: str, width: int
) -> tuple[Table, list[str]]:
    """The table, and the notes that its letters stand for."""
    from auricle.paediatrics import wording
    from auricle.paediatrics.findings import main_rows

    with_age = assessment.compared_age is not None
    with_limits = with_age and width >= _WIDE_ENOUGH_FOR_LIMITS
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(heads["value"], no_wrap=True)
    table.add_column(heads["result"], justify="right", no_wrap=True)
    if with_age:
        table.add_column(heads["centile"], no_wrap=True)
        table.add_column(heads["place"], no_wrap=True, width=_CELLS)
    if with_limits:
        table.add_column(heads["limits"], no_wrap=True, justify="right")
    table.add_column("", min_width=3)  # the one that wraps where many notes would cut the values
    notes: list[str] = []
    for row in main_rows(assessment, measurements):
        cells: list[Text | str] = [wording.parameter_name(row.parameter, lang), wording.result_text(row, lang)]
        if with_age:
            style = "red" if row.position in {"low", "high"} else ""
            cells += [Text(wording.interval_text(row), style=style), bar(row)]
        if with_limits:
            cells.append(wording.limits_text(row))
        said = [] if row.refused == "age_unknown" else wording.notes(row, lang, measurements.recorded_hz)
        notes += [note for note in said if note not in notes]
        letters = " ".join(ascii_lowercase[notes.index(note) % len(ascii_lowercase)] for note in said)
        table.add_row(*cells, Text(letters, style="dim"))
    return table, [f"{ascii_lowercase[n % len(ascii_lowercase)]} {note}" for n, note in enumerate(notes)]


def bar(row: Row) -> Text:
    """p2 to p98 as a band with the value and its interval, at the same places in every row, to be read at once."""
    from auricle.paediatrics.limits import Z_98

    if row.refused:
        return Text("")

    def cell(z: float) -> int:
        return round((max(-_Z_SHOWN, min(_Z_SHOWN, z)) + _Z_SHOWN) / (2 * _Z_SHOWN) * (_CELLS - 1))

    drawn = [_OUTSIDE] * _CELLS
    first, last = cell(-Z_98), cell(Z_98)
    drawn[first : last + 1] = [_BAND] * (last - first + 1)
    drawn[first], drawn[cell(0)], drawn[last] = "[", _MEDIAN, "]"
    for place in range(cell(row.z_interval[0]), cell(row.z_interval[1]) + 1):
        drawn[place] = _INTERVAL
    drawn[cell(row.z)] = _BELOW if row.z < -_Z_SHOWN else _ABOVE if row.z > _Z_SHOWN else _VALUE
    text = Text("".join(drawn), style="dim")
    style = {"normal": "bold green", None: "bold yellow"}.get(row.position, "bold red")
    text.stylize("not dim yellow", cell(row.z_interval[0]), cell(row.z_interval[1]) + 1)
    text.stylize(f"not dim {style}", cell(row.z), cell(row.z) + 1)
    return text
