"""auricle convert: recordings in other formats, with or without the identity of their persons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from auricle.atomic import write_json
from auricle.cli.recordings import AgeOption, FilesArgument, JsonOption, SexOption, Verb, WorkersOption, go_through
from auricle.cli.stop import keeps
from auricle.errors import ConfigError

if TYPE_CHECKING:
    from auricle.data.inputs import Input
    from auricle.deidentify import Pseudonyms
    from auricle.recording import Recording

_MANIFEST, _REMOVED = "records.csv", "removed.csv"
_PLAN: Final = ".convert.json"
_NOT_IN_NAMES: Final = frozenset('/\\:*?"<>|')
_AS_DEFAULT: Final = "wfdb"
# The manifest's column for what is no recording any more: a picture, or a name that is not read.
_COLUMN: Final = {"png": "image", "svg": "#file", "pdf": "#file", "csv": "#file"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("convert")(convert_recordings)


def convert_recordings(
    files: FilesArgument,
    out: Annotated[Path, typer.Option("--to-folder", "-o", help="Folder to write into, with a manifest of it.")],
    to: Annotated[
        str, typer.Option(help="wfdb, dicom, edf, csv for other programs, or on paper: pdf, svg, png.")
    ] = _AS_DEFAULT,
    deidentify: Annotated[
        Path | None,
        typer.Option(
            help="Take identity away: file with the secret key, made where there is none. Names, identifiers and "
            "reports go, dates are shifted by person, ages stay; removed.csv says what was done."
        ),
    ] = None,
    age: AgeOption = None,
    sex: SexOption = None,
    as_json: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Write recordings in another format, with a manifest that auricle reads. Research use."""
    from auricle import age as ages
    from auricle.convert import FORMATS
    from auricle.data.inputs import fingerprint, inputs
    from auricle.deidentify import Pseudonyms
    from auricle.errors import UnknownNameError
    from auricle.io.header_comments import given_sex

    if to not in FORMATS:
        raise UnknownNameError("format", to, FORMATS)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--to-folder {out}: is a file; name a folder")
    given = inputs(files)
    known = {"age": ages.given(age), "sex": given_sex(sex, "--sex")}
    if deidentify is not None and deidentify.resolve().is_relative_to(out.resolve()):
        raise ConfigError(
            f"--deidentify {deidentify}: the key lies in the folder that is given away; keep it elsewhere"
        )
    pseudonyms = None if deidentify is None else Pseudonyms.read(deidentify)
    names = _names(given)
    key = None if pseudonyms is None else pseudonyms.digest
    _begin(out, {"to": to, "age": age, "sex": sex, "key": key, "recordings": fingerprint(given)})
    converting = _Converting(out, to, pseudonyms, known, names)
    made: list[_Made] = []
    keeps(
        lambda: (
            f"recordings that were written are kept in {out}, {_MANIFEST} lists {len(made)}; "
            "the same command goes over all again"
        )
    )

    def keep(found: Sequence[_Made]) -> Sequence[_Made]:
        made.extend(found)
        return found

    verb = Verb("convert", converting, keep, lambda one, _: one.said(), dict, _show)
    try:
        go_through(given, verb, as_json, None, workers)
    finally:
        if made:
            _write_lists(out, made, pseudonyms is not None)
            typer.echo(f"{out}: {len(made)} of {len(given)} recordings; {_MANIFEST} lists them", err=as_json)


def _begin(out: Path, plan: Mapping[str, str | None]) -> None:
    """Take a folder: a new or an empty one, or that of the same command before, which is then done again.

    Raises:
        ConfigError: something else lies there, which files of the same names would replace or stand among.
    """
    path = out / _PLAN
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != plan:
            raise ConfigError(f"--to-folder {out}: was made of other recordings or otherwise; name another folder")
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"--to-folder {out}: is not empty; name a folder of its own")
    try:
        write_json(path, plan)
    except OSError as error:
        raise ConfigError(f"--to-folder {out}: cannot be written ({error.strerror})") from None


@dataclass(frozen=True)
class _Made:
    """A file that was written: its line of the manifest, and what was removed."""

    file: str
    row: Mapping[str, Any]
    removed: tuple[str, ...] = ()

    def said(self) -> dict[str, Any]:
        return {"written": self.file, "removed": list(self.removed)}


@dataclass(frozen=True)
class _Converting:
    """Reads an input and writes it in another format, here or in another process."""

    out: Path
    to: str
    pseudonyms: Pseudonyms | None
    known: Mapping[str, object]
    names: Mapping[tuple[str, str], str]

    def __call__(self, one: Input) -> _Made:
        from auricle.convert import convert
        from auricle.deidentify import METHOD, deidentified

        recording, removed = one.read(**self.known), tuple[str, ...]()
        name = self.names[_key(one)]
        if self.pseudonyms is not None:
            recording, removed = deidentified(recording, name, self.pseudonyms)
            name = recording.record_id
        written = convert(recording, self.out / name, self.to, METHOD if self.pseudonyms else "", name)
        return _Made(written.name, {_COLUMN.get(self.to, "file"): written.name, **_row(recording, name)}, removed)


def _key(one: Input) -> tuple[str, str]:
    return str(one.path), one.record_id


def _names(given: Sequence[Input]) -> dict[tuple[str, str], str]:
    """A name for each recording in the new folder: its own, with a number where it is taken."""
    taken = {Path(_MANIFEST).stem, Path(_REMOVED).stem}
    names = {}
    for one in given:
        letters = ("_" if letter in _NOT_IN_NAMES or letter.isspace() else letter for letter in one.record_id)
        name = plain = "".join(letters).lstrip(".") or "record"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names[_key(one)] = name
    return names


def _row(recording: Recording, name: str) -> dict[str, Any]:
    """A line of the manifest: what of the recording its new file may not hold."""
    from auricle import age as ages
    from auricle.birth import describe_gestation

    row: dict[str, Any] = {
        "record_id": name,
        "patient_id": recording.patient_id or "",
        "age": "" if recording.age is None else ages.written(recording.age),
        "sex": recording.sex or "",
        "report": recording.report or "",
        "labels": ";".join(recording.labels),
        "gestational_age": "" if recording.gestation_days is None else describe_gestation(recording.gestation_days),
    }
    limits = {"below": "<", "above": ">"}
    for test, value in recording.labs.items():
        row[f"lab:{test}"] = f"{limits.get(recording.lab_bounds.get(test, ''), '')}{value:.10g}"
    return row | {f"lab_minutes:{test}": f"{minutes:.10g}" for test, minutes in recording.lab_minutes.items()}


def _write_lists(out: Path, made: Sequence[_Made], deidentified: bool) -> None:
    from auricle.cli.output import write_table

    columns = dict.fromkeys(name for one in made for name in one.row)
    write_table("--to-folder", out / _MANIFEST, [{name: one.row.get(name, "") for name in columns} for one in made])
    if deidentified:
        rows = [{"record_id": one.row["record_id"], "removed": "; ".join(one.removed)} for one in made]
        write_table("--to-folder", out / _REMOVED, rows)


def _show(made: _Made, one: Input, is_further: bool) -> None:
    del is_further
    said = f" ({', '.join(made.removed)})" if made.removed else ""
    typer.echo(f"{one.path.name}: {made.file}{said}")
